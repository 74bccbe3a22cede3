"""How much of a module weights cover."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medssl.errors import WeightsError
from medssl.weights.coverage import load_into


def _module() -> nn.Module:
    return nn.Sequential(nn.Linear(10, 9), nn.Linear(9, 1))


def test_all_of_it() -> None:
    source, target = _module(), _module()
    report = load_into(target, source.state_dict())
    assert (report.loaded, report.total, report.share) == (4, 4, 1.0)
    assert report.text == "loaded 4 of 4 tensors, 100.0 % of the parameters"
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))


def test_the_share_counts_numbers_not_tensors() -> None:
    source, target = _module(), _module()
    state = {name: value for name, value in source.state_dict().items() if name.startswith("0")}
    report = load_into(target, {**state, "x": torch.zeros(1)})
    assert report.share == pytest.approx(99 / 109)
    assert report.missing == ("1.weight", "1.bias")
    assert report.unexpected == ("x",)


def test_too_little_is_refused_and_changes_nothing() -> None:
    target = _module()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    weights = {"0.weight": torch.zeros(9, 10), "1.weight": torch.zeros(2, 9)}
    with pytest.raises(WeightsError, match=r"82\.6 %.*missing 2 \(0\.bias.*another shape 1 \(1\.weight \(2, 9\)"):
        load_into(target, weights)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_less_can_be_asked_for() -> None:
    target = _module()
    load_into(target, {"0.weight": torch.ones(9, 10)}, minimum=0.5)
    assert torch.equal(target.state_dict()["0.weight"], torch.ones(9, 10))
