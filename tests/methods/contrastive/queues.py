"""Hand-made queues, and a step of a method that has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from medssl.methods.contract import Method
from medssl.pairing.members import Members
from medssl.views.view import Batch
from tests.methods.contrastive.pairs import draw
from tests.methods.tiny import build, context

QUEUED = ("moco-v2", "mochi", "synco", "ft", "halp")


def unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)


def made(name: str, rows: Tensor | None, patients: Sequence[int] = (), **settings: Any) -> Any:
    """A method whose queue holds ``rows`` of ``patients``, and is full unless ``queue`` says otherwise."""
    size = len(rows) if rows is not None else 4
    method = build(name, "resnet", **{"queue": size, "temperature": 0.2, **settings})
    if rows is not None:
        fill(method, rows, patients)
    return method


def fill(method: Any, rows: Tensor, patients: Sequence[int]) -> None:
    number = torch.tensor(list(patients))
    method.keys.queue.enqueue(rows, Members(torch.full_like(number, -1), number, {"record": number + 1000}))


def compared(method: Method, batch: Batch, query: Tensor, key: Tensor, **values: Any) -> Any:
    """Loss and logs of some queries and their keys."""
    return method.loss({"view": query, "partner_teacher": key}, batch, context(**values))


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vectors(n: int, seed: int = 0) -> Tensor:
    """Unit vectors ``(n, 16)``."""
    return unit(draw(n, 16, seed=seed))


def info_nce(positive: Tensor, negative: Sequence[Tensor], temperature: float) -> float:
    """The paper's loss as a loop over queries: a positive score each, and the scores of each one's negatives."""
    total = 0.0
    for own, others in zip(positive, negative, strict=True):
        terms = torch.cat([own.reshape(1), others]).double() / temperature
        total -= float(terms[0] - terms.exp().sum().log()) / len(positive)
    return total
