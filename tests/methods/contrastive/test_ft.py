"""FT: its identities through the method, the paper as a loop, what enters the queue, and the diagnostic."""

import math

import pytest
import torch

from medssl.errors import RecipeError
from medssl.methods import METHODS
from medssl.methods.contract import Facts, alone
from medssl.methods.contrastive.ft import Transform
from medssl.pairing.chance import beta, common_generator, uniform
from medssl.recipe import From, choose
from tests.methods.contrastive.pairs import batch_of
from tests.methods.contrastive.queues import compared, info_nce, made, seeded, unit, vectors
from tests.methods.tiny import context

METHOD = From(METHODS, "medssl.methods.contract:Method", injected=("encoder",))
QUERY, KEY, ROWS, PATIENTS = vectors(3), vectors(3, seed=1), vectors(8, seed=2), [5, 22, 23, 24, 25, 26, 27, 28]
BATCH = batch_of([5, 6, 7])


def ft(**settings):
    return made("ft", ROWS, PATIENTS, transform=Transform(**settings))


def chance():
    return common_generator(seeded(), alone, QUERY)


def test_one_share_for_all_makes_a_positive_as_hard_as_the_paper_says():
    _, logs = compared(ft(negative=None), BATCH, QUERY, KEY, generator=seeded())
    share = 1 + beta((1, 1), 2.0, chance(), QUERY)[0, 0]
    s = (QUERY * KEY).sum(1)
    wanted = s + 2 * share * (1 - share) * (1 - s)
    assert 1 < share < 2
    torch.testing.assert_close(logs["score_positive_mean"], wanted.mean())
    torch.testing.assert_close(logs["score_positive_variance"], wanted.var(correction=0))
    torch.testing.assert_close(logs["similarity_untransformed"], s.mean())
    torch.testing.assert_close(logs["similarity_positive"], wanted.mean())


def test_a_share_for_each_dimension_makes_a_positive_as_hard_as_the_paper_says():
    _, logs = compared(ft(negative=None, grain="dimension"), BATCH, QUERY, KEY, generator=seeded())
    share = 1 + beta((3, 16), 2.0, chance(), QUERY)
    wanted = (QUERY * KEY).sum(1) + (share * (1 - share) * (QUERY - KEY).square()).sum(1)
    torch.testing.assert_close(logs["score_positive_mean"], wanted.mean())


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("grain", ["batch", "row"])
def test_equals_the_paper_as_a_loop(grain, normalize):
    method = ft(positive=1.5, negative=0.7, grain=grain, normalize=normalize)
    draws = chance()
    up = (1 + beta((3 if grain == "row" else 1, 1), 1.5, draws, QUERY)).expand(3, 1)
    other = uniform((8,), draws, QUERY).argsort(stable=True).tolist()
    mix = beta((8 if grain == "row" else 1, 1), 0.7, draws, QUERY).expand(8, 1)
    positive, negative = [], []
    for n in range(3):
        one = up[n] * QUERY[n] + (1 - up[n]) * KEY[n]
        two = up[n] * KEY[n] + (1 - up[n]) * QUERY[n]
        one, two = (unit(one), unit(two)) if normalize else (one, two)
        positive.append(one @ two)
        rows = [mix[j] * ROWS[j] + (1 - mix[j]) * ROWS[other[j]] for j in range(8) if n or 0 not in (j, other[j])]
        negative.append(torch.stack([(unit(row) if normalize else row) @ one for row in rows]))
    loss, _ = compared(method, BATCH, 2 * QUERY, KEY, generator=seeded())
    assert float(loss) == pytest.approx(info_nce(torch.stack(positive), negative, 0.2), rel=1e-5)


def test_the_original_key_enters_the_queue():
    method = ft()
    compared(method, BATCH, QUERY, KEY, generator=seeded())
    method.after_step(context(step=1))
    torch.testing.assert_close(method.keys.queue.recent(3).flip(0), KEY)


def test_the_gradient_reaches_the_query_through_both_of_the_pair():
    method = ft(negative=None)
    query = QUERY.clone().requires_grad_()
    compared(method, BATCH, query, KEY, generator=seeded())[0].backward()
    again = QUERY.clone().requires_grad_()
    share = 1 + beta((1, 1), 2.0, chance(), QUERY)
    one, two = share * unit(again) + (1 - share) * KEY, share * KEY + (1 - share) * unit(again)
    scores = torch.cat([(one * two).sum(1, keepdim=True), one @ ROWS.T], dim=1) / 0.2
    scores[0, 1] = -torch.inf
    torch.nn.functional.cross_entropy(scores, torch.zeros(3, dtype=torch.long)).backward()
    torch.testing.assert_close(query.grad, again.grad, rtol=1e-4, atol=1e-6)


def test_nothing_is_transformed_in_the_first_share_of_the_run_nor_mixed_before_the_queue_is_full():
    plain = compared(made("moco-v2", ROWS, PATIENTS), BATCH, QUERY, KEY)[0]
    assert torch.equal(compared(ft(wait=0.5), BATCH, QUERY, KEY, step=4)[0], plain)
    assert not torch.allclose(compared(ft(wait=0.5), BATCH, QUERY, KEY, step=5)[0], plain)
    assert torch.equal(compared(ft(positive=None, negative=None), BATCH, QUERY, KEY)[0], plain)
    short = [
        made(name, None, queue=9, **more) for name, more in (("moco-v2", {}), ("ft", {"transform": Transform(None)}))
    ]
    for method in short:
        method.keys.queue.enqueue(ROWS, ft().keys.queue.members())
    assert torch.equal(*(compared(method, BATCH, QUERY, KEY)[0] for method in short))


def test_the_diagnostic_tells_both_distributions():
    _, logs = compared(ft(positive=None, negative=None), BATCH, QUERY, KEY)
    positive = (QUERY * KEY).sum(1)
    negative = torch.cat([(ROWS[1:] if n == 0 else ROWS) @ q for n, q in enumerate(QUERY)])
    for name, s in (("positive", positive), ("negative", negative)):
        torch.testing.assert_close(logs[f"score_{name}_mean"], s.mean())
        torch.testing.assert_close(logs[f"score_{name}_variance"], s.var(correction=0))
        torch.testing.assert_close(logs[f"score_{name}_log_exp"], (s / 0.2).exp().mean().log())


def test_a_tiny_temperature_keeps_the_diagnostic_finite():
    method = made("ft", ROWS, PATIENTS, temperature=0.002)
    loss, logs = compared(method, BATCH, QUERY, KEY, generator=seeded())
    assert math.isfinite(float(loss))
    assert all(value.isfinite() for value in logs.values())


def test_a_queue_need_not_be_full_where_nothing_is_mixed_of_it():
    facts = Facts(scans=20, patients=20, batch=4, steps=4)
    with pytest.raises(RecipeError, match="queue: a queue of 20 is not full before the end of 4 steps"):
        made("ft", None, queue=20).check(facts)
    method = made("ft", None, queue=20, momentum=0.5, transform=Transform(negative=None))
    assert "never full" in method.check(facts)[0]


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        ({"positive": 0}, "part.transform.positive: expected a number above 0"),
        ({"grain": "sample"}, "part.transform.grain: expected 'batch', 'row' or 'dimension'"),
        ({"scale": 1}, "unknown key part.transform.scale"),
    ],
)
def test_settings_out_of_range_are_refused(transform, reason):
    with pytest.raises(RecipeError, match=reason):
        choose(METHOD, {"name": "ft", "transform": transform})
