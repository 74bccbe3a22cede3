"""The smallest useful settings of every registered encoder, for tests."""

from __future__ import annotations

from typing import Any

TINY: dict[str, dict[str, Any]] = {
    "resnet": {"depth": 10, "width": 8},
    "resenc": {"widths": (4, 8, 16, 32), "blocks": (1, 1, 2, 1), "strides": (1, 2, 2, 2)},
    "vit": {"patch": 8, "width": 48, "depth": 2, "heads": 3},
    "swin": {"width": 12, "window": 4, "depths": (2, 2, 1, 1), "heads": (1, 2, 2, 3)},
}

UNUSED: dict[str, tuple[str, ...]] = {"vit": ("mask_token",), "swin": ("mask_token",)}
"""Parameters that nothing reaches while no cell is hidden."""
