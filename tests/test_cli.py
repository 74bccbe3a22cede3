"""The command line: quick to start, one-line errors, the right exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medssl import cli


def run(*words: str) -> int:
    """One command in this process."""
    return cli.run(list(words))


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    for verb in ("demo", "prepare", "pretrain", "finetune", "predict", "evaluate", "inspect", "convert", "reduce"):
        assert f"  {verb}" in text


def test_nothing_heavy_is_imported_for_help() -> None:
    heavy = "torch|numpy|pydantic|nibabel|pydicom|SimpleITK|monai|pytorch_lightning|sklearn|matplotlib|scipy"
    code = (
        "import sys, medssl.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"found = [m for m in '{heavy}'.split('|') if m in sys.modules]\n"
        "sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_medssl_imports_no_library() -> None:
    code = "import sys, medssl; sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["pretran"], 2, "No such command"),
        (["pretrain"], 2, "Missing argument"),
        (["pretrain", "no-such.yaml"], 3, "no-such.yaml: does not exist [missing]"),
        (["inspect", "no-such.nii"], 3, "no-such.nii: does not exist [missing]"),
        (["prepare", "a.csv", "b", "--spacing", "1,2"], 2, "--spacing: expected 1 or 3 numbers"),
        (["manifest", "split", "a.csv", "b.csv", "--shares", "x"], 2, "--shares: expected name=share"),
        (["data", "fetch", "no-such-set"], 2, "no-such-set"),
        (["predict", "no-such", "x.nii", "out"], 3, "no-such"),
        (["report", "no-such"], 3, "no-such"),
    ],
)
def test_an_error_is_one_line(words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == code
    said = capsys.readouterr()
    lines = said.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("medssl: error: ")
    assert says in lines[0]
    assert said.out == ""


def test_an_unexpected_failure_names_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import medssl.commands.data

    def broken() -> None:
        raise ZeroDivisionError("CANARY^PHI")

    monkeypatch.setattr(medssl.commands.data, "list_data", broken)
    assert run("data", "list") == 70
    said = capsys.readouterr().err.strip()
    # the text of an error that nobody foresaw may hold anything: only its kind and place are told
    assert said.startswith("medssl: error: ZeroDivisionError in ")
    assert said.endswith(" [internal] (please report it; --debug shows more)")
    assert "CANARY" not in said


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["inspect", "no-such.nii", "--debug"])
    assert stop.value.code == 3
    assert "Traceback" in capsys.readouterr().err


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "list", "--json") == 0
    names = [card["name"] for card in json.loads(capsys.readouterr().out)["cards"]]
    assert {"samples", "phantoms", "hippocampus"} <= set(names)


def test_a_full_disk_is_a_resource_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from medssl.errors import from_os_error

    error = from_os_error(OSError(errno.ENOSPC, "No space left on device"), tmp_path / "store")
    assert error.exit_code == 5
    assert "[disk]" in error.line()
    assert "bytes are free" in error.line()


def test_exports_are_exact() -> None:
    import medssl

    for name in medssl.__all__:
        assert getattr(medssl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = medssl.nonsense


@pytest.mark.parametrize(("before", "after"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_unless_told_otherwise(
    before: str | None, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", before or "")
    if before is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert os.environ["OMP_WAIT_POLICY"] == after
