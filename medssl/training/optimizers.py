"""Optimizers and their learning rate: AdamW, SGD, LARS and LAMB, each with linear warm-up and cosine to zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer


@dataclass(frozen=True)
class Optim:
    """What a recipe says about optimization (``optim:``).

    Args:
        name: adamw, sgd (momentum 0.9, Nesterov), lars or lamb.
        lr: learning rate at the end of the warm-up.
        weight_decay: of matrices and kernels; biases, norms and other vectors have none.
        warmup_steps: steps of linear growth of the learning rate, before a cosine to zero.
        steps: optimizer steps of the whole run.
        batch: samples a step and process.
        clip: largest norm of the gradient; null leaves it as it is.
        weight_decay_end: weight decay at the end of the run, reached by a cosine (DINO: 0.04 to 0.4); null keeps it.
        chunk: samples that are encoded at a time, for a large batch in little memory: each is encoded twice, and loss
            and gradients are those of the whole batch. Null encodes all at once.
    """

    name: Literal["adamw", "sgd", "lars", "lamb"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    steps: Annotated[int, Field(ge=1)] = 1000
    batch: Annotated[int, Field(ge=1)] = 2
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    weight_decay_end: Annotated[float, Field(ge=0)] | None = None
    chunk: Annotated[int, Field(ge=1)] | None = None

    def decay(self, progress: float) -> float:
        """The weight decay at a share of the run.

        Example:
            >>> [round(Optim(weight_decay=0.04, weight_decay_end=0.4).decay(at), 3) for at in (0.0, 0.5, 1.0)]
            [0.04, 0.22, 0.4]
        """
        end = self.weight_decay if self.weight_decay_end is None else self.weight_decay_end
        return end + (self.weight_decay - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def rate(step: int, steps: int, warmup: int) -> float:
    """The share of the full learning rate at ``step``: linear over ``warmup`` steps, then a cosine to zero.

    Example:
        >>> [round(rate(s, 6, 2), 3) for s in range(7)]
        [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def make_optimizer(optim: Optim, groups: Iterable[dict[str, Any]]) -> Optimizer:
    """The optimizer of a recipe over a method's parameter groups.

    Args:
        optim: the recipe's section.
        groups: as ``Method.param_groups`` gives them; ``lr_scale`` in a group multiplies its learning rate, and one
            with a ``weight_decay`` of its own keeps it.
    """
    kept = [{"lr_scale": 1.0, "own_decay": "weight_decay" in group, **group} for group in groups if group["params"]]
    common: dict[str, Any] = {"lr": optim.lr, "weight_decay": optim.weight_decay}
    if optim.name == "adamw":
        return torch.optim.AdamW(kept, **common)
    if optim.name == "sgd":
        return torch.optim.SGD(kept, momentum=0.9, nesterov=True, **common)
    return LARS(kept, **common) if optim.name == "lars" else LAMB(kept, **common)


def set_rate(optimizer: Optimizer, lr: float, weight_decay: float | None = None) -> None:
    """Give every group its learning rate, and those without one of their own this weight decay."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
        if weight_decay is not None and not group.get("own_decay", True):
            group["weight_decay"] = weight_decay


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling with momentum (arXiv 1708.03888, Algorithm 1).

    Matrices and kernels move by ``trust · |w| / |g + decay · w|`` times their gradient; vectors (biases and norms)
    move as in plain SGD with momentum.

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        weight_decay: added to the gradient, as ``decay · w``.
        momentum: share of the last move that is kept.
        trust: the trust coefficient η.
    """

    def __init__(
        self, params: Any, lr: float, weight_decay: float = 0.0, momentum: float = 0.9, trust: float = 1e-3
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)
        return loss

    def _move(self, weight: Tensor, group: dict[str, Any]) -> None:
        change = weight.grad + group["weight_decay"] * weight
        if weight.ndim > 1:
            change = change * _ratio(weight, change, group["trust"])
        state = self.state[weight]
        if "moved" not in state:
            state["moved"] = torch.zeros_like(weight)
        state["moved"].mul_(group["momentum"]).add_(change)
        weight.sub_(group["lr"] * state["moved"])


class LAMB(Optimizer):
    """Adam with decoupled decay whose step is as long as the layer's weights (arXiv 1904.00962, Algorithm 2).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        weight_decay: decoupled, inside the trust ratio.
        betas: decay of the first and second moments.
        eps: added to the root of the second moment.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)
        return loss

    def _move(self, weight: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state.update(count=0, first=torch.zeros_like(weight), second=torch.zeros_like(weight))
        state["count"] += 1
        low, high = group["betas"]
        state["first"].lerp_(weight.grad, 1 - low)
        state["second"].mul_(high).addcmul_(weight.grad, weight.grad, value=1 - high)
        first = state["first"] / (1 - low ** state["count"])
        second = state["second"] / (1 - high ** state["count"])
        change = first / (second.sqrt() + group["eps"]) + group["weight_decay"] * weight
        if weight.ndim > 1:
            change = change * _ratio(weight, change, 1.0)
        weight.sub_(group["lr"] * change)


def _ratio(weight: Tensor, change: Tensor, trust: float) -> Tensor:
    """``trust · |w| / |change|``, and 1 where either norm is zero."""
    of_weight, of_change = weight.norm(), change.norm()
    ratio = trust * of_weight / of_change
    return torch.where((of_weight > 0) & (of_change > 0), ratio, torch.ones_like(ratio))
