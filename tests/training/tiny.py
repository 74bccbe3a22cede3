"""A small store and a small run, for the tests of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from medssl import draws
from medssl.encoders.build import build_encoder
from medssl.io.write import write
from medssl.manifest import Manifest, Record
from medssl.methods.contract import Method
from medssl.recipe import load_class
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.training.optimizers import Optim
from medssl.training.plan import Keep, Plan
from medssl.views.settings import ViewSettings
from medssl.volume import Volume

VIEWS = ViewSettings(crop=(16, 16, 16), flip=(0.5, 0.5, 0.0))

SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "simclr": ("medssl.methods.contrastive.simclr:SimCLR", {"hidden": 8, "outputs": 4, "norm": "layer"}),
    "voco": ("medssl.methods.region.voco:VoCo", {"grid": (2, 2, 1), "width": 8}),
}


def make_scans(folder: Path, count: int = 4) -> Manifest:
    """Scans with a ball of class 1 and a block of class 2, in ``folder``, half of them of split test."""
    records = []
    for number in range(count):
        rng = draws.generator(0, draws.PHANTOM, number)
        data = rng.normal(0, 10, (36, 34, 24)).astype(np.float32)
        label = np.zeros(data.shape, np.uint8)
        places = np.indices(data.shape)
        centre = rng.integers(12, 20, 3)
        label[((places - centre[:, None, None, None]) ** 2).sum(0) < 36] = 1
        label[22:30, 20:28, 4:12] = 2
        data += 60.0 * (label == 1) + 120.0 * (label == 2) + places[2]
        affine = np.diag([-1.5, -1.5, 2.0, 1.0])
        write(Volume(data[None], affine), folder / f"{number}.nii.gz")
        write(Volume(label[None], affine), folder / f"{number}_label.nii.gz")
        split = "train" if number < (count + 1) // 2 else "test"
        targets = {"kind": ("a", "b")[number % 2]}
        records.append(
            Record(f"{number}.nii.gz", f"p{number}", label=f"{number}_label.nii.gz", split=split, targets=targets)
        )
    (folder / "manifest.yaml").write_text("classes: {0: background, 1: ball, 2: block}\n")
    Manifest(folder / "manifest.csv", folder, tuple(records)).write(folder / "manifest.csv")
    return Manifest.read(folder / "manifest.csv")


def make_store(folder: Path, count: int = 4) -> Store:
    """A store of such scans."""
    folder.mkdir(parents=True, exist_ok=True)
    return prepare(make_scans(folder, count), folder / "store", StoreSettings())


def make_method(name: str = "simclr", dropout: float = 0.2, norm: str = "batch") -> Method:
    """A method with dropout in front of its encoder's end, so that the chance inside a step counts."""
    torch.manual_seed(0)
    spec, settings = SETTINGS[name]
    encoder = build_encoder("resenc", 1, widths=(4, 8, 8), blocks=(1, 1, 1), strides=(1, 2, 2), norm=norm)
    method: Method = load_class(spec)(encoder, **settings)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.register_forward_hook(lambda m, _, out: torch.nn.functional.dropout(out, dropout, m.training))
    return method


def make_plan(method: Method, steps: int = 8, every: int = 3, workers: int = 0, **changes: Any) -> Plan:
    """A plan with a checkpoint every few steps."""
    optim = Optim(lr=1e-2, warmup_steps=2, steps=steps, batch=2)
    stages = tuple(method.stages(steps, VIEWS))
    keep = Keep(checkpoint_every=every, pictures_every=0, tensorboard=False)
    return Plan(stages, optim=optim, keep=keep, workers=workers, **changes)
