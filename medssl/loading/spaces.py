"""One piece of memory for all views of a batch, parted before any of them is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medssl.loading.collate import Space
from medssl.loading.slabs import Slabs
from medssl.store.store import Store
from medssl.views.make import Drawn, channels_of

ALIGNED = 64
"""Bytes that each tensor's first byte is a multiple of."""

Part = tuple[tuple[int, ...], torch.dtype]


def part_memory(store: Store, samples: Sequence[Mapping[str, Sequence[Drawn]]], slabs: Slabs) -> dict[str, Space]:
    """Memory for the views of a batch, by role.

    Args:
        store: the scans.
        samples: the drawn views of each sample.
        slabs: give the memory.

    Returns:
        Roles whose views have one shape; none where there is no memory to be had.
    """
    wanted: dict[str, list[Part]] = {}
    for name in dict.fromkeys(name for sample in samples for name in sample):
        views = [view for sample in samples for view in sample.get(name, ())]
        kinds = {(view.grid.shape, channels_of(store, view.params["position"])) for view in views}
        if len(kinds) == 1:
            ((shape, (channels, valid)),) = kinds
            wanted[name] = [((len(views), channels, *shape), torch.float32), ((len(views), valid, *shape), torch.bool)]
            if views[0].params["label"]:
                wanted[name].append(((len(views), 1, *shape), torch.int64))
    sizes = [[_aligned(part) for part in parts] for parts in wanted.values()]
    slab = slabs.take(sum(map(sum, sizes))) if wanted else None
    return {} if slab is None else _parted(slab, wanted)


def _parted(slab: Tensor, wanted: Mapping[str, Sequence[Part]]) -> dict[str, Space]:
    at, out = 0, {}
    for name, parts in wanted.items():
        found = []
        for shape, dtype in parts:
            size = math.prod(shape) * dtype.itemsize
            found.append(slab[at : at + size].view(dtype).reshape(shape))
            at += _aligned((shape, dtype))
        out[name] = Space(found[0], found[1], found[2] if len(found) > 2 else None)
    return out


def _aligned(part: Part) -> int:
    shape, dtype = part
    return -(-math.prod(shape) * dtype.itemsize // ALIGNED) * ALIGNED
