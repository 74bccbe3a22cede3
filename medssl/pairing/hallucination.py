"""HaLP: positives made up on the sphere (Shah et al., CVPR 2023, arXiv 2304.00387).

A key z with its nearest prototype p₀ moves along the great circle towards another prototype p₁,
g(t) = [sin((1 − t)Ω) z + sin(tΩ) p₁] / sin Ω with Ω = arccos(z·p₁), at most until p₁ is as near as p₀:
t_max = atan( sin Ω / (K + cos Ω) ) / Ω, K = (1 − p₀·p₁) / (z·(p₀ − p₁)). Only p₁ is held off so; a point whose nearest
prototype is some third one is marked and should not count.

The paper's loss adds μ · mean(−q·g/τ) over the good ones: it is linear and has no negatives, so keep μ small.
Prototypes are spherical k-means of the queue's last 256 rows, 20 of them, made anew every 5 to 10 steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medssl.objectives.cosine import unit
from medssl.pairing.chance import uniform

EPS = 1e-6
"""An angle whose sine, or prototypes whose difference is smaller, gives no direction; nothing is made up there."""


@dataclass(frozen=True)
class Hallucinated:
    """Positives that were made up for each key.

    Args:
        vectors: ``(n, count, d)`` float32, of length one, detached.
        good: ``(n, count)`` bool: the nearest prototype is still the key's own.
        towards: ``(n, count)`` int64, p₁ of each.
        own: ``(n,)`` int64, p₀ of each key.
    """

    vectors: Tensor
    good: Tensor
    towards: Tensor
    own: Tensor


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """The point at share t of the great circle from one unit vector to another; the start where they (nearly) agree.

    Args:
        start: ``(…, d)``.
        end: ``(…, d)``.
        t: ``(…)``.

    Example:
        >>> slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor(0.5))
        tensor([0.7071, 0.7071])
    """
    angle, sine = _angle(start, end)
    safe = torch.where(sine > EPS, sine, 1.0)
    point = (((1 - t) * angle).sin() / safe)[..., None] * start + ((t * angle).sin() / safe)[..., None] * end
    return torch.where((sine > EPS)[..., None], point, start)


def largest_share(key: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """t_max: how far a key may go towards another prototype; 0 where there is no way.

    Args:
        key: ``(…, d)`` unit vectors, not nearer to ``other`` than to ``own``.
        own: ``(…, d)``.
        other: ``(…, d)``.
    """
    angle, sine = _angle(key, other)
    apart = 1 - (own * other).sum(-1)
    lead = (key * (own - other)).sum(-1)
    # sin Ω / (K + cos Ω), both times the lead, which is 0 where the key stands between the two
    share = torch.atan2(sine * lead, apart + (key * other).sum(-1) * lead) / angle.clamp(min=EPS)
    return torch.where((sine > EPS) & (apart > EPS) & (lead > 0), share, 0.0)


@torch.no_grad()
def hallucinated_positives(
    keys: Tensor,
    prototypes: Tensor,
    generator: torch.Generator,
    *,
    count: int = 100,
    among: int = 20,
    ease: float = 0.8,
) -> Hallucinated:
    """``count`` positives for each key.

    Args:
        keys: ``(n, d)``.
        prototypes: ``(k, d)``, at least two.
        generator: draws p₁ and t.
        count: for each key.
        among: p₁ is one of that many prototypes that follow the nearest.
        ease: λ; t = (1 − u) t_max with u uniform in [0, λ). 0 goes all the way, 1 anywhere.

    Raises:
        ValueError: fewer than two prototypes, or ``ease`` is not in [0, 1].
    """
    if len(prototypes) < 2 or not 0 <= ease <= 1:
        raise ValueError(f"two prototypes and an ease in [0, 1] are needed, got {len(prototypes)} and {ease}")
    z, p = unit(keys), unit(prototypes)
    order = (z @ p.T).argsort(dim=1, descending=True, stable=True)
    others = min(among, len(p) - 1)
    place = 1 + (uniform((len(z), count), generator, z) * others).long()
    towards = order.gather(1, place)
    own, start = p[order[:, :1]], z[:, None].expand(-1, count, -1)
    reach = largest_share(start, own.expand_as(start), p[towards])
    t = (1 - ease * uniform(reach.shape, generator, z)) * reach
    vectors = unit(slerp(start, p[towards], t))
    good = ((vectors @ p.T).argmax(dim=-1) == order[:, :1]) & (reach > 0)
    return Hallucinated(vectors, good, towards, order[:, 0])


def _angle(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Ω and sin Ω; from chords, since arccos loses half its digits near 0 and π."""
    angle = 2 * torch.atan2((start - end).norm(dim=-1), (start + end).norm(dim=-1))
    return angle, angle.sin()
