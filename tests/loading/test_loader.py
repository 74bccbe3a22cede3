from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from medssl.errors import InputError, MedsslError, UsageError
from medssl.loading.loader import make_loader
from medssl.loading.plan import Stage
from medssl.store.store import Store
from medssl.views.augment.choose import augmentations
from medssl.views.crops.base_grid import Within
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.masks.random_cells import RandomCells
from medssl.views.view import Batch, Role, Spatial
from tests.store.making import make_store, texture

ROLES = {
    "one": Role(
        RandomCrop((8, 8, 8)),
        2,
        Spatial(flip=(0.5, 0.5, 0.5), rotate_deg=10.0),
        augmentations(["noise"]),
        RandomCells(0.5, 4),
    ),
    "inner": Role(Within("one", (4, 4, 4))),
}


@dataclass(frozen=True)
class FarRole:
    """A crop policy with a mistake in it."""

    def draw(self, scan: object, count: int, rng: object, drawn: object) -> list[object]:
        """Fail."""
        raise ZeroDivisionError("a mistake")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    volumes = [texture((14, 13, 12), n) for n in range(6)]
    return make_store(tmp_path_factory.mktemp("store"), volumes)


def _batches(store: Store, start: int = 0, stop: int = 5, **given: int) -> list[Batch]:
    return list(make_loader(store, ROLES, None, **{"batch": 2, "seed": 3, **given}, start=start, stop=stop))  # type: ignore[arg-type]


def _same(one: Batch, two: Batch) -> bool:
    if (one.step, one.size, list(one.roles)) != (two.step, two.size, list(two.roles)):
        return False
    for name in one.roles:
        a, b = one[name], two[name]
        for field in ("image", "valid", "affine", "box", "owner"):
            if not torch.equal(getattr(a, field), getattr(b, field)):
                return False
        if any(not torch.equal(a.ids[key], b.ids[key]) for key in a.ids) or a.params != b.params:
            return False
        if a.hidden is not None and (b.hidden is None or not torch.equal(a.hidden, b.hidden)):
            return False
    return True


def test_workers_change_nothing(store: Store) -> None:
    alone, helped = _batches(store), _batches(store, workers=2)
    assert [batch.step for batch in alone] == [0, 1, 2, 3, 4]
    assert all(_same(a, b) for a, b in zip(alone, helped, strict=True))


def test_a_later_start_is_the_tail(store: Store) -> None:
    assert all(_same(a, b) for a, b in zip(_batches(store)[3:], _batches(store, start=3), strict=True))


def test_steps_slots_and_seeds_differ(store: Store) -> None:
    first, second = _batches(store, stop=2)
    other = _batches(store, stop=1, seed=4)[0]
    assert not torch.equal(first["one"].image, second["one"].image)
    assert not torch.equal(first["one"].image, other["one"].image)
    assert not torch.equal(first["one"].image[:2], first["one"].image[2:])


def test_processes_share_one_draw(store: Store) -> None:
    whole = _batches(store, batch=4, stop=3)
    parts = [_batches(store, batch=2, stop=3, rank=rank, world=2) for rank in range(2)]
    for step, batch in enumerate(whole):
        halves = torch.cat([parts[rank][step]["one"].image for rank in range(2)])
        assert torch.equal(batch["one"].image, halves)
        assert parts[1][step]["one"].owner.tolist() == [0, 0, 1, 1]


def test_a_stage_gives_its_roles(store: Store) -> None:
    batch = next(iter(make_loader(store, Stage("main", 1, ROLES), None, batch=2, seed=0, start=0, stop=1)))
    assert batch["one"].image.shape == (4, 1, 8, 8, 8)
    assert batch["one"].cells_shape == (2, 2, 2)
    patients = batch["one"].ids["patient"]
    assert patients[0] == patients[1] != patients[2]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_scan_is_named(tmp_path: Path, workers: int) -> None:
    store = make_store(tmp_path, [texture((14, 13, 12))])
    path = Path(store.name(0)) / "image.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=path.parent.name) as caught:
        next(iter(make_loader(store, ROLES, None, batch=1, seed=0, start=0, stop=1, workers=workers)))
    assert caught.value.code == "store-corrupt"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_names_the_scan_and_the_slot(store: Store, workers: int) -> None:
    roles = {"one": Role(FarRole())}  # type: ignore[arg-type]
    loader = make_loader(store, roles, None, batch=2, seed=0, start=4, stop=5, workers=workers)
    with pytest.raises(MedsslError, match=r"entries.*step 4, slot 0: ZeroDivisionError: a mistake \[internal\]"):
        next(iter(loader))


def test_few_descriptors_are_enough(store: Store) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        batches = _batches(store, stop=24, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(batches) == 24


def test_no_steps_are_no_batches(store: Store) -> None:
    assert _batches(store, start=5, stop=5) == []


@pytest.mark.parametrize("given", [{"batch": 0}, {"rank": 1}, {"start": 3, "stop": 2}, {"workers": -1}])
def test_senseless_counts_are_refused(store: Store, given: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="rank below world"):
        _batches(store, **given)


def test_a_sampler_of_pairs(store: Store) -> None:
    class Pairs:
        """Two scans a sample."""

        def draw(self, step: int, size: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
            """Neighbours."""
            return [(slot, slot + 1) for slot in range(size)]

    roles = {"a": Role(RandomCrop((4, 4, 4))), "b": Role(RandomCrop((4, 4, 4)), record=1)}
    batch = next(iter(make_loader(store, roles, Pairs(), batch=2, seed=0, start=0, stop=1)))
    assert batch["a"].ids["record"].tolist() == [store.ids(n)["record"] for n in (0, 1)]
    assert batch["b"].ids["record"].tolist() == [store.ids(n)["record"] for n in (1, 2)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_saved_state_goes_on_with_the_exact_next_batch(store: Store, workers: int) -> None:
    whole = _batches(store, stop=6)
    first = make_loader(store, ROLES, None, batch=2, seed=3, start=0, stop=6, workers=workers)
    taken = []
    for batch in first:
        taken.append(batch)
        if len(taken) == 2:
            break
    state = json.loads(json.dumps(first.state_dict()))
    assert state["next"] == 2
    other = make_loader(store, ROLES, None, batch=2, seed=3, start=0, stop=6)
    other.load_state_dict(state)
    assert len(other) == 4
    assert all(_same(a, b) for a, b in zip(whole, [*taken, *other], strict=True))
    assert other.state_dict()["next"] == 6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 4}, "seed 3 there and 4 here"),
        ({"batch": 1}, "batch 2 there and 1 here"),
        ({"start": 3}, "its step is none of this loader"),
    ],
)
def test_a_state_of_another_loader_is_refused(store: Store, changes: dict[str, int], words: str) -> None:
    state = make_loader(store, ROLES, None, batch=2, seed=3, start=0, stop=6).state_dict()
    other = make_loader(store, ROLES, None, **({"batch": 2, "seed": 3, "start": 0, "stop": 6} | changes))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=words):
        other.load_state_dict(state)


ENDING = """
import sys
from medssl.loading.loader import make_loader
from medssl.store.store import Store
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.view import Role

store = Store.open(sys.argv[1])
roles = {"view": Role(RandomCrop((8, 8, 8)))}
batches = iter(make_loader(store, roles, None, batch=1, seed=0, start=0, stop=1000, workers=2))
next(batches)
"""


@pytest.mark.parametrize("end", ["", "raise SystemExit(1)", "1 / 0"])
def test_a_program_ends_though_it_holds_a_loader(store: Store, end: str) -> None:
    """Workers ignore the signal by which they are ended otherwise, since a training process decides what it means."""
    words = [sys.executable, "-c", ENDING + end, str(store.path)]
    done = subprocess.run(words, capture_output=True, timeout=120)
    assert done.returncode == (1 if end else 0)
