"""Which scans a head learns from: those with a label, or a few patients' of them."""

from __future__ import annotations

from collections.abc import Sequence

from medssl.draws import stable_int
from medssl.errors import InputError
from medssl.identifiers import hashed
from medssl.manifest import Manifest
from medssl.store.rows import record_name
from medssl.store.store import Store


def with_labels(store: Store, labelled: Sequence[bool], what: str, manifest: str) -> tuple[Store, list[str]]:
    """The scans that have a label, and a note where others are left out.

    Args:
        store: the scans of a split.
        labelled: whether each of them has a label.
        what: the label in words, without an article, for messages.
        manifest: the manifest's path, for messages.

    Raises:
        InputError: none has one (``too-few``).
    """
    positions = [position for position, there in enumerate(labelled) if there]
    missing = len(store) - len(positions)
    if not positions:
        raise InputError(
            f"none of {len(store)} scans has a {what}",
            path=manifest,
            code="too-few",
            hint="fill the manifest's column, or choose another data.split",
        )
    if not missing:
        return store, []
    return store.subset(positions), [f"{missing} of {len(store)} scans have no {what}: left out"]


def few_patients(store: Store, manifest: Manifest, count: int, seed: int) -> Store:
    """The scans of ``count`` patients: those with the lowest hash of seed and patient id.

    Fewer patients are therefore a part of more, nobody is exchanged when patients are added but by a newcomer, and
    the choice is the same on every machine.

    Args:
        store: scans with labels.
        manifest: the manifest that they come from.
        count: of patients, 1 or more.
        seed: of the run.

    Raises:
        InputError: there are not so many (``too-few``).
    """
    names = {hashed(record_name(record)): record.patient_id for record in manifest.records}
    # ids that differ in case or outer blanks are one patient, as for splits
    patients = [names[store.row(position).record].strip().casefold() for position in range(len(store))]
    order = sorted(set(patients), key=lambda patient: (stable_int(f"labels\0{seed}\0{patient}"), patient))
    if len(order) < count:
        raise InputError(
            f"labels of {count} patients are asked for, the scans to train on have labels of {len(order)}",
            path=manifest.path,
            code="too-few",
            hint="lower labels",
        )
    chosen = set(order[:count])
    return store.subset([position for position, patient in enumerate(patients) if patient in chosen])
