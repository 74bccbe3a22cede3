"""Label classes of a dataset: value → name, from its card or from a ``dataset.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medssl import __version__
from medssl.atomic import write_text
from medssl.errors import InputError, from_os_error
from medssl.plain_yaml import parse_yaml


def read_classes(manifest: Path) -> dict[int, str]:
    """Label value → name, from ``NAME.yaml`` or ``dataset.json`` beside ``NAME.csv``; empty where neither is.

    Raises:
        InputError: ``manifest-format``: the classes are not a mapping between whole numbers and names.
    """
    card = manifest.with_suffix(".yaml")
    if card.is_file():
        data = parse_yaml(card.read_text(encoding="utf-8"), str(card))
        if isinstance(data, dict) and "classes" in data:
            return parse_classes(data["classes"] or {}, card)
    decathlon = manifest.with_name("dataset.json")
    if decathlon.is_file():
        return parse_classes(read_json(decathlon).get("labels", {}), decathlon)
    return {}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: ``manifest-format``.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise from_os_error(error, path) from error
    except (ValueError, RecursionError) as error:
        raise _bad("not a JSON document", path) from error
    if not isinstance(data, dict):
        raise _bad("expected a JSON object", path)
    return data


def parse_classes(data: Any, where: Path) -> dict[int, str]:
    """Classes from ``{value: name}`` (Decathlon, cards) or ``{name: value}`` (nnU-Net).

    Example:
        >>> parse_classes({"background": 0, "liver": 1}, Path("dataset.json"))
        {0: 'background', 1: 'liver'}
    """
    if not isinstance(data, dict):
        raise _bad("classes must be a mapping of value to name", where)
    out: dict[int, str] = {}
    for key, value in data.items():
        pair = (key, value) if str(key).lstrip("-").isdigit() else (value, key)
        if not str(pair[0]).lstrip("-").isdigit():
            raise _bad(f"the class {key} has no whole number", where)
        out[int(pair[0])] = str(pair[1])
    return dict(sorted(out.items()))


def write_classes(path: Path, classes: dict[int, str], digest: str = "") -> None:
    """Write the smallest card: which version of medssl wrote it, the classes, and the manifest's digest.

    Args:
        path: the card, a ``.yaml`` beside the manifest.
        classes: label value → name.
        digest: of the manifest's content as it was written.
    """
    lines = [f"medssl_version: {json.dumps(__version__)}"]
    lines += [f"digest: {digest}"] if digest else []
    lines += ["classes:"] if classes else []
    lines += [f"  {value}: {json.dumps(name, ensure_ascii=False)}" for value, name in classes.items()]
    write_text(path, "\n".join(lines) + "\n")


def _bad(reason: str, path: Path) -> InputError:
    return InputError(reason, path=path, code="manifest-format")
