"""Memory of batches: used again, never while anybody holds it."""

from __future__ import annotations

import gc
import multiprocessing
import os
from pathlib import Path

import pytest
import torch

from medssl.loading.loader import BatchLoader, make_loader
from medssl.loading.slabs import KEPT, SLOTS, OwnSlabs
from medssl.store.store import Store
from medssl.views.augment.choose import augmentations
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.view import Batch, Role, Spatial
from tests.store.making import blobs, make_store, texture

SHAPE = (12, 11, 10)
ROLES = {
    "large": Role(RandomCrop((8, 8, 8)), 2, Spatial(flip=(0.5, 0.5, 0.5)), augmentations(["noise"]), label=True),
    "padded": Role(RandomCrop((16, 4, 4)), spatial=Spatial(rotate_deg=20.0)),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path, [texture(SHAPE, n) for n in range(4)], labels=[blobs(SHAPE)] * 4)


def _loader(store: Store, stop: int = 12, workers: int = 0) -> BatchLoader:
    return make_loader(store, ROLES, None, batch=2, seed=0, start=0, stop=stop, workers=workers)


def _copy(batch: Batch) -> list[torch.Tensor]:
    out = []
    for views in batch.roles.values():
        parts = [views.image, views.valid, views.affine, views.box, views.owner, *views.ids.values()]
        out += [part.clone() for part in (*parts, *([] if views.label is None else [views.label]))]
    return out


def _equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_that_are_held_stay_as_they_are(store: Store, workers: int) -> None:
    """More are held than there are slabs, and more come after."""
    expected = [_copy(batch) for batch in _loader(store, 4 * SLOTS)]
    held = []
    for batch, copy in zip(_loader(store, 4 * SLOTS, workers), expected, strict=True):
        assert _equal(_copy(batch), copy)
        held.append(batch)
    assert all(_equal(_copy(batch), copy) for batch, copy in zip(held, expected, strict=True))
    # a single part of a batch holds its memory too
    parts = [batch["padded"].image[1] for batch in held]
    copies = [part.clone() for part in parts]
    del held, batch
    assert all(
        _equal(_copy(batch), copy) for batch, copy in zip(_loader(store, 4 * SLOTS, workers), expected, strict=True)
    )
    assert _equal(parts, copies)


def test_memory_of_this_process_is_used_again() -> None:
    slabs = OwnSlabs()
    first = slabs.take(64)
    place = first.data_ptr()
    part = first[8:16].view(torch.float32).reshape(1, 2)
    del first
    other = slabs.take(64)
    assert other.data_ptr() != place
    del part
    assert slabs.take(64).data_ptr() == place
    many = [slabs.take(64) for _ in range(2 * KEPT)]
    del many
    assert len(slabs._free) == KEPT


def test_slabs_of_workers_are_used_again(store: Store) -> None:
    loader = _loader(store, 6 * SLOTS, 1)
    places = {batch["large"].image.data_ptr() for batch in loader}
    assert len(places) <= SLOTS


def test_two_iterations_at_a_time_do_not_meet(store: Store) -> None:
    expected = [_copy(batch) for batch in _loader(store, 6)]
    loader = _loader(store, 6, 1)
    one, other = iter(loader), iter(loader)
    for copy in expected:
        first, second = next(one), next(other)
        assert _equal(_copy(first), copy)
        assert _equal(_copy(second), copy)


def test_nothing_stays_open(store: Store) -> None:
    def count() -> int:
        gc.collect()
        open_files = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        return sum(os.path.islink(path) and "medssl" in os.readlink(path) for path in open_files)

    before = count()
    for _ in range(3):
        batches = iter(_loader(store, 12, 1))
        next(batches)
        del batches
    assert count() == before


def test_workers_that_are_started_afresh_share_it_too(store: Store) -> None:
    expected = [_copy(batch) for batch in _loader(store, 3)]
    loader = _loader(store, 3, 1)
    loader.multiprocessing_context = multiprocessing.get_context("spawn")
    assert all(_equal(_copy(batch), copy) for batch, copy in zip(loader, expected, strict=True))


def test_where_there_is_no_such_memory_batches_are_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [_copy(batch) for batch in _loader(store, 3)]
    monkeypatch.delattr(os, "memfd_create")
    assert all(_equal(_copy(batch), copy) for batch, copy in zip(_loader(store, 3, 1), expected, strict=True))
