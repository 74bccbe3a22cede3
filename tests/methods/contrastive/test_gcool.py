"""gCooL: the paper as a loop, its closed forms, its schedule, and whose partner is whose."""

import math

import pytest
import torch

from medssl.errors import UsageError
from medssl.methods.contract import Batch, Facts
from medssl.methods.contrastive.crop_graph import CropGraph, coarse_look
from medssl.methods.contrastive.gcool import CommunitySettings
from medssl.views.settings import ViewSettings
from tests.methods.tiny import build, context, make_views

ONE, LATE = CropGraph(crops=1), 9
"""A crop of each scan; a step at which nothing but the contrast of crops is left."""


def batch_of(patients):
    made = [make_views([(owner, (0, 0, 0)) for owner in range(len(patients))], patients) for _ in range(2)]
    return Batch({"view": made[0], "partner": made[1]}, len(patients))


def draw(n, seed=0):
    return torch.randn(n, 16, generator=torch.Generator().manual_seed(seed))


def loss_of(method, one, two, batch, step=0):
    return method.loss({"view": one, "partner": two}, batch, context(step=step))


def unit(z):
    return torch.nn.functional.normalize(z, dim=1)


def test_without_communities_it_is_plain_info_nce_across_the_views():
    one, two = draw(5), draw(5, 1)
    found, logs = loss_of(build("gcool", "resnet", temperature=0.3), one, two, batch_of([1, 2, 3, 4, 5]), LATE)
    logits, own = unit(one) @ unit(two).T / 0.3, torch.arange(5)
    direct = torch.nn.functional.cross_entropy
    torch.testing.assert_close(found, (direct(logits, own) + direct(logits.T, own)) / 2)
    torch.testing.assert_close(found, logs["loss_crops"])
    equal, _ = loss_of(build("gcool", "resnet"), torch.ones(5, 16), torch.ones(5, 16), batch_of([1, 2, 3, 4, 5]), LATE)
    assert float(equal.detach()) == pytest.approx(math.log(5), rel=1e-5)


def test_one_community_has_nothing_to_contrast():
    settings = CommunitySettings(count=1, until=None)
    method = build("gcool", "resnet", communities=settings)
    _, logs = loss_of(method, draw(4), draw(4, 1), batch_of([1, 2, 3, 4]), 5)
    assert float(logs["loss_communities"]) == 0
    assert float(logs["communities_in_use"]) == pytest.approx(1)
    # and a community of everybody is as dense as the graph
    assert float(logs["loss_clustering"]) == pytest.approx(0, abs=1e-5)


def deca(belongs, edges, weight):
    """As released, as loops."""
    n, count = len(belongs), len(belongs[0])
    kept = [[0.0] * count for _ in range(count)]
    for i in range(n):
        for j in range(n):
            for c in range(count):
                for d in range(count):
                    kept[c][d] += belongs[i][c] * float(edges[i][j]) * belongs[j][d]
    every, within = sum(map(sum, kept)), sum(kept[c][c] for c in range(count))
    square = sum(value**2 for row in belongs for value in row)
    return (weight * every - (n - 1 + weight) * within) / (n * (n - 1)) + square / (2 * n)


def among(z, others, own, partner, tau, gamma, allowed):
    """Crops against the means of the other view's communities; away from those of ``allowed`` crops alone."""
    count = max(partner) + 1

    def mean(c, rows):
        found = [others[j] for j in rows if partner[j] == c]
        return None if not found else torch.nn.functional.normalize(torch.stack(found).mean(0), dim=0)

    losses = []
    for i in range(len(z)):
        every = range(len(z))
        top = math.exp(float(z[i] @ mean(partner[i], every)) / tau)
        bottom, met = top, False
        for c in range(count):
            left = mean(c, [j for j in every if allowed(i, j)])
            if c != partner[i] and left is not None:
                apart = float((mean(partner[i], every) - mean(c, every)).square().sum())
                bottom += math.exp(-gamma * apart + float(z[i] @ left) / tau)
                met = True
        if met:
            losses.append(-math.log(top / bottom))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("spare", [False, True])
@pytest.mark.parametrize("asked", [False, True])
def test_equals_the_paper_as_loops(spare, asked):
    tau, patients, step = 0.5, [1, 1, 2, 3, 4, 5], 3
    settings = CommunitySettings(count=3, edges=0.4, balanced=False, gamma=0.7, until=0.5, spare=spare)
    graph = CropGraph(crops=1, neighbours=1)
    method = build("gcool", "resnet", graph=graph, communities=settings, temperature=tau, same_patient_negatives=asked)
    one, two, batch = unit(draw(6)), unit(draw(6, 1)), batch_of(patients)
    found, logs = loss_of(method, one, two, batch, step)
    centres = unit(method.communities.centres.detach())
    r1, r2 = (torch.softmax(z @ centres.T / tau, dim=1) for z in (one, two))

    def allowed(i, j):
        return asked or patients[i] != patients[j]

    losses = []
    for rows, columns, r, s in ((one, two, r1, r2), (two, one, r2, r1)):
        for i in range(6):
            top = math.exp(float(rows[i] @ columns[i]) / tau)
            weight = [float(1 - r[i] @ s[j]) if spare else 1.0 for j in range(6)]
            far = [
                weight[j] * math.exp(float(rows[i] @ columns[j]) / tau) for j in range(6) if j != i and allowed(i, j)
            ]
            losses.append(-math.log(top / (top + sum(far))))
    crops = sum(losses) / 12
    assert float(logs["loss_crops"]) == pytest.approx(crops, rel=1e-4)

    look = unit(coarse_look(batch["view"].image))
    edges = torch.zeros(6, 6)
    for i in range(6):
        best = max((j for j in range(6) if patients[j] != patients[i]), key=lambda j, i=i: float(look[i] @ look[j]))
        edges[i, best] = edges[best, i] = 1
    dense = (deca(r1.tolist(), edges, 0.4) + deca(r2.tolist(), edges, 0.4)) / 2
    assert float(logs["loss_clustering"]) == pytest.approx(dense, rel=1e-4)

    h1, h2 = r1.argmax(1).tolist(), r2.argmax(1).tolist()
    both = (among(one, two, h1, h2, tau, 0.7, allowed) + among(two, one, h2, h1, tau, 0.7, allowed)) / 2
    assert float(logs["loss_communities"]) == pytest.approx(both, rel=1e-4)
    kept, share = 1 - 0.3 / 0.5, math.exp(-0.3)
    assert float(found) == pytest.approx(crops + kept * (share * dense + (1 - share) * both), rel=1e-4)


def test_clustering_moves_the_centres_alone():
    method, batch = build("gcool", "resnet"), batch_of([1, 2, 3, 4])
    grads = []
    for step in (0, LATE):
        one, two = draw(4).requires_grad_(), draw(4, 1).requires_grad_()
        method.zero_grad()
        loss_of(method, one, two, batch, step)[0].backward()
        grads.append((one.grad, method.communities.centres.grad))
    # at step 0 communities are not contrasted yet, and what is left is their clustering
    torch.testing.assert_close(grads[0][0], grads[1][0])
    assert grads[0][1].abs().sum() > 0
    assert grads[1][1].abs().sum() == 0


def test_a_partner_is_the_crop_that_overlaps_most():
    places = [(0, (0, 0, 0)), (0, (16, 16, 0)), (1, (8, 0, 0)), (1, (0, 12, 0))]
    order = [1, 0, 3, 2]
    view = make_views(places, [5, 6])
    partner = make_views([places[n] for n in order], [5, 6])
    one = draw(4)
    method = build("gcool", "resnet", graph=CropGraph(crops=2, neighbours=0), temperature=0.01)
    loss, logs = loss_of(method, one, one[order], Batch({"view": view, "partner": partner}, 2), LATE)
    assert float(logs["similarity_positive"]) == pytest.approx(1, abs=1e-5)
    assert float(loss) == pytest.approx(0, abs=1e-4)


def test_a_crop_of_the_same_patient_is_never_a_negative():
    # what is moved is a crop of the patient's other scan, among the columns of the first direction alone
    batch, one, two = batch_of([5, 5, 6]), draw(3), draw(3, 1)
    far = {False: [[2], [2], [0, 1]], True: [[1, 2], [0, 2], [0, 1]]}
    for asked in (False, True):
        method = build("gcool", "resnet", temperature=0.5, same_patient_negatives=asked)
        _, logs = loss_of(method, one, two, batch, LATE)
        rows = []
        for s in (unit(one) @ unit(two).T / 0.5, unit(two) @ unit(one).T / 0.5):
            for i, others in enumerate(far[asked]):
                rows.append(float(torch.logsumexp(s[i, [i, *others]], 0) - s[i, i]))
        assert float(logs["loss_crops"]) == pytest.approx(sum(rows) / 6, rel=1e-5)


def test_a_batch_of_one_patient_is_refused():
    with pytest.raises(UsageError, match=r"no positive beside a negative among 4 views.*\[batch\]"):
        loss_of(build("gcool", "resnet"), draw(2), draw(2, 1), batch_of([5, 5]))


def test_centres_survive_a_save():
    method, other = build("gcool", "resnet"), build("gcool", "resnet", seed=1)
    batch, one, two = batch_of([1, 2, 3, 4]), draw(4), draw(4, 1)
    assert not torch.equal(loss_of(other, one, two, batch)[0], loss_of(method, one, two, batch)[0])
    other.load_state_dict(method.state_dict())
    assert torch.equal(loss_of(other, one, two, batch)[0], loss_of(method, one, two, batch)[0])


def test_each_view_has_as_many_crops_and_the_second_lie_around_the_first():
    roles = build("gcool", "resnet", graph=CropGraph(crops=3, overlap=0.7)).views(ViewSettings(crop=(16, 16, 16)))
    assert {name: role.count for name, role in roles.items()} == {"view": 3, "partner": 3}
    assert roles["partner"].crop.share == 0.7


def test_more_communities_than_crops_are_noted():
    method = build("gcool", "resnet", graph=CropGraph(crops=2), communities=CommunitySettings(count=9))
    notes = method.check(Facts(scans=9, patients=9, batch=4, steps=1))
    assert notes == ["method.communities.count: 9 of 8 crops a step; some are always empty"]
    assert method.check(Facts(scans=9, patients=9, batch=5, steps=1)) == []
