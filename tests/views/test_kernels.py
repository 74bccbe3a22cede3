from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medssl.views.block import Block, places
from medssl.views.elastic import warp_of
from medssl.views.grid import Grid, about_centre, apply
from medssl.views.kernels.choice import compiled
from medssl.views.kernels.run import flat
from medssl.views.sample import sample_batch, sample_block
from medssl.views.spatial import apply_spatial
from tests.store.making import OBLIQUE
from tests.views.reference import expected, indices

TURNED = {"rotate_deg": [11.0, -7.0, 23.0], "scale": 1.2, "shear": [0.1, 0.0, -0.1], "flip": [0, 1, 0]}
ELASTIC = {"seed": 5, "amplitude_mm": 4.0, "spacing_mm": 12.0}
SPACINGS = {"oblique": OBLIQUE, "mouse": np.diag([0.15, 0.15, 0.15, 1.0]), "thick": np.diag([0.8, 0.8, 6.5, 1.0])}


@pytest.fixture(params=["compiled", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to make a view."""
    if request.param == "torch":
        monkeypatch.setenv("MEDSSL_COMPILED", "0")
    elif compiled() is None:
        pytest.skip("numba is not installed, or its compiler is turned off")
    return str(request.param)


def _block(
    kind: str = "int16", shape: tuple[int, int, int] = (20, 18, 16), affine: Any = OBLIQUE, **more: Any
) -> Block:
    rng = np.random.default_rng(3)
    data = rng.integers(0, 200, (2, *shape)).astype(kind)
    label = rng.integers(0, 9, (1, *shape)).astype(more.pop("label", "uint8"))
    return Block(data, (0, 0, 0), shape, np.asarray(affine), more.pop("gain", 1 / 200), 0.05, label, **more)


def _grid(block: Block, start: tuple[float, ...], shape: tuple[int, int, int], step: float = 1.0) -> Grid:
    inner = np.diag([step, step, step, 1.0])
    inner[:3, 3] = start
    return Grid.of(shape, block.affine @ inner)


def _matches(block: Block, grid: Grid, found: tuple[Any, Any, Any]) -> None:
    image, valid, label = (None if part is None else part.numpy() for part in found)
    right = expected(block, grid)
    assert (valid == right.valid)[right.clear].all()
    both = np.broadcast_to(right.clear, image.shape)
    assert np.abs(image - right.image)[both].max(initial=0) < 2e-6
    assert float(np.abs(np.where(valid, 0, image)).max()) == 0.0
    if block.label is not None:
        assert (label == right.label)[right.certain].all()
        assert right.certain.mean() > 0.5


@pytest.mark.parametrize("start", [(2.3, 3.1, 1.7), (-4.5, 10.2, -3.3), (14.0, 12.5, 11.0), (60.2, 0.0, 0.0)])
@pytest.mark.parametrize("elastic", [False, True])
@pytest.mark.parametrize("affine", list(SPACINGS))
def test_views_are_those_of_double_precision(way: str, start: tuple[float, ...], elastic: bool, affine: str) -> None:
    block = _block(affine=SPACINGS[affine])
    grid = apply_spatial(_grid(block, start, (10, 11, 12), 0.9), TURNED)
    size = float(np.linalg.norm(grid.affine[:3, 2]))
    if elastic:
        grid = grid.warped(warp_of(grid, {"seed": 5, "amplitude_mm": size, "spacing_mm": 4 * size}))
    _matches(block, grid, sample_block(block, grid))


@pytest.mark.parametrize(("kind", "label"), [("uint8", "uint16"), ("float32", "uint8"), (">i2", "uint8")])
def test_every_kind_of_stored_number(way: str, kind: str, label: str) -> None:
    block = _block(kind, (9, 8, 7), label=label)
    grid = apply_spatial(_grid(block, (1.2, 0.4, -2.0), (6, 6, 9), 0.9), TURNED)
    _matches(block, grid, sample_block(block, grid))
    plain = _grid(block, (1, 2, -3), (6, 6, 9))
    _matches(block, plain, sample_block(block, plain))


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 9, 8), (9, 1, 8), (9, 8, 1), (2, 2, 2)], ids=lambda shape: "x".join(map(str, shape))
)
def test_scans_of_one_slice(way: str, shape: tuple[int, int, int]) -> None:
    block = _block(shape=shape)
    for start, step in (((-1.3, 0.2, -0.4), 0.7), ((0, 0, 0), 1.0), ((-2, -2, -2), 1.0)):
        grid = _grid(block, start, (5, 6, 7), step)
        _matches(block, grid, sample_block(block, grid))


def test_memory_in_any_order(way: str, tmp_path: Path) -> None:
    block = _block()
    grid = apply_spatial(_grid(block, (3.3, 2.2, 1.1), (9, 9, 9)), TURNED)
    want = sample_block(block, grid)
    plain = _grid(block, (3, 2, 1), (9, 9, 9)).then(
        about_centre(np.array([[0, 0, -1], [1, 0, 0], [0, 1.0, 0]]), (9, 9, 9))
    )
    want_plain = sample_block(block, plain)
    np.save(tmp_path / "a.npy", block.data)
    big = np.zeros((2, 30, 30, 30), np.int16)
    big[:, 5:25, 6:24, 7:23] = block.data
    for data in (
        np.load(tmp_path / "a.npy", mmap_mode="r"),
        np.asfortranarray(block.data),
        np.ascontiguousarray(block.data.transpose(0, 3, 2, 1)).transpose(0, 3, 2, 1),
        big[:, 5:25, 6:24, 7:23],
        np.ascontiguousarray(block.data[:, ::-1])[:, ::-1],
        np.broadcast_to(block.data, (3, *block.data.shape))[2],
    ):
        other = Block(data, block.low, block.shape, block.affine, block.gain, block.bias, block.label)
        for place, right in ((grid, want), (plain, want_plain)):
            for one, two in zip(sample_block(other, place), right, strict=True):
                assert one is not None
                assert two is not None
                assert torch.equal(one, two)


def test_the_two_ways_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    if compiled() is None:
        pytest.skip("numba is not installed, or its compiler is turned off")
    block = _block(gain=[1 / 200, 1 / 90])
    grids = [apply_spatial(_grid(block, (4.0 + n, 3.0, 2.0 - n), (9, 9, 9)), TURNED) for n in range(3)]
    grids += [grids[0].warped(warp_of(grids[0], ELASTIC)), _grid(block, (3, 3, 3), (9, 9, 9))]
    one = [sample_block(block, grid) for grid in grids]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = [part if part is None else part.cpu() for part in sample_batch([block] * len(grids), grids, device)]
    monkeypatch.setenv("MEDSSL_COMPILED", "0")
    two = [sample_block(block, grid) for grid in grids]
    for number, (a, b) in enumerate(zip(one, two, strict=True)):
        for c in (b, tuple(None if part is None else part[number] for part in batch)):
            torch.testing.assert_close(a[0], c[0], atol=1e-6, rtol=0)
            assert torch.equal(a[1], c[1])
            assert a[2] is not None
            assert c[2] is not None
            assert torch.equal(a[2], c[2])
    # copies are the same number, not nearly
    assert torch.equal(one[-1][0], two[-1][0])


def test_a_batch_of_blocks_of_many_sizes() -> None:
    blocks = [_block(shape=shape) for shape in ((20, 18, 16), (9, 30, 1), (12, 12, 12))]
    boxes = [
        Block(block.data[:, 2:], (2, 0, 0), block.shape, block.affine, block.gain, block.bias, block.label[:, 2:])
        for block in blocks
    ]
    grids = [apply_spatial(_grid(block, (3.5, 1.5, 0.0), (4, 5, 1), 0.8), {}) for block in blocks]
    image, valid, label = sample_batch([torch_block(box) for box in boxes], grids)
    assert label is not None
    assert (image.shape, valid.shape, label.shape) == ((3, 2, 4, 5, 1), (3, 1, 4, 5, 1), (3, 1, 4, 5, 1))
    for number, (block, grid) in enumerate(zip(blocks, grids, strict=True)):
        _matches(block, grid, (image[number], valid[number], label[number]))


def torch_block(block: Block) -> Block:
    """The same with tensors, as on an accelerator."""
    data, label = (
        torch.from_numpy(np.ascontiguousarray(block.data)),
        torch.from_numpy(np.ascontiguousarray(block.label)),
    )
    return Block(data, block.low, block.shape, block.affine, block.gain, block.bias, label)


def test_a_batch_must_fit_together() -> None:
    block = _block()
    small, large = _grid(block, (0, 0, 0), (4, 4, 4)), _grid(block, (0, 0, 0), (5, 4, 4))
    with pytest.raises(ValueError, match="must share shape, channels and labels"):
        sample_batch([block, block], [small, large])
    with pytest.raises(ValueError, match="as many blocks as grids"):
        sample_batch([block], [small, small])


def test_a_block_that_lacks_voxels_is_refused(way: str) -> None:
    block = _block()
    part = Block(block.data[:, 4:10], (4, 0, 0), block.shape, block.affine, 1.0, 0.0)
    with pytest.raises(
        ValueError, match=r"the grid needs voxels \(3, 0, 0\) to \(7, 4, 4\), the block holds \(4, 0, 0\)"
    ):
        sample_block(part, _grid(block, (3, 0, 0), (4, 4, 4)))
    inside = sample_block(part, _grid(block, (4.5, 0, 0), (4, 4, 4)))[1]
    assert inside.all()


@pytest.mark.parametrize("flips", list(itertools.product((1.0, -1.0), repeat=3)))
def test_two_flips_are_none_bit_for_bit(way: str, flips: tuple[float, ...]) -> None:
    block = _block(affine=OBLIQUE * 1.1 - np.eye(4) * 0.1)
    grid = apply_spatial(_grid(block, (3.123, 2.7, 1.9), (9, 8, 7), 0.77), TURNED)
    inner = about_centre(np.diag(flips), grid.shape)
    for one, two in zip(sample_block(block, grid), sample_block(block, grid.then(inner).then(inner)), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("affine", list(SPACINGS))
@pytest.mark.parametrize("elastic", [False, True])
def test_a_ramp_comes_out_as_the_ramp(way: str, affine: str, elastic: bool) -> None:
    shape = (24, 22, 20)
    scan = SPACINGS[affine]
    mm = apply(scan, indices(shape))
    slope = np.array([3.0, -2.0, 0.7])
    values = (mm @ slope).reshape(1, *shape)
    low, high = values.min(), values.max()
    block = Block(values.astype(np.float32), (0, 0, 0), shape, scan, 1 / (high - low), -low / (high - low))
    grid = apply_spatial(_grid(block, (6, 5, 5), (11, 11, 11), 0.9), {**TURNED, "scale": 0.8})
    if elastic:
        size = float(np.linalg.norm(grid.affine[:3, 0]))
        grid = grid.warped(warp_of(grid, {"seed": 1, "amplitude_mm": size, "spacing_mm": 4 * size}))
    image, valid, _ = sample_block(block, grid)
    places = grid.to_mm(indices(grid.shape))
    within = (
        (apply(np.linalg.inv(scan), places) >= 0) & (apply(np.linalg.inv(scan), places) <= np.array(shape) - 1)
    ).all(axis=1)
    assert within.sum() > 300
    assert valid.numpy().ravel()[within].all()
    right = (places @ slope - low) / (high - low)
    assert np.abs(image.numpy().ravel() - right)[within].max() < 1e-4


def test_a_scan_with_more_voxels_than_32_bits_count(tmp_path: Path) -> None:
    if compiled() is None:
        pytest.skip("numba is not installed, or its compiler is turned off")
    shape = (1300, 1300, 1300)
    path = tmp_path / "scan.raw"
    path.touch()
    os.truncate(path, 2 * int(np.prod(shape)))  # a file with nothing in it takes no room
    scan = np.memmap(path, np.int16, "r+", shape=(1, *shape))
    scan[0, 1290:, 1290:, 1290:] = np.arange(1000, dtype=np.int16).reshape(10, 10, 10)
    small = Block(np.array(scan[:, 1290:, 1290:, 1290:]), (1290, 1290, 1290), shape, np.eye(4), 1 / 1000, 0.0)
    large = Block(scan, (0, 0, 0), shape, np.eye(4), 1 / 1000, 0.0)
    assert flat(scan)[1].dtype == np.int64
    for start in ((1291.25, 1291.5, 1291.0), (1292, 1291, 1293)):
        grid = _grid(large, start, (6, 6, 6))
        assert torch.equal(sample_block(large, grid)[0], sample_block(small, grid)[0])
        assert float(sample_block(large, grid)[0].min()) > 0.1


def test_a_map_must_be_finite() -> None:
    with pytest.raises(ValueError, match="must be finite"):
        Grid.of((4, 4, 4), np.full((4, 4), np.nan))


def test_a_background_crop_is_zero_and_valid(way: str) -> None:
    block = Block(np.full((1, 9, 9, 9), -1000, np.int16), (0, 0, 0), (9, 9, 9), np.eye(4), 1 / 425, 175 / 425)
    for start in ((1, 1, 1), (1.5, 1, 1)):
        image, valid, _ = sample_block(block, _grid(block, start, (6, 6, 6)))
        assert valid.all()
        assert float(image.abs().max()) == 0.0


def test_one_map_that_came_about_in_two_ways_is_one_map() -> None:
    block = _block()
    rng = np.random.default_rng(0)
    inner = about_centre(np.diag([-1.0, -1.0, 1.0]), (9, 8, 7))
    differ = 0
    for _ in range(30):
        angles = rng.uniform(-30, 30, 3).tolist()
        grid = apply_spatial(_grid(block, (3.1, 2.7, 1.9), (9, 8, 7), 0.77), {"rotate_deg": angles})
        twice = grid.then(inner).then(inner)
        differ += int((grid.affine != twice.affine).any())
        assert (places(grid, block).into == places(twice, block).into).all()
    # sums of floats do differ; if they never did, this test would show nothing
    assert differ > 0
