"""P15: the data files of detached headers are regular files inside the header's folder; nothing else is opened."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.promises.files import LPS, SFORM, marked, mha, nifti, nrrd, put, raw, refused, same

Header = Callable[[Path, str], Path]


def nhdr(folder: Path, name: str) -> Path:
    return put(folder / "a.nhdr", nrrd(b"", data_file=name))


def mhd(folder: Path, name: str) -> Path:
    return put(folder / "a.mhd", mha(b"", ElementDataFile=name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for the header; data of the right size lie beside, below and above it."""
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    for place in (tmp_path, inside, inside / "sub"):
        (place / "data.raw").write_bytes(raw())
    return inside


both = pytest.mark.parametrize("header", [nhdr, mhd])


@both
@pytest.mark.parametrize("name", ["data.raw", "./data.raw", "sub/data.raw"])
def test_p15_data_in_the_folder_and_below_are_read(folder: Path, header: Header, name: str) -> None:
    same(header(folder, name), marked(), LPS, set())


@both
@pytest.mark.parametrize("name", ["50% a b.raw", "ünï.raw", "-rf.raw", "a%03d.raw", "12:30.raw", "$(x);{}.raw"])
def test_p15_odd_names_of_data_files_are_read(folder: Path, header: Header, name: str) -> None:
    (folder / "data.raw").rename(folder / name)
    same(header(folder, name), marked(), LPS, set())


@both
@pytest.mark.parametrize(
    "name",
    [
        "../data.raw",
        "sub/../../data.raw",
        "sub/../data.raw",
        "..\\data.raw",
        "/etc/passwd",
        "/dev/zero",
        "../../../../../../../../etc/passwd",
        "C:\\data.raw",
        "\\\\server\\data.raw",
    ],
)
def test_p15_a_path_that_leaves_the_folder_is_refused(folder: Path, header: Header, name: str) -> None:
    line = refused(header(folder, name), "outside its own folder.*traversal", "outside")
    assert "root:" not in line


@both
def test_p15_an_absolute_path_is_refused_even_into_the_folder(folder: Path, header: Header) -> None:
    refused(header(folder, str(folder / "data.raw")), "absolute path", "outside")


@both
@pytest.mark.parametrize("target", ["../data.raw", "/etc/passwd", "/dev/zero", "/dev/null"])
def test_p15_a_link_that_leaves_the_folder_is_refused(folder: Path, header: Header, target: str) -> None:
    (folder / "link.raw").symlink_to(target)
    refused(header(folder, "link.raw"), "symbolic link to a path outside", "outside")


@both
def test_p15_a_folder_that_is_a_link_out_is_refused(folder: Path, header: Header) -> None:
    (folder / "elsewhere").symlink_to(folder.parent)
    refused(header(folder, "elsewhere/data.raw"), "symbolic link to a path outside", "outside")


@both
def test_p15_a_link_inside_the_folder_is_followed(folder: Path, header: Header) -> None:
    (folder / "link.raw").symlink_to("sub/data.raw")
    same(header(folder, "link.raw"), marked(), LPS, set())


@both
def test_p15_a_folder_reached_by_a_link_is_the_headers_own(folder: Path, header: Header) -> None:
    header(folder, "data.raw")
    (folder.parent / "way").symlink_to(folder)
    name = "a.nhdr" if header is nhdr else "a.mhd"
    same(folder.parent / "way" / name, marked(), LPS, set())


@both
@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling", "loop", "nothing", "itself"])
def test_p15_data_that_are_no_regular_file_are_refused(folder: Path, header: Header, kind: str) -> None:
    name = "odd.raw"
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "folder":
        (folder / name).mkdir()
    elif kind in ("dangling", "loop"):
        (folder / name).symlink_to("gone.raw" if kind == "dangling" else name)
    path = header(folder, "a.mhd" if kind == "itself" and header is mhd else "a.nhdr" if kind == "itself" else name)
    refused(path, "regular file, got a (pipe .FIFO.|folder)|missing|does not exist|loop|data bytes")


@both
def test_p15_an_empty_name_is_refused(folder: Path, header: Header) -> None:
    refused(header(folder, ""), "outside|data|truncated|no end")


@pytest.mark.parametrize("count", [1, 2, 4])
def test_p15_lists_and_numbered_names_are_read_and_stay_inside(folder: Path, count: int) -> None:
    share = len(raw()) // count
    names = [f"part{n}.raw" for n in range(count)]
    for n, name in enumerate(names):
        (folder / name).write_bytes(raw()[n * share : (n + 1) * share])
    for content, path in (
        (nrrd(b"", after="\ndata file: LIST\n" + "\n".join(names)), folder / "list.nhdr"),
        (nrrd(b"", data_file=f"part%d.raw 0 {count - 1} 1"), folder / "pattern.nhdr"),
        (mha(b"", ElementDataFile="LIST\n" + "\n".join(names)), folder / "list.mhd"),
        (mha(b"", ElementDataFile=f"part%d.raw 0 {count - 1} 1"), folder / "pattern.mhd"),
    ):
        same(put(path, content), marked(), LPS, set())
    bad = "\n".join([*names[:-1], "../data.raw"])
    refused(put(folder / "b.nhdr", nrrd(b"", after=f"\ndata file: LIST\n{bad}")), "outside its own folder", "outside")
    (folder / names[-1]).unlink()
    refused(folder / "pattern.mhd", f"{names[-1]} is missing", "missing")


@pytest.mark.parametrize(
    "pattern", ["%s.raw 0 1 1", "%n%d.raw 0 1 1", "a%d.raw 0 99999999 1", "a%999d.raw 0 1 1", "a%d.raw 5 1 1"]
)
def test_p15_a_senseless_pattern_is_refused(folder: Path, pattern: str) -> None:
    refused(mhd(folder, pattern), "pattern of data files|missing")


def test_p15_shares_that_do_not_add_up_are_refused(folder: Path) -> None:
    for n in range(7):
        (folder / f"p{n}.raw").write_bytes(raw()[:34])
    refused(mhd(folder, "p%d.raw 0 6 1"), "cannot lie in 7 data files", "corrupt")


@pytest.mark.parametrize(
    ("skip", "content"),
    [
        ({"byte_skip": "5"}, b"12345" + raw()),
        ({"byte_skip": "-1"}, b"any header at all" + raw()),
        ({"byte_skip": "-1", "encoding": "gzip"}, gzip.compress(b"another header" + raw())),
        ({"byte_skip": "4", "encoding": "gzip"}, gzip.compress(b"1234" + raw())),
        ({"line_skip": "1", "encoding": "gzip"}, b"a line\n" + gzip.compress(raw())),
        ({"line_skip": "2"}, b"one\ntwo\n" + raw()),
        ({"line_skip": "1", "byte_skip": "3"}, b"one\nabc" + raw()),
    ],
)
def test_p15_bytes_and_lines_before_the_voxels_are_skipped(folder: Path, skip: dict[str, str], content: bytes) -> None:
    (folder / "data.raw").write_bytes(content)
    same(put(folder / "a.nhdr", nrrd(b"", data_file="data.raw", **skip)), marked(), LPS, set())


@pytest.mark.parametrize("skip", [{"byte_skip": "-2"}, {"line_skip": "-1"}, {"byte_skip": "x"}, {"byte_skip": "1000"}])
def test_p15_a_senseless_skip_is_refused(folder: Path, skip: dict[str, str]) -> None:
    refused(
        put(folder / "a.nhdr", nrrd(b"", data_file="data.raw", **skip)),
        "skip|truncated",
        "corrupt" if "1000" not in skip.values() else "truncated",
    )


@pytest.mark.parametrize("size", ["-1", "7"])
def test_p15_the_header_size_of_a_metaimage_is_skipped(folder: Path, size: str) -> None:
    (folder / "data.raw").write_bytes(b"1234567" + raw())
    path = put(folder / "a.mhd", mha(b"", ElementDataFile="data.raw", HeaderSize=size))
    same(path, marked(), LPS, set())


def test_p15_a_packed_data_file_is_read(folder: Path) -> None:
    (folder / "data.zraw").write_bytes(zlib.compress(raw()))
    path = put(folder / "a.mhd", mha(b"", ElementDataFile="data.zraw", CompressedData="True"))
    same(path, marked(), LPS, set())


def test_p15_the_other_half_of_a_pair_stays_inside_too(folder: Path) -> None:
    header = folder / "a.hdr"
    header.write_bytes(nifti(magic=b"ni1\0", vox_offset=0.0))
    (folder / "a.img").symlink_to("/etc/passwd")
    refused(header, "symbolic link to a path outside", "outside")
    (folder / "a.img").unlink()
    (folder / "a.img").symlink_to("sub/data.raw")
    same(header, marked(), SFORM, set())
