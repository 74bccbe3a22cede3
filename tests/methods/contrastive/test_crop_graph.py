"""Crops as nodes: neighbours by place within a scan, by look between patients."""

import torch

from medssl.methods.contrastive.crop_graph import CropGraph, coarse_look
from medssl.methods.contrastive.rows import members
from medssl.views.view import Batch
from tests.methods.tiny import context, make_views


def nodes(crops, patients, **ids):
    views = make_views(crops, patients)
    views.ids.update({name: torch.tensor(value) for name, value in ids.items()})
    return members(Batch({"view": views}, len(patients)), context(), ("view",), places=True)


PLACES = [(0, (0, 0, 0)), (0, (8, 0, 0)), (0, (12, 12, 0)), (0, (16, 16, 0)), (1, (0, 0, 0))]


def test_crops_of_a_scan_are_neighbours_where_they_overlap_enough():
    who, look = nodes(PLACES, [5, 6]), torch.zeros(5, 4)
    # shares 1/2, 1/16, 0 · 12/16 · 4/16 = 3/16, 0 · 9/16
    found = CropGraph(overlap=0.5, neighbours=0).adjacency(look, who)
    assert found.int().tolist() == [
        [0, 1, 0, 0, 0],
        [1, 0, 1, 0, 0],
        [0, 1, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    touching = CropGraph(overlap=0.0, neighbours=0).adjacency(look, who)
    assert touching[0].int().tolist() == [0, 1, 1, 0, 0]
    assert CropGraph(overlap=1.0, neighbours=0).adjacency(look, who).sum() == 0


def test_neighbours_between_patients_look_alike_and_are_never_of_one_patient():
    crops = [(owner, (0, 0, 0)) for owner in range(4)]
    look = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.5, 0.5], [0.0, 1.0]])
    found = CropGraph(neighbours=1).adjacency(look, nodes(crops, [5, 5, 6, 7]))
    assert found.int().tolist() == [[0, 0, 1, 0], [0, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]]


def test_scans_of_one_study_are_one_scan_where_that_is_asked_for():
    crops = [(0, (0, 0, 0)), (1, (0, 0, 0)), (2, (0, 0, 0))]
    who = nodes(crops, [5, 5, 6], study=[3, 3, 4])
    assert CropGraph(neighbours=0).adjacency(torch.zeros(3, 4), who).sum() == 0
    found = CropGraph(neighbours=0, study=True).adjacency(torch.zeros(3, 4), who)
    assert found.int().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_a_look_is_the_same_whatever_brightness_and_contrast():
    image = torch.randn(2, 1, 16, 16, 8, generator=torch.Generator().manual_seed(0))
    look = coarse_look(image)
    assert look.shape == (2, 64)
    torch.testing.assert_close(torch.cosine_similarity(look, coarse_look(2 * image + 3)), torch.ones(2))
