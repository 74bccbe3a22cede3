"""The modality lookup table (PS3.3 C.11.1.1): stored values to real ones where no slope can say it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.dicom.tags import raw, rescale


@dataclass(frozen=True, eq=False)
class Table:
    """One modality lookup table.

    Args:
        first: the stored value that is mapped to the first entry; lower ones are mapped to it too.
        entries: real values; stored values beyond the last are mapped to the last.
    """

    first: int
    entries: NDArray[np.uint16]

    def __call__(self, stored: NDArray[Any]) -> NDArray[np.uint16]:
        """Real values of stored ones.

        Example:
            >>> Table(-1, np.array([7, 8, 9], dtype=np.uint16))(np.array([-5, -1, 0, 1, 99]))
            array([7, 7, 8, 9, 9], dtype=uint16)
        """
        low, high = self.first, self.first + len(self.entries) - 1
        # the table may reach beyond what the stored type holds, so the difference is taken in a wide one
        return self.entries[np.clip(stored.astype(np.int64), low, high) - low]


def modality_table(dataset: Any, path: Path) -> Table | None:
    """The file's modality lookup table, or None where there is none.

    Args:
        dataset: a file's elements, or the functional group of a frame; PixelRepresentation is read from it.
        path: the file, for messages.

    Raises:
        InputError: ``values``: the table is empty, of another length than it says, or stands beside a slope.
    """
    items = raw(dataset, "ModalityLUTSequence")
    if items is None or not len(items):
        return None
    item = items[0]
    descriptor = _words(raw(item, "LUTDescriptor"), dataset)
    if len(descriptor) != 3:
        raise InputError("LUTDescriptor of the modality lookup table must have 3 numbers", path=path, code="values")
    count, first, bits = (number & 0xFFFF for number in descriptor)
    count = count or 1 << 16
    if raw(dataset, "PixelRepresentation") == 1 and first >= 1 << 15:
        # the value is signed where the pixels are, whatever type it was written as
        first -= 1 << 16
    if not 1 <= bits <= 16:
        raise InputError(
            f"the modality lookup table has {bits} bits an entry, expected 8 or 16", path=path, code="values"
        )
    if rescale(dataset, path) != (1.0, 0.0):
        raise InputError(
            "both a modality lookup table and a RescaleSlope: which holds is not said", path=path, code="values"
        )
    entries = _entries(raw(item, "LUTData"), count, bits, dataset)
    if len(entries) != count:
        raise InputError(
            f"the modality lookup table has {len(entries)} entries, LUTDescriptor says {count}",
            path=path,
            code="values",
        )
    return Table(first, entries)


def _order(dataset: Any) -> str:
    return ">" if getattr(dataset, "original_encoding", (None, True))[1] is False else "<"


def _words(value: Any, dataset: Any) -> list[int]:
    """16-bit numbers of an element whose type (US, SS or OW) may not have been settled."""
    if isinstance(value, bytes):
        return [int(word) for word in np.frombuffer(value[: len(value) // 2 * 2], f"{_order(dataset)}u2")]
    if isinstance(value, int):
        return [value]
    try:
        return [int(part) for part in value or []]
    except (TypeError, ValueError):
        return []


def _entries(value: Any, count: int, bits: int, dataset: Any) -> NDArray[np.uint16]:
    """The table, whether its 8-bit entries were packed two a word or not."""
    if isinstance(value, bytes) and bits <= 8 and len(value) in (count, count + count % 2):
        packed = np.frombuffer(value, np.uint8)
        if _order(dataset) == ">" and len(value) % 2 == 0:
            packed = packed.reshape(-1, 2)[:, ::-1].reshape(-1)
        return packed[:count].astype(np.uint16)
    return np.array([word & 0xFFFF for word in _words(value, dataset)], dtype=np.uint16)
