"""Nearest rows, exactly and whatever the blocks."""

import pytest
import torch

from medssl.pairing.neighbours import nearest
from tests.pairing.vectors import members, units


@pytest.mark.parametrize("block", [1, 3, 7, 64])
@pytest.mark.parametrize("k", [1, 4])
def test_is_the_sorted_list(block, k):
    queries, memory = units(5), units(20, seed=1) * 7
    found = nearest(queries, memory, k, block=block)
    cosines = queries @ torch.nn.functional.normalize(memory, dim=1).T
    for row, scores in enumerate(cosines):
        expected = sorted(range(20), key=lambda n, scores=scores: -float(scores[n]))[:k]
        assert found.index[row].tolist() == expected
        torch.testing.assert_close(found.similarity[row], scores[expected])


def test_neighbours_are_of_other_patients():
    memory = units(12, seed=2)
    patients = [0, 1, 2] * 4
    rows, columns = members([0, 1, -1]), members(patients, record=list(range(12)))
    found = nearest(memory[:3], memory, 3, rows=rows, columns=columns, block=5)
    for row in range(2):
        assert row not in {patients[n] for n in found.index[row].tolist()}
    assert found.index[2].tolist() == [-1, -1, -1]  # of an unknown patient nothing can be told
    scan = nearest(memory[:1], memory, 3, rows=members([0], record=[0]), columns=columns, other="record")
    assert 0 not in scan.index[0].tolist()


def test_a_query_without_neighbours_stands_for_itself():
    queries, memory = units(2), units(3, seed=1)
    rows, columns = members([0, 1]), members([0, 0, 0])
    found = nearest(queries, memory, 2, rows=rows, columns=columns)
    taken = found.rows(memory, queries)
    assert torch.equal(taken[0], queries[:1].expand(2, -1))
    assert torch.equal(taken[1], memory[found.index[1]])
    assert found.similarity[0].tolist() == [-torch.inf, -torch.inf]
    empty = nearest(queries, memory[:0], 2)
    assert torch.equal(empty.rows(memory[:0], queries)[:, 0], queries)


def test_fewer_rows_than_neighbours_leave_gaps():
    found = nearest(units(2), units(3, seed=1), 5)
    assert (found.index[:, 3:] == -1).all()
    assert sorted(found.index[0, :3].tolist()) == [0, 1, 2]


def test_has_no_gradient_and_refuses_nonsense():
    found = nearest(units(2).requires_grad_(), units(3).half())
    assert not found.similarity.requires_grad
    with pytest.raises(ValueError, match="k and block must be at least 1"):
        nearest(units(2), units(3), 0)
    with pytest.raises(ValueError, match="rows go with columns"):
        nearest(units(2), units(3), 1, rows=members([1, 2]))
