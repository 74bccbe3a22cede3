"""VoCo: labels from real crop policies, losses local to a volume, the teacher's start."""

import numpy as np
import pytest
import torch

from medssl.draws import generator
from medssl.pairing.overlap import overlap_shares
from medssl.views.settings import ViewSettings
from medssl.views.spatial import apply_spatial, draw_spatial
from medssl.views.view import Scan
from tests.methods.tiny import batch_for, build, context, take

TILTED = np.array([[0.8, -0.6, 0, 5], [0.6, 0.8, 0, -7], [0, 0, 2.5, 0], [0, 0, 0, 1]])


def drawn(method, settings, scan, seed):
    """The grids of each role, as a loader draws them."""
    rng = generator(seed)
    grids = {}
    for name, role in method.views(settings).items():
        crops = role.crop.draw(scan, role.count, rng, grids)
        grids[name] = [apply_spatial(grid, draw_spatial(role.spatial, rng)) for grid in crops]
    return {name: torch.from_numpy(np.stack([g.box.to_numbers() for g in found])) for name, found in grids.items()}


@pytest.mark.parametrize("shape", [(70, 60, 24), (40, 50, 10)])  # the second is smaller than the grid
@pytest.mark.parametrize("fit", ["crop", "resize"])
def test_labels_of_drawn_views_sum_to_one_whatever_the_turn(shape, fit):
    scan = Scan(shape, TILTED, np.array([[0, 0, 0], shape]), {"patient": 1})
    settings = ViewSettings(crop=(16, 16, 16), rotate_deg=20, flip=(0.5, 0.5, 0.5), scale=(0.7, 1.3))
    method = build("voco", "resnet", grid=(3, 3, 1), queries=4, fit=fit)
    for seed in range(10):
        boxes = drawn(method, settings, scan, seed)
        labels = overlap_shares(boxes["query"], boxes["base"])
        assert labels.shape == (4, 9)
        torch.testing.assert_close(labels.sum(1), torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-5)
        assert set((labels > 0).sum(1).tolist()) <= {1, 2, 4}
        assert torch.equal(overlap_shares(boxes["base"], boxes["base"]), torch.eye(9, dtype=torch.float64))


def test_volumes_do_not_meet():
    method = build("voco", "resnet")
    batch = batch_for(method, "voco")
    whole, _ = method.loss(method.encode(batch, context()), batch, context())
    alone = []
    for sample in range(batch.size):
        part = take(batch, [sample])
        alone.append(method.loss(method.encode(part, context()), part, context())[0])
    torch.testing.assert_close(whole, torch.stack(alone).mean())


@pytest.mark.parametrize(("form", "expected"), [("released", 2.0), ("paper", None), ("log", 14.8155)])
def test_collapsed_vectors(form, expected):
    method = build("voco", "resnet", form=form)
    batch = batch_for(method, "voco")
    batch["query"].box[:] = batch["base"].box[batch["base"].owner.unique().repeat_interleave(2) * 4]
    same = torch.eye(32)[:1]
    rows = {"base": len(batch["base"]), "query": len(batch["query"])}
    vectors = {f"{name}{end}": same.expand(count, 32) for name, count in rows.items() for end in ("", "_teacher")}
    loss, logs = method.loss(vectors, batch, context())
    if expected is None:  # 3 of 4 pairs are wrong by 1, and |cos| of the bases is 1
        expected = 0.75 * 13.8155 + 1
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert float(logs["similarity_positive"]) == float(logs["similarity_negative"]) == 1.0
    assert float(logs["embedding_std"]) == 0.0


def test_similarities_are_told_of_pairs_of_one_volume_only():
    method = build("voco", "resnet")
    batch = batch_for(method, "voco")
    by_volume = torch.eye(32)
    vectors = {f"{name}{end}": by_volume[batch[name].owner] for name in batch.roles for end in ("", "_teacher")}
    _, logs = method.loss(vectors, batch, context())
    assert float(logs["similarity_positive"]) == float(logs["similarity_negative"]) == 1.0


def test_the_teacher_starts_as_the_student_even_when_weights_come_later():
    method = build("voco", "resnet")
    with torch.no_grad():
        for parameter in method.encoder.parameters():
            parameter.mul_(1.5)
    batch = batch_for(method, "voco")
    vectors = method.encode(batch, context())
    assert torch.equal(vectors["base"], vectors["base_teacher"])
    assert vectors["base"].requires_grad
    assert not vectors["base_teacher"].requires_grad


def test_bases_are_encoded_once():
    method = build("voco", "resnet")
    seen = []
    method.encoder.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    batch = batch_for(method, "voco")
    method.encode(batch, context())
    assert seen == [len(batch["base"]) + len(batch["query"])]
