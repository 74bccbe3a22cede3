"""VICReg: its constants, and its three terms as loops."""

import math

import pytest
import torch

from medssl.errors import RecipeError, UsageError
from medssl.methods import METHODS
from medssl.recipe import From, choose
from tests.methods.contrastive.pairs import batch_of, draw, loss_of
from tests.methods.tiny import build

METHOD = From(METHODS, "medssl.methods.contract:Method", injected=("encoder",))


def terms(one, two):
    """Invariance, variance and covariance of equations 1 to 5, entry by entry."""
    n, d = one.shape
    s = sum(float(((one[i] - two[i]) ** 2).sum()) for i in range(n)) / (n * d)
    v = c = 0.0
    for view in (one, two):
        mean = view.mean(0)
        for a in range(d):
            deviation = sum(float(view[i, a] - mean[a]) ** 2 for i in range(n)) / (n - 1)
            v += max(0.0, 1 - math.sqrt(deviation + 1e-4)) / d / 2
            for b in range(d):
                if a != b:
                    entry = sum(float((view[i, a] - mean[a]) * (view[i, b] - mean[b])) for i in range(n)) / (n - 1)
                    c += entry**2 / d
    return s, v, c


def test_a_collapsed_batch_costs_25_times_0_99():
    loss, logs = loss_of(build("vicreg", "resnet"), batch_of([5, 6, 7]), torch.ones(3, 16), torch.ones(3, 16))
    assert float(loss) == pytest.approx(25 * 0.99, rel=1e-5)
    assert (float(logs["loss_invariance"]), float(logs["loss_covariance"])) == (0, 0)


def test_even_and_independent_features_cost_nothing():
    rows = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert float(loss_of(build("vicreg", "resnet"), batch_of([5, 6, 7, 8]), rows, rows)[0]) == 0


def test_equals_the_paper_as_a_loop():
    method = build("vicreg", "resnet", invariance=3.0, variance=5.0, covariance=7.0)
    one, two = draw(4, 5) / 2, draw(4, 5, seed=1) / 2
    s, v, c = terms(one, two)
    loss, _ = loss_of(method, batch_of([5, 6, 7, 8]), one, two)
    assert float(loss) == pytest.approx(3 * s + 5 * v + 7 * c, rel=1e-5)
    paper = build("vicreg", "resnet", invariance=3.0, variance=5.0, covariance=7.0, form="paper")
    found, _ = loss_of(paper, batch_of([5, 6, 7, 8]), one, two)
    assert float(found) == pytest.approx(3 * s + 10 * v + 7 * c, rel=1e-5)


def test_views_find_their_partner_whatever_the_order():
    method = build("vicreg", "resnet")
    one, two = draw(4, 16), draw(4, 16, seed=1)
    shuffled = [3, 1, 0, 2]
    loss, _ = loss_of(method, batch_of([5, 6, 7, 8]), one, two)
    moved, _ = loss_of(method, batch_of([5, 6, 7, 8], partner=shuffled), one, two[shuffled])
    torch.testing.assert_close(moved, loss)


def test_the_gradient_reaches_both_views():
    one, two = draw(4, 16).requires_grad_(), draw(4, 16, seed=1).requires_grad_()
    loss_of(build("vicreg", "resnet"), batch_of([5, 6, 7, 8]), one, two)[0].backward()
    assert float(one.grad.abs().min()) > 0
    assert float(two.grad.abs().min()) > 0


def test_one_scan_says_nothing():
    with pytest.raises(UsageError, match=r"2 or more scans, got 1 \[batch\]"):
        loss_of(build("vicreg", "resnet"), batch_of([5]), draw(1, 16), draw(1, 16))


def test_settings_out_of_range_are_refused():
    for settings, reason in (({"variance": -1}, "variance: expected at least 0"), ({"form": "v2"}, "form: expected")):
        with pytest.raises(RecipeError, match=reason):
            choose(METHOD, {"name": "vicreg", **settings})
