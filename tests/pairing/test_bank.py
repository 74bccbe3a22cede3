"""MoCo, MoCHi and FT with a queue, as plain loops over what a row may meet."""

import math

import pytest
import torch

from medssl.objectives.contrast_bank import Own, contrast_bank
from medssl.objectives.cosine import unit
from medssl.pairing.bank import bank_pairs, own_columns
from medssl.pairing.extrapolation import extrapolated_positives, interpolated_negatives
from medssl.pairing.hard_mixing import hardest, mixed_negatives, mixed_with_query
from medssl.pairing.queue import Queue
from tests.pairing.vectors import chance, members, units

TAU = 0.2
QUERY, KEY = units(4, 8) * 3, units(4, 8, seed=1) * 2
WHO = members([0, 0, 1, 2], record=[0, 1, 2, 3])


def queue():
    made = Queue(30, 8)
    made.enqueue(units(30, 8, seed=2), members([n % 4 for n in range(30)], record=[n % 8 for n in range(30)]))
    return made


def loop(query, positive, negatives):
    """The mean of −log softmax over a positive and each row's own list of negatives."""
    rows = []
    for q, p, vectors in zip(query, positive, negatives, strict=True):
        scores = [math.exp(float(q @ v) / TAU) for v in vectors]
        top = math.exp(float(q @ p) / TAU)
        rows.append(-math.log(top / (top + sum(scores))))
    return sum(rows) / len(rows)


@pytest.mark.parametrize("asked", [False, True])
def test_moco_with_patients_is_the_loop(asked):
    kept = queue()
    rows, who = kept.rows(), kept.members()
    pairs = bank_pairs(WHO, who, same_patient_negatives=asked)
    loss, _ = contrast_bank(unit(QUERY), rows, temperature=TAU, pairs=pairs, own=own_columns(QUERY, KEY), entries=40)
    name = "record" if asked else "patient"
    negatives = [rows[who.ids(name) != one] for one in WHO.ids(name)]
    assert float(loss) == pytest.approx(loop(unit(QUERY), unit(KEY), negatives), rel=1e-5)


def test_mochi_is_the_loop_and_its_gradient_the_querys():
    kept, query = queue(), QUERY.clone().requires_grad_()
    rows, pairs = kept.rows(), bank_pairs(WHO, kept.members())
    among = hardest(query, rows, pairs(slice(0, 4))[1], 8)
    made = mixed_negatives(rows, among, 5, chance()).beside(mixed_with_query(query, rows, among, 3, chance(1)))
    own = own_columns(query, KEY, made)
    loss, _ = contrast_bank(unit(query), rows, temperature=TAU, pairs=pairs, own=own)
    who = kept.members().patient
    negatives = [torch.cat([rows[who != p], v]) for p, v in zip(WHO.patient, made.vectors, strict=True)]
    assert float(loss.detach()) == pytest.approx(loop(unit(QUERY), unit(KEY), negatives), rel=1e-5)
    loss.backward()
    assert torch.isfinite(query.grad).all()
    assert not rows.requires_grad


def test_feature_transformation_is_the_loop():
    kept = queue()
    one, two = extrapolated_positives(QUERY, KEY, chance())
    mixed = interpolated_negatives(kept.rows(), chance(1))
    plain = bank_pairs(WHO, kept.members())
    columns = torch.ones(4, 1, dtype=torch.bool)
    loss, _ = contrast_bank(
        one,
        mixed.vectors,
        temperature=TAU,
        pairs=lambda part: (None, mixed.negative(plain(part)[1])),
        own=Own((one * two).sum(1, keepdim=True), columns, ~columns),
    )
    who = kept.members().patient
    allowed = [(who != p) & (who[mixed.partner] != p) for p in WHO.patient]
    assert float(loss) == pytest.approx(loop(one, two, [mixed.vectors[a] for a in allowed]), rel=1e-5)


def test_keys_have_no_gradient():
    key = KEY.clone().requires_grad_()
    assert not own_columns(QUERY, key).similarity.requires_grad
