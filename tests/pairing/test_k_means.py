"""k-means against its definition and scikit-learn, and the codes of several stages."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from medssl.errors import InputError
from medssl.pairing import k_means as module
from medssl.pairing.k_means import combined_labels, k_means, pseudo_labels
from tests.pairing.vectors import chance, units


def blobs(spread=0.05):
    centres = units(4, 6, seed=5)
    labels = torch.arange(60) % 4
    return centres[labels] + spread * torch.randn(60, 6, generator=chance(1)), labels


@pytest.mark.parametrize("spherical", [True, False])
def test_finds_clusters_that_lie_apart(spherical):
    vectors, labels = blobs()
    found = k_means(vectors, 4, chance(0), spherical=spherical).labels
    assert len({(int(a), int(b)) for a, b in zip(labels, found, strict=True)}) == 4


def test_a_fixed_point_is_scikit_learns():
    vectors = torch.randn(200, 3, generator=chance(2))
    found = k_means(vectors, 5, chance(3), spherical=False, rounds=500, tolerance=0.0)
    theirs = KMeans(5, init=found.centres.numpy(), n_init=1, tol=0.0).fit(vectors.numpy())
    assert np.array_equal(theirs.labels_, found.labels.numpy())
    np.testing.assert_allclose(theirs.cluster_centers_, found.centres.numpy(), atol=1e-5)
    assert float(found.inertia) == pytest.approx(theirs.inertia_, rel=1e-5)


def test_spherical_centres_are_the_directions_of_their_means():
    vectors = units(80, 5, seed=4)
    found = k_means(vectors, 3, chance(0), tolerance=0.0)
    assert torch.equal(found.labels, (vectors @ found.centres.T).argmax(dim=1))
    for label, centre in enumerate(found.centres):
        mean = vectors[found.labels == label].sum(dim=0)
        torch.testing.assert_close(mean / mean.norm(), centre)
    assert torch.equal(k_means(vectors * 9, 3, chance(0)).labels, k_means(vectors, 3, chance(0)).labels)


def test_one_seed_gives_one_answer_and_blocks_do_not_matter(monkeypatch):
    vectors, _ = blobs(0.5)
    labels = pseudo_labels(vectors, 6, seed=3)
    assert torch.equal(labels, pseudo_labels(vectors, 6, seed=3))
    assert any(not torch.equal(labels, pseudo_labels(vectors, 6, seed=n)) for n in range(4, 8))
    monkeypatch.setattr(module, "BLOCK", 7)
    assert torch.equal(labels, pseudo_labels(vectors, 6, seed=3))


def test_fewer_different_vectors_than_clusters_leave_some_empty():
    vectors = torch.eye(3).repeat(4, 1)
    found = k_means(vectors, 5, chance(0), spherical=False)
    assert float(found.inertia) == 0
    assert torch.isfinite(found.centres).all()
    assert torch.equal(found.labels[:3], found.labels[9:])


def test_every_vector_a_cluster():
    assert sorted(k_means(units(6, 8), 6, chance(0)).labels.tolist()) == list(range(6))


def test_impossible_clusters_are_refused():
    with pytest.raises(InputError, match="cannot make 3 clusters of 2 vectors"):
        k_means(units(2), 3, chance(0))
    with pytest.raises(InputError, match="not finite"):
        k_means(torch.tensor([[1.0, torch.nan], [0.0, 1.0]]), 1, chance(0))


def test_the_code_of_all_stages_is_a_bijection():
    grid = torch.cartesian_prod(torch.arange(3), torch.arange(4), torch.arange(2))
    codes = combined_labels(list(grid.unbind(1)), [3, 4, 2])
    assert codes.tolist() == list(range(24))
    with pytest.raises(ValueError, match="a label of 3 clusters is below 3, got 3"):
        combined_labels([torch.tensor([3])], [3])


def test_an_empty_cluster_moves_to_the_farthest_vector():
    rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]])
    moved = module._means(rows, torch.tensor([0, 0, 0]), torch.tensor([0.0, 1.0, 50.0]), 2)
    torch.testing.assert_close(moved, torch.tensor([[2.0, 5 / 3], [5.0, 5.0]]))
