"""Self-supervised learning on 3D medical images.

Every verb of the command line has a twin here. Nothing heavy is imported until a name is used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_TWINS: dict[str, str] = {
    "Manifest": "medssl.manifest",
    "MedsslError": "medssl.errors",
    "Record": "medssl.manifest",
    "Volume": "medssl.volume",
    "build_manifest": "medssl.commands.manifest",
    "check_manifest": "medssl.commands.manifest",
    "convert": "medssl.commands.convert",
    "demo": "medssl.commands.demo",
    "evaluate": "medssl.commands.evaluate",
    "fetch_data": "medssl.commands.data",
    "finetune": "medssl.commands.finetune",
    "inspect": "medssl.commands.inspect",
    "list_data": "medssl.commands.data",
    "load_weights": "medssl.weights.folder",
    "predict": "medssl.commands.predict",
    "prepare": "medssl.commands.prepare",
    "pretrain": "medssl.commands.pretrain",
    "preview": "medssl.commands.preview",
    "read": "medssl.io.read",
    "read_all": "medssl.io.read",
    "read_label": "medssl.io.read",
    "reduce": "medssl.commands.reduce",
    "report": "medssl.commands.report",
    "split_manifest": "medssl.commands.manifest",
    "unpack": "medssl.commands.data",
    "write": "medssl.io.write",
}
"""Public name → the module that holds it."""

__all__ = ["__version__", *sorted(_TWINS)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _TWINS:
        raise AttributeError(f"module 'medssl' has no attribute {name!r}")
    value = getattr(importlib.import_module(_TWINS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
