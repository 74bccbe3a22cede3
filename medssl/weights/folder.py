"""Weights as a folder in the Hugging Face layout: safetensors, config.json and a card, verified at every load."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from medssl import __version__
from medssl.atomic import sync_folder
from medssl.encoders import ENCODERS
from medssl.errors import InputError, IntegrityError, RecipeError, ResourceError, WeightsError, from_os_error
from medssl.plain_yaml import refuse_code
from medssl.store.settings import StoreSettings
from medssl.weights.card import card_text
from medssl.weights.tensors import UNSAFE, read_tensors, refuse_unsafe, sha256_of, write_tensors

FORMAT = 1
MODEL = "model.safetensors"
CONFIG = "config.json"
MAX_CONFIG = 64 << 20
_HEAD_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, eq=False)
class Weights:
    """What a weights folder holds.

    Args:
        folder: where it lies.
        config: ``encoder`` (name and settings; None for a class of the user's own), ``in_channels``, ``input`` (the
            store's settings), ``crop``, ``method``, ``trained_on``, and for fine-tuned weights ``task``.
        encoder: name to tensor.
        heads: head name to name to tensor.
    """

    folder: Path
    config: dict[str, Any]
    encoder: dict[str, Tensor]
    heads: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def save_weights(
    folder: str | Path, modules: Mapping[str, nn.Module], config: Mapping[str, Any], card: Mapping[str, Any]
) -> Path:
    """Write a weights folder, whole or not at all.

    Args:
        folder: where; a folder that is there already is replaced.
        modules: ``encoder`` becomes ``model.safetensors``, every other name ``<name>.safetensors``.
        config: see ``Weights``; version, format and checksums are added.
        card: see ``card_text``.

    Raises:
        WeightsError: a weight is not finite, or there is no encoder (``weights-format``).
        ResourceError: the disk is full or read-only.
    """
    folder = Path(folder)
    if "encoder" not in modules:
        raise WeightsError(f"expected an encoder, got {', '.join(modules) or 'nothing'}", code="weights-format")
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.part")
    try:
        temporary.mkdir(parents=True)
        _fill(temporary, modules, config, card)
        _swap(temporary, folder)
    except OSError as error:
        raise from_os_error(error, folder, writing=True) from error
    except ResourceError as error:
        # it names the temporary folder
        raise ResourceError(error.reason, path=folder, code=error.code, hint=error.hint) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def load_weights(folder: str | Path) -> Weights:
    """Read and verify a weights folder, or the one in a run folder.

    Raises:
        InputError: it does not exist.
        IntegrityError: a file could run code, or the config names a class (``weights-unsafe``); a checksum differs
            (``hash``).
        WeightsError: incomplete or malformed (``weights-format``).
    """
    folder = weights_folder(folder)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in UNSAFE:
            refuse_unsafe(path)
    config = read_config(folder)
    tensors: dict[str, dict[str, Tensor]] = {}
    for name, digest in config["checksums"].items():
        path = folder / name
        refuse_unsafe(path)
        if sha256_of(path) != digest:
            raise IntegrityError(f"expected sha256 {digest[:12]}…, got {sha256_of(path)[:12]}…", path=path, code="hash")
        tensors[name.removesuffix(".safetensors")] = read_tensors(path)
    return Weights(folder, config, tensors.pop("model"), tensors)


def weights_folder(path: str | Path) -> Path:
    """The folder itself, or ``weights/`` in a run folder.

    Raises:
        InputError: it does not exist.
        IntegrityError: it is a file that could run code (``weights-unsafe``).
        WeightsError: it is another file, or a folder without ``config.json`` (``weights-format``).
    """
    path = Path(path)
    if not path.exists():
        raise InputError("does not exist", path=path, code="missing")
    if path.is_file():
        refuse_unsafe(path)
        raise WeightsError(f"expected a folder with {MODEL} and {CONFIG}, got a file", path=path, code="weights-format")
    for found in (path, path / "weights"):
        if (found / CONFIG).is_file():
            return found
    for file in sorted(path.iterdir()):
        if file.suffix.lower() in UNSAFE:
            refuse_unsafe(file)
    raise WeightsError(f"there is no {CONFIG}", path=path, code="weights-format")


def read_config(folder: Path) -> dict[str, Any]:
    """The checked ``config.json`` of a weights folder."""
    path = folder / CONFIG
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise WeightsError(f"more than {MAX_CONFIG} bytes", path=path, code="weights-format")
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise from_os_error(error, path) from error
    except (ValueError, RecursionError) as error:
        raise WeightsError("not a JSON document", path=path, code="weights-format") from error
    if not isinstance(config, dict):
        raise WeightsError("expected a JSON object", path=path, code="weights-format")
    try:
        refuse_code(config, str(path), who="weights")
    except IntegrityError as error:
        raise IntegrityError(error.reason, path=path, code="weights-unsafe") from error
    _check_names(config, path)
    return config


def _check_names(config: dict[str, Any], path: Path) -> None:
    """A config chooses among registered encoders and files beside it; it never names code or other places."""
    if config.get("format") != FORMAT:
        raise WeightsError(f"expected format {FORMAT}, got {config.get('format')!r}", path=path, code="weights-format")
    encoder = config.get("encoder")
    if encoder is not None:
        name = encoder.get("name") if isinstance(encoder, dict) else None
        if isinstance(name, str) and (":" in name or "." in name):
            raise IntegrityError(
                f"weights cannot name code, got {name!r}",
                path=path,
                code="weights-unsafe",
                hint="name the class in the recipe that you pass",
            )
        if name not in ENCODERS:
            expected = ", ".join(ENCODERS)
            raise WeightsError(f"expected an encoder among {expected}, got {name!r}", path=path, code="weights-format")
    _check_facts(config, path)
    checksums = config.get("checksums")
    if not isinstance(checksums, dict) or MODEL not in checksums:
        raise WeightsError(f"there is no checksum of {MODEL}", path=path, code="weights-format")
    for name, digest in checksums.items():
        if not (_HEAD_NAME.fullmatch(name.removesuffix(".safetensors")) and name.endswith(".safetensors")):
            raise WeightsError(f"expected NAME.safetensors, got {name!r}", path=path, code="weights-format")
        if not (isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)):
            raise WeightsError(f"the checksum of {name} is not a sha256", path=path, code="weights-format")


def _check_facts(config: dict[str, Any], path: Path) -> None:
    """What stands beside the encoder, where it stands."""
    crop, channels, trained = config.get("crop"), config.get("in_channels", 1), config.get("trained_on") or {}
    scans = trained.get("scans", []) if isinstance(trained, dict) else None
    wrong = {
        "in_channels: expected a whole number above 0": not _counts([channels]),
        "crop: expected three whole numbers above 0": crop is not None
        and not (isinstance(crop, list | tuple) and len(crop) == 3 and _counts(crop)),
        "trained_on: expected a mapping with a list of scans": not isinstance(scans, list),
        "method: expected a mapping with a name": not _named(config.get("method")),
        "task: expected a mapping with a name": not _named(config.get("task")),
    }
    reason = next((text for text, bad in wrong.items() if bad), None)
    if reason is not None:
        got = json.dumps(config.get(reason.partition(":")[0]))
        raise WeightsError(f"{reason}, got {got[:60]}", path=path, code="weights-format")
    try:
        StoreSettings.from_contract(config.get("input") or {})
    except (RecipeError, TypeError, ValueError, AttributeError, LookupError) as error:
        said = error.reason if isinstance(error, RecipeError) else "expected what prepare writes down"
        raise WeightsError(f"input: {said}", path=path, code="weights-format") from error


def _named(part: Any) -> bool:
    return part is None or (isinstance(part, dict) and isinstance(part.get("name"), str))


def _counts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) and value > 0 for value in values)


def _fill(folder: Path, modules: Mapping[str, nn.Module], config: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    checksums = {}
    for name, module in modules.items():
        file = MODEL if name == "encoder" else f"{name}.safetensors"
        write_tensors(folder / file, module.state_dict())
        checksums[file] = sha256_of(folder / file)
    whole = {"format": FORMAT, "medssl_version": __version__, **config, "checksums": checksums}
    _check_names(whole, folder / CONFIG)
    (folder / CONFIG).write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card_text(whole, card), encoding="utf-8")
    for path in folder.iterdir():
        with path.open("rb") as file_handle:
            os.fsync(file_handle.fileno())
    sync_folder(folder)


def _swap(new: Path, folder: Path) -> None:
    """Put ``new`` in the place of ``folder``; a folder cannot be replaced in one rename, so the old one steps aside."""
    old = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.old")
    if folder.exists():
        os.rename(folder, old)
    os.rename(new, folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
