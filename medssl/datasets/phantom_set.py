"""A data set of phantoms, with what a real one has: patients, splits, labels, and a scan that stands in it twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medssl.datasets.cards import copy_card
from medssl.datasets.label_groups import GROUPS
from medssl.datasets.made_set import cached_set
from medssl.datasets.phantoms import phantom
from medssl.datasets.progress import Progress, silent
from medssl.errors import UsageError
from medssl.io.write import write
from medssl.manifest import Manifest, Record

_MANIFEST = "phantoms.csv"
_EDITION = "phantoms 1"


@dataclass(frozen=True)
class _Plan:
    """How one patient is scanned."""

    region: str
    modality: str
    test: bool
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]


_PLANS = (
    _Plan("abdomen", "CT", False, (4.0, 4.0, 4.0), (72, 72, 60)),
    _Plan("chest", "CT", False, (3.5, 3.5, 7.0), (80, 80, 36)),
    _Plan("abdomen", "MR", False, (3.0, 3.0, 6.0), (88, 88, 40)),
    _Plan("chest", "MR", False, (4.5, 4.5, 4.5), (64, 64, 56)),
    _Plan("abdomen", "CT", True, (4.0, 4.0, 5.0), (72, 72, 48)),
    _Plan("chest", "MR", True, (4.0, 4.0, 6.0), (72, 72, 40)),
    _Plan("abdomen", "CT", False, (5.0, 5.0, 5.0), (56, 56, 52)),
    _Plan("chest", "CT", False, (4.0, 4.0, 4.0), (72, 72, 60)),
)
_COARSER = 1.25


def write_phantoms(folder: str | Path, count: int = 9, seed: int = 0, progress: Progress = silent) -> Path:
    """Write phantoms with their labels and a manifest.

    The last scan is the first patient's once more, under another patient's id, with new noise and 1.25 times
    coarser: something for the redundancy step to find. About a quarter of the patients are for testing.

    Args:
        folder: is made; what it holds under the same names is replaced.
        count: number of scans, 4 or more.
        seed: another seed, other patients.
        progress: told at every scan.

    Returns:
        Path of ``phantoms.csv``.

    Raises:
        UsageError: fewer than 4 scans.
    """
    if count < 4:
        raise UsageError(f"a set of phantoms has 4 scans or more, got {count}")
    folder = Path(folder)
    last = count - 1
    no_test = last <= 4
    records = []
    for number in range(count):
        progress(number, count, "making phantoms")
        patient = 0 if number == last else number
        plan = _PLANS[patient % len(_PLANS)]
        if number == last:
            shape = (round(plan.shape[0] / _COARSER), round(plan.shape[1] / _COARSER), round(plan.shape[2] / _COARSER))
            spacing = tuple(s * n / m for s, n, m in zip(plan.spacing_mm, plan.shape, shape, strict=True))
            plan = _Plan(plan.region, plan.modality, False, (spacing[0], spacing[1], spacing[2]), shape)
        elif no_test and number == last - 1:
            plan = _Plan(plan.region, plan.modality, True, plan.spacing_mm, plan.shape)
        records.append(_write_one(folder, number, seed, patient, plan))
    progress(count, count, "making phantoms")
    Manifest(folder / _MANIFEST, folder, tuple(records), dict(GROUPS)).write(folder / _MANIFEST)
    copy_card("phantoms", folder)
    return folder / _MANIFEST


def _write_one(folder: Path, number: int, seed: int, patient: int, plan: _Plan) -> Record:
    """Write scan and label ``number``, and return its row."""
    scan, label = phantom(
        seed, patient, plan.modality, plan.spacing_mm, plan.shape, plan.region, noise=int(number != patient)
    )
    name = f"phantom{number:02d}.nii.gz"
    for kind, volume in (("images", scan), ("labels", label)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        write(volume, folder / kind / name)
    return Record(
        image=f"images/{name}",
        patient_id=f"p{number:02d}",
        study_id=f"s{number:02d}",
        label=f"labels/{name}",
        modality=plan.modality,
        split="test" if plan.test else "train",
        targets={"region": plan.region},
    )


def cached_phantoms(cache: str | Path | None = None, progress: Progress = silent) -> Path:
    """The phantoms in the user's cache, made if they are not there yet, checked if they are.

    Raises:
        IntegrityError: a cached file was changed (code ``hash``).
    """
    return cached_set("phantoms", _EDITION, lambda folder: write_phantoms(folder, progress=progress), cache, progress)
