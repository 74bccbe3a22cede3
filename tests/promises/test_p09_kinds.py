"""P9: what is no volume of one channel is refused by the name of its kind, alone or as the whole folder."""

from __future__ import annotations

import numpy as np
import pytest

import medssl
from medssl.errors import MedsslError
from medssl.io.read import read
from tests.promises.series import (
    PRIVATE,
    assert_same,
    enhanced,
    names_in,
    refusal,
    save,
    save_one,
    slices,
    truth,
    voxels,
)

IMAGES = "1.2.840.10008.5.1.4.1.1."
OTHERS = {
    "structured report": (f"{IMAGES}88.33", "SR", r"structured report|\bSR\b"),
    "basic text report": (f"{IMAGES}88.11", "SR", r"structured report|\bSR\b"),
    "dose report": (f"{IMAGES}88.67", "SR", r"report|\bSR\b"),
    "key objects": (f"{IMAGES}88.59", "KO", r"report|key object"),
    "presentation state": (f"{IMAGES}11.1", "PR", "presentation"),
    "encapsulated PDF": (f"{IMAGES}104.1", "DOC", "document|PDF"),
    "encapsulated STL": (f"{IMAGES}104.3", "M3D", "document|STL"),
    "waveform": (f"{IMAGES}9.1.1", "ECG", "waveform|ECG"),
    "RT plan": (f"{IMAGES}481.5", "RTPLAN", "RT plan"),
    "RT treatment record": (f"{IMAGES}481.4", "RTRECORD", "RT"),
    "registration": (f"{IMAGES}66.1", "REG", "registration"),
    "deformable registration": (f"{IMAGES}66.3", "REG", "registration"),
    "raw data": (f"{IMAGES}66", "MR", "raw data"),
    "spectroscopy": (f"{IMAGES}4.2", "MR", "spectroscop"),
    "surface": (f"{IMAGES}66.5", "SEG", "surface"),
    "real world values": (f"{IMAGES}67", "RWV", "real world"),
    "tractography": (f"{IMAGES}66.6", "MR", "tractogra"),
    "unknown object": ("1.2.840.10008.5.1.4.34.7", "OT", "."),
}
FLAT = {
    "computed radiography": (f"{IMAGES}1", "CR", "2D|projection|radiograph"),
    "digital radiography": (f"{IMAGES}1.1", "DX", "2D|projection|radiograph"),
    "mammography": (f"{IMAGES}1.2", "MG", "2D|projection|mammogra"),
    "ultrasound": (f"{IMAGES}6.1", "US", "ultrasound"),
    "angiography": (f"{IMAGES}12.1", "XA", "2D|X-ray|angiogra"),
    "fluoroscopy": (f"{IMAGES}12.2", "RF", "2D|X-ray|fluoro"),
    "endoscopy": (f"{IMAGES}77.1.1", "ES", "visible light|endoscop"),
    "slide": (f"{IMAGES}77.1.6", "SM", "visible light|microscop|slide"),
    "photograph": (f"{IMAGES}77.1.4", "XC", "visible light|photo"),
}


def bare(kind, modality):
    """An object without an image."""
    one = slices()[0]
    for keyword in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(one, keyword)
    one.SOPClassUID, one.Modality = kind, modality
    return one


@pytest.mark.parametrize(("kind", "modality", "words"), OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize("as_folder", [False, True], ids=["file", "folder"])
def test_p09_an_object_without_an_image_is_named(tmp_path, kind, modality, words, as_folder):
    (tmp_path / "s").mkdir()
    save_one(bare(kind, modality), tmp_path / "s" / "object.dcm")
    with pytest.raises(MedsslError, match=rf"(?i)object\.dcm: .*({words})") as caught:
        read(tmp_path / "s" if as_folder else tmp_path / "s" / "object.dcm")
    assert caught.value.code in ("not-a-volume", "geometry")


@pytest.mark.parametrize(("kind", "modality", "words"), FLAT.values(), ids=FLAT.keys())
def test_p09_a_flat_picture_is_named(tmp_path, kind, modality, words):
    save_one(slices(SOPClassUID=kind, Modality=modality)[0], tmp_path / "object.dcm")
    with pytest.raises(MedsslError, match=rf"(?i)object\.dcm: .*({words})") as caught:
        read(tmp_path / "object.dcm")
    assert caught.value.code == "not-a-volume"


@pytest.mark.parametrize(
    "photometric", ["RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "HSV", "CMYK", "ARGB"]
)
@pytest.mark.parametrize("planar", [0, 1])
def test_p09_colour_is_named(tmp_path, photometric, planar):
    def colour(k, one):
        one.SamplesPerPixel, one.PhotometricInterpretation, one.PlanarConfiguration = 3, photometric, planar
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 8, 8, 7, 0
        one.PixelData = bytes(range(90))
        one.ICCProfile = b"\0" * 128

    error = refusal(save(slices(change=colour), tmp_path / "s"))
    assert error.code == "not-a-volume"
    assert names_in(error, "colour", ".dcm")


def test_p09_a_palette_is_named(tmp_path):
    def palette(k, one):
        one.PhotometricInterpretation = "PALETTE COLOR"
        for name in ("Red", "Green", "Blue"):
            setattr(one, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
            setattr(one, f"{name}PaletteColorLookupTableData", b"\0\1" * 256)

    error = refusal(save(slices(voxels(dtype=np.uint8), change=palette), tmp_path / "s"))
    assert error.code == "not-a-volume"
    assert "palette" in error.reason


def test_p09_a_supplemental_palette_on_grey_is_grey(tmp_path):
    def supplement(k, one):
        one.PixelPresentation = "COLOR"
        one.RedPaletteColorLookupTableDescriptor = [16, 0, 16]
        one.RedPaletteColorLookupTableData = b"\0\1" * 16

    assert_same(read(save(slices(change=supplement), tmp_path / "s")), voxels(), truth())


@pytest.mark.parametrize("component", ["COMPLEX", "MIXED"])
def test_p09_complex_images_are_named(tmp_path, component):
    error = refusal(save(slices(ComplexImageComponent=component), tmp_path / "s"))
    assert error.code == "not-a-volume"
    assert "complex" in error.reason


@pytest.mark.parametrize("as_folder", [False, True], ids=["file", "folder"])
def test_p09_a_single_slice_is_two_dimensional(tmp_path, as_folder):
    save(slices(voxels((6, 5, 1))), tmp_path / "s", lambda n: "one.dcm")
    error = refusal(tmp_path / "s" if as_folder else tmp_path / "s" / "one.dcm")
    assert error.code == "not-a-volume"
    assert names_in(error, "one.dcm", "single slice", "2D")


@pytest.mark.parametrize("shape", [(1, 5, 4), (6, 1, 4)])
def test_p09_slices_of_one_row_or_column_are_no_volume(tmp_path, shape):
    error = refusal(save(slices(voxels(shape)), tmp_path / "s"))
    assert error.code == "not-a-volume"


def test_p09_one_frame_in_a_multi_frame_file(tmp_path):
    save_one(enhanced(voxels((6, 5, 1))), tmp_path / "a.dcm")
    assert refusal(tmp_path / "a.dcm").code == "not-a-volume"


def test_p09_frames_without_places_are_named(tmp_path):
    one = slices()[0]
    one.SOPClassUID, one.NumberOfFrames = f"{IMAGES}7.2", 4
    one.PixelData = one.PixelData * 4
    save_one(one, tmp_path / "a.dcm")
    error = refusal(tmp_path / "a.dcm")
    assert error.code in ("not-a-volume", "geometry")
    assert names_in(error, "multi-frame")


def test_p09_a_mosaic_is_unfolded_or_refused_by_name(tmp_path):
    made = slices(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    save(made, tmp_path / "s")
    error = refusal(tmp_path / "s")
    assert "mosaic" in error.reason.lower()


def test_p09_secondary_capture_without_geometry_is_refused(tmp_path):
    def capture(k, one):
        one.SOPClassUID = f"{IMAGES}7"
        del one.ImagePositionPatient, one.ImageOrientationPatient, one.PixelSpacing

    error = refusal(save(slices(change=capture), tmp_path / "s"))
    assert error.code in ("geometry", "not-a-volume")


def test_p09_secondary_capture_with_geometry_is_a_volume(tmp_path):
    # resampled and anonymised series are often written so
    assert_same(read(save(slices(SOPClassUID=f"{IMAGES}7"), tmp_path / "s")), voxels(), truth())


def test_p09_reports_beside_a_scan_do_not_hide_it(tmp_path):
    folder = save(slices(), tmp_path / "s")
    for n, (kind, modality, _) in enumerate(OTHERS.values()):
        other = bare(kind, modality)
        other.SeriesInstanceUID = f"1.2.3.{n + 100}"
        save_one(other, folder / f"other{n}.dcm")
    assert_same(read(folder), voxels(), truth())


def test_p09_inspect_names_the_kind_and_nothing_private(tmp_path):
    (tmp_path / "s").mkdir()
    save_one(bare(f"{IMAGES}88.33", "SR"), tmp_path / "s" / "object.dcm")
    told = str(medssl.inspect(tmp_path / "s"))
    assert "structured report" in told
    assert not any(part in told for part in PRIVATE)


def test_p09_an_object_without_rows_is_no_slice_and_hides_no_slice(tmp_path):
    folder = save(slices(), tmp_path / "s")
    for uid, beside in (("9.9.9", True), ("1.2.3.4", False), (None, False)):
        other = bare("9.8.7.6", "CT")
        other.SeriesInstanceUID = uid
        save_one(other, folder / "other.dcm")
        if beside:
            assert_same(read(folder), voxels(), truth())
        else:
            # of this series, or of nobody knows which: it may be a slice that lost its picture
            assert names_in(refusal(folder), "other.dcm", "without an image")
    assert refusal(folder / "other.dcm").code == "not-a-volume"
