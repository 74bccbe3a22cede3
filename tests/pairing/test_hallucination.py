"""HaLP: points of the great circle, up to where another prototype is as near."""

import math

import pytest
import torch

from medssl.pairing.hallucination import hallucinated_positives, largest_share, slerp
from tests.pairing.vectors import chance, units

KEYS, PROTOTYPES = units(7, 6), units(9, 6, seed=1)


def test_the_great_circle():
    z, p = KEYS[0], PROTOTYPES[0]
    angle = math.acos(float(z @ p))
    for t in (0.0, 0.25, 0.5, 1.0):
        g = slerp(z, p, torch.tensor(t))
        assert float(g.norm()) == pytest.approx(1, abs=1e-6)
        assert math.acos(min(1.0, float(g @ z))) == pytest.approx(t * angle, abs=1e-3)
    torch.testing.assert_close(slerp(z, p, torch.tensor(1.0)), p)


def test_at_the_largest_share_both_prototypes_are_as_near():
    order = (KEYS @ PROTOTYPES.T).argsort(dim=1, descending=True)
    own = PROTOTYPES[order[:, 0]]
    for n in range(1, 9):
        other = PROTOTYPES[order[:, n]]
        t = largest_share(KEYS, own, other)
        assert ((t > 0) & (t < 1)).all()
        g = slerp(KEYS, other, t)
        torch.testing.assert_close((g * own).sum(1), (g * other).sum(1), atol=1e-5, rtol=0)
        before = slerp(KEYS, other, 0.9 * t)
        assert ((before * own).sum(1) > (before * other).sum(1)).all()
        angle = (KEYS * other).sum(1).acos()
        k = (1 - (own * other).sum(1)) / (KEYS * (own - other)).sum(1)
        torch.testing.assert_close(t, (angle.sin() / (k + angle.cos())).atan() / angle, atol=1e-4, rtol=1e-4)


def test_positives_keep_their_nearest_prototype_or_are_marked():
    found = hallucinated_positives(KEYS, PROTOTYPES, chance(), count=60)
    assert found.vectors.shape == (7, 60, 6)
    torch.testing.assert_close(found.vectors.norm(dim=-1), torch.ones(7, 60))
    assert torch.equal(found.own, (KEYS @ PROTOTYPES.T).argmax(dim=1))
    near = (found.vectors @ PROTOTYPES.T).argmax(dim=-1)
    assert torch.equal(found.good, near == found.own[:, None])
    assert found.good.any()
    assert (found.towards != found.own[:, None]).all()


def test_all_other_prototypes_are_gone_to_evenly():
    found = hallucinated_positives(KEYS[:1], PROTOTYPES, chance(), count=8000)
    counts = torch.bincount(found.towards[0], minlength=9).float()
    assert counts[found.own[0]] == 0
    assert (counts[counts > 0] / 1000 - 1).abs().max() < 0.15
    few = hallucinated_positives(KEYS[:1], PROTOTYPES, chance(), count=500, among=2)
    nearest = (KEYS[0] @ PROTOTYPES.T).argsort(descending=True)[1:3]
    assert set(few.towards[0].tolist()) == set(nearest.tolist())


def test_two_prototypes_leave_everything_good():
    found = hallucinated_positives(KEYS, PROTOTYPES[:2], chance(), count=50)
    assert found.good.all()


def test_more_ease_stays_nearer():
    hard, easy = (
        (hallucinated_positives(KEYS, PROTOTYPES, chance(), ease=ease).vectors * KEYS[:, None]).sum(-1).mean()
        for ease in (0.1, 1.0)
    )
    assert hard < easy


def test_keys_on_a_prototype_and_doubled_prototypes_make_no_nan():
    doubled = torch.cat([PROTOTYPES[:2], PROTOTYPES[:2], -PROTOTYPES[:1]])
    found = hallucinated_positives(PROTOTYPES[:2], doubled, chance())
    assert torch.isfinite(found.vectors).all()
    stuck = found.towards == torch.tensor([2, 3])[:, None]
    assert stuck.any()
    assert not found.good[stuck].any()


def test_has_no_gradient_and_refuses_a_single_prototype():
    assert not hallucinated_positives(KEYS.clone().requires_grad_(), PROTOTYPES, chance()).vectors.requires_grad
    with pytest.raises(ValueError, match="two prototypes and an ease"):
        hallucinated_positives(KEYS, PROTOTYPES[:1], chance())
    with pytest.raises(ValueError, match="two prototypes and an ease"):
        hallucinated_positives(KEYS, PROTOTYPES, chance(), ease=1.5)
