"""P46: archives are judged member by member, unpacked aside and renamed; every refusal has code ``archive``, exit 4."""

from __future__ import annotations

import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

import medssl
from medssl import cli
from medssl.errors import IntegrityError, UsageError
from medssl.io.archives.archive import extract
from medssl.io.archives.members import Limits

GOOD = [("set/a.nii", b"a" * 100), ("set/sub/b.nii", b"b" * 50)]
MODES = {".tar": "w", ".tar.gz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


def make(path: Path, members: list[tuple[str, bytes]]) -> Path:
    """An archive of the kind that the suffix says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for name, content in members:
                out.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        return path
    with tarfile.open(path, MODES["".join(path.suffixes)]) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o4777
            tar.addfile(info, io.BytesIO(content))
    return path


def odd(path: Path, kind: bytes, target: str = "") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("set/odd")
        info.type, info.linkname = kind, target
        tar.addfile(info)
    return path


@pytest.mark.parametrize("suffix", [".zip", *MODES])
def test_p46_a_good_archive_unpacks_whole_with_plain_rights(tmp_path, suffix):
    archive = make(tmp_path / f"d{suffix}", GOOD)
    result = medssl.unpack(archive, tmp_path / "out")
    assert (result["files"], result["bytes"], result["nested"]) == (2, 150, [])
    for name, content in GOOD:
        file = tmp_path / "out" / name
        assert file.read_bytes() == content
        assert stat.S_IMODE(os.stat(file).st_mode) & 0o7133 == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [archive.name, "out"]


@pytest.mark.parametrize(
    "names",
    [
        ["../evil"],
        ["set/../../evil"],
        ["/evil"],
        ["set\\..\\evil"],
        ["C:/evil"],
        ["set/a", "set/A"],
        ["set/a", "./set/a"],
        ["set/\u00e9", "set/e\u0301"],
        ["set/a", "set/a/b"],
        ["set/a/b", "set/a"],
        ["set/\x1b[2Jevil"],
        ["n" * 256],
        ["/".join("d" * 70)],
    ],
)
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_p46_names_that_are_unsafe_or_stand_twice(tmp_path, names, suffix, capfd):
    archive = make(tmp_path / f"d{suffix}", [*GOOD, *((name, b"x") for name in names)])
    assert cli.run(["data", "unpack", str(archive), str(tmp_path / "out")]) == 4
    assert "[archive]" in capfd.readouterr().err.splitlines()[-1]
    assert [entry.name for entry in tmp_path.iterdir()] == [archive.name]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_p46_links_and_devices(tmp_path, kind):
    with pytest.raises(IntegrityError, match="a link, a device") as caught:
        extract(odd(tmp_path / "d.tar.gz", kind, "/etc/passwd"), tmp_path / "out")
    assert (caught.value.code, caught.value.exit_code) == ("archive", 4)


def test_p46_encrypted_members_and_links_in_a_zip(tmp_path):
    link = zipfile.ZipInfo("set/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as out:
        out.writestr(link, "/etc/passwd")
    plain = bytearray(make(tmp_path / "d.zip", GOOD).read_bytes())
    plain[plain.find(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "e.zip").write_bytes(plain)
    for name in ("l.zip", "e.zip"):
        with pytest.raises(IntegrityError, match="a link, a device or encrypted"):
            extract(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_p46_a_bomb_stops_at_the_ratio(tmp_path, suffix):
    archive = make(tmp_path / f"d{suffix}", [("set/zeros", bytes(20 << 20))])
    with pytest.raises(IntegrityError, match="unpacks to more than"):
        extract(archive, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == [archive.name]


def test_p46_a_zip_that_lies_about_its_sizes(tmp_path):
    """The directory says 10 bytes, the stream inflates to 50 MB: no more than 10 are inflated and written."""
    packed = zlib.compress(bytes(50 << 20), 9)[2:-4]
    name = b"set/zeros"
    crc = zlib.crc32(bytes(10))
    head = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, crc, len(packed), 10, len(name), 0) + name
    entry = struct.pack(
        "<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, crc, len(packed), 10, len(name), 0, 0, 0, 0, 0, 0
    )
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(entry + name), len(head) + len(packed), 0)
    (tmp_path / "d.zip").write_bytes(head + packed + entry + name + end)
    files = extract(tmp_path / "d.zip", tmp_path / "out")
    assert [file.stat().st_size for file in files] == [10]


def test_p46_members_that_share_their_bytes(tmp_path):
    """Many names for one packed stream: the declared sizes add up to a bomb."""
    plain = make(tmp_path / "one.zip", [("a", os.urandom(1 << 16))]).read_bytes()
    at = plain.find(b"PK\x01\x02")
    entry, end = plain[at : plain.find(b"PK\x05\x06")], plain[plain.find(b"PK\x05\x06") :]
    entries = b"".join(entry[:-1] + bytes([97 + n % 26]) for n in range(26)) * 12
    many = end[:8] + struct.pack("<HHI", 312, 312, len(entries)) + end[16:]
    (tmp_path / "d.zip").write_bytes(plain[:at] + entries + many)
    with pytest.raises(IntegrityError, match=r"stands twice|unpacks to more"):
        extract(tmp_path / "d.zip", tmp_path / "out")


def test_p46_a_directory_too_long_to_be_read(tmp_path):
    plain = bytearray(make(tmp_path / "d.zip", GOOD).read_bytes())
    at = plain.find(b"PK\x05\x06")
    plain[at + 12 : at + 16] = struct.pack("<I", 700_000)
    (tmp_path / "d.zip").write_bytes(plain)
    with pytest.raises(IntegrityError, match="more than 1000 members"):
        extract(tmp_path / "d.zip", tmp_path / "out", limits=Limits(members=1000))


def test_p46_archives_inside_stay_packed_and_are_told(tmp_path, capfd):
    inner = make(tmp_path / "inner.zip", GOOD).read_bytes()
    archive = make(tmp_path / "d.tar", [("set/inner.zip", inner)])
    assert cli.run(["data", "unpack", str(archive), str(tmp_path / "out")]) == 0
    assert "left packed: set/inner.zip" in capfd.readouterr().out
    assert (tmp_path / "out" / "set" / "inner.zip").read_bytes() == inner


@pytest.mark.parametrize("part", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("suffix", [".zip", *MODES])
def test_p46_damaged_archives(tmp_path, suffix, part):
    whole = make(tmp_path / f"w{suffix}", [("set/a", os.urandom(4000))]).read_bytes()
    (tmp_path / f"d{suffix}").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(IntegrityError, match=r"damaged archive|size it declares") as caught:
        extract(tmp_path / f"d{suffix}", tmp_path / "out")
    assert caught.value.code == "archive"
    assert not (tmp_path / "out").exists()


def test_p46_a_tar_cut_between_two_members(tmp_path):
    whole = make(tmp_path / "w.tar", GOOD).read_bytes()
    (tmp_path / "d.tar").write_bytes(whole[:1024])
    with pytest.raises(IntegrityError, match="end mark is missing"):
        extract(tmp_path / "d.tar", tmp_path / "out")


def test_p46_nothing_is_overwritten_and_a_wrong_file_is_named(tmp_path):
    archive = make(tmp_path / "d.zip", GOOD)
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        extract(archive, tmp_path / "out")
    (tmp_path / "a.zip").write_text("<html>not found</html>")
    with pytest.raises(IntegrityError, match="damaged archive"):
        extract(tmp_path / "a.zip", tmp_path / "new")
