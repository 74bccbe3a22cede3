"""NRRD and MetaImage headers written by hand: spaces, shear, byte order, and data files that must stay inside."""

from __future__ import annotations

import gzip
import zlib

import numpy as np
import pytest

from medssl.errors import InputError, IntegrityError
from medssl.io.read import read
from tests.io.scans import marked

RAW = marked().ravel(order="F").astype("<i2").tobytes()


def nrrd(path, body=RAW, **fields):
    base = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "6 5 4",
        "space directions": "(0.7,0,0) (0,1.9,0) (0,0,3)",
        "space origin": "(10,20,30)",
        "endian": "little",
        "encoding": "raw",
    }
    base.update({name.replace("_", " "): value for name, value in fields.items()})
    lines = ["NRRD0004", "# a comment", *(f"{k}: {v}" for k, v in base.items() if v is not None), "Patient:=CANARY^PHI"]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + body)
    return path


def mha(path, body=RAW, **fields):
    base = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "10 20 30",
        "ElementSpacing": "0.7 1.9 3",
        "DimSize": "6 5 4",
        "ElementType": "MET_SHORT",
        **fields,
    }
    base.setdefault("ElementDataFile", "LOCAL")
    data_file = base.pop("ElementDataFile")
    lines = [*(f"{k} = {v}" for k, v in base.items() if v is not None), f"ElementDataFile = {data_file}"]
    path.write_bytes("\n".join(lines).encode() + b"\n" + body)
    return path


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", [-1, -1, 1]),
        ("right-anterior-superior", [1, 1, 1]),
        ("left-anterior-superior", [-1, 1, 1]),
        ("RAS", [1, 1, 1]),
    ],
)
def test_every_space_comes_to_ras(tmp_path, space, signs):
    scan = read(nrrd(tmp_path / "a.nrrd", space=space))
    want = np.diag([0.7, 1.9, 3.0, 1.0])
    want[:3, 3] = [10, 20, 30]
    want[:3] *= np.array(signs)[:, None]
    np.testing.assert_allclose(scan.affine, want)
    np.testing.assert_array_equal(scan.data[0], marked())
    assert scan.flags == ()


def test_shear_stays_exact(tmp_path):
    scan = read(nrrd(tmp_path / "a.nrrd", space_directions="(0.7,0,0) (0,1.9,0) (0.4,0,3)"))
    np.testing.assert_allclose(scan.affine[:3, 2], [-0.4, 0, 3])
    assert scan.flags == ("sheared",)


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("text", lambda raw: " ".join(map(str, np.frombuffer(raw, "<i2"))).encode())],
)
def test_encodings(tmp_path, encoding, pack):
    np.testing.assert_array_equal(read(nrrd(tmp_path / "a.nrrd", pack(RAW), encoding=encoding)).data[0], marked())


def test_big_endian(tmp_path):
    big = marked().ravel(order="F").astype(">i2").tobytes()
    np.testing.assert_array_equal(read(nrrd(tmp_path / "a.nrrd", big, endian="big")).data[0], marked())
    np.testing.assert_array_equal(read(mha(tmp_path / "a.mha", big, BinaryDataByteOrderMSB="True")).data[0], marked())


@pytest.mark.parametrize(
    ("fields", "body", "message"),
    [
        ({}, RAW[:-1], "truncated: 239 data bytes"),
        ({}, RAW + b"xx", "corrupt: 242 data bytes"),
        ({"encoding": "gzip"}, gzip.compress(RAW)[:-3], "gzip stream"),
        ({"encoding": "gzip"}, gzip.compress(RAW[:-2]), "truncated: 238 of 240"),
        ({"encoding": "gzip"}, gzip.compress(RAW + b"xx"), "more data bytes"),
        ({"sizes": "6 5"}, RAW, "dimension is 3, but 2 sizes"),
        ({"sizes": "60000 60000 60000"}, RAW, "over the size limit"),
        ({"sizes": "6 20 1"}, RAW, "2D image"),
        ({"endian": None}, RAW, "no field endian"),
        ({"type": "block"}, RAW, "type block"),
        ({"space_directions": "(0.7,0,0) (0,1.9,0) (nan,0,3)"}, RAW, "geometry"),
        ({"space_directions": "(0.7,0,0) (0,1.9,0) (0,0,0)"}, RAW, "independent"),
        ({"space_directions": None}, RAW, "space directions or spacings"),
        ({"space_units": '"s" "s" "s"'}, RAW, "not lengths"),
    ],
)
def test_broken_nrrd_is_refused(tmp_path, fields, body, message):
    with pytest.raises(InputError, match=message):
        read(nrrd(tmp_path / "a.nrrd", body, **fields))


@pytest.mark.parametrize(
    ("fields", "body", "message"),
    [
        ({}, RAW[:-1], "truncated"),
        ({"CompressedData": "True"}, zlib.compress(RAW)[:-5], "ends early"),
        ({"CompressedData": "True"}, zlib.compress(RAW)[:-1] + b"\xff", "checksum"),
        ({"ElementSpacing": None}, RAW, "no ElementSpacing"),
        ({"ElementSpacing": "0 1 1"}, RAW, "positive"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 1 0"}, RAW, "independent"),
        ({"TransformMatrix": "1 0 0 0"}, RAW, "must have 3, 3 and 9 numbers"),
        ({"DimSize": "6 5 x"}, RAW, "must hold numbers"),
        ({"ElementType": "MET_OTHER"}, RAW, "MET_OTHER"),
        ({"ElementType": "MET_UCHAR", "ElementNumberOfChannels": "3"}, RAW[:360] * 2, "colour|data bytes"),
    ],
)
def test_broken_metaimage_is_refused(tmp_path, fields, body, message):
    with pytest.raises(InputError, match=message):
        read(mha(tmp_path / "a.mha", body, **fields))


def test_a_fourth_axis_is_chosen_from(tmp_path):
    fields = {"dimension": "4", "sizes": "2 6 5 4", "space_directions": "none (0.7,0,0) (0,1.9,0) (0,0,3)"}
    both = np.stack([marked(), marked() + 1000]).ravel(order="F").astype("<i2").tobytes()
    path = nrrd(tmp_path / "a.nrrd", both, **fields)
    with pytest.raises(InputError, match="4D image"):
        read(path)
    np.testing.assert_array_equal(read(path, volume=1).data[0], marked() + 1000)


def test_detached_data_stay_in_the_headers_folder(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "outside.raw").write_bytes(RAW)
    (inner / "a.raw").write_bytes(RAW)
    (inner / "link.raw").symlink_to(tmp_path / "outside.raw")
    np.testing.assert_array_equal(read(nrrd(inner / "a.nhdr", b"", data_file="a.raw")).data[0], marked())
    np.testing.assert_array_equal(read(mha(inner / "a.mhd", b"", ElementDataFile="a.raw")).data[0], marked())
    for name in ("../outside.raw", str(tmp_path / "outside.raw"), "link.raw"):
        with pytest.raises(IntegrityError, match="folder"):
            read(nrrd(inner / "b.nhdr", b"", data_file=name))
        with pytest.raises(IntegrityError, match="folder"):
            read(mha(inner / "b.mhd", b"", ElementDataFile=name))
    with pytest.raises(InputError, match=r"gone\.raw is missing"):
        read(nrrd(inner / "c.nhdr", b"", data_file="gone.raw"))
