"""Outputs of submodules by name, for the time of one call."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from medssl.encoders.blocks.map import dense
from medssl.errors import UsageError


@contextmanager
def tapped(module: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within the scope, the outputs of the submodules ``names`` are put in the dict that is given.

    A submodule that runs more than once leaves its last output.

    Args:
        module: the network.
        names: as in ``module.named_modules()``.

    Raises:
        UsageError: there is no such submodule (close names are listed), or its output is not a tensor.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> with tapped(net, ["0"]) as taps:
        ...     out = net(torch.zeros(1, 2))
        >>> tuple(taps["0"].shape)
        (1, 3)
    """
    modules = dict(module.named_modules())
    found: dict[str, Tensor] = {}
    for name in names:
        if name not in modules or not name:
            raise UsageError(f"there is no layer {name!r} to tap", code="encoder", hint=_close(name, modules))

    def keep(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                raise UsageError(f"layer {name!r} gives a {type(output).__name__}, not a tensor", code="encoder")
            found[name] = output

        return hook

    handles = [modules[name].register_forward_hook(keep(name)) for name in names]
    try:
        yield found
        for name, value in found.items():
            found[name] = dense(value)
    finally:
        for handle in handles:
            handle.remove()


def _close(name: str, modules: dict[str, nn.Module]) -> str:
    names = [known for known in modules if known]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:3]
    return f"close names: {', '.join(near)}"
