"""HaLP: how far a made-up positive goes, the paper as a loop, and prototypes that are made, renewed and kept."""

import pytest
import torch

from medssl.errors import RecipeError
from medssl.methods import METHODS
from medssl.methods.contract import Facts, alone
from medssl.methods.contrastive.halp import Hallucination
from medssl.pairing.chance import common_generator
from medssl.pairing.hallucination import hallucinated_positives
from medssl.pairing.k_means import k_means
from medssl.recipe import From, choose
from tests.methods.contrastive.pairs import batch_of
from tests.methods.contrastive.queues import compared, made, seeded, unit, vectors
from tests.methods.tiny import build, context

METHOD = From(METHODS, "medssl.methods.contract:Method", injected=("encoder",))
QUERY, KEY, ROWS, PATIENTS = vectors(3), vectors(3, seed=1), vectors(12, seed=2), range(20, 32)
BATCH = batch_of([5, 6, 7])
FEW = {"prototypes": 4, "recent": 12, "every": 3, "count": 5}


def halp(moved=True, **settings):
    method = made("halp", ROWS, PATIENTS, hallucination=Hallucination(**{**FEW, **settings}))
    if moved:
        method.after_step(context(step=3, generator=seeded(8)))
    return method


def drawn(method, key=KEY, **settings):
    how = {"count": 5, "among": 4, "ease": 0.8, **settings}
    chance = common_generator(seeded(), alone, key)
    return hallucinated_positives(key, method.prototypes.centres, chance, **how)


def contrast_alone(key=KEY):
    return compared(made("moco-v2", ROWS, PATIENTS), BATCH, QUERY, key)[0]


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_equals_the_paper_as_a_loop(weight):
    method = halp(weight=weight)
    found, terms = drawn(method), []
    p = method.prototypes.centres
    for n, (q, z) in enumerate(zip(QUERY, KEY, strict=True)):
        nearest = int((p @ z).argmax())
        for g, towards in zip(found.vectors[n], found.towards[n].tolist(), strict=True):
            assert towards != nearest
            # p0 is no farther than p1 anywhere up to t_max
            assert float(g @ p[nearest] - g @ p[towards]) >= -1e-5
            if int((p @ g).argmax()) == nearest:
                terms.append(float(-q @ g) / 0.2)
    assert terms
    loss, logs = compared(method, BATCH, QUERY, KEY, generator=seeded())
    wanted = float(contrast_alone()) + weight * sum(terms) / len(terms)
    assert float(loss) == pytest.approx(wanted, rel=1e-4)
    torch.testing.assert_close(logs["loss_contrast"], contrast_alone())
    assert float(logs["good_share"]) == pytest.approx(len(terms) / 15)


def test_without_ease_a_made_up_positive_stands_between_its_two_prototypes():
    method = halp(prototypes=2, ease=0.0)
    found, p = drawn(method, among=2, ease=0.0), method.prototypes.centres
    own, other = p[found.own], p[1 - found.own]
    for m in range(5):
        torch.testing.assert_close((found.vectors[:, m] * own).sum(1), (found.vectors[:, m] * other).sum(1))
    # of two prototypes none is a third one that could be nearer: a little before t_max all are good
    _, logs = compared(halp(prototypes=2, ease=0.5), BATCH, QUERY, KEY, generator=seeded())
    assert float(logs["good_share"]) == 1


def test_before_there_are_prototypes_it_is_moco():
    method = halp(moved=False)
    loss, logs = compared(method, BATCH, QUERY, KEY)
    assert torch.equal(loss, contrast_alone())
    assert float(logs["good_share"]) == 0


def test_prototypes_are_made_of_the_last_rows_once_the_queue_is_full():
    method = made("halp", None, queue=13, hallucination=Hallucination(**{**FEW, "recent": 8}))
    method.keys.queue.enqueue(ROWS, halp().keys.queue.members())
    method.after_step(context(step=3, generator=seeded(8)))
    assert not method.prototypes.made
    compared(method, BATCH, QUERY, KEY)
    method.after_step(context(step=4, generator=seeded(8)))
    assert method.prototypes.made
    rows = method.keys.queue.recent(8)
    wanted = k_means(rows, 4, common_generator(seeded(8), alone, rows), tolerance=1e-3).centres
    assert torch.equal(method.prototypes.centres, wanted)
    torch.testing.assert_close(wanted.norm(dim=1), torch.ones(4))


def test_prototypes_wait_for_their_share_of_the_run_and_are_renewed_every_few_steps():
    method = halp(moved=False, wait=0.4)
    times = []
    for step in range(1, 11):
        compared(method, batch_of([5, 6, 7]), vectors(3, seed=step), vectors(3, seed=step + 50))
        method.after_step(context(step=step, generator=seeded(step)))
        times.append(int(method.prototypes.times))
    # as soon as may be, then at steps 6 and 9
    assert times == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]


def test_prototypes_survive_a_save_bit_for_bit():
    method, other = halp(), halp(moved=False)
    assert not other.prototypes.made
    other.load_state_dict(method.state_dict())
    assert other.prototypes.made
    assert torch.equal(other.prototypes.centres, method.prototypes.centres)
    one, two = (compared(each, BATCH, QUERY, KEY, generator=seeded())[0] for each in (method, other))
    assert torch.equal(one, two)
    assert "prototypes.centres" in method.state_dict()


def test_the_pull_reaches_the_query_alone():
    method = halp(weight=3.0)
    query, key = QUERY.clone().requires_grad_(), KEY.clone().requires_grad_()
    loss, logs = compared(method, BATCH, query, key, generator=seeded())
    (loss - compared(made("moco-v2", ROWS, PATIENTS), BATCH, query, key)[0]).backward()
    again = QUERY.clone().requires_grad_()
    found = drawn(method)
    products = (unit(again)[:, None] * found.vectors).sum(-1)[found.good]
    (-3.0 * products.mean() / 0.2).backward()
    torch.testing.assert_close(query.grad, again.grad, rtol=1e-4, atol=1e-5)
    assert key.grad is None
    torch.testing.assert_close(logs["similarity_hallucinated"], products.mean().detach())


def test_equal_rows_make_nothing_up():
    method = made("halp", torch.ones(12, 16), PATIENTS, hallucination=Hallucination(**FEW))
    method.after_step(context(step=3, generator=seeded(8)))
    loss, logs = compared(method, BATCH, QUERY, KEY, generator=seeded())
    assert float(logs["good_share"]) == 0
    assert torch.equal(loss, logs["loss_contrast"])


def test_more_prototypes_than_rows_that_are_clustered_are_refused():
    method = build("halp", "resnet", queue=40, hallucination=Hallucination(prototypes=20, recent=10))
    with pytest.raises(
        RecipeError, match=r"hallucination.prototypes: expected at most hallucination.recent \(10\), got 20"
    ):
        method.check(Facts(scans=40, patients=40, batch=4, steps=50))


@pytest.mark.parametrize(
    ("hallucination", "reason"),
    [
        ({"prototypes": 1}, "part.hallucination.prototypes: expected at least 2, got 1"),
        ({"ease": 1000}, "part.hallucination.ease: expected at most 1"),
        ({"every": 0}, "part.hallucination.every: expected at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(hallucination, reason):
    with pytest.raises(RecipeError, match=reason):
        choose(METHOD, {"name": "halp", "hallucination": hallucination})
