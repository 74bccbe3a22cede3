"""Relations from ids: who is whose positive, who is nobody's negative, here and across processes."""

import pytest
import torch

from medssl.objectives.contrastive import contrast
from medssl.pairing.pairs import same
from medssl.pairing.relation import Members, Relation, attract, members_of, repel, same_sample
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


def whole(patients, **ids):
    others = {name: torch.tensor(value) for name, value in ids.items() if name != "sample"}
    return Members(torch.tensor(ids["sample"]), torch.tensor(patients), others)


def test_the_algebra_works_part_by_part():
    one = Relation(torch.tensor([[0.5, 0.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 1.0, 0.0]]))
    two = Relation(torch.tensor([[0.2, 0.3, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 0.5, 0.5]]))
    assert (one | two).positive[0].tolist() == pytest.approx([0.5, 0.3, 0.0, 0.0])
    assert (one | two).negative.tolist() == [[0.0, 0.0, 1.0, 0.5]]
    assert (one & two).positive[0].tolist() == pytest.approx([0.1, 0.0, 0.0, 0.0])
    assert (one & two).negative.tolist() == [[0.0, 0.0, 0.5, 0.0]]
    assert (one - two).positive.tolist() == [[0.0, 0.0, 0.0, 0.0]]
    assert (one - two).negative.tolist() == [[0.0, 1.0, 0.0, 0.0]]
    for left, right in ((one | two, two | one), (one & two, two & one)):
        assert torch.equal(left.positive, right.positive)
        assert torch.equal(left.negative, right.negative)


def test_bool_parts_stay_bool_and_join_with_weights():
    who = members([0, 0, 1, 1], [3, 3, 4, 4])
    assert (same_sample(who) | attract(same("patient", who))).positive.dtype == torch.bool
    weighed = same_sample(who).weigh(negative=torch.full((4, 4), 0.25))
    assert weighed.negative[0].tolist() == [0, 0, 0.25, 0.25]
    assert weighed.positive.dtype == torch.bool
    assert weighed.beside(same_sample(who)).negative[0].tolist() == [0, 0, 0.25, 0.25, 0, 0, 1, 1]


def test_phases_of_a_study_attract_by_weight():
    who = whole([5, 5, 5, 6], sample=[0, 0, 1, 2], study=[8, 8, 8, 9])
    found = same_sample(who) | attract(0.5 * same("study", who))
    assert found.positive[0].tolist() == [0.0, 1.0, 0.5, 0.0]
    assert found.negative[0].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_one_region_attracts_across_patients_and_never_repels():
    who = whole([1, 1, 2, 2], sample=[0, 1, 2, 3], region=[0, 1, 0, 1])
    found = same_sample(who) | attract(same("region", who))
    assert found.positive.int().tolist() == [[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]]
    assert found.negative.int().tolist() == [[0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]


def test_a_cluster_is_left_out_of_the_negatives_alone():
    who = whole([1, 1, 2, 3], sample=[0, 0, 1, 2], cluster=[7, 7, 7, 8])
    found = same_sample(who) - repel(same("cluster", who))
    assert found.positive[0].tolist() == [False, True, False, False]
    assert found.negative[0].tolist() == [False, False, False, True]


def test_a_row_never_meets_its_own_scan_in_a_queue():
    rows = whole([1, 2], sample=[0, 1], record=[10, 20])
    queued = whole([1, 1, 2, 3], sample=[-1, -1, -1, -1], record=[10, 11, 20, 30])
    assert same_sample(rows, queued).negative.int().tolist() == [[0, 0, 1, 1], [1, 1, 0, 1]]
    asked = same_sample(rows, queued, same_patient_negatives=True)
    assert asked.negative.int().tolist() == [[0, 1, 1, 1], [1, 1, 0, 1]]
    assert not asked.positive.any()


def test_a_change_of_a_same_patient_vector_changes_no_loss():
    who = whole([1, 1, 2, 2, 1, 1], sample=[0, 0, 1, 1, 2, 2])
    found = same_sample(who)
    similarity = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    changed = similarity.clone()
    changed[:2, 4:] += 3  # another scan of the patient
    rows = Relation(found.positive[:2], found.negative[:2])
    before, _ = contrast(similarity[:2], rows.positive, rows.negative)
    after, _ = contrast(changed[:2], rows.positive, rows.negative)
    assert torch.equal(before, after)


def test_a_permuted_batch_has_the_permuted_relation():
    generator = torch.Generator().manual_seed(1)
    who = whole([1, 1, 2, 3, 3, 3], sample=[0, 0, 1, 2, 2, 3], cluster=[0, 0, 1, 1, 1, 0])
    order = torch.randperm(6, generator=generator)

    def relate(some):
        return (same_sample(some) | attract(0.3 * same("cluster", some))) - repel(same("cluster", some))

    straight, turned = relate(who), relate(who[order])
    assert torch.equal(turned.positive, straight.positive[order][:, order])
    assert torch.equal(turned.negative, straight.negative[order][:, order])
