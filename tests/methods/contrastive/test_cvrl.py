"""CVRL: the law of distances through the method's own views, in millimetres and in days."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medssl import draws
from medssl.errors import InputError, RecipeError
from medssl.manifest import Record
from medssl.methods.contrastive.cvrl import CVRL
from medssl.training.fit import fit
from medssl.views.make import draw_views, make_views
from medssl.views.settings import ViewSettings
from tests.methods.contrastive.pairs import draw
from tests.methods.contrastive.runs import SMALL, VIEWS, assert_goes_on_exactly, encoder, make_store, plan_of
from tests.methods.tiny import batch_for, build, context
from tests.methods.tiny import make_views as hand_made

SHAPE, SPACING = (40, 30, 24), (1.0, 2.0, 3.0)
DAYS = {"a": (0, 10, 40), "b": (5, 25), "c": (7,), "d": ("", "")}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    records = []
    for patient, days in DAYS.items():
        for day in days:
            records.append(Record(f"{len(records)}.nii.gz", patient, targets={"day": str(day)}))
    return make_store(tmp_path_factory.mktemp("scans"), records, SHAPE, SPACING)


def make(**settings):
    return CVRL(encoder(), **{**SMALL, **settings})


def gaps_mm(store, method, count=600, crop=(8, 8, 8)):
    """Distance of the two views along each axis, ``(count, 3)`` millimetres."""
    roles = method.views(ViewSettings(crop=crop))
    found = []
    for slot in range(count):
        one, two = draw_views(store, (0,), roles, draws.generator(0, draws.VIEW, 0, slot))["view"]
        found.append(np.abs(one.grid.affine[:3, 3] - two.grid.affine[:3, 3]))
    return np.array(found)


@pytest.mark.parametrize("power", [1.0, 3.0])
def test_the_mean_distance_is_that_of_the_law_on_every_axis(store, power):
    longest = (np.array(SHAPE) - 8) * np.array(SPACING)
    gaps = gaps_mm(store, make(power=power))
    assert (gaps <= longest + 1e-6).all()
    # M (a + 1) / (2 (a + 2)): M/3 for a = 1
    np.testing.assert_allclose(gaps.mean(axis=0) / longest, (power + 1) / (2 * (power + 2)), atol=0.035)


def test_reach_is_in_millimetres_whatever_the_voxels(store):
    gaps = gaps_mm(store, make(reach=12.0))
    assert gaps.max() <= 12 + 1e-6
    np.testing.assert_allclose(gaps[:, 0].mean(), 4.0, atol=0.5)
    assert (gaps_mm(store, make(reach=(4.0, 8.0, 3.0)), 100).max(axis=0) <= np.array([4.0, 8.0, 3.0]) + 1e-6).all()


def test_the_loss_is_the_loop_and_spares_the_same_patient():
    method = build("cvrl", "resnet", temperature=0.2)
    patients = [5, 5, 6]
    batch = batch_for(method, "cvrl", 3)
    batch.roles = {"view": hand_made([(o, (0, 0, 0)) for o in (0, 0, 1, 1, 2, 2)], patients)}
    z = torch.nn.functional.normalize(draw(6, 16), dim=1)
    terms = []
    for i in range(6):
        positive = z[i] @ z[i ^ 1] / 0.2
        others = [z[i] @ z[j] / 0.2 for j in range(6) if patients[i // 2] != patients[j // 2]]
        terms.append(torch.stack([*others, positive]).logsumexp(0) - positive)
    loss, _ = method.loss({"view": z}, batch, context())
    torch.testing.assert_close(loss, torch.stack(terms).mean())


def test_what_is_drawn_for_a_view_holds_for_all_of_its_slices(store):
    settings = ViewSettings(crop=(16, 16, 16), augment=({"name": "gamma", "p": 1}, {"name": "brightness", "p": 1}))
    role = make().views(settings)["view"]
    constant = torch.full((1, 16, 16, 16), 0.4)
    for view in make_views(store, (0,), {"view": role}, draws.generator(0, draws.VIEW, 0, 0))["view"]:
        image = constant
        for part, (_, numbers) in zip(role.augment, view.params["augment"], strict=True):
            image = part.apply(image, numbers)
        assert float(image.std()) < 1e-6
        assert not torch.allclose(image, constant)


def test_pairs_in_time_are_of_one_patient_and_follow_the_law(store):
    method = make(apart="time")
    (stage,) = method.stages(4, VIEWS)
    sampler = stage.sampler(store, {})
    gaps = []
    for step in range(300):
        for one, two in sampler.draw(step, 4, draws.generator(0, draws.SAMPLE, step)):
            ids = store.ids(one), store.ids(two)
            assert ids[0]["patient"] == ids[1]["patient"]
            if ids[0]["record"] == store.ids(0)["record"] or ids[1]["record"] == store.ids(0)["record"]:
                gaps.append(abs(ids[0]["time"] - ids[1]["time"]))
    assert {0, 10, 40} == set(gaps)
    reached = make(apart="time", reach=15.0).stages(4, VIEWS)[0].sampler(store, {})
    pairs = [pair for step in range(50) for pair in reached.draw(step, 4, draws.generator(0, draws.SAMPLE, step))]
    assert {abs(store.ids(a)["time"] - store.ids(b)["time"]) for a, b in pairs} == {0, 10}


def test_in_time_both_views_are_of_the_same_place(store):
    roles = make(apart="time").views(ViewSettings(crop=(8, 8, 8)))
    assert [role.record for role in roles.values()] == [0, 1]
    for slot in range(20):
        drawn = draw_views(store, (0, 0), roles, draws.generator(0, draws.VIEW, 0, slot))
        one, two = drawn["view"][0].grid.affine, drawn["partner"][0].grid.affine
        assert np.abs(one[:3, 3] - two[:3, 3]).max() <= max(SPACING) + 1e-6


def test_a_run_in_time_goes_on_exactly(store, tmp_path):
    assert_goes_on_exactly(lambda: make(apart="time"), store, tmp_path, (3,))


def test_without_visits_time_is_refused(store, tmp_path):
    method = make(apart="time")
    with pytest.raises(InputError, match=r"no patient was scanned on two known days") as caught:
        fit(method, store.subset([0, 3, 5, 6, 7]), plan_of(method), tmp_path)
    assert "method.apart=space" in caught.value.hint
    with pytest.raises(RecipeError, match=r"expected one number of days, got \[1\.0, 2\.0, 3\.0\]"):
        make(apart="time", reach=(1.0, 2.0, 3.0))
