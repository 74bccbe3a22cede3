"""``medssl predict``: masks or classes of scans, in each scan's own geometry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medssl.atomic import make_folder
from medssl.commands.runs import Progress, silent, write_json
from medssl.errors import InputError, IntegrityError, MedsslError, UsageError
from medssl.identifiers import hashed
from medssl.io.read import read, read_record
from medssl.io.write import write
from medssl.manifest import Manifest, Record
from medssl.store.rows import record_name
from medssl.store.settings import StoreSettings
from medssl.store.studies import group_studies
from medssl.volume import Volume
from medssl.weights.folder import load_weights

if TYPE_CHECKING:
    from medssl.inference.model import Model

PREDICTIONS = "predictions.json"


@dataclass(frozen=True)
class Case:
    """A scan to predict.

    Args:
        name: unique among the cases; the mask's file name without suffix.
        path: the file or folder.
        record: the manifest's row, or None for a single scan.
        sequences: for a model of studies, the row of each channel, None where it is missing.
    """

    name: str
    path: Path
    record: Record | None = None
    sequences: tuple[Record | None, ...] = ()


def predict(
    weights: str | Path,
    scans: str | Path,
    out: str | Path,
    *,
    root: str | Path | None = None,
    split: str | None = None,
    overlap: float = 0.5,
    continue_on_error: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict scans with a fine-tuned model.

    Args:
        weights: a fine-tuned run or its weights folder.
        scans: a scan, a DICOM folder or a manifest (.csv).
        out: folder for the masks; earlier predictions there are refused.
        root: folder that the manifest's paths start from.
        split: the manifest's rows of this split alone.
        overlap: share of a window that the next one covers again.
        continue_on_error: set refused scans aside and go on; without it one refused scan ends the run.
        progress: called with windows done, windows in all, and the scan.

    Returns:
        ``out``, ``scans``, ``task`` and ``predictions``: for each scan ``mask`` and ``volumes_ml``, or class
        ``probabilities``; and ``quarantined``, the scans that were set aside. The same stands in
        ``predictions.json``, without the errors' text.

    Raises:
        UsageError: there are predictions in ``out`` already (``exists``), or the overlap is out of range.
        InputError: a scan is refused.
        WeightsError: the weights have no head, or do not fit.
    """
    from medssl.inference.model import load_model

    if not 0 <= overlap < 1:
        raise UsageError(f"overlap must be in [0, 1), got {overlap}", path="overlap")
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError("expected a folder for the masks, got a file", path=out, code="exists")
    if (folder / PREDICTIONS).exists():
        raise UsageError("there are predictions already", path=out, code="exists", hint="choose another folder")
    model = load_model(load_weights(weights))
    manifest = Manifest.read(scans, root).select(split) if Path(scans).suffix.lower() == ".csv" else None
    cases = _cases(manifest, Path(scans), model.sequences)
    make_folder(folder)
    found: list[dict[str, Any]] = []
    aside: list[dict[str, Any]] = []
    with _all_or_nothing(folder):
        for case in cases:
            try:
                found.append(_one(model, manifest, case, folder, overlap, progress or silent))
            except (InputError, IntegrityError) as error:
                if not continue_on_error:
                    raise
                aside.append({"name": case.name, "code": error.code, "error": str(error)})
        if not found:
            raise InputError(f"all of {len(aside)} scans were refused", path=scans, code="quarantine")
    answer = {"task": model.task, "classes": {str(v): n for v, n in model.classes.items()}, "settings": model.settings}
    # the error itself names the file, and a folder's name may be a person's: it is shown, not kept
    kept = [{"name": note["name"], "code": note["code"]} for note in aside]
    write_json(folder / PREDICTIONS, {**answer, "predictions": found, "quarantined": kept})
    return {"out": str(out), "scans": len(found), "task": model.task, "predictions": found, "quarantined": aside}


@contextmanager
def _all_or_nothing(out: Path) -> Iterator[None]:
    """After an error, no mask stays behind that ``predictions.json`` does not name."""
    before = set(out.iterdir())
    try:
        yield
    except BaseException:
        for path in set(out.iterdir()) - before:
            path.unlink(missing_ok=True)
        if not before:
            with suppress(OSError):
                out.rmdir()
        raise


def _one(
    model: Model, manifest: Manifest | None, case: Case, out: Path, overlap: float, progress: Progress
) -> dict[str, Any]:
    from medssl.inference.export import volumes_ml
    from medssl.inference.scan import classify_scan, segment_scan

    def tell(done: int, total: int) -> None:
        progress(done, total, f"predict {case.name}")

    facts: dict[str, Any] = {"name": case.name}
    if case.record is not None:
        facts |= {"record": hashed(record_name(case.record)), "patient": hashed(case.record.patient_id)}
    volume = _volume(manifest, case, model.store)
    modality = (case.record.modality if case.record is not None else "") or volume.tags.get("modality", "")
    channels = _channels(manifest, case, volume, model.store)
    try:
        if model.task == "classify":
            answer = classify_scan(model, volume, modality=modality, overlap=overlap, progress=tell, sequences=channels)
            return {**facts, **answer}
        mask = segment_scan(model, volume, modality=modality, overlap=overlap, progress=tell, sequences=channels)
    except MedsslError as error:
        raise type(error)(error.reason, path=error.path or case.path, code=error.code, hint=error.hint) from error
    write(mask, out / f"{case.name}.nii.gz")
    return {**facts, "mask": f"{case.name}.nii.gz", "volumes_ml": volumes_ml(mask, model.classes)}


def _volume(manifest: Manifest | None, case: Case, store: StoreSettings) -> Volume:
    if manifest is not None and case.record is not None:
        return read_record(manifest, case.record, suv=store.uptake(case.record.modality))
    found = read(case.path)
    return read(case.path, suv=True) if store.uptake(found.tags.get("modality", "")) else found


def _channels(
    manifest: Manifest | None, case: Case, volume: Volume, store: StoreSettings
) -> list[tuple[Volume, str] | None]:
    """Every sequence of a study, the case's own scan as it was read."""
    if manifest is None:
        return []
    found: list[tuple[Volume, str] | None] = []
    for record in case.sequences:
        if record is None:
            found.append(None)
        elif record is case.record:
            found.append((volume, record.modality))
        else:
            found.append((read_record(manifest, record, suv=store.uptake(record.modality)), record.modality))
    return found


def _cases(manifest: Manifest | None, path: Path, sequences: Sequence[str] = ()) -> list[Case]:
    if manifest is None:
        if not path.exists():
            raise InputError("does not exist", path=path, code="missing")
        if len(sequences) > 1:
            raise InputError(
                f"the weights take the sequences {', '.join(sequences)} of a study, got a single scan",
                path=path,
                code="not-a-volume",
                hint="give a manifest (.csv) whose rows share a study_id and name their modality",
            )
        return [Case(stem(path), path)]
    if sequences:
        return _studies(manifest, sequences)
    names = unique([stem(Path(record.image)) for record in manifest.records])
    return [Case(n, manifest.resolve(r), r) for n, r in zip(names, manifest.records, strict=True)]


def _studies(manifest: Manifest, sequences: Sequence[str]) -> list[Case]:
    """A case for each study, on the grid of its first labelled scan, or of its first."""
    try:
        found = study_rows(manifest.records, sequences)
    except InputError as error:
        raise InputError(error.reason, path=manifest.path, code=error.code, hint=error.hint) from error
    names = unique([stem(Path(reference.image)) for reference, _ in found])
    return [Case(n, manifest.resolve(r), r, channels) for n, (r, channels) in zip(names, found, strict=True)]


def study_rows(records: Sequence[Record], sequences: Sequence[str]) -> list[tuple[Record, tuple[Record | None, ...]]]:
    """The studies among a manifest's rows: the row that stands for each, and its rows by sequence.

    Raises:
        InputError: a study holds a sequence twice, or no row is of any.
    """
    studies = group_studies(
        [(record.patient_id, record.study_id, record.modality) for record in records],
        sequences,
        [bool(record.label) for record in records],
    )
    return [(records[one.reference], tuple(None if n is None else records[n] for n in one.channels)) for one in studies]


def stem(path: Path) -> str:
    """A file's name without the suffixes of image formats.

    Example:
        >>> stem(Path("a/b.c.nii.gz"))
        'b.c'
    """
    name = path.name or path.resolve().name
    for suffix in (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".npz", ".dcm", ".gz"):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def unique(names: Sequence[str]) -> list[str]:
    """Names that never collide, also where a file system does not tell upper from lower case.

    Example:
        >>> unique(["a", "b", "A", "a-2"])
        ['a', 'b', 'A-3', 'a-2']
    """
    taken = {name.casefold() for name in names}
    seen: set[str] = set()
    out = []
    for name in names:
        chosen = name
        if name.casefold() in seen:
            chosen = next(new for new in _numbered(name) if new.casefold() not in taken)
        seen.add(chosen.casefold())
        taken.add(chosen.casefold())
        out.append(chosen)
    return out


def _numbered(name: str) -> Iterator[str]:
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1
