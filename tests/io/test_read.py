"""Labels on their image's grid, archives of NumPy, and the real hard inputs where they lie beside the clone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from medssl.errors import InputError, MedsslError
from medssl.io.read import read, read_all, read_label
from medssl.io.write import write
from medssl.volume import Volume, reorient
from tests.io.scans import marked, oblique, volume

HARD = Path(__file__).parents[3] / "shared" / "hard_inputs"


def label_of(image, **changes):
    data = (image.data > 60).astype(np.float32)
    return Volume(changes.get("data", data), changes.get("affine", image.affine))


def test_a_label_is_whole_numbers_on_the_images_grid(tmp_path):
    image = volume()
    write(label_of(image), tmp_path / "l.nii.gz")
    label = read_label(tmp_path / "l.nii.gz", image)
    assert label.data.dtype == np.uint8
    np.testing.assert_array_equal(label.data, image.data > 60)


def test_a_label_stored_the_other_way_round_is_turned(tmp_path):
    image = volume()
    write(reorient(label_of(image), "LPI"), tmp_path / "l.nii.gz")
    np.testing.assert_array_equal(read_label(tmp_path / "l.nii.gz", image).data, image.data > 60)


def test_an_empty_label_is_allowed_a_constant_image_is_not(tmp_path):
    write(Volume(np.zeros((1, 6, 5, 4), np.uint8), oblique()), tmp_path / "l.nii.gz")
    assert int(read_label(tmp_path / "l.nii.gz").data.max()) == 0
    with pytest.raises(InputError, match="constant"):
        read(tmp_path / "l.nii.gz")


def test_a_label_that_does_not_fit_is_refused(tmp_path):
    image = volume()
    moved = image.affine.copy()
    moved[0, 3] += 0.01
    cases = {
        "0.01 mm": label_of(image, affine=moved),
        "has .* voxels": label_of(image, data=marked((6, 5, 3))[None]),
        "1 voxels of the label map are not whole": label_of(image, data=np.where(image.data == 7, 0.5, image.data)),
    }
    for message, label in cases.items():
        write(label, tmp_path / "l.nii.gz")
        with pytest.raises(InputError, match=message) as caught:
            read_label(tmp_path / "l.nii.gz", image)
        assert caught.value.code == "label"


def test_archives_never_unpickle(tmp_path):
    np.savez(tmp_path / "a.npz", data=np.array([{"a": 1}], dtype=object), affine=np.eye(4))
    with pytest.raises(InputError, match="never unpickled"):
        read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", data=marked())
    with pytest.raises(InputError, match="one array named affine"):
        read(tmp_path / "b.npz")


def test_flags_stay_in_an_archive(tmp_path):
    write(Volume(marked()[None], oblique(), ("sheared", "monochrome1")), tmp_path / "a.npz")
    assert read(tmp_path / "a.npz").flags == ("sheared", "monochrome1")
    assert len(read_all(tmp_path / "a.npz")) == 1


def _cases():
    if not HARD.is_dir():
        return []
    cases = json.loads((HARD / "inputs" / "manifest.json").read_text())["cases"]
    return [case for case in cases if case["group"] not in ("weights", "archive", "dataset")]


@pytest.mark.skipif(not HARD.is_dir(), reason="the hard inputs are not in ../shared beside this clone")
@pytest.mark.parametrize("case", _cases(), ids=lambda case: case["id"])
def test_hard_inputs(case):
    sys.path.insert(0, str(HARD))
    try:
        from common import check
    finally:
        sys.path.remove(str(HARD))
    expected = case["expect"]
    path = HARD / "inputs" / case["path"]
    scan = _read_or_line(path)
    if isinstance(scan, str):
        assert expected["outcome"] != "loads", scan
        assert expected.get("must_name", path.name) in scan
        assert "CANARY" not in scan
        assert "[internal]" not in scan
        return
    assert expected["outcome"] in ("loads", "loads_or_refuse")
    good, problems = check(np.moveaxis(scan.data, 0, -1), scan.affine, expected["volume"])
    assert good, problems


def _read_or_line(path):
    try:
        return read(path)
    except MedsslError as error:
        return error.line()


def test_text_that_is_no_flag_is_dropped(tmp_path):
    np.savez(tmp_path / "a.npz", data=marked(), affine=np.eye(4), flags=np.array(["sheared", "CANARY^PHI"]))
    assert read(tmp_path / "a.npz").flags == ("sheared",)


def test_private_text_of_a_nifti_header_goes(tmp_path):
    import nibabel

    image = nibabel.Nifti1Image(marked(), oblique())
    image.header["descrip"] = b"CANARY^PHI"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"CANARY^PHI"))
    nibabel.save(image, tmp_path / "a.nii")
    scan = read(tmp_path / "a.nii")
    for ending in (".nii", ".mha", ".nrrd", ".npz"):
        write(scan, tmp_path / f"b{ending}")
        assert b"CANARY" not in (tmp_path / f"b{ending}").read_bytes()
    assert b"CANARY" in (tmp_path / "a.nii").read_bytes()
