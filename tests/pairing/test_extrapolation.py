"""FT: the identities of pulled positives and mixed negatives."""

import pytest
import torch

from medssl.pairing.extrapolation import extrapolated_positives, interpolated_negatives
from medssl.pairing.relation import same_sample
from tests.pairing.vectors import chance, members, units

Q, K, MEMORY = units(6, 10), units(6, 10, seed=1), units(50, 10, seed=2)


def stretch_of(one, q, k):
    """λ from what it made of a pair: q̂ − k = λ(q − k)."""
    return (one - k) / (q - k)


@pytest.mark.parametrize("grain", ["batch", "row", "dimension"])
def test_positives_follow_their_identities(grain):
    one, two = extrapolated_positives(Q, K, chance(), grain=grain)
    torch.testing.assert_close(one + two, Q + K)
    stretch = stretch_of(one, Q, K)
    s = (Q * K).sum(1)
    expected = s + (stretch * (1 - stretch) * (Q - K) ** 2).sum(1)
    torch.testing.assert_close((one * two).sum(1), expected, atol=1e-4, rtol=1e-4)
    assert ((one * two).sum(1) <= s + 1e-6).all()
    assert (stretch > 1 - 1e-3).all()
    assert (stretch < 2 + 1e-3).all()
    kinds = {"batch": 1, "row": 6, "dimension": 60}
    assert len(set(stretch.mul(100).round().flatten().tolist())) <= kinds[grain] + (grain != "dimension")
    if grain == "batch":
        factor = float(stretch.median())
        torch.testing.assert_close((one * two).sum(1), s + 2 * factor * (1 - factor) * (1 - s))


def test_on_average_the_similarity_drops_by_eight_tenths_of_the_distance():
    q, k = Q[:1].expand(20_000, -1), K[:1].expand(20_000, -1)
    one, two = extrapolated_positives(q, k, chance(), grain="row")
    s = float((Q[0] * K[0]).sum())
    assert float((one * two).sum(1).mean()) == pytest.approx(s - 1.6 * (1 - s), abs=0.02)


def test_negatives_are_mixed_by_one_permutation():
    found = interpolated_negatives(MEMORY, chance())
    assert sorted(found.partner.tolist()) == list(range(50))
    other = MEMORY[found.partner]
    moved = found.partner != torch.arange(50)
    share = float(((found.vectors - other)[moved] / (MEMORY - other)[moved]).median())
    assert 0 < share < 1
    torch.testing.assert_close(found.vectors, share * MEMORY + (1 - share) * other)


def test_independent_negatives_shrink_to_their_published_share():
    memory = units(30_000, 64, seed=3)
    found = interpolated_negatives(memory, chance(), grain="row")
    assert float(found.vectors.square().sum(1).mean()) == pytest.approx(0.619, abs=0.01)
    whole = interpolated_negatives(MEMORY, chance(), grain="dimension", normalize=True)
    torch.testing.assert_close(whole.vectors.norm(dim=1), torch.ones(50))


def test_a_mixture_is_forbidden_where_either_source_is():
    rows, columns = members([0, 1]), members([n % 5 for n in range(50)])
    negative = same_sample(rows, columns).negative
    found = interpolated_negatives(MEMORY, chance())
    mixed = found.negative(negative)
    for row in range(2):
        for j in range(50):
            sources = {int(columns.patient[j]), int(columns.patient[found.partner[j]])}
            assert bool(mixed[row, j]) == (row not in sources)
    weights = found.negative(negative * 0.5)
    assert torch.equal(weights > 0, mixed)


def test_the_gradient_reaches_the_query_twice_and_the_key_never():
    q, k = Q.clone().requires_grad_(), K.clone().requires_grad_()
    one, two = extrapolated_positives(q, k, chance(), normalize=True)
    assert torch.autograd.grad(one.sum(), q, retain_graph=True)[0].abs().sum() > 0
    assert torch.autograd.grad(two.sum(), q, retain_graph=True)[0].abs().sum() > 0
    (one * two).sum().backward()
    assert k.grad is None
    torch.testing.assert_close(one.detach().norm(dim=1), torch.ones(6))
    assert not interpolated_negatives(k, chance()).vectors.requires_grad


def test_an_unknown_grain_is_refused():
    with pytest.raises(ValueError, match="grain must be batch, row or dimension"):
        extrapolated_positives(Q, K, chance(), grain="pixel")  # type: ignore[arg-type]
