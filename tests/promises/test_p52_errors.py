"""P52 to P54: one line on stderr that names file, reason and code; bad scans set aside; every code documented."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medssl import cli
from medssl.draws import generator
from medssl.errors import CODES
from medssl.io.formats import nifti as reader
from tests.promises.files import marked, nifti, put
from tests.training.tiny import make_scans

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"medssl: error: (?P<file>.+?): (?P<reason>.+) \[(?P<code>[a-z-]+)\]( \(.+\))?\n")


def asked(words: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    capfd.readouterr()
    code = cli.run(words)
    told = capfd.readouterr()
    return code, told.out, told.err


@pytest.mark.parametrize(
    ("change", "code", "exit_code"),
    [
        (lambda content: content[:-5], "truncated", 3),
        (lambda content: b"", "truncated", 3),
        (lambda content: b"<html>" + content, "format", 3),
        (lambda content: content[:42] + b"\xff\x7f" * 3 + content[48:], "too-large", 3),
        (lambda content: content[:254] + b"\x00\x00" + content[256:80] + content[256:], None, 0),
    ],
)
def test_p52_a_refusal_is_one_line_with_file_reason_code_and_no_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], change: Any, code: str | None, exit_code: int
) -> None:
    path = put(tmp_path / "a.nii", change(nifti()))
    for words in (["convert", str(path), str(tmp_path / "out.npz")], ["inspect", str(path)]):
        left, out, err = asked(words, capfd)
        assert left == exit_code
        if code is None:
            assert "error" not in err
            continue
        found = LINE.fullmatch(err)
        assert found is not None, err
        assert (found["file"], found["code"]) == (str(path), code)
        assert "Traceback" not in err
        assert out == "" or words[0] == "inspect"


def test_p52_control_characters_of_a_name_are_escaped(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a\nmedssl: error: forged\r\x1b[2J\u202e\x00b.nii".replace("\x00", "")
    path.write_bytes(b"")
    _, _, err = asked(["convert", str(path), str(tmp_path / "out.npz")], capfd)
    assert LINE.fullmatch(err) is not None
    assert "a\\nmedssl: error: forged\\r\\x1b[2J\\u202eb.nii" in err


def test_p52_json_has_nothing_but_its_document_on_stdout(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path / "a.nii", nifti()[:-1])
    code, out, err = asked(["inspect", str(path), "--json"], capfd)
    assert code == 3
    assert json.loads(out)["problems"][0]["code"] == "truncated"
    assert LINE.fullmatch(err) is not None


def test_p53_bad_scans_are_set_aside_and_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scans").mkdir()
    make_scans(Path("scans"))
    whole = Path("scans/1.nii.gz").read_bytes()
    Path("scans/1.nii.gz").write_bytes(whole[:-50])
    code, _, err = asked(["prepare", "scans/manifest.csv", "store"], capfd)
    assert code == 3
    assert "1.nii.gz" in err
    code, out, _ = asked(["prepare", "scans/manifest.csv", "store", "--continue-on-error", "--json"], capfd)
    assert code == 1
    told = json.loads(out)
    assert told["scans"] == 3
    (one,) = json.loads(Path(told["quarantine"]).read_text())
    assert (one["line"], one["code"], one["stage"]) == (3, "truncated", "read")
    assert one["file"] == "1.nii.gz"
    assert "1.nii.gz" in told["quarantined"][0]["error"]
    code, _, err = asked(["prepare", "scans/manifest.csv", "store", "--continue-on-error", "--max-bad", "0.2"], capfd)
    assert code == 3
    assert "1 of 4 scans were refused, at most 20% may be [quarantine]" in err


def test_p54_every_code_that_is_raised_is_documented_and_every_documented_one_exists() -> None:
    table = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE))
    assert table == set(CODES)
    used = set()
    for path in (ROOT / "medssl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                used.add(node.value.value)
    unknown = {code for code in used if isinstance(code, str)} - set(CODES)
    assert unknown == set()


def test_p54_a_reader_that_fails_as_nobody_foresaw_is_internal_and_names_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> object:
        raise KeyError("CANARY^PHI")

    monkeypatch.setattr(reader, "_layout", failing)
    path = put(tmp_path / "a.nii", nifti())
    code, _, err = asked(["convert", str(path), str(tmp_path / "out.npz")], capfd)
    assert code == 70
    found = LINE.fullmatch(err)
    assert found is not None
    assert (found["file"], found["code"]) == (str(path), "internal")
    assert "KeyError" in err
    assert "CANARY" not in err


@pytest.mark.parametrize("error", [MemoryError, RecursionError, OSError, ZeroDivisionError])
def test_p54_every_failure_of_a_verb_names_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    import medssl.io.write

    def failing(*_: object, **__: object) -> object:
        raise error("CANARY^PHI")

    monkeypatch.setattr(medssl.io.write, "write", failing)
    path = put(tmp_path / "a.nii", nifti())
    code, _, err = asked(["convert", str(path), str(tmp_path / "out.npz")], capfd)
    assert code in (3, 5, 70)
    assert LINE.fullmatch(err) is not None
    assert str(path) in err
    assert "CANARY" not in err


def test_p54_mutated_headers_are_refused_by_a_documented_code_or_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = generator(0, 1, 54)
    whole = nifti(marked(kind="f4"))
    path = tmp_path / "a.nii"
    for _ in range(30):
        broken = bytearray(whole)
        for at in rng.integers(0, 360, 3):
            broken[at] = int(rng.integers(256))
        path.write_bytes(broken)
        code, _, err = asked(["convert", str(path), str(tmp_path / "out.npz")], capfd)
        found = LINE.fullmatch(err)
        assert code in (0, 3)
        assert (found is None) == (code == 0), err
        assert found is None or (found["code"] in CODES and found["code"] != "internal")
    assert np.isfinite(marked()).all()
