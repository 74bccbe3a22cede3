"""Where a probe looks: at labelled voxels, the same ones for everybody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medssl.datasets.texture_set import write_textures
from medssl.errors import InputError, UsageError
from medssl.evaluation.probe_crops import probe_crops
from medssl.manifest import Manifest
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("textures")
    manifest = Manifest.read(write_textures(folder / "scans", 3, 1, shape=(20, 22, 24)))
    return prepare(manifest, folder / "store", StoreSettings())


def test_a_crop_shows_its_centre_in_the_middle_and_zeros_beyond_the_scan(store: Store) -> None:
    found = probe_crops(store, (8, 6, 10), [1, 4], per_class=5, voxels=7)
    assert found.images.shape == (3 * 2 * 5, 1, 8, 6, 10)
    assert found.classes.tolist() == ([1] * 5 + [4] * 5) * 3
    assert len(np.unique(found.patients)) == 3
    entry = store.entry(0).voxels
    data = store.read(0, (0, 0, 0), (20, 22, 24))[0] * entry.scale + entry.offset
    whole = np.pad(((data - entry.low) / (entry.high - entry.low)).clip(0, 1), 10)
    windows = np.lib.stride_tricks.sliding_window_view(whole, (8, 6, 10))
    label = np.pad(store.read_label(0, (0, 0, 0), (20, 22, 24))[0].astype(int), 10, constant_values=-1)
    for image, value in zip(found.images[3:7, 0].numpy(), found.classes[3:7], strict=True):
        places = np.argwhere(np.abs(windows - image).max((3, 4, 5)) < 1e-4)
        assert len(places) == 1
        assert label[tuple(places[0] + np.array([4, 3, 5]))] == value


def test_voxels_are_those_of_the_wanted_classes_in_turn(store: Store) -> None:
    found = probe_crops(store, (12, 12, 12), [1, 2, 3, 4, 5, 6], per_class=3, voxels=12)
    labels = store.read_label(0, (0, 0, 0), (20, 22, 24))[0]
    assert set(np.unique(found.voxel_classes)) == set(range(1, 7))
    for inside, value in zip(found.voxel_classes, found.classes, strict=True):
        counts = np.unique(inside, return_counts=True)[1]
        assert value in inside
        assert np.ptp(counts) <= 1
    # a crop as large as the scan about voxel c has its index p at c + p - shape // 2
    whole = probe_crops(store.subset([0]), (20, 22, 24), [1, 2], per_class=1, voxels=30)
    first = np.argwhere(labels == 1)
    shifts = {tuple(c - np.array([10, 11, 12])) for c in first}
    fits = [
        s
        for s in shifts
        if all(
            (p + s >= 0).all() and (p + s < labels.shape).all() and labels[tuple(p + s)] == v
            for p, v in zip(whole.places[0], whole.voxel_classes[0], strict=True)
        )
    ]
    assert fits


def test_the_draw_is_the_seeds_and_no_class_moves_another(store: Store) -> None:
    one, again = (probe_crops(store, (6, 6, 6), [1, 2], seed=3) for _ in range(2))
    other = probe_crops(store, (6, 6, 6), [1, 2], seed=4)
    assert np.array_equal(one.places, again.places)
    assert np.array_equal(one.images, again.images)
    assert not np.array_equal(one.images, other.images)


def test_what_cannot_be_probed(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no scan has a voxel of \[9\]"):
        probe_crops(store, (6, 6, 6), [1, 9])
    with pytest.raises(UsageError, match=r"at least two classes, got 4 centres, 8 voxels, .* and classes \[1\]"):
        probe_crops(store, (6, 6, 6), [1, 1])
    with pytest.raises(UsageError, match="counts of 1 or more"):
        probe_crops(store, (6, 6, 6), [1, 2], voxels=0)
    source = Manifest.read(write_textures(tmp_path / "t", 2, 1, shape=(8, 8, 8)))
    bare = Manifest(source.path, source.root, tuple(_without_label(r) for r in source.records), source.classes)
    with pytest.raises(InputError, match="label map is asked for"):
        probe_crops(prepare(bare, tmp_path / "store", StoreSettings()), (6, 6, 6), [1, 2])


def _without_label(record):
    from dataclasses import replace

    return replace(record, label="")
