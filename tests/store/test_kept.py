from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.store.kept import kept_slices, parse_slices
from medssl.store.process import process
from medssl.store.settings import StoreSettings
from medssl.volume import Volume


def test_slices_are_read() -> None:
    assert parse_slices("7, 0-2,2") == (0, 1, 2, 7)


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-", "-1", "1,,2"])
def test_malformed_slices_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="slices read like"):
        parse_slices(text)


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 2.5), (1.0, 1.0, 10.0)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_kept_slices_are_those_that_show_them(
    spacing: tuple[float, float, float] | None, order: tuple[int, int, int], sign: float
) -> None:
    # axial slices numbered from the feet, whatever the storage order; each voxel holds its slice's number
    numbers = np.arange(12.0) if sign > 0 else np.arange(12.0)[::-1]
    data = np.broadcast_to(numbers, (4, 5, 12)).transpose(order)[None]
    affine = np.eye(4)
    affine[:3, :3] = np.diag([1.0, 1.0, 5.0 * sign])[:, list(order)]
    volume = Volume(np.ascontiguousarray(data), affine)
    done = process(volume, StoreSettings(spacing_mm=spacing))
    kept = kept_slices((2, 3, 9), affine, volume.shape, done.image.affine, done.image.shape)
    assert kept.axis == 2
    shown = done.image.data[0, 0, 0]
    assert kept.positions == tuple(
        int(p) for p in np.flatnonzero(np.abs(shown[:, None] - [2, 3, 9]).min(axis=1) <= 0.5)
    )


def test_slices_that_are_not_there_are_refused() -> None:
    with pytest.raises(InputError, match="among 0 to 7"):
        kept_slices((3, 8), np.eye(4), (4, 4, 8), np.eye(4), (4, 4, 8))
