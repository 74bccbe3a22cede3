"""Splits by patient: seeded, and stable when patients are added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from medssl.draws import stable_int
from medssl.errors import InputError, UsageError
from medssl.manifest import Manifest

_SEEDS_TRIED = 1000


def assign_splits(manifest: Manifest, fractions: Mapping[str, float], seed: int = 0) -> Manifest:
    """Give each patient a split by a hash of seed and patient id, so that nobody moves when others are added.

    The shares hold on average, not exactly. Ids that differ in case or outer blanks count as one patient.

    Args:
        manifest: its own splits are replaced.
        fractions: split → share; the shares add up to 1.
        seed: another one gives other splits.

    Raises:
        UsageError: the shares are not between 0 and 1 or do not add up.
        InputError: ``too-few``: a split would stay empty.
    """
    check_fractions(fractions)
    patients = sorted({_one(record.patient_id) for record in manifest.records})
    wanted = {name for name, share in fractions.items() if share > 0}
    if len(patients) < len(wanted):
        raise InputError(
            f"{len(patients)} patients cannot fill {len(wanted)} splits", path=manifest.path, code="too-few"
        )
    chosen = _draw(patients, fractions, seed)
    empty = sorted(wanted - set(chosen.values()))
    if empty:
        other = next((s for s in range(_SEEDS_TRIED) if wanted <= set(_draw(patients, fractions, s).values())), None)
        raise InputError(
            f"too few patients ({len(patients)}): with seed {seed} the split {empty[0]} stays empty",
            path=manifest.path,
            code="too-few",
            hint=f"seed {other} fills every split" if other is not None else "choose larger shares",
        )
    records = tuple(replace(record, split=chosen[_one(record.patient_id)]) for record in manifest.records)
    return replace(manifest, records=records)


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Refuse shares that are no shares."""
    if not fractions or any(not name.strip() for name in fractions):
        raise UsageError("expected a name and a share for each split")
    if any(not 0 <= share <= 1 for share in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
        raise UsageError(f"the shares must lie between 0 and 1 and add up to 1, got {dict(fractions)}")


def _one(patient_id: str) -> str:
    return patient_id.strip().casefold()


def _draw(patients: list[str], fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    names = list(fractions)
    ends = np.cumsum([fractions[name] for name in names])
    out = {}
    for patient in patients:
        place = stable_int(f"{seed}\0{patient}") / 2**62
        out[patient] = names[min(int(np.searchsorted(ends, place, side="right")), len(names) - 1)]
    return out
