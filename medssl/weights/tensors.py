"""Tensors in safetensors files, and nothing else: no pickle, no repeated key, no number that is not finite."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medssl.errors import InputError, IntegrityError, WeightsError, from_os_error

UNSAFE = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".npy", ".npz", ".joblib", ".h5", ".keras", ".msgpack")
"""Suffixes of files that can run code when they are read, or that are not ours to read."""

MAX_HEADER = 100_000_000
_PICKLE, _ZIP, _LFS = b"\x80", b"PK\x03\x04", b"version https://git-lfs"


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        IntegrityError: a pickle or archive, whatever its name (``weights-unsafe``).
        WeightsError: malformed, a key twice, or numbers that are not finite (``weights-format``).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    refuse_unsafe(path)
    _check_header(path)
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise _malformed(str(error), path) from error
    except OSError as error:
        raise from_os_error(error, path) from error
    _refuse_not_finite(tensors, path)
    return tensors


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors; what is not finite is refused.

    Raises:
        WeightsError: a number is not finite (``weights-format``).
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path = Path(path)
    # copies, because tied weights share memory, which the format does not know
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    _refuse_not_finite(plain, path)
    try:
        save_file(plain, path, metadata={"format": "pt"})
    except OSError as error:
        raise from_os_error(error, path, writing=True) from error
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise from_os_error(OSError(int(number[1]), ""), path, writing=True) from error


def refuse_unsafe(path: Path) -> None:
    """Refuse files that could run code, by suffix and by content.

    Raises:
        IntegrityError: ``weights-unsafe``.
        InputError: it is missing or no regular file.
    """
    if path.suffix.lower() in UNSAFE:
        raise IntegrityError(
            f"only .safetensors is read, a {path.suffix} file could run code",
            path=path,
            code="weights-unsafe",
            hint="ask its author for safetensors, or convert it where it was made",
        )
    if not path.exists():
        raise InputError("does not exist", path=path, code="missing")
    if not path.is_file():
        raise InputError("expected a regular file", path=path, code="not-regular")
    with path.open("rb") as file:
        start = file.read(32)
    if start.startswith((_PICKLE, _ZIP)) and not start[8:9] == b"{":
        raise IntegrityError("expected safetensors, got a pickle or archive", path=path, code="weights-unsafe")
    if start.startswith(_LFS):
        raise _malformed("a Git LFS pointer, not the weights themselves", path, "run `git lfs pull`")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise from_os_error(error, path) from error


def _check_header(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if not 2 <= length <= min(size - 8, MAX_HEADER):
            raise _malformed(f"the header's length {length} does not fit a file of {size} bytes", path)
        text = file.read(length)
    try:
        json.loads(text.decode("utf-8"), object_pairs_hook=_no_twice)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"the header is not valid: {error}", path) from error


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"duplicate key {twice[0]!r}")
    return out


def _refuse_not_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise _malformed(f"the tensor {name} has numbers that are not finite", path)


def _malformed(reason: str, path: Path, hint: str | None = None) -> WeightsError:
    return WeightsError(reason, path=path, code="weights-format", hint=hint)
