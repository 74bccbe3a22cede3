"""Encoders by their registered names."""

from __future__ import annotations

import difflib
import importlib
import inspect
from typing import Any

from medssl.encoders import ENCODERS
from medssl.encoders.contract import Encoder
from medssl.errors import RecipeError


def encoder_class(name: str) -> type[Encoder]:
    """The class that is registered under ``name``.

    Raises:
        RecipeError: nothing is.
    """
    if name not in ENCODERS:
        near = difflib.get_close_matches(name, ENCODERS, n=1)
        hint = f"did you mean {near[0]}?" if near else None
        raise RecipeError(
            f"must be one of {', '.join(ENCODERS)}, got {name!r}", path="encoder.name", code="recipe-name", hint=hint
        )
    module, attribute = ENCODERS[name].split(":")
    found: type[Encoder] = getattr(importlib.import_module(module), attribute)
    return found


def build_encoder(name: str, in_channels: int, **settings: Any) -> Encoder:
    """A registered encoder with fresh weights, drawn from torch's global generator.

    Args:
        name: a key of ``ENCODERS``.
        in_channels: channels of the input.
        settings: what the encoder's constructor takes.

    Raises:
        RecipeError: the name or a setting is unknown, or a value is out of range.

    Example:
        >>> build_encoder("resnet", 1, depth=10, width=4).width
        32
    """
    kind = encoder_class(name)
    known = [key for key in inspect.signature(kind).parameters if key != "in_channels"]
    for key in settings:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"{name} takes {', '.join(known)}"
            raise RecipeError(f"{name} has no such setting", path=f"encoder.{key}", code="recipe-key", hint=hint)
    return kind(in_channels=in_channels, **settings)
