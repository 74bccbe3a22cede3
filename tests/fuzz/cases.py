"""What is fuzzed: a small valid file of every format, where it may be damaged, and how it is read."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medssl.io.read import read, read_all, read_label
from medssl.io.write import write
from medssl.volume import Volume
from tests.fuzz.mutate import Field
from tests.promises import files, series


@dataclass(frozen=True)
class Case:
    """One format.

    Args:
        body: the valid file.
        path: where it is written; its name tells the format.
        load: reads what lies there.
        fields: of its header.
        first: where damage may begin.
        last: where it must end; None for the end of the file.
        text: its header is words and lines.
        sealed: a checksum covers all that may be damaged: it is refused, or the volume is the same.
        packed: applied to the damaged bytes before they are written.
        hungry: what it asks for may be too large for the memory there is, if it says so.
    """

    body: bytes
    path: Path
    load: Callable[[], Any]
    fields: tuple[Field, ...] = ()
    first: int = 0
    last: int | None = None
    text: bool = False
    sealed: bool = False
    packed: Callable[[bytes], bytes] = field(default=bytes)
    hungry: bool = False


Build = Callable[[Path], Case]
RAMP = np.arange(6 * 5 * 4).reshape(6, 5, 4).astype(np.int16)


def _simple(name: str, make: Callable[[], bytes], **options: Any) -> Build:
    def build(folder: Path) -> Case:
        path = folder / name
        return Case(make(), path, lambda: read(path), **options)

    return build


def _nifti_fields(version: int, order: str) -> tuple[Field, ...]:
    layout = files._NIFTI1 if version == 1 else files._NIFTI2
    out = []
    for at, code in layout.values():
        count, letter = int(code[:-1] or 1), code[-1]
        size = np.dtype(order + letter).itemsize if letter != "s" else count
        if letter == "s":
            out.append(Field(at, f"{order}{count}s"))
        else:
            out += [Field(at + n * size, order + letter) for n in range(count)]
    return tuple(out)


def _written(ending: str) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"a{ending}"
        write(Volume(np.stack([RAMP, RAMP[::-1]]), np.diag([1.5, 1.2, 3.0, 1.0]), ("no_orientation",)), path)
        return path.read_bytes()


def _pair(folder: Path) -> Case:
    (folder / "a.img").write_bytes(files.raw())
    body = files.nifti(magic=b"ni1\0", vox_offset=0)
    return Case(body, folder / "a.hdr", lambda: read(folder / "a.hdr"), _nifti_fields(1, "<"))


def _pair_gz(folder: Path) -> Case:
    (folder / "a.hdr.gz").write_bytes(gzip.compress(files.nifti(magic=b"ni1\0", vox_offset=0)))
    body = gzip.compress(files.raw(), mtime=0)
    return Case(body, folder / "a.img.gz", lambda: read(folder / "a.img.gz"), first=10, sealed=True)


def _detached(name: str, header: bytes, data: str) -> Build:
    def build(folder: Path) -> Case:
        (folder / data).write_bytes(files.raw())
        return Case(header, folder / name, lambda: read(folder / name), text=True)

    return build


NIFTI: dict[str, Build] = {
    "nifti-1": _simple("a.nii", files.nifti, fields=_nifti_fields(1, "<"), last=360),
    "nifti-1-big-endian": _simple("a.nii", lambda: files.nifti(order=">"), fields=_nifti_fields(1, ">"), last=360),
    "nifti-1-extended": _simple(
        "a.nii", lambda: files.nifti(extension=files.nifti_extension(32, b"CANARY")), first=340, last=392
    ),
    "nifti-2": _simple("a.nii", lambda: files.nifti(version=2), fields=_nifti_fields(2, "<"), last=552),
    "nifti-pair": _pair,
    "nifti-pair-gz": _pair_gz,
    "nifti-gz-inside": _simple(
        "a.nii.gz",
        files.nifti,
        fields=_nifti_fields(1, "<"),
        last=360,
        packed=lambda body: gzip.compress(body, 1, mtime=0),
    ),
    # the first ten bytes hold the hour and the system, which nothing covers
    "nifti-gz": _simple("a.nii.gz", lambda: gzip.compress(files.nifti(), mtime=0), first=10, sealed=True),
    "nifti-gz-members": _simple(
        "a.nii.gz",
        lambda: b"".join(gzip.compress(files.nifti()[at : at + 150], mtime=0) for at in range(0, 592, 150)),
        first=10,
    ),
}


def _stored_npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, data=RAMP, affine=np.diag([1.0, 2, 3, 1]), flags=np.array(["sheared"]))
    return out.getvalue()


def _around(body: bytes) -> bytes:
    """An archive whose voxels' member is ``body``."""
    out = io.BytesIO()
    affine = io.BytesIO()
    np.save(affine, np.diag([1.0, 2, 3, 1]))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", body)
        archive.writestr("affine.npy", affine.getvalue())
    return out.getvalue()


def _npy() -> bytes:
    out = io.BytesIO()
    np.save(out, RAMP)
    return out.getvalue()


_PACKED_NRRD = files.nrrd(gzip.compress(files.raw(), mtime=0), encoding="gzip")
_PACKED_MHA = files.mha(zlib.compress(files.raw()), CompressedData="True")

ITK: dict[str, Build] = {
    "nrrd": _simple("a.nrrd", files.nrrd, last=len(files.nrrd()) - 200, text=True),
    "nrrd-text": _simple(
        "a.nrrd", lambda: files.nrrd(b" ".join(b"%d" % n for n in range(120)), encoding="ascii"), text=True
    ),
    "nrrd-gzip": _simple("a.nrrd", lambda: _PACKED_NRRD, first=_PACKED_NRRD.index(b"\x1f\x8b") + 10, sealed=True),
    "nrrd-detached": _detached("a.nhdr", files.nrrd(b"", data_file="a.raw"), "a.raw"),
    "mha": _simple("a.mha", files.mha, last=len(files.mha()) - 200, text=True),
    "mha-zlib": _simple(
        "a.mha", lambda: _PACKED_MHA, first=len(_PACKED_MHA) - len(zlib.compress(files.raw())), sealed=True
    ),
    "mhd": _detached("a.mhd", files.mha(b"", ElementDataFile="a.raw"), "a.raw"),
    "npz": _simple("a.npz", lambda: _written(".npz"), sealed=True),
    "npz-stored": _simple("a.npz", _stored_npz, text=True, sealed=True),
    "npz-inside": _simple("a.npz", _npy, last=140, packed=_around),
    "npy": _simple("a.npy", _npy),
}


def element_fields(path: Path) -> tuple[Field, ...]:
    """Length and value of every top-level element of a DICOM file, and of those inside its first sequences."""
    import pydicom

    data = pydicom.dcmread(path)
    order = "<" if data.original_encoding[1] else ">"
    implicit = data.original_encoding[0]
    raw = pydicom.dcmread(path)
    out = []
    for tag in list(raw.keys()):
        one = raw.get_item(tag)
        at, length = getattr(one, "value_tell", None), getattr(one, "length", None)
        if at is None or length is None:
            continue
        wide = implicit or one.VR in ("OB", "OW", "SQ", "UN", "UT", "OF", "OD", "UC", "UR", "OL")
        out.append(Field(at - 4, f"{order}I") if wide else Field(at - 2, f"{order}H"))
        if one.VR in ("US", "SS") and length == 2:
            out.append(Field(at, f"{order}H"))
        elif 0 < length <= 64:
            out.append(Field(at, f"{order}{length}s"))
    return tuple(out)


def _slices(syntax: str) -> Build:
    def build(folder: Path) -> Case:
        series.save(series.slices(series.voxels((6, 5, 4))), folder / "scan", syntax=series.SYNTAXES[syntax])
        path = folder / "scan" / "IM07.dcm"
        fields = element_fields(path) if syntax != "deflated" else ()
        return Case(path.read_bytes(), path, lambda: read_all(folder / "scan"), fields, first=128)

    return build


def _multi_frame(folder: Path) -> Case:
    (folder / "scan").mkdir()
    path = series.save_one(series.enhanced(series.voxels((6, 5, 4))), folder / "scan" / "a.dcm")
    return Case(path.read_bytes(), path, lambda: read_all(path), element_fields(path), first=128)


def _run_lengths(folder: Path) -> Case:
    from tests.io.syntaxes import compress

    compress(series.save(series.slices(series.voxels((6, 5, 4))), folder / "scan"), "1.2.840.10008.1.2.5")
    path = folder / "scan" / "IM07.dcm"
    return Case(path.read_bytes(), path, lambda: read_all(folder / "scan"), element_fields(path), first=128)


def _segmentation(folder: Path) -> Case:
    from tests.io.label_files import write_seg
    from tests.io.scans import write_slices

    scan = read(write_slices(folder / "scan"))
    body = np.zeros((6, 5))
    body[1:4, 2:4] = 1
    path = write_seg(folder / "seg.dcm", [(1, (10.0, 20.0, 30.0 + 3 * k), body) for k in range(4)])
    return Case(path.read_bytes(), path, lambda: read_label(path, scan), element_fields(path), first=128)


def _structures(folder: Path) -> Case:
    from tests.io.label_files import write_rtstruct
    from tests.io.scans import write_slices

    scan = read(write_slices(folder / "scan"))
    corners = np.array([[10.5, 21.0, 33.0], [12.5, 21.0, 33.0], [12.5, 25.0, 33.0], [10.5, 25.0, 33.0]])
    path = write_rtstruct(folder / "rt.dcm", {1: [corners, corners + np.array([0.0, 0, 3])]})
    return Case(path.read_bytes(), path, lambda: read_label(path, scan), element_fields(path), first=128)


DICOM: dict[str, Build] = {
    **{f"dicom-{name}": _slices(name) for name in series.SYNTAXES},
    "dicom-enhanced": _multi_frame,
    "dicom-seg": _segmentation,
    "dicom-rtstruct": _structures,
    "dicom-rle": _run_lengths,
}


def _manifest(folder: Path) -> Case:
    from medssl.io.manifests.check import check_manifest

    for name in ("a.nii", "b.nii"):
        (folder / name).write_bytes(files.nifti())
    body = (
        b'image,patient_id,study_id,modality,split,fold,age\na.nii,p1,s1,CT,train,0,61\n"b.nii",p2,s2,CT,val,1,"7,5"\n'
    )
    return Case(body, folder / "m.csv", lambda: check_manifest(folder / "m.csv"), text=True)


def _recipe(folder: Path) -> Case:
    from medssl.commands.recipe import check_recipe

    recipes: Sequence[Path] = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))
    path = folder / "r.yaml"
    return Case(recipes[0].read_bytes(), path, lambda: check_recipe(str(path)), text=True, hungry=True)


TABLES: dict[str, Build] = {"manifest": _manifest, "recipe": _recipe}

CASES: dict[str, Build] = {**NIFTI, **ITK, **DICOM, **TABLES}
