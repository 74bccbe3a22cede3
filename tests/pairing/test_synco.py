"""SynCo: each of the six kinds is its formula."""

import pytest
import torch

from medssl.pairing.hard_mixing import hardest
from medssl.pairing.synco import Counts, Steps, synthetic_negatives
from tests.pairing.vectors import chance, units

QUERY, MEMORY = units(3, 12), units(30, 12, seed=1)
AMONG = hardest(QUERY, MEMORY, torch.ones(3, 30), 8)


def only(kind, count=40, **steps):
    counts = Counts(**{name: count if name == kind else 0 for name in Counts._fields})
    return synthetic_negatives(QUERY, MEMORY, AMONG, chance(), counts, Steps(**steps))


def normal(vectors):
    return vectors / vectors.norm(dim=-1, keepdim=True)


def test_extrapolation_has_the_similarity_of_the_formula():
    made = only("extrapolated")
    b, s = made.share, (QUERY[:, None] * MEMORY[made.sources[..., 0]]).sum(-1)
    expected = ((1 - b) + b * s) / ((1 - b) ** 2 + b**2 + 2 * b * (1 - b) * s).sqrt()
    torch.testing.assert_close(made.similarity(QUERY), expected)
    assert ((b >= 1) & (b < 1.5)).all()
    at_one = only("extrapolated", extrapolate=1.0)
    torch.testing.assert_close(at_one.vectors, MEMORY[at_one.sources[..., 0]])


def test_steps_along_the_gradient_and_its_signs():
    made = only("along", gradient=0.3)
    torch.testing.assert_close(made.vectors, normal(MEMORY[made.sources[..., 0]] + 0.3 * QUERY[:, None]))
    made = only("signed", sign=0.3)
    torch.testing.assert_close(made.vectors, normal(MEMORY[made.sources[..., 0]] + 0.3 * QUERY[:, None].sign()))


def test_the_gradient_of_the_similarity_is_the_query():
    negative = MEMORY[0].clone().requires_grad_()
    (QUERY[0] @ negative).backward()
    torch.testing.assert_close(negative.grad, QUERY[0])


def test_noise_has_its_width():
    made = only("noisy", count=2000, noise=1e-3)
    moved = made.vectors - MEMORY[made.sources[..., 0]]
    # normalizing takes away what points along the vector itself: 11 of 12 dimensions are left
    assert float(moved.square().sum(-1).mean()) == pytest.approx(11e-6, rel=0.03)


def test_kinds_stand_in_order_and_count_as_asked():
    counts = Counts(5, 4, 3, 2, 1, 6)
    made = synthetic_negatives(QUERY, MEMORY, AMONG, chance(), counts)
    assert made.vectors.shape == (3, 21, 12)
    assert made.weight.all()
    torch.testing.assert_close(made.vectors.norm(dim=-1), torch.ones(3, 21))
    assert (made.share[:, :5] < 0.5).all()
    assert (made.share[:, 5:9] >= 1).all()
    assert (made.sources[:, 9:12] >= 0).all()  # two sources: mixtures of negatives
    assert (made.sources[:, 12:, 1] == -1).all()
    assert (made.share[:, 12:] == 0.01).all()


def test_a_query_without_negatives_gets_none():
    allowed = torch.ones(3, 30)
    allowed[1] = 0
    made = synthetic_negatives(QUERY, MEMORY, hardest(QUERY, MEMORY, allowed, 8), chance(), Counts(2, 2, 2, 2, 2, 2))
    assert made.weight.all(dim=1).tolist() == [True, False, True]
    assert not made.weight[1].any()
    assert torch.isfinite(made.vectors).all()


def test_nothing_has_a_gradient():
    query, memory = QUERY.clone().requires_grad_(), MEMORY.clone().requires_grad_()
    made = synthetic_negatives(query, memory, AMONG, chance(), Counts(2, 2, 2, 2, 2, 2))
    assert not made.vectors.requires_grad
