"""The reduce verb: what it writes and what it says."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from medssl.commands.reduce import reduce
from medssl.datasets.label_groups import GROUPS
from medssl.datasets.phantom_set import write_phantoms
from medssl.errors import InputError, UsageError
from medssl.manifest import Manifest, Record
from medssl.store.kept import parse_slices

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), count=5)


def rows_of(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_near_double_is_left_out_with_its_reason(phantoms, tmp_path):
    told: list[str] = []
    result = reduce(phantoms, tmp_path / "out", progress=lambda done, total, text: told.append(text))
    json.dumps(result)
    assert (result["scans_before"], result["scans_kept"], result["left_out"]) == (5, 4, 1)
    (left_out,) = result["removed"]
    assert (left_out["image"], left_out["kept_image"]) == ("images/phantom04.nii.gz", "images/phantom00.nii.gz")
    assert 0 < left_out["distance"] <= 6
    assert "another patient id" in left_out["reason"]
    assert rows_of(result["removed_file"]) == [{key: str(value) for key, value in left_out.items()}]
    reduced = Manifest.read(result["manifest"], root=result["root"])
    before = Manifest.read(phantoms)
    assert reduced.records == before.records[:4]
    assert reduced.classes == GROUPS
    assert reduced.resolve(reduced.records[0]) == before.resolve(before.records[0])
    assert "hashing scans" in told


def test_reducing_twice_changes_nothing(phantoms, tmp_path):
    once = reduce(phantoms, tmp_path / "once")
    twice = reduce(once["manifest"], tmp_path / "twice", root=phantoms.parent)
    assert twice["left_out"] == 0
    assert Path(twice["manifest"]).read_bytes() == Path(once["manifest"]).read_bytes()
    assert rows_of(twice["removed_file"]) == []


def test_slices(phantoms, tmp_path):
    result = reduce(phantoms, tmp_path / "out", unit="slice")
    reduced = Manifest.read(result["manifest"], root=result["root"])
    removed = rows_of(result["removed_file"])
    assert len(removed) == result["left_out"] > 0
    for record in reduced.records:
        gone = [int(row["slice"]) for row in removed if row["image"] == record.image]
        if record.split == "test":
            assert (record.slices, gone) == ("", [])
        else:
            kept = list(parse_slices(record.slices))
            assert sorted(kept + gone) == list(range(len(kept) + len(gone)))
            stand = {int(row["kept_slice"]) for row in removed if row["image"] == record.image}
            assert stand <= set(kept)
    again = reduce(result["manifest"], tmp_path / "again", root=phantoms.parent, unit="slice")
    assert again["left_out"] == 0


def test_other_thresholds(phantoms, tmp_path):
    assert reduce(phantoms, tmp_path / "a", threshold=0)["left_out"] == 0
    everything = reduce(phantoms, tmp_path / "b", threshold=64)
    assert everything["scans_kept"] == 2  # the first of training, and the test scan
    kept = reduce(phantoms, tmp_path / "c", threshold=64, keep_patients=True)
    assert kept["left_out"] == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"unit": "voxel"}, "scan or slice, got 'voxel'"), ({"threshold": -1}, "0 or more, got -1")],
)
def test_wrong_settings_write_nothing(phantoms, tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        reduce(phantoms, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_the_manifest_that_is_read_is_never_replaced(phantoms, tmp_path):
    copy = Manifest.read(phantoms)
    copy.write(tmp_path / "manifest.csv")
    before = (tmp_path / "manifest.csv").read_bytes()
    with pytest.raises(UsageError, match="would replace the manifest"):
        reduce(tmp_path / "manifest.csv", tmp_path, root=phantoms.parent)
    assert (tmp_path / "manifest.csv").read_bytes() == before


def test_a_missing_scan_writes_nothing(tmp_path):
    records = (Record(image="none.nii.gz", patient_id="p"),)
    Manifest(tmp_path / "m.csv", tmp_path, records).write(tmp_path / "m.csv")
    with pytest.raises(InputError, match=r"none\.nii\.gz is missing"):
        reduce(tmp_path / "m.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real volumes beside the clone (../shared/data) are not there")
def test_all_copies_of_mice_are_found_and_no_animal_is_lost(tmp_path):
    mouse = SHARED / "mouse"
    names = sorted(path.name for path in (mouse / "images").glob("*.nii.gz"))
    copies = sorted(path.name for path in (mouse / "copies").glob("*.nii.gz"))
    assert (len(names), len(copies)) == (25, 8)
    records = [Record(image=f"images/{name}", patient_id=name) for name in names]
    records += [Record(image=f"copies/{name}", patient_id=name) for name in copies]
    Manifest(tmp_path / "m.csv", mouse, tuple(records)).write(tmp_path / "m.csv")
    result = reduce(tmp_path / "m.csv", tmp_path / "out", root=mouse)
    assert sorted(row["image"] for row in result["removed"]) == [f"copies/{name}" for name in copies]
    for row in result["removed"]:
        assert row["distance"] == 0
        same = [(mouse / row[key]).read_bytes() for key in ("image", "kept_image")]
        assert same[0] == same[1]
    assert os.path.commonpath([result["manifest"], tmp_path]) == str(tmp_path)
