"""Signatures of scans: the same body is near, another is far."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medssl.datasets.phantoms import phantom
from medssl.io.read import read
from medssl.reduction.signature import body_box, scan_distance, signature
from medssl.volume import Volume, reorient

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def test_storage_order_and_number_type_do_not_matter():
    scan, _ = phantom(0, 0)
    one = signature(scan)
    for code in ("LPS", "SRA"):
        other = signature(reorient(scan, code))
        assert scan_distance(one, other) == 0
        assert one.digest == other.digest
    wide = Volume(scan.data.astype(np.float64), scan.affine)
    assert signature(wide).digest == one.digest


def test_another_voxel_or_spacing_is_another_digest():
    scan, _ = phantom(0, 0)
    changed = scan.data.copy()
    changed[0, 3, 3, 3] += 1
    assert signature(Volume(changed, scan.affine)).digest != signature(scan).digest
    assert signature(Volume(scan.data, scan.affine @ np.diag([1, 1, 2, 1]))).digest != signature(scan).digest


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_noise_and_resampling_stay_near_and_other_bodies_far(modality):
    first = signature(phantom(0, 0, modality, (3, 3, 3), (64, 64, 60))[0])
    double = signature(phantom(0, 0, modality, (4, 4, 3.75), (48, 48, 48), noise=1)[0])
    assert 0 < scan_distance(first, double) <= 6
    assert scan_distance(first, double) == scan_distance(double, first)
    for index in range(1, 5):
        assert scan_distance(first, signature(phantom(0, index, modality, (3, 3, 3), (64, 64, 60))[0])) > 10


def test_empty_margins_do_not_matter():
    scan, _ = phantom(0, 2)
    wide = np.full((1, 60, 70, 48), -1000, np.int16)
    wide[0, 5:53, 12:60] = scan.data[0]
    assert scan_distance(signature(scan), signature(Volume(wide, scan.affine))) <= 3


def test_an_empty_scan_has_a_signature():
    sign = signature(Volume(np.zeros((1, 4, 4, 4)), np.eye(4)))
    assert not sign.hashes.any()
    assert body_box(np.zeros((4, 4, 4)), 0, 0) == (slice(0, 4), slice(0, 4), slice(0, 4))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real volumes beside the clone (../shared/data) are not there")
def test_two_scans_of_one_person_are_nearer_than_two_people():
    names = ["1003", "1023", "1004", "1024"]
    files = sorted((SHARED / "brain" / "images").iterdir())
    signs = [signature(read(next(f for f in files if f.name.startswith(name)))) for name in names]
    same = [scan_distance(signs[0], signs[1]), scan_distance(signs[2], signs[3])]
    other = [scan_distance(signs[a], signs[b]) for a in (0, 1) for b in (2, 3)]
    assert max(same) <= 6
    assert min(other) > 7
