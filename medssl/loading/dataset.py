"""Steps as a data set: item ``step`` is the batch of that step, whoever makes it and whenever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch.utils.data import Dataset, get_worker_info

from medssl import draws
from medssl.errors import MedsslError, ResourceError
from medssl.loading.collate import Space, collate
from medssl.loading.parcel import Parcel, packed
from medssl.loading.plan import Sampler
from medssl.loading.slabs import OwnSlabs, SharedSlabs, can_share
from medssl.loading.spaces import part_memory
from medssl.store.store import Store
from medssl.views.make import Drawn, draw_views, make_view
from medssl.views.view import Batch, Role, View


@dataclass(frozen=True)
class Slots:
    """Which samples of a step one process makes.

    Args:
        batch: samples of each process.
        rank: this process.
        world: processes.
    """

    batch: int
    rank: int = 0
    world: int = 1

    @property
    def own(self) -> range:
        """This process's slots among all of the step."""
        return range(self.rank * self.batch, (self.rank + 1) * self.batch)


class StepDataset(Dataset[Batch | Parcel | MedsslError]):
    """The batches of a stage by step.

    Every number drawn is a function of the seed, the step and the slot (the sample's place among those of all
    processes), so that neither workers nor restarts change anything.

    Args:
        store: the scans.
        roles: the views of a sample.
        sampler: which scans a step takes.
        slots: what this process makes.
        seed: of the run.
        augmented: False leaves the values of images as they were sampled, whatever was drawn.
    """

    def __init__(
        self,
        store: Store,
        roles: Mapping[str, Role],
        sampler: Sampler,
        slots: Slots,
        seed: int,
        augmented: bool = True,
    ) -> None:
        self._augmented = augmented
        self._store = store
        self._roles = dict(roles)
        self._sampler = sampler
        self._slots = slots
        self._seed = seed
        self._own = OwnSlabs()
        self._shared: SharedSlabs | None = None

    def share(self, workers: int) -> SharedSlabs | None:
        """Memory for workers that are about to start: to say which scan they have in hand, and to make batches in."""
        self._shared = SharedSlabs(workers) if can_share() else None
        return self._shared

    def in_hand(self) -> list[str]:
        """The scans that workers were at when they were last heard of."""
        found = [] if self._shared is None else self._shared.in_hand()
        return [self._store.name(position) for position in found]

    def draws_from(self) -> dict[str, int]:
        """What decides a step's batch besides the step."""
        return {
            "seed": self._seed,
            "batch": self._slots.batch,
            "rank": self._slots.rank,
            "world": self._slots.world,
            "scans": len(self._store),
        }

    def __getitem__(self, step: int) -> Batch | Parcel | MedsslError:
        """The batch of a step, or the error in its place: a loader would flatten a raised one into text."""
        try:
            batch = self.batch(step)
        except MedsslError as error:
            if self._shared is not None:
                self._shared.give_back()
            return error
        return batch if self._shared is None else packed(batch, self._shared)

    def batch(self, step: int) -> Batch:
        """The batch of a step.

        Raises:
            MedsslError: naming the scan.
        """
        size = self._slots.batch * self._slots.world
        samples = self._sampler.draw(step, size, draws.generator(self._seed, draws.SAMPLE, step))
        if len(samples) != size:
            raise MedsslError(f"the sampler must give {size} samples, got {len(samples)}", code="method")
        return self._made([samples[slot] for slot in self._slots.own], step)

    def _made(self, samples: Sequence[tuple[int, ...]], step: int) -> Batch:
        drawn = []
        for slot, positions in zip(self._slots.own, samples, strict=True):
            with self._naming(positions, step, slot):
                rng = draws.generator(self._seed, draws.VIEW, step, slot)
                whole = self._slots.batch * self._slots.world
                drawn.append(draw_views(self._store, positions, self._roles, rng, (slot, whole)))
        slabs = self._own if get_worker_info() is None or self._shared is None else self._shared
        spaces = part_memory(self._store, drawn, slabs)
        filled = dict.fromkeys(spaces, 0)
        made: list[dict[str, list[View]]] = []
        for slot, positions, views in zip(self._slots.own, samples, drawn, strict=True):
            with self._naming(positions, step, slot):
                made.append({name: self._views(some, spaces.get(name), filled, name) for name, some in views.items()})
        return collate(made, step, spaces)

    def _views(self, drawn: Sequence[Drawn], space: Space | None, filled: dict[str, int], name: str) -> list[View]:
        out = []
        for view in drawn:
            into = None if space is None else (space.image[filled[name]], space.valid[filled[name]])
            out.append(make_view(self._store, view, into, self._augmented))
            if space is not None:
                filled[name] += 1
        return out

    @contextmanager
    def _naming(self, positions: tuple[int, ...], step: int, slot: int) -> Iterator[None]:
        """Name the scans in whatever goes wrong, also where the whole process dies of it."""
        if self._shared is not None:
            self._shared.hold(max(positions))
        try:
            yield
        except MedsslError:
            raise
        except Exception as error:
            names = ", ".join(self._store.name(position) for position in positions)
            if isinstance(error, MemoryError) or "memory" in str(error).lower():
                raise ResourceError(
                    "not enough memory for a view", path=names, code="memory", hint="lower views.crop"
                ) from error
            reason = f"step {step}, slot {slot}: {type(error).__name__}: {error}"
            raise MedsslError(reason, path=names, code="internal") from error
