"""Registration of a store's scans to one of them."""

from pathlib import Path

import numpy as np
import pytest

from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.views.grid import apply
from medssl.views.matching.affine import register
from medssl.views.scan import scan_of
from tests.store.making import make_store

# what lies at p in the first body lies at MOVED p in the second
MOVED = np.array([[1.1, -0.1, 0, 6], [0.1, 1.05, 0, -4], [0, 0, 0.95, 3], [0, 0, 0, 1]])
LANDMARKS = np.array([[12.0, -10, 5], [-14, 8, -6], [3, 14, 10], [0, 0, 0]])


def _body(affine, shape):
    """A head-like body with organs, in millimetres, so that it can be put anywhere."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1).reshape(-1, 3)
    at = apply(affine, index)
    out = 800.0 * ((at / [26, 30, 24]) ** 2).sum(1).__lt__(1)
    for centre, size, value in zip(LANDMARKS, (9, 8, 6, 7), (400, -300, 600, -500), strict=True):
        out += value * (((at - centre) / size) ** 2).sum(1).__lt__(1)
    return out.reshape(shape).astype(np.int16)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    shape, first = (36, 36, 32), np.diag([2.0, 2.0, 2.0, 1.0])
    first[:3, 3] = (-36, -36, -32)
    volumes = [_body(first, shape), _body(np.linalg.inv(MOVED) @ first, shape)]
    return make_store(tmp_path_factory.mktemp("registered"), volumes, affine=first, settings=StoreSettings())


def test_landmarks_land_where_they_lie_in_the_other_body(store: Store):
    matcher = register(store, spacing_mm=3.0)
    a, b = scan_of(store, 0), scan_of(store, 1)
    off = [np.linalg.norm(matcher.place(a, point, b) - apply(MOVED, point[None])[0]) for point in LANDMARKS]
    back = [np.linalg.norm(matcher.place(b, apply(MOVED, point[None])[0], a) - point) for point in LANDMARKS]
    # a voxel of the coarse grid
    assert max(off + back) < 3.0
    # without registration they lie this far away
    assert max(np.linalg.norm(apply(MOVED, LANDMARKS) - LANDMARKS, axis=1)) > 6.0


def test_a_registration_is_kept_and_a_damaged_one_made_anew(store: Store):
    first = register(store, spacing_mm=3.0)
    files = sorted(Path(store.path, "registration").glob("*.json"))
    assert len(files) == 2
    kept = [file.read_bytes() for file in files]
    files[0].write_bytes(kept[0][: len(kept[0]) // 2])
    again = register(store, spacing_mm=3.0)
    assert [file.read_bytes() for file in files] == kept
    a, b = scan_of(store, 0), scan_of(store, 1)
    np.testing.assert_array_equal(first.place(a, LANDMARKS[0], b), again.place(a, LANDMARKS[0], b))
