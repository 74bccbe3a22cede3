"""Barlow Twins: its constants, the correlation as a loop, and λ for any width."""

import math
from dataclasses import replace

import pytest
import torch

from medssl.errors import RecipeError, UsageError
from medssl.methods import METHODS
from medssl.methods.contract import Facts
from medssl.recipe import From, choose
from tests.methods.contrastive.pairs import batch_of, draw, loss_of
from tests.methods.tiny import build

METHOD = From(METHODS, "medssl.methods.contract:Method", injected=("encoder",))
EVEN = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
FACTS = Facts(scans=9, patients=9, batch=4, steps=100)


def correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum()) / math.sqrt(float(a.square().sum() * b.square().sum()))


def test_uncorrelated_features_that_agree_cost_nothing():
    loss, logs = loss_of(build("barlow-twins", "resnet"), batch_of([5, 6, 7, 8]), EVEN, 3 * EVEN + 1)
    assert float(loss) == pytest.approx(0, abs=1e-10)
    assert float(logs["embedding_std"]) > 0.9


def test_features_that_are_all_the_same_cost_lambda_d_times_d_minus_1():
    z = draw(4, 1).repeat(1, 6)
    loss, _ = loss_of(build("barlow-twins", "resnet", redundancy=0.01), batch_of([5, 6, 7, 8]), z, z)
    assert float(loss) == pytest.approx(0.01 * 6 * 5, rel=1e-4)


def test_equals_the_paper_as_a_loop():
    one, two = draw(5, 4), draw(5, 4, seed=1)
    total = 0.0
    for a in range(4):
        for b in range(4):
            c = correlation(one[:, a], two[:, b])
            total += (1 - c) ** 2 if a == b else 0.3 * c**2
    loss, _ = loss_of(build("barlow-twins", "resnet", redundancy=0.3), batch_of([5, 6, 7, 8, 9]), one, two)
    assert float(loss) == pytest.approx(total, rel=1e-5)


def test_a_collapsed_batch_has_no_correlation():
    loss, _ = loss_of(build("barlow-twins", "resnet"), batch_of([5, 6, 7]), torch.ones(3, 8), torch.ones(3, 8))
    assert float(loss) == pytest.approx(8, rel=1e-6)


def test_views_find_their_partner_whatever_the_order():
    method = build("barlow-twins", "resnet")
    one, two = draw(4, 16), draw(4, 16, seed=1)
    shuffled = [3, 1, 0, 2]
    loss, _ = loss_of(method, batch_of([5, 6, 7, 8]), one, two)
    moved, _ = loss_of(method, batch_of([5, 6, 7, 8], partner=shuffled), one, two[shuffled])
    torch.testing.assert_close(moved, loss)


def test_lambda_goes_with_the_width():
    assert build("barlow-twins", "resnet", width=800).redundancy == pytest.approx(0.05)
    assert build("barlow-twins", "resnet", redundancy=0.0).redundancy == 0


def test_a_lambda_that_few_scans_outweigh_is_told():
    method = build("barlow-twins", "resnet", width=64)
    assert method.check(replace(FACTS, batch=64)) == []
    (note,) = method.check(replace(FACTS, batch=16))
    assert "16 scans a batch chance alone makes the redundancy 2.5 times as heavy" in note
    assert "lower method.redundancy, 0.05 or less" in note
    assert build("barlow-twins", "resnet", width=64, redundancy=0.05).check(replace(FACTS, batch=16)) == []


def test_what_chance_makes_of_independent_features():
    # N independent scans: the mean of a squared correlation is 1 / (N − 1)
    one, two = draw(16, 400), draw(16, 400, seed=1)
    _, logs = loss_of(build("barlow-twins", "resnet"), batch_of(range(16)), one, two)
    assert float(logs["loss_redundancy"]) == pytest.approx(400 * 399 / 15, rel=0.05)


def test_one_scan_says_nothing():
    with pytest.raises(UsageError, match=r"2 or more scans, got 1 \[batch\]"):
        loss_of(build("barlow-twins", "resnet"), batch_of([5]), draw(1, 16), draw(1, 16))


def test_settings_out_of_range_are_refused():
    for settings, reason in (({"redundancy": -1}, "redundancy: expected at least 0"), ({"lambda": 1}, "unknown key")):
        with pytest.raises(RecipeError, match=reason):
            choose(METHOD, {"name": "barlow-twins", **settings})
