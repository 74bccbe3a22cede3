"""What methods with a queue share: before it is full, who is never a negative, processes, save and load, refusals."""

import math

import pytest
import torch

from medssl.errors import RecipeError
from medssl.methods.contract import EmptyBatchError, Facts
from medssl.methods.contrastive.halp import Hallucination
from medssl.methods.contrastive.mochi import Mixing
from medssl.methods.contrastive.synco import Synthesis
from tests.methods.contrastive.pairs import batch_of, draw
from tests.methods.contrastive.queues import QUEUED, compared, fill, info_nce, made, seeded, vectors
from tests.methods.tiny import batch_for, build, context, take

MANY = {
    "mochi": {"mixing": Mixing(hardest=4, of_two=3, with_query=2, wait=0.0)},
    # no noise, which would make equal vectors differ
    "synco": {"synthesis": Synthesis(hardest=4, counts=(1, 2, 1, 0, 2, 1), wait=0.0)},
    "halp": {"hallucination": Hallucination(prototypes=3, recent=8, every=2, count=4)},
}
MADE_UP = {"mochi": 5, "synco": 7}
FULL = (21, 22, 23, 24, 25, 26)


def stepped(method, batch, step):
    ctx = context(step=step, generator=seeded(step))
    loss, _ = method.loss(method.encode(batch, ctx), batch, ctx)
    loss.backward()
    torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.05).step()
    method.zero_grad()
    method.after_step(context(step=step + 1, generator=ctx.generator))
    return float(loss.detach())


@pytest.mark.parametrize("name", QUEUED)
def test_equal_vectors_cost_the_log_of_all_columns(name):
    method = made(name, torch.ones(8, 16), range(20, 28), **MANY.get(name, {}))
    loss, logs = compared(method, batch_of([5, 6, 7]), torch.ones(3, 16), torch.ones(3, 16))
    assert float(loss) == pytest.approx(math.log(8 + MADE_UP.get(name, 0) + 1), rel=1e-5)
    assert float(logs["bank_rows"]) == 8
    assert float(logs["embedding_std"]) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", QUEUED)
def test_until_the_queue_is_full_this_steps_keys_of_other_patients_stand_beside_it(name):
    method = made(name, None, queue=3)
    if name == "ft":
        method.transform = type(method.transform)(positive=None, negative=None)
    query, key, old = vectors(3), vectors(3, seed=1), vectors(3, seed=2)
    # samples 0 and 1 are of one patient
    batch, positive = batch_of([5, 5, 6]), (query * key).sum(1)
    others = [[2], [2], [0, 1]]
    loss, logs = compared(method, batch, query, key)
    assert float(loss) == pytest.approx(
        info_nce(positive, [key[o] @ q for q, o in zip(query, others, strict=True)], 0.2), rel=1e-5
    )
    assert float(logs["bank_rows"]) == 3
    fill(method, old[:2], [6, 7])
    kept = [[0, 1], [0, 1], [1]]
    negative = [torch.cat([old[k] @ q, key[o] @ q]) for q, k, o in zip(query, kept, others, strict=True)]
    assert float(compared(method, batch, query, key)[0]) == pytest.approx(info_nce(positive, negative, 0.2), rel=1e-5)


def test_a_full_queue_stands_alone():
    method = made("moco-v2", vectors(3, seed=2), [21, 22, 23])
    query, key = vectors(2), vectors(2, seed=1)
    wanted = info_nce((query * key).sum(1), [vectors(3, seed=2) @ q for q in query], 0.2)
    assert float(compared(method, batch_of([5, 6]), 3 * query, 2 * key)[0]) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", QUEUED)
@pytest.mark.parametrize("patient", [5, -1])
def test_a_row_of_the_same_or_an_unknown_patient_is_never_a_negative_nor_part_of_one(name, patient):
    rows, query, key = vectors(8, seed=2), vectors(1), vectors(1, seed=1)
    batch, patients = batch_of([5]), [patient, 22, 23, patient, 25, 26, 27, 28]
    losses = []
    for near in (rows, rows.index_copy(0, torch.tensor([0, 3]), query.expand(2, -1))):
        method = made(name, near, patients, **MANY.get(name, {}))
        losses.append(compared(method, batch, query, key, generator=seeded())[0])
    assert torch.equal(*losses)
    elsewhere = made(name, near, [30, *patients[1:]], **MANY.get(name, {}))
    assert not torch.equal(compared(elsewhere, batch, query, key, generator=seeded())[0], losses[0])


def test_a_batch_of_one_patient_says_nothing_to_an_empty_queue_and_leaves_nothing_in_it():
    method = made("moco-v2", None)
    with pytest.raises(EmptyBatchError, match="no positive beside a negative among 2 views"):
        compared(method, batch_of([5, 5]), vectors(2), vectors(2, seed=1))
    assert len(method.keys.queue) == 0
    fill(method, vectors(4, seed=2), [21, 22, 23, 24])
    assert compared(method, batch_of([5, 5]), vectors(2), vectors(2, seed=1))[0].isfinite()


@pytest.mark.parametrize("name", QUEUED)
def test_no_gradient_reaches_keys_queue_or_prototypes(name):
    method = made(name, vectors(8, seed=2), range(20, 28), **MANY.get(name, {}))
    method.after_step(context(step=2))
    query, key = draw(3, 16).requires_grad_(), draw(3, 16, seed=1).requires_grad_()
    compared(method, batch_of([5, 6, 7]), query, key)[0].backward()
    assert query.grad.abs().sum() > 0
    assert key.grad is None
    assert all(not buffer.requires_grad and buffer.grad is None for buffer in method.buffers())


@pytest.mark.parametrize("name", QUEUED)
def test_keys_enter_the_queue_as_they_are_after_the_step_and_not_before(name):
    method = made(name, vectors(4, seed=2), FULL[:4])
    key = vectors(3, seed=1)
    compared(method, batch_of([5, 6, 7]), vectors(3), 2 * key)
    torch.testing.assert_close(method.keys.queue.rows(), vectors(4, seed=2))
    method.after_step(context(step=1))
    torch.testing.assert_close(method.keys.queue.rows(), torch.cat([key, vectors(4, seed=2)[3:]]))
    assert method.keys.queue.members().patient.tolist() == [5, 6, 7, 24]
    assert method.keys.queue.members().ids("record").tolist() == [10, 11, 12, 1024]


@pytest.mark.parametrize("name", QUEUED)
def test_two_processes_equal_one_against_a_full_queue_and_keep_one_queue(name):
    batch, query, key = batch_of([5, 6, 7, 8]), vectors(4), vectors(4, seed=1)
    one, *two = (made(name, vectors(6, seed=2), FULL, **MANY.get(name, {})) for _ in range(3))
    for method in (one, *two):
        method.after_step(context(step=2, generator=seeded()))
    whole, _ = compared(one, batch, query, key, generator=seeded())
    calls = [[], []]
    found = []
    for again in (False, True):
        for rank, method in enumerate(two):
            answers = iter(torch.cat(rows) for rows in zip(*calls, strict=True)) if again else None
            rows = [2 * rank, 2 * rank + 1]

            def gather(value, rank=rank, answers=answers):
                return next(answers) if answers else calls[rank].append(value) or value

            values = {"gather": gather, "generator": seeded(3 if rank == 0 else 99)}
            loss = compared(method, take(batch, rows), query[rows], key[rows], **values)[0]
            found += [loss] if again else []
    for loss, method in zip(found, two, strict=True):
        torch.testing.assert_close(loss, whole, rtol=1e-6, atol=0)
        one.keys.queue.push()
        method.keys.queue.push()
        assert torch.equal(method.keys.queue.kept, one.keys.queue.kept)
        assert torch.equal(method.keys.queue.table, one.keys.queue.table)


@pytest.mark.parametrize("name", ["moco-v2", "ft"])
def test_the_order_of_the_batch_changes_nothing_against_a_full_queue(name):
    order = torch.tensor([2, 0, 1])
    method = made(name, vectors(4, seed=2), [5, 22, 23, 24])
    query, key, patients = vectors(3), vectors(3, seed=1), torch.tensor([5, 6, 7])
    loss, _ = compared(method, batch_of(patients.tolist()), query, key)
    moved, _ = compared(method, batch_of(patients[order].tolist()), query[order], key[order])
    torch.testing.assert_close(moved, loss)


@pytest.mark.parametrize("name", QUEUED)
def test_a_run_goes_on_bit_for_bit_after_a_save(name):
    method, other = build(name, "resnet", queue=8), build(name, "resnet", seed=1, queue=8)
    batch = batch_for(method, name)
    for step in range(3):
        stepped(method, batch, step)
    assert method.keys.queue.full
    other.load_state_dict(method.state_dict())
    assert [stepped(method, batch, step) for step in (3, 4)] == [stepped(other, batch, step) for step in (3, 4)]
    for (key, kept), found in zip(method.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(kept, found), key


def test_the_teacher_makes_keys_and_follows():
    method = build("moco-v2", "resnet", momentum=0.75)
    batch = batch_for(method, "moco-v2")
    found = method.encode(batch, context())
    assert list(found) == ["view", "partner_teacher"]
    assert not found["partner_teacher"].requires_grad
    wanted = method.keys.projector(method.encoder(batch["partner"].image).pooled)
    torch.testing.assert_close(found["partner_teacher"], wanted)
    layer = method.keys.projector.layers[0]
    old = layer.weight.clone()
    with torch.no_grad():
        layer.weight.add_(1.0)
    method.after_step(context(step=5))
    torch.testing.assert_close(method.keys.teacher["projector"].layers[0].weight, old + 0.25)


def test_the_projector_is_as_wide_as_the_encoder_and_has_the_norm_that_is_asked_for():
    for norm, kind in (("none", None), ("batch", torch.nn.BatchNorm1d), ("layer", torch.nn.LayerNorm)):
        method = build("moco-v2", "resnet", norm=norm)
        first = method.keys.projector.layers[0]
        assert (first.in_features, first.out_features) == (method.encoder.width, method.encoder.width)
        norms = {type(part) for part in method.keys.projector.layers} - {torch.nn.Linear, torch.nn.ReLU}
        assert norms == ({kind} if kind else set())


FACTS = {"scans": 10, "patients": 10, "batch": 4, "steps": 50}


@pytest.mark.parametrize("name", QUEUED)
def test_a_queue_far_larger_than_the_data_is_refused(name):
    method = build(name, "resnet", queue=161)
    with pytest.raises(RecipeError, match=r"^queue: expected at most 16 rows a scan, got 161 .*set method.queue to 10"):
        method.check(Facts(**FACTS))
    notes = build(name, "resnet", queue=160, momentum=0.9).check(Facts(**FACTS))
    assert len(notes) == 1
    assert "larger than the 10 scans" in notes[0]


@pytest.mark.parametrize("name", [name for name in QUEUED if name != "moco-v2"])
def test_a_queue_that_is_never_full_is_refused_where_something_is_made_of_it(name):
    # full after step 3 of 4: the last step uses it
    assert build(name, "resnet", queue=12, momentum=0.5).check(Facts(12, 12, batch=4, steps=4)) == []
    with pytest.raises(RecipeError, match=r"^queue: a queue of 13 is not full before the end of 4 steps of 4"):
        build(name, "resnet", queue=13).check(Facts(13, 13, batch=4, steps=4))


def test_a_queue_that_is_never_full_is_noted_by_moco():
    (note,) = build("moco-v2", "resnet", queue=20, momentum=0.5).check(Facts(20, 20, batch=4, steps=4))
    assert "never full in 4 steps of 4" in note


def test_what_is_doubtful_is_noted():
    notes = build("moco-v2", "resnet", queue=2, momentum=0.999).check(Facts(**FACTS))
    assert "smaller than a step's 4 keys" in notes[0]
    assert "still to 95% what it was at the start; 0.8 averages a tenth of the run" in notes[1]
    assert build("moco-v2", "resnet", queue=8, momentum=0.9).check(Facts(**FACTS)) == []
    batch_norm = build("moco-v2", "resnet", queue=8, momentum=0.9)
    batch_norm.encoder.extra = torch.nn.BatchNorm3d(3)
    assert "batch norms of the encoder" in batch_norm.check(Facts(**FACTS))[0]


@pytest.mark.parametrize(
    ("name", "settings", "setting"),
    [
        ("mochi", {"mixing": Mixing(hardest=9)}, "mixing.hardest"),
        ("synco", {"synthesis": Synthesis(hardest=9)}, "synthesis.hardest"),
        ("halp", {"hallucination": Hallucination(prototypes=9)}, "hallucination.prototypes"),
    ],
)
def test_more_than_the_queue_has_is_refused(name, settings, setting):
    method = build(name, "resnet", queue=8, momentum=0.9, **settings)
    with pytest.raises(RecipeError, match=rf"^{setting}: expected at most the 8 rows of method.queue, got 9"):
        method.check(Facts(**FACTS))
