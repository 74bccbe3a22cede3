"""What a frozen probe looks at: crops centred on labelled voxels, and labelled voxels inside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medssl import draws
from medssl.errors import InputError, UsageError
from medssl.store.store import Store
from medssl.views.grid import Grid
from medssl.views.sample import sample

Crop = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class ProbeCrops:
    """Crops with the classes that a probe must tell apart.

    Args:
        images: ``(N, C, i, j, k)`` float32 in the network's range; 0 beyond the scan.
        classes: ``(N,)`` label value of the voxel in the middle, at index ``shape // 2``.
        patients: ``(N,)`` whose each crop is.
        places: ``(N, V, 3)`` indices of voxels in each crop.
        voxel_classes: ``(N, V)`` their label values.
    """

    images: Tensor
    classes: NDArray[np.int64]
    patients: NDArray[np.int64]
    places: NDArray[np.int64]
    voxel_classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)


def probe_crops(
    store: Store,
    crop: Crop,
    classes: Sequence[int],
    *,
    per_class: int = 4,
    voxels: int = 8,
    seed: int = 0,
) -> ProbeCrops:
    """Draw crops of every scan: ``per_class`` centres of each class that the scan holds, on the stored voxels.

    The draw is a function of the seed, the scan's place in the store and the class alone: two encoders are asked the
    same. Inside a crop, voxels are taken class by class in turn (with replacement where a class has few), so
    that a small organ is not lost among its surroundings.

    Args:
        store: scans with label maps, all of one split.
        crop: voxels along i, j and k.
        classes: label values that count; others (background, where 0 is not among them) are neither centres nor read.
        per_class: centres of each class in each scan.
        voxels: voxels that are read in each crop.
        seed: of the draw.

    Raises:
        InputError: a scan has no label map, or none of the scans holds a class (``label``); a patient is not known
            (``too-few``).
        UsageError: a count or a length below 1, or fewer than two classes.
    """
    wanted = sorted({int(value) for value in classes})
    if min(per_class, voxels, *crop) < 1 or len(wanted) < 2:
        got = f"{per_class} centres, {voxels} voxels, a crop of {tuple(crop)} and classes {wanted}"
        raise UsageError(f"a probe takes counts of 1 or more and at least two classes, got {got}")
    found: list[tuple[Tensor, int, int, NDArray[np.int64], NDArray[np.int64]]] = []
    for position in range(len(store)):
        patient = store.ids(position)["patient"]
        if patient < 0:
            raise InputError("a probe is split by patient, and this scan's is unknown", code="too-few")
        for number, value in enumerate(wanted):
            rng = draws.generator(seed, draws.SAMPLE, position, number)
            for centre in _centres(store, position, value, per_class, rng):
                image, label = _crop(store, position, centre, crop)
                places = _places(label, wanted, voxels, rng)
                found.append((image, value, patient, places, label[tuple(places.T)]))
    missing = sorted(set(wanted) - {value for _, value, *_ in found})
    if missing:
        raise InputError(f"no scan has a voxel of {missing}", code="label", hint="choose classes that there are")
    return ProbeCrops(
        images=torch.stack([one[0] for one in found]),
        classes=np.array([one[1] for one in found]),
        patients=np.array([one[2] for one in found]),
        places=np.stack([one[3] for one in found]),
        voxel_classes=np.stack([one[4] for one in found]),
    )


def _centres(store: Store, position: int, value: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``(n, 3)`` voxels of a class, without replacement; none where the scan has none."""
    shape = store.entry(position).voxels.shape[1:]
    there = np.flatnonzero(store.read_label(position, (0, 0, 0), shape)[0] == value)
    taken = rng.choice(there, min(count, len(there)), replace=False)
    return np.asarray(np.unravel_index(taken, shape), dtype=np.int64).T


def _crop(store: Store, position: int, centre: NDArray[np.int64], crop: Crop) -> tuple[Tensor, NDArray[np.int64]]:
    """Image ``(C, i, j, k)`` and label ``(i, j, k)``, -1 beyond the scan."""
    step = np.eye(4)
    step[:3, 3] = centre - np.asarray(crop) // 2
    grid = Grid.of(crop, store.entry(position).voxels.affine @ step)
    image, _, label = sample(store, position, grid, label=True)
    if label is None:
        raise InputError("a probe needs a label map", path=store.name(position), code="label")
    return image, label[0].numpy()


def _places(label: NDArray[np.int64], wanted: Sequence[int], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``(count, 3)`` voxels of a crop, of the wanted classes in it in turn."""
    groups = [group for value in wanted if len(group := np.argwhere(label == value))]
    return np.stack([groups[n % len(groups)][rng.integers(len(groups[n % len(groups)]))] for n in range(count)])
