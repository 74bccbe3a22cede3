"""Relations from ids: who is whose positive, who is nobody's negative, here and across processes."""

import torch

from medssl.pairing.relation import Members, members_of, same_sample
from medssl.views.view import Batch, Views


def views(owner, patient):
    n = len(owner)
    return Views(
        image=torch.zeros(n, 1, 1, 1, 1),
        valid=torch.ones(n, 1, 1, 1, 1, dtype=torch.bool),
        affine=torch.eye(4, dtype=torch.float64).repeat(n, 1, 1),
        box=torch.zeros(n, 15, dtype=torch.float64),
        owner=torch.tensor(owner),
        ids={"patient": torch.tensor(patient)},
    )


def members(owner, patient):
    batch = Batch({"view": views(owner, patient)}, size=max(owner) + 1)
    return members_of(batch, "view", lambda value: value)


def gathers(ranks):
    """One gather a process that answers with the rows of all, from the calls that each process would make."""
    calls = []
    for batch, role in ranks:
        mine = []
        members_of(batch, role, lambda value, mine=mine: mine.append(value) or value)
        calls.append(mine)
    joined = [torch.cat(together) for together in zip(*calls, strict=True)]

    def one():
        answers = iter(joined)
        return lambda value: next(answers)

    return [one() for _ in ranks]


def test_two_views_of_three_patients_are_the_simclr_relation():
    found = same_sample(members([0, 0, 1, 1, 2, 2], [9, 9, 4, 4, 6, 6]))
    blocks = torch.block_diag(*[torch.ones(2, 2)] * 3).bool()
    assert torch.equal(found.positive, blocks & ~torch.eye(6, dtype=torch.bool))
    assert torch.equal(found.negative, ~blocks)


def test_one_patient_is_never_its_own_negative_unless_asked_for():
    who = members([0, 0, 1, 1, 2, 2], [9, 9, 9, 9, 6, 6])
    found = same_sample(who)
    assert not found.negative[:4, :4].any()
    assert found.negative[:4, 4:].all()
    assert not found.positive[:2, 2:].any()  # another scan of the patient is no positive either
    assert same_sample(who, same_patient_negatives=True).negative[:2, 2:].all()


def test_an_unknown_patient_is_nobodys_negative():
    found = same_sample(members([0, 1, 2, 3], [-1, -1, 5, 6])).negative
    assert found.tolist() == [[False] * 4, [False] * 4, [False, False, False, True], [False, False, True, False]]


def test_two_roles_are_related_by_their_samples():
    batch = Batch({"a": views([0, 1], [3, 4]), "b": views([1, 0, 1], [4, 3, 4])}, size=2)
    a, b = (members_of(batch, role, lambda value: value) for role in ("a", "b"))
    found = same_sample(a, b)
    assert found.positive.tolist() == [[False, True, False], [True, False, True]]
    assert torch.equal(found.negative, ~found.positive)


def test_queued_targets_of_a_patient_are_no_negatives():
    query = Members(torch.tensor([0, 1]), torch.tensor([3, 4]))
    queued = Members(torch.tensor([-2, -3, -4]), torch.tensor([3, 4, 8]))
    found = same_sample(query, queued)
    assert not found.positive.any()
    assert found.negative.tolist() == [[False, True, True], [True, False, True]]


def test_owners_of_several_processes_do_not_collide():
    first = Batch({"view": views([0, 0, 1, 1], [3, 3, 4, 4])}, size=2)
    second = Batch({"view": views([0, 0, 1], [5, 5, 3])}, size=2)
    one, two = gathers([(first, "view"), (second, "view")])
    who, other = members_of(first, "view", one), members_of(second, "view", two)
    assert torch.equal(who.sample, other.sample)
    assert who.sample.tolist() == [0, 0, 1, 1, 2, 2, 3]
    found = same_sample(who)
    assert found.positive.sum() == 6
    assert not found.negative[0, 6]  # the patient of row 0 is met again on the other process
    assert found.negative[0, 4]
