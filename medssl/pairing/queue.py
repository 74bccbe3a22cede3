"""A queue of earlier vectors with their ids, first in, first out: the negatives of MoCo (arXiv 1911.05722).

The queue stands in the state of a run and is the same on every process: what is put in has been gathered before, ids
and vectors alike. Rows count from the first one that was put in: the random vectors with which others start a queue
are never contrasted with. A queue that is larger than the data set holds vectors of a row's own scan and patient; the
ids tell, and ``same_sample(rows, queue.members())`` leaves them out.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from medssl.encoders.settings import one_of, positive
from medssl.errors import UsageError
from medssl.objectives.cosine import unit
from medssl.pairing.members import Members
from medssl.views.view import IDS

Precision = Literal["float32", "float16", "bfloat16"]


class Queue(nn.Module):
    """The last ``size`` vectors, each of length one, detached, with the ids of their views.

    In a step, ``hold`` what the loss saw as keys; in ``after_step``, ``push`` it. So a step never meets its own keys,
    a step that is left out leaves no keys either, and nothing changes under a pending backward.

    Args:
        size: rows K.
        width: length of the vectors.
        precision: how rows are kept; half precision takes half the memory and rounds cosines by some 1e-3.

    Raises:
        RecipeError: a setting is out of range.

    Example:
        >>> queue = Queue(3, 2)
        >>> queue.enqueue(torch.tensor([[3.0, 4.0]]), Members(torch.tensor([0]), torch.tensor([7])))
        >>> queue.rows().shape, queue.members().patient.tolist()
        (torch.Size([1, 2]), [7])
    """

    kept: Tensor
    table: Tensor
    place: Tensor

    def __init__(self, size: int, width: int, precision: Precision = "float32") -> None:
        super().__init__()
        positive("size", size)
        positive("width", width)
        one_of("precision", precision, ("float32", "float16", "bfloat16"))
        self.size = size
        self.register_buffer("kept", torch.zeros(size, width, dtype=getattr(torch, precision)))
        self.register_buffer("table", torch.full((size, 1 + len(IDS)), -1, dtype=torch.int64))
        # where the next row goes, and how many rows count
        self.register_buffer("place", torch.zeros(2, dtype=torch.int64))
        self._place: tuple[int, int] | None = None
        self._held: tuple[Tensor, Members] | None = None

    def __len__(self) -> int:
        """How many rows count."""
        return self._where()[1]

    @property
    def full(self) -> bool:
        """Whether every row counts: transforms that take the hardest rows wait for it."""
        return len(self) == self.size

    def rows(self) -> Tensor:
        """The rows that count ``(len, width)``, in the precision in which they are kept; not to be written to."""
        return self.kept[: len(self)]

    def members(self) -> Members:
        """Their members; ``sample`` is -1, since rows belong to other steps."""
        return Members.of_table(self.table[: len(self)])

    def recent(self, count: int) -> Tensor:
        """The last ``count`` rows, or all there are, newest first."""
        pointer, valid = self._where()
        back = torch.arange(1, min(count, valid) + 1, device=self.kept.device)
        return self.kept[(pointer - back) % self.size]

    @torch.no_grad()
    def enqueue(self, vectors: Tensor, members: Members) -> None:
        """Put rows in place of the oldest ones; of more rows than the queue has, the last ones stay.

        Args:
            vectors: ``(n, width)`` of all processes, in rank order.
            members: of the vectors, as ``members_of`` gathers them.

        Raises:
            UsageError: counts or lengths differ.
        """
        if vectors.shape != (len(members), self.kept.shape[1]):
            raise UsageError(
                f"expected {len(members)} vectors of length {self.kept.shape[1]}, got {tuple(vectors.shape)}",
                code="batch",
                hint="vectors and members are both gathered over all processes before they are put into a queue",
            )
        pointer, valid = self._where()
        skipped = max(0, len(members) - self.size)
        fresh = len(members) - skipped
        at = (torch.arange(fresh, device=self.kept.device) + pointer + skipped) % self.size
        self.kept[at] = unit(vectors.detach()[skipped:]).to(self.kept.dtype)
        ids = members.table()[skipped:]
        # samples are numbered anew each step: of a kept row nothing can be told by the number
        ids[:, 0] = -1
        self.table[at] = ids
        self._place = ((pointer + len(members)) % self.size, min(self.size, valid + len(members)))
        self.place.copy_(torch.tensor(self._place))

    def hold(self, vectors: Tensor, members: Members) -> None:
        """Note this step's keys; the last ones that were noted are pushed."""
        self._held = (vectors.detach(), members)

    def push(self) -> None:
        """Put the noted keys in; without any nothing happens."""
        if self._held is not None:
            self.enqueue(*self._held)
        self._held = None

    def _where(self) -> tuple[int, int]:
        # the buffer is looked at once after a load, and not at every step, since that would wait for the device
        if self._place is None:
            pointer, valid = self.place.tolist()
            self._place = (pointer, valid)
        return self._place

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._place = self._held = None
        super()._load_from_state_dict(*args, **kwargs)
