"""Promise P8 over every transfer syntax: the voxels are those that were encoded."""

from __future__ import annotations

import base64
import subprocess
import sys

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.read import read
from tests.io.scans import marked, write_slices
from tests.io.syntaxes import JPEG, compress

J = "1.2.840.10008.1.2.4."
LOSSLESS = ["1.2.840.10008.1.2.5", J + "57", J + "70", J + "80", J + "90"]
# largest error of a voxel: of the encoder's own quantisation
LOSSY = {J + "50": 2, J + "51": 2, J + "81": 2, J + "91": 2}

HTJ2K = base64.b64decode(
    "/0//UQApQAAAAAAGAAAABQAAAAAAAAAAAAAABgAAAAUAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJCQ"
    "kJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAADEAAf+TwAAl4wUHdAAAAMAAEkAAEoD+J3MA7gAHdAAAwAAkAPiVEwD/2Q=="
)
"""A picture of 5 rows and 6 columns that counts from 0, made by OpenJPH."""


def smooth(bits: int, signed: bool) -> np.ndarray:
    """Columns × rows × slices of waves over the whole range; lossy encoders blur edges."""
    i, j, k = np.mgrid[:48, :32, :4]
    waves = (np.sin(i / 9 + k) + np.cos(j / 7) + 2) / 4 * ((1 << bits) - 1) * 0.9
    return (waves - ((1 << bits - 1) if signed else 0)).astype(f"<{'i' if signed else 'u'}{1 if bits <= 8 else 2}")


def series(folder, voxels, bits, signed, **tags):
    def change(n, data):
        data.Columns, data.Rows = voxels.shape[:2]
        data.BitsAllocated, data.BitsStored, data.HighBit = 8 * voxels.itemsize, bits, bits - 1
        data.PixelRepresentation, data.PixelData = int(signed), voxels[:, :, n].T.tobytes()

    return write_slices(folder, change=change, **tags)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_p08_lossless_syntaxes_give_every_bit_back(tmp_path, syntax):
    for bits, signed in [(8, False), (12, False), (12, True), (16, False), (16, True)]:
        voxels = smooth(bits, signed)
        scan = read(compress(series(tmp_path / f"{bits}{signed}", voxels, bits, signed), syntax))
        np.testing.assert_array_equal(scan.data[0], voxels, strict=True)


@pytest.mark.parametrize("syntax", LOSSY)
def test_p08_lossy_syntaxes_stay_near(tmp_path, syntax):
    for bits in [8, *([12] if syntax != J + "50" else []), *([16] if syntax not in JPEG else [])]:
        voxels = smooth(bits, signed=False)
        scan = read(compress(series(tmp_path / str(bits), voxels, bits, signed=False), syntax))
        assert scan.data.dtype == voxels.dtype
        assert np.abs(scan.data[0].astype(int) - voxels).max() <= LOSSY[syntax]


@pytest.mark.parametrize("syntax", [J + "201", J + "202", J + "203"])
def test_p08_high_throughput_jpeg_2000(tmp_path, syntax):
    from pydicom import dcmread
    from pydicom.encaps import encapsulate

    folder = write_slices(tmp_path / "s", PixelRepresentation=0)
    for path in folder.iterdir():
        data = dcmread(path)
        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = encapsulate([HTJ2K])
        data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
        data.save_as(path)
    np.testing.assert_array_equal(read(folder).data[0, :, :, 2], marked((1, 5, 6))[0].T)


@pytest.mark.parametrize("syntax", [J + "70", J + "80", J + "90"])
def test_p12_a_compressed_frame_without_its_end_is_truncated(tmp_path, syntax):
    from pydicom import dcmread
    from pydicom.encaps import encapsulate, generate_frames

    folder = compress(series(tmp_path / "s", smooth(12, signed=False), 12, signed=False), syntax)
    path = folder / "IM07.dcm"
    data = dcmread(path)
    frame = next(generate_frames(data.PixelData, number_of_frames=1))
    data.PixelData = encapsulate([frame[: len(frame) * 3 // 4]])
    data["PixelData"].is_undefined_length = True
    data.save_as(path)
    with pytest.raises(InputError, match=r"IM07\.dcm: truncated: the compressed pixels have no end"):
        read(folder)


@pytest.mark.parametrize("syntax", [J + "50", J + "70", J + "80", J + "90"])
def test_a_compressed_picture_of_another_size_is_refused(tmp_path, syntax):
    from pydicom import dcmread

    bits = 8 if syntax == J + "50" else 12
    folder = compress(series(tmp_path / "s", smooth(bits, signed=False), bits, signed=False), syntax)
    for path in folder.iterdir():
        data = dcmread(path)
        data.Rows, data.Columns = data.Columns, data.Rows
        data.save_as(path)
    with pytest.raises(
        InputError, match=r"the compressed picture has \(32, 48\) pixels, the header declares \(48, 32\)"
    ):
        read(folder)


@pytest.mark.parametrize("syntax", LOSSLESS[::2])
def test_p55_nothing_is_decoded_in_the_parent(tmp_path, syntax):
    folder = compress(series(tmp_path / "s", smooth(12, signed=False), 12, signed=False), syntax)
    code = (
        "import medssl\n"
        "from pydicom.pixels.decoders import base\n"
        "base.DecodeRunner.decode = base.Decoder.as_array = base.Decoder.as_buffer = None\n"
        f"assert medssl.read({str(folder)!r}).shape == (48, 32, 4)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
