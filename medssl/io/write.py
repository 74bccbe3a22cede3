"""Writing a volume: exact geometry, no private text, whole or not at all."""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.atomic import replacing
from medssl.errors import InputError, UsageError
from medssl.io.deflate import packing
from medssl.io.formats.nifti_affine import is_sheared
from medssl.io.formats.nifti_header import packed_header
from medssl.io.sniff import suffix_of
from medssl.volume import LPS_TO_RAS, Volume, spacing_of

FORMATS = (".nii.gz", ".nii", ".mha", ".nrrd", ".npz")
_OTHERS = {
    ".hdr": "a pair is read but not written: choose .nii",
    ".img": "a pair is read but not written: choose .nii",
    ".mhd": "a detached header is read but not written: choose .mha",
    ".nhdr": "a detached header is read but not written: choose .nrrd",
    ".npy": "an array alone has no geometry: choose .npz",
    ".dcm": "DICOM is read but not written",
    ".gz": "choose .nii.gz",
}
_SLAB_BYTES = 1 << 22


def write(volume: Volume, path: str | Path) -> None:
    """Write a volume in the format that the suffix names, whole or not at all.

    A link that stands at ``path`` is replaced, not followed. NIfTI files get sform and qform with code 1 (a sheared
    volume only an sform: a qform cannot hold shear); their affine is in float32. Flags are kept in ``.npz`` only.
    Every value is kept: where a format lacks the dtype, a wider one is taken (bool → uint8, float16 → float32; 64-bit
    integers become int32 where they fit).

    Raises:
        UsageError: the suffix is not one of ``FORMATS``, or the folder does not exist.
        InputError: the voxels' dtype cannot be written.
        ResourceError: the disk is full or read-only.
    """
    where = Path(path)
    suffix = check_target(where)
    data = _plain(volume.data, suffix, where)
    with replacing(where) as temporary:
        if suffix == ".npz":
            _write_npz(volume, data, temporary)
        elif suffix in (".nii", ".nii.gz"):
            _write_nifti(volume, data, temporary)
        else:
            _write_itk(volume, data, temporary)


def check_target(path: str | Path, sources: Iterable[str | Path] = ()) -> str:
    """The suffix that names the format, before anything is read.

    Raises:
        UsageError: no format has that suffix, or the target is one of the sources.
    """
    where = Path(path)
    suffix = suffix_of(where)
    if suffix not in FORMATS:
        raise UsageError(
            f"expected a name that ends in one of {', '.join(FORMATS)}", path=where, hint=_OTHERS.get(suffix)
        )
    for source in sources:
        if where.exists() and Path(source).exists() and where.samefile(source):
            raise UsageError("the target is the source", path=where, code="exists", hint="choose another name")
    return suffix


def _plain(data: NDArray[Any], suffix: str, path: Path) -> NDArray[Any]:
    """Voxels in a dtype that the format has, every value kept."""
    if not data.size:
        raise InputError(f"a volume of size {data.shape[1:]} cannot be written", path=path, code="values")
    if data.dtype.kind not in "biuf" or data.dtype.itemsize > 8:
        raise InputError(f"voxels of {data.dtype} cannot be written", path=path, code="values")
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    if suffix == ".npz":
        return data
    if data.dtype == np.float16:
        return data.astype(np.float32)
    if data.dtype.kind == "b" or data.dtype == np.uint8:
        # three or four bytes a voxel are a colour in these formats
        colour = suffix in (".mha", ".nrrd") and data.shape[0] in (3, 4)
        return data.astype(np.int16 if colour else np.uint8, copy=False)
    if data.dtype.kind in "iu" and data.dtype.itemsize == 8:
        low, high = int(data.min()), int(data.max())
        fits = np.iinfo(np.int32).min <= low and high <= np.iinfo(np.int32).max
        # many tools do not read 64 bits
        return data.astype(np.int32) if fits else data
    return data


def _write_npz(volume: Volume, data: NDArray[Any], path: Path) -> None:
    spatial = data[0] if data.shape[0] == 1 else np.moveaxis(data, 0, 3)
    arrays = {"data": spatial, "affine": volume.affine, "flags": np.array(volume.flags, dtype=np.str_)}
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays.items():
            # without the hour, so that the same volume gives the same bytes
            member = zipfile.ZipInfo(f"{key}.npy")
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


def _write_nifti(volume: Volume, data: NDArray[Any], path: Path) -> None:
    # channels are the fifth axis with the intent "vector", as ITK and ANTs have it
    spatial = data[0] if data.shape[0] == 1 else np.moveaxis(data, 0, 3)[:, :, :, None]
    kind = data.dtype.newbyteorder("<")
    header = packed_header(spatial.shape, kind, volume.affine, is_sheared(volume.affine))
    with open(path, "wb") as file, packing(file) if path.name.lower().endswith(".gz") else nullcontext(file) as stream:
        stream.write(header)
        # the first axis runs fastest in the file; a slab at a time needs no second copy of the volume
        last = spatial.ndim - 1
        step = max(1, _SLAB_BYTES * spatial.shape[last] // spatial.nbytes)
        for start in range(0, spatial.shape[last], step):
            stream.write(spatial[..., start : start + step].astype(kind, copy=False).tobytes(order="F"))


def _write_itk(volume: Volume, data: NDArray[Any], path: Path) -> None:
    import SimpleITK as sitk  # noqa: N813

    # SimpleITK's arrays run k, j, i(, c); this is where that order ends
    array = np.ascontiguousarray(data[0].T if data.shape[0] == 1 else data.transpose(3, 2, 1, 0))
    image = sitk.GetImageFromArray(array, isVector=data.shape[0] > 1)
    lps = LPS_TO_RAS @ volume.affine
    spacing = spacing_of(lps)
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetSpacing(spacing)
    image.SetDirection((lps[:3, :3] / np.asarray(spacing)).ravel().tolist())
    try:
        with _muted():
            sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        # ITK says in its own words and many lines what the system said
        raise OSError(errno.ENOSPC, "the file cannot be written in full") from error


@contextmanager
def _muted() -> Iterator[None]:
    """ITK's formats print to the program's stderr what they raise as well."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
