"""Pictures of one fixed batch while a method trains, as plain arrays for the report."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from medssl.atomic import make_folder, replacing
from medssl.methods.contract import Context, Method
from medssl.views.view import Batch

MOST = 4
"""Volumes of a name that are kept."""


def picture_arrays(method: Method, batch: Batch, ctx: Context, seed: int) -> dict[str, NDArray[np.generic]]:
    """What a method shows of a batch, and where the views lie.

    The method is in evaluation mode meanwhile, so that looking does not move its running statistics.

    Returns:
        ``picture.<name>`` ``(n, C, i, j, k)`` float32, at most 4 of each; for every role ``views.<role>.box``
        ``(N, 15)``, ``.affine`` ``(N, 4, 4)``, ``.owner`` and ``.record`` ``(N,)``.
    """
    ctx.generator.manual_seed(seed)
    modes = {name: module.training for name, module in method.named_modules()}
    method.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            shown = method.pictures(batch, ctx)
    finally:
        for name, module in method.named_modules():
            module.training = modes[name]
    out: dict[str, NDArray[np.generic]] = {
        f"picture.{name}": volume[:MOST].detach().float().cpu().numpy() for name, volume in shown.items()
    }
    for role, views in batch.roles.items():
        out[f"views.{role}.box"] = views.box.cpu().numpy()
        out[f"views.{role}.affine"] = views.affine.cpu().numpy()
        out[f"views.{role}.owner"] = views.owner.cpu().numpy()
        if "record" in views.ids:
            out[f"views.{role}.record"] = views.ids["record"].cpu().numpy()
    return out


def save_arrays(path: str | Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Write an ``.npz`` whole or not at all."""
    path = Path(path)
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)  # type: ignore[arg-type]
    make_folder(path.parent)
    with replacing(path) as temporary:
        temporary.write_bytes(data.getbuffer())
