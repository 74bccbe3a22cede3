"""Reading one scan of any format: a volume with its exact affine, or a refusal that says why."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from medssl.errors import InputError, MedsslError, UsageError
from medssl.io.dicom.files import dicom_files
from medssl.io.folder import is_dicom
from medssl.io.guard import guarded
from medssl.io.labels.nearest import nearest_onto
from medssl.io.sniff import SUFFIXES, sniff, suffix_of
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
    suv: bool = False,
) -> Volume:
    """Read one scan.

    Args:
        path: a NIfTI, NRRD, MetaImage or ``.npz`` file, a DICOM folder, or a multi-frame DICOM file.
        series: which one of a DICOM folder with several (number from 1, UID or its hash).
        volume: which one of a 4D file, from 0; the volumes of a DICOM time series are series.
        prefer: ``sform`` or ``qform``, where a NIfTI file's two maps disagree.
        nan_fill: put in the place of NaN and infinity, which are refused otherwise; the flag ``nan_filled:N`` counts.
        allow_gaps: resample over missing DICOM slices, with a flag.
        suv: give a DICOM PET in standardised uptake values by body weight, with the flag ``suv_bw``.

    Returns:
        Data ``(C, i, j, k)`` and the affine to RAS millimetres.

    Raises:
        InputError: naming the file and what was expected and what came.
        UsageError: an argument has no meaning, or none for this file.
        IntegrityError: a header names a data file outside its folder.
    """
    where = Path(path)
    check_arguments(where, prefer, nan_fill)
    return checked(load(where, series, volume, prefer, allow_gaps, suv), where, nan_fill)


def check_arguments(path: Path, prefer: str | None, nan_fill: float | None) -> None:
    """Refuse what no file could be read with.

    Raises:
        UsageError: naming the argument.
    """
    if prefer not in (None, "sform", "qform"):
        raise UsageError(f"prefer must be sform or qform, got {prefer}", path=path)
    if nan_fill is not None and not math.isfinite(nan_fill):
        raise UsageError(f"the value in the place of NaN must be finite, got {nan_fill}", path=path)


def read_all(
    path: str | Path,
    *,
    prefer: str | None = None,
    nan_fill: float | None = None,
    allow_gaps: bool = False,
    suv: bool = False,
) -> list[Volume]:
    """Every volume of a DICOM folder or file, or of a 4D file; the single volume of another file.

    The arguments are those of ``read``. Each volume of a 4D file is read on its own.
    """
    where = Path(path)
    check_arguments(where, prefer, nan_fill)
    if os.path.isdir(where) or guarded(lambda: _kind(where), where) == "dicom":
        from medssl.io.dicom.volumes import list_series

        series = guarded(lambda: list_series(where), where)
        return [checked(guarded(partial(one.read, allow_gaps, suv), where), where, nan_fill) for one in series]
    from medssl.io.describe import describe

    count = describe(where, prefer).volumes
    chosen = range(count) if count > 1 else [None]
    return [read(where, volume=n, prefer=prefer, nan_fill=nan_fill, suv=suv) for n in chosen]


def read_label(
    path: str | Path,
    like: Volume | str | Path | None = None,
    *,
    segment: int | str | None = None,
    classes: Mapping[int, str] | None = None,
    threshold: float | None = None,
    resample: bool = False,
) -> Volume:
    """Read a label map: whole numbers, uint8 or int32, one channel.

    A DICOM segmentation or RT structure set is painted on the scan's own grid. Its segments become their numbers.

    Args:
        path: any format of ``read``, a DICOM SEG or RTSTRUCT file, or a folder that holds exactly one of these; a
            label map without any label is allowed.
        like: the scan, or where it lies. The map's geometry must be the scan's within 1e-3 mm (a segmentation's: its
            voxels, wherever it begins and ends), and it is given in the scan's storage order. Contours need it.
        segment: one segment alone, by number or by its name in the file; it keeps its number as value.
        classes: value → name: segments become the values of the classes of their names, others are left out.
        threshold: from which share on a voxel of a FRACTIONAL segmentation counts, in (0, 1].
        resample: take a map on another grid onto the scan's by nearest neighbour, with the flag ``label_resampled``.

    Raises:
        InputError: ``label``, besides what ``read`` raises.
        UsageError: contours without a scan, or ``resample`` without one.
    """
    where = Path(path)
    scan = read(like) if isinstance(like, str | Path) else like
    if resample and scan is None:
        raise UsageError("resample needs a scan whose grid is taken", path=where, hint="give like=SCAN or --like SCAN")
    found = guarded(lambda: _dicom_label(where), where)
    if found is None:
        if segment is not None or threshold is not None:
            raise UsageError("segment and threshold are for DICOM segmentations and structure sets", path=where)
        label = as_label(checked(load(where), where, constant=True), where)
        if scan is None:
            return label
        return nearest_onto(label, scan) if resample else fitted(label, scan, where)
    from medssl.io.labels.dicom_label import read_dicom_label

    file, kind = found
    own = resample and kind == "seg"
    label = guarded(
        lambda: read_dicom_label(file, kind, scan, segment=segment, classes=classes, threshold=threshold, own=own),
        file,
    )
    label = as_label(label, file)
    return nearest_onto(label, scan) if own and scan is not None else label


def is_label(path: Path) -> bool:
    """Whether a path is a DICOM segmentation or structure set, or a folder that holds these and no scan."""
    if not os.path.isdir(path):
        return holds_label(path)
    files = guarded(lambda: list(dicom_files(path)), path)
    # the first slice says that a folder is a scan's: its other headers are not read for this
    return bool(files) and all(_is_label_file(file) for file in files)


def _is_label_file(path: Path) -> bool:
    try:
        return holds_label(path)
    except MedsslError:
        # what is wrong with it is for the reader of scans to say, of the series that is asked for
        return False


def holds_label(path: Path) -> bool:
    """Whether ``read_label`` takes segments from a path: a DICOM label, or a folder with one among its files."""
    return guarded(lambda: _dicom_label(path), path) is not None


def names_of(path: Path) -> dict[int, str]:
    """Segment number → name that may be shown, of a DICOM label; empty for other label maps."""
    found = guarded(lambda: _dicom_label(path), path)
    if found is None:
        return {}
    from medssl.io.labels.dicom_label import segments_of

    return {one.number: one.name for one in guarded(lambda: segments_of(*found), path)}


def _dicom_label(path: Path) -> tuple[Path, str] | None:
    """The DICOM label object that a path is or holds."""
    if not path.is_dir() and ("dicom" not in SUFFIXES.get(suffix_of(path), ("dicom",)) or not is_dicom(path)):
        return None
    from medssl.io.labels.dicom_label import dicom_label

    return dicom_label(path)


def read_record_label(manifest: Manifest, record: Record, like: Volume) -> Volume | None:
    """The label map of a manifest's row on its image's grid; the manifest's classes choose segments by name."""
    path = manifest.resolve_label(record)
    return None if path is None else read_label(path, like, classes=manifest.classes)


def read_record(manifest: Manifest, record: Record, *, suv: bool = False) -> Volume:
    """The image of a manifest's row; ``series_id`` and ``volume`` choose where there are several.

    Args:
        manifest: with its root.
        record: one of its rows.
        suv: uptake values of PET, as ``read`` gives them.
    """
    path = manifest.resolve(record)
    if record.series_id and (path.is_dir() or is_dicom(path)):
        from medssl.io.dicom.survey import one_series

        one = guarded(lambda: one_series(path, record.series_id), path)
        return checked(guarded(lambda: one.read(suv=suv), path), path)
    return read(path, volume=int(record.volume) if record.volume.strip() else None, suv=suv)


def load(
    path: Path,
    series: int | str | None = None,
    volume: int | None = None,
    prefer: str | None = None,
    allow_gaps: bool = False,
    suv: bool = False,
) -> Volume:
    """What ``read`` gives, before its values are judged."""
    return guarded(lambda: _by_kind(path, series, volume, prefer, allow_gaps, suv), path)


def _by_kind(
    path: Path, series: int | str | None, volume: int | None, prefer: str | None, allow_gaps: bool, suv: bool
) -> Volume:
    kind = "dicom" if path.is_dir() else _kind(path)
    if kind == "dicom":
        from medssl.io.dicom.volumes import read_dicom

        if volume is not None:
            raise UsageError("the volumes of DICOM are series", path=path, hint="choose one with series=N")
        return read_dicom(path, series=series, allow_gaps=allow_gaps, suv=suv)
    if series is not None:
        raise UsageError("only DICOM has series", path=path, hint="choose one of a 4D file with volume=N")
    if suv:
        raise InputError("a standardised uptake value needs the tags of a DICOM PET", path=path, code="suv")
    if kind == "nrrd":
        from medssl.io.formats.nrrd import read_nrrd

        return read_nrrd(path, volume=volume)
    if kind == "metaimage":
        from medssl.io.formats.metaimage import read_metaimage

        return read_metaimage(path, volume=volume)
    if kind == "npz":
        from medssl.io.formats.numpy_file import read_npz

        return read_npz(path)
    from medssl.io.formats.nifti import read_nifti

    return read_nifti(path, volume=volume, prefer=prefer)


def _kind(path: Path) -> str:
    # a pair's .img is bare numbers: its .hdr tells what it is
    return "nifti-pair" if suffix_of(path) in (".img", ".img.gz") else sniff(path)
