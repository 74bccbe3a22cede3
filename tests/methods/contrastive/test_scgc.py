"""SCGC: the paper as a loop, its closed forms, and clusters that start from a survey."""

import math

import pytest
import torch

from medssl.errors import RecipeError, UsageError
from medssl.methods.contract import Batch, Facts
from medssl.methods.contrastive.crop_graph import CropGraph, coarse_look
from medssl.methods.contrastive.scgc import Influence
from medssl.methods.contrastive.self_training import SelfTraining
from medssl.views.settings import ViewSettings
from tests.methods.tiny import batch_for, build, context, make_views

ALONE = CropGraph(crops=2, neighbours=0)


def batch_of(patients, origins=None):
    """A view and a partner of each scan; the partner's origin may be elsewhere."""
    owners = range(len(patients))
    moved = origins or [(0, 0, 0)] * len(patients)
    view = make_views([(owner, (0, 0, 0)) for owner in owners], patients)
    return Batch({"view": view, "partner": make_views(list(zip(owners, moved, strict=True)), patients)}, len(patients))


def draw(n, seed=0):
    return torch.randn(n, 16, generator=torch.Generator().manual_seed(seed))


def loss_of(method, z, batch, **ctx):
    first, second = z.chunk(2)
    return method.loss({"view": first, "partner": second}, batch, context(**ctx))


def looped(z, edges, apart, order, cumulative, tau):
    """The mean over rows of −log(Σ A e^{τs} / Σ e^{τs}) with rows of A that sum to one."""
    n = len(z)
    unit = torch.nn.functional.normalize(z, dim=1)
    step = [[e / max(1.0, sum(row)) for e in row] for row in edges]
    power, total = step, [list(row) for row in step]
    for _ in range(order - 1):
        power = [[sum(power[i][k] * step[k][j] for k in range(n)) for j in range(n)] for i in range(n)]
        total = [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(total, power, strict=True)]
    weights, losses = total if cumulative else power, []
    for i in range(n):
        score = [math.exp(tau * float(unit[i] @ unit[j])) for j in range(n)]
        near = {j: weights[i][j] for j in range(n) if j != i and weights[i][j] > 0}
        others = [j for j in range(n) if j != i and j not in near and apart(i, j)]
        if near and others:
            top = sum(w * score[j] for j, w in near.items()) / sum(near.values())
            losses.append(-math.log(top / (sum(score[j] for j in near) + sum(score[j] for j in others))))
    return sum(losses) / len(losses), len(losses)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("cumulative", [True, False])
def test_equals_the_paper_as_a_loop(order, cumulative):
    patients = [1, 2, 3, 4, 5]
    settings = {"graph": CropGraph(crops=2, neighbours=1), "influence": Influence(order, cumulative), "scale": 2.0}
    batch, z = batch_of(patients, [(0, 0, 0), (4, 0, 0), (16, 16, 0), (8, 8, 0), (0, 8, 0)]), draw(10)
    look = torch.cat([coarse_look(batch[role].image) for role in ("view", "partner")])
    like = torch.nn.functional.normalize(look, dim=1) @ torch.nn.functional.normalize(look, dim=1).T
    edges = [[0.0] * 10 for _ in range(10)]
    for i in range(10):
        best = max((j for j in range(10) if j % 5 != i % 5), key=lambda j, i=i: float(like[i, j]))
        edges[i][best] = edges[best][i] = 1.0
    for i in (0, 1, 3, 4):  # the partner of scan 2 lies apart
        edges[i][i + 5] = edges[i + 5][i] = 1.0
    found, logs = loss_of(build("scgc", "resnet", **settings), z, batch)
    wanted, rows = looped(z, edges, lambda i, j: i % 5 != j % 5, order, cumulative, 2.0)
    assert float(found) == pytest.approx(wanted, rel=1e-5)
    assert int(logs["dropped_without_positive"] + logs["dropped_without_negative"]) == 10 - rows
    every = build("scgc", "resnet", same_patient_negatives=True, **settings)
    wanted, _ = looped(z, edges, lambda i, j: True, order, cumulative, 2.0)
    assert float(loss_of(every, z, batch)[0]) == pytest.approx(wanted, rel=1e-5)


def test_a_single_neighbour_is_nt_xent_with_a_temperature_of_one_over_the_scale():
    z, batch = draw(8), batch_of([1, 2, 3, 4])
    found, logs = loss_of(build("scgc", "resnet", graph=ALONE, scale=4.0), z, batch)
    direct = build("simclr", "resnet", temperature=0.25)
    torch.testing.assert_close(found, loss_of(direct, z, batch)[0])
    assert float(logs["neighbours"]) == 1.0
    equal, logs = loss_of(build("scgc", "resnet", graph=ALONE), torch.ones(8, 16), batch)
    assert float(equal) == pytest.approx(math.log(7), rel=1e-5)
    assert float(logs["similarity_positive"]) == pytest.approx(1, abs=1e-5)


def test_what_is_told_of_negatives_is_not_told_of_neighbours():
    z = torch.eye(16)[[0, 1, 0, 1]]
    _, logs = loss_of(build("scgc", "resnet", graph=ALONE), z, batch_of([1, 2]))
    assert float(logs["similarity_positive"]) == pytest.approx(1, abs=1e-5)
    assert float(logs["similarity_negative"]) == pytest.approx(0, abs=1e-5)


def test_a_crop_of_the_same_patient_is_never_a_negative():
    # scans 0 and 1 are of one patient; the partner of scan 1 lies apart, so that scan 1 has negatives and no row
    batch = batch_of([5, 5, 6], [(0, 0, 0), (16, 16, 0), (16, 16, 0)])
    z = draw(6)
    moved = z.clone()
    moved[1] = moved[4] = z[0]
    method = build("scgc", "resnet", graph=ALONE)
    assert torch.equal(loss_of(method, moved, batch)[0], loss_of(method, z, batch)[0])
    asked = build("scgc", "resnet", graph=ALONE, same_patient_negatives=True)
    assert loss_of(asked, moved, batch)[0] > loss_of(asked, z, batch)[0]


def test_a_batch_where_all_are_neighbours_says_nothing():
    with pytest.raises(UsageError, match=r"no positive beside a negative among 4 views.*\[batch\]"):
        loss_of(build("scgc", "resnet", influence=Influence(order=3)), draw(4), batch_of([1, 2]))
    with pytest.raises(UsageError, match=r"no positive beside a negative among 4 views.*\[batch\]"):
        loss_of(build("scgc", "resnet", graph=ALONE), draw(4), batch_of([5, 5]))


def test_views_are_a_crop_and_the_others_around_it():
    roles = build("scgc", "resnet", graph=CropGraph(crops=5, overlap=0.6)).views(ViewSettings(crop=(16, 16, 16)))
    assert {name: role.count for name, role in roles.items()} == {"view": 1, "partner": 4}
    assert roles["partner"].crop.share == 0.6


TRAINING = SelfTraining(count=3, weight=0.5, start=0.25)


def started(seed=0):
    method = build("scgc", "resnet", seed=seed, graph=ALONE, clusters=TRAINING)
    vectors = {role: draw(6, seed) for seed, role in enumerate(("view", "partner"))}
    survey = method.survey(vectors, {}, context(generator=torch.Generator().manual_seed(0)))
    return method, {"stage": "clusters", "surveys": {"clusters": survey}}


def test_clusters_are_a_second_stage_that_starts_with_a_survey():
    method, _ = started()
    first, second = method.stages(40, ViewSettings(crop=(16, 16, 16)))
    assert (first.name, first.steps, first.survey) == ("contrast", 10, False)
    assert (second.name, second.steps, second.survey, second.trains) == ("clusters", 30, True, ())
    frozen = [name for name, _ in method.named_parameters() if not name.startswith(first.trains)]
    assert frozen == ["clusters.centres"]


def test_clusters_add_the_divergence_of_the_paper():
    method, told = started()
    z, batch = draw(8), batch_of([1, 2, 3, 4])
    plain, logs = loss_of(method, z, batch, stage="contrast", surveys=told["surveys"])
    assert "divergence" not in logs
    found, logs = loss_of(method, z, batch, **told)
    unit = torch.nn.functional.normalize(z, dim=1)
    near = [[1 / (1 + float((v - c).square().sum())) for c in told["surveys"]["clusters"]["centres"]] for v in unit]
    q = [[value / sum(row) for value in row] for row in near]
    sizes = [sum(row[k] for row in q) for k in range(3)]
    sharp = [[row[k] ** 2 / sizes[k] for k in range(3)] for row in q]
    p = [[value / sum(row) for value in row] for row in sharp]
    wanted = sum(a * math.log(a / b) for x, y in zip(p, q, strict=True) for a, b in zip(x, y, strict=True)) / 8
    assert float(logs["divergence"]) == pytest.approx(wanted, rel=1e-3)
    assert float((found - plain).detach()) == pytest.approx(0.5 * wanted, rel=1e-3)
    assert 1 <= float(logs["clusters_in_use"]) <= 3.0001


def test_centres_move_and_go_on_bit_for_bit():
    method, told = started()
    z, batch = draw(8), batch_of([1, 2, 3, 4])
    loss_of(method, z, batch, **told)[0].backward()
    with torch.no_grad():
        method.clusters.centres -= 0.1 * method.clusters.centres.grad
    other, _ = started(seed=1)
    other.load_state_dict(method.state_dict())
    # the survey is not taken over twice
    assert torch.equal(loss_of(other, z, batch, **told)[0], loss_of(method, z, batch, **told)[0])
    assert not torch.equal(other.clusters.centres, told["surveys"]["clusters"]["centres"])


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(RecipeError, match=r"graph.crops: expected 2 crops of a scan or more, got 1"):
        build("scgc", "resnet", graph=CropGraph(crops=1))
    method = build("scgc", "resnet", graph=ALONE, clusters=SelfTraining(count=9))
    with pytest.raises(RecipeError, match=r"clusters.count: expected at most the 8 crops of all scans, got 9"):
        method.check(Facts(scans=4, patients=4, batch=2, steps=1))
    assert method.check(Facts(scans=5, patients=4, batch=9, steps=1)) == []


def test_walks_that_reach_most_of_a_batch_are_noted():
    facts = Facts(scans=99, patients=99, batch=8, steps=1)
    graph = CropGraph(crops=2, neighbours=1)
    notes = build("scgc", "resnet", graph=graph, influence=Influence(order=2)).check(facts)
    assert notes == ["method.influence.order: 2 steps may reach most of a step's 16 crops; 1 tells more apart"]
    assert build("scgc", "resnet", graph=graph, influence=Influence(order=1)).check(facts) == []


def test_the_encoder_is_reached_with_clusters():
    method, told = started()
    batch = batch_for(method, "scgc")
    loss, _ = method.loss(method.encode(batch, context(**told)), batch, context(**told))
    loss.backward()
    assert all(p.grad is not None for p in method.parameters())
