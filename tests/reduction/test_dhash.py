"""Difference hashes against the reference implementation."""

from __future__ import annotations

import imagehash
import numpy as np
import pytest
from PIL import Image

from medssl.datasets.phantoms import phantom
from medssl.errors import UsageError
from medssl.reduction.dhash import dhash, hamming, hash_slices, to_8bit
from medssl.volume import Volume, reorient

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(8, 9), (64, 64), (512, 300), (5, 7), (1, 1), (33, 2)])
@pytest.mark.parametrize("size", [8, 4, 7])
def test_equal_bit_for_bit_to_imagehash(shape, size):
    for _ in range(20):
        grey = RNG.integers(0, 256, shape).astype(np.uint8)
        expected = int(str(imagehash.dhash(Image.fromarray(grey), size)), 16)
        assert int(dhash(grey, size)) == expected


def test_equal_to_imagehash_on_slices_of_a_scan():
    scan, _ = phantom(0, 0)
    grey = to_8bit(scan.data[0], -200, 300)
    for k in range(grey.shape[2]):
        view = grey[:, :, k].T[::-1]
        expected = int(str(imagehash.dhash(Image.fromarray(np.ascontiguousarray(view)))), 16)
        assert int(dhash(view)) == expected


def test_hamming_counts_bits():
    a = RNG.integers(0, 2**64, 100, dtype=np.uint64)
    b = RNG.integers(0, 2**64, 100, dtype=np.uint64)
    expected = [bin(int(x) ^ int(y)).count("1") for x, y in zip(a, b, strict=True)]
    assert hamming(a, b).tolist() == expected
    assert hamming(a[0], a[:1]).tolist() == [0]


def test_a_constant_slice_has_the_hash_zero():
    data = np.zeros((1, 16, 16, 3))
    data[0, ..., 1] = RNG.random((16, 16))
    hashes = hash_slices(Volume(data, np.eye(4)), "slice")
    assert hashes[0] == hashes[2] == 0
    assert hashes[1] != 0


@pytest.mark.parametrize("window", ["robust", "slice", (-200.0, 300.0)])
def test_storage_order_does_not_matter(window):
    scan, _ = phantom(0, 1, shape=(40, 36, 20), spacing_mm=(3, 3, 6))
    turned = [hash_slices(reorient(scan, code), window) for code in ("RAS", "LPS", "PIR", "SAL")]
    for other in turned[1:]:
        assert np.array_equal(other, turned[0])


def test_one_bright_voxel_spoils_the_slice_window_but_not_the_robust_one():
    data = np.tile(np.linspace(0, 100, 64)[:, None, None], (1, 64, 64))[None]
    spoiled = data.copy()
    spoiled[0, 32, 32, 30] = 1e6
    clean = Volume(data, np.eye(4))
    bright = Volume(spoiled, np.eye(4))
    assert (
        np.array_equal(hash_slices(clean), hash_slices(bright))
        or hamming(hash_slices(clean), hash_slices(bright)).max() <= 2
    )
    assert hamming(hash_slices(clean, "slice"), hash_slices(bright, "slice"))[30] > 30


@pytest.mark.parametrize("bad", [np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3), np.int16)])
def test_only_8bit_planes_are_hashed(bad):
    with pytest.raises(UsageError, match="2D uint8"):
        dhash(bad)


def test_wrong_settings():
    with pytest.raises(UsageError, match=r"1\.\.8, got 9"):
        dhash(np.zeros((3, 3), np.uint8), 9)
    with pytest.raises(UsageError, match="'robust', 'slice' or two numbers"):
        hash_slices(Volume(np.zeros((1, 2, 2, 2)), np.eye(4)), "ct")
