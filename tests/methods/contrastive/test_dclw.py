"""DCLW: its weights over the gathered batch, and the paper as a loop."""

import math

import pytest
import torch

from medssl.errors import UsageError
from medssl.methods.contract import Batch
from medssl.methods.contrastive.dclw import attraction
from medssl.objectives.cosine import cosine
from medssl.pairing.relation import same_sample
from tests.methods.tiny import build, context, make_views
from tests.pairing.vectors import members


def batch_of(owners, patients, partners=None):
    roles = {"view": owners, "partner": owners if partners is None else partners}
    made = {name: make_views([(owner, (0, 0, 0)) for owner in rows], patients) for name, rows in roles.items()}
    return Batch(made, len(patients))


def loss_of(method, z, batch):
    first, second = z.split([len(batch["view"]), len(batch["partner"])])
    return method.loss({"view": first, "partner": second}, batch, context())


def draw(n, seed=0):
    return torch.randn(n, 16, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_paper_as_a_loop(seed):
    n, tau, sigma = 5, 0.2, 0.3
    method = build("dclw", "resnet", temperature=tau, sigma=sigma)
    z = draw(2 * n, seed)
    found, logs = loss_of(method, z, batch_of(list(range(n)), [5, 6, 7, 8, 9]))
    unit = torch.nn.functional.normalize(z, dim=1).tolist()
    s = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in unit] for x in unit]
    near = [math.exp(s[i][i + n] / sigma) for i in range(n)]
    weight = [2 - n * value / sum(near) for value in near]
    rows = []
    for i in range(2 * n):
        twin = (i + n) % (2 * n)
        apart = sum(math.exp(s[i][j] / tau) for j in range(2 * n) if j not in (i, twin))
        rows.append(-weight[i % n] * s[i][twin] / tau + math.log(apart))
    assert float(found) == pytest.approx(sum(rows) / len(rows), rel=1e-5)
    assert float(logs["least_weight"]) == pytest.approx(min(weight), rel=1e-4)


def test_weights_have_mean_one_over_the_rows_that_count():
    # sample 2 has no known patient, and so no negative
    who = members([5, 6, -1, 7, 5, 6, -1, 7], sample=[0, 1, 2, 3, 0, 1, 2, 3])
    z = draw(8).requires_grad_()
    pull = attraction(cosine(z, z), same_sample(who), 0.5)
    counted = torch.tensor([True, True, False, True] * 2)
    assert float(pull[counted].mean()) == pytest.approx(1, abs=1e-5)
    assert (pull[~counted] == 1).all()
    assert float(pull.max()) < 2
    assert float(pull.min()) > 2 - 6
    assert not pull.requires_grad


def test_equal_vectors_and_equal_pairs_are_dcl():
    batch = batch_of([0, 1, 2, 3], [5, 6, 7, 8])
    weighted, plain = build("dclw", "resnet"), build("simclr", "resnet", coupled=False)
    loss, _ = loss_of(weighted, torch.ones(8, 16), batch)
    assert float(loss) == pytest.approx(math.log(6), rel=1e-5)
    z = draw(4).repeat(2, 1)
    torch.testing.assert_close(loss_of(weighted, z, batch)[0], loss_of(plain, z, batch)[0])
    z = draw(8)
    assert not torch.allclose(loss_of(weighted, z, batch)[0], loss_of(plain, z, batch)[0])


def test_a_large_sigma_is_dcl():
    batch, z = batch_of([0, 1, 2], [5, 6, 7]), draw(6)
    wide = loss_of(build("dclw", "resnet", sigma=1e6), z, batch)[0]
    torch.testing.assert_close(wide, loss_of(build("simclr", "resnet", coupled=False), z, batch)[0], rtol=1e-4, atol=0)


def test_a_scan_of_the_same_patient_is_never_a_negative():
    batch = batch_of([0, 1, 2], [5, 5, 6], partners=[0])
    z = draw(4)
    moved = z.clone()
    moved[1] = z[0]
    method = build("dclw", "resnet")
    assert torch.equal(loss_of(method, moved, batch)[0], loss_of(method, z, batch)[0])
    asked = build("dclw", "resnet", same_patient_negatives=True)
    assert loss_of(asked, moved, batch)[0] > loss_of(asked, z, batch)[0]


def test_a_batch_of_one_patient_is_refused():
    with pytest.raises(UsageError, match=r"no positive beside a negative among 4 views.*\[batch\]"):
        loss_of(build("dclw", "resnet"), draw(4), batch_of([0, 1], [5, 5]))
