"""SwinUNETR's three tasks: turns, cuts and swaps as published, both forms, every task by itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from medssl.errors import RecipeError, UsageError
from medssl.methods.contract import Facts
from medssl.methods.masked.cut_and_swap import CutAndSwap, blocks, distorted, mates
from medssl.methods.masked.swin_tasks import SwinTasks
from medssl.views.settings import ViewSettings
from tests.methods.side_by_side import side_by_side
from tests.methods.tiny import batch_for, build, context, take

TASKS = ("rotation", "contrast", "reconstruction")


def tasks(encoder="resenc", size=4, **settings):
    method = build("swin-tasks", encoder, **settings)
    return method, batch_for(method, "swin-tasks", size)


def only(task):
    return {name: float(name == task) for name in TASKS}


def test_blocks_are_a_20th_to_a_quarter_of_an_edge_and_fill_a_uniform_share():
    shape, shares = (96, 60, 40), []
    for seed in range(300):
        found = np.array(blocks(shape, 0.3, np.random.default_rng(seed))).reshape(-1, 6)
        size = found[:, 3:] - found[:, :3]
        assert (found[:, 3:] <= shape).all()
        assert (size >= 1).all()
        assert (size < np.array(shape) * 0.25).all()
        inner = size[(found[:, 3:] < shape).all(axis=1)]
        assert (inner >= np.array(shape) * 0.05 - 1).all()
        shares.append(size.prod(axis=1).sum() / math.prod(shape))
    assert np.mean(shares) == pytest.approx(0.15, abs=0.02)
    assert max(shares) < 0.3 + 0.25**3
    assert np.std(shares) == pytest.approx(0.3 / math.sqrt(12), abs=0.02)


def test_turns_are_even_and_swaps_come_half_the_time():
    found = [CutAndSwap().draw((16, 16, 16), np.random.default_rng(seed)) for seed in range(800)]
    turns = np.bincount([one["turns"] for one in found], minlength=4) / 800
    assert turns.tolist() == pytest.approx([0.25] * 4, abs=0.06)
    assert sum(bool(one["swap"]) for one in found) / 800 == pytest.approx(0.5, abs=0.07)
    assert {CutAndSwap(turns=False).draw((16, 16, 16), np.random.default_rng(s))["turns"] for s in range(9)} == {0}


def test_a_view_is_turned_cut_and_swapped_as_drawn():
    _, batch = tasks(size=2)
    views = batch["view"]
    numbers = {"turns": 1, "cut": [[0, 0, 0, 4, 4, 4]], "swap": [[2, 2, 2, 6, 6, 6]], "seed": 5}
    still = {"turns": 0, "cut": [], "swap": [], "seed": 6}
    views.params = [{"numbers": one} for one in (numbers, still, {**numbers, "swap": []}, still)]
    found = distorted(views)
    assert found.turns.tolist() == [1, 0, 1, 0]
    assert torch.equal(found.turned[0], torch.rot90(views.image[0], 1, (2, 3)))
    assert torch.equal(found.turned[1], views.image[1])
    assert torch.equal(found.seen[1], views.image[1])
    seen, expected = found.seen[0], found.turned[0].clone()
    expected[:, 2:6, 2:6, 2:6] = views.image[1][:, 2:6, 2:6, 2:6]
    outside = torch.ones(1, 16, 16, 16, dtype=torch.bool)
    outside[:, :4, :4, :4] = False
    assert torch.equal(seen[outside], expected[outside])
    noise = found.seen[2][:, :4, :4, :4]
    assert (float(noise.min()), float(noise.max())) == (0.0, 1.0)
    assert torch.equal(distorted(views).seen, found.seen)


def test_a_swap_takes_what_the_other_crop_is_by_then():
    _, batch = tasks(size=2)
    views = batch["view"]
    box = [[0, 0, 0, 4, 4, 4]]
    views.params = [
        {"numbers": {"turns": 0, "cut": cut, "swap": swap, "seed": seed}}
        for seed, (cut, swap) in enumerate([(box, []), ([], box), ([], []), ([], [])])
    ]
    found = distorted(views)
    assert torch.equal(found.seen[1][:, :4, :4, :4], found.seen[0][:, :4, :4, :4])
    assert not torch.equal(found.seen[1][:, :4, :4, :4], views.image[0][:, :4, :4, :4])
    assert mates([0, 1, 1, 1]) == [0, 2, 3, 1]


def test_padding_stays_empty_and_turns_along():
    _, batch = tasks()
    views = batch["view"]
    views.valid[:, :, :, :5] = False
    found = distorted(views)
    for row, turns in enumerate(found.turns.tolist()):
        assert torch.equal(found.valid[row], torch.rot90(views.valid[row], turns, (2, 3)))
    assert float(found.seen[~found.valid].abs().max()) == 0


@pytest.mark.parametrize("form", ["released", "corrected"])
def test_closed_forms(form):
    method, batch = tasks(form=form)
    vectors = {f"{role}_rotation": torch.zeros(8, 4) for role in ("view", "partner")}
    vectors |= {role: torch.ones(8, 16) for role in ("view", "partner")}
    vectors |= {f"{role}_rebuilt": distorted(batch[role]).turned for role in ("view", "partner")}
    loss, logs = method.loss(vectors, batch, context())
    assert float(logs["rotation_loss"]) == pytest.approx(math.log(4), rel=1e-6)
    # released: everyone else, 2N − 1; corrected: the twin and the 12 crops of the three other patients
    assert float(logs["contrast_loss"]) == pytest.approx(math.log(15 if form == "released" else 13), rel=1e-6)
    assert float(logs["reconstruction_loss"]) == 0
    assert float(loss) == pytest.approx(sum(float(logs[f"{name}_loss"]) for name in TASKS))


def test_nothing_cut_and_an_identity_rebuild_without_error():
    method, batch = tasks(cut=0.0)
    vectors = {f"{role}_rebuilt": distorted(batch[role]).seen for role in ("view", "partner")}
    method.weights |= {"rotation": 0.0, "contrast": 0.0}
    assert float(method.loss(vectors, batch, context())[0]) == 0


@pytest.mark.parametrize("form", ["released", "corrected"])
def test_the_contrast_is_the_loop(form):
    method, batch = tasks(form=form, size=3, **only("contrast"))
    patients = [7, 7, 8]
    for views in batch.roles.values():
        views.ids["patient"] = torch.tensor(patients)[views.owner]
    z = torch.nn.functional.normalize(torch.randn(12, 16, generator=torch.Generator().manual_seed(2)), dim=1)
    owner = [0, 0, 1, 1, 2, 2] * 2
    terms = []
    for i in range(12):
        twin = (i + 6) % 12
        others = [
            j
            for j in range(12)
            if j not in (i, twin) and (form == "released" or patients[owner[j]] != patients[owner[i]])
        ]
        scores = torch.tensor([float(z[i] @ z[j]) / 0.1 for j in [twin, *others]])
        terms.append(scores.logsumexp(0) - scores[0])
    loss, _ = method.loss({"view": z[:6], "partner": z[6:]}, batch, context())
    torch.testing.assert_close(loss, torch.stack(terms).mean())


def test_the_reconstruction_is_the_mean_absolute_error_of_all_voxels_inside():
    method, batch = tasks(**only("reconstruction"))
    for views in batch.roles.values():
        views.valid[:, :, :, :3] = False
    rebuilt = {f"{role}_rebuilt": torch.randn(8, 1, 16, 16, 16) for role in ("view", "partner")}
    errors = []
    for role in ("view", "partner"):
        found = distorted(batch[role])
        errors.append((rebuilt[f"{role}_rebuilt"] - found.turned).abs()[found.valid])
    loss, _ = method.loss(rebuilt, batch, context())
    torch.testing.assert_close(loss, torch.cat(errors).mean())
    for views in batch.roles.values():
        views.image = torch.where(views.valid, views.image, 1e6)
    torch.testing.assert_close(method.loss(rebuilt, batch, context())[0], loss)


def test_the_released_form_reads_single_sites_and_the_corrected_one_the_pooled_vector():
    method, batch = tasks(form="released")
    image = torch.cat([distorted(batch[role]).seen for role in ("view", "partner")])
    sites = method.encoder(image).pyramid[-1].data.flatten(2)
    found = method.encode(batch, context())
    torch.testing.assert_close(found["view_rotation"], method.heads["rotation"](sites[:8, :, 0]))
    torch.testing.assert_close(found["partner"], method.heads["contrast"](sites[8:, :, 1]))
    method, batch = tasks(form="corrected")
    pooled = method.encoder(image).pooled
    found = method.encode(batch, context())
    torch.testing.assert_close(found["view_rotation"], method.heads["rotation"](pooled[:8]))
    torch.testing.assert_close(found["partner"], method.heads["contrast"](pooled[8:]))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("encoder", ["resenc", "vit", "swin"])
def test_a_task_by_itself_leaves_no_parameter_unused(task, encoder):
    method, batch = tasks(encoder, **only(task))
    loss, logs = method.loss(method.encode(batch, context()), batch, context())
    loss.backward()
    assert f"{task}_loss" in logs
    assert sum(name.endswith("_loss") for name in logs) == 1
    assert [n for n, p in method.named_parameters() if p.grad is None and not n.endswith("mask_token")] == []
    assert len(method.exported()) == 2
    assert "rebuilt" not in method.pictures(batch, context()) or task == "reconstruction"


def test_weights_multiply_the_terms():
    method, batch = tasks(rotation=2.0, contrast=0.5, reconstruction=3.0)
    loss, logs = method.loss(method.encode(batch, context()), batch, context())
    parts = [float(logs[f"{name}_loss"]) for name in TASKS]
    assert float(loss.detach()) == pytest.approx(2 * parts[0] + 0.5 * parts[1] + 3 * parts[2], rel=1e-6)


def test_the_released_contrast_stays_within_its_process():
    method, batch = tasks(form="released", **only("contrast"))
    halves = [take(batch, [0, 1]), take(batch, [2, 3])]
    alone = [method.loss(method.encode(half, context()), half, context())[0] for half in halves]
    vectors = [method.encode(half, context()) for half in halves]
    works = [
        lambda gather, v=v, half=half: method.loss(v, half, context(gather=gather))[0]
        for v, half in zip(vectors, halves, strict=True)
    ]
    for one, two in zip(alone, side_by_side(works), strict=True):
        torch.testing.assert_close(one, two)


def test_one_patient_alone_leaves_the_other_tasks_to_learn():
    method, batch = tasks(size=1)
    loss, logs = method.loss(method.encode(batch, context()), batch, context())
    assert float(logs["contrast_loss"]) == 0
    assert float(logs["dropped_without_negative"]) == 4
    loss.backward()
    assert float(loss.detach()) > 0


def test_crops_are_two_a_scan_and_distorted_twice():
    roles = tasks()[0].views(ViewSettings(crop=(8, 16, 16), flip=(0.5, 0.5, 0.5)))
    assert [roles[name].count for name in ("view", "partner")] == [2, 2]
    assert roles["partner"].crop.turned
    assert roles["partner"].spatial == type(roles["partner"].spatial)()
    assert roles["view"].numbers == roles["partner"].numbers == CutAndSwap(0.3, True)


def test_what_cannot_work_is_refused():
    with pytest.raises(RecipeError, match="rotation: rotation, contrast and reconstruction are all 0"):
        tasks(rotation=0, contrast=0, reconstruction=0)
    method = build("swin-tasks", "resenc")
    with pytest.raises(UsageError, match=r"views.crop: crops are turned in the j-k plane .* got \(16, 16, 8\)"):
        method.views(ViewSettings(crop=(16, 16, 8)))
    flat = build("swin-tasks", "resenc", rotation=0).views(ViewSettings(crop=(16, 16, 8)))
    assert flat["view"].numbers == CutAndSwap(0.3, False)
    with pytest.raises(UsageError, match=r"second site of the coarsest map; a crop of \(32, 32, 32\) has 1"):
        build("swin-tasks", "swin", form="released").views(ViewSettings(crop=(32, 32, 32)))
    assert build("swin-tasks", "swin", form="released").views(ViewSettings(crop=(33, 32, 32)))
    with pytest.raises(RecipeError, match="contrast: contrast needs two patients a step, got 5 and a batch of 1"):
        method.check(Facts(scans=5, patients=5, batch=1, steps=3))
    assert build("swin-tasks", "resenc", contrast=0).check(Facts(scans=1, patients=1, batch=1, steps=3)) == []
    _, batch = tasks()
    batch.roles["view"] = replace(batch["view"], params=[])
    with pytest.raises(UsageError, match=r"no turns and blocks drawn for them \[batch\]"):
        method.encode(batch, context())
    assert SwinTasks.row_wise
