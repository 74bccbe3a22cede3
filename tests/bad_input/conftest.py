"""A place with scans and runs, and a command that must be refused there: the exit code, one line, nothing left."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from medssl import cli
from tests.bad_input.asking import Refused, listing
from tests.commands.tiny import recipe, simclr
from tests.training.tiny import make_scans


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans, recipes, a pretrained run, a fine-tuned run and its predictions; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "scans").mkdir()
    make_scans(folder / "scans")
    scans = Path("scans")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # the salt of the tests, which is there for single tests only
        patch.setenv("MEDSSL_HOME", str(tmp_path_factory.getbasetemp() / "home"))
        _recipe("pre.yaml", simclr(scans, Path("pre"), keep={"tensorboard": False, "pictures_every": 0}))
        task = {"name": "segment", "width": 8}
        _recipe("seg.yaml", recipe(scans, Path("seg"), task=task, init="pre", encoder=None))
        assert cli.run(["pretrain", "pre.yaml"]) == 0
        assert cli.run(["finetune", "seg.yaml"]) == 0
        assert cli.run(["predict", "seg", "scans/manifest.csv", "masks", "--split", "test"]) == 0
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The place, as the working directory; what a test puts there goes again."""
    monkeypatch.chdir(place)
    before = listing(place)
    yield place
    for name in sorted(listing(place) - before, reverse=True):
        path = place / name
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()


@pytest.fixture
def refused(here: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command and holds its refusal against what it should be."""

    def run(words: list[str], exit_code: int, code: str, *says: str, leaves: set[str] | None = None) -> str:
        before = listing(here)
        capfd.readouterr()
        assert cli.run(words) == exit_code
        told = capfd.readouterr()
        lines = told.err.splitlines()
        errors = [line for line in lines if line.startswith("medssl: error: ")]
        assert len(errors) == 1, told.err
        assert lines[-1] == errors[0]
        # anything else is the progress of steps that went well
        assert all(line.endswith("…") for line in lines[:-1]), told.err
        assert f" [{code}]" in errors[0]
        for text in says:
            assert text in errors[0]
        assert listing(here) - before == (leaves or set())
        assert before <= listing(here)
        assert not (here / "canary").exists()
        return told.out

    return run


def _recipe(path: str, plain: dict[str, Any]) -> None:
    Path(path).write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")


@pytest.fixture
def without_privilege() -> Iterator[None]:
    """Root writes to read-only folders, too, unless it gives that right away (CAP_DAC_OVERRIDE)."""
    if os.geteuid() != 0:
        yield
        return
    system = ctypes.CDLL(None)
    header, rights = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if not hasattr(system, "capget") or system.capget(header, rights) != 0:
        pytest.skip("runs as root, and cannot give up its rights here")
    before = rights[0]
    rights[0] = before & ~(1 << 1)
    assert system.capset(header, rights) == 0
    yield
    rights[0] = before
    assert system.capset(header, rights) == 0
