"""SynCo: its identities through the method, the six kinds, and when they are made."""

import pytest
import torch

from medssl.errors import RecipeError
from medssl.methods import METHODS
from medssl.methods.contract import alone
from medssl.methods.contrastive.synco import Synthesis
from medssl.pairing.chance import common_generator
from medssl.pairing.hard_mixing import hardest
from medssl.pairing.synco import Counts, Steps, synthetic_negatives
from medssl.recipe import From, choose
from tests.methods.contrastive.pairs import batch_of
from tests.methods.contrastive.queues import compared, info_nce, made, seeded, unit, vectors

METHOD = From(METHODS, "medssl.methods.contract:Method", injected=("encoder",))
QUERY, KEY, ROWS, PATIENTS = vectors(2), vectors(2, seed=1), vectors(6, seed=2), range(21, 27)


def one_kind(place, **settings):
    counts = tuple(int(n == place) for n in range(6))
    synthesis = Synthesis(hardest=1, counts=counts, wait=0.0, **settings)
    return made("synco", ROWS, PATIENTS, synthesis=synthesis)


def made_up_score(method):
    """What the loss of one query says of the one made-up negative's similarity."""
    loss, logs = compared(method, batch_of([5]), QUERY[:1], KEY[:1], generator=seeded())
    negative = torch.cat([ROWS @ QUERY[0], logs["similarity_made_up"].reshape(1)])
    assert float(loss) == pytest.approx(info_nce((QUERY * KEY).sum(1)[:1], [negative], 0.2), rel=1e-5)
    return float(logs["similarity_made_up"])


def nearest():
    return float((ROWS @ QUERY[0]).max()), ROWS[int((ROWS @ QUERY[0]).argmax())]


def share_of(counts):
    among = hardest(QUERY[:1], ROWS, torch.ones(1, 6), 1)
    chance = common_generator(seeded(), alone, QUERY)
    return float(synthetic_negatives(QUERY[:1], ROWS, among, chance, Counts(*counts), Steps()).share[0, 0])


def test_an_extrapolated_negative_is_as_similar_as_the_paper_says():
    b, (s, _) = share_of((0, 1, 0, 0, 0, 0)), nearest()
    assert 1 <= b < 1.5
    wanted = ((1 - b) + b * s) / ((1 - b) ** 2 + b**2 + 2 * b * (1 - b) * s) ** 0.5
    assert made_up_score(one_kind(1)) == pytest.approx(wanted, rel=1e-4)


def test_an_interpolated_negative_is_as_similar_as_the_paper_says():
    b, (s, _) = share_of((1, 0, 0, 0, 0, 0)), nearest()
    wanted = (b + (1 - b) * s) / (b**2 + (1 - b) ** 2 + 2 * b * (1 - b) * s) ** 0.5
    assert made_up_score(one_kind(0)) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("place", [4, 5])
def test_steps_along_the_gradient_and_along_its_signs(place):
    _, n = nearest()
    direction = QUERY[0] if place == 4 else QUERY[0].sign()
    assert made_up_score(one_kind(place)) == pytest.approx(float(unit(n + 0.01 * direction) @ QUERY[0]), rel=1e-4)


def test_of_one_hardest_row_alone_nothing_is_mixed_two_by_two():
    found, logs = compared(one_kind(2), batch_of([5]), QUERY[:1], KEY[:1], generator=seeded())
    plain, _ = compared(made("moco-v2", ROWS, PATIENTS), batch_of([5]), QUERY[:1], KEY[:1])
    torch.testing.assert_close(found, plain)
    assert float(logs["similarity_made_up"]) == 0


def test_all_kinds_together_equal_a_loop():
    counts, reach = (2, 3, 2, 1, 1, 2), (0.4, 1.3, 0.05, 0.02, 0.03)
    synthesis = Synthesis(hardest=3, counts=counts, reach=reach, wait=0.0)
    method = made("synco", ROWS, PATIENTS, synthesis=synthesis)
    among = hardest(QUERY, ROWS, torch.ones(2, 6), 3)
    chance = common_generator(seeded(), alone, QUERY)
    found = synthetic_negatives(QUERY, ROWS, among, chance, Counts(*counts), Steps(*reach))
    assert found.vectors.shape == (2, 11, 16)
    negative = [torch.cat([ROWS @ q, h @ q]) for q, h in zip(QUERY, found.vectors, strict=True)]
    loss, _ = compared(method, batch_of([5, 6]), QUERY, KEY, generator=seeded())
    assert float(loss) == pytest.approx(info_nce((QUERY * KEY).sum(1), negative, 0.2), rel=1e-5)


def test_nothing_is_made_up_in_the_first_share_of_the_run():
    method = made("synco", ROWS, PATIENTS, synthesis=Synthesis(hardest=3, wait=0.5))
    plain = made("moco-v2", ROWS, PATIENTS)
    wanted = compared(plain, batch_of([5, 6]), QUERY, KEY)[0]
    assert torch.equal(compared(method, batch_of([5, 6]), QUERY, KEY, step=4)[0], wanted)
    assert compared(method, batch_of([5, 6]), QUERY, KEY, step=5)[0] > wanted


def test_no_made_up_negative_comes_of_a_row_of_the_querys_own_patient():
    patients = [5, 5, *range(23, 27)]
    synthesis = Synthesis(hardest=4, counts=(2, 2, 2, 2, 2, 2), wait=0.0)
    near = torch.cat([QUERY[:1], QUERY[:1], ROWS[2:]])
    losses = [
        compared(
            made("synco", rows, patients, synthesis=synthesis), batch_of([5]), QUERY[:1], KEY[:1], generator=seeded()
        )[0]
        for rows in (ROWS, near)
    ]
    assert torch.equal(*losses)


@pytest.mark.parametrize(
    ("synthesis", "reason"),
    [
        ({"counts": [1, 2, 3]}, "part.synthesis.counts"),
        ({"counts": [1, 2, 3, 4, 5, -6]}, r"part.synthesis.counts.5: expected at least 0, got -6"),
        ({"reach": [0.5, 0.9, 0.01, 0.01, 0.01]}, r"part.synthesis.reach.1: expected at least 1"),
        ({"hardest": 0}, "part.synthesis.hardest: expected at least 2"),
    ],
)
def test_settings_out_of_range_are_refused(synthesis, reason):
    with pytest.raises(RecipeError, match=reason):
        choose(METHOD, {"name": "synco", "synthesis": synthesis})
