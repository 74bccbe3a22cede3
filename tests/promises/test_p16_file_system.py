"""P16: only regular files are opened, loops end, any name works, and what is missing or forbidden is named."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from medssl import cli
from medssl.errors import MedsslError
from medssl.io.read import read, read_all, read_label
from tests.io.scans import write_slices
from tests.promises.files import SFORM, converted, marked, mha, nifti, put, refused, same

NAMES = [
    "a b.nii",
    " leading.nii",
    "-rf.nii",
    "--help.nii",
    "new\nline.nii",
    "tab\t\x1b[31mred.nii",
    "ünïcödé 日本 🧠.nii",
    "e\u0301 is not \u00e9.nii",
    "right\u202eto left.nii",
    "%s%n{}{0}.nii",
    "$(touch x);`touch y`&&|>z.nii",
    "'quotes\".nii",
    "*?[!a].nii",
    "=cmd|' -C calc'!A0.nii",
    "@SUM(1),2;3.nii",
    "a\\b.nii",
    "..nii",
    "...hidden.nii",
    "UPPER.NII",
    "many.dots.in.a.name.nii.gz",
    "x" * 244 + ".nii",
    "ä" * 122 + ".nii",
    "no suffix",
    "wrong.suffix",
]


@pytest.mark.parametrize("name", NAMES)
def test_p16_every_name_works_and_cannot_forge_output(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = put(tmp_path / name, nifti())
    same(path, marked(), SFORM, set())
    path.write_bytes(path.read_bytes()[:-9])
    capfd.readouterr()
    assert cli.run(["convert", str(path), str(tmp_path / "out.npz")]) == 3
    told = capfd.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert told.err.startswith("medssl: error: ")
    assert told.err.rstrip("\n").isprintable()
    assert "[truncated]" in told.err
    if name.isprintable():
        assert name in told.err
    assert cli.run(["inspect", str(tmp_path), "--json"]) == 3
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_p16_a_name_that_is_not_utf8_works(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.nii")
    path.write_bytes(nifti())
    same(path, marked(), SFORM, set())
    env = {**os.environ, "PYTHONIOENCODING": ""}
    for words, code in ((["convert"], 0), (["inspect", "--json"], 0)):
        more = [str(tmp_path / "out.nii.gz")] if words[0] == "convert" else []
        done = subprocess.run(
            [sys.executable, "-m", "medssl.cli", words[0], path, *more, *words[1:]],
            capture_output=True,
            env=env,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert b"error" not in done.stderr
        assert words[0] == "convert" or b"caf\\udce9.nii" in done.stdout
        if "--json" in words:
            json.loads(done.stdout)


def test_p16_pipes_devices_sockets_and_folders_are_no_scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.nii.gz")
    refused(tmp_path / "pipe.nii.gz", r"expected a regular file, got a pipe \(FIFO\)", "not-regular")
    for device in ("/dev/zero", "/dev/null", "/dev/random", "/dev/stdin"):
        refused(_link(tmp_path / "device.nii", device), "expected a regular file, got a (device|pipe|socket)")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.nii")
        refused(tmp_path / "socket.nii", "expected a regular file, got a socket", "not-regular")
    (tmp_path / "folder.nii.gz").mkdir()
    refused(tmp_path / "folder.nii.gz", "folder.*regular file or a directory")


def _link(path: Path, target: str | Path) -> Path:
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    return path


def test_p16_links(tmp_path: Path) -> None:
    put(tmp_path / "a.nii.gz", nifti())
    (tmp_path / "deep").mkdir()
    # a link that the user names is followed, wherever it leads: data sets are laid out that way
    same(_link(tmp_path / "deep" / "b.nii.gz", "../a.nii.gz"), marked(), SFORM, set())
    refused(_link(tmp_path / "gone.nii.gz", "nowhere.nii.gz"), "symbolic link to a file that does not exist", "missing")
    refused(_link(tmp_path / "loop.nii.gz", "loop.nii.gz"), "loop of symbolic links", "missing")
    _link(tmp_path / "one.nii.gz", "two.nii.gz")
    refused(_link(tmp_path / "two.nii.gz", "one.nii.gz"), "loop of symbolic links", "missing")


def test_p16_loops_of_folders_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    scans = tmp_path / "scans"
    (scans / "one" / "two").mkdir(parents=True)
    put(scans / "one" / "a.nii.gz", nifti())
    for name, target in (("one/up", ".."), ("one/two/top", scans), ("self", "self"), ("out", "/")):
        (scans / name).symlink_to(target)
    os.mkfifo(scans / "pipe.nii")
    (scans / "zero.nii").symlink_to("/dev/zero")
    assert cli.run(["inspect", str(scans), "--json"]) == 3
    found = json.loads(capfd.readouterr().out)
    assert [Path(entry["file"]).name for entry in found["volumes"] if "shape" in entry] == ["a.nii.gz"]
    assert cli.run(["manifest", "build", str(scans), str(tmp_path / "m.csv")]) in (0, 1, 3)
    refused(scans, "DICOM|folder")
    (scans / "one" / "series").mkdir()
    write_slices(scans / "one" / "series")
    for name, target in (("again", "."), ("up", ".."), ("top", scans)):
        (scans / "one" / "series" / name).symlink_to(target)
    assert converted(scans / "one" / "series")["data"].shape == (6, 5, 4)
    (scans / "one" / "series" / "IM99").symlink_to("IM99")
    assert "IM99: a loop of symbolic links" in refused(scans / "one" / "series", "loop", "missing")


def test_p16_what_is_missing_or_forbidden_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "gone.nii", "does not exist .missing. .no such file", "missing")
    refused(tmp_path / "a.nii" / "b.nii", "does not exist")
    refused(put(tmp_path / "file.nii", nifti()) / "b.nii", "expected a folder, got a file")
    refused(tmp_path / ("x" * 300 + ".nii"), "name is too long", "missing")
    for reader in (read, read_all, read_label):
        with pytest.raises(MedsslError, match="name is too long"):
            reader(tmp_path / ("x" * 300 + ".nii"))
    refused(tmp_path / "null\0.nii", "null character")


def test_p16_a_file_without_rights_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a.nii", nifti())
    path.chmod(0)
    words = [sys.executable, "-m", "medssl.cli", "convert", str(path), str(tmp_path / "out.npz")]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("needs a user who is not allowed everything, or setpriv")
        # stay the same user, but lose the right to pass over a file's mode
        rights = "-dac_override,-dac_read_search"
        words = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", *words]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith(f"medssl: error: {path}: permission denied")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["a.nii", "a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.npz", "a.dcm", "a", "a.img"]
)
def test_p16_an_empty_file_is_called_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    refused(tmp_path / name, "empty|missing")


def test_p16_a_file_that_vanishes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a.mhd", mha(b"", ElementDataFile="a.raw"))
    refused(path, "a.raw is missing beside the header", "missing")
    from medssl.io.formats import nifti as reader

    keep = reader._layout

    def vanishing(header: object, where: Path) -> object:
        where.with_suffix(".img").unlink()
        return keep(header, where)  # type: ignore[arg-type]

    monkeypatch.setattr(reader, "_layout", vanishing)
    (tmp_path / "b.hdr").write_bytes(nifti(magic=b"ni1\0", vox_offset=0.0))
    (tmp_path / "b.img").write_bytes(bytes(240))
    refused(tmp_path / "b.hdr", "does not exist|missing", "missing")
