"""Organs to groups, by name."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.datasets.label_groups import GROUPS, group_of, read_names, regroup
from medssl.errors import InputError


@pytest.mark.parametrize(
    ("organ", "group"),
    [
        ("kidney_cyst_left", 1),
        ("adrenal_gland_right", 1),
        ("small_bowel", 2),
        ("inferior_vena_cava", 3),
        ("heart", 3),
        ("vertebrae", 4),
        ("vertebrae_T12", 4),
        ("hip_left", 4),
        ("costal_cartilages", 4),
        ("autochthon_left", 5),
        ("lung_left", 0),
        ("spinal_cord", 0),
        ("intervertebral_discs", 0),
        ("urinary_bladder", 0),
        ("ribbon", 0),
    ],
)
def test_group_of(organ, group):
    assert group_of(organ) == group


def test_regroup_goes_by_name_not_by_number():
    label = np.array([[0, 1], [2, 2]])
    assert regroup(label, {1: "aorta", 2: "lung_left"}).tolist() == [[0, 3], [0, 0]]
    assert regroup(label, {1: "lung_left", 2: "aorta"}).tolist() == [[0, 0], [3, 3]]
    assert set(GROUPS) == {1, 2, 3, 4, 5}


def test_a_value_without_a_name_is_refused():
    with pytest.raises(InputError, match=r"label values \[7\] have no name") as caught:
        regroup(np.array([0, 1, 7]), {1: "aorta"})
    assert caught.value.code == "label"


def test_read_names_never_runs_the_source(tmp_path):
    canary = tmp_path / "canary"
    source = f"open({str(canary)!r}, 'w')\nm = {{'ct': {{1: 'spleen'}}, 'mr': {{1: 'liver'}}}}\n"
    assert read_names(source, "m", "mr") == {1: "liver"}
    assert not canary.exists()


@pytest.mark.parametrize(
    "source", ["m = {'mr': {}}", "m = 3", "def", "m = {'ct': {1: open('x')}}", "m = {'ct': [1]}", ""]
)
def test_a_source_without_the_table_is_refused(source):
    with pytest.raises(InputError, match="no table of label names"):
        read_names(source, "m", "ct")
