"""Graphs of neighbours: edges, walks, and SCGC's loss as a case of the generic one."""

import math

import pytest
import torch

from medssl.objectives.contrastive import contrast
from medssl.pairing.graph import influence, knn_graph, neighbourhood
from medssl.pairing.pairs import differ
from tests.pairing.vectors import chance, members, units


def test_edges_are_the_loop():
    points = units(9, 4)
    cosine = points @ points.T
    near = [sorted((n for n in range(9) if n != i), key=lambda n, i=i: -float(cosine[i, n]))[:2] for i in range(9)]
    either, both = knn_graph(points, 2), knn_graph(points, 2, mutual=True)
    for i in range(9):
        for j in range(9):
            assert bool(either[i, j]) == (j in near[i] or i in near[j])
            assert bool(both[i, j]) == (j in near[i] and i in near[j])


def test_edges_join_other_patients_alone():
    who = members([0, 0, 1, 1, -1])
    graph = knn_graph(units(5), 3, differ("patient", who))
    assert graph[:2, 2:4].all()
    assert not graph[:2, :2].any()
    assert not graph[4].any()


def test_influence_counts_walks():
    graph = (torch.rand(6, 6, generator=chance()) > 0.5).float()
    expected = torch.stack([torch.matrix_power(graph, n) for n in (1, 2, 3)])
    torch.testing.assert_close(influence(graph, 3, cumulative=False, normalize=False), expected[2])
    torch.testing.assert_close(influence(graph, 3, normalize=False), expected.sum(0))


def test_rows_sum_to_one_except_those_without_neighbours():
    graph = knn_graph(units(8), 2)
    graph[3] = 0
    graph[:, 3] = 0
    assert graph[torch.arange(8) != 3].sum(dim=1).min() > 0
    for order in (1, 2, 4):
        sums = torch.ones(8).index_fill(0, torch.tensor([3]), 0.0)
        torch.testing.assert_close(influence(graph, order).sum(1), sums)
    with pytest.raises(ValueError, match="order must be at least 1"):
        influence(graph, 0)


def scgc(similarity, weights):
    """SCGC's loss as a loop."""
    rows = []
    for s, w in zip(similarity.tolist(), weights.tolist(), strict=True):
        top = sum(a * math.exp(x) for a, x in zip(w, s, strict=True))
        rows.append(-math.log(top / sum(map(math.exp, s))))
    return sum(rows) / len(rows)


@pytest.mark.parametrize("order", [1, 3])
def test_scgc_is_the_decoupled_objective_with_all_as_negatives(order):
    points = units(7)
    similarity = 2.25 * points @ points.T  # its temperature multiplies
    similarity.fill_diagonal_(0)
    weights = influence(knn_graph(points, 2), order)
    loss, _ = contrast(similarity, weights, torch.ones(7, 7), coupled=False)
    assert float(loss) == pytest.approx(scgc(similarity, weights), rel=1e-5)
    scaled, _ = contrast(similarity, 3 * weights, torch.ones(7, 7), coupled=False)
    assert float(scaled) == pytest.approx(float(loss) - math.log(3), rel=1e-5)


def test_binary_scgc_is_the_coupled_objective():
    points = units(7)
    similarity = points @ points.T
    similarity.fill_diagonal_(0)
    graph = knn_graph(points, 2)
    loss, _ = contrast(similarity, graph, 1 - graph)
    assert float(loss) == pytest.approx(scgc(similarity, graph), rel=1e-5)
    everyone, _ = contrast(similarity, torch.ones(7, 7), torch.ones(7, 7), coupled=False)
    assert float(everyone) == pytest.approx(0, abs=1e-6)


def test_a_neighbourhood_leaves_the_diagonal_and_own_patients_out():
    who = members([0, 0, 1, 2, 2])
    weights = influence(knn_graph(units(5), 1), 2)
    found = neighbourhood(weights, differ("patient", who))
    assert (found.positive.diagonal() == 0).all()
    assert not found.negative.diagonal().any()
    assert not found.negative[0, 1]
    assert not (found.negative & (weights > 0)).any()
