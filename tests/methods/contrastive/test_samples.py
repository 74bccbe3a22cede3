"""Rows of a sample side by side, and the pairs of all processes."""

import pytest
import torch

from medssl.errors import UsageError
from medssl.methods.contrastive.samples import by_sample, owners, pairs_of_all
from tests.methods.contrastive.pairs import batch_of, draw
from tests.methods.tiny import context


def test_samples_that_lack_a_view_are_left_out():
    assert by_sample(torch.tensor([2, 0, 1, 2, 1]), 2).tolist() == [[2, 4], [0, 3]]
    assert by_sample(torch.tensor([2, 0, 1]), 2).shape == (0, 2)


def test_three_views_keep_the_order_in_which_roles_came():
    rows = torch.tensor([0, 1, 1, 0, 1, 0])
    assert by_sample(rows, 3).tolist() == [[0, 3, 5], [1, 2, 4]]


def test_owners_run_role_by_role():
    batch = batch_of([7, 8, 9], partner=[2, 0, 1])
    assert owners(batch, ("view", "partner")).tolist() == [0, 1, 2, 2, 0, 1]


def test_views_meet_their_partner_in_any_order():
    view, partner = draw(3, 4), draw(3, 4, seed=1)
    shuffled = [2, 0, 1]
    vectors = {"view": view, "partner": partner[shuffled]}
    one, two = pairs_of_all(vectors, batch_of([7, 8, 9], partner=shuffled), context())
    assert torch.equal(one, view)
    assert torch.equal(two, partner)


def test_one_scan_has_no_variance():
    with pytest.raises(UsageError, match=r"two views each of 2 or more scans, got 1 \[batch\]"):
        pairs_of_all({"view": draw(1, 4), "partner": draw(1, 4)}, batch_of([7]), context())
