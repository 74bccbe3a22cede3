"""MCL: stages, clusters of all surveys, what is kept of each stage, and going on exactly."""

from __future__ import annotations

import math

import pytest
import torch

from medssl import draws
from medssl.encoders.build import build_encoder
from medssl.errors import RecipeError
from medssl.manifest import Record
from medssl.methods.contract import Facts
from medssl.methods.contrastive.looks import LOOKS
from medssl.methods.contrastive.mcl import MCL, concatenated
from medssl.training.fit import fit
from medssl.training.logs import read_metrics
from medssl.weights.folder import load_weights, save_weights
from tests.methods.contrastive.pairs import batch_of, draw, loss_of
from tests.methods.contrastive.runs import SMALL, VIEWS, assert_goes_on_exactly, encoder, make_store, plan_of
from tests.methods.tiny import build, context


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("scans"), [Record(f"{n}.nii.gz", f"p{n}") for n in range(8)])


def make(**settings):
    return MCL(encoder(), **{"stages": 3, "clusters": 2, **SMALL, **settings})


def surveyed(method, number, features, patients, surveys, batch=2):
    crops = features.repeat_interleave(LOOKS, 0)
    ids = {"patient": patients.repeat_interleave(LOOKS)}
    ctx = context(stage=f"stage-{number}", surveys=surveys, batch=batch, generator=torch.Generator().manual_seed(0))
    return method.survey({"look": crops}, ids, ctx)


def test_groups_come_of_the_surveys_of_all_stages():
    method, patients = make(), torch.arange(16)
    first = torch.eye(2, 8)[torch.arange(16) % 2]
    second = torch.eye(2, 8)[torch.arange(16) // 2 % 2]
    surveys = {"stage-1": surveyed(method, 1, first, patients, {})}
    surveys["stage-2"] = surveyed(method, 2, second, patients, surveys)
    group = surveys["stage-2"]["group"]
    expected = torch.arange(16) % 4
    assert torch.equal(group[:, None] == group[None, :], expected[:, None] == expected[None, :])
    assert [int(surveys["stage-2"][name]) for name in ("groups", "clusters_merged", "scans_left_out")] == [4, 0, 0]
    again = surveyed(method, 2, second, patients, surveys, batch=8)
    assert [int(again[name]) for name in ("groups", "clusters_merged", "scans_left_out")] == [2, 4, 0]


def test_each_stage_has_its_projector_its_clusters_and_leaves_its_encoder(store, tmp_path):
    method = make()
    plan = plan_of(method)
    assert [(stage.name, stage.steps, stage.survey) for stage in plan.stages] == [
        ("stage-0", 2, False),
        ("stage-1", 2, True),
        ("stage-2", 2, True),
    ]
    seen = {}
    for stage in plan.stages[1:]:
        chosen = stage.sampler

        def spy(ids, surveys, name=stage.name, chosen=chosen):
            weights = [p.clone() for p in method.encoder.parameters()]
            seen[name] = (chosen(ids, surveys), surveys[name]["group"], weights)
            return seen[name][0]

        object.__setattr__(stage, "sampler", spy)
    before = [[p.clone() for p in projector.parameters()] for projector in method.projectors]
    fit(method, store, plan, tmp_path)
    for number, name in enumerate(("stage-1", "stage-2")):
        sampler, group, weights = seen[name]
        kept = list(method.earlier[number].parameters())
        assert all(torch.equal(old, new) for old, new in zip(weights, kept, strict=True))
        assert not any(p.requires_grad for p in kept)
        for step in range(12):
            scans = [scan for (scan,) in sampler.draw(step, 2, draws.generator(0, draws.SAMPLE, step))]
            assert len({int(group[scan]) for scan in scans}) == 1
            assert int(group[scans[0]]) >= 0
            assert len(set(scans)) == 2
    after = [list(projector.parameters()) for projector in method.projectors]
    assert all(not torch.equal(old[0], new[0]) for old, new in zip(before, after, strict=True))
    assert not all(
        torch.equal(a, b) for a, b in zip(method.earlier[1].parameters(), method.encoder.parameters(), strict=True)
    )
    metrics = read_metrics(tmp_path / "metrics.csv")
    assert [math.isnan(value) for value in metrics["groups"]] == [True] * 2 + [False] * 4


def test_the_contrast_is_that_of_the_stages_own_projector():
    method = build("mcl", "resnet")
    batch = batch_of([5, 6, 7])
    one, two = (method.encode(batch, context(stage=f"stage-{n}"))["view"] for n in (0, 2))
    assert not torch.allclose(one, two)


def test_the_loss_is_the_loop_and_spares_the_same_patient():
    method = build("mcl", "resnet", temperature=0.2)
    patients = [5, 5, 6]
    z = torch.nn.functional.normalize(draw(6, 16), dim=1)
    terms = []
    for i in range(6):
        others = [z[i] @ z[j] / 0.2 for j in range(6) if patients[i % 3] != patients[j % 3]]
        positive = z[i] @ z[(i + 3) % 6] / 0.2
        terms.append(torch.stack([*others, positive]).logsumexp(0) - positive)
    loss, _ = loss_of(method, batch_of(patients), z[:3], z[3:])
    torch.testing.assert_close(loss, torch.stack(terms).mean())


def test_the_representation_has_a_part_of_length_one_for_each_stage(tmp_path):
    method = make().eval()
    for number, one in enumerate(method.earlier):
        torch.manual_seed(10 + number)
        for weight in one.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    image = draw(3, 1, 16, 16, 16)
    with torch.no_grad():
        found = method.represent(image)
        parts = [one(image).pooled for one in (*method.earlier, method.encoder)]
    assert found.shape == (3, 3 * method.encoder.width)
    torch.testing.assert_close(found.norm(dim=1), torch.full((3,), math.sqrt(3)))
    for part, columns in zip(parts, found.split(method.encoder.width, dim=1), strict=True):
        torch.testing.assert_close(columns, torch.nn.functional.normalize(part, dim=1))
    # and so from the weights alone
    save_weights(tmp_path / "w", method.exported(), {"encoder": None, "in_channels": 1, "input": {}}, {})
    weights = load_weights(tmp_path / "w")
    encoders = []
    for tensors in (weights.heads["encoder-0"], weights.heads["encoder-1"], weights.encoder):
        encoders.append(
            build_encoder("resenc", 1, widths=(4, 8, 8), blocks=(1, 1, 1), strides=(1, 2, 2), norm="instance").eval()
        )
        encoders[-1].load_state_dict(tensors)
    with torch.no_grad():
        torch.testing.assert_close(concatenated(encoders, image), found)


def test_it_goes_on_exactly(store, tmp_path):
    assert_goes_on_exactly(make, store, tmp_path, (2, 3, 5))


def test_too_few_patients_or_steps_are_refused():
    assert [stage.steps for stage in make().stages(7, VIEWS)] == [3, 2, 2]
    assert make().check(Facts(scans=40, patients=8, batch=4, steps=10)) == []
    with pytest.raises(RecipeError, match=r"2 clusters need scans of 4 patients or more, got 3") as caught:
        make().check(Facts(scans=9, patients=3, batch=4, steps=10))
    assert caught.value.path == "clusters"
    with pytest.raises(RecipeError, match=r"3 stages need as many steps, got 2"):
        make().check(Facts(scans=9, patients=8, batch=4, steps=2))
    (note,) = make(clusters=4).check(Facts(scans=40, patients=40, batch=4, steps=10))
    assert "clusters of 2 surveys will be smaller than a batch of 4" in note
