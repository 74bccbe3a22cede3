"""What a recipe says about hardware, as the Lightning Trainer wants it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field


@dataclass(frozen=True)
class Hardware:
    """What a recipe says about hardware (``hardware:``).

    Args:
        devices: how many accelerators (or CPU processes) on each machine; auto takes all accelerators, or one
            CPU process.
        nodes: machines.
        strategy: a strategy of the Lightning Trainer; auto is one process, or DDP where there are several.
        precision: auto is bf16-mixed or 16-mixed on an accelerator and 32-true on a CPU.
    """

    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    nodes: Annotated[int, Field(ge=1)] = 1
    strategy: str = "auto"
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed", "64-true"] = "auto"

    def trainer_settings(self) -> dict[str, Any]:
        """Keyword arguments of the Lightning Trainer."""
        cuda = torch.cuda.is_available()
        devices = self.devices if self.devices != "auto" else (torch.cuda.device_count() if cuda else 1)
        strategy = self.strategy
        if strategy == "auto" and devices * self.nodes > 1:
            # an encoder may hold parts that a method does not use (mask tokens, unused pyramid levels)
            strategy = "ddp_find_unused_parameters_true"
        return {
            "accelerator": "gpu" if cuda else "cpu",
            "devices": devices,
            "num_nodes": self.nodes,
            "strategy": strategy,
            "precision": self.precision_for(cuda),
            # statistics of a process's few volumes would tell its samples from the others'; torch has it on CUDA only,
            # and elsewhere a run shares them itself
            "sync_batchnorm": cuda and devices * self.nodes > 1,
        }

    def precision_for(self, cuda: bool) -> str:
        """The precision on this kind of device.

        Example:
            >>> Hardware().precision_for(cuda=False)
            '32-true'
        """
        if self.precision != "auto":
            return self.precision
        if not cuda:
            return "32-true"
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


def set_threads() -> None:
    """No more threads than usable cores. Loading processes do not count: sums must not depend on them."""
    if torch.get_num_threads() > usable_cores():
        torch.set_num_threads(usable_cores())


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
