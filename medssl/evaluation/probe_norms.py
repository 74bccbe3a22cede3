"""Batch norms of a frozen encoder, settled on the crops that it is probed with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def settle(encoder: nn.Module, images: Tensor, batch: int = 32) -> int:
    """Replace the running statistics of every batch norm by the mean over batches of these images.

    No weight moves. Random weights have running statistics of nothing, and a masked encoder has those of visible voxels
    alone; settled on the same crops, both are compared as they would be used.

    Args:
        encoder: changed in place; its mode (training or evaluation) stays.
        images: ``(N, C, i, j, k)``.
        batch: crops that go through together; a rest of one crop is left out.

    Returns:
        How many batch norms there are; with none, nothing is done.
    """
    norms = [module for module in encoder.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not norms:
        return 0
    training, kept = encoder.training, [norm.momentum for norm in norms]
    device = next(encoder.parameters()).device
    try:
        for norm in norms:
            norm.reset_running_stats()
            # None: the plain mean of all batches
            norm.momentum = None
        encoder.train()
        with torch.no_grad():
            for start in range(0, len(images), batch):
                part = images[start : start + batch]
                if len(part) > 1 or len(images) == 1:
                    encoder(part.to(device))
    finally:
        for norm, momentum in zip(norms, kept, strict=True):
            norm.momentum = momentum
        encoder.train(training)
    return len(norms)
