"""Splits and folds by patient: seeded, stable when patients are added, or with exact and stratified shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medssl.draws import stable_int
from medssl.errors import InputError, UsageError
from medssl.io.manifests.split_units import Units, strata_of, units_of
from medssl.manifest import Manifest

_SEEDS_TRIED = 1000


@dataclass(frozen=True)
class Manner:
    """How patients are dealt out.

    Args:
        stratify: columns in whose groups the shares hold each; implies ``exact``.
        exact: shares hold to within one patient, at the price that a few move when others are added.
        keep: patients who have a split already keep it; new ones fill up the shares.
        link: what makes two ids one patient: ``study`` (one study id), ``copies`` (byte-equal scans).
    """

    stratify: tuple[str, ...] = ()
    exact: bool = False
    keep: bool = False
    link: tuple[str, ...] = ()


def assign_splits(
    manifest: Manifest, fractions: Mapping[str, float], seed: int = 0, manner: Manner | None = None
) -> Manifest:
    """Give each patient a split by a hash of seed and patient id, so that nobody moves when others are added.

    The shares hold on average, not exactly, unless ``manner`` says so. Ids that differ in case or outer blanks count
    as one patient.

    Args:
        manifest: its own splits are replaced, unless they are kept.
        fractions: split → share; the shares add up to 1.
        seed: another one gives other splits.
        manner: how, where not by the hash alone.

    Raises:
        UsageError: the shares are not between 0 and 1 or do not add up, or a column is not there.
        InputError: ``too-few``: a split would stay empty; ``manifest-leak``: a patient to keep is in two splits.
    """
    how = manner or Manner()
    check_fractions(fractions)
    units = units_of(manifest, how.link)
    kept = _kept(manifest, units, fractions) if how.keep else {}
    chosen = _filled(manifest, units, fractions, seed, how, kept)
    records = tuple(replace(record, split=chosen[units.of(record)]) for record in manifest.records)
    return replace(manifest, records=records)


def assign_folds(
    manifest: Manifest, folds: int, seed: int = 0, manner: Manner | None = None, apart: Sequence[str] = ("test",)
) -> Manifest:
    """Give each patient a fold from 0, as ``assign_splits`` gives splits, which stay as they are.

    Args:
        manifest: its own folds are replaced.
        folds: how many.
        seed: another one gives other folds.
        manner: how, where not by the hash alone.
        apart: splits that take no part: their rows have no fold.

    Raises:
        UsageError: fewer than 2 folds.
        InputError: ``too-few``: a fold would stay empty.
    """
    if folds < 2:
        raise UsageError(f"expected at least 2 folds, got {folds}", path="--folds")
    how = manner or Manner()
    taking = replace(manifest, records=tuple(record for record in manifest.records if record.split not in apart))
    units = units_of(taking, how.link)
    shares = {str(fold): 1 / folds for fold in range(folds)}
    chosen = _filled(taking, units, shares, seed, how, {})
    records = tuple(
        replace(record, fold="" if record.split in apart else chosen[units.of(record)]) for record in manifest.records
    )
    return replace(manifest, records=records)


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Refuse shares that are no shares."""
    if not fractions or any(not name.strip() for name in fractions):
        raise UsageError("expected a name and a share for each split")
    if any(not 0 <= share <= 1 for share in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
        raise UsageError(f"the shares must lie between 0 and 1 and add up to 1, got {dict(fractions)}")


def _kept(manifest: Manifest, units: Units, fractions: Mapping[str, float]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for record in manifest.records:
        if record.split in fractions and kept.setdefault(units.of(record), record.split) != record.split:
            raise InputError(
                f"line {record.line}: a patient stands in two splits already, which cannot be kept",
                path=manifest.path,
                code="manifest-leak",
            )
    return kept


def _filled(
    manifest: Manifest, units: Units, shares: Mapping[str, float], seed: int, how: Manner, kept: Mapping[str, str]
) -> dict[str, str]:
    """Unit → name, after checking that no name stays empty."""
    wanted = {name for name, share in shares.items() if share > 0}
    what = "folds" if set(shares) == {str(n) for n in range(len(shares))} else "splits"
    if len(units.names) < len(wanted):
        reason = f"{len(units.names)} patients cannot fill {len(wanted)} {what}"
        raise InputError(reason, path=manifest.path, code="too-few")
    exact = how.exact or bool(how.stratify)
    strata = strata_of(manifest, units, how.stratify) if exact else {}

    def deal(with_seed: int) -> dict[str, str]:
        new = [name for name in units.names if name not in kept]
        return dict(kept) | (
            _ranked(units, shares, with_seed, strata, kept) if exact else _draw(new, shares, with_seed)
        )

    chosen = deal(seed)
    empty = sorted(wanted - set(chosen.values()))
    if empty:
        other = next((s for s in range(_SEEDS_TRIED) if wanted <= set(deal(s).values())), None)
        raise InputError(
            f"too few patients ({len(units.names)}): with seed {seed} the {what[:-1]} {empty[0]} stays empty",
            path=manifest.path,
            code="too-few",
            hint=f"seed {other} fills every {what[:-1]}" if other is not None else "choose larger shares",
        )
    return chosen


def _draw(units: Sequence[str], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """By the hash of each alone: nobody's place depends on anybody else."""
    names = list(shares)
    ends = np.cumsum([shares[name] for name in names])
    out = {}
    for unit in units:
        place = stable_int(f"{seed}\0{unit}") / 2**62
        out[unit] = names[min(int(np.searchsorted(ends, place, side="right")), len(names) - 1)]
    return out


def _ranked(
    units: Units, shares: Mapping[str, float], seed: int, strata: Mapping[str, str], kept: Mapping[str, str]
) -> dict[str, str]:
    """By the rank of the hash within each stratum: what the kept ones leave open is dealt out in proportion."""
    names = list(shares)
    out: dict[str, str] = {}
    for stratum in sorted(set(strata.values())):
        members = [unit for unit in units.names if strata[unit] == stratum]
        new = sorted((unit for unit in members if unit not in kept), key=lambda unit: stable_int(f"{seed}\0{unit}"))
        there = [sum(kept.get(unit) == name for unit in members) for name in names]
        room = np.maximum([shares[name] * len(members) - n for name, n in zip(names, there, strict=True)], 0)
        ends = np.cumsum(room / room.sum() if room.sum() > 0 else list(shares.values()))
        # small strata begin at a place of their own, so that not all of them fall to the first split
        offset = stable_int(f"{seed}\0stratum\0{stratum}") / 2**62
        for rank, unit in enumerate(new):
            place = int(np.searchsorted(ends, (rank + offset) / len(new), side="right"))
            out[unit] = names[min(place, len(names) - 1)]
    return out
