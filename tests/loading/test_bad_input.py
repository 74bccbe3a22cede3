"""Scans and stores that are hard on a loader: each has a defined behaviour."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from medssl.errors import InputError, MedsslError, ResourceError
from medssl.loading.loader import make_loader
from medssl.manifest import Manifest
from medssl.store.files import seal
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import STORE_FILE, Store
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.make import make_views
from medssl.views.view import Batch, Role, Spatial
from tests.store.making import make_store, texture

TURNED = Spatial(rotate_deg=20.0, scale=(0.8, 1.2))


def _first(store: Store, shape: tuple[int, int, int] = (8, 8, 8), spatial: Spatial = TURNED) -> Batch:
    loader = make_loader(store, {"view": Role(RandomCrop(shape), 2, spatial)}, None, batch=1, seed=0, start=0, stop=1)
    return next(iter(loader))


@pytest.mark.parametrize("spatial", [Spatial(), TURNED])
def test_a_crop_larger_than_the_scan_holds_all_of_it_and_marks_the_rest(tmp_path: Path, spatial: Spatial) -> None:
    store = make_store(tmp_path, [texture((7, 6, 5)) + 100])
    view = _first(store, (16, 16, 16), spatial)["view"]
    assert 0 < int(view.valid[0].sum()) < 16**3
    assert float(view.image[~view.valid].abs().max()) == 0.0
    if spatial == Spatial():
        assert int(view.valid[0].sum()) == 7 * 6 * 5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_scan_of_one_slice_is_refused_and_one_of_two_is_read(tmp_path: Path, axis: int) -> None:
    shape = [12, 12, 12]
    shape[axis] = 1
    with pytest.raises(InputError, match=r"scan0.*2D image"):
        make_store(tmp_path / "one", [texture((shape[0], shape[1], shape[2]))])
    shape[axis] = 2
    store = make_store(tmp_path / "two", [texture((shape[0], shape[1], shape[2]))])
    view = _first(store, spatial=Spatial())["view"]
    flat = view.valid[0, 0].movedim(axis, 0).flatten(1)
    assert int(flat.any(dim=1).sum()) == 2
    assert torch.isfinite(_first(store)["view"].image).all()


@pytest.mark.parametrize("spacing", [(0.15, 0.15, 0.15), (0.7, 0.7, 6.5), (6.5, 6.5, 6.5)])
def test_very_small_and_very_long_voxels(tmp_path: Path, spacing: tuple[float, float, float]) -> None:
    store = make_store(tmp_path, [texture((20, 20, 12))], affine=np.diag([*spacing, 1.0]))
    view = _first(store)["view"]
    assert float(view.valid.float().mean()) > 0.3
    lengths = torch.linalg.vector_norm(view.affine[:, :3, :3], dim=1)
    # the views' voxels are as long as the scan's, turned and zoomed by a fifth at most
    assert float(lengths.min()) > 0.75 * min(spacing)
    assert float(lengths.max()) < 1.35 * max(spacing)


def test_scans_of_very_different_brightness_use_the_same_range(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    volumes = [(rng.gamma(2.0, 0.1, (16, 16, 16)) * top).astype(np.float32) for top in (1.7e6, 112.0)]
    store = make_store(tmp_path, volumes)
    views = [make_views(store, [n], {"view": Role(RandomCrop((16, 16, 16)))}, rng)["view"][0].image for n in range(2)]
    for image in views:
        assert 0.0 <= float(image.min()) < 0.05
        assert 0.95 < float(image.max()) <= 1.0
    assert abs(float(views[0].mean() - views[1].mean())) < 0.02


def test_a_crop_of_background_alone_is_finite(tmp_path: Path) -> None:
    data = np.zeros((40, 16, 16), np.int16)
    data[30:38] = 500
    store = make_store(tmp_path, [data])
    roles = {"view": Role(RandomCrop((8, 8, 8), body_share=0.0), 20, TURNED)}
    views = make_views(store, [0], roles, np.random.default_rng(0))["view"]
    empty = [view for view in views if float(view.image.max()) == 0.0]
    assert empty
    assert all(torch.isfinite(view.image).all() for view in views)


def test_a_store_of_another_version_says_what_to_do(tmp_path: Path) -> None:
    store = make_store(tmp_path, [texture((8, 8, 8))])
    facts = json.loads((store.path / STORE_FILE).read_text())
    del facts["sha256"]
    (store.path / STORE_FILE).write_bytes(seal({**facts, "format": 0}))
    with pytest.raises(InputError, match=r"store of format \d+, got 0.*store-version.*run medssl prepare again"):
        Store.open(store.path)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_volume_deleted_under_a_running_loader_is_named_and_made_again(tmp_path: Path, workers: int) -> None:
    make_store(tmp_path, [texture((10, 10, 10), n) for n in range(2)])
    store = Store.open(next(path.parent for path in tmp_path.rglob(STORE_FILE)))
    loader = make_loader(
        store, {"view": Role(RandomCrop((8, 8, 8)))}, None, batch=2, seed=0, start=0, stop=9, workers=workers
    )
    key = store.row(1).key
    shutil.rmtree(store.path / "entries" / key)
    with pytest.raises(InputError, match="store-corrupt") as caught:
        list(loader)
    assert key in str(caught.value)
    assert "medssl prepare" in str(caught.value)
    manifest = Manifest.read(next(tmp_path.rglob("scans.csv")))
    prepare(manifest, store.path, store.settings)
    assert len(list(loader)) == 9


class _Killing:
    """A crop policy that kills the process it works in."""

    def draw(self, scan: object, count: int, rng: object, drawn: object) -> list[object]:
        """Kill."""
        os.kill(os.getpid(), signal.SIGKILL)
        return []


def test_a_killed_worker_ends_the_loader_with_a_reason(tmp_path: Path) -> None:
    store = make_store(tmp_path, [texture((8, 8, 8))])
    loader = make_loader(store, {"view": Role(_Killing())}, None, batch=1, seed=0, start=0, stop=3, workers=1)  # type: ignore[arg-type]
    with pytest.raises(ResourceError, match=r"a loading process died \(\d+ MiB of /dev/shm are free\)") as caught:
        next(iter(loader))
    assert store.row(0).key in str(caught.value)


def test_settings_that_a_store_cannot_have_are_refused_before_any_scan(tmp_path: Path) -> None:
    with pytest.raises(MedsslError, match="spacing_mm must be three lengths above 0"):
        make_store(tmp_path, [texture((8, 8, 8))], settings=StoreSettings(spacing_mm=(1.0, 0.0, 1.0)))
