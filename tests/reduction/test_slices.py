"""Slices within a volume."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.datasets.phantoms import phantom
from medssl.errors import InputError
from medssl.reduction.dhash import hamming, hash_slices
from medssl.reduction.slices import reduce_slices, write_ranges
from medssl.store.kept import parse_slices
from medssl.volume import reorient


def test_kept_slices_are_apart_and_stand_for_the_rest():
    scan, _ = phantom(0, 0, shape=(48, 48, 40))
    result = reduce_slices(scan)
    hashes = hash_slices(scan, "slice")
    kept = result.kept
    assert 1 < len(kept) < 40
    far = hamming(hashes[kept][:, None], hashes[kept][None])
    assert far[~np.eye(len(kept), dtype=bool)].min() > 6
    removed = result.removed()
    assert sorted(kept + [gone for gone, _, _ in removed]) == list(range(40))
    for gone, stays, distance in removed:
        assert stays in kept
        assert int(hamming(hashes[gone], hashes[stays])[0]) == distance <= 6


def test_slices_are_numbered_from_feet_to_head_whatever_the_order():
    scan, _ = phantom(0, 1, shape=(40, 40, 24))
    for code in ("LPI", "SAR"):
        assert reduce_slices(reorient(scan, code)).kept == reduce_slices(scan).kept


def test_only_some_slices():
    scan, _ = phantom(0, 1, shape=(40, 40, 24))
    result = reduce_slices(scan, 64, only="3-5,9")
    assert (result.kept, [gone for gone, _, _ in result.removed()]) == ([3], [4, 5, 9])
    with pytest.raises(InputError, match="slice 24 of a volume with 24 axial slices"):
        reduce_slices(scan, only="3-24")


@pytest.mark.parametrize(("numbers", "text"), [([], ""), ([4], "4"), ([3, 1, 2, 2], "1-3"), ([0, 2, 3, 9], "0,2-3,9")])
def test_ranges(numbers, text):
    assert write_ranges(numbers) == text
    if text:
        assert parse_slices(text) == tuple(sorted(set(numbers)))
