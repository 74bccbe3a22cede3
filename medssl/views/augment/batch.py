"""Augmentations of a whole batch where it lies, from what was drawn for each view: the same numbers as view by view.

Views of one effect are changed together where the effect is arithmetic of each voxel by itself; other effects, and
effects that stand in another order in some views, are applied to one view after the other, on the batch's device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from medssl.views.view import Augmentation, Batch, Role, Views

Numbers = Sequence[Mapping[str, Any]]


def augment_batch(views: Views, augment: Sequence[Augmentation], device: torch.device | str | None = None) -> Views:
    """The views of a role, changed as was drawn for each.

    Args:
        views: as they were sampled, with the ``params`` of each.
        augment: the role's augmentations, in order.
        device: where the work is done and the views lie afterwards; where they are by default.

    Returns:
        The same views with changed images, equal to those of the loader to 1e-5; what is not ``valid`` is 0.

    Raises:
        ValueError: the views were drawn for other augmentations.
    """
    moved = views if device is None else views.to(device)
    if not augment or not len(moved):
        return moved
    drawn = [params["augment"] for params in moved.params]
    if len(drawn) != len(moved) or any(len(one) != len(augment) for one in drawn):
        raise ValueError(f"these views were not drawn for {len(augment)} augmentations")
    image = moved.image.clone()
    for place, part in enumerate(augment):
        rows = [row for row, one in enumerate(drawn) if one[place][1]]
        if rows:
            _change(image, rows, part, drawn[rows[0]][place][0], [drawn[row][place][1] for row in rows])
    return replace(moved, image=image.masked_fill_(~moved.valid, 0.0))


def augment_roles(batch: Batch, roles: Mapping[str, Role]) -> Batch:
    """A batch of a loader that left its images as they were sampled, changed as was drawn for them, where it lies.

    Args:
        batch: from ``make_loader(…, augmented=False)``.
        roles: the stage's.
    """
    changed = {name: augment_batch(views, roles[name].augment) for name, views in batch.roles.items()}
    return replace(batch, roles=changed)


def _change(image: Tensor, rows: list[int], part: Augmentation, name: str, numbers: Numbers) -> None:
    together = TOGETHER.get(name)
    if together is not None and len(rows) > 1:
        # an index of all rows would copy them
        chosen = image if len(rows) == len(image) else image[rows]
        changed = together(chosen, numbers)
        if len(rows) == len(image):
            image.copy_(changed)
        else:
            image[rows] = changed
        return
    for row, one in zip(rows, numbers, strict=True):
        image[row] = part.apply(image[row], one)


def _column(numbers: Numbers, key: str, image: Tensor) -> Tensor:
    values = torch.tensor([one[key] for one in numbers], dtype=torch.float32, device=image.device)
    return values.reshape(-1, *[1] * (image.ndim - 1))


def _gamma(image: Tensor, numbers: Numbers) -> Tensor:
    return image.clamp(0.0, 1.0).pow_(_column(numbers, "power", image))


def _brightness(image: Tensor, numbers: Numbers) -> Tensor:
    gain, offset = _column(numbers, "gain", image), _column(numbers, "offset", image)
    return image.mul(gain).add_(0.5 - 0.5 * gain + offset).clamp_(0.0, 1.0)


def _window_jitter(image: Tensor, numbers: Numbers) -> Tensor:
    low, high = _column(numbers, "low", image), _column(numbers, "high", image)
    return image.sub(low).div_(high - low).clamp_(0.0, 1.0)


TOGETHER: dict[str, Callable[[Tensor, Numbers], Tensor]] = {
    "gamma": _gamma,
    "brightness": _brightness,
    "window-jitter": _window_jitter,
}
"""Effects of ``AUGMENTATIONS`` that change all their views in a few operations."""
