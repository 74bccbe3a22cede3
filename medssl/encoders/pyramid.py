"""A convolutional network's feature pyramid, dense or with hidden cells erased."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from medssl.encoders.contract import Encoder, FeatureMap, Features
from medssl.encoders.masked import erased, leaving
from medssl.encoders.taps import tapped


def convolutional_features(
    encoder: Encoder,
    levels: Callable[[Tensor], list[Tensor]],
    x: Tensor,
    hidden: Tensor | None,
    taps: Sequence[str],
) -> Features:
    """Features of an encoder whose ``levels`` are convolutional maps, finest first.

    Hidden voxels change nothing, not one bit. The pooled vector is the mean over the active sites of the coarsest
    level.

    Args:
        encoder: carries the strides, and the submodules that may be tapped.
        levels: the maps of an input.
        x: ``(N, C, i, j, k)``.
        hidden: ``(N, cells…)`` bool, or None.
        taps: names of submodules.
    """
    with tapped(encoder, taps) as found:
        if hidden is None:
            maps = levels(x)
            pooled = maps[-1].flatten(2).mean(2)
        else:
            with erased(encoder, hidden) as sites:
                sites.align(x.shape[2:])
                maps = [leaving(sites, level) for level in levels(sites.erase(x))]
                pooled = sites.mean(maps[-1])
    pyramid = [FeatureMap(data, stride) for data, stride in zip(maps, encoder.strides, strict=True)]
    return Features(pyramid=pyramid, pooled=pooled, taps=found)


def start_convolutions(network: nn.Module, slope: float = 0.0) -> None:
    """He initialization of convolutions for (leaky) ReLU (arXiv 1502.01852), from torch's global generator."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, a=slope, mode="fan_out", nonlinearity="leaky_relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
