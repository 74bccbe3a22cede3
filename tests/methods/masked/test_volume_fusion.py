"""Volume Fusion: the maps of both forms, what is mixed where, the loss as a loop."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from medssl import draws
from medssl.errors import InputError, RecipeError, UsageError
from medssl.loading.other_patient import OtherPatientSampler
from medssl.methods.contract import Facts
from medssl.methods.masked.fusion_map import FusionMap, class_map
from medssl.views.settings import ViewSettings
from tests.methods.tiny import batch_for, build, context

SHAPE = (64, 48, 40)


@dataclass(frozen=True)
class Ids:
    """The patients of scans, as a sampler asks for them."""

    patients: list[int]

    def __len__(self):
        return len(self.patients)

    def ids(self, position):
        """Of one scan."""
        return {"patient": self.patients[position]}


def drawn(seed, shape=SHAPE, **settings):
    return FusionMap(**settings).draw(shape, np.random.default_rng(seed))


def fusion(**settings):
    method = build("volume-fusion", "resenc", **settings)
    return method, batch_for(method, "volume-fusion")


def test_cells_of_one_size_on_a_grid_with_an_offset():
    offsets = set()
    for seed in range(30):
        numbers = drawn(seed)
        found = class_map(numbers, SHAPE).numpy()
        edge, offset = numbers["edge"], numbers["offset"]
        assert all(8 <= e <= 32 for e in edge)
        assert all(0 <= o <= n % e for o, n, e in zip(offset, SHAPE, edge, strict=True))
        offsets.add(tuple(offset))
        cells = [n // e for n, e in zip(SHAPE, edge, strict=True)]
        classes = []
        for at in np.ndindex(*cells):
            cut = tuple(slice(o + c * e, o + (c + 1) * e) for o, c, e in zip(offset, at, edge, strict=True))
            classes.append(int(found[cut].flat[0]))
            assert (found[cut] == classes[-1]).all()
            found[cut] = 0
        assert not found.any(), "nothing is foreground beyond the cells"
        assert sum(c > 0 for c in classes) == int(0.7 * math.prod(cells))
        assert set(classes) <= {0, 1, 2, 3, 4}
    assert len(offsets) > 20


def test_classes_and_edges_are_even():
    counts: Counter[int] = Counter()
    edges: Counter[int] = Counter()
    for seed in range(300):
        numbers = drawn(seed)
        counts.update(bytes.fromhex(numbers["classes"]))
        edges.update(numbers["edge"])
    above = sum(counts[c] for c in range(1, 5))
    assert all(counts[c] / above == pytest.approx(0.25, abs=0.03) for c in range(1, 5))
    assert (min(edges), max(edges)) == (8, 32)
    assert sum(drawn(seed)["inverted"] for seed in range(400)) / 400 == pytest.approx(0.25, abs=0.06)


def test_boxes_are_drawn_over_one_another():
    lengths, classes = Counter(), Counter()
    for seed in range(200):
        numbers = drawn(seed, form="nnssl")
        boxes = numbers["boxes"]
        lengths[len(boxes)] += 1
        expected = np.zeros(SHAPE, np.int64)
        for *at, number in boxes:
            for start, size, n in zip(at[:3], at[3:], SHAPE, strict=True):
                assert 8 <= size <= int(0.625 * n)
                assert 0 <= start <= n - size
            expected[tuple(slice(s, s + n) for s, n in zip(at[:3], at[3:], strict=True))] = number
            classes[number] += 1
        np.testing.assert_array_equal(class_map(numbers, SHAPE).numpy(), expected)
        assert not numbers["inverted"]
    assert (min(lengths), max(lengths)) == (10, 39)
    assert all(classes[c] / sum(classes.values()) == pytest.approx(0.2, abs=0.02) for c in range(5))


@pytest.mark.parametrize("form", ["official", "nnssl"])
def test_views_smaller_than_a_cell_have_a_map(form):
    assert class_map(drawn(0, (5, 9, 4), form=form), (5, 9, 4)).shape == (5, 9, 4)


@pytest.mark.parametrize("form", ["official", "nnssl"])
def test_class_0_is_the_background_and_class_k_the_foreground(form):
    method, batch = fusion(form=form, edge=(4, 8))
    for params in batch["view"].params:
        params["numbers"]["inverted"] = False
    label, image = method.labels(batch), method.fused(batch)
    front, back = batch["view"].image, batch["other"].image
    assert set(label.unique().tolist()) == {0, 1, 2, 3, 4}
    assert torch.equal(image[label == 0], back[label == 0])
    assert torch.equal(image[label == 4], front[label == 4])
    for number in range(5):
        here = label == number
        torch.testing.assert_close(image[here], (number / 4) * front[here] + (1 - number / 4) * back[here])
    low, high = torch.minimum(front, back), torch.maximum(front, back)
    assert bool(((image >= low - 1e-6) & (image <= high + 1e-6)).all())


def test_both_are_inverted_together_and_padding_is_not():
    method, batch = fusion()
    batch["other"].valid[:, :, 12:] = False
    for views in batch.roles.values():
        views.image = views.image.sigmoid() * views.valid
    for params in batch["view"].params:
        params["numbers"]["inverted"] = False
    plain = method.fused(batch)
    for params in batch["view"].params:
        params["numbers"]["inverted"] = True
    turned, inside = method.fused(batch), batch["other"].valid
    torch.testing.assert_close(turned[inside], 1 - plain[inside])
    empty = ~inside & (method.labels(batch) == 0)
    assert float(turned[empty].abs().max()) == 0


def test_uniform_logits_give_log_of_the_number_of_classes():
    for classes in (1, 4, 7):
        method, batch = fusion(classes=classes)
        logits = torch.zeros(4, classes + 1, 16, 16, 16)
        _, logs = method.loss({"view_logits": logits}, batch, context())
        assert float(logs["cross_entropy"]) == pytest.approx(math.log(classes + 1), rel=1e-6)
        perfect = 100 * torch.nn.functional.one_hot(method.labels(batch)[:, 0], classes + 1).movedim(-1, 1).float()
        loss, logs = method.loss({"view_logits": perfect}, batch, context())
        assert float(loss) == pytest.approx(0, abs=1e-4)
        assert float(logs["accuracy"]) == 1


def test_the_loss_is_the_definition_with_the_background_as_a_class():
    method, batch = fusion()
    batch["view"].valid[0, :, 9:] = False
    batch["other"].valid[1, :, :, :5] = False
    label = method.labels(batch)
    logits = torch.randn(4, 5, 16, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    p, entropy, count = logits.softmax(1), 0.0, 0
    overlap = torch.zeros(3, 5)
    for n, i, j, k in np.ndindex(4, 16, 16, 16):
        true = int(label[n, 0, i, j, k])
        needs_front, needs_back = true > 0, true < 4
        front, back = (bool(batch[role].valid[n, 0, i, j, k]) for role in ("view", "other"))
        if (needs_front and not front) or (needs_back and not back):
            continue
        count += 1
        entropy -= math.log(float(p[n, true, i, j, k]))
        overlap[0, true] += p[n, true, i, j, k].detach()
        overlap[1] += p[n, :, i, j, k].detach()
        overlap[2, true] += 1
    dice = 1 - (2 * overlap[0] / (overlap[1] + overlap[2])).mean()
    loss, _ = method.loss({"view_logits": logits}, batch, context())
    assert 0 < count < 4 * 16**3
    assert float(loss) == pytest.approx(entropy / count + float(dice), rel=1e-4)


def test_all_padding_says_nothing_and_breaks_nothing():
    method, batch = fusion()
    for views in batch.roles.values():
        views.valid[:] = False
    loss, logs = method.loss(method.encode(batch, context()), batch, context())
    loss.backward()
    assert float(logs["cross_entropy"]) == 0
    assert loss.isfinite()


def test_forms_take_their_scans_from_where_they_should():
    settings = ViewSettings(crop=(16, 16, 16), scale=(0.7, 1.5), augment=("gamma",))
    official = build("volume-fusion", "resenc").stages(3, settings)[0]
    other = build("volume-fusion", "resenc", form="nnssl").stages(3, settings)[0]
    assert [role.record for role in official.views.values()] == [0, 0]
    assert official.sampler is None
    assert [role.record for role in other.views.values()] == [0, 1]
    assert official.views["other"].numbers is None
    assert official.views["other"].augment == official.views["view"].augment
    ids = Ids([3, 3, 3, 4, 5, -1])
    sampler = other.sampler(ids, {})
    for step in range(20):
        for one, two in sampler.draw(step, 4, draws.generator(0, step)):
            assert ids.patients[one] != ids.patients[two]
    with pytest.raises(InputError, match=r"pairs of different patients need scans of two or more.*too-few"):
        OtherPatientSampler(Ids([3, 3]))


def test_every_other_patient_is_taken():
    ids = Ids([0, 1, 1, 2])
    pairs = {pair for step in range(60) for pair in OtherPatientSampler(ids).draw(step, 3, draws.generator(1, step))}
    assert pairs == {(a, b) for a in range(4) for b in range(4) if ids.patients[a] != ids.patients[b]}


def test_one_patient_is_refused_for_pairs():
    facts = Facts(scans=1, patients=1, batch=2, steps=3)
    with pytest.raises(RecipeError, match="form: fusing two patients needs scans of 2 or more, got 1"):
        build("volume-fusion", "resenc", form="nnssl").check(facts)
    assert build("volume-fusion", "resenc").check(facts) == []


def test_views_without_a_map_and_edges_that_fall_are_refused():
    method, batch = fusion()
    batch["view"].params = []
    with pytest.raises(UsageError, match=r"needs views with a fusion map .*\[batch\]"):
        method.encode(batch, context())
    with pytest.raises(RecipeError, match="edge: edge must be two rising numbers from 1, got"):
        build("volume-fusion", "resenc", edge=(9, 8))


def test_pictures_show_how_much_foreground_there_is_and_was_found():
    method, batch = fusion()
    shown = method.pictures(batch, context())
    assert list(shown) == ["input", "seen", "rebuilt"]
    assert shown["seen"].unique().tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert 0 <= float(shown["rebuilt"].min()) <= float(shown["rebuilt"].max()) <= 1
