"""SimCLR: its constants, and who is never pushed away."""

import math

import pytest
import torch

from medssl.errors import UsageError
from medssl.methods.contract import Batch
from medssl.objectives.contrastive import contrast
from medssl.views.settings import ViewSettings
from tests.methods.tiny import build, context, make_views


def batch_of(owners, patients, partners=None):
    """Views of the samples ``owners`` and their partners (of the same samples, unless said otherwise)."""
    roles = {"view": owners, "partner": owners if partners is None else partners}
    made = {name: make_views([(owner, (0, 0, 0)) for owner in rows], patients) for name, rows in roles.items()}
    return Batch(made, len(patients))


def loss_of(method, z, batch):
    first, second = z.split([len(batch["view"]), len(batch["partner"])])
    return method.loss({"view": first, "partner": second}, batch, context())


def draw(n, seed=0):
    return torch.randn(n, 16, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("coupled", "count"), [(True, 7), (False, 6)])
def test_equal_vectors(coupled, count):
    method = build("simclr", "resnet", coupled=coupled)
    loss, logs = loss_of(method, torch.ones(8, 16), batch_of([0, 1, 2, 3], [5, 6, 7, 8]))
    assert float(loss) == pytest.approx(math.log(count), rel=1e-5)
    assert float(logs["embedding_std"]) == pytest.approx(0, abs=1e-3)
    assert float(logs["similarity_positive"]) == pytest.approx(1, abs=1e-5)


def test_equals_nt_xent_on_normalized_vectors():
    method = build("simclr", "resnet", temperature=0.2)
    z = draw(6)
    unit = torch.nn.functional.normalize(z, dim=1)
    logits = (unit @ unit.T / 0.2).masked_fill(torch.eye(6, dtype=torch.bool), -torch.inf)
    direct = torch.nn.functional.cross_entropy(logits, torch.tensor([3, 4, 5, 0, 1, 2]))
    found, _ = loss_of(method, z, batch_of([0, 1, 2], [5, 6, 7]))
    torch.testing.assert_close(found, direct)


@pytest.mark.parametrize("coupled", [True, False])
def test_a_scan_of_the_same_patient_is_never_a_negative(coupled):
    # samples 0 and 1 are of one patient; samples 1 and 2 have one view, so that they are negatives and no anchors
    method = build("simclr", "resnet", coupled=coupled)
    batch = batch_of([0, 1, 2], [5, 5, 6], partners=[0])
    z = draw(4)
    loss, logs = loss_of(method, z, batch)
    assert int(logs["dropped_without_positive"]) == 2
    same_patient, other_patient = z.clone(), z.clone()
    same_patient[1] = z[0]
    other_patient[2] = z[0]
    assert torch.equal(loss_of(method, same_patient, batch)[0], loss)
    assert loss_of(method, other_patient, batch)[0] > loss
    asked = build("simclr", "resnet", coupled=coupled, same_patient_negatives=True)
    assert loss_of(asked, same_patient, batch)[0] > loss_of(asked, z, batch)[0]


def test_rows_left_without_negatives_are_counted():
    method = build("simclr", "resnet")
    z = draw(6)
    loss, logs = loss_of(method, z, batch_of([0, 1, 2], [5, 6, -1]))
    assert int(logs["dropped_without_negative"]) == 2
    known = torch.nn.functional.normalize(z[[0, 1, 3, 4]], dim=1)
    twin = torch.eye(4).roll(2, 0)
    wanted, _ = contrast(known @ known.T / 0.5, twin, 1 - twin - torch.eye(4))
    torch.testing.assert_close(loss, wanted)


def test_a_batch_of_one_patient_is_refused():
    method = build("simclr", "resnet")
    with pytest.raises(UsageError, match=r"no positive beside a negative among 4 views.*\[batch\]"):
        loss_of(method, draw(4), batch_of([0, 1], [5, 5]))


def test_views_are_a_crop_and_its_partner_as_the_recipe_says():
    settings = ViewSettings(crop=(16, 24, 8), scale=(0.8, 1.2), flip=(0.0, 0.5, 0.5), augment=("noise", "gamma"))
    roles = build("simclr", "resnet", overlap=0.7).views(settings)
    assert list(roles) == ["view", "partner"]
    for role in roles.values():
        assert role.count == 1
        assert role.crop.shape == (16, 24, 8)
        assert role.crop.scale == (0.8, 1.2)
        assert role.spatial.flip == (0.0, 0.5, 0.5)
        assert role.spatial.scale == (1.0, 1.0)
        assert len(role.augment) == 2
    assert roles["partner"].crop.share == 0.7
