from __future__ import annotations

from pathlib import Path

import pytest

from medssl.store.build import put_in_place
from medssl.store.store import Store
from tests.store.making import make_store, texture


@pytest.mark.parametrize("damaged", [True, False])
def test_a_sound_entry_is_never_replaced_and_a_damaged_one_is(tmp_path: Path, damaged: bool) -> None:
    store = make_store(tmp_path, [texture((8, 8, 8))])
    entry = Path(store.name(0))
    spare = entry.parent / "spare"
    spare.mkdir()
    for path in entry.iterdir():
        (spare / path.name).write_bytes(path.read_bytes())
    if damaged:
        (entry / "image.npy").write_bytes(b"")
    inode = entry.stat().st_ino
    put_in_place(spare, entry)
    assert (entry.stat().st_ino == inode) is not damaged
    assert (Store.open(store.path).read(0, (0, 0, 0), (8, 8, 8)) == store.read(0, (0, 0, 0), (8, 8, 8))).all()
