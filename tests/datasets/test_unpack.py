"""The unpacker against archives made here, good and hostile."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from medssl.datasets.unpack import Limits, unpack
from medssl.errors import InputError, IntegrityError, UsageError


def make_tar(path: Path, members: list[tuple[str, bytes | tarfile.TarInfo]]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def make_zip(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members:
            out.writestr(zipfile.ZipInfo(name) if name.endswith("\\x") else name, content)
    return path


def special(name: str, kind: bytes, target: str = "") -> tuple[str, tarfile.TarInfo]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return name, info


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_only_wanted_members_are_written(tmp_path, make):
    archive = make(tmp_path / "a", [("p/one.txt", b"one"), ("p/setup.py", b"raise SystemExit"), ("p/two.txt", b"two")])
    files = unpack(archive, {"p/two.txt": "deep/2.txt", "p/one.txt": "1.txt"}, tmp_path / "out")
    assert [file.read_bytes() for file in files] == [b"two", b"one"]
    assert sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file()) == ["1.txt", "2.txt"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "out"]


@pytest.mark.parametrize("name", ["../evil", "p/../../evil", "/evil", "p\\evil", "C:/evil", "p//evil", "p/\x1b[31m"])
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_unsafe_names_refuse_the_whole_archive(tmp_path, make, name):
    archive = make(tmp_path / "a", [("p/good", b"good"), (name, b"evil")])
    with pytest.raises(IntegrityError, match="unsafe name"):
        unpack(archive, {"p/good": "good"}, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


@pytest.mark.parametrize(
    ("kind", "target"),
    [(tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "p/good"), (tarfile.CHRTYPE, ""), (tarfile.FIFOTYPE, "")],
)
def test_links_and_devices_are_refused(tmp_path, kind, target):
    archive = make_tar(tmp_path / "a.tar.gz", [("p/good", b"good"), special("p/odd", kind, target)])
    with pytest.raises(IntegrityError, match="link, a device"):
        unpack(archive, {"p/good": "good"}, tmp_path / "out")


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("p/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as out:
        out.writestr(link, "/etc/passwd")
    with pytest.raises(IntegrityError, match="link, a device"):
        unpack(tmp_path / "a.whl", {"p/link": "x"}, tmp_path / "out")


def test_a_member_that_stands_twice_is_refused(tmp_path):
    archive = make_tar(tmp_path / "a.tar.gz", [("p/Good", b"1"), ("p/good", b"2")])
    with pytest.raises(IntegrityError, match="stands twice"):
        unpack(archive, {"p/good": "good"}, tmp_path / "out")


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_limits_stop_a_bomb(tmp_path, make):
    archive = make(tmp_path / "a", [("p/zeros", bytes(3_000_000))])
    with pytest.raises(IntegrityError, match="unpacks to more than"):
        unpack(archive, {"p/zeros": "zeros"}, tmp_path / "out")
    with pytest.raises(IntegrityError, match="unpacks to more than 1000 bytes"):
        unpack(archive, {"p/zeros": "zeros"}, tmp_path / "out", Limits(total_bytes=1000))
    many = make(tmp_path / "b", [(f"p/{n}", b"") for n in range(5)])
    with pytest.raises(IntegrityError, match="more than 4 members"):
        unpack(many, {"p/1": "1"}, tmp_path / "out", Limits(members=4))


def test_a_huge_header_is_refused_before_it_is_read(tmp_path):
    head = tarfile.TarInfo("p/x")
    head.type, head.size = tarfile.XHDTYPE, 64 << 20
    import gzip

    with gzip.open(tmp_path / "a.tar.gz", "wb") as out:
        out.write(head.tobuf())
        out.write(bytes(20 << 20))
    with pytest.raises(IntegrityError, match="header is too long"):
        unpack(tmp_path / "a.tar.gz", {"p/x": "x"}, tmp_path / "out")


def test_a_missing_member_leaves_nothing(tmp_path):
    archive = make_tar(tmp_path / "a.tar.gz", [("p/one", b"one")])
    with pytest.raises(IntegrityError, match="1 members are missing, first p/two"):
        unpack(archive, {"p/one": "1", "p/two": "2"}, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar.gz"]


@pytest.mark.parametrize("keep", [10, 200])
def test_a_damaged_archive_is_refused(tmp_path, keep):
    whole = make_tar(tmp_path / "a.tar.gz", [("p/one", bytes(range(256)) * 40)]).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[:keep])
    with pytest.raises(IntegrityError, match="damaged archive"):
        unpack(tmp_path / "cut.tar.gz", {"p/one": "1"}, tmp_path / "out")


def test_no_archive_and_a_folder_in_the_way(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        unpack(tmp_path / "none.tar.gz", {"a": "a"}, tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        unpack(tmp_path / "none.tar.gz", {"a": "a"}, tmp_path / "out")
