"""Relations from ids: who is whose positive, who is nobody's negative, here and across processes."""

import torch

from medssl.pairing.relation import Members, members_of, same_sample
from medssl.views.view import Views


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


def alone(value):
    return value


def test_two_views_of_three_patients_are_the_simclr_relation():
    who = members_of(views([0, 0, 1, 1, 2, 2], [9, 9, 4, 4, 6, 6]), alone)
    found = same_sample(who, who)
    blocks = torch.block_diag(*[torch.ones(2, 2)] * 3).bool()
    assert torch.equal(found.positive, blocks & ~torch.eye(6, dtype=torch.bool))
    assert torch.equal(found.negative, ~blocks)


def test_one_patient_is_never_its_own_negative_unless_asked_for():
    who = members_of(views([0, 0, 1, 1, 2, 2], [9, 9, 9, 9, 6, 6]), alone)
    found = same_sample(who, who)
    assert not found.negative[:4, :4].any()
    assert found.negative[:4, 4:].all()
    assert not found.positive[:2, 2:].any()  # another scan of the patient is no positive either
    assert same_sample(who, who, same_patient_negatives=True).negative[:2, 2:].all()


def test_an_unknown_patient_is_nobodys_negative():
    who = members_of(views([0, 1, 2, 3], [-1, -1, 5, 6]), alone)
    found = same_sample(who, who).negative
    assert found.tolist() == [[False] * 4, [False] * 4, [False, False, False, True], [False, False, True, False]]


def test_a_relation_of_queries_and_queued_targets():
    query = Members(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([3, 4]))
    target = Members(torch.tensor([0, -2, -3]), torch.tensor([7, 8, 9]), torch.tensor([3, 4, 8]))
    found = same_sample(query, target)
    assert found.positive.tolist() == [[True, False, False], [False, False, False]]
    assert found.negative.tolist() == [[False, True, True], [True, False, True]]


def test_owners_of_several_processes_do_not_collide():
    ranks = [views([0, 0, 1, 1], [3, 3, 4, 4]), views([0, 0, 1], [5, 5, 3])]
    marks = [torch.tensor([1, 0, 0, 0]), torch.tensor([1, 0, 0])]

    def gather(value):
        if value is ranks[0].owner:
            return torch.cat([r.owner for r in ranks])
        if value is ranks[0].ids["patient"]:
            return torch.cat([r.ids["patient"] for r in ranks])
        assert torch.equal(value, marks[0])
        return torch.cat(marks)

    who = members_of(ranks[0], gather)
    assert len(who) == 7
    assert who.sample[:4].tolist() == [0, 0, 1, 1]
    assert len(set(who.sample.tolist())) == 4
    assert len(set(who.view.tolist())) == 7
    found = same_sample(who, who)
    assert found.positive.sum() == 6
    assert not found.negative[0, 6]  # the patient of row 0 is met again on the other process
    assert found.negative[0, 4]
