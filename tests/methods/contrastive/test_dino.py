"""DINO: the cross entropy of all pairs as a loop, the centre, the teacher, the frozen prototypes."""

import math

import pytest
import torch

from medssl.errors import RecipeError
from medssl.methods.contract import Facts
from medssl.methods.contrastive.multi_crop import Crops
from medssl.methods.contrastive.self_distillation import Head, Warmup
from medssl.objectives.centring import centred
from medssl.objectives.sinkhorn import sinkhorn
from tests.methods.side_by_side import side_by_side
from tests.methods.tiny import batch_for, build, context, take

PAIR = ("view", "partner")
SMALL = Head(8, 32, 16, freeze_steps=0)


def made(size=4, locals=2, seed=0, **settings):
    settings = {"targets": "centre", **settings}
    method = build("dino", "resnet", crops=Crops(locals=locals), **settings)
    batch = batch_for(method, "dino", size)
    draw = torch.Generator().manual_seed(seed)
    vectors = {role: torch.randn(len(views), 16, generator=draw) for role, views in batch.roles.items()}
    return method, batch, vectors | {f"{r}_teacher": torch.randn(size, 16, generator=draw) for r in PAIR}


def taught(method, vectors):
    return {role: method.teacher["head"].prototypes(vectors[f"{role}_teacher"]) for role in PAIR}


def loop(method, vectors, batch, targets):
    """The mean of −q log softmax(s/0.1) over all (teacher view, student view) pairs of a sample without equal views."""
    total, terms = 0.0, 0
    for role in batch.roles:
        scores = method.head.prototypes(vectors[role]).detach()
        for n, row in enumerate(scores.detach()):
            bottom = math.log(sum(math.exp(float(s) / 0.1) for s in row))
            for other in PAIR:
                for m in range(len(targets[other])):
                    if other != role and batch[other].owner[m] == batch[role].owner[n]:
                        total -= sum(
                            float(q) * (float(s) / 0.1 - bottom) for q, s in zip(targets[other][m], row, strict=True)
                        )
                        terms += 1
    return total / terms


@pytest.mark.parametrize(("locals_", "seed"), [(0, 0), (1, 1), (3, 2)])
def test_loss_is_the_mean_over_all_pairs_of_different_views(locals_, seed):
    method, batch, vectors = made(locals=locals_, seed=seed)
    method.centre.copy_(torch.randn(8, generator=torch.Generator().manual_seed(9)) / 20)
    targets = {role: centred(rows, method.centre, 0.04) for role, rows in taught(method, vectors).items()}
    loss, _ = method.loss(vectors, batch, context())
    assert float(loss.detach()) == pytest.approx(loop(method, vectors, batch, targets), rel=1e-5)


def test_by_sinkhorn_both_large_views_share_the_prototypes():
    method, batch, vectors = made(targets="sinkhorn", temperature=Warmup(0.05, 0.05))
    rows = sinkhorn(torch.cat(list(taught(method, vectors).values())), 0.05, 3)
    loss, _ = method.loss(vectors, batch, context())
    assert float(loss.detach()) == pytest.approx(
        loop(method, vectors, batch, dict(zip(PAIR, rows.split(4), strict=True))), rel=1e-5
    )


def test_uniform_scores_cost_log_k():
    method, batch, vectors = made(head=Head(16, 32, 16, freeze_steps=0))
    with torch.no_grad():
        for head in (method.head, method.teacher["head"]):
            head.prototypes.weight.copy_(torch.eye(16))
    loss, logs = method.loss({key: torch.ones_like(rows) for key, rows in vectors.items()}, batch, context())
    assert float(loss.detach()) == pytest.approx(math.log(16), rel=1e-5)
    assert float(logs["target_entropy"]) == pytest.approx(1, abs=1e-6)
    assert float(logs["usage_entropy"]) == pytest.approx(1, abs=1e-6)


def test_targets_of_one_prototype_are_told_as_such():
    method, batch, vectors = made()
    same = method.teacher["head"].prototypes.weight[0].expand(4, -1)
    _, logs = method.loss({**vectors, "view_teacher": same, "partner_teacher": same}, batch, context())
    assert float(logs["usage_entropy"]) < 0.01


def test_the_centre_moves_after_use_with_the_rows_of_all_processes():
    method, batch, vectors = made()
    method.centre.fill_(0.05)
    mean = torch.cat(list(taught(method, vectors).values())).mean(dim=0)
    parts = [take(batch, [0, 1]), take(batch, [2, 3])]
    works = []
    copies = [made()[0] for _ in parts]
    for rank, (copy, part) in enumerate(zip(copies, parts, strict=True)):
        copy.load_state_dict(method.state_dict())
        mine = {
            key: torch.cat([rows[batch[key.removesuffix("_teacher")].owner == s] for s in (2 * rank, 2 * rank + 1)])
            for key, rows in vectors.items()
        }
        works.append(lambda gather, c=copy, v=mine, p=part: c.loss(v, p, context(gather=gather))[0])
    whole, _ = method.loss(vectors, batch, context())
    assert torch.equal(method.centre, torch.full((8,), 0.05)), "a step that is left out leaves the centre alone"
    torch.testing.assert_close(sum(side_by_side(works)) / 2, whole)
    for one in (method, *copies):
        one.after_step(context(step=1))
        torch.testing.assert_close(one.centre, 0.9 * 0.05 + 0.1 * mean)


def test_the_teacher_sees_the_two_large_views_and_gets_no_gradient():
    method, batch, _ = made()
    seen = []
    method.teacher["encoder"].register_forward_hook(lambda _, given, __: seen.append(tuple(given[0].shape)))
    vectors = method.encode(batch, context())
    assert seen == [(8, 1, 16, 16, 16)]
    assert not vectors["view_teacher"].requires_grad
    loss, _ = method.loss(vectors, batch, context())
    loss.backward()
    assert all(p.grad is None for p in method.teacher.parameters())


def test_the_teacher_follows_by_a_cosine():
    method, batch, _ = made(momentum=0.9)
    method.encode(batch, context())
    before = [p.clone() for p in method.teacher.parameters()]
    with torch.no_grad():
        for p in (*method.encoder.parameters(), *method.head.parameters()):
            p.add_(1)
    method.after_step(context(step=5))
    students = [*method.encoder.parameters(), *method.head.parameters()]
    for mine, old, student in zip(method.teacher.parameters(), before, students, strict=True):
        torch.testing.assert_close(mine, 0.95 * old + 0.05 * student)
    kept = [p.clone() for p in method.teacher.parameters()]
    method.after_step(context(step=10))
    assert all(torch.equal(p, old) for p, old in zip(method.teacher.parameters(), kept, strict=True))


def test_the_last_layer_is_frozen_in_the_first_steps():
    method, batch, vectors = made(head=Head(8, 32, 16, freeze_steps=1))
    for step, still in ((0, True), (1, False)):
        method.zero_grad()
        method.loss(vectors, batch, context(step=step))[0].backward()
        assert bool((method.head.prototypes.weight.grad == 0).all()) is still


def test_temperature_warms_up():
    method, batch, vectors = made(temperature=Warmup(0.04, 0.4, 0.5))
    entropies = [float(method.loss(vectors, batch, context(step=s))[1]["target_entropy"]) for s in (0, 2, 5, 9)]
    assert entropies[0] < entropies[1] < entropies[2] == entropies[3]


def test_centre_and_teacher_survive_a_save_bit_for_bit(tmp_path):
    method, batch, _ = made()
    for step in range(2):
        method.loss(method.encode(batch, context(step=step)), batch, context(step=step))[0].backward()
        torch.optim.SGD(method.param_groups(), lr=0.1).step()
        method.after_step(context(step=step + 1))
    torch.save(method.state_dict(), tmp_path / "state.pt")
    other = build("dino", "resnet", seed=1, targets="centre")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert float(method.centre.abs().sum()) > 0
    losses = [m.loss(m.encode(batch, context(step=2)), batch, context(step=2))[0] for m in (method, other)]
    assert torch.equal(*losses)
    for m in (method, other):
        m.after_step(context(step=3))
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in method.state_dict().items())


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_heads_with_and_without_a_norm(norm):
    method, batch, _ = made(head=Head(8, 32, 16, freeze_steps=0, norm=norm))
    assert method.loss(method.encode(batch, context()), batch, context())[0].isfinite()


def test_what_cannot_work_is_refused_and_what_is_doubtful_noted():
    with pytest.raises(RecipeError, match=r"method.targets: targets by Sinkhorn need a batch of 2 or more"):
        build("dino", "resnet").check(Facts(scans=9, patients=9, batch=1, steps=9))
    method = build("dino", "resnet", targets="centre", head=Head(1024, 32, 16, freeze_steps=100))
    notes = method.check(Facts(scans=10, patients=10, batch=1, steps=50))
    assert all(word in note for word, note in zip(("1024 prototypes for 10", "50 of 50 steps"), notes, strict=True))
    assert build("dino", "resnet").check(Facts(scans=10, patients=10, batch=4, steps=50)) == []
