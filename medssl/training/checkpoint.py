"""Checkpoints: plain data, written whole or not at all, verified before they are trusted.

A checkpoint's name holds the first half of its sha256, so one file is enough to write it atomically and to find it
damaged later; torch itself does not verify what it reads.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from medssl.atomic import sync_folder
from medssl.errors import InputError, MedsslError, from_os_error

FORMAT = 1
_NAME = re.compile(r"step-(\d{8,})-([0-9a-f]{32})\.ckpt")


def save_checkpoint(folder: str | Path, step: int, data: Mapping[str, Any], keep: int = 2) -> Path:
    """Write a checkpoint and drop all but the last ``keep`` ones.

    Args:
        folder: made where it is missing.
        step: optimizer steps done.
        data: plain data: numbers, texts, lists, mappings and tensors.
        keep: at least 2, so that a damaged last one leaves another.

    Raises:
        MedsslError: the state is not finite (``diverged``).
        ResourceError: the disk is full or read-only.
    """
    refuse_not_finite(data.get("method", {}), step)
    folder = Path(folder)
    temporary = folder / f".step-{step}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                _save({"format": FORMAT, "step": step, **data}, file)
                file.flush()
                os.fsync(file.fileno())
            final = folder / f"step-{step:08d}-{_digest(temporary)}.ckpt"
            os.replace(temporary, final)
            sync_folder(folder)
        finally:
            temporary.unlink(missing_ok=True)
        for _, old in _listed(folder)[max(2, keep) :]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, folder, writing=True) from error
    return final


def _save(data: Mapping[str, Any], file: BinaryIO) -> None:
    try:
        torch.save(data, file)
    except RuntimeError as error:
        # torch closes its archive after a failed write, and tells of that alone
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def latest_checkpoint(folder: str | Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest checkpoint that is whole, and a line for each newer one that is not.

    Raises:
        InputError: there are checkpoints, and all are damaged (``checkpoint``).
    """
    folder = Path(folder)
    skipped: list[str] = []
    for temporary in folder.glob(".step-*.tmp") if folder.is_dir() else ():
        temporary.unlink(missing_ok=True)
    found = _listed(folder)
    for _, path in found:
        try:
            return load_checkpoint(path), skipped
        except InputError as error:
            skipped.append(f"{path.name} is skipped: {error.reason}")
    if found:
        raise InputError("no checkpoint is whole", path=folder, code="checkpoint", hint="; ".join(skipped))
    return None, skipped


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read and verify one checkpoint; nothing in it can run.

    Raises:
        InputError: damaged, not a checkpoint, or of another format (``checkpoint``).
    """
    path = Path(path)
    name = _NAME.fullmatch(path.name)
    if name is None:
        raise InputError("expected a name like step-00000010-….ckpt", path=path, code="checkpoint")
    try:
        if _digest(path) != name.group(2):
            raise InputError("its checksum is not the one in its name", path=path, code="checkpoint")
        data: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise from_os_error(error, path) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise InputError(f"cannot be read: {error}", path=path, code="checkpoint") from error
    if data.get("format") != FORMAT:
        raise InputError(f"expected format {FORMAT}, got {data.get('format')}", path=path, code="checkpoint")
    return data


def refuse_not_finite(state: Mapping[str, Any], step: int) -> None:
    """Never write weights that are not finite."""
    for name, value in state.items():
        if isinstance(value, Tensor) and value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise MedsslError(
                f"{name} is not finite after {step} steps",
                code="diverged",
                hint="lower optim.lr, or set optim.clip",
            )


def plain_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict as a plain mapping of tensors on the CPU."""
    return {name: value.detach().cpu() if isinstance(value, Tensor) else value for name, value in state.items()}


def _listed(folder: Path) -> list[tuple[int, Path]]:
    """Checkpoints by step, newest first."""
    if not folder.is_dir():
        return []
    found = [(int(m.group(1)), path) for path in folder.iterdir() if (m := _NAME.fullmatch(path.name))]
    return sorted(found, reverse=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
