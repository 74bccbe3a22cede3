"""P12: checksums and lengths are always verified, the data are as long as the header says, nothing is read in part."""

from __future__ import annotations

import bz2
import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.promises.files import LPS, SFORM, marked, mha, nifti, nifti_extension, nrrd, put, raw, refused, same

PACKED = gzip.compress(nifti(), mtime=0)


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.66, 0.96, -1, -4, -8, -9])
def test_p12_a_cut_gzip_stream_is_refused(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(PACKED[: int(len(PACKED) * kept) if kept > 0 else int(kept)])
    refused(path, "truncated|ends early", "truncated")


@pytest.mark.parametrize("at", [-8, -5, -4, -1])
def test_p12_a_wrong_checksum_or_length_is_refused(tmp_path: Path, at: int) -> None:
    broken = bytearray(PACKED)
    broken[at] ^= 0x10
    (tmp_path / "a.nii.gz").write_bytes(broken)
    refused(tmp_path / "a.nii.gz", "(?i)gzip.*(checksum|CRC|length)", "truncated")


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.9])
def test_p12_a_flipped_bit_is_refused(tmp_path: Path, share: float) -> None:
    broken = bytearray(PACKED)
    broken[int(len(broken) * share)] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(broken)
    refused(tmp_path / "a.nii.gz", "(?i)crc|checksum|corrupt|gzip")


def test_p12_zeros_after_a_gzip_stream_and_several_members_are_valid(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(PACKED + bytes(512))
    same(path, marked(), SFORM, set())
    content = nifti()
    path.write_bytes(b"".join(gzip.compress(content[at : at + 100]) for at in range(0, len(content), 100)))
    same(path, marked(), SFORM, set())


@pytest.mark.parametrize("after", [b"x", b"trailing rubbish", PACKED])
def test_p12_anything_else_after_a_gzip_stream_is_refused(tmp_path: Path, after: bytes) -> None:
    (tmp_path / "a.nii.gz").write_bytes(PACKED + after)
    refused(tmp_path / "a.nii.gz", "(?i)gzip|extra bytes")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("change", "says"), [(-1, "truncated"), (-239, "truncated"), (1, "extra bytes"), (99, "extra")]
)
def test_p12_a_nifti_shorter_or_longer_than_it_says_is_refused(
    tmp_path: Path, suffix: str, change: int, says: str
) -> None:
    body = raw() + bytes(max(change, 0))
    refused(put(tmp_path / f"a{suffix}", nifti(body=body[: len(raw()) + change])), says)


@pytest.mark.parametrize("offset", [0.0, 348.0, 351.0, 352.5, -16.0, math.nan, math.inf, 1e9, 3e38])
def test_p12_a_senseless_offset_of_the_voxels_is_refused(tmp_path: Path, offset: float) -> None:
    refused(put(tmp_path / "a.nii", nifti(vox_offset=offset)), "vox_offset|extension", "corrupt")


def test_p12_an_offset_past_the_end_is_refused(tmp_path: Path) -> None:
    refused(put(tmp_path / "a.nii", nifti(vox_offset=4096.0)), "truncated", "truncated")


@pytest.mark.parametrize("size", [16, 32, 24])
def test_p12_extensions_are_passed_over(tmp_path: Path, size: int) -> None:
    content = nifti(extension=nifti_extension(size, b"CANARY^PHI"[: size - 8]))
    same(put(tmp_path / "a.nii.gz", content), marked(), SFORM, set())


@pytest.mark.parametrize("size", [2**31 - 1, 4096, -16, 4, 7])
def test_p12_an_extension_that_overruns_is_refused(tmp_path: Path, size: int) -> None:
    extension = struct.pack("<2i", size, 6).ljust(32, b"\0")
    refused(put(tmp_path / "a.nii", nifti(extension=extension)), "corrupt header extension", "corrupt")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"sizeof_hdr": 0}, "sizeof_hdr"),
        ({"sizeof_hdr": 540}, "sizeof_hdr"),
        ({"datatype": 0}, "datatype 0"),
        ({"datatype": 33}, "datatype 33"),
        ({"bitpix": 8}, "bitpix is 8"),
        ({"bitpix": 0}, "bitpix is 0"),
        ({"datatype": 16, "bitpix": 32}, "truncated"),
        ({"datatype": 2, "bitpix": 8}, "extra bytes"),
    ],
)
def test_p12_a_header_that_contradicts_itself_is_refused(tmp_path: Path, fields: dict[str, Any], says: str) -> None:
    refused(put(tmp_path / "a.nii", nifti(**fields)), says)


@pytest.mark.parametrize("size", [0, 1, 4, 100, 347, 348, 351])
def test_p12_a_cut_header_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.nii").write_bytes(nifti()[:size])
    refused(tmp_path / "a.nii", "truncated|empty|plain text|Analyze")


def test_p12_pairs(tmp_path: Path) -> None:
    header, image = tmp_path / "a.hdr", tmp_path / "a.img"
    header.write_bytes(nifti(magic=b"ni1\0", vox_offset=0.0))
    refused(header, "the other half of the pair, a.img, is missing", "missing")
    image.write_bytes(raw())
    for path in (header, image):
        same(path, marked(), SFORM, set())
    image.write_bytes(raw()[:-2])
    refused(header, "truncated: 238 data bytes", "truncated")
    image.write_bytes(raw() + b"xx")
    refused(image, "extra bytes", "corrupt")
    image.write_bytes(bytes(16) + raw())
    header.write_bytes(nifti(magic=b"ni1\0", vox_offset=16.0))
    same(image, marked(), SFORM, set())
    (tmp_path / "b.hdr.gz").write_bytes(gzip.compress(header.read_bytes()))
    (tmp_path / "b.img.gz").write_bytes(gzip.compress(bytes(16) + raw()))
    for name in ("b.hdr.gz", "b.img.gz"):
        same(tmp_path / name, marked(), SFORM, set())
    header.unlink()
    refused(image, "the other half of the pair, a.hdr, is missing", "missing")


@pytest.mark.parametrize(
    ("encoding", "body", "says"),
    [
        ("raw", raw()[:-1], "truncated: 239 data bytes"),
        ("raw", b"", "truncated: 0 data bytes"),
        ("raw", raw() + b"\0", "corrupt: 241 data bytes"),
        ("gzip", gzip.compress(raw())[:-9], "ends early"),
        ("gzip", gzip.compress(raw())[:-5] + b"\xff\xff\xff\xff\xff", "(?i)checksum|CRC|length"),
        ("gzip", gzip.compress(raw()[:-2]), "truncated: 238 of 240"),
        ("gzip", gzip.compress(raw() + b"xx"), "extra bytes"),
        ("gzip", raw(), "(?i)gzip"),
        ("bzip2", bz2.compress(raw())[:-4], "(?i)truncated|ends early|corrupt"),
        ("bzip2", bz2.compress(raw())[:60] + b"xxxx" + bz2.compress(raw())[64:], "(?i)corrupt|invalid|broken"),
        ("text", b"1 2 3", "truncated: the size of the text data is 3 numbers"),
        ("text", b"1 " * 121, "corrupt: the size of the text data is 121 numbers"),
        ("text", b"1 x " * 60, "not numbers"),
        ("text", b"99999 " * 120, "120 numbers of the text data do not fit int16"),
        ("text", b"1.5 " * 120, "do not fit int16"),
        ("text", b"nan " * 120, "do not fit int16"),
        ("text", b" " * 10_000, "too large"),
        ("hex", raw().hex().encode()[:-2], "truncated: 239 data bytes"),
        ("hex", b"zz" * 240, "not hexadecimal"),
        ("hex", b"00" * 241, "corrupt: 241 data bytes"),
        ("zrl", raw(), "the encoding zrl is not read"),
    ],
)
def test_p12_nrrd_data_must_be_whole(tmp_path: Path, encoding: str, body: bytes, says: str) -> None:
    refused(put(tmp_path / "a.nrrd", nrrd(body, encoding=encoding)), says)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("raw", raw()),
        ("gzip", gzip.compress(raw())),
        ("gz", gzip.compress(raw()[:100]) + gzip.compress(raw()[100:])),
        ("bzip2", bz2.compress(raw())),
        ("text", "\n".join(str(n) for n in range(120))),
        ("ascii", b""),
        ("hex", b"\n".join(raw().hex().encode()[at : at + 60] for at in range(0, 480, 60))),
    ],
)
def test_p12_every_nrrd_encoding_is_read(tmp_path: Path, encoding: str, body: Any) -> None:
    text = " ".join(str(n) for n in marked().ravel(order="F")).encode()
    content = text if encoding in ("text", "ascii") else body
    same(put(tmp_path / "a.nrrd", nrrd(content, encoding=encoding)), marked(), LPS, set())


@pytest.mark.parametrize(
    ("fields", "body", "says"),
    [
        ({}, raw()[:-1], "truncated: 239 data bytes"),
        ({}, raw()[:7], "truncated"),
        ({}, raw() + b"x", "corrupt: 241"),
        ({"CompressedData": "True"}, zlib.compress(raw())[:-5], "ends early"),
        ({"CompressedData": "True"}, zlib.compress(raw())[:-1] + b"\0", "(?i)checksum"),
        ({"CompressedData": "True"}, zlib.compress(raw()[:-2]), "truncated: 238 of 240"),
        ({"CompressedData": "True"}, zlib.compress(raw() + b"xx"), "extra bytes"),
        ({"CompressedData": "True"}, zlib.compress(raw()) + b"rubbish", "bytes|stream"),
        ({"BinaryData": "False"}, b"1 2 3", "truncated"),
        ({"BinaryData": "False"}, b"70000 " * 120, "do not fit int16"),
        ({"DimSize": "6 5 4.5"}, raw(), "whole numbers"),
        ({"DimSize": "6 5"}, raw(), "NDims is 3, but DimSize has 2"),
        ({"DimSize": "6 5 0"}, raw(), "empty size"),
        ({"DimSize": "6 5 -4"}, raw(), "empty size"),
        ({"DimSize": None}, raw(), "no field dimsize"),
        ({"ElementType": "MET_DOUBLE"}, raw(), "truncated"),
        ({"ElementToIntensityFunctionSlope": "2"}, raw(), "ElementToIntensityFunctionSlope"),
        ({"ObjectType": "Mesh"}, raw(), "ObjectType.*not an image"),
        ({"CompressedData": "True", "CompressedDataSize": "9"}, zlib.compress(raw()), "CompressedDataSize is 9"),
        (
            {"CompressedData": "True", "CompressedDataSize": "999"},
            zlib.compress(raw()),
            "truncated.*CompressedDataSize",
        ),
    ],
)
def test_p12_metaimage_data_must_be_whole(
    tmp_path: Path, fields: dict[str, str | None], body: bytes, says: str
) -> None:
    refused(put(tmp_path / "a.mha", mha(body, **fields)), says)


def test_p12_a_compressed_size_that_is_right_or_not_said_is_read(tmp_path: Path) -> None:
    packed = zlib.compress(raw())
    for size in (str(len(packed)), "0", None):
        same(put(tmp_path / "a.mha", mha(packed, CompressedData="True", CompressedDataSize=size)), marked(), LPS)


@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd", "a.hdr", "a.img"])
def test_p12_a_refusal_names_the_data_and_the_file_that_was_asked_for(tmp_path: Path, name: str) -> None:
    put(tmp_path / "data.raw", raw()[:-3])
    put(tmp_path / "a.nhdr", nrrd(b"", data_file="data.raw"))
    put(tmp_path / "a.mhd", mha(b"", ElementDataFile="data.raw"))
    put(tmp_path / "a.hdr", nifti(magic=b"ni1\0", vox_offset=0))
    put(tmp_path / "a.img", raw()[:-3])
    line = refused(tmp_path / name, "truncated", "truncated")
    assert name in line
    assert ("a.img" if name in ("a.hdr", "a.img") else "data.raw") in line


def test_p12_a_header_without_an_end_is_refused(tmp_path: Path) -> None:
    refused(put(tmp_path / "a.nrrd", nrrd(b"")[:-1]), "no end", "truncated")
    refused(put(tmp_path / "a.mha", mha(b"").rsplit(b"ElementDataFile")[0]), "no ElementDataFile", "truncated")


def test_p12_a_field_said_twice_is_refused(tmp_path: Path) -> None:
    content = nrrd().replace(b"endian", b"sizes: 5 6 4\nendian")
    refused(put(tmp_path / "a.nrrd", content), "the field sizes stands there twice", "corrupt")
    content = mha().replace(b"BinaryData ", b"DimSize = 5 6 4\nBinaryData ")
    refused(put(tmp_path / "a.mha", content), "the field dimsize stands there twice", "corrupt")
