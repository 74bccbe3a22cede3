"""Labels and uptake values from broken files: a refusal with a code, never a crash or a shorter label."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from medssl.errors import MedsslError
from medssl.io.read import read, read_label
from tests.io.dicom.test_suv import pet
from tests.io.label_files import write_rtstruct, write_seg
from tests.io.labels.test_rtstruct import box
from tests.io.scans import write_slices

PLANE = np.zeros((6, 5), bool)
PLANE[1:4, 1:3] = True


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A scan, and a whole file of each kind of label."""
    folder = tmp_path_factory.mktemp("labels")
    scan = read(write_slices(folder / "ct"))
    places = [(10.0, 20.0, 30.0 + 3 * k) for k in range(3)]
    regions = {1: [box(0.5, 3.5, 0.5, 2.5, k, scan.affine) for k in (0, 1)]}
    regions[2] = [box(3.5, 4.5, 0.5, 2.5, 1, scan.affine)]
    files = {
        "seg": write_seg(folder / "s.dcm", [(1, place, PLANE) for place in places]),
        "map": write_seg(folder / "m.dcm", [(0, p, PLANE * 2) for p in places], kind="LABELMAP", names={2: "liver"}),
        "rtstruct": write_rtstruct(folder / "r.dcm", regions),
    }
    return folder, scan, files


def broken(raw, rng):
    """A cut, flipped bytes, a senseless length, or missing bytes."""
    out = bytearray(raw)
    at = int(rng.integers(132, len(out) - 8))
    how = int(rng.integers(0, 4))
    if how == 0:
        return bytes(out[:at])
    if how == 1:
        for place in rng.integers(132, len(out), 4):
            out[place] = rng.integers(0, 256)
    elif how == 2:
        out[at : at + 4] = b"\xff\xff\xff\x7f"
    else:
        del out[at : at + int(rng.integers(1, 40))]
    return bytes(out)


def refused(read_it, *given):
    """Whether it was refused; a refusal has a code of its own and no private word."""
    refusal = None
    try:
        read_it(*given)
    except MedsslError as error:
        refusal = error
    if refusal is None:
        return False
    assert refusal.code != "internal", repr(refusal.__cause__)
    assert "CANARY" not in str(refusal)
    return True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["seg", "map", "rtstruct"])
def test_p54_broken_labels_are_refused_or_read(made, kind):
    folder, scan, files = made
    raw, path = files[kind].read_bytes(), folder / "x.dcm"
    rng = np.random.default_rng(11)
    count = 0
    for _ in range(150):
        path.write_bytes(broken(raw, rng))
        count += refused(read_label, path, scan)
        if kind == "seg":
            refused(read_label, path)
    assert count > 75


@pytest.mark.parametrize("kind", ["seg", "map", "rtstruct"])
def test_p12_no_label_is_shorter_because_its_file_is(made, kind):
    folder, scan, files = made
    raw, path = files[kind].read_bytes(), folder / "x.dcm"
    want = read_label(files[kind], scan).data
    for cut in range(0, len(raw), 3):
        path.write_bytes(raw[:cut])
        if not refused(read_label, path, scan):
            np.testing.assert_array_equal(read_label(path, scan).data, want)


def test_p12_sequences_without_a_length_are_walked_to_their_end(made):
    from pydicom import dcmread

    folder, scan, files = made

    def open_ended(dataset):
        for element in dataset:
            if element.VR == "SQ":
                element.is_undefined_length = True
                for inner in element.value:
                    inner.is_undefined_length_sequence_item = True
                    open_ended(inner)

    want = read_label(files["rtstruct"], scan).data
    for implicit in (True, False):
        data = dcmread(files["rtstruct"])
        open_ended(data)
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"
        path = folder / "open.dcm"
        data.save_as(path, implicit_vr=implicit, little_endian=True)
        np.testing.assert_array_equal(read_label(path, scan).data, want)
        raw = path.read_bytes()
        for cut in range(600, len(raw), 3):
            path.write_bytes(raw[:cut])
            assert refused(read_label, path, scan) or (read_label(path, scan).data == want).all()


@pytest.mark.filterwarnings("ignore")
def test_p54_broken_pet_is_refused_or_read(tmp_path):
    folder = pet(tmp_path / "pet")
    path = sorted(folder.iterdir())[0]
    raw, rng = path.read_bytes(), np.random.default_rng(12)
    for _ in range(100):
        path.write_bytes(broken(raw, rng))
        refused(partial(read, suv=True), folder)
