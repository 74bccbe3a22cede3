"""P17: what a file is, is told by its content; a suffix that says something else is a refusal with both names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.promises.files import SFORM, marked, mha, nifti, nrrd, refused, same

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"
HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>"


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a.nii")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"abcd"))
    return out.getvalue()


def packed_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.nii", nifti())
    return out.getvalue()


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, marked())
    return out.getvalue()


ANALYZE = nifti(magic=b"\0\0\0\0", body=b"")[:348]

LIES = [
    ("a.nii.gz", nifti(), "the suffix says gzip-compressed NIfTI, the content is NIfTI.*rename it to end in .nii"),
    ("a.nii", gzip.compress(nifti()), "the suffix says NIfTI, the content is gzip-compressed NIfTI.*rename"),
    ("a.nii.gz", gzip.compress(gzip.compress(nifti())), "gzip data compressed twice"),
    ("a.nii.gz", lzma.compress(nifti()), "xz, bzip2, zstd"),
    ("a.nii.gz", bz2.compress(nifti()), "xz, bzip2, zstd"),
    ("a.nii.gz", packed_zip(), "zip archive"),
    ("a.nii.gz", gzip.compress(tar()), "gzip data of another kind"),
    ("a.nii.gz", tar(), "an archive"),
    ("a.nii.gz", HTML, "an HTML page.*fetch it again"),
    ("a.nii.gz", gzip.compress(HTML), "gzip data of another kind"),
    ("a.nii", b"  \r\n" + HTML, "an HTML page"),
    ("a.nii", b"\xef\xbb\xbf" + HTML.lower(), "an HTML page"),
    ("a.nii.gz", LFS, "a Git LFS pointer.*git lfs pull"),
    ("a.mha", LFS, "a Git LFS pointer"),
    ("a.nrrd", LFS, "a Git LFS pointer"),
    ("a.npz", LFS, "a Git LFS pointer"),
    ("a.dcm", LFS, "a Git LFS pointer"),
    ("a.nii", nrrd(), "the content is NRRD"),
    ("a.nii", mha(), "the content is MetaImage"),
    ("a.nrrd", nifti(), "the suffix says NRRD, the content is NIfTI"),
    ("a.mha", nrrd(), "the suffix says MetaImage, the content is NRRD"),
    ("a.npz", nifti(), "the content is NIfTI"),
    ("a.nii", b"\x89PNG\r\n\x1a\n" + bytes(500), "a 2D picture"),
    ("a.nii", b"\xff\xd8\xff\xe0" + bytes(500), "a 2D picture"),
    ("a.nii", b"%PDF-1.7" + bytes(500), "a PDF"),
    ("a.nii", b"\x89HDF\r\n\x1a\n" + bytes(500), "HDF5"),
    ("a.nii", pickle.dumps({"a": 1}), "a pickle"),
    ("a.npz", pickle.dumps({"a": 1}), "a pickle"),
    ("a.nii", npy(), "NumPy array, which has no geometry"),
    ("a.npy", npy(), "NumPy array, which has no geometry"),
    ("a.nii", b"just some words\n" * 40, "plain text"),
    ("a.nii", bytes(500), "no known format"),
    ("a.nii.gz", b"\x1f\x8b" + b"\xff" * 100, "corrupt gzip"),
    ("a.nii.gz", gzip.compress(b""), "empty .0 bytes. once unpacked"),
    ("a.hdr", ANALYZE, "Analyze 7.5.*orientation is unknown"),
    ("a.nii", ANALYZE, "Analyze 7.5"),
    ("a.nii", nifti(magic=b"ni1\0"), "NIfTI header of a pair"),
    ("a.nii", nifti(magic=b"n+9\0"), "not a NIfTI"),
    ("a.mgz", gzip.compress(bytes([0, 0, 0, 1, 0, 0]) + bytes(400)), "gzip"),
    ("a.bin", b"mrtrix image\ndim: 3,3,3\n" + bytes(100), "MRtrix"),
]


@pytest.mark.parametrize(("name", "content", "says"), LIES)
def test_p17_a_suffix_that_lies_is_named_with_what_the_content_is(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, f"(?s){says}")


def test_p17_analyze_is_refused_by_either_half(tmp_path: Path) -> None:
    (tmp_path / "a.hdr").write_bytes(ANALYZE)
    (tmp_path / "a.img").write_bytes(bytes(240))
    for name in ("a.hdr", "a.img"):
        assert name in refused(tmp_path / name, "Analyze 7.5.*orientation", "format")


@pytest.mark.parametrize("name", ["scan", "scan.bin", "scan.tmp", "SCAN.NII"])
def test_p17_a_suffix_that_says_nothing_does_not_lie(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(nifti())
    same(tmp_path / name, marked(), SFORM, set())


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"data": marked()}, "expected one array named affine, got 0"),
        ({"affine": SFORM}, "expected one array named data, got 0"),
        ({"data": marked(), "affine": SFORM[:3]}, "affine must be a 4×4 matrix"),
        ({"data": marked(), "affine": SFORM * np.nan}, "not finite"),
        ({"data": marked(), "affine": np.zeros((4, 4))}, "affine"),
        ({"data": marked((6, 5)), "affine": SFORM}, "must be numbers"),
        ({"data": marked() * 1j, "affine": SFORM}, "complex"),
        ({"data": marked().astype("U4"), "affine": SFORM}, "must be numbers"),
        ({"data": marked().astype("M8[s]"), "affine": SFORM}, "must be numbers"),
        ({"data": np.array([{}, []], dtype=object), "affine": SFORM}, "Python objects, which are never unpickled"),
        ({"data": marked(), "affine": np.array([SFORM], dtype=object)}, "never unpickled"),
        ({"data": np.zeros((2, 3, 4), dtype=[("a", "i4")]), "affine": SFORM}, "must be numbers"),
        ({"data": np.zeros((0, 5, 4)), "affine": SFORM}, "must be numbers|empty"),
        ({"data": marked(kind="g"), "affine": SFORM}, "must be numbers"),
    ],
)
def test_p17_an_npz_of_another_content_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray], says: str) -> None:
    refused(npz(tmp_path / "a.npz", **arrays), says)


@pytest.mark.parametrize("kind", [">i2", "<f2", ">f8", "?", "u8"])
def test_p17_every_number_of_an_npz_is_read_in_this_machines_order(tmp_path: Path, kind: str) -> None:
    data = marked(kind=kind) if kind != "?" else marked() % 2 == 0
    same(npz(tmp_path / "a.npz", data=np.asfortranarray(data), affine=SFORM), data, SFORM, set())


def test_p17_an_npz_says_when_it_is_sheared(tmp_path: Path) -> None:
    affine = SFORM.copy()
    affine[0, 2] = 0.8
    same(npz(tmp_path / "a.npz", data=marked(), affine=affine), marked(), affine, {"sheared"})


def test_p17_a_damaged_npz_is_refused(tmp_path: Path) -> None:
    whole = npz(tmp_path / "a.npz", data=marked(), affine=SFORM).read_bytes()
    for content in (whole[:-30], whole[:200], whole[:150] + b"\xff" + whole[151:]):
        (tmp_path / "a.npz").write_bytes(content)
        refused(tmp_path / "a.npz", "truncated|checksum|broken|corrupt|expected one array")
