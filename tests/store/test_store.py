from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.store.files import seal, unseal
from medssl.store.store import Store
from tests.store.making import blobs, make_store, texture

SHAPE = (10, 9, 8)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    rows = [
        {"patient_id": "a", "split": "train", "study_id": "s", "age": "41", "kind": "WT"},
        {"patient_id": "a", "split": "train", "study_id": "", "age": "", "kind": "TT"},
        {"patient_id": "b", "split": "val", "study_id": "", "age": "7.5", "kind": "WT"},
    ]
    volumes = [texture(SHAPE, n) for n in range(3)]
    return make_store(tmp_path, volumes, labels=[blobs(SHAPE)] * 3, rows=rows)


def test_ids_are_integers_and_unknown_ones_are_minus_one(store: Store) -> None:
    ids = [store.ids(n) for n in range(3)]
    assert ids[0]["patient"] == ids[1]["patient"] != ids[2]["patient"]
    assert ids[0]["study"] >= 0
    assert ids[1]["study"] == ids[1]["series"] == -1
    assert len({one["record"] for one in ids}) == 3
    assert all(-1 <= number < 2**62 for one in ids for number in one.values())


def test_targets_are_numbers(store: Store) -> None:
    assert store.target_names == {"kind": ["TT", "WT"]}
    assert [store.row(n).targets for n in range(3)] == [
        {"age": 41.0, "kind": 1.0},
        {"kind": 0.0},
        {"age": 7.5, "kind": 1.0},
    ]


def test_splits_and_subsets(store: Store) -> None:
    assert store.positions() == [0, 1, 2]
    assert store.positions("val") == [2]
    part = store.subset([2, 0])
    assert len(part) == 2
    assert part.ids(0) == store.ids(2)
    assert (part.read(0, (1, 2, 3), (4, 5, 6)) == store.read(2, (1, 2, 3), (4, 5, 6))).all()


def test_a_box_is_a_box_of_the_scan(store: Store) -> None:
    whole = store.read(1, (0, 0, 0), SHAPE)
    assert whole.shape == (1, *SHAPE)
    assert (store.read(1, (2, 0, 5), (7, 9, 6)) == whole[:, 2:7, :, 5:6]).all()
    assert (store.read_label(1, (0, 0, 0), SHAPE)[0] == blobs(SHAPE)).all()


@pytest.mark.parametrize(("low", "high"), [((0, 0, 0), (11, 9, 8)), ((-1, 0, 0), (2, 2, 2)), ((3, 3, 3), (3, 4, 4))])
def test_a_box_that_leaves_the_scan_is_refused(store: Store, low: tuple[int, ...], high: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must lie inside the scan"):
        store.read(0, low, high)


def test_label_points_lie_on_their_classes(store: Store) -> None:
    points = store.entry(0).points
    label = store.read_label(0, (0, 0, 0), SHAPE)[0]
    assert sorted(points) == [1, 2]
    assert all((label[tuple(found.T)] == value).all() for value, found in points.items())


def test_a_missing_label_map_is_an_error(tmp_path: Path) -> None:
    store = make_store(tmp_path, [texture(SHAPE)])
    with pytest.raises(InputError, match="there is none") as caught:
        store.read_label(0, (0, 0, 0), (1, 1, 1))
    assert caught.value.code == "label"


def test_a_store_can_be_sent_to_another_process(store: Store) -> None:
    box = store.read(0, (0, 0, 0), SHAPE)
    sent = pickle.dumps(store)
    assert len(sent) < 20_000
    assert (pickle.loads(sent).read(0, (0, 0, 0), SHAPE) == box).all()  # noqa: S301


def test_no_store_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="medssl prepare makes one"):
        Store.open(tmp_path)


def test_another_version_is_refused(store: Store) -> None:
    path = store.path / "store.json"
    data = unseal(path.read_bytes())
    assert data is not None
    path.write_bytes(seal(data | {"format": 99}))
    with pytest.raises(InputError, match="expected a store of format 2, got 99") as caught:
        Store.open(store.path)
    assert caught.value.code == "store-version"


def test_an_edited_store_is_refused(store: Store) -> None:
    path = store.path / "store.json"
    data = json.loads(path.read_text())
    data["rows"][0]["split"] = "val"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"store\.json is damaged"):
        Store.open(store.path)


def test_an_entry_that_names_another_folder_is_refused(store: Store) -> None:
    path = store.path / "store.json"
    data = unseal(path.read_bytes())
    assert data is not None
    data["rows"][0]["key"] = "../../../etc"
    path.write_bytes(seal(data))
    with pytest.raises(InputError, match="names a folder that is no entry"):
        Store.open(store.path)


def test_objects_are_never_unpickled(store: Store) -> None:
    path = Path(store.name(0)) / "image.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"image\.npy: it is missing or of another size"):
        store.read(0, (0, 0, 0), (1, 1, 1))
