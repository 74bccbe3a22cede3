"""Weights of pairs from ids and places."""

import math

import pytest
import torch

from medssl.pairing.members import Members
from medssl.pairing.pairs import differ, distance_mm, gaussian_kernel, kinds, law_kernel, overlap, same, time_gap
from tests.pairing.vectors import boxes, members


def placed(where, patients, records):
    who = members(patients, record=records)
    return Members(who.sample, who.patient, who.others, where)


@pytest.mark.parametrize("name", ["sample", "patient", "study", "cluster", "region"])
def test_same_and_differ_are_the_loops(name):
    generator = torch.Generator().manual_seed(0)
    who = members([1] * 12).told(study=torch.randint(-1, 3, (12,), generator=generator))
    who = who.told(cluster=torch.randint(-1, 2, (12,), generator=generator))
    ids = who.ids(name).tolist()
    for i, one in enumerate(ids):
        for j, other in enumerate(ids):
            assert bool(same(name, who)[i, j]) == (one == other and one >= 0 and i != j)
            assert bool(same(name, who, who)[i, j]) == (one == other and one >= 0)
            assert bool(differ(name, who)[i, j]) == (one != other and one >= 0 and other >= 0)


def test_overlap_of_one_scan_alone():
    who = placed(boxes((0, 0, 0), (1, 0, 0), (0, 0, 0), (0, 0, 0)), [1, 1, 1, 1], [3, 3, 4, -1])
    expected = torch.zeros(4, 4)
    expected[0, 1] = expected[1, 0] = 0.75
    torch.testing.assert_close(overlap(who), expected)
    assert overlap(who, who).diagonal().tolist() == [1.0, 1.0, 1.0, 0.0]
    assert overlap(who, union=True)[0, 1] == pytest.approx(3 / 5)


def test_overlap_within_a_registered_study():
    who = placed(boxes((0, 0, 0), (0, 2, 0)), [1, 1], [3, 4]).told(study=torch.tensor([9, 9]))
    assert overlap(who, within="study")[0, 1] == 0.5
    assert overlap(who)[0, 1] == 0


def test_distances_are_millimetres_whatever_the_voxels():
    fine = boxes((0, 0, 0), (3, 4, 0), shape=(8, 8, 8), spacing=0.5)
    coarse = boxes((0, 0, 0), (3, 4, 0), shape=(4, 4, 4), spacing=1.0)
    for where in (fine, coarse):
        who = placed(where, [1, 1], [3, 3])
        assert distance_mm(who)[0, 1] == pytest.approx(5.0)
    assert math.isinf(distance_mm(placed(coarse, [1, 1], [3, 4]))[0, 1])


def test_gaps_in_time_are_of_one_patient():
    who = members([1, 1, 2, 1], time=[3, 10, 10, -1])
    gap = time_gap(who)
    assert gap[0, 1] == gap[1, 0] == 7
    assert torch.isinf(gap).sum() == 14


def test_kernels():
    gap = torch.tensor([0.0, 1.0, 2.0, 4.0, math.inf], dtype=torch.float64)
    torch.testing.assert_close(law_kernel(gap, 4.0, 2.0), torch.tensor([1.0, 15 / 16, 3 / 4, 0.0, 0.0]))
    assert gaussian_kernel(gap, 2.0)[1] == pytest.approx(math.exp(-1 / 8))
    assert not law_kernel(gap, 4.0).isnan().any()
    with pytest.raises(ValueError, match="reach and power must be above 0, got 0"):
        law_kernel(gap, 0.0)
    with pytest.raises(ValueError, match="width must be above 0"):
        gaussian_kernel(gap, 0.0)


def test_places_must_have_been_gathered():
    with pytest.raises(ValueError, match="gather members with places=True"):
        overlap(members([1, 2]))


def test_kinds_never_share_a_pair():
    who = members([1, 1, 1, 2, -1, 2], sample=[0, 0, 1, 2, 3, 0])
    found = kinds(who)
    total = sum(value.int() for value in found.values())
    assert total.max() == 1
    assert found["positive"][0].tolist() == [False, True, False, False, False, True]
    assert found["same_patient"][0].tolist() == [False, False, True, False, False, False]
    assert found["other_patient"][0].tolist() == [False, False, False, True, False, False]
