"""P29: a store holds arrays of numbers and JSON, no pickled object, and nothing that is private."""

from __future__ import annotations

import json
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.store.entry import FILES
from medssl.store.files import seal, unseal
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from tests.promises.files import CANARIES, put
from tests.promises.private import leaks
from tests.promises.stores import SHAPE, small_set
from tests.promises.test_p50_privacy import private_mha, private_nifti, private_nrrd, private_series
from tests.store.making import save, texture, write_manifest


def test_p29_every_file_is_an_array_of_numbers_or_json(tmp_path: Path) -> None:
    prepare(small_set(tmp_path, 2), tmp_path / "store", StoreSettings())
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {*FILES, "entry.json", "store.json"}
    for path in files:
        if path.suffix == ".npy":
            assert np.load(path, allow_pickle=False).dtype.kind in "iub"
        else:
            assert isinstance(json.loads(path.read_text()), dict)
        with pytest.raises((ValueError, IndexError)):
            list(pickletools.genops(path.read_bytes()))


class _Harm:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["image.npy", "points.npy", "body.npy"])
def test_p29_an_array_of_objects_is_never_loaded(tmp_path: Path, name: str) -> None:
    """Also where its checksums are those on record."""
    manifest = small_set(tmp_path, 1)
    store = prepare(manifest, tmp_path / "store", StoreSettings())
    entry, trap = Path(store.name(0)), tmp_path / "trap"
    np.save(entry / name, np.array([_Harm(trap)], dtype=object), allow_pickle=True)
    content = (entry / name).read_bytes()
    assert b"trap" in content
    from medssl.store.blocks import block_sums

    facts = unseal((entry / "entry.json").read_bytes())
    assert facts is not None
    facts["files"][name] |= {"bytes": len(content), "crc": block_sums([content])}
    (entry / "entry.json").write_bytes(seal(facts))
    with pytest.raises(InputError, match="store-corrupt"):
        Store.open(tmp_path / "store").read(0, (0, 0, 0), SHAPE)
    assert not trap.exists()
    with pytest.raises((ValueError, OSError), match=r"pickle|object"):
        np.load(entry / name, allow_pickle=False)
    # the trap itself works
    pickle.loads(pickle.dumps(_Harm(trap)))  # noqa: S301
    assert trap.exists()


def test_p29_nothing_private_of_the_headers_stands_in_it(tmp_path: Path) -> None:
    """Headers, names of files and folders, and whatever the manifest says of a person."""
    folder = tmp_path / CANARIES[0]
    folder.mkdir()
    put(folder / f"{CANARIES[0]}.nii", private_nifti())
    put(folder / "b.nrrd", private_nrrd())
    put(folder / "c.mha", private_mha())
    private_series(folder / "d")
    said = {"patient_id": CANARIES[0], "study_id": CANARIES[1], "remark": CANARIES[2], "site": CANARIES[1]}
    rows = [{"image": name, **said, "patient_id": f"{CANARIES[0]}{name}"} for name in
            (f"{CANARIES[0]}.nii", "b.nrrd", "c.mha", "d")]  # fmt: skip
    manifest = write_manifest(folder, rows)
    where = tmp_path / "store"
    assert len(prepare(manifest, where, StoreSettings())) == 4
    found = leaks(where)
    # a column of few words is a class and keeps them, which is said where columns are described
    assert {Path(path).name for path in found} <= {"store.json"}
    store = unseal((where / "store.json").read_bytes())
    assert store is not None
    store.pop("target_names")
    (where / "store.json").write_bytes(seal(store))
    assert leaks(where) == {}


def test_p29_a_column_of_remarks_keeps_none(tmp_path: Path) -> None:
    save(tmp_path / "scan.nii", texture(SHAPE))
    rows = [{"image": "scan.nii", "patient_id": "p", "series_id": str(n), "remark": f"{CANARIES[0]} {n}"}
            for n in range(101)]  # fmt: skip
    prepare(write_manifest(tmp_path, rows), tmp_path / "store", StoreSettings())
    assert leaks(tmp_path / "store") == {}
