"""Every error that a user of medssl can meet, each with a stable code and an exit code.

The tree::

    MedsslError (ValueError)
    ├── UsageError        exit 2   the command line or a call's arguments
    ├── RecipeError       exit 2   a recipe: unknown key, wrong type, value out of range
    ├── InputError        exit 3   a scan, label or manifest that is refused
    ├── CheckError        exit 3   a check that found problems (all of them listed)
    ├── WeightsError      exit 3   weights that do not fit
    ├── IntegrityError    exit 4   a security or integrity refusal
    └── ResourceError     exit 5   disk, memory or network

``MedsslError.line()`` is the one line that the command line prints.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

CODES: dict[str, str] = {
    "usage": "the command line or a call's arguments do not fit",
    "exists": "an output exists already and would be overwritten",
    "recipe-syntax": "a recipe is not readable as YAML",
    "recipe-key": "a recipe has a key that nothing reads",
    "recipe-value": "a recipe's value has the wrong type or is out of range",
    "recipe-name": "a recipe names a method, encoder or other part that is not registered",
    "recipe-class": "a class named package.module:Class cannot be loaded or breaks its contract",
    "recipe-unsafe": "a recipe tries to name code, a YAML tag, an alias or an expression",
    "missing": "a file or folder does not exist",
    "not-regular": "a path is neither a regular file nor a folder",
    "unreadable": "a file cannot be read with the rights at hand",
    "format": "a file is not of a format that is understood, or not what its suffix says",
    "truncated": "a file ends early, or its checksum is wrong",
    "corrupt": "a file's content contradicts its header",
    "geometry": "position, orientation or spacing is missing, senseless or inconsistent",
    "slices": "slices are missing, doubled or unevenly spaced",
    "several-volumes": "a folder or file holds several volumes where one was expected",
    "not-a-volume": "the object is not a single-channel volume (colour, 2D, complex, other kind)",
    "values": "voxel values are not finite, constant or otherwise unusable",
    "suv": "the tags of a PET series do not allow a standardised uptake value",
    "too-large": "a declared size is over the limit",
    "codec": "compressed pixels cannot be decoded",
    "manifest-format": "a manifest is empty, malformed or not UTF-8",
    "manifest-path": "a manifest's path is missing or leaves the data root",
    "manifest-check": "a manifest has problems, listed one a line",
    "outside": "a file names another file outside its folder",
    "manifest-leak": "a patient stands in more than one split",
    "private": "a column or field may name a person and is not taken over",
    "label": "a label map does not fit its image or its declared classes",
    "too-few": "too few scans, patients or labels for what was asked",
    "store-version": "a store was made by another version or with other settings",
    "store-corrupt": "a store entry is damaged",
    "quarantine": "too many inputs failed",
    "encoder": "an encoder lacks what was asked of it",
    "method": "a method and its surroundings do not fit together",
    "batch": "a batch cannot be used by the objective",
    "diverged": "training left finite numbers",
    "run": "a run folder is missing, incomplete or does not fit",
    "resume": "a run cannot go on because its recipe or data changed",
    "checkpoint": "a checkpoint cannot be read or does not fit",
    "weights-format": "a weights folder is incomplete or malformed",
    "weights-unsafe": "a weights file could run code or names a class",
    "weights-fit": "weights do not fit the encoder well enough",
    "hash": "a checksum differs from the one pinned or recorded",
    "archive": "an archive has unsafe or unexpected members",
    "disk": "the disk is full or read-only",
    "memory": "not enough memory",
    "network": "the network cannot be reached, or is switched off",
    "tool": "an outside tool is missing or failed",
    "internal": "an unexpected failure inside medssl: please report it",
}
"""Stable code → what it means. Every code that is raised stands here (a test looks)."""


class MedsslError(ValueError):
    """An error with the file it is about, a reason, a stable code and a hint.

    Args:
        reason: what was expected and what came, in one line.
        path: the file, folder or recipe key concerned, as the user gave it.
        code: a key of ``CODES``.
        hint: what to do about it.

    Example:
        >>> InputError("expected 3 dimensions, got 2", path="a.nii", code="not-a-volume").line()
        'medssl: error: a.nii: expected 3 dimensions, got 2 [not-a-volume]'
    """

    exit_code = 70
    default_code = "internal"

    def __init__(
        self,
        reason: str,
        *,
        path: str | Path | None = None,
        code: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.reason = reason
        self.path = None if path is None else str(path)
        self.code = code or self.default_code
        self.hint = hint
        super().__init__(reason)

    def __str__(self) -> str:
        """The line without the program's name."""
        where = f"{self.path}: " if self.path is not None else ""
        hint = f" ({self.hint})" if self.hint else ""
        return one_line(f"{where}{self.reason} [{self.code}]{hint}")

    def line(self) -> str:
        """The one line for stderr, control characters escaped."""
        return f"medssl: error: {self}"

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the fields when the error crosses a process border."""
        return _rebuild, (type(self), self.reason, self.path, self.code, self.hint)


def _rebuild(kind: type[MedsslError], reason: str, path: str | None, code: str, hint: str | None) -> MedsslError:
    return kind(reason, path=path, code=code, hint=hint)


class UsageError(MedsslError):
    """The command line or a call's arguments do not fit."""

    exit_code = 2
    default_code = "usage"


class RecipeError(MedsslError):
    """A recipe does not fit its schema."""

    exit_code = 2
    default_code = "recipe-value"


class InputError(MedsslError):
    """A scan, label map or manifest is refused."""

    exit_code = 3
    default_code = "format"


class CheckError(MedsslError):
    """A check found problems; ``problems`` holds a line for each."""

    exit_code = 3
    default_code = "manifest-check"

    problems: list[str]

    def __init__(self, reason: str, *, problems: list[str] | None = None, **where: str | None) -> None:
        super().__init__(reason, **where)
        self.problems = problems or []


class WeightsError(MedsslError):
    """Weights do not fit the encoder or the folder is malformed."""

    exit_code = 3
    default_code = "weights-fit"


class IntegrityError(MedsslError):
    """A security or integrity refusal."""

    exit_code = 4
    default_code = "hash"


class ResourceError(MedsslError):
    """Disk, memory or network is not enough."""

    exit_code = 5
    default_code = "disk"


def one_line(text: str) -> str:
    r"""Escape control characters so that a hostile file name cannot forge output.

    Example:
        >>> one_line("a\nb\x1b[31m")
        'a\\nb\\x1b[31m'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def from_os_error(error: OSError, path: str | Path | None = None, *, writing: bool = False) -> MedsslError:
    """Turn an operating system's error into ours, with the path and the right exit code.

    Args:
        error: what the system said.
        path: the file or folder, as the user gave it; the error's own by default.
        writing: whether it was to be written: missing rights are then a matter of the disk, not of an input.
    """
    where = path if path is not None else error.filename
    if error.errno == errno.ENOTDIR or (writing and error.errno == errno.EEXIST):
        return UsageError("expected a folder, got a file", path=where, code="exists")
    if error.errno == errno.EISDIR:
        return UsageError("expected a file, got a folder", path=where, code="exists")
    if writing and error.errno == errno.ENOENT:
        return UsageError("the folder that it shall lie in does not exist", path=where)
    if writing and error.errno in (errno.EACCES, errno.EPERM):
        return ResourceError("cannot be written with the rights at hand", path=where, hint="choose another folder")
    if error.errno == errno.ENOENT:
        return _missing(where)
    if error.errno == errno.ELOOP:
        return InputError("a loop of symbolic links, with no file at its end", path=where, code="missing")
    if error.errno == errno.ENAMETOOLONG:
        return InputError("the file name is too long for this system", path=where, code="missing")
    if error.errno in (errno.EACCES, errno.EPERM):
        return InputError("permission denied: cannot be read with the rights at hand", path=where, code="unreadable")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG):
        free = _free_bytes(where)
        room = f", {free} bytes are free" if free is not None else ""
        return ResourceError(f"{os.strerror(error.errno)}{room}", path=where, code="disk")
    if error.errno == errno.ENOMEM:
        return ResourceError("not enough memory", path=where, code="memory")
    return InputError(error.strerror or "cannot be read: the system gives no reason", path=where, code="unreadable")


def _missing(path: str | Path | None) -> MedsslError:
    if path is not None and os.path.islink(path):
        return InputError("a symbolic link to a file that does not exist", path=path, code="missing")
    return InputError("does not exist", path=path, code="missing", hint="no such file or folder")


def _free_bytes(path: str | Path | None) -> int | None:
    probe = Path(path) if path is not None else Path.cwd()
    for parent in (probe, *probe.parents):
        try:
            stat = os.statvfs(parent)
        except OSError:
            continue
        return stat.f_bavail * stat.f_frsize
    return None
