"""Sequences of a study: which is closest, who is a positive and how much a negative weighs."""

import math

import pytest
import torch

from medssl.pairing.sequences import LEAST, WIDTHS, collaborative, discrepancies, discrepancy
from tests.pairing.vectors import members, units


def test_discrepancy_is_the_loop():
    one, other = units(4, 3), units(5, 3, seed=1)

    def kernel(x, y):
        return sum(math.exp(-float((x - y).square().sum()) / (2 * width)) for width in WIDTHS)

    def mean(a, b):
        return sum(kernel(x, y) for x in a for y in b) / (len(a) * len(b))

    expected = mean(one, one) + mean(other, other) - 2 * mean(one, other)
    assert float(discrepancy(one, other)) == pytest.approx(expected, rel=1e-6)
    assert float(discrepancy(one, one)) == LEAST
    assert len(WIDTHS) == 12
    assert (WIDTHS[0], WIDTHS[-1]) == pytest.approx((1e-4, 100))


def test_the_nearer_a_sequence_the_smaller():
    base = units(40, 4)
    vectors = torch.cat([base, base + 0.1, base + 2.0])
    found = discrepancies(vectors, torch.arange(3).repeat_interleave(40), 4)
    assert found[0, 1] < found[0, 2]
    assert torch.equal(found, found.T)
    assert torch.isinf(found.diagonal()).all()
    assert torch.isinf(found[3]).all()


DISTANCE = torch.tensor([[math.inf, 0.5, 2.0], [0.5, math.inf, 1.0], [2.0, 1.0, math.inf]])


def test_closest_positive_all_negative():
    # three sequences of patient 0, two of patient 1 (the last is missing)
    who, kind = members([0, 0, 0, 1, 1], sample=[0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 0, 1])
    found = collaborative(who, kind, DISTANCE)
    largest = 2.0  # 1 / 0.5
    expected = torch.zeros(5, 5)
    for row, column in ((0, 1), (1, 0), (2, 1), (3, 4), (4, 3)):
        expected[row, column] = 1 / largest
    torch.testing.assert_close(found.positive, expected)
    for i in range(5):
        for j in range(5):
            a, b = int(kind[i]), int(kind[j])
            other = who.patient[i] != who.patient[j] and a != b
            assert float(found.negative[i, j]) == pytest.approx(1 / float(DISTANCE[a, b]) / largest if other else 0.0)


def test_weights_are_free_of_scale_where_negatives_lead():
    who, kind = members([0, 0, 1, 1], sample=[0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    equal = torch.tensor([[math.inf, 0.3], [0.3, math.inf]])
    found = collaborative(who, kind, equal)
    assert set(found.negative.unique().tolist()) == {0.0, 1.0}
    assert float(found.positive.max()) == pytest.approx(0.3)


def test_a_sample_of_one_sequence_has_no_positive():
    found = collaborative(members([0, 1, 1], sample=[0, 1, 1]), torch.tensor([0, 1, 0]), DISTANCE)
    assert not found.positive[0].any()
    assert found.positive[1, 2] > 0
