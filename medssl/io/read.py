"""Reading one scan of any format: a volume with its exact affine, or a refusal that says why."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from medssl.errors import InputError, MedsslError, ResourceError, from_os_error
from medssl.io.dicom_files import quiet
from medssl.io.folder import is_dicom
from medssl.io.sniff import sniff, suffix_of
from medssl.io.values import as_label, checked, fitted
from medssl.manifest import Manifest, Record
from medssl.volume import Volume

T = TypeVar("T")


def read(
    path: str | Path,
    *,
    series: int | str | None = None,
    volume: int | None = None,
    prefer: str | None = None,
    nan_fill: float | None = None,
    allow_gaps: bool = False,
) -> Volume:
    """Read one scan.

    Args:
        path: a NIfTI, NRRD, MetaImage or ``.npz`` file, a DICOM folder, or a multi-frame DICOM file.
        series: which one of a DICOM folder with several (number from 1, UID or its hash).
        volume: which one of a 4D file, from 0.
        prefer: ``sform`` or ``qform``, where a NIfTI file's two maps disagree.
        nan_fill: put in the place of NaN and infinity, which are refused otherwise.
        allow_gaps: resample over missing DICOM slices, with a flag.

    Returns:
        Data ``(C, i, j, k)`` and the affine to RAS millimetres.

    Raises:
        InputError: naming the file and what was expected and what came.
        IntegrityError: a header names a data file outside its folder.
    """
    where = Path(path)
    return checked(load(where, series, volume, prefer, allow_gaps), where, nan_fill)


def read_all(path: str | Path, *, allow_gaps: bool = False) -> list[Volume]:
    """Every volume of a DICOM folder or file, or the single volume of another file."""
    where = Path(path)
    if where.is_dir() or _kind(where) == "dicom":
        from medssl.io.dicom import list_series

        series = guarded(lambda: list_series(where), where)
        return [checked(guarded(partial(one.read, allow_gaps), where), where) for one in series]
    return [read(where)]


def read_label(path: str | Path, like: Volume | None = None) -> Volume:
    """Read a label map: whole numbers, uint8 or int32, one channel.

    Args:
        path: any format of ``read``; a label map without any label is allowed.
        like: the image; the map's geometry must be the image's within 1e-3 mm, and it is given in the image's
            storage order.

    Raises:
        InputError: ``label``, besides what ``read`` raises.
    """
    where = Path(path)
    label = as_label(checked(load(where), where, constant=True), where)
    return label if like is None else fitted(label, like, where)


def read_record(manifest: Manifest, record: Record) -> Volume:
    """The image of a manifest's row; ``series_id`` and ``volume`` choose where there are several."""
    path = manifest.resolve(record)
    if record.series_id and (path.is_dir() or is_dicom(path)):
        from medssl.io.dicom_survey import one_series

        one = guarded(lambda: one_series(path, record.series_id), path)
        return checked(guarded(one.read, path), path)
    return read(path, volume=int(record.volume) if record.volume.strip() else None)


def load(
    path: Path,
    series: int | str | None = None,
    volume: int | None = None,
    prefer: str | None = None,
    allow_gaps: bool = False,
) -> Volume:
    """What ``read`` gives, before its values are judged."""
    return guarded(lambda: _by_kind(path, series, volume, prefer, allow_gaps), path)


def _by_kind(path: Path, series: int | str | None, volume: int | None, prefer: str | None, allow_gaps: bool) -> Volume:
    kind = "dicom" if path.is_dir() else _kind(path)
    if kind == "dicom":
        from medssl.io.dicom import read_dicom

        return read_dicom(path, series=series, allow_gaps=allow_gaps)
    if kind == "nrrd":
        from medssl.io.nrrd import read_nrrd

        return read_nrrd(path, volume=volume)
    if kind == "metaimage":
        from medssl.io.metaimage import read_metaimage

        return read_metaimage(path, volume=volume)
    if kind == "npz":
        from medssl.io.numpy_file import read_npz

        return read_npz(path)
    from medssl.io.nifti import read_nifti

    return read_nifti(path, volume=volume, prefer=prefer)


def _kind(path: Path) -> str:
    # a pair's .img is bare numbers: its .hdr tells what it is
    return "nifti-pair" if suffix_of(path) in (".img", ".img.gz") else sniff(path)


def guarded(work: Callable[[], T], path: Path) -> T:
    """Run a reader; whatever it raises becomes an error that names the file (promise P54)."""
    try:
        with quiet():
            return work()
    except MedsslError as error:
        if error.path is not None:
            raise
        raise InputError(error.reason, path=path, code=error.code, hint=error.hint) from error
    except MemoryError as error:
        raise ResourceError("not enough memory to read it", path=path, code="memory") from error
    except OSError as error:
        raise from_os_error(error, path) from error
    except RecursionError as error:
        raise InputError("corrupt: nested too deep", path=path, code="corrupt") from error
    except Exception as error:
        raise MedsslError(f"unexpected {type(error).__name__} while reading", path=path, code="internal") from error
