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
        workers: loading processes a training process; auto is 0 to 4, as there are cores.
        threads: CPU threads of the arithmetic; auto is what torch takes, at most one for each usable core.
    """

    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    nodes: Annotated[int, Field(ge=1)] = 1
    strategy: str = "auto"
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed", "64-true"] = "auto"
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    threads: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"

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

    def worker_count(self) -> int:
        """Loading processes: one core is left for the arithmetic."""
        return min(4, max(0, usable_cores() - 1)) if self.workers == "auto" else self.workers

    def set_threads(self) -> None:
        """Tell torch how many threads to use; without a number, never more than the usable cores."""
        wanted = min(torch.get_num_threads(), usable_cores()) if self.threads == "auto" else self.threads
        if wanted != torch.get_num_threads():
            torch.set_num_threads(wanted)


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
