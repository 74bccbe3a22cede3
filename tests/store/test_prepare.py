from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medssl.errors import InputError, IntegrityError
from medssl.manifest import Manifest
from medssl.store.prepare import is_current, prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import ENTRIES, Store
from medssl.store.work import Preparation
from tests.store.making import OBLIQUE, blobs, make_store, save, texture, write_manifest

SHAPE = (10, 9, 8)


def _again(folder: Path, settings: StoreSettings | None = None) -> Preparation:
    account = Preparation()
    prepare(Manifest.read(folder / "scans.csv"), folder / "store", settings or StoreSettings(), account=account)
    return account


def _folder(store: Store, position: int) -> Path:
    return Path(store.name(position))


def _read_all(path: Path) -> None:
    store = Store.open(path)
    store.read(0, (0, 0, 0), SHAPE)
    store.read_label(0, (0, 0, 0), SHAPE)


def test_whole_numbers_come_back_exactly(tmp_path: Path) -> None:
    data = texture(SHAPE)
    store = make_store(tmp_path, [data], affine=np.diag([-1.0, 1.0, 2.0, 1.0]))
    voxels = store.entry(0).voxels
    values = store.read(0, (0, 0, 0), voxels.shape[1:])[0] * voxels.scale + voxels.offset
    assert (values == data[::-1]).all()
    assert store.read(0, (0, 0, 0), (1, 1, 1)).dtype == np.int16


def test_what_is_sound_is_used_again(tmp_path: Path) -> None:
    store = make_store(tmp_path, [texture(SHAPE, n) for n in range(3)])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store" / ENTRIES).rglob("*.npy")}
    account = _again(tmp_path)
    assert (account.built, account.reused) == (0, 3)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store" / ENTRIES).rglob("*.npy")} == before
    assert len(store) == 3


@pytest.mark.parametrize("name", ["image.npy", "label.npy", "points.npy", "entry.json"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "empty", "remove"])
def test_a_damaged_entry_is_made_anew(tmp_path: Path, name: str, harm: str) -> None:
    store = make_store(tmp_path, [texture(SHAPE, n) for n in range(2)], labels=[blobs(SHAPE)] * 2)
    expected = store.read(0, (0, 0, 0), SHAPE).copy()
    path = _folder(store, 0) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if harm == "remove":
        path.unlink()
    else:
        path.write_bytes({"flip": bytes(content), "truncate": bytes(content[:-7]), "empty": b""}[harm])
    with pytest.raises(InputError, match=_folder(store, 0).name) as caught:
        _read_all(tmp_path / "store")
    assert caught.value.code == "store-corrupt"
    account = _again(tmp_path)
    assert (account.built, account.reused) == (1, 1)
    assert (Store.open(tmp_path / "store").read(0, (0, 0, 0), SHAPE) == expected).all()


def test_a_store_is_current_until_something_changes(tmp_path: Path) -> None:
    make_store(tmp_path, [texture(SHAPE)])
    manifest = Manifest.read(tmp_path / "scans.csv")
    where = tmp_path / "store"
    assert is_current(where, manifest, StoreSettings())
    assert not is_current(where, manifest, StoreSettings(percentiles=(1.0, 99.0)))
    assert not is_current(tmp_path / "elsewhere", manifest, StoreSettings())
    save(tmp_path / "scan0.nii.gz", texture(SHAPE, 5))
    assert not is_current(where, manifest, StoreSettings())


def test_two_processes_make_the_same_entries(tmp_path: Path) -> None:
    alone = make_store(tmp_path / "a", [texture(SHAPE, n) for n in range(3)], labels=[blobs(SHAPE)] * 3)
    account = Preparation()
    manifest = Manifest.read(tmp_path / "a" / "scans.csv")
    both = prepare(manifest, tmp_path / "b", StoreSettings(), jobs=2, account=account)
    assert account.built == 3
    for position in range(3):
        ours, theirs = _folder(alone, position), _folder(both, position)
        assert {p.name: p.read_bytes() for p in ours.iterdir()} == {p.name: p.read_bytes() for p in theirs.iterdir()}


def test_rows_of_one_image_under_other_names_share_an_entry(tmp_path: Path) -> None:
    data = texture(SHAPE)
    store = make_store(tmp_path, [data, data], rows=[{"sex": "f"}, {"sex": "m"}])
    assert store.row(0).key == store.row(1).key
    assert [store.row(n).targets["sex"] for n in range(2)] == [0.0, 1.0]
    assert store.ids(0)["record"] != store.ids(1)["record"]


def test_the_same_row_twice_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", texture(SHAPE))
    manifest = write_manifest(tmp_path, [{"image": "a.nii.gz", "patient_id": "p"}] * 2)
    with pytest.raises(InputError, match="line 3 stands in line 2"):
        prepare(manifest, tmp_path / "store", StoreSettings())


def test_one_bad_scan_ends_the_run_unless_asked(tmp_path: Path) -> None:
    rows = []
    for number in range(12):
        save(tmp_path / f"s{number}.nii.gz", texture(SHAPE, number))
        rows.append({"image": f"s{number}.nii.gz", "patient_id": f"patient-{number}"})
    (tmp_path / "s3.nii.gz").write_bytes(b"no scan at all")
    manifest = write_manifest(tmp_path, rows)
    with pytest.raises(InputError, match=r"s3\.nii\.gz"):
        prepare(manifest, tmp_path / "store", StoreSettings())
    account = Preparation()
    store = prepare(manifest, tmp_path / "store", StoreSettings(), continue_on_error=True, account=account)
    assert len(store) == 11
    notes = json.loads((tmp_path / "store" / "quarantine.json").read_text())
    assert [(note["line"], note["stage"], note["code"]) for note in notes] == [
        (5, "read", account.quarantined[0]["code"])
    ]
    # the path is the manifest's own, and this machine's folders are nobody's business
    assert notes[0]["file"] == "s3.nii.gz"
    assert str(tmp_path) not in json.dumps(notes)
    with pytest.raises(InputError, match="1 of 12 scans were refused, at most 5%") as caught:
        prepare(manifest, tmp_path / "store", StoreSettings(), continue_on_error=True, max_bad=0.05)
    assert caught.value.code == "quarantine"


def test_a_recorded_checksum_is_held_against_the_file(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", texture(SHAPE))
    manifest = write_manifest(tmp_path, [{"image": "a.nii.gz", "patient_id": "p", "sha256": "0" * 64}])
    with pytest.raises(IntegrityError, match="expected sha256 0000"):
        prepare(manifest, tmp_path / "store", StoreSettings())


@pytest.mark.parametrize(
    ("slices", "reason"), [("2-9", "line 2: slices must be among 0 to 7"), ("x", "line 2: slices read like")]
)
def test_slices_that_are_not_there_are_refused_at_once(tmp_path: Path, slices: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        make_store(tmp_path, [texture(SHAPE)], rows=[{"slices": slices}])
    assert not (tmp_path / "store" / "store.json").exists()


def test_a_reduced_manifest_shares_the_entries(tmp_path: Path) -> None:
    store = make_store(tmp_path, [texture(SHAPE)])
    row = {"image": "scan0.nii.gz", "patient_id": "p0", "modality": "MR", "slices": "0-2,6"}
    account = Preparation()
    again = prepare(write_manifest(tmp_path, [row]), tmp_path / "store", StoreSettings(), account=account)
    assert (account.built, account.reused) == (0, 1)
    assert again.row(0).key == store.row(0).key
    kept = again.entry(0).kept
    assert kept is not None
    assert (kept.axis, kept.positions) == (2, (0, 1, 2, 6))


def test_the_median_spacing_is_resolved_to_numbers(tmp_path: Path) -> None:
    folder = tmp_path
    for number, size in enumerate((1.0, 2.0, 4.0)):
        save(folder / f"s{number}.nii.gz", texture(SHAPE, number), np.diag([size, 1.0, size, 1.0]))
    manifest = write_manifest(folder, [{"image": f"s{n}.nii.gz", "patient_id": f"p{n}"} for n in range(3)])
    store = prepare(manifest, folder / "store", StoreSettings(spacing_mm="median"))
    assert store.settings.contract()["spacing_mm"] == [2.0, 1.0, 2.0]
    assert [store.entry(n).voxels.shape[1] for n in range(3)] == [5, 10, 20]
    assert is_current(folder / "store", manifest, StoreSettings(spacing_mm="median"))


def test_an_oblique_scan_keeps_its_affine(tmp_path: Path) -> None:
    store = make_store(tmp_path, [texture(SHAPE)], affine=OBLIQUE)
    voxels = store.entry(0).voxels
    np.testing.assert_allclose(voxels.original_affine, OBLIQUE, atol=1e-5)
    assert voxels.original_shape == SHAPE
