"""Pixels of a DICOM segmentation, plane by plane: packed bits, fractions or segment numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.dicom_files import quiet
from medssl.io.dicom_tags import raw, whole
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
        self._name = syntax.name
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
        from pydicom.pixels import pixel_array

        try:
            with quiet():
                out = np.asarray(pixel_array(self._dataset, index=index, raw=True))
        except MemoryError:
            raise
        except Exception as error:
            # decoders raise whatever their plugin raises; the message may hold private text, so it is not repeated
            raise InputError(
                f"pixel data cannot be decoded (transfer syntax {self._name})", path=self._path, code="codec"
            ) from error
        if out.shape != (self.rows, self.columns):
            raise InputError(
                f"decoded {out.shape} pixels, the header declares {(self.rows, self.columns)}",
                path=self._path,
                code="corrupt",
            )
        return out
