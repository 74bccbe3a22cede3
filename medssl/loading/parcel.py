"""A batch on its way from a worker: its images lie in shared memory, the rest is a few kilobytes of plain bytes.

Sent as tensors, each of the fifteen small parts of a batch would be a shared file of its own.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medssl.loading.slabs import SharedSlabs
from medssl.views.view import Batch


@dataclass(frozen=True)
class Parcel:
    """What travels through the pipe; written and read by the processes of one run.

    Args:
        slot: of the shared memory.
        content: the batch without what lies there.
    """

    slot: int
    content: bytes


def packed(batch: Batch, slabs: SharedSlabs) -> Batch | Parcel:
    """A batch for the pipe; itself where it lies in no shared memory, and torch then sends its tensors."""
    slot = slabs.slot
    if slot is None:
        return batch
    out = io.BytesIO()
    _Packer(out, slabs).dump(batch)
    slabs.sent()
    return Parcel(slot, out.getvalue())


def unpacked(parcel: Parcel, slabs: SharedSlabs) -> Batch:
    """The batch, in the memory that the worker wrote."""
    batch: Batch = _Unpacker(io.BytesIO(parcel.content), slabs.open(parcel.slot)).load()
    return batch


class _Packer(pickle.Pickler):
    def __init__(self, out: io.BytesIO, slabs: SharedSlabs) -> None:
        super().__init__(out, protocol=pickle.HIGHEST_PROTOCOL)
        self._slabs = slabs

    def persistent_id(self, item: Any) -> Any:
        if not isinstance(item, Tensor):
            return None
        place = self._slabs.place_of(item)
        return item.numpy() if place is None else (place, tuple(item.shape), item.dtype)


class _Unpacker(pickle.Unpickler):
    def __init__(self, content: io.BytesIO, slab: Tensor) -> None:
        super().__init__(content)
        self._slab = slab

    def persistent_load(self, item: Any) -> Tensor:
        if not isinstance(item, tuple):
            return torch.from_numpy(item)
        first, shape, dtype = item
        size = torch.Size(shape).numel() * dtype.itemsize
        return self._slab[first : first + size].view(dtype).reshape(shape)
