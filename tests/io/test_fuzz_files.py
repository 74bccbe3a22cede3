"""P54: damaged NIfTI, NRRD, MetaImage and NumPy files are refused by name, or read as a volume that agrees with itself.

The long form is ``python tests/benchmarks/fuzz.py --count 10000``.
"""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from medssl.draws import generator
from medssl.errors import InputError
from medssl.io.files import open_regular
from medssl.io.read import read
from medssl.volume import Volume
from tests.fuzz import hunt as hunter
from tests.fuzz.cases import ITK, NIFTI, Case
from tests.fuzz.mutate import Field, mutant
from tests.fuzz.run import hunts

COUNT = 200


@pytest.fixture(scope="module")
def found():
    return hunts([*NIFTI, *ITK], COUNT, 0, 120)


@pytest.mark.parametrize("name", [*NIFTI, *ITK])
def test_p54_damaged_files_are_refused_by_name_or_read_whole(found, name):
    assert found[name]["wrong"] == []
    assert found[name]["refused"] + found[name]["read"] == COUNT
    assert found[name]["refused"] > COUNT // 3


def test_damage_is_the_same_for_the_same_seed_and_stays_in_its_place():
    body = bytes(range(256)) * 4
    fields = (Field(100, "<i"), Field(108, ">d"), Field(116, "<8s"))
    one, other = (
        [mutant(body, generator(0, 9, n), fields, 100, 200, text) for n in range(200) for text in (False, True)]
        for _ in range(2)
    )
    assert one == other
    assert len(set(one)) > 300
    assert all(out[:100] == body[:100] for out in one)


def broken(**result):
    """A case whose reader does one thing."""

    def load():
        if "error" in result:
            raise result["error"]
        if "spin" in result:
            while True:
                pass
        return result["found"]

    return Case(b"", Path("/somewhere/a.nii"), load)


GOOD = Volume(np.arange(8.0).reshape(1, 2, 2, 2), np.eye(4))


@pytest.mark.parametrize(
    ("case", "what"),
    [
        (broken(error=KeyError("dim")), "KeyError"),
        (broken(error=InputError("x", path="/somewhere/a.nii", code="internal")), "internal"),
        (broken(error=InputError("x", path="/somewhere/a.nii", code="memory")), "memory"),
        (broken(error=InputError("x", path="other.nii")), "not named"),
        (broken(error=InputError("x", path="/somewhere/a.nii")), ""),
        (broken(spin=True), "over"),
        (broken(found=GOOD), ""),
        (broken(found=[GOOD, dataclasses.replace(GOOD, data=GOOD.data * np.nan)]), "not finite"),
        (broken(found=dataclasses.replace(GOOD, data=GOOD.data.astype(complex))), "complex"),
        (broken(found=dataclasses.replace(GOOD, flags=("",))), "flags"),
        (dataclasses.replace(broken(found=GOOD), sealed=True), ""),
        (dataclasses.replace(broken(found=dataclasses.replace(GOOD, data=GOOD.data + 1)), sealed=True), "other voxels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_hunt_sees_what_is_wrong(monkeypatch, case, what):
    monkeypatch.setattr(hunter, "SECONDS", 0.2)
    _, wrong = hunter._one(case, GOOD)
    assert what in wrong
    assert bool(what) == bool(wrong)


def test_an_archive_of_names_that_are_no_text_is_refused_by_name(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, data=np.arange(8).reshape(2, 2, 2), affine=np.eye(4))
    body = bytearray(path.read_bytes())
    at = body.index(b"PK\x01\x02")
    # flag 11 of the directory: the name is UTF-8
    body[at + 9] |= 8
    body[at + 46] = 0xFF
    path.write_bytes(body)
    with pytest.raises(InputError, match=r"a\.npz: the archive is truncated"):
        read(path)


def test_a_length_beyond_the_file_makes_no_room(tmp_path):
    (tmp_path / "a").write_bytes(b"some bytes")
    with open_regular(tmp_path / "a") as file:
        tracemalloc.start()
        assert file.read(1 << 32) == b"some bytes"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.stop()
