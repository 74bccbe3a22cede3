"""Dates of scans: they become days since the patient's first one, and stand nowhere else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.write import write
from medssl.manifest import Manifest, Record
from medssl.store.prepare import prepare
from medssl.store.rows import sequence_number
from medssl.store.settings import StoreSettings
from medssl.volume import Volume

ROWS = """image,patient_id,modality,date
0.nii.gz,a,T1,2024-03-01
1.nii.gz,a,t1,20240215T0930
2.nii.gz,b,FLAIR,
3.nii.gz,b,,2023-12-31 23:59:00
4.nii.gz,b,T1,2024-01-01
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("visits")
    for number in range(5):
        data = np.arange(512, dtype=np.float32).reshape(1, 8, 8, 8) + number
        write(Volume(data, np.eye(4)), out / f"{number}.nii.gz")
    (out / "m.csv").write_text(ROWS)
    return out


def test_dates_become_days_since_the_patients_first_scan(folder):
    manifest = Manifest.read(folder / "m.csv")
    assert [record.targets for record in manifest.records] == [
        {"day": "15"},
        {"day": "0"},
        {},
        {"day": "0"},
        {"day": "1"},
    ]
    store = prepare(manifest, folder / "store", StoreSettings())
    assert [store.ids(n)["time"] for n in range(5)] == [15, 0, -1, 0, 1]
    names = ("T1", "T1", "FLAIR", "", "T1")
    assert [store.ids(n)["sequence"] for n in range(5)] == [sequence_number(name) for name in names]


def test_no_date_is_written_anywhere(folder, tmp_path):
    manifest = Manifest.read(folder / "m.csv")
    manifest.write(tmp_path / "again.csv")
    prepare(manifest, tmp_path / "store", StoreSettings())
    for path in tmp_path.rglob("*"):
        if path.suffix in (".csv", ".json"):
            text = path.read_text()
            assert not any(mark in text for mark in ("2024", "2023", "0215", '"date"')), path
    again = Manifest.read(tmp_path / "again.csv", folder)
    days = [[record.targets.get("day", "") for record in found.records] for found in (manifest, again)]
    assert days[0] == days[1]


def test_days_of_the_users_own_count_from_any_day(folder, tmp_path):
    records = [Record(f"{n}.nii.gz", "a", targets={"day": day}) for n, day in enumerate(("-30", "11.6", "", "nan"))]
    store = prepare(Manifest(folder / "m.csv", folder, tuple(records)), tmp_path / "store", StoreSettings())
    assert [store.ids(n)["time"] for n in range(4)] == [0, 42, -1, -1]


def test_a_row_with_a_day_keeps_it(tmp_path):
    (tmp_path / "m.csv").write_text("image,patient_id,date,day\na.nii,p,2024-03-01,7\n")
    assert Manifest.read(tmp_path / "m.csv").records[0].targets == {"day": "7"}


def test_a_date_that_cannot_be_read_is_named_by_its_line_alone(tmp_path):
    (tmp_path / "m.csv").write_text("image,patient_id,date\na.nii,p,2024-03-01\nb.nii,p,03/12/24\n")
    with pytest.raises(InputError, match=r"line 3: date must be as in 2024-03-01, or empty") as caught:
        Manifest.read(tmp_path / "m.csv")
    assert "03/12" not in str(caught.value)


def test_stores_of_before_have_neither(folder, tmp_path):
    store = prepare(Manifest.read(folder / "m.csv"), tmp_path / "store", StoreSettings())
    del store._rows[0].ids["time"]
    assert store.ids(0)["time"] == -1
    assert "date" not in json.dumps(store.target_names)
