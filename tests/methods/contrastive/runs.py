"""Short runs of methods with stages and surveys, whole and stopped on the way."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from medssl import draws
from medssl.encoders.build import build_encoder
from medssl.encoders.contract import Encoder
from medssl.io.write import write
from medssl.manifest import Manifest, Record
from medssl.methods.contract import Method
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.training.fit import fit
from medssl.training.logs import read_metrics
from medssl.training.optimizers import Optim
from medssl.training.plan import Keep, Plan
from medssl.views.settings import ViewSettings
from medssl.volume import Volume

VIEWS = ViewSettings(crop=(16, 16, 16), flip=(0.5, 0.5, 0.0))
SMALL = {"hidden": 8, "outputs": 4, "norm": "layer"}


def encoder() -> Encoder:
    torch.manual_seed(0)
    return build_encoder("resenc", 1, widths=(4, 8, 8), blocks=(1, 1, 1), strides=(1, 2, 2), norm="instance")


def make_store(folder: Path, records: list[Record], shape=(24, 22, 20), spacing=(1.0, 1.0, 1.0)) -> Store:
    """A store of these records; every second scan is dark where the others are bright."""
    for number, record in enumerate(records):
        rng = draws.generator(0, draws.PHANTOM, number)
        ramp = np.linspace(0, 100, shape[0], dtype=np.float32)[:, None, None]
        data = np.abs((ramp if number % 2 else 100 - ramp) + rng.normal(0, 5, shape)).astype(np.float32)
        write(Volume(data[None], np.diag([*spacing, 1.0])), folder / record.image)
    return prepare(Manifest(folder / "m.csv", folder, tuple(records)), folder / "store", StoreSettings())


def plan_of(method: Method, steps: int = 6, batch: int = 2, seed: int = 0) -> Plan:
    optim = Optim(lr=1e-2, warmup_steps=1, steps=steps, batch=batch)
    keep = Keep(checkpoint_every=2, pictures_every=0, tensorboard=False)
    return Plan(tuple(method.stages(steps, VIEWS)), optim=optim, keep=keep, seed=seed)


def outcome(method: Method, out: Path) -> tuple[list[str], str]:
    """Losses and weights, bit for bit."""
    state = b"".join(name.encode() + value.numpy().tobytes() for name, value in method.state_dict().items())
    return [loss.hex() for loss in read_metrics(out / "metrics.csv")["loss"]], hashlib.sha256(state).hexdigest()


def assert_goes_on_exactly(make: Callable[[], Method], store: Store, out: Path, stops: tuple[int, ...]) -> None:
    """A run that a signal stops after each of these steps is the run that nothing stops."""
    method = make()
    fit(method, store, plan_of(method), out / "whole")
    expected = outcome(method, out / "whole")
    assert len(set(expected[0])) == 6
    for stop in stops:

        def leave(done: int, total: int, text: str, stop: int = stop) -> None:
            if done == stop:
                os.kill(os.getpid(), signal.SIGTERM)

        method = make()
        with pytest.raises(SystemExit, match="143"):
            fit(method, store, plan_of(method), out / str(stop), progress=leave)
        method = make()
        report = fit(method, store, plan_of(method), out / str(stop), resume=True)
        assert report["notes"] == [f"went on from step {stop}"]
        assert outcome(method, out / str(stop)) == expected
