"""Ids that travel: through batches, gathers, tables and slices."""

import pytest
import torch

from medssl.pairing.members import Members, members_of, together
from medssl.views.view import IDS
from tests.pairing.vectors import batch, boxes, members, views


def test_a_table_holds_everything():
    who = members([3, 4], study=[5, -1], time=[7, 8])
    table = who.table()
    assert table.shape == (2, 1 + len(IDS))
    again = Members.of_table(table)
    for name in ("sample", *IDS):
        assert torch.equal(again.ids(name), who.ids(name))
    assert who.ids("cluster").tolist() == [-1, -1]


def test_some_of_them_by_slice_index_and_mask():
    who = members([3, 4, 5], region=[0, 1, 2])
    for rows, expected in ((slice(1, 3), [1, 2]), (torch.tensor([2, 0]), [2, 0]), (who.patient == 4, [1])):
        part = who[rows]
        assert len(part) == len(expected)
        assert part.ids("region").tolist() == expected
        assert part.sample.tolist() == expected


def test_parts_with_different_ids_stand_together():
    who = together(members([1], study=[2]), members([3], cluster=[4]))
    assert who.ids("study").tolist() == [2, -1]
    assert who.ids("cluster").tolist() == [-1, 4]
    assert who.box is None


def test_ids_of_a_batch_and_its_boxes():
    where = boxes((0, 0, 0), (2, 0, 0))
    made = batch(2, view=views([0, 1], where, patient=[3, 4], study=[5, 6], time=[1, 2]))
    who = members_of(made, "view", lambda value: value, places=True)
    assert who.ids("study").tolist() == [5, 6]
    assert who.ids("time").tolist() == [1, 2]
    assert who.ids("record").tolist() == [-1, -1]
    assert torch.equal(who.box, where)
    assert members_of(made, "view", lambda value: value).box is None


@pytest.mark.parametrize("owners", [([0, 0, 1], [0, 1, 1]), ([], [0, 1]), ([0, 1], [])])
def test_two_processes_number_samples_alike_in_every_role(owners):
    one, two = owners
    first = batch(2, a=views(one, patient=[5] * len(one)), b=views([0, 1], patient=[5, 6]))
    second = batch(2, a=views(two, patient=[7] * len(two)), b=views([0, 1], patient=[7, 8]))
    found = {}
    for role in ("a", "b"):
        calls = []
        for part in (first, second):
            members_of(part, role, lambda value, calls=calls: calls.append(value) or value)
        found[role] = members_of(first, role, lambda value, calls=calls: torch.cat(calls))
    assert found["a"].sample.tolist() == one + [2 + n for n in two]
    assert found["b"].sample.tolist() == [0, 1, 2, 3]
    assert found["b"].patient.tolist() == [5, 6, 7, 8]


def test_ids_can_be_told_later():
    who = members([1, 2]).told(cluster=torch.tensor([8, 9]))
    assert who.ids("cluster").tolist() == [8, 9]
    with pytest.raises(ValueError, match="expected 2 ids of a name of"):
        who.told(cluster=torch.tensor([1]))
    with pytest.raises(ValueError, match="expected 2 ids of a name of"):
        who.told(colour=torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="an id is one of sample, patient"):
        who.ids("colour")
