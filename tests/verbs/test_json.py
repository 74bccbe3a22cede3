"""Every verb that answers something prints one JSON document with ``--json``, and nothing else on stdout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medssl import cli
from tests.training.tiny import make_scans


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    make_scans(folder, 2)
    return folder


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["inspect", "{scans}"], "volumes"),
        (["convert", "{scans}/0.nii.gz", "{out}/a.nrrd"], "written"),
        (["manifest", "build", "{scans}", "{out}/a.csv"], "rows"),
        (["manifest", "check", "{scans}/manifest.csv", "--deep"], "problems"),
        (["manifest", "split", "{scans}/manifest.csv", "{out}/s.csv", "--shares", "train=1"], "splits"),
        (["prepare", "{scans}/manifest.csv", "{out}/store"], "built"),
        (["reduce", "{scans}/manifest.csv", "{out}/reduced", "--keep-patients"], "removed"),
        (["recipe", "list"], "recipes"),
        (["recipe", "show", "demo/pretrain_voco"], "text"),
        (["recipe", "check", "demo/pretrain_voco"], "problems"),
        (["recipe", "schema", "finetune"], "properties"),
        (["recipe", "schema", "--out", "{out}/schema.json"], "written"),
        (["data", "list"], "cards"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_one_document(
    words: list[str], key: str, scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = [word.format(scans=scans, out=tmp_path) for word in words]
    assert cli.run([*given, "--json"]) == 0
    assert key in json.loads(capfd.readouterr().out)


def test_people_get_no_data_structures(scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["inspect", str(scans)], ["prepare", str(scans / "manifest.csv"), str(tmp_path / "store")]):
        assert cli.run(words) == 0
        text = capfd.readouterr().out
        assert text
        assert not any(mark in text for mark in ("{", "[", "None", "': "))
