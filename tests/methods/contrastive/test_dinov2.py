"""DINOv2: three losses against plain loops, masks, and encoders that cannot carry it."""

import math

import pytest
import torch

from medssl.encoders.build import build_encoder
from medssl.errors import RecipeError, UsageError
from medssl.methods.contract import Facts
from medssl.methods.contrastive.dinov2 import DINOv2, Spread
from medssl.methods.contrastive.multi_crop import Crops
from medssl.methods.contrastive.self_distillation import Head
from medssl.objectives.across_views import across_views
from medssl.objectives.sinkhorn import sinkhorn
from medssl.views.settings import ViewSettings
from tests.methods.tiny import ENCODERS, batch_for, build, context

PAIR = ("view", "partner")


def made(size=4, seed=0, **settings):
    method = build("dinov2", "vit", **settings)
    batch = batch_for(method, "dinov2", size)
    with torch.no_grad():
        vectors = method.encode(batch, context())
    draw = torch.Generator().manual_seed(seed)
    return method, batch, {key: torch.randn(rows.shape, generator=draw) for key, rows in vectors.items()}


def hidden(batch, role):
    return batch[role].hidden[0].flatten(1)


def test_views_are_masked_by_half_with_cells_of_a_patch():
    roles = build("dinov2", "vit", ratio=(0.1, 0.3)).views(ViewSettings(crop=(32, 32, 32)))
    assert [roles[role].masks.turn for role in PAIR] == [0, 1]
    assert {(roles[role].masks.ratio, roles[role].masks.cell) for role in PAIR} == {((0.1, 0.3), 4)}
    assert roles["local"].masks is None
    assert roles["local"].crop.shape == (16, 16, 16)


def test_views_loss_is_dinos_with_sinkhorn_over_both_large_views():
    method, batch, vectors = made()
    taught = torch.cat([method.teacher["head"].prototypes(vectors[f"{r}_teacher"]) for r in PAIR])
    scores = {role: method.head.prototypes(vectors[role]) for role in ("view", "partner", "local")}
    views = [scores["view"], scores["partner"], scores["local"][::2], scores["local"][1::2]]
    wanted = across_views(views, list(sinkhorn(taught, 0.04, 3).split(4)), 0.1)
    _, logs = method.loss(vectors, batch, context())
    assert float(logs["loss_views"]) == pytest.approx(float(wanted), rel=1e-5)


def test_tokens_loss_is_ibots_as_a_loop():
    method, batch, vectors = made()
    at = torch.cat([hidden(batch, role) for role in PAIR])
    assert 0 < int(at.any(dim=1).sum()) < 8, "some views are masked, some are whole"
    rows = [(n, t) for n in range(8) for t in range(at.shape[1]) if at[n, t]]
    mine = torch.cat([vectors[f"{r}_tokens"] for r in PAIR])
    shown = torch.cat([vectors[f"{r}_tokens_teacher"] for r in PAIR])
    targets = sinkhorn(torch.stack([method.teacher["token_head"].prototypes(shown[n, t]) for n, t in rows]), 0.04, 3)
    total = 0.0
    for (n, t), target in zip(rows, targets, strict=True):
        logs = torch.log_softmax(method.token_head.prototypes(mine[n, t]) / 0.1, dim=0)
        total -= float((target * logs).sum()) / int(at[n].sum())
    _, logs = method.loss(vectors, batch, context())
    assert float(logs["loss_tokens"]) == pytest.approx(total / 8, rel=1e-5)


def test_whole_positions_change_nothing():
    method, batch, vectors = made()
    changed = dict(vectors)
    for role in PAIR:
        for key in (f"{role}_tokens", f"{role}_tokens_teacher"):
            changed[key] = torch.where(hidden(batch, role)[..., None], vectors[key], 5.0)
    assert torch.equal(method.loss(vectors, batch, context())[0], method.loss(changed, batch, context())[0])


def test_koleo_of_orthonormal_vectors_in_groups():
    method, batch, vectors = made(koleo=Spread(0.1, 4))
    for role in PAIR:
        vectors[f"{role}_features"] = torch.eye(24)[:4]
    loss, logs = method.loss(vectors, batch, context())
    assert float(logs["loss_koleo"]) == pytest.approx(2 * -0.5 * math.log(2), rel=1e-5)
    total = logs["loss_views"] + logs["loss_tokens"] + 0.1 * logs["loss_koleo"]
    assert float(loss.detach()) == pytest.approx(float(total), rel=1e-6)


def test_koleo_keeps_to_groups_of_samples_and_spares_a_patient():
    method, batch, vectors = made(koleo=Spread(1.0, 2))
    for role in PAIR:
        vectors[f"{role}_features"] = torch.eye(24)[[0, 1, 0, 1]]
    _, logs = method.loss(vectors, batch, context())
    assert float(logs["loss_koleo"]) == pytest.approx(-math.log(2), rel=1e-5), "equal rows are of different groups"
    for role in PAIR:
        vectors[f"{role}_features"] = torch.eye(24)[[0, 0, 1, 2]]
        batch[role].ids["patient"] = torch.tensor([5, 5, 6, 7])
    _, logs = method.loss(vectors, batch, context())
    assert float(logs["loss_koleo"]) == pytest.approx(-math.log(2), rel=1e-5), "equal rows are of one patient"


def test_the_student_sees_masked_views_and_the_teacher_whole_ones():
    method, batch, _ = made()
    before = method.encode(batch, context())
    for role in PAIR:
        cells = batch[role].hidden[0]
        for axis in (1, 2, 3):
            cells = cells.repeat_interleave(4, dim=axis)
        batch[role].image = torch.where(cells[:, None], 9.0, batch[role].image)
    after = method.encode(batch, context())
    for role in PAIR:
        assert torch.equal(before[role], after[role])
        masked = hidden(batch, role).any(dim=1)
        assert not torch.allclose(before[f"{role}_teacher"][masked], after[f"{role}_teacher"][masked])
        assert torch.equal(before[f"{role}_teacher"][~masked], after[f"{role}_teacher"][~masked])


def test_teacher_and_both_heads_survive_a_save_bit_for_bit(tmp_path):
    method, batch, _ = made()
    loss, _ = method.loss(method.encode(batch, context()), batch, context())
    loss.backward()
    assert all(p.grad is None for p in method.teacher.parameters())
    torch.optim.SGD(method.param_groups(), lr=0.1).step()
    method.after_step(context(step=1))
    torch.save(method.state_dict(), tmp_path / "state.pt")
    other = build("dinov2", "vit", seed=1)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    losses = [m.loss(m.encode(batch, context(step=1)), batch, context(step=1))[0] for m in (method, other)]
    assert torch.equal(*losses)
    for m in (method, other):
        m.after_step(context(step=2))
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in method.state_dict().items())


@pytest.mark.parametrize("name", ["resnet", "resenc", "swin"])
def test_encoders_without_tokens_are_refused_by_name(name):
    network = build_encoder(name, 1, **ENCODERS[name])
    with pytest.raises(
        UsageError, match=rf"DINOv2 needs a transformer that drops tokens \(vit\), got {type(network).__name__}"
    ):
        DINOv2(network, head=Head(8, 32, 16))


def test_cells_of_several_tokens():
    method = DINOv2(build_encoder("vit", 1, patch=(4, 4, 2), width=24, depth=1, heads=2), head=Head(8, 32, 16))
    batch = batch_for(method, "dinov2")
    assert batch["view"].cells_shape == (4, 4, 4)
    loss, _ = method.loss(method.encode(batch, context()), batch, context())
    assert loss.isfinite()


def test_what_cannot_work_is_refused_and_what_is_doubtful_noted():
    method = build("dinov2", "vit", koleo=Spread(0.1, 4))
    with pytest.raises(RecipeError, match=r"method.koleo: KoLeo needs 2 or more samples a process, got 1"):
        method.check(Facts(scans=9, patients=9, batch=2, steps=9, processes=2))
    assert method.check(Facts(scans=9, patients=9, batch=8, steps=9, processes=2)) == []
    (note,) = method.check(Facts(scans=9, patients=9, batch=6, steps=9, processes=2))
    assert "no multiple of method.koleo.group=4" in note
    assert build("dinov2", "vit", crops=Crops(locals=0)).check(Facts(9, 9, 6, 9)) == []
