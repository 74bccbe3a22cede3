"""Learning rates that fall from the last layer of a transformer to the first (layer-wise decay, BEiT 2106.08254)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from torch import nn

from medssl.encoders.contract import Encoder


@dataclass(frozen=True)
class Rates:
    """Learning rates of an encoder's layers, as shares of the recipe's (``rates:`` of a method).

    Args:
        decay: from each block to the one before it; the last norm and heads have the full rate. 1 for none.
        patch: of the patch embedding, beside its place as the first layer.
    """

    decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    patch: Annotated[float, Field(gt=0, le=1)] = 0.2


RATES = Rates()


def layer_rates(method: nn.Module, encoder: Encoder, rates: Rates) -> list[dict[str, Any]]:
    """Parameter groups with ``lr_scale``, each with and without weight decay.

    A layer l of a transformer of L blocks has decay^(L + 1 − l): embedding and mask token are layer 0, block n is
    layer n + 1. What is not in the encoder, and what follows its blocks, has 1.

    Args:
        method: whose parameters are grouped.
        encoder: its encoder, with ``blocks``; one without has a single rate.
        rates: the shares.
    """
    blocks = len(getattr(encoder, "blocks", ()))
    scale = {id(p): _scale(name, blocks, rates) for name, p in encoder.named_parameters()} if blocks else {}
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for parameter in method.parameters():
        if not parameter.requires_grad:
            continue
        share, decays = scale.get(id(parameter), 1.0), parameter.squeeze().ndim > 1
        start: dict[str, Any] = {"params": [], "lr_scale": share, "name": f"{'decay' if decays else 'plain'} {share:g}"}
        group = groups.setdefault((share, decays), start if decays else {**start, "weight_decay": 0.0})
        group["params"].append(parameter)
    return list(groups.values())


def _scale(name: str, blocks: int, rates: Rates) -> float:
    block = re.match(r"blocks\.(\d+)\.", name)
    if block is not None:
        return rates.decay ** (blocks - int(block[1]))
    if name.startswith(("patch_embed", "mask_token")):
        return rates.decay ** (blocks + 1) * (rates.patch if name.startswith("patch_embed") else 1.0)
    return 1.0
