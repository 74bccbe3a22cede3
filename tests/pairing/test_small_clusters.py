"""Clusters of clusters: all stages count, and none is too small to fill a batch."""

from __future__ import annotations

import torch

from medssl.pairing.k_means import combined_labels
from medssl.pairing.small_clusters import settled


def labels(count, size, seed):
    return torch.randint(count, (size,), generator=torch.Generator().manual_seed(seed))


def test_large_clusters_stay_those_of_all_stages_together():
    one, two, three = (labels(2, 400, seed) for seed in range(3))
    found = settled([one, two, three], [2, 2, 2], torch.arange(400), 10)
    code = combined_labels([one, two, three], [2, 2, 2])
    assert (found.count, found.merged, found.left_out) == (8, 0, 0)
    same = found.labels[:, None] == found.labels[None, :]
    assert torch.equal(same, code[:, None] == code[None, :])


def test_every_group_fills_a_batch_and_keeps_to_the_cluster_above():
    first, second = labels(4, 200, 0), labels(10, 200, 1)
    patients = torch.arange(200) // 2
    found = settled([first, second], [4, 10], patients, 5)
    kept = found.labels >= 0
    assert int((~kept).sum()) == found.left_out
    groups = [found.labels == one for one in range(found.count)]
    assert all(int(group.sum()) >= 5 and len(patients[group].unique()) >= 2 for group in groups)
    within = [len(first[group].unique()) for group in groups]
    assert sum(count > 1 for count in within) <= 1  # at most the rest of the whole data set
    assert found.merged > 0


def test_one_patient_alone_is_no_group():
    one = torch.tensor([0] * 4 + [1] * 4 + [2] * 2)
    patients = torch.tensor([5] * 4 + [6, 6, 7, 7] + [8, 8])
    found = settled([one], [3], patients, 4)
    assert found.merged == 2
    assert found.left_out == 0
    assert torch.equal(found.labels == found.labels[0], torch.tensor([True] * 4 + [False] * 4 + [True] * 2))


def test_unknown_patients_count_for_nobody():
    found = settled([torch.zeros(6, dtype=torch.long)], [1], torch.tensor([-1] * 5 + [3]), 2)
    assert (found.count, found.merged, found.left_out) == (0, 1, 6)


def test_what_is_too_small_everywhere_is_left_out():
    one = torch.tensor([0] * 6 + [1])
    found = settled([one], [2], torch.arange(7), 4)
    assert found.labels.tolist() == [0] * 6 + [-1]
    assert (found.merged, found.left_out) == (1, 1)
