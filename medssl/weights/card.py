"""The card of a weights folder: README.md with the front matter that model hubs read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def card_text(config: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """The text of README.md.

    Args:
        config: the folder's ``config.json``.
        card: ``title``, ``license``, ``summary`` and any other facts, as plain data; all optional.
    """
    encoder, method = _name(config.get("encoder")), _name(config.get("method"))
    title = card.get("title") or f"{encoder} trained with {method}"
    front: dict[str, Any] = {"library_name": "medssl", "tags": ["medical-imaging", "3d", encoder, method]}
    if card.get("license"):
        front["license"] = card["license"]
    # JSON is YAML, and quotes whatever needs quotes
    lines = ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()), "---", ""]
    lines += [f"# {title}", ""]
    if card.get("summary"):
        lines += [str(card["summary"]), ""]
    lines += ["## Input", "", *_table(_input_rows(config)), ""]
    lines += ["## Training", "", *_table(_training_rows(config, card)), ""]
    lines += ["## Use", "", "```python", "import medssl", "", 'weights = medssl.load_weights("this/folder")', "```", ""]
    lines += ["Digests in `config.json` tell which scans were trained on, so that `medssl` can find leakage.", ""]
    return "\n".join(lines)


def _input_rows(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    contract = config.get("input") or {}
    rows = [("channels", str(config.get("in_channels", 1))), ("crop (voxels)", _show(config.get("crop")))]
    return [*rows, *((key.replace("_", " "), _show(value)) for key, value in contract.items())]


def _training_rows(config: Mapping[str, Any], card: Mapping[str, Any]) -> list[tuple[str, str]]:
    trained = config.get("trained_on") or {}
    rows = [("encoder", _show(config.get("encoder"))), ("method", _show(config.get("method")))]
    rows += [("scans", str(len(trained.get("scans", ())))), ("manifest sha256", _show(trained.get("manifest")))]
    rows += [(key, _show(value)) for key, value in card.items() if key not in ("title", "license", "summary")]
    return [*rows, ("medssl", _show(config.get("medssl_version")))]


def _table(rows: list[tuple[str, str]]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows)]


def _name(choice: Any) -> str:
    return str(choice.get("name", "?")) if isinstance(choice, Mapping) else "a network of its own"


def _show(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("|", "\\|").replace("\n", " ")
