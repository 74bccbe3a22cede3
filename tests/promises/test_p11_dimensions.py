"""P11: time and other axes are never reduced silently; trailing axes of one go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.promises.files import LPS, SFORM, converted, marked, mha, nifti, nrrd, put, refused, same

TWO = np.stack([marked(), marked() + 1000], axis=-1)


def test_p11_a_4d_nifti_is_refused_and_read_by_its_number(tmp_path: Path) -> None:
    path = put(tmp_path / "a.nii.gz", nifti(TWO))
    line = refused(path, r"4D image of size \(6, 5, 4, 2\): several volumes", "several-volumes")
    assert "--volume N" in line
    same(path, marked(), SFORM, set(), volume=0)
    same(path, marked() + 1000, SFORM, set(), volume=1)
    refused(path, "volume 2 of a file with 2", "usage", volume=2)


@pytest.mark.parametrize("extra", [(1,), (1, 1), (1, 1, 1, 1)])
def test_p11_trailing_axes_of_one_go(tmp_path: Path, extra: tuple[int, ...]) -> None:
    same(put(tmp_path / "a.nii", nifti(marked().reshape(*marked().shape, *extra))), marked(), SFORM, set())


@pytest.mark.parametrize("intent", [1003, 1005, 1006, 1007])
def test_p11_a_5d_vector_image_has_channels(tmp_path: Path, intent: int) -> None:
    data = np.stack([marked(), marked() + 7, marked() * 2], axis=-1)
    path = put(tmp_path / "a.nii", nifti(data[:, :, :, None], intent_code=intent))
    same(path, data, SFORM, set())


@pytest.mark.parametrize(
    ("shape", "intent"),
    [((6, 5, 4, 1, 3), 0), ((6, 5, 4, 2, 3), 1007), ((6, 5, 4, 2, 2, 2), 0), ((6, 5, 4, 1, 1, 2), 0)],
)
def test_p11_other_axes_are_refused(tmp_path: Path, shape: tuple[int, ...], intent: int) -> None:
    refused(put(tmp_path / "a.nii", nifti(marked(shape), intent_code=intent)), r"\dD image", "several-volumes")


@pytest.mark.parametrize("shape", [(6,), (6, 5), (6, 5, 1), (1, 5, 4), (6, 1, 4), (1, 1, 1)])
def test_p11_what_is_not_3d_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    refused(put(tmp_path / "a.nii", nifti(marked(shape))), "2D image: its size", "not-a-volume")


@pytest.mark.parametrize("dim", [[0, 6, 5, 4, 1, 1, 1, 1], [9, 6, 5, 4, 1, 1, 1, 1], [-3, 6, 5, 4, 1, 1, 1, 1]])
def test_p11_a_senseless_number_of_dimensions_is_refused(tmp_path: Path, dim: list[int]) -> None:
    refused(put(tmp_path / "a.nii", nifti(dim=dim)), r"corrupt header: dim\[0\] is -?\d", "corrupt")


@pytest.mark.parametrize("dim", [[3, 6, 0, 4, 1, 1, 1, 1], [3, 6, -5, 4, 1, 1, 1, 1], [4, 6, 5, 4, 0, 1, 1, 1]])
def test_p11_a_zero_or_negative_dimension_is_refused(tmp_path: Path, dim: list[int]) -> None:
    refused(put(tmp_path / "a.nii", nifti(dim=dim)), "zero or negative dimension is empty", "corrupt")


@pytest.mark.parametrize("where", [0, 3])
@pytest.mark.parametrize("kind", ["list", "time", "none", "???"])
def test_p11_an_nrrd_with_an_axis_more(tmp_path: Path, where: int, kind: str) -> None:
    vectors, sizes, kinds = ["(1.5,0,0)", "(0,1.2,0)", "(0,0,3)"], ["6", "5", "4"], ["domain"] * 3
    for words, word in ((vectors, "none"), (sizes, "2"), (kinds, kind)):
        words.insert(where, word)
    body = np.moveaxis(TWO, 3, where).tobytes(order="F")
    fields = {"space_directions": " ".join(vectors), "sizes": " ".join(sizes), "kinds": " ".join(kinds)}
    path = put(tmp_path / "a.nrrd", nrrd(body, dimension="4", **fields))
    if kind == "list":
        same(path, TWO, LPS, set())
    else:
        refused(path, "4D image", "several-volumes")
    same(path, marked() + 1000, LPS, set(), volume=1)
    refused(path, "volume 2 was asked for, the file holds 2", "usage", volume=2)


def test_p11_spacings_for_four_axes_are_no_volume(tmp_path: Path) -> None:
    fields = {"space_directions": None, "space": None, "space_origin": None, "dimension": "4", "sizes": "6 5 4 2"}
    path = put(tmp_path / "a.nrrd", nrrd(TWO.tobytes(order="F"), spacings="1.5 1.2 3 1", **fields))
    refused(path, "for 3 axes, got 4", "geometry")
    put(path, nrrd(TWO.tobytes(order="F"), spacings="1.5 1.2 3 1", kinds="space space space list", **fields))
    found = converted(path)
    np.testing.assert_array_equal(found["data"], TWO)
    assert set(found["flags"].tolist()) == {"no_orientation", "no_origin"}


def test_p11_a_4d_metaimage_is_refused_and_read_by_its_number(tmp_path: Path) -> None:
    fields = {
        "NDims": "4",
        "DimSize": "6 5 4 2",
        "ElementSpacing": "1.5 1.2 3 1",
        "Offset": "15 -20 -30 0",
        "TransformMatrix": "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1",
    }
    path = put(tmp_path / "a.mha", mha(TWO.tobytes(order="F"), **fields))
    refused(path, "4D image", "several-volumes")
    same(path, marked() + 1000, LPS, set(), volume=1)
    for words in ({"NDims": "2", "DimSize": "6 5"}, {"NDims": "5", "DimSize": "6 5 4 1 1"}):
        refused(put(path, mha(**{**fields, **words})), r"[25]D image", "not-a-volume")


@pytest.mark.parametrize(
    ("datatype", "bitpix", "says"),
    [
        (32, 64, "complex"),
        (1792, 128, "complex"),
        (2048, 256, "complex"),
        (128, 24, "colour .RGB"),
        (2304, 32, "colour .RGBA"),
        (1536, 128, "128-bit"),
        (1, 1, "binary"),
    ],
)
def test_p09_colour_and_complex_nifti_are_refused_by_name(
    tmp_path: Path, datatype: int, bitpix: int, says: str
) -> None:
    content = nifti(body=bytes(6 * 5 * 4 * bitpix // 8), datatype=datatype, bitpix=bitpix)
    refused(put(tmp_path / "a.nii", content), says, "not-a-volume")


@pytest.mark.parametrize(("kind", "count", "says"), [("complex", 2, "complex"), ("RGB-color", 3, "colour")])
def test_p09_colour_and_complex_nrrd_are_refused_by_name(tmp_path: Path, kind: str, count: int, says: str) -> None:
    fields = {
        "dimension": "4",
        "sizes": f"{count} 6 5 4",
        "space_directions": "none (1.5,0,0) (0,1.2,0) (0,0,3)",
        "kinds": f"{kind} domain domain domain",
        "type": "float",
    }
    body = marked((count, 6, 5, 4), "<f4").tobytes(order="F")
    refused(put(tmp_path / "a.nrrd", nrrd(body, **fields)), says, "not-a-volume")


def test_p09_a_colour_metaimage_is_refused_by_name(tmp_path: Path) -> None:
    body = marked((3, 6, 5, 4), "u1").tobytes(order="F")
    path = put(tmp_path / "a.mha", mha(body, ElementType="MET_UCHAR", ElementNumberOfChannels="3"))
    refused(path, "colour", "not-a-volume")
