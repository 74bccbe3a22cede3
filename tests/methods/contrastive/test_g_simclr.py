"""G-SimCLR: what the autoencoder sees and rebuilds, who stands in a batch, and going on exactly."""

from __future__ import annotations

import pytest
import torch

from medssl import draws
from medssl.errors import RecipeError
from medssl.manifest import Record
from medssl.methods.contract import Facts
from medssl.methods.contrastive.g_simclr import SIGMA, GSimCLR
from medssl.methods.contrastive.looks import LOOKS
from medssl.training.fit import fit
from medssl.views.make import make_views
from medssl.views.settings import ViewSettings
from tests.methods.contrastive.runs import SMALL, VIEWS, assert_goes_on_exactly, encoder, make_store, plan_of
from tests.methods.tiny import batch_for, build, context
from tests.methods.tiny import make_views as hand_made

PATIENTS = ("a", "a", "b", "c", "d", "e", "f", "g", "h")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    return make_store(folder, [Record(f"{n}.nii.gz", patient) for n, patient in enumerate(PATIENTS)])


def make(**settings):
    return GSimCLR(encoder(), denoise=0.4, **SMALL, **settings)


def test_the_noise_has_the_papers_size_and_lies_on_the_same_grid(store):
    settings = ViewSettings(crop=(16, 16, 16), rotate_deg=30, flip=(1, 1, 1), augment=("gamma", "blur"))
    stage = make().stages(10, settings)[0]
    views = make_views(store, (3,), stage.views, draws.generator(0, draws.VIEW, 0, 0))
    clean, noisy = views["clean"][0], views["noisy"][0]
    assert (clean.grid.affine == noisy.grid.affine).all()
    inside = (clean.image > 0.1) & (clean.image < 0.9)  # where noise is not cut at the range's ends
    assert float((noisy.image - clean.image)[inside].std()) == pytest.approx(SIGMA, rel=0.1)
    assert {part for part, _ in clean.params["augment"]} == set()


def test_the_autoencoder_is_held_to_the_clean_crop_without_padding():
    method = build("g-simclr", "resnet")
    views = {name: hand_made([(0, (0, 0, 0)), (1, (4, 0, 0))], [5, 6]) for name in ("clean", "noisy")}
    views["noisy"].image = views["noisy"].image + 0.1
    views["clean"].valid[0, :, 8:] = False
    batch = batch_for(method, "g-simclr", 2)
    batch.roles = views
    ctx = context(stage="denoise")
    vectors = method.encode(batch, ctx)
    loss, _ = method.loss(vectors, batch, ctx)
    errors = (vectors["rebuilt"] - views["clean"].image).square()
    torch.testing.assert_close(loss, errors[views["clean"].valid].mean())
    loss.backward()
    assert all(p.grad is not None for part in (method.encoder, method.decoder) for p in part.parameters())
    assert all(p.grad is None for p in method.projector.parameters())


@pytest.mark.parametrize("coupled", [True, False])
def test_the_contrast_is_the_loop_and_spares_the_same_patient(coupled):
    method = build("g-simclr", "resnet", coupled=coupled)
    patients, owners = [5, 5, 6, 7], [0, 1, 2, 3]
    batch = batch_for(method, "g-simclr")
    batch.roles = {role: hand_made([(o, (0, 0, 0)) for o in owners], patients) for role in ("view", "partner")}
    z = torch.nn.functional.normalize(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    terms = []
    for i in range(8):
        positive = float(z[i] @ z[(i + 4) % 8]) / 0.5
        others = [float(z[i] @ z[j]) / 0.5 for j in range(8) if patients[i % 4] != patients[j % 4]]
        terms.append(torch.tensor([*others, positive] if coupled else others).logsumexp(0) - positive)
    loss, _ = method.loss({"view": z[:4], "partner": z[4:]}, batch, context())
    torch.testing.assert_close(loss, torch.stack(terms).mean())


def test_the_survey_clusters_scans_into_as_many_as_a_batch_has():
    method = build("g-simclr", "resnet")
    centres = torch.eye(3, 8).repeat_interleave(2, 0)[[0, 2, 4, 1, 3, 5]]
    crops = centres.repeat_interleave(LOOKS, 0) + 0.01 * torch.randn(6 * LOOKS, 8)
    found = method.survey({"look": crops}, {}, context(batch=3, generator=torch.Generator().manual_seed(0)))
    labels = found["cluster"].tolist()
    assert labels[:3] == labels[3:]
    assert set(labels) == {0, 1, 2}


def test_no_cluster_and_no_patient_stands_twice_in_a_batch(store, tmp_path):
    method = make()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    plan = plan_of(method, batch=3)
    assert [(stage.name, stage.steps) for stage in plan.stages] == [("denoise", 2), ("main", 4)]
    seen = []
    chosen = plan.stages[1].sampler

    def spy(ids, surveys):
        seen.append((chosen(ids, surveys), surveys["main"]["cluster"]))
        return seen[-1][0]

    object.__setattr__(plan.stages[1], "sampler", spy)
    fit(method, store, plan, tmp_path)
    ((sampler, labels),) = seen
    assert labels.shape == (len(PATIENTS),)
    assert len(labels.unique()) == 3
    for step in range(20):
        scans = [scan for (scan,) in sampler.draw(step, 3, draws.generator(0, draws.SAMPLE, step))]
        assert len({int(labels[scan]) for scan in scans}) == len({PATIENTS[scan] for scan in scans}) == 3
    after = method.state_dict()
    moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"encoder", "decoder", "projector"}


def test_each_stage_trains_its_own_parts():
    first, second = make().stages(10, VIEWS)
    assert (first.trains, second.trains) == (("encoder.", "decoder."), ("encoder.", "projector."))
    assert (first.survey, second.survey) == (False, True)
    assert {role.augment for role in second.survey_views.values()} == {()}
    assert [stage.steps for stage in make().stages(2, VIEWS)] == [1, 1]


def test_it_goes_on_exactly(store, tmp_path):
    assert_goes_on_exactly(make, store, tmp_path, (1, 2, 5))


def test_too_few_patients_or_steps_are_refused():
    method = make()
    assert method.check(Facts(scans=9, patients=8, batch=4, steps=10)) == []
    with pytest.raises(RecipeError, match=r"5 clusters need scans of 10 patients or more, got 8") as caught:
        method.check(Facts(scans=9, patients=8, batch=5, steps=10))
    assert (caught.value.path, caught.value.hint) == ("clusters", "lower optim.batch")
    with pytest.raises(RecipeError, match=r"two stages need 2 steps or more, got 1"):
        method.check(Facts(scans=9, patients=8, batch=4, steps=1))
    (note,) = make(clusters=2).check(Facts(scans=9, patients=8, batch=4, steps=10))
    assert "2 clusters and 4 samples" in note
