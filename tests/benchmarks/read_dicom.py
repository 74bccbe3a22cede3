"""Reading a DICOM series: this package against SimpleITK and dicom2nifti, in one run on one machine.

    python tests/benchmarks/read_dicom.py [--slices 275] [--repeats 5] [--folder PATH]

A synthetic CT series (512×512, 12 bits used, intercept -1024, a header of some 130 elements) is written into a
temporary folder, and every reader's array is compared with SimpleITK's before a time is printed.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

COMPRESSED = {
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
}


def ct_like(slices: int, size: int = 512) -> np.ndarray:
    """Stored values ``(k, row, column)``: a noisy body of some organs in air, with the same noise on every slice."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    noise = generator.normal(0, 12, (size, size))
    out = np.empty((slices, size, size), dtype=np.uint16)
    for k in range(slices):
        body = np.where((x / 0.85) ** 2 + (y / 0.6) ** 2 < 1, 1070.0, 20.0)
        body[(x - 0.2 * np.sin(k / 30)) ** 2 + (y / 0.8) ** 2 < 0.05] = 1150.0
        body[x**2 + (y - 0.4) ** 2 < 0.01] = 1800.0
        out[k] = np.clip(body + np.roll(noise, 7 * k, axis=1), 0, 4095)
    return out


def write_series(folder: Path, voxels: np.ndarray) -> Path:
    """One file a slice, explicit little endian, with the elements that a scanner writes beside the needed ones."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    study, series, frame = (generate_uid(entropy_srcs=[name]) for name in ("study", "series", "frame"))
    for k, plane in enumerate(voxels):
        data = Dataset()
        data.ImageType, data.SOPClassUID = ["ORIGINAL", "PRIMARY", "AXIAL"], CTImageStorage
        data.SOPInstanceUID = generate_uid(entropy_srcs=[f"slice {k}"])
        data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = "20200101"
        data.StudyTime = data.SeriesTime = "120000"
        data.AcquisitionTime = data.ContentTime = f"1201{k // 10:02d}.{k % 10}00000"
        data.Modality, data.Manufacturer, data.AccessionNumber = "CT", "SYNTHETIC", "0"
        data.PatientName, data.PatientID, data.PatientSex = "Phantom", "phantom", "O"
        data.SliceThickness, data.KVP, data.ExposureTime, data.XRayTubeCurrent = 1.25, 120, 500, 300
        data.ConvolutionKernel, data.PatientPosition = "STANDARD", "HFS"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.SeriesNumber, data.AcquisitionNumber, data.InstanceNumber = 2, 1, k + 1
        data.ImagePositionPatient = [-180.0, -170.0, 1.25 * k - 100]
        data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.703125, 0.703125]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.Rows, data.Columns = plane.shape
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        data.WindowCenter, data.WindowWidth = 40, 400
        data.RescaleIntercept, data.RescaleSlope, data.RescaleType = -1024, 1, "HU"
        block = data.private_block(0x0043, "SYNTHETIC_BLOCK", create=True)
        for element in range(80):
            block.add_new(element, "DS", str(element * 1.5))
        data.PixelData = plane.tobytes()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.save_as(folder / f"slice{k:04d}.dcm", enforce_file_format=True)
    return folder


def compressed(folder: Path, target: Path, syntax: str) -> Path:
    """The series once more, in another transfer syntax."""
    from pydicom import dcmread

    target.mkdir()
    for path in sorted(folder.iterdir()):
        data = dcmread(path)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(target / path.name)
    return target


def read_medssl(folder: Path) -> np.ndarray:
    """Every check on; ``(k, row, column)``."""
    import medssl

    return np.asarray(medssl.read(folder).data[0].transpose(2, 1, 0))


def read_simpleitk(folder: Path, names: Any = None) -> Any:
    """An image, as its users get it: the names in order, then the series."""
    from SimpleITK import ImageSeriesReader

    reader = ImageSeriesReader()
    reader.SetFileNames(names or ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def read_dicom2nifti(folder: Path, target: Path | None = None) -> None:
    """Into memory as it is stored, or as its manual shows it: turned to its own orientation, into a file."""
    from dicom2nifti.convert_dicom import dicom_series_to_nifti

    dicom_series_to_nifti(str(folder), None if target is None else str(target), reorient_nifti=target is not None)


def read_in_process(folder: Path) -> np.ndarray:
    """The same decoders by pydicom in this process, one thread, no checks: what the children are measured against."""
    from pydicom import dcmread
    from pydicom.pixels import pixel_array

    from medssl.io.dicom.child import PREFERRED

    planes = []
    for path in sorted(folder.iterdir()):
        data = dcmread(path)
        plugin = PREFERRED[str(data.file_meta.TransferSyntaxUID)][0]
        planes.append(pixel_array(data, raw=True, decoding_plugin=plugin).astype(np.int16) - np.int16(1024))
    return np.stack(planes)


def turns(works: list[Callable[[], object]], repeats: int) -> list[float]:
    """The median seconds of each; they take turns, so that a busy moment meets all of them."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 1):
        for place, work in enumerate(works):
            start = time.perf_counter()
            work()
            # the first turn warms up
            if turn:
                times[place].append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def compare(name: str, own: Callable[[], object], peer: Callable[[], object], repeats: int) -> None:
    """One row of the table."""
    try:
        ours, theirs = turns([own, peer], repeats)
    except ImportError:
        print(f"{name:28s} is not installed (pip install medssl[bench])")
    else:
        print(f"{name:28s} {theirs:8.3f} s   medssl {ours:7.3f} s   {theirs / ours:6.1f} times as fast")


def about() -> None:
    """Versions and machine."""
    found = []
    for name in ("numpy", "pydicom", "SimpleITK", "dicom2nifti", "pylibjpeg-openjpeg", "pyjpegls", "pylibjpeg-rle"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{platform.machine()}, {cores} cores, Python {platform.python_version()}, {', '.join(found)}")


def plain(folder: Path, repeats: int) -> np.ndarray:
    """The uncompressed series, by every reader."""
    from SimpleITK import GetArrayFromImage, ImageSeriesReader

    names = ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    truth = np.asarray(GetArrayFromImage(read_simpleitk(folder, names)))
    if not np.array_equal(read_medssl(folder), truth):
        sys.exit("the arrays differ")
    own = partial(read_medssl, folder)
    compare("SimpleITK, names searched", own, lambda: read_simpleitk(folder), repeats)
    compare("SimpleITK, names given", own, lambda: read_simpleitk(folder, names), repeats)
    compare("dicom2nifti, to memory", own, lambda: read_dicom2nifti(folder), 1)
    with tempfile.TemporaryDirectory() as scratch:
        compare("dicom2nifti, to .nii", own, lambda: read_dicom2nifti(folder, Path(scratch) / "a.nii"), 1)
        compare("dicom2nifti, to .nii.gz", own, lambda: read_dicom2nifti(folder, Path(scratch) / "a.nii.gz"), 1)
    return truth


def main() -> None:
    """Write, read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=275)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="kept, and used again when it holds the series already")
    parser.add_argument("--plain", action="store_true", help="leave the compressed syntaxes out")
    options = parser.parse_args()
    about()
    with tempfile.TemporaryDirectory() as scratch:
        home = options.folder or Path(scratch)
        folder = home / "plain"
        if not folder.is_dir():
            write_series(folder, ct_like(options.slices))
        truth = plain(folder, options.repeats)
        for name, syntax in {} if options.plain else COMPRESSED.items():
            packed = home / name.replace(" ", "")
            if not packed.is_dir():
                compressed(folder, packed, syntax)
            if not np.array_equal(read_medssl(packed), truth):
                sys.exit(f"the arrays differ ({name})")
            compare(f"pydicom, one thread, {name}", partial(read_medssl, packed), partial(read_in_process, packed), 1)


if __name__ == "__main__":
    main()
