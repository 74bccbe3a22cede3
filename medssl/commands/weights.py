"""``medssl weights``: look at weights folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medssl.errors import RecipeError, WeightsError
from medssl.weights.folder import load_weights


def show_weights(folder: str | Path) -> dict[str, Any]:
    """What a weights folder holds; every file is verified.

    Args:
        folder: a weights folder or a run.

    Returns:
        ``encoder``, ``in_channels``, ``input``, ``crop``, ``method``, ``task``, ``heads``, ``tensors``,
        ``parameters``, ``scans`` (how many it was trained on) and ``medssl_version``.

    Raises:
        MedsslError: it is refused.
    """
    weights = load_weights(folder)
    config = weights.config
    kept = ("encoder", "in_channels", "input", "crop", "method", "task", "medssl_version")
    return {
        "folder": str(weights.folder),
        **{key: config.get(key) for key in kept},
        "heads": sorted(weights.heads),
        "tensors": len(weights.encoder),
        "parameters": sum(value.numel() for value in weights.encoder.values()),
        "scans": len((config.get("trained_on") or {}).get("scans", ())),
    }


def check_weights(folder: str | Path) -> dict[str, Any]:
    """Verify formats, checksums and finite numbers, and that the encoder and the task's head can be built and filled.

    Args:
        folder: a weights folder or a run.

    Returns:
        ``folder``, ``files`` (how many were verified), ``loaded`` (a line) and ``problems`` (none).

    Raises:
        MedsslError: what is wrong.
    """
    from medssl.commands.networks import choice_of, load_encoder, make_encoder
    from medssl.inference.model import load_model

    weights = load_weights(folder)
    config = weights.config
    if config.get("encoder") is None:
        loaded = "a network of its author's own: the class must be named in a recipe"
    else:
        i, j, k = config.get("crop") or (32, 32, 32)
        try:
            encoder = make_encoder(choice_of(weights), int(config.get("in_channels", 1)), (i, j, k), 0)
        except RecipeError as error:
            raise WeightsError(error.reason, path=weights.folder, code="weights-format") from error
        loaded = load_encoder(encoder, weights, 1.0)
        if config.get("task") is not None:
            load_model(weights)
    return {"folder": str(weights.folder), "files": len(config["checksums"]), "loaded": loaded, "problems": []}
