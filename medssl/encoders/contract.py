"""What every encoder takes and gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass
class FeatureMap:
    """One level of a pyramid.

    Args:
        data: ``(N, C, i, j, k)``.
        stride: input voxels per feature voxel along each axis.
    """

    data: Tensor
    stride: tuple[int, ...]


@dataclass
class Tokens:
    """A sequence of tokens with their places.

    Args:
        data: ``(N, L, C)``; where cells were dropped, only the visible ones.
        place: ``(N, L, dims)`` float32 centre of each token, in input voxels.
        index: ``(N, L)`` int64 position of each token in the full row-major grid of cells.
        grid: the full grid of cells.
    """

    data: Tensor
    place: Tensor
    index: Tensor
    grid: tuple[int, ...]


@dataclass
class Features:
    """What an encoder makes of a batch of views.

    Args:
        pyramid: feature maps, finest first. Empty where hidden tokens were dropped.
        pooled: ``(N, width)``; with ``hidden``, pooled over what is visible.
        tokens: for transformers.
        taps: outputs of the layers that were asked for by name.
    """

    pyramid: list[FeatureMap]
    pooled: Tensor
    tokens: Tokens | None = None
    taps: dict[str, Tensor] = field(default_factory=dict)


class Encoder(nn.Module, ABC):
    """The contract of every encoder.

    Attributes:
        in_channels: channels of the input.
        channels: channels of each pyramid level, finest first.
        strides: stride of each pyramid level along each axis, finest first.
        width: length of the pooled vector.
        dims: 3 (or 2).
        masking: ``"erase"`` for a CNN whose hidden cells are erased after every layer, ``"drop"`` for a
            transformer that leaves hidden tokens out, ``"fill"`` for one that can only replace them.
    """

    in_channels: int
    channels: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    width: int
    dims: int
    masking: str

    @abstractmethod
    def forward(
        self, x: Tensor, hidden: Tensor | None = None, fill: str = "drop", taps: Sequence[str] = ()
    ) -> Features:
        """Features of a batch.

        Args:
            x: ``(N, C, i, j, k)``.
            hidden: ``(N, cells…)`` bool, True where nothing may leak from. Cells have a size of their own; it
                divides the input, and the input's values there change nothing in the result.
            fill: what becomes of hidden tokens of a transformer: ``drop``, ``zero`` or ``learned``.
            taps: names of submodules whose outputs are wanted (as in ``named_modules``).
        """
