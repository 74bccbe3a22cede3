"""A run on two processes: ``python -m tests.training.two_processes STORE OUT DEVICES``; Lightning starts the second."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from medssl.store.store import Store
from medssl.training.fit import fit
from medssl.training.hardware import Hardware
from tests.training.tiny import make_method, make_plan


def main() -> None:
    """Two samples a process on two, or four on one."""
    torch.set_num_threads(1)
    devices = int(sys.argv[3])
    method = make_method(dropout=0.0, norm="group")
    plan = make_plan(method, steps=3)
    plan = replace(plan, optim=replace(plan.optim, batch=4 // devices), hardware=Hardware(devices=devices))
    report = fit(method, Store.open(sys.argv[1]), plan, Path(sys.argv[2]))
    # in one write, so that lines of two processes do not mix
    sys.stdout.write(f"health {json.dumps(report['health'])}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
