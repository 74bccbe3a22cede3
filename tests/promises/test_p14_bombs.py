"""P14: sizes are checked from the header before anything is allocated; a bomb costs neither time nor memory."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medssl.draws import generator
from medssl.io.read import read
from tests.promises.files import SFORM, mha, nifti, nrrd, put, refused

MEGABYTE = bytes(1 << 20)
NOISE = generator(0, 1, 14).bytes(2 << 20)
"""As many bytes as make a claim of 1 GiB possible for deflate, though not likely."""


def zeros(count: int, start: bytes = b"") -> bytes:
    """``count`` MiB of zeros behind ``start``, as a gzip stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(start) + b"".join(packer.compress(MEGABYTE) for _ in range(count)) + packer.flush()


def npz(shape: tuple[int, ...], packed: bytes, kind: str = "<f4") -> bytes:
    """An archive whose array claims a shape; its content is what it is."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": kind, "fortran_order": False, "shape": shape})
    affine, out = io.BytesIO(), io.BytesIO()
    np.save(affine, SFORM)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("affine.npy", affine.getvalue())
        archive.writestr("data.npy", header.getvalue() + packed)
    return out.getvalue()


HUGE = {"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1], "body": b""}
PACKED = {"type": "uchar", "encoding": "gzip"}

BOMBS: dict[str, Callable[[], bytes]] = {
    "claims.nii": lambda: nifti(**HUGE),
    "claims2.nii": lambda: nifti(version=2, dim=[3, 2**40, 2**40, 2**40, 1, 1, 1, 1], body=b""),
    "overflows.nii": lambda: nifti(version=2, dim=[4, 2**62, 2**62, 4, 4, 1, 1, 1], body=b""),
    "claims7.nii": lambda: nifti(dim=[7, *[32767] * 7], body=b""),
    "claims.nii.gz": lambda: nifti(**HUGE),
    "ratio.nii.gz": lambda: zeros(1, nifti(dim=[3, 1024, 1024, 512, 1, 1, 1, 1], body=NOISE)),
    "scaled.nii.gz": lambda: zeros(
        1, nifti(dim=[3, 800, 800, 400, 1, 1, 1, 1], datatype=2, bitpix=8, scl_slope=2, body=NOISE[:300_000])
    ),
    "more.nii.gz": lambda: zeros(200, nifti()),
    "claims.nrrd": lambda: nrrd(sizes="60000 60000 60000"),
    "numbers.nrrd": lambda: nrrd(sizes="99999999999999999 99999999999999999 9999999999999999"),
    "ratio.nrrd": lambda: nrrd(zeros(1, NOISE), sizes="1024 1024 1024", **PACKED),
    "more.nrrd": lambda: nrrd(zeros(200), **PACKED),
    "skip.nrrd": lambda: nrrd(zeros(200), byte_skip="2000000000", **PACKED),
    "bzip2.nrrd": lambda: nrrd(bz2.compress(MEGABYTE * 16), encoding="bzip2"),
    "text.nrrd": lambda: nrrd(b"1 " * (1 << 24), encoding="text"),
    "axes.nrrd": lambda: nrrd(dimension="200000", sizes="2 " * 200_000),
    "header.nrrd": lambda: b"NRRD0004\n" + b"comment: x\n" * (1 << 21),
    "claims.mha": lambda: mha(DimSize="60000 60000 60000"),
    "ratio.mha": lambda: mha(
        zlib.compress(MEGABYTE * 32), DimSize="1024 1024 1024", CompressedData="True", ElementType="MET_UCHAR"
    ),
    "channels.mha": lambda: mha(ElementNumberOfChannels="2000000000"),
    "more.mha": lambda: mha(zlib.compress(MEGABYTE * 32), CompressedData="True"),
    "claims.npz": lambda: npz((60000, 60000, 60000), b""),
    "more.npz": lambda: npz((6, 5, 4), MEGABYTE * 32),
    "less.npz": lambda: npz((1024, 1024, 512), b"1234"),
    "negative.npz": lambda: npz((-6, 5, 4), b"1234"),
}
REASON = "(?i)size|large|limit|bytes|truncat|memory"


@pytest.mark.parametrize(
    "name", sorted(set(BOMBS) - {"ratio.nii.gz", "more.nii.gz", "ratio.nrrd", "more.nrrd", "skip.nrrd"})
)
def test_p14_a_bomb_is_refused_by_its_size(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = BOMBS[name]()
    path.write_bytes(gzip.compress(content) if name == "claims.nii.gz" else content)
    refused(path, REASON)


@pytest.mark.parametrize("name", ["sparse.nii", "sparse.nrrd", "sparse.mha"])
def test_p14_a_file_of_zeros_that_nobody_wrote_is_refused(tmp_path: Path, name: str) -> None:
    headers = {
        "sparse.nii": nifti(dim=[3, 1024, 1024, 700, 1, 1, 1, 1], body=b""),
        "sparse.nrrd": nrrd(b"", sizes="1024 1024 700"),
        "sparse.mha": mha(b"", DimSize="1024 1024 700"),
    }
    path = tmp_path / name
    path.write_bytes(headers[name])
    os.truncate(path, len(headers[name]) + 1024 * 1024 * 700 * 2)
    if path.stat().st_blocks * 512 > 1 << 20:
        pytest.skip("needs a file system that keeps holes")
    refused(path, "over the limit ratio", "too-large")


def test_p14_bombs_cost_little_time_and_memory(tmp_path: Path) -> None:
    bombs = ["ratio.nii.gz", "more.nii.gz", "more.nrrd", "skip.nrrd", "claims.nii", "more.npz"]
    for name in bombs:
        (tmp_path / name).write_bytes(BOMBS[name]())
    words = [sys.executable, "-m", "tests.promises.bounded", *(str(tmp_path / name) for name in bombs)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    found: list[dict[str, Any]] = json.loads(done.stdout)
    for case in found:
        assert case["line"].startswith("medssl: error: "), case
        # the promise is 1 GB and 5 s for each; the measured peaks are far below
        assert case["peak_kib"] < 1_000_000, case
        assert case["seconds"] < 5, case
    assert not (tmp_path / "bounded-out.npz").exists()


def test_p14_a_label_map_of_almost_nothing_is_no_bomb(tmp_path: Path) -> None:
    data = np.zeros((128, 128, 64), "u1")
    data[5, 6, 7] = 1
    content = nifti(data)
    path = put(tmp_path / "a.nii.gz", content)
    assert path.stat().st_size * 500 < len(content)
    np.testing.assert_array_equal(read(path).data[0], data)
