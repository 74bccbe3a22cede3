"""What makes a run refuse to go on."""

from __future__ import annotations

from medssl.training.state import differences


def test_differences_are_named_by_key() -> None:
    before = {"recipe": {"optim": {"lr": 0.1, "steps": 5}, "seed": 0, "out": "a"}, "processes": 1}
    now = {"recipe": {"optim": {"lr": 0.2, "steps": 5}, "seed": 0, "out": "b", "init": None}, "processes": 2}
    assert differences(before, now) == ["optim.lr was 0.1, is 0.2", "processes was 1, is 2"]


def test_workers_and_saving_may_change() -> None:
    before = {"recipe": {"data": {"workers": 0, "split": "train"}, "keep": {"checkpoint_every": 5}}}
    now = {"recipe": {"data": {"workers": 4, "split": "train"}, "keep": {"checkpoint_every": 9}}}
    assert differences(before, now) == []
