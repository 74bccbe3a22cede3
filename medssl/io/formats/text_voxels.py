"""Voxels written as text: decimal numbers, or pairs of hexadecimal digits."""

from __future__ import annotations

import binascii
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError

LONGEST_NUMBER = 40
"""Characters that a number and the space behind it may take; a longer text is not read."""


def from_decimal(text: bytes, count: int, kind: np.dtype[Any], path: Path) -> NDArray[Any]:
    """``count`` numbers, each of which the dtype can hold.

    Raises:
        InputError: there are more or fewer, one is not a number, or one does not fit.

    Example:
        >>> from_decimal(b"1 -2, 3", 3, np.dtype("i2"), Path("a.nrrd"))
        array([ 1, -2,  3], dtype=int16)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            numbers = np.fromstring(text.replace(b",", b" ").decode("ascii"), dtype=np.float64, sep=" ")
        except (DeprecationWarning, ValueError) as error:
            raise InputError("corrupt: the text data are not numbers", path=path, code="corrupt") from error
    if numbers.size != count:
        what = "truncated" if numbers.size < count else "corrupt"
        raise InputError(
            f"{what}: the size of the text data is {numbers.size} numbers, the header declares {count}",
            path=path,
            code=what,
        )
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        fits = (numbers == np.rint(numbers)) & (numbers >= limits.min) & (numbers <= limits.max)
        if kind.itemsize == 8:
            fits &= np.abs(numbers) <= 2.0**53
        if not fits.all():
            raise InputError(
                f"corrupt: {int((~fits).sum())} numbers of the text data do not fit {kind.name}",
                path=path,
                code="corrupt",
            )
    return numbers.astype(kind.newbyteorder("="))


def from_hexadecimal(text: bytes, size: int, path: Path) -> NDArray[np.uint8]:
    r"""``size`` bytes from two digits each, white space between them passed over.

    Example:
        >>> from_hexadecimal(b"00 ff\n10", 3, Path("a.nrrd"))
        array([  0, 255,  16], dtype=uint8)
    """
    digits = b"".join(text.split())
    if len(digits) != 2 * size:
        what = "truncated" if len(digits) < 2 * size else "corrupt"
        raise InputError(f"{what}: {len(digits) // 2} data bytes, the header declares {size}", path=path, code=what)
    try:
        return np.frombuffer(binascii.unhexlify(digits), dtype=np.uint8)
    except binascii.Error as error:
        raise InputError("corrupt: the data are not hexadecimal digits", path=path, code="corrupt") from error
