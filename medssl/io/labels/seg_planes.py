"""Pixels of a DICOM segmentation, plane by plane: packed bits, fractions or segment numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.dicom.files import quiet
from medssl.io.dicom.tags import raw, whole
from medssl.io.files import MAX_BYTES, MAX_VOXELS


class SegPlanes:
    """The planes of one segmentation object, decoded when they are asked for.

    Args:
        dataset: with its pixel data.
        path: the file.

    Raises:
        InputError: the length of the pixel data is not what the header declares, or their kind is not known.
    """

    def __init__(self, dataset: Any, path: Path) -> None:
        from pydicom.uid import UID, AllTransferSyntaxes

        self._dataset, self._path = dataset, path
        self.rows, self.columns = whole(dataset, "Rows", path), whole(dataset, "Columns", path)
        self.count = whole(dataset, "NumberOfFrames", path) if raw(dataset, "NumberOfFrames") else 1
        self._bits = whole(dataset, "BitsAllocated", path)
        if self._bits not in (1, 8, 16):
            raise InputError(f"BitsAllocated is {self._bits}, expected 1, 8 or 16", path=path, code="corrupt")
        syntax = UID(str(getattr(dataset.file_meta, "TransferSyntaxUID", "")))
        if syntax not in AllTransferSyntaxes:
            raise InputError("unknown or missing transfer syntax", path=path, code="codec")
        self._packed = bool(syntax.is_compressed) and not syntax.is_deflated
        self._big = not syntax.is_little_endian
        self._syntax, self._name = str(syntax), syntax.name
        data = raw(dataset, "PixelData")
        if not data:
            raise InputError("the segmentation has no pixel data", path=path, code="truncated")
        self._data: bytes = data
        self._check_size()

    def _check_size(self) -> None:
        voxels = self.rows * self.columns
        wanted = (voxels * self.count * self._bits + 7) // 8
        if voxels > MAX_VOXELS or wanted > MAX_BYTES:
            raise InputError(
                f"the header declares {wanted} bytes, over the size limit of {MAX_BYTES}",
                path=self._path,
                code="too-large",
            )
        if self._packed:
            return
        if self._big and self._bits == 1:
            raise InputError("big-endian packed bits are not read", path=self._path, code="codec")
        if len(self._data) not in (wanted, wanted + wanted % 2):
            what = "truncated" if len(self._data) < wanted else "corrupt"
            raise InputError(
                f"{what}: {len(self._data)} bytes of pixel data, expected {wanted}", path=self._path, code=what
            )

    def plane(self, index: int) -> NDArray[Any]:
        """Stored values ``(rows, columns)`` of one frame: 0 and 1, fractions, or segment numbers."""
        shape = (self.rows, self.columns)
        voxels = self.rows * self.columns
        if self._packed:
            return self._decoded(index)
        if self._bits == 1:
            # planes follow each other bit by bit: one may begin inside a byte (PS3.5 8.1.1)
            start = index * voxels
            part = np.frombuffer(self._data, np.uint8, (start + voxels + 7) // 8 - start // 8, start // 8)
            return np.unpackbits(part, bitorder="little")[start % 8 : start % 8 + voxels].reshape(shape)
        size = self._bits // 8
        kind = np.dtype(f"{'>' if self._big else '<'}u{size}")
        return np.frombuffer(self._data, kind, voxels, index * voxels * size).reshape(shape)

    def _decoded(self, index: int) -> NDArray[Any]:
        """A compressed frame, decoded in a child process: a codec may crash on a hostile one."""
        from medssl.io.dicom.codecs import shared_children
        from medssl.io.dicom.job import Job

        if self._bits == 1:
            raise InputError(
                f"packed bits in the transfer syntax {self._name} are not read", path=self._path, code="codec"
            )
        job = Job(self._syntax, self.rows, self.columns, self._bits, self._bits, 0)
        return shared_children().decode(job, self._frame(index), self._path)

    def _frame(self, index: int) -> bytes:
        from pydicom.encaps import get_frame

        tables = None
        if "ExtendedOffsetTable" in self._dataset and "ExtendedOffsetTableLengths" in self._dataset:
            tables = tuple(raw(self._dataset, f"ExtendedOffsetTable{part}") or b"" for part in ("", "Lengths"))
        try:
            with quiet():
                return bytes(get_frame(self._data, index, number_of_frames=self.count, extended_offsets=tables))
        except Exception as error:
            # offsets that lead nowhere provoke anything
            raise InputError(
                "the frames of the compressed pixels cannot be found", path=self._path, code="codec"
            ) from error
