"""P28: a store that cannot be written ends a run with one line, or is kept in memory where that was asked for."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from medssl.cli import run
from medssl.errors import ResourceError
from medssl.loading.data import Data, open_store
from tests.commands.tiny import simclr
from tests.training.tiny import make_scans

NOWHERE = "/sys/medssl-store"
pytestmark = pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that nobody can write")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    make_scans(tmp_path)
    return tmp_path


def test_p28_without_it_the_run_ends_with_one_line(
    scans: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scans)
    (scans / "r.yaml").write_text(_recipe(scans))
    assert run(["pretrain", "r.yaml"], False) == 5
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert NOWHERE in line
    assert "[disk]" in line


def test_p28_with_it_training_goes_on_and_leaves_nothing_behind(scans: Path) -> None:
    (scans / "r.yaml").write_text(_recipe(scans))
    command = [sys.executable, "-m", "medssl.cli", "pretrain", "r.yaml", "--cache-optional"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=scans, check=False)
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if "until this run ends" in line]
    folder = Path(warning.split(" lie in ")[1].split(" until")[0])
    assert folder.name.startswith("medssl-store-")
    assert not folder.exists()
    assert (scans / "out" / "weights" / "model.safetensors").is_file()


def test_p28_the_scans_are_those_of_the_manifest(scans: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = Data(str(scans / "manifest.csv"), store=NOWHERE, split="train", cache_optional=True)
    with caplog.at_level(logging.WARNING):
        store = open_store(data, scans)
    assert len(store) == 2
    assert len(caplog.records) == 1
    with pytest.raises(ResourceError, match="disk"):
        open_store(Data(str(scans / "manifest.csv"), store=NOWHERE), scans)


def _recipe(scans: Path) -> str:
    import yaml

    asked = simclr(scans, scans / "out")
    asked["data"]["store"] = NOWHERE
    return yaml.safe_dump(asked)
