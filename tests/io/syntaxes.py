"""DICOM series written again in other transfer syntaxes, by encoders that the reader does not use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

JPEG = {
    "1.2.840.10008.1.2.4.50": "JPEGBaselineProcess1",
    "1.2.840.10008.1.2.4.51": "JPEGExtendedProcess2_4",
    "1.2.840.10008.1.2.4.57": "JPEGLosslessProcess14",
    "1.2.840.10008.1.2.4.70": "JPEGLosslessProcess14_1",
}
_QUALITY: dict[str, dict[str, Any]] = {
    "1.2.840.10008.1.2.4.81": {"jls_error": 2},
    "1.2.840.10008.1.2.4.91": {"j2k_cr": [2]},
}


def compress(folder: Path, syntax: str) -> Path:
    """Every file of a folder, in place."""
    for path in sorted(folder.iterdir()):
        if syntax in JPEG:
            _by_gdcm(path, JPEG[syntax])
        else:
            _by_pydicom(path, syntax)
    return folder


def _by_pydicom(path: Path, syntax: str) -> None:
    from pydicom import dcmread

    data = dcmread(path)
    data.compress(syntax, generate_instance_uid=False, **_QUALITY.get(syntax, {}))
    data.save_as(path)


def _by_gdcm(path: Path, name: str) -> None:
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
    change.SetInput(reader.GetImage())
    codec = gdcm.JPEGCodec()
    if name in ("JPEGBaselineProcess1", "JPEGExtendedProcess2_4"):
        codec.SetLossless(False)
        codec.SetQuality(100)
        change.SetUserCodec(codec)
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()
