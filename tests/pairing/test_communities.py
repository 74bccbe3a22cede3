"""gCooL's communities and SCGC's clusters: identities and loops."""

import math

import pytest
import torch

from medssl.objectives.contrastive import contrast
from medssl.pairing.communities import (
    Communities,
    apart,
    community_means,
    community_relation,
    dense_aggregation,
    means_of_others,
    shares,
    sharpened,
    student_t,
)
from medssl.pairing.graph import knn_graph
from medssl.pairing.relation import same_sample
from tests.pairing.vectors import members, units


def test_the_gradient_moves_the_centres_alone():
    torch.manual_seed(0)
    communities, vectors = Communities(8, 3), units(6).requires_grad_()
    belongs = communities(vectors)
    torch.testing.assert_close(belongs.sum(1), torch.ones(6))
    dense_aggregation(belongs, knn_graph(vectors.detach(), 2)).backward()
    assert vectors.grad is None
    assert communities.centres.grad.abs().sum() > 0


def test_dense_aggregation_is_its_formula():
    torch.manual_seed(1)
    r, a, n, weight = Communities(8, 3)(units(7)), knn_graph(units(7), 2), 7, 0.4
    inner = r.T @ a @ r
    one = torch.ones(3, 1)
    first = weight * (one.T @ inner @ one).item() - (n - 1 + weight) * inner.trace().item()
    expected = first / (n * (n - 1)) + (r.T @ r).trace().item() / (2 * n)
    assert float(dense_aggregation(r, a, weight).detach()) == pytest.approx(expected, rel=1e-5)


def test_hard_and_even_communities():
    hard, even = torch.eye(4)[[0, 1, 2, 3, 0, 1]], torch.full((6, 4), 0.25)
    nothing = torch.zeros(6, 6)
    assert float(dense_aggregation(hard, nothing)) == pytest.approx(6 / 12)
    assert float(dense_aggregation(even, nothing)) == pytest.approx(6 / 4 / 12)


def test_one_community_for_all_is_the_best_as_released_and_not_when_balanced():
    two = torch.block_diag(torch.ones(4, 4), torch.ones(4, 4)) - torch.eye(8)
    one, right = torch.eye(2)[[0] * 8], torch.eye(2)[[0] * 4 + [1] * 4]
    assert dense_aggregation(one, two) == dense_aggregation(right, two)
    assert float(dense_aggregation(one, two, balanced=True)) == pytest.approx(0.0, abs=1e-6)
    assert float(dense_aggregation(right, two, balanced=True)) == pytest.approx(-24 / 16, rel=1e-5)
    joined = torch.ones(8, 8) - torch.eye(8)
    assert dense_aggregation(one, joined) < dense_aggregation(right, joined)


def test_learning_finds_communities_that_lie_apart():
    torch.manual_seed(0)
    vectors = torch.cat([torch.eye(8)[:1].repeat(5, 1), torch.eye(8)[1:2].repeat(5, 1)]) + 0.1 * units(10)
    communities = Communities(8, 2, 0.1)
    optimizer = torch.optim.Adam(communities.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        loss = dense_aggregation(communities(vectors), knn_graph(vectors, 3))
        loss.backward()
        optimizer.step()
    found = communities(vectors).argmax(1)
    assert len(set(found[:5].tolist())) == len(set(found[5:].tolist())) == 1
    assert found[0] != found[5]


def test_vectors_of_one_community_hardly_repel():
    who = members([0, 1, 2, 3], sample=[0, 0, 1, 2])
    belongs = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    found = same_sample(who).weigh(negative=apart(belongs))
    assert found.negative[0].tolist() == [0.0, 0.0, 0.5, 1.0]
    assert apart(belongs, belongs[:1]).tolist() == [[0.0], [0.0], [0.5], [1.0]]
    plain = same_sample(who).weigh(negative=torch.ones(4, 4))
    assert torch.equal(plain.negative > 0, same_sample(who).negative)


def test_means_of_communities_and_empty_ones():
    vectors, belongs = units(5), torch.eye(3)[[0, 0, 2, 2, 2]]
    means, present = community_means(vectors * 4, belongs)
    assert present.tolist() == [True, False, True]
    torch.testing.assert_close(means[0], torch.nn.functional.normalize(vectors[:2].mean(0), dim=0))
    assert (means[1] == 0).all()


def test_means_of_others_leave_out_who_is_not_allowed():
    vectors, belongs = units(5), torch.eye(3)[[0, 0, 2, 2, 2]]
    everyone, present = means_of_others(vectors * 4, belongs, torch.ones(2, 5, dtype=torch.bool))
    for row in everyone:
        torch.testing.assert_close(row, community_means(vectors, belongs)[0])
    assert present.tolist() == [[True, False, True]] * 2
    some, present = means_of_others(vectors, belongs, torch.tensor([[False, False, True, True, False]]))
    assert present.tolist() == [[False, False, True]]
    torch.testing.assert_close(some[0, 2], torch.nn.functional.normalize(vectors[2:4].mean(0), dim=0))
    assert (some[0, :2] == 0).all()


def test_the_community_contrast_is_the_loop_and_zero_for_one():
    vectors, belongs, gamma = units(5), torch.eye(3)[[0, 1, 2, 2, 1]], 0.7
    means, present = community_means(vectors, belongs)
    relation = community_relation(belongs, means, present, gamma)
    similarity = vectors @ means.T / 0.4
    loss, _ = contrast(similarity, relation.positive, relation.negative)
    rows = []
    for i, own in enumerate(belongs.argmax(1).tolist()):
        bottom = math.exp(similarity[i, own])
        top = bottom
        for c in range(3):
            if c != own:
                bottom += math.exp(-gamma * float((means[own] - means[c]).square().sum()) + float(similarity[i, c]))
        rows.append(-math.log(top / bottom))
    assert float(loss) == pytest.approx(sum(rows) / 5, rel=1e-5)
    one = community_relation(torch.ones(5, 1), means[:1], present[:1])
    assert one.positive.all()
    assert not one.negative.any()


def test_empty_communities_are_nobodys_negatives():
    means, present = community_means(units(4), torch.eye(3)[[0, 0, 2, 2]])
    relation = community_relation(torch.eye(3)[[0, 0, 2, 2]], means, present)
    assert not relation.negative[:, 1].any()


def test_the_schedule_ends_after_a_fifth():
    assert shares(0) == (1.0, 1.0)
    assert shares(50, 500) == pytest.approx((0.5, math.exp(-0.1)))
    assert shares(300, 500)[0] == 0.0
    assert shares(300, 500, until=0.8) == pytest.approx((0.25, math.exp(-0.6)))
    assert shares(300, 500, until=None)[0] == 1.0


def test_self_training_targets_are_sharper():
    q = student_t(units(6), units(3, seed=2))
    torch.testing.assert_close(q.sum(1), torch.ones(6))
    p = sharpened(q)
    torch.testing.assert_close(p.sum(1), torch.ones(6))
    for i in range(6):
        weight = [float(q[i, k] ** 2 / q[:, k].sum()) for k in range(3)]
        assert p[i].tolist() == pytest.approx([w / sum(weight) for w in weight], rel=1e-5)
    assert not sharpened(q.requires_grad_()).requires_grad


def test_two_vectors_at_least():
    with pytest.raises(ValueError, match="two or more vectors, got 1"):
        dense_aggregation(torch.ones(1, 2), torch.zeros(1, 1))


def test_a_row_whose_community_is_empty_in_the_other_view_has_no_positive():
    means, present = community_means(units(4), torch.eye(3)[[0, 0, 2, 2]])
    relation = community_relation(torch.eye(3)[[1, 0, 2, 2]], means, present)
    assert not relation.positive[0].any()
    assert relation.positive[1:].sum() == 3
