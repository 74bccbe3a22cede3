"""What a short run of each recipe is: one small network a kind of encoder, small crops, few steps, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medssl.methods import METHODS

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes" / "hippocampus"

CROP = (16, 16, 16)
"""Of views and of the probe: an organ of a texture phantom is about 32 voxels long, a part of a hippocampus 15."""

BATCH, STEPS = 16, 200

ENCODERS: dict[str, dict[str, Any]] = {
    # batch norm: an instance norm before the pooling takes out what the pooled vector would say
    "resenc": {"widths": [16, 32, 64], "blocks": [1, 1, 1], "strides": [2, 2, 2], "norm": "batch"},
    "resnet": {"depth": 10, "norm": "batch"},
    "vit": {"patch": 4, "width": 96, "depth": 4, "heads": 4},
    "swin": {"width": 24, "depths": [2, 2], "heads": [2, 4], "window": 4, "patch": 2},
}
"""The network of every recipe that names this kind: what is compared is the method."""

OVERRIDES: dict[str, tuple[str, ...]] = {
    # a cell of eight voxels hides more of a texture than its surroundings tell
    "spark": ("method.cell=4", "method.decoder_width=32"),
    # eight base cells fill a cube of 32, a part of every scan here
    "voco": ("method.grid=[2,2,2]", "optim.batch=8"),
    "mae": ("method.decoder_width=48", "method.decoder_depth=1"),
}
"""By the recipe's name, beyond crop, network, batch and steps."""

PROBES: dict[str, str] = {}
"""By the recipe's name, where it is not its method's room that decides: methods that rebuild are asked for voxels."""


def recipes(only: list[str] | None = None) -> dict[str, Path]:
    """Recipes by name: all that pretrain on the hippocampus, or some of them.

    Raises:
        SystemExit: a name is none of them.
    """
    found = {path.stem.removeprefix("pretrain_"): path for path in sorted(RECIPES.glob("pretrain_*.yaml"))}
    unknown = sorted(set(only or ()) - set(found))
    if unknown:
        raise SystemExit(f"no recipe is named {', '.join(unknown)}; there are: {', '.join(found)}")
    return {name: path for name, path in found.items() if only is None or name in only}


def overrides(name: str, encoder: str, steps: int | None) -> list[str]:
    """What is said to a recipe so that a run takes half a minute.

    Args:
        name: of the recipe.
        encoder: that it names.
        steps: in the place of ``STEPS``.
    """
    words = [f"views.crop={list(CROP)}", f"optim.batch={BATCH}", f"optim.steps={steps or STEPS}"]
    if encoder in ENCODERS:
        words.append(f"encoder={json.dumps({'name': encoder, **ENCODERS[encoder]})}")
    return [*words, *OVERRIDES.get(name, ())]


def probe_of(name: str, method: str) -> str:
    """``pooled`` or ``voxel``: what suits the method.

    Args:
        name: of the recipe.
        method: a key of ``METHODS``.
    """
    return PROBES.get(name) or ("voxel" if ".masked." in METHODS[method] else "pooled")
