"""P1 for NRRD and MetaImage headers: every space, unit, field and spelling; what is missing is flagged or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.promises.files import LPS, marked, mha, nrrd, put, raw, refused, same

SPACES = {
    "left-posterior-superior": [-1, -1, 1],
    "LPS": [-1, -1, 1],
    "right-anterior-superior": [1, 1, 1],
    "RAS": [1, 1, 1],
    "Left-Anterior-Superior": [-1, 1, 1],
    "LAS": [-1, 1, 1],
    "right-posterior-inferior": [1, -1, -1],
}
LOCAL = np.array([[1.5, 0, 0, 15], [0, 1.2, 0, -20], [0, 0, 3.0, -30]])


@pytest.mark.parametrize("space", sorted(SPACES))
def test_p01_every_nrrd_space_comes_to_ras(tmp_path: Path, space: str) -> None:
    want = np.vstack([np.array(SPACES[space])[:, None] * LOCAL, [0, 0, 0, 1]])
    same(put(tmp_path / "a.nrrd", nrrd(space=space)), marked(), want, set())


def test_p01_a_space_whose_words_stand_in_another_order(tmp_path: Path) -> None:
    want = np.array([[0, 1.2, 0, -20], [0, 0, 3, -30], [1.5, 0, 0, 15], [0, 0, 0, 1]])
    same(put(tmp_path / "a.nrrd", nrrd(space="superior-right-anterior")), marked(), want, set())


@pytest.mark.parametrize("space", [None, "scanner-xyz", "3D-right-handed"])
def test_p01_a_space_that_names_no_side_is_flagged(tmp_path: Path, space: str | None) -> None:
    same(put(tmp_path / "a.nrrd", nrrd(space=space, space_dimension="3")), marked(), LPS, {"no_orientation"})


@pytest.mark.parametrize("space", ["3D-left-handed", "CANARY^PHI", "left-left-superior", "left-posterior", "xyz"])
def test_p01_a_space_that_is_unknown_or_mirrored_is_refused(tmp_path: Path, space: str) -> None:
    refused(put(tmp_path / "a.nrrd", nrrd(space=space)), "space", "geometry")


@pytest.mark.parametrize(("unit", "scale"), [("mm", 1), ("cm", 10), ("m", 1000), ("um", 0.001), ("microns", 0.001)])
def test_p01_space_units_become_millimetres(tmp_path: Path, unit: str, scale: float) -> None:
    vectors = " ".join("(" + ",".join(f"{n / scale:.9g}" for n in column) + ")" for column in LOCAL.T[:3])
    origin = "(" + ",".join(f"{n / scale:.9g}" for n in LOCAL[:, 3]) + ")"
    fields = {"space_units": f'"{unit}" "{unit}" "{unit}"', "space_directions": vectors, "space_origin": origin}
    same(put(tmp_path / "a.nrrd", nrrd(**fields)), marked(), LPS, set())


@pytest.mark.parametrize("units", ['"pixel" "pixel" "pixel"', '"CANARY^PHI" "mm" "mm"', '"mm" "mm"', '"s" "s" "s"'])
def test_p01_units_that_are_no_lengths_are_refused(tmp_path: Path, units: str) -> None:
    refused(put(tmp_path / "a.nrrd", nrrd(space_units=units)), "space units are not lengths", "geometry")


def test_p01_what_an_nrrd_header_does_not_say_is_flagged(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    bare = {"space": None, "space_directions": None, "space_origin": None}
    want = np.diag([-1.5, -1.2, 3.0, 1.0])
    same(put(path, nrrd(spacings="1.5 1.2 3", **bare)), marked(), want, {"no_orientation", "no_origin"})
    same(put(path, nrrd(space_origin=None)), marked(), want, {"no_origin"})
    refused(put(path, nrrd(**bare)), "geometry is missing", "geometry")
    for spacings in ("0 1 1", "-1.5 1.2 3", "nan nan nan", "1 1", "x y z", "inf 1 1"):
        refused(put(path, nrrd(spacings=spacings, **bare)), "spacings", "geometry")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("space_directions", "(1.5,0,0) (0,1.2,0) (0,0,0)"),
        ("space_directions", "(1.5,0,0) (3,0,0) (0,0,3)"),
        ("space_directions", "(nan,0,0) (0,1.2,0) (0,0,3)"),
        ("space_directions", "(1.5,0,0) (0,1.2,0)"),
        ("space_directions", "(1.5,0) (0,1.2) (0,3)"),
        ("space_directions", "(CANARY^PHI,0,0) (0,1.2,0) (0,0,3)"),
        ("space_directions", "none none none"),
        ("space_origin", "(15,-20)"),
        ("space_origin", "(inf,0,0)"),
    ],
)
def test_p01_senseless_vectors_are_refused(tmp_path: Path, field: str, value: str) -> None:
    refused(put(tmp_path / "a.nrrd", nrrd(**{field: value})), "vectors|directions|geometry|origin", "geometry")


@pytest.mark.parametrize("name", ["int16", "short", "short int", "signed short", "int16_t", "SHORT"])
def test_p01_every_spelling_of_a_type_is_read(tmp_path: Path, name: str) -> None:
    same(put(tmp_path / "a.nrrd", nrrd(type=name)), marked(), LPS, set())


@pytest.mark.parametrize("magic", ["NRRD0001", "NRRD0003", "NRRD0005"])
def test_p01_comments_line_ends_and_versions(tmp_path: Path, magic: str) -> None:
    content = nrrd(b"", after="\n# dimension: 7\nkey:=sizes: 1 1 1\nsizes:=1", magic=magic).replace(b"\n", b"\r\n")
    same(put(tmp_path / "a.nrrd", content + raw()), marked(), LPS, set())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"endian": None}, "no field endian"),
        ({"endian": "middle"}, "endian must be little or big"),
        ({"type": "block"}, "type block"),
        ({"type": None}, "no field type"),
        ({"encoding": None}, "no field encoding"),
        ({"sizes": None}, "no field sizes"),
        ({"dimension": "4"}, "dimension is 4, but 3 sizes"),
        ({"sizes": "6 5 -4"}, "zero or negative"),
        ({"sizes": "6 5 4.0"}, "whole numbers"),
        ({"sizes": "6 5 1_0"}, "whole numbers"),
        ({"dimension": "x"}, "whole numbers"),
    ],
)
def test_p01_an_nrrd_field_that_is_missing_or_senseless_is_named(
    tmp_path: Path, fields: dict[str, str | None], says: str
) -> None:
    refused(put(tmp_path / "a.nrrd", nrrd(**fields)), says, None)


def test_p01_what_a_metaimage_header_does_not_say_is_flagged_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    want = LPS.copy()
    want[:3, 3] = 0
    same(put(path, mha(TransformMatrix=None)), marked(), LPS, {"no_orientation"})
    same(put(path, mha(Offset=None)), marked(), want, {"no_origin"})
    same(put(path, mha(Offset=None, Position="15 -20 -30")), marked(), LPS, set())
    same(put(path, mha(ElementSpacing=None, ElementSize="1.5 1.2 3")), marked(), LPS, set())
    # where both stand there, the distance between voxels counts, not their size
    same(put(path, mha(ElementSize="1 1 1")), marked(), LPS, set())
    refused(put(path, mha(ElementSpacing=None)), "the spacing is missing", "geometry")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"ElementSpacing": "0 1.2 3"}, "must be positive"),
        ({"ElementSpacing": "-1.5 1.2 3"}, "must be positive"),
        ({"ElementSpacing": "nan 1.2 3"}, "finite"),
        ({"ElementSpacing": "1.5 1.2"}, "must have 3, 3 and 9 numbers"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0"}, "must have 3, 3 and 9 numbers"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "not independent"),
        ({"TransformMatrix": "2 0 0 0 1 0 0 0 1"}, "length 1"),
        ({"TransformMatrix": "0 0 0 0 0 0 0 0 0"}, "independent|length 1"),
        ({"TransformMatrix": "nan 0 0 0 1 0 0 0 1"}, "finite"),
        ({"Offset": "inf 0 0"}, "finite"),
        ({"Offset": "CANARY^PHI 0 0"}, "must hold numbers"),
    ],
)
def test_p01_a_senseless_metaimage_geometry_is_refused(tmp_path: Path, fields: dict[str, str], says: str) -> None:
    refused(put(tmp_path / "a.mha", mha(**fields)), says)


def test_p01_the_matrix_of_a_metaimage_holds_a_direction_a_row(tmp_path: Path) -> None:
    a = 0.3
    matrix = f"{np.cos(a)} {np.sin(a)} 0 {-np.sin(a)} {np.cos(a)} 0 0 0 1"
    want = np.diag([-1.0, -1, 1, 1]) @ np.array(
        [
            [1.5 * np.cos(a), -1.2 * np.sin(a), 0, 15],
            [1.5 * np.sin(a), 1.2 * np.cos(a), 0, -20],
            [0, 0, 3, -30],
            [0, 0, 0, 1],
        ]
    )
    same(put(tmp_path / "a.mha", mha(TransformMatrix=matrix, AnatomicalOrientation="LPI")), marked(), want, set())
    lean = f"1 0 0 {np.sin(a)} {np.cos(a)} 0 0 0 1"
    want = np.diag([-1.0, -1, 1, 1]) @ np.array(
        [[1.5, 1.2 * np.sin(a), 0, 15], [0, 1.2 * np.cos(a), 0, -20], [0, 0, 3, -30], [0, 0, 0, 1]]
    )
    same(put(tmp_path / "a.mha", mha(TransformMatrix=lean)), marked(), want, {"sheared"})


@pytest.mark.parametrize(
    "content",
    [
        mha(b"").replace(b"\n", b"\r\n") + raw(),
        mha(b"").replace(b" = ", b"=") + raw(),
        mha(b"").replace(b"NDims", b"Comment = NDims = 7\n\nNDims") + raw(),
        mha(marked(kind=">i2").tobytes(order="F"), BinaryDataByteOrderMSB="True"),
        mha(marked(kind=">i2").tobytes(order="F"), BinaryDataByteOrderMSB=None, ElementByteOrderMSB="True"),
        mha(" ".join(str(n) for n in marked().ravel(order="F")).encode(), BinaryData="False"),
    ],
)
def test_p01_every_spelling_of_a_metaimage_is_read(tmp_path: Path, content: bytes) -> None:
    same(put(tmp_path / "a.mha", content), marked(), LPS, set())


def test_p01_channels_of_a_metaimage(tmp_path: Path) -> None:
    data = np.stack([marked(), marked() + 500], axis=-1)
    body = np.moveaxis(data, 3, 0).tobytes(order="F")
    same(put(tmp_path / "a.mha", mha(body, ElementNumberOfChannels="2")), data, LPS, set())
