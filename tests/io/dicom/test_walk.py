"""The walker and the full parser never differ: same values, same voxels, or the same refusal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medssl.errors import MedsslError
from medssl.io.dicom.files import quiet
from medssl.io.dicom.frames import frames_of
from medssl.io.dicom.headers import read_header
from medssl.io.dicom.needed import HEADER_TAGS, PRIVATE_TAGS
from medssl.io.dicom.pixels import read_pixels
from medssl.io.dicom.plain import Odd, Tags, plain_value
from medssl.io.dicom.planes import private
from medssl.io.dicom.series import stack
from medssl.io.dicom.split import split
from medssl.io.dicom.tags import raw, text
from tests.io.scans import write_slices
from tests.io.syntaxes import compress

IMPLICIT, DEFLATED, BIG_ENDIAN, RLE = (f"1.2.840.10008.1.2{end}" for end in ("", ".1.99", ".2", ".5"))


def enrich(n: int, data: Any) -> None:
    """What scanners write beside the needed: sequences of both kinds, private blocks, several values, odd spellings."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    inner = Dataset()
    inner.CodeValue, inner.CodingSchemeDesignator = "T-1", "SRT"
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3.9"
    item.PurposeOfReferenceCodeSequence = Sequence([inner])
    item.PurposeOfReferenceCodeSequence.is_undefined_length = True
    data.ReferencedImageSequence = Sequence([item, Dataset()])
    data["ReferencedImageSequence"].is_undefined_length = True
    data.RequestAttributesSequence = Sequence([inner])
    data.SpecificCharacterSet, data.StudyDescription = "ISO_IR 100", "Schädel"
    data.AcquisitionDate, data.AcquisitionTime, data.ContentTime = "20200101", "120000.5", f"12000{n}"
    data.EchoTime, data.EchoNumbers, data.RepetitionTime = "+4.60", "1", "46e-1"
    data.DiffusionBValue, data.DiffusionGradientOrientation = 1000.0, [0.0, 1.0, -0.5]
    data.AcquisitionNumber, data.TriggerTime, data.RescaleType = "007", None, "HU"
    data.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0B, "DS", "1.5")


def rewrite(folder: Path, syntax: str) -> Path:
    """The folder's files in another syntax of uncompressed pixels."""
    from pydicom import dcmread, dcmwrite

    for path in folder.iterdir():
        data = dcmread(path)
        # elements are parsed when they are first used, and written anew only then
        list(data.iterall())
        data.file_meta.TransferSyntaxUID = syntax
        if syntax == BIG_ENDIAN:
            data.PixelData = np.frombuffer(data.PixelData, "<i2").byteswap().tobytes()
        dcmwrite(path, data, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG_ENDIAN)
    return folder


def plain(value: Any) -> Any:
    """A value without the type that carries it."""
    if value is None or isinstance(value, str | bytes):
        return None if value is None else str(value)
    try:
        return [plain(part) for part in value]
    except TypeError:
        return float(value)


def facts(dataset: Any) -> dict[str, Any]:
    """All that readers ask a header for."""
    known = {
        keyword: (keyword in dataset, text(dataset, keyword), plain(raw(dataset, keyword))) for keyword in HEADER_TAGS
    }
    return known | {str(tag): str(private(dataset, tag)) for tag in PRIVATE_TAGS}


def outcome(folder: Path, walked: bool) -> Any:
    """Everything that reading a folder gives, or its refusal."""
    try:
        frames = []
        with quiet():
            for path in sorted(folder.iterdir()):
                header = read_header(path, walked)
                frames += [replace(frame, source=header.source) for frame in frames_of(header.dataset, path)]
        out = []
        for group in split(tuple(frames)):
            planes = stack(group, folder)
            voxels = read_pixels(planes, folder)
            out.append((voxels.dtype, voxels.shape, voxels.tobytes(), planes.affine.tobytes(), planes.flags))
        return out
    except MedsslError as error:
        return error.code, error.reason, error.path


@pytest.mark.parametrize("syntax", [None, IMPLICIT, RLE], ids=["explicit", "implicit", "RLE"])
def test_a_rich_header_is_walked_to_the_parsers_values(tmp_path, syntax):
    folder = write_slices(tmp_path / "s", change=enrich, PixelRepresentation=0)
    if syntax == RLE:
        compress(folder, RLE)
    elif syntax is not None:
        rewrite(folder, syntax)
    for path in folder.iterdir():
        walked, parsed = read_header(path), read_header(path, walked=False)
        # private tags of implicit files have no type: those are left to the parser
        assert isinstance(walked.dataset, Tags) == (syntax != IMPLICIT)
        assert facts(walked.dataset) == facts(parsed.dataset)
    assert outcome(folder, walked=True) == outcome(folder, walked=False)


def test_an_implicit_header_without_private_tags_is_walked(tmp_path):
    def change(n, data):
        enrich(n, data)
        for element in [element for element in data if element.tag.is_private]:
            del data[element.tag]

    folder = rewrite(write_slices(tmp_path / "s", change=change), IMPLICIT)
    for path in folder.iterdir():
        walked, parsed = read_header(path), read_header(path, walked=False)
        assert isinstance(walked.dataset, Tags)
        assert walked.source.place is not None
        assert facts(walked.dataset) == facts(parsed.dataset)
    assert outcome(folder, walked=True) == outcome(folder, walked=False)


@pytest.mark.parametrize("syntax", [DEFLATED, BIG_ENDIAN], ids=["deflated", "big endian"])
def test_other_plain_syntaxes_are_parsed_to_the_same_voxels(tmp_path, syntax):
    folder = write_slices(tmp_path / "s", change=enrich, BitsStored=12, HighBit=11)
    before = outcome(folder, walked=True)
    rewrite(folder, syntax)
    assert not isinstance(read_header(folder / "IM00.dcm").dataset, Tags)
    assert outcome(folder, walked=True) == before


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"DS", b"1.0\\\\2"),
        (b"DS", b"nan "),
        (b"DS", b"1e999 "),
        (b"DS", b" "),
        (b"DS", b"1,5 "),
        (b"IS", b"1.5 "),
        (b"IS", b"99999999999 "),
        (b"US", b"\1\0\2\0"),
        (b"FD", b"1234"),
        (b"UI", b"1.2.a\0"),
        (b"LO", b"M\xfcller"),
        (b"LO", b"a\x1bb "),
        (b"CS", b" A"),
        (b"SQ", b""),
        (b"UR", b"http://x"),
    ],
)
def test_what_is_not_plainly_written_is_left_to_the_parser(kind, data):
    if data:
        with pytest.raises(Odd):
            plain_value(kind, data)
    else:
        assert plain_value(kind, data) is None


def mutated(data: bytes, draw: np.random.Generator) -> bytes:
    """One or two changes anywhere behind the preamble; most keep the length, so that the walk goes on behind them."""
    out = bytearray(data)
    for _ in range(int(draw.integers(1, 3))):
        at, span = int(draw.integers(128, len(out) - 8)), int(draw.integers(1, 9))
        kind = int(draw.integers(12))
        if kind < 3:
            out[at] ^= 1 << int(draw.integers(8))
        elif kind < 6:
            out[at] = int(draw.choice([0, 1, 0x20, 0x2E, 0x31, 0x5C, 0x7F, 0xFF]))
        elif kind < 8:
            out[at : at + 2] = bytes(draw.choice([b"UN", b"SQ", b"OB", b"US", b"DS", b"LO", b"ZZ", b"\\1"]))
        elif kind == 8:
            out[at : at + 4] = b"\xff\xff\xff\xff"
        elif kind == 9:
            other = int(draw.integers(128, len(out) - 8))
            out[at : at + span] = out[other : other + span]
        elif kind == 10:
            out[at:at] = bytes(int(n) for n in draw.integers(0, 256, span))
        else:
            del out[at : at + span]
    return bytes(out)


@pytest.mark.parametrize("syntax", [None, IMPLICIT, RLE], ids=["explicit", "implicit", "RLE"])
def test_mutated_files_fare_alike_on_both_ways(tmp_path, syntax):
    def change(n, data):
        enrich(n, data)
        data.PixelData = data.PixelData[: 2 * 2 * 3]
        data.Rows, data.Columns = 2, 3
        del data[0x00190010], data[0x0019100B]

    folder = write_slices(tmp_path / "s", count=3, change=change, PixelRepresentation=0, RescaleIntercept=-1024)
    if syntax == RLE:
        compress(folder, RLE)
    elif syntax is not None:
        rewrite(folder, syntax)
    target = folder / "IM07.dcm"
    whole = target.read_bytes()
    draw = np.random.default_rng(len(syntax or ""))
    refused = 0
    for case in range(120):
        target.write_bytes(mutated(whole, draw))
        fast = outcome(folder, walked=True)
        assert fast == outcome(folder, walked=False), case
        refused += isinstance(fast, tuple)
    assert 10 < refused < 110
