"""A network of the user's own behind the encoder's contract."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from medssl.encoders.contract import Encoder, FeatureMap, Features
from medssl.encoders.inputs import check_input
from medssl.encoders.masked import erased
from medssl.encoders.sites import Sites
from medssl.encoders.taps import tapped
from medssl.errors import RecipeError, UsageError


class Wrapped(Encoder):
    """Any module that gives a map, several maps, a vector or ``Features``; made by ``as_encoder``.

    Convolutional networks are masked without leak, as ``erased`` does. The parameters' names are the module's
    own after ``module.``.

    Args:
        module: the network.
        in_channels: channels of its input.
        channels: of its maps, finest first.
        strides: of its maps.
        width: of the pooled vector.
    """

    def __init__(
        self,
        module: nn.Module,
        in_channels: int,
        channels: tuple[int, ...],
        strides: tuple[tuple[int, ...], ...],
        width: int,
    ) -> None:
        super().__init__()
        self.module = module
        self.in_channels, self.channels, self.strides, self.width, self.dims = in_channels, channels, strides, width, 3
        self.masking = "erase" if channels and _is_convolutional(module) else "fill"

    def forward(
        self, x: Tensor, hidden: Tensor | None = None, fill: str = "drop", taps: Sequence[str] = ()
    ) -> Features:
        """Features of a batch; see ``Encoder.forward``. Taps are named from ``module.`` on.

        Raises:
            UsageError: a learned vector is asked for where there are no tokens of ours to replace.
        """
        check_input(self, x, hidden, fill)
        if fill == "learned" and hidden is not None and self.masking == "fill":
            raise UsageError("a wrapped network has no learned vector for hidden cells", code="encoder")
        with tapped(self, taps) as found:
            if hidden is None:
                features = _features(self.module(x), self.strides)
            else:
                with erased(self.module, hidden) as sites:
                    features = _features(self.module(x), self.strides, sites=sites)
        features.taps = {**features.taps, **found}
        return features


def as_encoder(module: nn.Module, in_channels: int, crop: tuple[int, int, int]) -> Encoder:
    """Put ``module`` behind the contract; channels and strides are found by one dry run on zeros.

    Args:
        module: takes ``(N, in_channels, i, j, k)`` and gives a map ``(N, C, …)``, a list of maps, a vector
            ``(N, D)`` or ``Features``. Maps are put in order, finest first. An ``Encoder`` is given back as it is.
        in_channels: channels of the input.
        crop: voxels of the dry run's input.

    Raises:
        RecipeError: the module fails on zeros or gives something else.

    Example:
        >>> encoder = as_encoder(nn.Conv3d(1, 4, 3, stride=2, padding=1), 1, (8, 8, 8))
        >>> encoder.channels, encoder.strides, encoder.width
        ((4,), ((2, 2, 2),), 4)
    """
    if isinstance(module, Encoder):
        return module
    name = type(module).__name__
    example = next((t for t in module.parameters()), torch.zeros(()))
    x = torch.zeros(2, in_channels, *crop, device=example.device)
    try:
        with _evaluating(module), torch.no_grad():
            out = module(x)
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        raise RecipeError(f"{name} fails on zeros of shape {tuple(x.shape)}: {error}", code="encoder") from error
    features = _features(out, None, crop)
    maps = [level.data for level in features.pyramid]
    strides = tuple(level.stride for level in features.pyramid)
    if any(len(data) != 2 for data in (*maps, features.pooled)):
        raise RecipeError(f"{name} does not keep samples apart along the first axis", code="encoder")
    return Wrapped(module, in_channels, tuple(data.shape[1] for data in maps), strides, int(features.pooled.shape[1]))


def _features(
    out: Any,
    strides: Sequence[tuple[int, ...]] | None,
    crop: tuple[int, ...] = (),
    sites: Sites | None = None,
) -> Features:
    """Features of what a network gave.

    Args:
        out: what it gave.
        strides: of its maps, finest first; None: computed from ``crop``.
        crop: voxels of the input.
        sites: where some are hidden, maps are erased there and pooled over the others.
    """
    if isinstance(out, Features):
        return out
    parts = [out] if isinstance(out, Tensor) else list(out) if isinstance(out, list | tuple) else []
    vectors = [p for p in parts if isinstance(p, Tensor) and p.ndim == 2]
    maps = [p for p in parts if isinstance(p, Tensor) and p.ndim == 5]
    if not parts or len(vectors) + len(maps) != len(parts) or len(vectors) > 1:
        raise RecipeError(
            f"expected a map (N, C, i, j, k), a list of maps, at most one vector (N, D) or Features, got {_said(out)}",
            code="encoder",
        )
    maps = sorted(maps if sites is None else [sites.erase(m) for m in maps], key=lambda m: -math.prod(m.shape[2:]))
    if strides is None:
        strides = [_stride(data.shape[2:], crop) for data in maps]
    pyramid = [FeatureMap(data, stride) for data, stride in zip(maps, strides, strict=True)]
    if vectors:
        return Features(pyramid, vectors[0])
    return Features(pyramid, maps[-1].flatten(2).mean(2) if sites is None else sites.mean(maps[-1]))


def _stride(shape: Sequence[int], crop: Sequence[int]) -> tuple[int, ...]:
    found = tuple(math.ceil(n / s) for n, s in zip(crop, shape, strict=True))
    if any(math.ceil(n / f) != s for n, f, s in zip(crop, found, shape, strict=True)):
        raise RecipeError(
            f"a map of shape {tuple(shape)} has no whole stride in an input of {tuple(crop)}",
            code="encoder",
            hint="use 'same' padding, or a crop that the strides divide",
        )
    return found


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Within the scope every part is in eval mode; afterwards each is as it was."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _is_convolutional(module: nn.Module) -> bool:
    parts = list(module.modules())
    return any(isinstance(p, nn.Conv3d) for p in parts) and not any(isinstance(p, nn.MultiheadAttention) for p in parts)


def _said(out: Any) -> str:
    if isinstance(out, Tensor):
        return f"a tensor {tuple(out.shape)}"
    if isinstance(out, list | tuple):
        return f"{type(out).__name__} of {', '.join(_said(part) for part in out) or 'nothing'}"
    return type(out).__name__
