"""MoCHi: its identities through the method, the paper as a loop, when and of what it mixes."""

import pytest
import torch

from medssl.errors import RecipeError
from medssl.methods import METHODS
from medssl.methods.contract import Facts, alone
from medssl.methods.contrastive.mochi import Mixing
from medssl.pairing.chance import common_generator
from medssl.pairing.hard_mixing import hardest, mixed_negatives, mixed_with_query
from medssl.recipe import From, choose
from tests.methods.contrastive.pairs import batch_of
from tests.methods.contrastive.queues import compared, info_nce, made, seeded, unit, vectors

METHOD = From(METHODS, "medssl.methods.contract:Method", injected=("encoder",))
QUERY, KEY, ROWS, PATIENTS = vectors(3), vectors(3, seed=1), vectors(8, seed=2), [5, 22, 23, 24, 25, 26, 27, 28]


def with_mixing(rows=ROWS, patients=PATIENTS, **settings):
    return made("mochi", rows, patients, mixing=Mixing(**{"wait": 0.0, **settings}))


def test_a_mixture_with_the_query_is_as_similar_as_the_paper_says():
    method = with_mixing(hardest=1, of_two=0, with_query=1)
    among = hardest(QUERY, ROWS, torch.ones(3, 8) * torch.tensor([[0.0] + [1] * 7, [1] * 8, [1] * 8]), 1)
    chance = common_generator(seeded(), alone, QUERY)
    mixed_negatives(ROWS, among, 0, chance)
    share = mixed_with_query(QUERY, ROWS, among, 1, chance).share[:, 0]
    s = (QUERY * ROWS[among.index[:, 0]]).sum(1)
    found = (share + (1 - share) * s) / (share**2 + (1 - share) ** 2 + 2 * share * (1 - share) * s).sqrt()
    negative = [
        torch.cat([(ROWS[1:] if n == 0 else ROWS) @ q, h.reshape(1)])
        for n, (q, h) in enumerate(zip(QUERY, found, strict=True))
    ]
    loss, logs = compared(method, batch_of([5, 6, 7]), QUERY, KEY, generator=seeded())
    assert float(loss) == pytest.approx(info_nce((QUERY * KEY).sum(1), negative, 0.2), rel=1e-5)
    assert float(logs["similarity_made_up"]) == pytest.approx(float(found.mean()), rel=1e-5)
    assert (found >= s).all()


def test_equals_the_paper_as_a_loop():
    method = with_mixing(hardest=3, of_two=4, with_query=2)
    negatives = []
    allowed = torch.ones(3, 8, dtype=torch.bool)
    allowed[0, 0] = False
    among = hardest(QUERY, ROWS, allowed, 3)
    chance = common_generator(seeded(), alone, QUERY)
    two, one = mixed_negatives(ROWS, among, 4, chance), mixed_with_query(QUERY, ROWS, among, 2, chance)
    for n, q in enumerate(QUERY):
        top = sorted((int(j) for j in allowed[n].nonzero()), key=lambda j: -float(ROWS[j] @ q))[:3]
        scores = [float(ROWS[j] @ q) for j in range(8) if allowed[n, j]]
        for share, (i, j) in zip(two.share[n], two.sources[n].tolist(), strict=True):
            assert i in top
            assert j in top
            assert i != j
            scores.append(float(unit(share * ROWS[i] + (1 - share) * ROWS[j]) @ q))
        for share, (i, _) in zip(one.share[n], one.sources[n].tolist(), strict=True):
            assert i in top
            assert 0 <= share < 0.5
            scores.append(float(unit(share * q + (1 - share) * ROWS[i]) @ q))
        negatives.append(torch.tensor(scores))
    loss, _ = compared(method, batch_of([5, 6, 7]), 2 * QUERY, KEY, generator=seeded())
    assert float(loss) == pytest.approx(info_nce((QUERY * KEY).sum(1), negatives, 0.2), rel=1e-5)


def test_nothing_is_mixed_before_the_queue_is_full_nor_in_the_first_share_of_the_run():
    plain = made("moco-v2", ROWS, PATIENTS)
    batch = batch_of([5, 6, 7])
    wanted, _ = compared(plain, batch, QUERY, KEY)
    waiting = with_mixing(hardest=4, of_two=4, with_query=4, wait=0.5)
    early, logs = compared(waiting, batch, QUERY, KEY, step=4)
    assert torch.equal(early, wanted)
    assert float(logs["similarity_made_up"]) == 0
    assert compared(waiting, batch, QUERY, KEY, step=5)[0] > wanted
    short = {"rows": ROWS[:7], "patients": PATIENTS[:7]}
    method = made("mochi", None, queue=8, mixing=Mixing(hardest=4, wait=0.0))
    plain = made("moco-v2", None, queue=8)
    for one in (method, plain):
        one.keys.queue.enqueue(short["rows"], with_mixing(**short).keys.queue.members())
    assert torch.equal(compared(method, batch, QUERY, KEY)[0], compared(plain, batch, QUERY, KEY)[0])


def test_the_query_inside_a_mixture_has_no_gradient():
    # one negative alone, mixed with the query: d(q·h)/dq is h, not h and what h moves by
    method = with_mixing(rows=ROWS[1:2], patients=[22], hardest=1, of_two=0, with_query=1)
    query = QUERY[:1].clone().requires_grad_()
    compared(method, batch_of([6]), query, KEY[:1], generator=seeded())[0].backward()
    chance = common_generator(seeded(), alone, QUERY)
    among = hardest(QUERY[:1], ROWS[1:2], torch.ones(1, 1), 1)
    mixed_negatives(ROWS[1:2], among, 0, chance)
    h = mixed_with_query(QUERY[:1], ROWS[1:2], among, 1, chance).vectors[0]
    again = QUERY[:1].clone().requires_grad_()
    columns = torch.cat([KEY[:1], ROWS[1:2], h])
    torch.nn.functional.cross_entropy(unit(again) @ columns.T / 0.2, torch.tensor([0])).backward()
    torch.testing.assert_close(query.grad, again.grad)


def test_few_of_many_are_no_choice():
    facts = Facts(scans=10, patients=10, batch=4, steps=50)
    method = made("mochi", None, queue=8, momentum=0.9, mixing=Mixing(hardest=3))
    assert "more than a quarter" in method.check(facts)[0]
    assert made("mochi", None, queue=8, momentum=0.9, mixing=Mixing(hardest=2)).check(facts) == []


@pytest.mark.parametrize(
    ("mixing", "reason"),
    [
        ({"hardest": 1}, "part.mixing.hardest: expected at least 2, got 1"),
        ({"wait": 1.0}, "part.mixing.wait: expected a number below 1"),
        ({"hard": 8}, "unknown key part.mixing.hard"),
    ],
)
def test_settings_out_of_range_are_refused(mixing, reason):
    with pytest.raises(RecipeError, match=reason):
        choose(METHOD, {"name": "mochi", "mixing": mixing})
