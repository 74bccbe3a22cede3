"""P25: an entry is found again by its source's bytes, the settings and the store's format, and by nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from medssl.cli import run
from medssl.errors import InputError
from medssl.manifest import Manifest
from medssl.store import build, entry
from medssl.store.prepare import is_current, prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.store.work import Preparation
from tests.promises.stores import SHAPE, small_set
from tests.store.making import save, texture


def _again(folder: Path, settings: StoreSettings | None = None, **more: Any) -> Preparation:
    account = Preparation()
    manifest = Manifest.read(folder / "scans.csv")
    prepare(manifest, folder / "store", settings or StoreSettings(), account=account, **more)
    return account


def _value(folder: Path) -> int:
    store = Store.open(folder / "store")
    voxels = store.entry(0).voxels
    return round(float(store.read(0, (0, 0, 0), (1, 1, 1))[0, 0, 0, 0] * voxels.scale + voxels.offset))


def test_p25_a_changed_source_is_a_miss(tmp_path: Path) -> None:
    small_set(tmp_path, 2)
    assert _again(tmp_path).built == 2
    assert _again(tmp_path).reused == 2
    other = texture(SHAPE, 9)
    save(tmp_path / "s0.nii", other)
    done = _again(tmp_path)
    assert (done.built, done.reused) == (1, 1)
    assert _value(tmp_path) == other[0, 0, 0]


def test_p25_a_changed_label_is_a_miss(tmp_path: Path) -> None:
    small_set(tmp_path, 1)
    _again(tmp_path)
    label = texture(SHAPE, 1, "u1") % 2
    label[0, 0, 0] = 1
    save(tmp_path / "l0.nii", label)
    assert _again(tmp_path).built == 1
    assert Store.open(tmp_path / "store").read_label(0, (0, 0, 0), (1, 1, 1)).tolist() == [[[[1]]]]


@pytest.mark.parametrize(
    "changed",
    [
        {"orientation": "LPS"},
        {"spacing_mm": (2.0, 1.0, 1.0)},
        {"window_hu": (0.0, 500.0)},
        {"percentiles": (1.0, 99.0)},
        {"zscore": 3.0},
        {"n4": True},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_p25_a_changed_setting_is_a_miss(tmp_path: Path, changed: dict[str, Any]) -> None:
    manifest = small_set(tmp_path, 1)
    _again(tmp_path)
    assert not is_current(tmp_path / "store", manifest, StoreSettings(**changed))
    assert _again(tmp_path, StoreSettings(**changed)).built == 1
    # and what was there before is found again
    assert _again(tmp_path).reused == 1


def test_p25_another_format_is_a_miss_and_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_set(tmp_path, 1)
    with monkeypatch.context() as earlier:
        earlier.setattr(build, "FORMAT", entry.FORMAT - 1)
        earlier.setattr(entry, "FORMAT", entry.FORMAT - 1)
        _again(tmp_path)
    with pytest.raises(InputError, match="store-corrupt"):
        Store.open(tmp_path / "store").entry(0)
    assert _again(tmp_path).built == 1
    assert _value(tmp_path) == texture(SHAPE)[0, 0, 0]


@pytest.mark.parametrize("touched", [True, False])
def test_p25_a_source_changed_behind_its_time_is_found_by_a_full_look(tmp_path: Path, touched: bool) -> None:
    """Size, time and inode stay: nothing but the bytes tells; and bytes that stay are no change, whatever the time."""
    small_set(tmp_path, 1)
    _again(tmp_path)
    path = tmp_path / "s0.nii"
    stat = path.stat()
    if touched:
        os.utime(path, (1, 1))
        assert _again(tmp_path).reused == 1
    else:
        content = bytearray(path.read_bytes())
        content[-2] ^= 1
        with path.open("r+b") as file:
            file.write(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert _again(tmp_path).reused == 1
        assert _again(tmp_path, verify="full").built == 1


def test_p25_the_verb_looks_in_full_where_it_is_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_set(tmp_path, 1)
    words = ["prepare", str(tmp_path / "scans.csv"), str(tmp_path / "store")]
    assert run([*words, "--verify", "full", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["built"] == 1
    assert run([*words, "--verify", "full", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reused"] == 1
    assert run([*words, "--verify", "never"]) == 2
    assert "--verify" in capsys.readouterr().err
