"""Objects that are not volumes are refused by the name of their kind (P9)."""

from __future__ import annotations

import pytest

from medssl.errors import InputError
from medssl.io.read import read
from tests.io.scans import write_slices

S = "1.2.840.10008.5.1.4.1.1"


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        (f"{S}.66.4", r"segmentation .SEG., which is a label"),
        (f"{S}.66.7", r"label map segmentation"),
        (f"{S}.481.3", r"RTSTRUCT., which is a label"),
        (f"{S}.481.5", "RT plan"),
        (f"{S}.481.9", "RT object"),
        (f"{S}.481.1", "RT image"),
        (f"{S}.88.59", "key object selection"),
        (f"{S}.88.33", "structured report"),
        (f"{S}.11.1", "presentation state"),
        (f"{S}.104.1", "PDF"),
        (f"{S}.9.1.1", "waveform"),
        (f"{S}.4.2", "spectroscopy"),
        (f"{S}.6.1", "ultrasound image"),
        (f"{S}.3.1", "ultrasound multi-frame"),
        (f"{S}.6.2", "ultrasound volume"),
        (f"{S}.12.1", "2D X-ray"),
        (f"{S}.1", "2D projection"),
        (f"{S}.1.1", "2D projection"),
        (f"{S}.1.2", "2D projection"),
        (f"{S}.13.1.4", "2D breast projection"),
        (f"{S}.77.1.6", "whole-slide"),
        (f"{S}.77.1.5.1", "ophthalmic"),
        (f"{S}.77.1.5.4", "ophthalmic"),
        (f"{S}.14.1", "intravascular"),
        ("1.2.840.10008.1.3.10", "DICOMDIR"),
    ],
)
def test_p09_kinds_are_named(tmp_path, uid, name):
    with pytest.raises(InputError, match=name) as caught:
        read(write_slices(tmp_path / "s", SOPClassUID=uid))
    assert caught.value.code == "not-a-volume"


def test_p09_a_secondary_capture_needs_a_geometry(tmp_path):
    assert read(write_slices(tmp_path / "placed", SOPClassUID=f"{S}.7")).shape == (6, 5, 4)

    def bare(n, data):
        del data.ImagePositionPatient

    with pytest.raises(InputError, match=r"secondary capture .* without geometry"):
        read(write_slices(tmp_path / "bare", change=bare, SOPClassUID=f"{S}.7.2"))


@pytest.mark.parametrize(
    ("component", "name"), [("REAL", "real part"), ("IMAGINARY", "imaginary part"), ("MIXED", "complex image")]
)
def test_p09_parts_of_complex_numbers_are_named(tmp_path, component, name):
    with pytest.raises(InputError, match=name):
        read(write_slices(tmp_path / "s", ComplexImageComponent=component))


@pytest.mark.parametrize("component", ["MAGNITUDE", "PHASE", ""])
def test_p09_magnitude_and_phase_are_volumes(tmp_path, component):
    assert read(write_slices(tmp_path / "s", ComplexImageComponent=component)).shape == (6, 5, 4)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.102.1", "1.2.840.10008.1.2.4.107"])
def test_p09_videos_are_named(tmp_path, syntax):
    from pydicom import dcmread
    from pydicom.encaps import encapsulate

    folder = write_slices(tmp_path / "s", count=1)
    data = dcmread(folder / "IM00.dcm")
    data.PixelData = encapsulate([b"\0\0\1\xb3" * 40])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(folder / "IM00.dcm")
    with pytest.raises(InputError, match="this is a video"):
        read(folder / "IM00.dcm")
