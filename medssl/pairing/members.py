"""What must be known of each vector, so that it can be related to any other: its ids, and where it was taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from medssl.views.view import IDS, Batch

UNKNOWN = -1


@dataclass(frozen=True)
class Members:
    """Ids of vectors; they travel with the vectors through gathers and queues.

    Args:
        sample: ``(n,)`` int64, the drawn sample that each view belongs to, unique across processes; negative where a
            vector is of another step than the rest.
        patient: ``(n,)`` int64, -1 where unknown.
        others: further names of ``views.view.IDS`` to ``(n,)`` int64, -1 where unknown.
        box: ``(n, 15)`` float64 numbers of ``Box.to_numbers``: where each view was taken. None where nobody asked.
    """

    sample: Tensor
    patient: Tensor
    others: Mapping[str, Tensor] = field(default_factory=dict)
    box: Tensor | None = None

    def __len__(self) -> int:
        return int(self.sample.shape[0])

    def __getitem__(self, rows: slice | Tensor) -> Members:
        """Some of them: by slice, by indices or by a mask."""
        others = {name: value[rows] for name, value in self.others.items()}
        return Members(self.sample[rows], self.patient[rows], others, None if self.box is None else self.box[rows])

    def ids(self, name: str) -> Tensor:
        """``(n,)`` int64 of one name: ``sample``, ``patient`` or one of the others; -1 where nobody told.

        Example:
            >>> who = Members(torch.tensor([0, 1]), torch.tensor([7, 7]), {"study": torch.tensor([3, 4])})
            >>> who.ids("study").tolist(), who.ids("cluster").tolist()
            ([3, 4], [-1, -1])
        """
        if name in ("sample", "patient"):
            return self.sample if name == "sample" else self.patient
        if name not in IDS:
            raise ValueError(f"an id is one of sample, {', '.join(IDS)}, got {name!r}")
        found = self.others.get(name)
        return torch.full_like(self.sample, UNKNOWN) if found is None else found

    def told(self, **ids: Tensor) -> Members:
        """The same members with ids set: pseudo-labels of a survey as ``cluster``, partitions as ``region``.

        Example:
            >>> who = Members(torch.tensor([0, 1]), torch.tensor([7, 8])).told(cluster=torch.tensor([2, 2]))
            >>> who.ids("cluster").tolist()
            [2, 2]
        """
        for name, value in ids.items():
            if name not in IDS or name == "patient" or value.shape != self.sample.shape:
                raise ValueError(f"expected {len(self)} ids of a name of {IDS[1:]}, got {name!r} {tuple(value.shape)}")
        return Members(self.sample, self.patient, {**self.others, **ids}, self.box)

    def table(self) -> Tensor:
        """``(n, 1 + len(IDS))`` int64: sample, then every name of ``IDS``; for queues and gathers."""
        return torch.stack([self.sample, *(self.ids(name) for name in IDS)], dim=1)

    @classmethod
    def of_table(cls, table: Tensor, box: Tensor | None = None) -> Members:
        """The members of a ``table``."""
        found = dict(zip(("sample", *IDS), table.unbind(1), strict=True))
        return cls(found.pop("sample"), found.pop("patient"), found, box)


def together(*parts: Members) -> Members:
    """The members of several roles, one after the other; boxes are kept where all have them.

    Example:
        >>> one = Members(sample=torch.tensor([0]), patient=torch.tensor([7]))
        >>> together(one, one).sample.tolist()
        [0, 0]
    """
    boxes = [part.box for part in parts if part.box is not None]
    box = torch.cat(boxes) if len(boxes) == len(parts) else None
    return Members.of_table(torch.cat([part.table() for part in parts]), box)


def members_of(batch: Batch, role: str, gather: Callable[[Tensor], Tensor], *, places: bool = False) -> Members:
    """The members of a role on all processes, in rank order; samples have the same number in every role.

    Args:
        batch: the batch of this process.
        role: whose views.
        gather: rows of all processes in rank order; must take int64.
        places: take the boxes along, for weights from geometry.
    """
    views = batch[role]
    columns = [views.owner, *(views.ids.get(name, torch.full_like(views.owner, UNKNOWN)) for name in IDS)]
    rows = torch.stack([torch.zeros_like(views.owner), *columns], dim=1)
    # one row before those of each process marks where they begin, and says how many samples it has: a role may be
    # empty on one process, and numbers must be the same in every role
    head = rows.new_zeros((1, rows.shape[1]))
    head[0, 0], head[0, 1] = 1, batch.size
    every = gather(torch.cat([head, rows]))
    begins = every[:, 0] == 1
    samples = every[:, 1].where(begins, torch.zeros_like(every[:, 1])).max()
    first = (begins.cumsum(0) - 1) * samples
    table = every[:, 1:].clone()
    table[:, 0] += first
    return Members.of_table(table[~begins], gather(views.box) if places else None)
