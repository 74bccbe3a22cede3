"""Runs that kill themselves: ``python -m tests.training.killed STORE OUT CASE…``, each case in a process of its own.

A case is a step after which the process dies, or ``save`` for a death in the middle of the second checkpoint.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from medssl.store.store import Store
from medssl.training.fit import fit
from tests.training.tiny import make_method, make_plan


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _run(store: Store, out: Path, case: str) -> None:
    saved: list[str] = []

    def watch(event: str, details: tuple[object, ...]) -> None:
        if event == "os.rename" and str(details[1]).endswith(".ckpt"):
            saved.append(str(details[1]))
            if case == "save" and len(saved) == 2:
                _die()

    def progress(done: int, total: int, text: str) -> None:
        if case == str(done):
            _die()

    sys.addaudithook(watch)
    method = make_method("voco")
    fit(method, store, make_plan(method), out / case, progress=progress)


def main() -> None:
    """Run every case in a fork, so that the imports are paid once."""
    torch.set_num_threads(1)
    store = Store.open(sys.argv[1])
    for case in sys.argv[3:]:
        child = os.fork()
        if child == 0:
            _run(store, Path(sys.argv[2]), case)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(case, os.WTERMSIG(status) if os.WIFSIGNALED(status) else "lived")


if __name__ == "__main__":
    main()
