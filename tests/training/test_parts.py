"""Batches in parts: every field of every view, whatever the counts."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from medssl.training.parts import in_order, parts, rows
from medssl.views.view import Batch, Views

COUNTS = (2, 1, 3, 1, 1)


def ragged(counts: tuple[int, ...] = COUNTS) -> Views:
    """Views numbered from 0, so many of each sample; the number stands in every field."""
    owner = torch.tensor([sample for sample, count in enumerate(counts) for _ in range(count)])
    number = torch.arange(len(owner))
    tall = number.reshape(-1, 1, 1, 1, 1)
    return Views(
        image=tall.float(),
        valid=tall >= 0,
        affine=number.double().reshape(-1, 1, 1).expand(-1, 4, 4),
        box=number.double().reshape(-1, 1).expand(-1, 15),
        owner=owner,
        ids={"patient": number + 100, "record": number},
        label=tall,
        targets={"age": number.float()},
        hidden=number.reshape(1, -1, 1, 1, 1).expand(2, -1, 1, 1, 1) % 2 == 0,
        params=[{"number": int(n)} for n in number],
        warps=[None] * len(number),
    )


def numbers(views: Views) -> list[int]:
    """Which views these are, by every field alike."""
    found = views.image.flatten().int().tolist()
    assert views.affine[:, 0, 0].tolist() == views.box[:, 0].tolist() == found
    assert views.ids["record"].tolist() == views.targets["age"].tolist() == found
    assert views.ids["patient"].tolist() == [number + 100 for number in found]
    assert views.label is not None
    assert views.hidden is not None
    assert views.label.flatten().tolist() == found
    assert views.hidden[1].flatten().tolist() == [number % 2 == 0 for number in found]
    assert [param["number"] for param in views.params] == found
    assert len(views.valid) == len(views.warps) == len(found)
    return found


def test_every_field_of_views_is_known_here() -> None:
    named = {"image", "valid", "affine", "box", "owner", "ids", "label", "targets", "hidden", "params", "warps"}
    assert {field.name for field in fields(Views)} == named, "a new field: see that parts() cuts it and add it above"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (2, [([0, 1, 2], [0, 0, 1]), ([3, 4, 5, 6], [0, 0, 0, 1]), ([7], [0])]),
        (4, [([0, 1, 2, 3, 4, 5, 6], [0, 0, 1, 2, 2, 2, 3]), ([7], [0])]),
        (9, [([0, 1, 2, 3, 4, 5, 6, 7], [0, 0, 1, 2, 2, 2, 3, 4])]),
    ],
)
def test_parts_hold_whole_samples(size: int, expected: list[Any]) -> None:
    found = parts(Batch({"view": ragged()}, 5, step=7), size)
    assert [(numbers(part["view"]), part["view"].owner.tolist()) for part in found] == expected
    assert [part.size for part in found] == [min(size, 5 - first) for first in range(0, 5, size)]
    assert {part.step for part in found} == {7}


def test_a_role_without_views_in_a_part_is_empty_there() -> None:
    found = parts(Batch({"view": ragged(), "query": ragged((1, 0, 0, 2))}, 5), 2)
    assert [numbers(part["query"]) for part in found] == [[0], [1, 2], []]
    assert found[1]["query"].owner.tolist() == [1, 1]
    assert found[2]["query"].image.shape == (0, 1, 1, 1, 1)


def test_unordered_views_are_put_in_order() -> None:
    views = rows(ragged(), [7, 2, 0, 4, 1, 3, 6, 5])
    ordered = in_order(Batch({"view": views}, 5))["view"]
    assert ordered.owner.tolist() == [0, 0, 1, 2, 2, 2, 3, 4]
    assert numbers(ordered) == [0, 1, 2, 4, 3, 5, 6, 7]
    batch = Batch({"view": replace(views, owner=torch.arange(8))}, 8)
    assert in_order(batch)["view"] is batch["view"]
