"""What is not the body: table and blankets removed, or something put in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About
from medssl.views.augment.fields import random_field
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength
from medssl.views.augment.smoothing import smoothed


@dataclass(frozen=True)
class Outside(Intensity):
    """Replaces everything outside the body by a level, with soft noise up to ``s`` high.

    The body is the largest connected piece above ``level``, opened by a voxel so that a table does not hang on it,
    its holes filled slice by slice. A view without a body stays as it is.

    Args:
        p: chance that a view is changed.
        strength: range of ``s``, as a share of the network's range; 0 leaves the view as it is.
        level: value above which a voxel may be body.
    """

    p: float = 0.2
    strength: Range = (0.02, 0.2)
    level: float = 0.1

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength, 1.0)
        if not 0 <= self.level < 1:
            raise RecipeError(f"level must be in [0, 1), got {self.level}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``height``, ``seed``, ``level`` and the axis ``through`` the slices."""
        height = draw_strength(self.p, self.strength, rng)
        seed = int(rng.integers(2**62))
        if height is None:
            return {}
        return {"height": height, "seed": seed, "level": self.level, "through": about.through}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Replace."""
        if not params or params["height"] == 0:
            return image.clone() if params else image
        body = body_mask(image[0].detach().cpu().numpy(), params["level"], params["through"])
        if not body.any():
            return image.clone()
        noise = random_field((1, *image.shape[1:]), params["seed"], "uniform", image.device)
        air = smoothed(noise, (2.0, 2.0, 2.0)).mul_(params["height"])
        return torch.where(torch.from_numpy(body).to(image.device), image, air).contiguous()


def body_mask(
    image: np.ndarray[tuple[int, ...], np.dtype[np.float32]], level: float, through: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """The body in ``(i, j, k)``; see ``Outside``."""
    above = image > level
    cores, count = ndimage.label(ndimage.binary_erosion(above, border_value=1))
    if not count:
        return np.zeros(image.shape, np.bool_)
    sizes = np.bincount(cores.ravel())
    sizes[0] = 0
    body: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (
        ndimage.binary_dilation(cores == sizes.argmax(), np.ones((3, 3, 3))) & above
    )
    slices = np.moveaxis(body, through, 0)
    for one in slices:
        one[...] = ndimage.binary_fill_holes(one)
    return body
