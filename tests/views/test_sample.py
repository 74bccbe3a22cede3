from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from medssl.errors import InputError
from medssl.store.entry import write_entry
from medssl.store.process import process
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.views.grid import Grid, about_centre, apply
from medssl.views.placing import crop_at
from medssl.views.sample import sample
from medssl.views.scan import scan_of
from medssl.views.spatial import apply_spatial
from medssl.views.warp import Warp, lattice
from medssl.volume import Volume
from tests.store.making import OBLIQUE, blobs, make_store, texture

SHAPE = (20, 18, 16)
TURNED = {"rotate_deg": [11.0, -7.0, 23.0], "scale": 1.3, "flip": [0, 1, 0]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    label = blobs(SHAPE)
    return make_store(tmp_path_factory.mktemp("store"), [texture(SHAPE)], affine=OBLIQUE, labels=[label])


def _indices(shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)


def _normalized(store: Store) -> np.ndarray:
    voxels = store.entry(0).voxels
    values = store.read(0, (0, 0, 0), voxels.shape[1:]).astype(np.float64) * voxels.scale + voxels.offset
    return values[0]


def _clip(store: Store, values: np.ndarray) -> np.ndarray:
    voxels = store.entry(0).voxels
    return np.clip((values - voxels.low) / (voxels.high - voxels.low), 0, 1)


def _crop(store: Store, start: tuple[float, ...], shape: tuple[int, int, int], step: float = 1.0) -> Grid:
    return crop_at(scan_of(store, 0), np.array(start), np.full(3, step), shape)


def test_a_crop_on_voxels_is_a_copy(store: Store) -> None:
    image, valid, label = sample(store, 0, _crop(store, (3, 4, 5), (8, 7, 6)), label=True)
    box = store.read(0, (3, 4, 5), (11, 11, 11)).astype(np.float32)
    voxels = store.entry(0).voxels
    width = voxels.high - voxels.low
    expected = torch.from_numpy(box).mul(voxels.scale / width).add((voxels.offset - voxels.low) / width).clamp(0, 1)
    assert image.dtype == torch.float32
    assert torch.equal(image, expected)
    assert valid.all()
    assert label is not None
    assert label.dtype == torch.int64
    assert (label.numpy() == store.read_label(0, (3, 4, 5), (11, 11, 11))).all()


@pytest.mark.parametrize("flip", list(itertools.product((0, 1), repeat=3)))
@pytest.mark.parametrize("turns", [0, 1, 3])
def test_flips_and_turns_are_copies_too(store: Store, flip: tuple[int, ...], turns: int) -> None:
    grid = _crop(store, (3, -2, 5), (8, 8, 14))
    plain, valid, label = sample(store, 0, grid, label=True)
    params = {"flip": list(flip), "turns": turns}
    image, inside, mask = sample(store, 0, apply_spatial(grid, params), label=True)
    axes = [axis + 1 for axis in range(3) if flip[axis]]
    for before, after in ((plain, image), (valid, inside), (label, mask)):
        assert before is not None
        assert torch.equal(torch.rot90(before.flip(axes), turns, (2, 1)), after)


def test_two_flips_are_none(store: Store) -> None:
    grid = _crop(store, (1.3, 2.6, 0.4), (9, 8, 7), 1.4)
    twice = apply_spatial(apply_spatial(grid, {"flip": [1, 1, 0]}), {"flip": [1, 1, 0]})
    for one, two in zip(sample(store, 0, grid, True), sample(store, 0, twice, True), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("start", [(2.3, 3.1, 1.7), (-4.5, 10.2, -3.3), (14.0, 12.5, 11.0)])
def test_agreement_with_a_reference_in_double_precision(store: Store, start: tuple[float, ...]) -> None:
    grid = apply_spatial(_crop(store, start, (10, 11, 12), 0.9), TURNED)
    image, valid, label = sample(store, 0, grid, label=True)
    voxels = store.entry(0).voxels
    places = apply(np.linalg.inv(voxels.affine), grid.to_mm(_indices(grid.shape)))
    inside = ((places >= -0.5) & (places <= np.array(SHAPE) - 0.5)).all(axis=1)
    clear = np.abs(np.concatenate([places + 0.5, places - np.array(SHAPE) + 0.5], axis=1)).min(axis=1) > 1e-3
    assert (valid.numpy().ravel() == inside)[clear].all()
    values = map_coordinates(_normalized(store), places.T, order=1, mode="nearest")
    expected = np.where(valid.numpy().ravel(), _clip(store, values), 0.0)
    assert np.abs(image.numpy().ravel() - expected).max() < 1e-4
    assert label is not None
    # a place half-way between two voxels has two nearest ones
    certain = (np.abs(places - np.floor(places) - 0.5).min(axis=1) > 1e-3) & clear
    stored = store.read_label(0, (0, 0, 0), SHAPE)[0]
    nearest = stored[tuple(np.clip(np.floor(places + 0.5).astype(int), 0, np.array(SHAPE) - 1).T)].astype(np.int64)
    assert (label.numpy().ravel() == np.where(inside, nearest, -1))[certain].all()


def test_a_ramp_comes_out_as_the_ramp(tmp_path: Path) -> None:
    slope = np.array([3.0, -2.0, 0.7])
    ramp = (apply(OBLIQUE, _indices(SHAPE)) @ slope).reshape(SHAPE)
    store = make_store(tmp_path, [ramp], affine=OBLIQUE, settings=StoreSettings(percentiles=(0.0, 100.0)))
    grid = apply_spatial(_crop(store, (6, 5, 4), (9, 9, 9), 0.8), TURNED)
    image, valid, _ = sample(store, 0, grid)
    voxels = store.entry(0).voxels
    mm = grid.to_mm(_indices(grid.shape))
    places = apply(np.linalg.inv(voxels.affine), mm)
    within = ((places >= 0) & (places <= np.array(SHAPE) - 1)).all(axis=1)
    assert within.sum() > 500
    assert valid.numpy().ravel()[within].all()
    expected = (mm @ slope - voxels.low) / (voxels.high - voxels.low)
    assert np.abs(image.numpy().ravel() - expected)[within].max() < 1e-4


def test_a_marked_voxel_lands_where_its_millimetres_say(tmp_path: Path) -> None:
    data = np.zeros(SHAPE, dtype=np.int16)
    data[7, 9, 5] = 1000
    store = make_store(tmp_path, [data], affine=OBLIQUE, settings=StoreSettings(percentiles=(0.0, 100.0)))
    mark = apply(OBLIQUE, np.array([[7, 9, 5]]))
    stored = apply(np.linalg.inv(store.entry(0).voxels.affine), mark)[0]
    grid = apply_spatial(_crop(store, tuple(stored - 4), (32, 32, 32), 0.25), {"rotate_deg": [20.0, 10.0, -30.0]})
    image, _, _ = sample(store, 0, grid)
    weights = image[0].numpy().ravel().astype(np.float64)
    found = (grid.to_mm(_indices(grid.shape)) * weights[:, None]).sum(axis=0) / weights.sum()
    np.testing.assert_allclose(found, mark[0], atol=0.05)


def test_padding_is_zero_and_not_valid(store: Store) -> None:
    grid = _crop(store, (-3, -2, -1), (26, 22, 18))
    image, valid, label = sample(store, 0, grid, label=True)
    assert label is not None
    assert int(valid.sum()) == int(np.prod(SHAPE))
    assert valid[0, 3:23, 2:20, 1:17].all()
    assert float(image[~valid].abs().max()) == 0.0
    assert (label[~valid] == -1).all()
    assert (label[valid] >= 0).all()


@pytest.mark.parametrize("step", [1.0, 0.7])
def test_a_view_outside_the_scan_is_all_padding(store: Store, step: float) -> None:
    image, valid, label = sample(store, 0, _crop(store, (40, 40, 40), (4, 5, 6), step), label=True)
    assert label is not None
    assert not valid.any()
    assert float(image.abs().max()) == 0.0
    assert (label == -1).all()


def test_the_half_voxel_beyond_the_outer_centres_is_inside(store: Store) -> None:
    # four view voxels to a stored one: their centres tile the scan's box exactly
    image, valid, _ = sample(store, 0, _crop(store, (0, 0, 0), (80, 72, 64), 0.25))
    assert valid.all()
    corner = store.read(0, (0, 0, 0), (1, 1, 1)) * 1.0
    assert image[0, 0, 0, 0].item() == pytest.approx(float(_clip(store, corner).item()), abs=1e-6)


def test_a_deformation_by_one_vector_moves_every_voxel(store: Store) -> None:
    plain = _crop(store, (4, 4, 4), (6, 6, 6))
    affine = store.entry(0).voxels.affine
    shift = affine[:3, :3] @ np.array([2.0, -1.0, 3.0])
    spacing = (2.0, 3.0, 4.0)
    points = np.broadcast_to(shift[:, None, None, None], (3, *lattice(plain.shape, spacing)))
    image, valid, label = sample(store, 0, plain.warped(Warp(points, spacing, plain.shape)), label=True)
    expected, _, expected_label = sample(store, 0, _crop(store, (6, 3, 7), (6, 6, 6)), label=True)
    assert valid.all()
    torch.testing.assert_close(image, expected, atol=1e-5, rtol=0)
    assert label is not None
    assert expected_label is not None
    assert torch.equal(label, expected_label)


def test_only_the_voxels_that_a_view_needs_are_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, object]] = []
    read = store.read

    def noted(position: int, low: object, high: object) -> np.ndarray:
        asked.append((low, high))
        return read(position, low, high)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "read", noted)
    sample(store, 0, _crop(store, (3, 4, 5), (8, 7, 6)))
    sample(store, 0, _crop(store, (3.25, 4.25, 5.25), (8, 7, 6), 0.5))
    sample(store, 0, _crop(store, (-3, -3, -3), (40, 40, 40)))
    sample(store, 0, _crop(store, (90.5, 0, 0), (4, 4, 4)))
    assert asked == [
        ((3, 4, 5), (11, 11, 11)),
        ((3, 4, 5), (8, 8, 9)),
        ((0, 0, 0), SHAPE),
        ((19, 0, 0), (20, 4, 4)),
    ]


@pytest.mark.parametrize("step", [1.0, 0.6])
def test_a_scan_of_one_slice(tmp_path: Path, step: float) -> None:
    store = make_store(tmp_path, [texture((6, 6, 2))])
    # readers refuse a single slice; a store may still hold one
    volume = Volume(texture((12, 12, 1))[None], np.diag([1.0, 1.0, 5.0, 1.0]))
    folder = Path(store.name(0))
    for path in folder.iterdir():
        path.unlink()
    write_entry(folder, folder.name, volume, process(volume, StoreSettings(percentiles=(0.0, 100.0))))
    store = Store.open(store.path)
    grid = crop_at(scan_of(store, 0), np.array([3.0, 3.0, 0.0]), np.array([step, step, 1.0]), (5, 5, 3))
    image, valid, _ = sample(store, 0, grid)
    assert valid[..., 0].all()
    assert not valid[..., 1:].any()
    places = 3.0 + step / 2 - 0.5 + step * np.arange(5)
    mesh = np.stack(np.meshgrid(places, places, [0.0], indexing="ij")).reshape(3, -1)
    expected = _clip(store, map_coordinates(_normalized(store), mesh, order=1)).reshape(5, 5)
    np.testing.assert_allclose(image[0, :, :, 0].numpy(), expected, atol=1e-4)


def test_large_intensities_and_tiny_voxels(tmp_path: Path) -> None:
    data = (texture(SHAPE).astype(np.float32) * 1700.3).astype(np.float32)
    store = make_store(tmp_path, [data], affine=np.diag([0.15, 0.15, 0.15, 1.0]))
    grid = apply_spatial(_crop(store, (4, 4, 4), (8, 8, 8)), {"rotate_deg": [5.0, 5.0, 5.0]})
    image, _, _ = sample(store, 0, grid)
    places = apply(np.linalg.inv(store.entry(0).voxels.affine), grid.to_mm(_indices(grid.shape)))
    expected = _clip(store, map_coordinates(data.astype(np.float64), places.T, order=1))
    assert np.abs(image.numpy().ravel() - expected).max() < 1e-4


def test_a_scan_that_is_constant_in_its_window_is_zero(tmp_path: Path) -> None:
    data = np.full(SHAPE, -1000, dtype=np.int16)
    data[0, 0, 0] = -900
    store = make_store(tmp_path, [data], settings=StoreSettings(window_hu=(-175, 250)), rows=[{"modality": "CT"}])
    image, valid, _ = sample(store, 0, _crop(store, (0.5, 0, 0), (8, 8, 8)))
    assert valid.all()
    assert float(image.abs().max()) == 0.0


def test_a_label_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    store = make_store(tmp_path, [texture(SHAPE)])
    for start in ((0, 0, 0), (90, 90, 90), (0.5, 0, 0)):
        with pytest.raises(InputError, match="label map is asked for"):
            sample(store, 0, _crop(store, start, (4, 4, 4)), label=True)


def test_about_centre_keeps_the_centre() -> None:
    grid = Grid.of((4, 6, 8), OBLIQUE)
    turned = grid.then(about_centre(np.diag([-1.0, 1.0, -1.0]), grid.shape))
    middle = (np.array([grid.shape]) - 1) / 2
    np.testing.assert_allclose(grid.to_mm(middle), turned.to_mm(middle), atol=1e-9)
