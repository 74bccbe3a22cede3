"""Batch norm whose statistics are those of all processes' samples, on any device.

torch's own synchronized batch norm works on accelerators only, and not where cells are hidden. Here every process
gathers the count, the mean and the squared deviations of the others, differentiably, and merges them; so one process
with a whole batch and several with parts of it compute the same.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import handle_torch_function, has_torch_function_unary

from medssl.encoders.active_norm import affine

Gather = Callable[[Tensor], Tensor]
"""Rows of all processes in rank order, differentiable: the backward sums over processes."""

PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class SharedBatchNorm(_BatchNorm):
    """A batch norm like torch's, with the parameters, buffers and momentum of the one that it replaces.

    Args:
        norm: what it replaces.
        gather: rows of all processes.
    """

    def __init__(self, norm: _BatchNorm, gather: Gather) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, affine=False, track_running_stats=False)
        self.affine, self.track_running_stats = norm.affine, norm.track_running_stats
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.gather = gather
        self.training = norm.training

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, …)`` to the same shape."""
        if not self.training:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, self.running_mean is None, 0.0, self.eps
            )
        momentum = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            momentum = 1.0 / float(self.num_batches_tracked) if momentum is None else momentum
        running = (self.running_mean, self.running_var)
        return shared_batch_norm(x, running, (self.weight, self.bias), momentum or 0.0, self.eps, self.gather)


def share(module: nn.Module, gather: Gather) -> None:
    """Let every batch norm of a network take its statistics from all processes; in place."""
    for name, child in module.named_children():
        if isinstance(child, PLAIN):
            setattr(module, name, SharedBatchNorm(child, gather))
        else:
            share(child, gather)


def shared_batch_norm(
    x: Tensor,
    running: tuple[Tensor | None, Tensor | None],
    terms: tuple[Tensor | None, Tensor | None],
    momentum: float,
    eps: float,
    gather: Gather,
    active: Tensor | None = None,
) -> Tensor:
    """Batch norm in training over the samples of all processes.

    Args:
        x: ``(N, C, …)`` of this process.
        running: running mean and variance, moved in place; None where there are none.
        terms: scale and shift of each channel, or None.
        momentum: share of the running statistics that is new.
        eps: added to the variance.
        gather: rows of all processes.
        active: bool, broadcasts with ``x``: only these sites count, and all others leave as 0. None: all.

    Example:
        >>> x = torch.tensor([[1.0], [3.0]])
        >>> shared_batch_norm(x, (None, None), (None, None), 0.1, 0.0, lambda rows: rows).flatten().tolist()
        [-1.0, 1.0]
    """
    if has_torch_function_unary(x):
        # where cells are hidden, the scope answers, and names the active sites
        out: Tensor = handle_torch_function(
            shared_batch_norm, (x,), x, running, terms, momentum, eps, gather, active=active
        )
        return out
    exact = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    shown = torch.ones((), dtype=torch.bool, device=x.device) if active is None else active
    mean, variance, count = _statistics(exact, shown, gather)
    shape = (1, -1, *[1] * (x.ndim - 2))
    scaled = (exact - mean.reshape(shape)) * torch.rsqrt(variance + eps).reshape(shape)
    _follow(running, mean, variance * (count / (count - 1).clamp(min=1)), momentum)
    return affine(torch.where(shown, scaled, torch.zeros((), dtype=exact.dtype, device=x.device)), shown, *terms).to(
        x.dtype
    )


def _statistics(x: Tensor, active: Tensor, gather: Gather) -> tuple[Tensor, Tensor, Tensor]:
    """Means and biased variances ``(C,)`` over all processes, and how many values each is of."""
    axes = (0, *range(2, x.ndim))
    here = active.expand(x.shape[0], 1, *x.shape[2:]).sum().to(x.dtype)
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    mean = torch.where(active, x, zero).sum(axes) / here.clamp(min=1)
    shape = (1, -1, *[1] * (x.ndim - 2))
    apart = torch.where(active, x - mean.reshape(shape), zero).square().sum(axes)
    every = gather(torch.cat([here[None], mean, apart])[None])
    count, means, squares = torch.split(every, [1, len(mean), len(mean)], dim=1)
    total = count.sum().clamp(min=1)
    merged = (count * means).sum(0) / total
    variance = (squares + count * (means - merged).square()).sum(0) / total
    return merged, variance, total


@torch.no_grad()
def _follow(running: tuple[Tensor | None, Tensor | None], mean: Tensor, variance: Tensor, momentum: float) -> None:
    for kept, now in zip(running, (mean, variance), strict=True):
        if kept is not None:
            kept.mul_(1 - momentum).add_(now.to(kept.dtype), alpha=momentum)
