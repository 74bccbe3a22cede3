"""SelfCon: closed forms, labels of several levels, and which encoders have exits."""

import math

import pytest
import torch

from medssl.encoders.build import build_encoder
from medssl.encoders.wrap import as_encoder
from medssl.errors import RecipeError, UsageError
from medssl.methods.contract import Batch, Facts
from medssl.methods.contrastive.selfcon import SelfCon
from tests.methods.tiny import ENCODERS, batch_for, build, context, make_views


def batch_of(patients, **targets):
    views = make_views([(owner, (0, 0, 0)) for owner in range(len(patients))], patients)
    views.targets.update({name: torch.tensor(values) for name, values in targets.items()})
    return Batch({"view": views}, len(patients))


def draw(n, exits=2, seed=0):
    return torch.randn(n, exits, 8, generator=torch.Generator().manual_seed(seed))


def loss_of(method, z, batch):
    return method.loss({"view": z}, batch, context())


def supcon(z, label, tau, rows=None, patients=None):
    """SupCon over crops × exits as a loop: rows are (crop, exit); other crops of a patient are left out."""
    unit = torch.nn.functional.normalize(z, dim=2)
    places = [(n, e) for e in range(z.shape[1]) for n in range(z.shape[0])]
    who = range(len(z)) if patients is None else patients
    losses = []
    for a in rows or places:
        others = [p for p in places if p != a and (label[p[0]] == label[a[0]] or who[p[0]] != who[a[0]])]
        score = {p: float(unit[a] @ unit[p]) / tau for p in others}
        bottom = math.log(sum(math.exp(value) for value in score.values()))
        positive = [p for p in others if label[p[0]] == label[a[0]]]
        if positive:
            losses.append(-sum(score[p] - bottom for p in positive) / len(positive))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("exits", [2, 3])
def test_equal_vectors(exits):
    method = build("selfcon", "resnet", exits=tuple(range(-exits, -1)))
    loss, _ = loss_of(method, torch.ones(4, exits, 8), batch_of([1, 2, 3, 4]))
    assert float(loss) == pytest.approx(math.log(4 * exits - 1), rel=1e-5)


def test_two_orthogonal_samples_with_equal_exits():
    method = build("selfcon", "resnet", exits=(-2,), temperature=0.3)
    z = torch.eye(8)[:2, None].expand(2, 2, 8)
    loss, logs = loss_of(method, z, batch_of([1, 2]))
    assert float(loss) == pytest.approx(math.log(1 + 2 * math.exp(-1 / 0.3)), rel=1e-4)
    assert float(logs["similarity_positive"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("exits", "seed"), [(2, 0), (3, 1)])
def test_equals_the_paper_as_a_loop(exits, seed):
    method = build("selfcon", "resnet", exits=tuple(range(-exits, -1)), temperature=0.2)
    z = draw(5, exits, seed)
    found, _ = loss_of(method, z, batch_of([1, 2, 3, 4, 5]))
    assert float(found) == pytest.approx(supcon(z, list(range(5)), 0.2), rel=1e-5)


def test_alpha_leaves_the_last_exit_out_of_the_rows_that_meet_the_others():
    z, tau, labels = draw(4, 3), 0.2, [0.0, 1.0, 0.0, 2.0]
    first = [(n, e) for e in range(2) for n in range(4)]
    towards = supcon(z, labels, tau, rows=first)
    among = supcon(z[:, 2:], labels, tau)
    settings = {"exits": (-3, -2), "temperature": tau, "alpha": 0.7}
    found, _ = loss_of(
        build("selfcon", "resnet", targets=("kind",), **settings), z, batch_of([1, 2, 3, 4], kind=labels)
    )
    assert float(found) == pytest.approx(among + 0.7 * towards, rel=1e-5)
    alone, _ = loss_of(build("selfcon", "resnet", **settings), z, batch_of([1, 2, 3, 4]))
    assert float(alone) == pytest.approx(0.7 * supcon(z, range(4), tau, rows=first), rel=1e-5)


def test_labels_are_positives_and_losses_of_columns_are_summed():
    kind, site = [0.0, 0.0, 1.0, 1.0], [3.0, 4.0, 3.0, 4.0]
    z, batch = draw(4), batch_of([1, 2, 3, 4], kind=kind, site=site)
    method = build("selfcon", "resnet", exits=(-2,), temperature=0.2, targets=("kind", "site"))
    found, logs = loss_of(method, z, batch)
    assert float(logs["loss_kind"]) == pytest.approx(supcon(z, kind, 0.2), rel=1e-5)
    assert float(found) == pytest.approx(supcon(z, kind, 0.2) + supcon(z, site, 0.2), rel=1e-5)


def test_an_unknown_label_is_neither_the_same_nor_another():
    nan = math.nan
    method = build("selfcon", "resnet", exits=(-2,), temperature=0.2, targets=("kind",))
    z = draw(5)
    found, logs = loss_of(method, z, batch_of([1, 2, 3, 4, 5], kind=[0.0, nan, 1.0, nan, 0.0]))
    assert int(logs["dropped_without_negative"]) == 4
    assert float(found) == pytest.approx(supcon(z[[0, 2, 4]], [0, 1, 0], 0.2), rel=1e-5)


def test_a_batch_without_labels_is_left_out_and_says_which_columns_there_are():
    method = build("selfcon", "resnet", targets=("knd",))
    with pytest.raises(UsageError, match=r"no two patients of the batch differ in knd \[batch\] \(columns .*: kind\)"):
        loss_of(method, draw(2, 3), batch_of([1, 2], kind=[0.0, 1.0]))


@pytest.mark.parametrize("targets", [(), ("kind",)])
def test_a_scan_of_the_same_patient_is_never_a_negative(targets):
    settings = {"exits": (-2,), "temperature": 0.2, "targets": targets}
    z, patients, kind = draw(4), [5, 5, 6, 7], [0.0, 1.0, 1.0, 2.0]
    labels = kind if targets else list(range(4))
    batch = batch_of(patients, kind=kind)
    found, _ = loss_of(build("selfcon", "resnet", **settings), z, batch)
    assert float(found) == pytest.approx(supcon(z, labels, 0.2, patients=patients), rel=1e-5)
    asked, _ = loss_of(build("selfcon", "resnet", same_patient_negatives=True, **settings), z, batch)
    assert float(asked) == pytest.approx(supcon(z, labels, 0.2), rel=1e-5)
    assert asked > found


def test_exits_are_levels_and_last_the_pooled_vector_each_with_its_head():
    method = build("selfcon", "resenc")
    batch = batch_for(method, "selfcon")
    vectors = method.encode(batch, context())
    assert vectors["view"].shape == (4, 3, 16)
    features = method.encoder(batch["view"].image)
    torch.testing.assert_close(vectors["view"][:, -1], method.heads[-1](features.pooled))
    level = features.pyramid[-2].data.flatten(2).mean(2)
    torch.testing.assert_close(vectors["view"][:, 1], method.heads[1](level))
    assert torch.equal(method.embedded(vectors, batch)["view"], vectors["view"])
    assert len({id(p) for head in method.heads for p in head.parameters()}) == 3 * 5


def test_an_encoder_without_exits_is_refused_by_name():
    vit = build_encoder("vit", 1, **ENCODERS["vit"])
    with pytest.raises(RecipeError, match=r"ViT has a pyramid of 1 level.*\[encoder\] \(use an encoder with several"):
        SelfCon(vit)
    flat = as_encoder(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4)), 1, (4, 4, 4))
    with pytest.raises(RecipeError, match=r"Wrapped has a pyramid of 0 level"):
        SelfCon(flat)


@pytest.mark.parametrize("exits", [(), (-2, -2), (-9,), (-1,)])
def test_exits_that_do_not_exist_are_refused(exits):
    with pytest.raises(RecipeError, match=r"exits: expected different levels from -4 to -2 of ResNet.*, got \["):
        build("selfcon", "resnet", exits=exits)


def test_columns_without_values_are_refused_by_name():
    facts = Facts(scans=4, patients=4, batch=4, steps=1, targets=("kind", "site"))
    with pytest.raises(
        RecipeError, match=r"targets: expected columns .* got 'knd' \[recipe-value\] \(.*: kind, site\)"
    ):
        build("selfcon", "resnet", targets=("kind", "knd")).check(facts)
    assert build("selfcon", "resnet", targets=("site",)).check(facts) == []


def test_nothing_is_watched_where_nothing_was_encoded():
    assert build("selfcon", "resnet").embedded({}, batch_of([1, 2])) == {}


def test_alpha_without_labels_is_noted():
    facts = Facts(scans=4, patients=4, batch=4, steps=1)
    assert "method.alpha" in build("selfcon", "resnet", alpha=1.0).check(facts)[0]
    assert build("selfcon", "resnet", alpha=1.0, targets=("kind",)).check(facts) == []
