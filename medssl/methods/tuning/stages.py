"""What fine-tuning methods share: the head first, and a gentler learning rate for the encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from medssl.errors import RecipeError
from medssl.loading.plan import Stage
from medssl.views.view import Role


def tuning_stages(steps: int, freeze_steps: int, head: str, views: Mapping[str, Role]) -> Sequence[Stage]:
    """``head`` alone for ``freeze_steps`` steps, then everything.

    Args:
        steps: of the whole run.
        freeze_steps: steps with a frozen encoder; as many as ``steps`` leave it as it is.
        head: prefix of the head's parameters.
        views: the roles of both stages.

    Raises:
        RecipeError: more steps are frozen than there are.
    """
    if freeze_steps > steps:
        raise RecipeError(f"task.freeze_steps must be at most optim.steps ({steps}), got {freeze_steps}")
    frozen = [Stage("head", freeze_steps, views, trains=(head,))] if freeze_steps else []
    return [*frozen, *([Stage("all", steps - freeze_steps, views)] if steps > freeze_steps else [])]


def scaled_groups(method: nn.Module, encoder_lr: float) -> list[dict[str, Any]]:
    """Parameter groups: matrices with weight decay and vectors without, the encoder's at ``encoder_lr`` of the rate."""
    groups: list[dict[str, Any]] = []
    for inside, scale in ((True, encoder_lr), (False, 1.0)):
        weights = [p for n, p in method.named_parameters() if p.requires_grad and n.startswith("encoder.") == inside]
        groups.append({"params": [p for p in weights if p.ndim > 1], "lr_scale": scale})
        groups.append({"params": [p for p in weights if p.ndim <= 1], "lr_scale": scale, "weight_decay": 0.0})
    return groups
