"""What a crop policy may know of a stored scan."""

from __future__ import annotations

from medssl.store.store import Store
from medssl.views.view import Scan


def scan_of(store: Store, position: int) -> Scan:
    """The geometry, ids and label points of a stored scan, without voxels.

    Args:
        store: the store.
        position: which scan.
    """
    entry = store.entry(position)
    _, i, j, k = entry.voxels.shape
    return Scan(
        (i, j, k),
        entry.voxels.affine,
        entry.voxels.body,
        store.ids(position),
        dict(entry.points),
        entry.row.modality,
        entry.kept,
        mask=entry.mask,
    )
