"""SwAV: codes, prototypes and queue, against the paper as a loop."""

import math

import pytest
import torch

from medssl.errors import RecipeError
from medssl.methods.contract import Facts
from medssl.methods.contrastive.multi_crop import Crops
from medssl.objectives.swav import codes
from tests.methods.side_by_side import side_by_side
from tests.methods.tiny import batch_for, build, context, take

PAIR = ("view", "partner")


def made(size=5, locals=2, seed=0, **settings):
    method = build("swav", "resnet", crops=Crops(locals=locals), **settings)
    batch = batch_for(method, "swav", size)
    draw = torch.Generator().manual_seed(seed)
    vectors = {role: torch.randn(len(views), 16, generator=draw) for role, views in batch.roles.items()}
    return method, batch, vectors


def loop(method, vectors, batch, targets):
    """−q log softmax(z c / 0.1) over every code and every other view of its sample."""
    prototypes = torch.nn.functional.normalize(method.prototypes.weight.detach(), dim=1)
    views = [(role, n) for role in vectors for n in range(len(vectors[role]))]
    total, terms = 0.0, 0
    for role, n in views:
        z = torch.nn.functional.normalize(vectors[role][n], dim=0)
        scores = [float(z @ c) / 0.1 for c in prototypes]
        bottom = math.log(sum(math.exp(s) for s in scores))
        for code in PAIR:
            for m in range(len(vectors[code])):
                if code != role and batch[code].owner[m] == batch[role].owner[n]:
                    total -= sum(float(q) * (s - bottom) for q, s in zip(targets[code][m], scores, strict=True))
                    terms += 1
    return total / terms


@pytest.mark.parametrize(("locals_", "seed"), [(0, 0), (2, 1), (3, 2)])
def test_loss_is_the_papers_over_all_pairs_of_a_code_and_another_view(locals_, seed):
    method, batch, vectors = made(locals=locals_, seed=seed)
    targets = {role: codes(method.prototypes(vectors[role])) for role in PAIR}
    loss, _ = method.loss(vectors, batch, context())
    assert float(loss.detach()) == pytest.approx(loop(method, vectors, batch, targets), rel=1e-5)


def test_equal_vectors_have_even_codes_and_spread_evenly():
    method, batch, vectors = made()
    loss, logs = method.loss({role: torch.ones_like(rows) for role, rows in vectors.items()}, batch, context())
    assert float(logs["target_entropy"]) == pytest.approx(1, abs=1e-5)
    with torch.no_grad():
        method.prototypes.weight.copy_(torch.eye(16)[:4])
    loss, _ = method.loss({role: torch.ones_like(rows) for role, rows in vectors.items()}, batch, context())
    assert float(loss.detach()) == pytest.approx(math.log(4), rel=1e-5)


def test_codes_have_no_gradient():
    method, batch, vectors = made(locals=0)
    vectors = {role: rows.requires_grad_() for role, rows in vectors.items()}
    loss, _ = method.loss(vectors, batch, context())
    scores = {role: method.prototypes(vectors[role]) for role in PAIR}
    logs = {role: torch.log_softmax(scores[role] / 0.1, dim=1) for role in PAIR}
    direct = -(codes(scores["partner"]) * logs["view"] + codes(scores["view"]) * logs["partner"]).sum(1).mean() / 2
    for mine, theirs in zip(
        torch.autograd.grad(loss, list(vectors.values())),
        torch.autograd.grad(direct, list(vectors.values())),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_prototypes_are_frozen_first_and_unit_after_each_step():
    method = build("swav", "resnet", freeze_steps=2)
    batch = batch_for(method, "swav")
    start = method.prototypes.weight.detach().clone()
    for step in range(3):
        loss, _ = method.loss(method.encode(batch, context(step=step)), batch, context(step=step))
        method.zero_grad()
        loss.backward()
        torch.optim.SGD(method.param_groups(), lr=0.5).step()
        method.after_step(context(step=step + 1))
        assert torch.allclose(method.prototypes.weight, start, atol=1e-6) == (step < 2)
        torch.testing.assert_close(method.prototypes.weight.norm(dim=1), torch.ones(4))


def test_the_queue_waits_until_it_is_full_and_then_balances_the_codes():
    method, batch, vectors = made(queue=8, locals=0)
    plain, _ = made(locals=0)[0].loss(vectors, batch, context())
    for step in range(3):
        loss, _ = method.loss(vectors, batch, context(step=step))
        kept = {role: method.queues[role].rows().clone() for role in PAIR}
        if step < 2:
            torch.testing.assert_close(loss, plain)
        else:
            found = {r: codes(method.prototypes(vectors[r]), method.prototypes(kept[r])) for r in PAIR}
            assert float(loss.detach()) == pytest.approx(loop(method, vectors, batch, found), rel=1e-5)
            assert float(loss.detach()) != pytest.approx(float(plain.detach()), rel=1e-4)
        method.after_step(context(step=step + 1))
    assert method.queues["view"].members().patient.bincount()[100:].tolist() == [1, 1, 2, 2, 2]


def test_a_step_that_is_left_out_leaves_nothing_in_the_queue():
    method, batch, vectors = made(queue=8)
    method.loss(vectors, batch, context())
    assert len(method.queues["view"]) == 0


def test_two_processes_with_a_full_queue_equal_one():
    method, batch, vectors = made(size=4, queue=4)
    method.loss(made(size=4, seed=1)[2], batch, context())
    method.after_step(context(step=1))
    parts = [take(batch, [0, 1]), take(batch, [2, 3])]
    state = {key: value.clone() for key, value in method.state_dict().items()}
    whole, _ = method.loss(vectors, batch, context())
    method.after_step(context(step=2))
    kept = [method.queues[role].rows().clone() for role in PAIR]
    copies = [build("swav", "resnet", queue=4) for _ in parts]
    works = []
    for copy, part, samples in zip(copies, parts, ([0, 1], [2, 3]), strict=True):
        copy.load_state_dict(state)
        mine = {r: torch.cat([vectors[r][batch[r].owner == s] for s in samples]) for r in vectors}
        works.append(lambda gather, c=copy, v=mine, p=part: c.loss(v, p, context(gather=gather))[0])
    torch.testing.assert_close(sum(side_by_side(works)) / 2, whole)
    for copy in copies:
        copy.after_step(context(step=2))
        assert all(torch.equal(copy.queues[role].rows(), rows) for role, rows in zip(PAIR, kept, strict=True))


def test_queue_and_prototypes_survive_a_save_bit_for_bit(tmp_path):
    method, batch, vectors = made(queue=8)
    for step in range(2):
        method.loss(vectors, batch, context(step=step))
        method.after_step(context(step=step + 1))
    torch.save(method.state_dict(), tmp_path / "state.pt")
    other = build("swav", "resnet", seed=1, queue=8)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    losses = [m.loss(vectors, batch, context(step=2))[0] for m in (method, other)]
    assert torch.equal(*losses)
    for m in (method, other):
        m.after_step(context(step=3))
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in method.state_dict().items())


def test_more_prototypes_than_rows_are_refused():
    method = build("swav", "resnet", prototypes=20)
    with pytest.raises(
        RecipeError, match=r"method.prototypes: 20 prototypes need as many rows, got 8.*method.queue of 12"
    ):
        method.check(Facts(scans=100, patients=100, batch=8, steps=100))
    assert method.check(Facts(scans=100, patients=100, batch=20, steps=100)) == []
    assert build("swav", "resnet", prototypes=20, queue=12).check(Facts(100, 100, 8, 100)) == []


def test_what_is_doubtful_is_noted():
    method = build("swav", "resnet", queue=50, freeze_steps=10)
    notes = method.check(Facts(scans=10, patients=10, batch=4, steps=12))
    assert all(word in note for word, note in zip(("more vectors", "never full", "10 of 12"), notes, strict=True))
