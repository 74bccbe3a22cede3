"""Encoders for runs: from a recipe or from weights, and what weights say about them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from medssl import draws
from medssl.encoders import ENCODERS
from medssl.encoders.contract import Encoder
from medssl.encoders.wrap import as_encoder
from medssl.errors import RecipeError, WeightsError
from medssl.recipe import Choice, From, choose
from medssl.store.store import Store
from medssl.weights.coverage import load_into
from medssl.weights.folder import Weights, save_weights

REGISTERED = From(ENCODERS, "medssl.encoders.contract:Encoder", ("in_channels",))
CHOICE = From(ENCODERS, "torch.nn:Module", ("in_channels",))
"""An encoder by its name, or any ``torch.nn.Module`` as ``package.module:Class``."""

Crop = tuple[int, int, int]


def make_encoder(choice: Choice, in_channels: int, crop: Crop, seed: int) -> Encoder:
    """An encoder with fresh weights, which the seed decides."""
    torch.manual_seed(draws.torch_seed(seed, draws.INIT))
    # a class of the user's own need not have the argument
    takes = "in_channels" in inspect.signature(choice.target).parameters
    module: nn.Module = choice.build(in_channels=in_channels) if takes else choice.build()
    return as_encoder(module, in_channels, crop)


def choice_of(weights: Weights) -> Choice:
    """The encoder that weights were made with.

    Raises:
        WeightsError: it was a class of its author's own, or its settings do not fit this version.
    """
    plain = weights.config.get("encoder")
    if plain is None:
        raise WeightsError(
            "these weights belong to a network of their author's own",
            path=weights.folder,
            hint="name its class as encoder in the recipe",
        )
    try:
        return choose(REGISTERED, plain, str(weights.folder), "encoder")
    except RecipeError as error:
        raise WeightsError(error.reason, path=weights.folder, code="weights-format") from error


def load_encoder(encoder: Encoder, weights: Weights, minimum: float) -> str:
    """Load weights and give the line that says how much fitted.

    Raises:
        WeightsError: less than ``minimum`` of the parameters fit.
    """
    try:
        return load_into(encoder, weights.encoder, minimum=minimum).text
    except WeightsError as error:
        raise WeightsError(error.reason, path=weights.folder, code=error.code, hint=error.hint) from error


def load_heads(modules: Mapping[str, nn.Module], weights: Weights) -> list[str]:
    """Load the heads that fit wholly by name and shape; their names."""
    done = []
    for name, module in modules.items():
        saved = weights.heads.get(name)
        state = module.state_dict()
        if saved is not None and {n: v.shape for n, v in saved.items()} == {n: v.shape for n, v in state.items()}:
            load_into(module, saved)
            done.append(name)
    return done


def contract_notes(weights: Weights, store: Store, crop: Crop) -> list[str]:
    """A line for every difference between the input that weights know and what they will get."""
    known = {**(weights.config.get("input") or {}), "crop": weights.config.get("crop")}
    now = {**store.settings.contract(), "crop": list(crop)}
    return [
        f"the weights were trained with {key} {known[key]}, this run has {value}"
        for key, value in now.items()
        if key in known and known[key] != value
    ]


def in_channels_of(store: Store) -> int:
    """Channels of a view."""
    return store.in_channels


def export_weights(
    folder: Any, modules: Mapping[str, nn.Module], choice: Choice, store: Store, facts: Mapping[str, Any], card: Any
) -> None:
    """Write a weights folder with its input contract and the digests of what was trained on.

    Args:
        folder: where.
        modules: ``encoder`` and heads.
        choice: the encoder as the recipe chose it.
        store: the scans.
        facts: ``method``, ``crop`` and whatever else belongs into the config.
        card: facts for the card.
    """
    registered = choice.name in ENCODERS
    config = {
        "encoder": choice.to_plain() if registered else None,
        **({} if registered else {"encoder_class": choice.name}),
        "in_channels": in_channels_of(store),
        "input": store.settings.contract(),
        **({"sequences": list(store.sequences)} if store.sequences else {}),
        **facts,
        "trained_on": {
            "manifest": store.manifest_digest,
            "scans": sorted({store.row(position).content for position in range(len(store))}),
        },
    }
    save_weights(folder, modules, config, card)
