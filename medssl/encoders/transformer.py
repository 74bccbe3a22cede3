"""Transformer parts: sine-cosine positions of any place, and a pre-norm block."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


def sine_cosine(place: Tensor, width: int) -> Tensor:
    """Positions as sines and cosines of wavelengths 2π to 10000·2π along each axis.

    Computed from the places themselves, so that any crop size and any subset of tokens has positions
    (Attention is all you need, arXiv 1706.03762, section 3.5; one third of the width for each of three axes).

    Args:
        place: ``(…, dims)`` in patches.
        width: length of the result; what does not divide by ``2 · dims`` stays zero.

    Returns:
        ``(…, width)``.

    Example:
        >>> sine_cosine(torch.zeros(1, 3), 6).tolist()
        [[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]]
    """
    count = width // (2 * place.shape[-1])
    steps = torch.arange(count, device=place.device, dtype=torch.float32) / max(1, count)
    angles = place.float().unsqueeze(-1) * 10000.0**-steps
    waves = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
    return F.pad(waves, (0, width - waves.shape[-1]))


def grid_places(grid: tuple[int, ...], device: torch.device) -> Tensor:
    """Row-major places ``(L, dims)`` of a grid, counted in patches, float32.

    Example:
        >>> grid_places((1, 2), torch.device("cpu")).tolist()
        [[0.0, 0.0], [0.0, 1.0]]
    """
    axes = [torch.arange(n, device=device, dtype=torch.float32) for n in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(grid))


class Block(nn.Module):
    """Self-attention and an MLP, each after a layer norm and beside a shortcut (ViT, arXiv 2010.11929).

    Args:
        width: length of a token.
        heads: of the attention; divides ``width``.
        mlp_ratio: hidden width of the MLP over ``width``.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        inner = int(width * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, L, width)`` to the same."""
        n, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width)
        x = x + self.proj(mixed)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


def start_transformer(network: nn.Module) -> None:
    """Truncated normal (σ 0.02) weights and zero biases of linear layers, from torch's global generator."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
