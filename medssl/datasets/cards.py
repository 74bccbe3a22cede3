"""Dataset cards: where data comes from, under which licence, how to get it and what to beware of."""

from __future__ import annotations

import difflib
import shutil
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from medssl.errors import InputError, UsageError
from medssl.plain_yaml import load_yaml


@dataclass(frozen=True)
class Card:
    """One dataset.

    Args:
        name: the card's file name without suffix.
        title: in a few words.
        version: of the data.
        source: who made it and where it is published.
        licence: SPDX identifiers where there are any.
        citation: what to cite.
        how_to_get: what a user does to have it.
        traps: what has gone wrong or can go wrong with it.
        classes: label value to name, without the background 0.
        n: number of scans.
        modality: CT, MR, or both.
    """

    name: str
    title: str
    version: str
    source: str
    licence: str
    citation: str
    how_to_get: str
    traps: tuple[str, ...]
    classes: dict[int, str]
    n: int
    modality: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "traps": list(self.traps), "classes": {str(k): v for k, v in self.classes.items()}}


def data_folder() -> Path:
    """Where the cards lie: in the installed package, or at the top of a clone.

    Raises:
        InputError: neither is there (code ``missing``).
    """
    inside = Path(str(resources.files("medssl"))) / "_data" / "data_manifests"
    clone = Path(__file__).resolve().parents[2] / "data_manifests"
    for folder in (inside, clone):
        if folder.is_dir():
            return folder
    raise InputError("the dataset cards are missing from this installation", path=inside, code="missing")


def list_cards(folder: Path | None = None) -> list[Card]:
    """All cards, by name."""
    folder = folder or data_folder()
    return [load_card(path.stem, folder) for path in sorted(folder.glob("*.yaml"))]


def load_card(name: str, folder: Path | None = None) -> Card:
    """One card.

    Args:
        name: of the dataset.
        folder: where cards lie, by default those of the package.

    Raises:
        UsageError: there is no card of that name.
        InputError: the card lacks a key, has one too many or one of a wrong type (code ``format``).

    Example:
        >>> load_card("hippocampus").classes
        {1: 'anterior', 2: 'posterior'}
    """
    folder = folder or data_folder()
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise UsageError(f"there is no dataset card {name!r}", hint=hint)
    path = folder / f"{name}.yaml"
    data = load_yaml(path)
    keys = {field.name for field in fields(Card)}
    if set(data) != keys:
        missing, extra = sorted(keys - set(data)), sorted(set(data) - keys)
        raise InputError(f"a card has the keys {sorted(keys)}; missing {missing}, not known {extra}", path=path)
    _check_types(data, path)
    if data["name"] != name:
        raise InputError(f"the card's name must be its file's, {name!r}, got {data['name']!r}", path=path)
    return Card(**{**data, "traps": tuple(data["traps"])})


def copy_card(name: str, folder: Path) -> Path:
    """Put a card beside its rows in another folder, so that classes, licence and traps travel with the data."""
    return Path(shutil.copyfile(data_folder() / f"{name}.yaml", folder / f"{name}.yaml"))


def _check_types(data: dict[str, Any], path: Path) -> None:
    for key, value in data.items():
        if key == "n":
            good = isinstance(value, int) and value > 0
        elif key == "traps":
            good = isinstance(value, list) and all(isinstance(item, str) for item in value)
        elif key == "classes":
            good = isinstance(value, dict) and all(
                isinstance(k, int) and k > 0 and isinstance(v, str) for k, v in value.items()
            )
        else:
            good = isinstance(value, str) and bool(value.strip())
        if not good:
            raise InputError(f"the card's {key} has a wrong type or value: {value!r}", path=path)
