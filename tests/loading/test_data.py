from __future__ import annotations

from pathlib import Path

import pytest

from medssl.errors import InputError, RecipeError
from medssl.loading.data import Data, open_store
from medssl.recipe import check
from tests.store.making import save, texture, write_manifest


def _manifest(folder: Path) -> str:
    rows = []
    for number, split in enumerate(("train", "train", "val")):
        save(folder / f"s{number}.nii.gz", texture((8, 8, 8), number))
        rows.append({"image": f"s{number}.nii.gz", "patient_id": f"p{number}", "split": split})
    write_manifest(folder, rows)
    return str(folder / "scans.csv")


def test_a_recipe_section_is_checked() -> None:
    data = check(Data, {"manifest": "a.csv", "spacing_mm": [1.5, 1.5, 1.5], "window_hu": [-175, 250]})
    assert data.settings().contract()["spacing_mm"] == [1.5, 1.5, 1.5]
    assert check(Data, {"manifest": "a.csv", "spacing_mm": "median"}).settings().spacing_mm == "median"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"spacing_mm": [1.0, 1.0]}, "spacing_mm"),
        ({"window_hu": [250, -175]}, "two rising numbers"),
        ({"workers": -1}, "workers"),
    ],
)
def test_a_senseless_section_is_refused(given: dict[str, object], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        check(Data, {"manifest": "a.csv", **given})


def test_the_store_is_made_when_it_is_needed_and_only_then(tmp_path: Path) -> None:
    data = Data(_manifest(tmp_path), split="train")
    told: list[str] = []
    store = open_store(data, tmp_path / "run", lambda done, total, text: told.append(text))
    assert len(store) == 2
    assert store.path == tmp_path / "run" / "store"
    assert "preparing scans" in told
    told.clear()
    assert len(open_store(data, tmp_path / "run", lambda done, total, text: told.append(text))) == 2
    assert told == []
    elsewhere = Data(data.manifest, store=str(tmp_path / "kept"), window_hu=(0.0, 100.0))
    assert len(open_store(elsewhere, tmp_path / "run")) == 3
    assert (tmp_path / "kept" / "store.json").is_file()


def test_an_unknown_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no scan is of split test, there are: train, val") as caught:
        open_store(Data(_manifest(tmp_path), split="test"), tmp_path / "run")
    assert caught.value.code == "too-few"
