"""Gzip and zlib streams: every member whole, every damage refused, with ISA-L and without."""

from __future__ import annotations

import gzip
import io
import os
import resource
import struct
import subprocess
import sys
import zlib

import nibabel
import numpy as np
import pytest

from medssl.draws import generator
from medssl.errors import InputError
from medssl.io import inflate
from medssl.io.files import as_stored, open_regular, read_exactly, unpacked
from medssl.io.inflate import BrokenStreamError, GzipStream, ZlibStream
from medssl.io.read import read
from tests.io.scans import marked, oblique

DATA = bytes(range(256)) * 5 + generator(0, 1, 7).bytes(1500) + bytes(2000)


def without_isal():
    return gzip.GzipFile, zlib.decompressobj, (gzip.BadGzipFile, zlib.error)


@pytest.fixture(params=["isal", "zlib"], autouse=True)
def engine(request, monkeypatch):
    """Every test once with ISA-L and once with Python's own zlib."""
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(inflate, "_engine", without_isal)


def member(data=DATA, flags=0, level=6):
    """One gzip member, written field by field (RFC 1952)."""
    head = b"\x1f\x8b\x08" + bytes([flags]) + b"\1\2\3\4\0\3"
    head += struct.pack("<H", 70) + b"\x1f\x8b" * 35 if flags & 4 else b""
    head += b"name.nii\0" if flags & 8 else b""
    head += b"comment\0" if flags & 16 else b""
    head += struct.pack("<H", zlib.crc32(head) & 0xFFFF) if flags & 2 else b""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return head + packer.compress(data) + packer.flush() + struct.pack("<II", zlib.crc32(data), len(data) % 2**32)


def all_of(stream, size=1000):
    parts = []
    while part := stream.read(size):
        assert len(part) <= size
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("flags", [0, 4, 8, 16, 2, 2 | 4 | 8 | 16])
def test_every_kind_of_member_header(flags):
    assert all_of(GzipStream(io.BytesIO(member(flags=flags)))) == DATA


@pytest.mark.parametrize(
    "body",
    [
        member(DATA[:100]) + member(DATA[100:]),
        b"".join(member(DATA[at : at + 64]) for at in range(0, len(DATA), 64)) + member(b""),
        member(b"") + member(DATA[:9], flags=8) + member(b"", flags=4) + member(DATA[9:]),
        member() + bytes(1000),
        member(DATA[:100]) + bytes(512) + member(DATA[100:]),
        member(level=0),
    ],
    ids=["two", "as bgzip writes", "empty ones between", "zeros after", "zeros between", "stored"],
)
def test_members_follow_one_another_and_zeros_may_follow_them(body):
    assert all_of(GzipStream(io.BytesIO(body))) == DATA


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (member() + b"xy", "gzip stream"),
        (member() + bytes(7) + b"more than enough bytes to be a header", "gzip stream"),
        (member() + member()[:-1], "ends early"),
        (member(DATA[:50])[:-8] + bytes(4) + member(DATA[:50])[-4:] + member(DATA[50:]), "checksum or length"),
        (member(DATA[:50])[:-4] + b"\x33\0\0\0" + member(DATA[50:]), "checksum or length"),
        (member(flags=2 | 4)[:40] + b"!" + member(flags=2 | 4)[41:], "wrong checksum"),
        (member(flags=32), "reserved flags"),
        (member()[:2] + b"\7" + member()[3:], "gzip stream"),
        (member()[:5], "ends early"),
    ],
    ids=[
        "bytes after",
        "bytes after zeros",
        "cut",
        "checksum",
        "length",
        "header checksum",
        "flags",
        "method",
        "short",
    ],
)
def test_damage_is_refused(body, message):
    with pytest.raises(BrokenStreamError, match=message):
        all_of(GzipStream(io.BytesIO(body)))


def test_every_cut_and_every_flipped_bit_after_the_header_is_refused():
    short = bytes(n * n % 23 for n in range(400))
    for whole, head, stream in ((member(short), 10, GzipStream), (zlib.compress(short), 0, ZlibStream)):
        for size in range(1 if head == 0 else 10, len(whole)):
            with pytest.raises(BrokenStreamError, match="ends early"):
                all_of(stream(io.BytesIO(whole[:size])))
        for bit in range(head * 8, len(whole) * 8):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            try:
                assert all_of(stream(io.BytesIO(flipped))) == short, bit
            except BrokenStreamError:
                continue
            # the bits that fill the last byte of the deflate stream up carry nothing
            assert bit // 8 == len(whole) - (9 if head else 5)


def test_zlib_streams_end_with_zeros_or_nothing():
    packed = zlib.compress(DATA)
    assert all_of(ZlibStream(io.BytesIO(packed))) == DATA
    assert all_of(ZlibStream(io.BytesIO(packed + bytes(600_000))), 7) == DATA
    with pytest.raises(BrokenStreamError, match="other bytes follow"):
        all_of(ZlibStream(io.BytesIO(packed + bytes(600_000) + b"x")))
    with pytest.raises(BrokenStreamError, match="checksum"):
        all_of(ZlibStream(io.BytesIO(packed[:-1] + bytes([packed[-1] ^ 1]))))


def test_no_more_is_unpacked_than_declared(tmp_path):
    path = tmp_path / "a.gz"
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    path.write_bytes(b"".join(bomb.compress(bytes(1 << 20)) for _ in range(64)) + bomb.flush())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_regular(path) as file, pytest.raises(InputError, match="more data bytes follow than the 1000"):
        read_exactly(unpacked(file, "gzip", path), 1000, path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**15


@pytest.mark.parametrize("kind", ["<i2", ">i2", "<f8", ">f8", "|u1"])
def test_numbers_of_either_byte_order_without_a_copy(kind):
    values = np.array([0, 1, 200, 77], dtype=kind)
    flat = np.frombuffer(bytearray(values.tobytes()), np.uint8)
    stored = as_stored(flat, np.dtype(kind))
    np.testing.assert_array_equal(stored, values)
    assert stored.dtype.isnative
    assert np.shares_memory(stored, flat)


def test_a_file_of_several_members_is_read_as_one(tmp_path):
    nibabel.save(nibabel.Nifti1Image(marked(), oblique()), tmp_path / "a.nii")
    whole = (tmp_path / "a.nii").read_bytes()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(b"".join(gzip.compress(whole[at : at + 100]) for at in range(0, len(whole), 100)))
    np.testing.assert_array_equal(read(path).data[0], marked())
    path.write_bytes(path.read_bytes() + gzip.compress(b"\0"))
    with pytest.raises(InputError, match=r"b\.nii\.gz: more data bytes follow than the 240 that the header declares"):
        read(path)


PEAK = """
import pathlib, sys
from medssl.io.read import read
def peak():
    # what getrusage tells is the parent's, where that was larger
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
read(sys.argv[1])
before = peak()
data = read(sys.argv[2]).data
print(peak() - before, data.nbytes)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of memory is read from /proc")
def test_reading_takes_little_more_memory_than_the_voxels(tmp_path):
    data = np.broadcast_to(np.arange(128, dtype=np.int16), (256, 256, 128))
    for name, part in (("small", data[:9, :9, :9]), ("large", data)):
        nibabel.save(nibabel.Nifti1Image(np.array(part), np.diag([1.0, 2, 3, 1])), tmp_path / f"{name}.nii.gz")
    words = [sys.executable, "-c", PEAK, tmp_path / "small.nii.gz", tmp_path / "large.nii.gz"]
    answer = subprocess.run(words, check=True, capture_output=True, text=True, env=dict(os.environ))
    grown, size = (int(word) for word in answer.stdout.split())
    assert size == 2 * 256 * 256 * 128
    assert 0.5 * size < grown < 1.3 * size


@pytest.mark.parametrize("at", [-8, -5, -4, -1])
def test_the_trailer_of_a_large_file_is_verified_though_all_voxels_are_there(tmp_path, at):
    # more than the unpackers hold at a time: a reader that stops at the last voxel does not meet the trailer
    data = generator(0, 1, 8).integers(0, 60_000, (128, 128, 64)).astype(np.uint16)
    nibabel.save(nibabel.Nifti1Image(data, oblique()), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read(tmp_path / "a.nii.gz").data[0], data)
    whole = bytearray((tmp_path / "a.nii.gz").read_bytes())
    whole[at] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(whole)
    with pytest.raises(InputError, match=r"a\.nii\.gz: the gzip stream's checksum or length is wrong"):
        read(tmp_path / "a.nii.gz")
