"""What a run folder holds, read for the report; every piece may be missing."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError, MedsslError, from_os_error
from medssl.plain_yaml import load_yaml

Row = Mapping[str, str]
"""One number of a run: ``step``, ``stage``, ``name`` and ``value``, as text."""

UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
"""How NumPy says that an archive is damaged, or holds what would have to be unpickled."""


@dataclass(frozen=True, eq=False)
class RunFolder:
    """A run as the report sees it.

    Args:
        path: the folder.
        recipe: the merged recipe, dotted key to value.
        info: ``run.json``, dotted key to value.
        rows: the numbers of ``metrics.csv``.
        pictures: step (the number that ends the file's name) to arrays ``(N, C, i, j, k)`` by name.
        health: arrays of ``health.npz``: ``step``, counts of similarities by kind of pair, and ``warnings``.
        missing: what could not be shown, a sentence each.
    """

    path: Path
    recipe: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    pictures: dict[int, dict[str, NDArray[Any]]] = field(default_factory=dict)
    health: dict[str, NDArray[Any]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the numbers, in order of first appearance."""
        return list(dict.fromkeys(row["name"] for row in self.rows))


def read_run(folder: str | Path) -> RunFolder:
    """Read what is there.

    Raises:
        InputError: the folder does not exist, or is not a folder (``run``).
    """
    path = Path(folder)
    if not path.is_dir():
        came = "a file" if path.exists() else "nothing there"
        hint = "give the folder that a run wrote"
        raise InputError(f"expected a run folder, got {came}", path=folder, code="run", hint=hint)
    missing: list[str] = []
    found: dict[str, Any] = {}
    readers = {
        "recipe": ("recipe.yaml", load_yaml),
        "info": ("run.json", _read_json),
        "rows": ("metrics.csv", read_rows),
    }
    for name, (file, reader) in readers.items():
        if not (path / file).is_file():
            missing.append(f"There is no {file}.")
            continue
        try:
            value: Any = reader(path / file)
        except MedsslError as error:
            missing.append(f"{file} cannot be read: {error.reason}.")
            continue
        found[name] = value if name == "rows" else flat(value)
    pictures, unread = _read_pictures(path / "pictures")
    health = path / "health.npz"
    try:
        found["health"] = _arrays(health) if health.is_file() else {}
    except UNREADABLE:
        unread.append(f"{health.name} cannot be read.")
    return RunFolder(path, **found, pictures=pictures, missing=(*missing, *unread))


def read_rows(path: str | Path) -> list[Row]:
    """The rows of a ``metrics.csv``, one number each.

    Two forms are understood: the columns ``step, stage, name, value``, and ``step, stage`` with a column for each
    number. Empty cells and a last line that was cut off are left out.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            raw = [row for row in csv.DictReader(file) if None not in row]
    except OSError as error:
        raise from_os_error(error, path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError("expected a UTF-8 CSV file", path=path, code="run") from error
    if raw and {"name", "value"} <= raw[0].keys():
        cells = [(row, row["name"], row["value"]) for row in raw]
    else:
        cells = [(row, name, text) for row in raw for name, text in row.items() if name not in ("step", "stage")]
    return [
        {"step": row["step"], "stage": row.get("stage") or "", "name": name, "value": text}
        for row, name, text in cells
        if _number(row.get("step")) and _number(text)
    ]


def flat(value: Any, at: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys; lists of plain values stay together.

    Example:
        >>> flat({"optim": {"lr": 0.1, "steps": [1, 2]}})
        {'optim.lr': 0.1, 'optim.steps': '1, 2'}
    """
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for key, item in value.items():
            out |= flat(item, f"{at}.{key}" if at else str(key))
        return out
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return {at: ", ".join(str(item) for item in value)}
    if isinstance(value, list):
        return {at: json.dumps(value, ensure_ascii=False, default=str)}
    return {at: value}


def _number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise from_os_error(error, path) from error
    except ValueError as error:
        raise InputError("expected JSON", path=path, code="run") from error


def _read_pictures(folder: Path) -> tuple[dict[int, dict[str, NDArray[Any]]], list[str]]:
    found: dict[int, dict[str, NDArray[Any]]] = {}
    unread = []
    for path in sorted(folder.glob("*.npz")):
        step = re.fullmatch(r"(?:.*[-_])?(\d+)", path.stem)
        if step is None:
            continue
        try:
            arrays = {name.removeprefix("picture."): a for name, a in _arrays(path).items() if _is_picture(name)}
        except UNREADABLE:
            unread.append(f"pictures/{path.name} cannot be read.")
            continue
        found[int(step[1])] = {name: array for name, array in arrays.items() if array.ndim == 5}
    return dict(sorted(found.items())), unread


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz``, or one of ``UNREADABLE``; nothing in it is unpickled."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _is_picture(name: str) -> bool:
    """Pictures are named ``picture.<name>`` or plainly; other dotted names hold geometry."""
    return name.startswith("picture.") or "." not in name
