"""P2: slices are ordered by where they lie; names, numbers and every other tag that speaks of order may lie."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from medssl.io.read import read
from tests.promises.series import assert_same, fresh, save, save_one, slices, truth, turned, voxels


def test_p02_every_order_of_names(tmp_path):
    made = slices()
    for order in itertools.permutations(range(4)):
        folder = save(made, fresh(tmp_path / "s"), lambda n, order=order: f"IM{order[n]}")
        assert_same(read(folder), voxels(), truth())


@pytest.mark.parametrize(
    "lie",
    [
        lambda k: {"InstanceNumber": 4 - k},
        lambda k: {"InstanceNumber": 1},
        lambda k: {"InstanceNumber": None},
        lambda k: {"InstanceNumber": (17 * k) % 5 - 2},
        lambda k: {"SliceLocation": 1000.0 - 3 * k},
        lambda k: {"SliceLocation": 0.0},
        lambda k: {"SliceLocation": float((3 * k) % 7)},
        lambda k: {"SliceThickness": 0.5},
        lambda k: {"SliceThickness": 9.0, "SpacingBetweenSlices": 11.0},
        lambda k: {"SpacingBetweenSlices": -3.0},
        lambda k: {"SpacingBetweenSlices": 0.0, "SliceThickness": 0.0},
        lambda k: {"AcquisitionNumber": 4 - k, "ContentTime": f"1200{59 - k}"},
        lambda k: {"AcquisitionTime": f"12000{(3 * k) % 4}.25", "TriggerTime": 12.5 * ((3 * k) % 4)},
        lambda k: {"InStackPositionNumber": 4 - k, "ImageIndex": 4 - k},
        lambda k: {"PatientPosition": "FFP", "TablePosition": 3.0 * ((3 * k) % 4)},
        lambda k: {"PatientPosition": ["HFS", "FFS"][k % 2]},
        lambda k: {"NumberOfSlices": 17, "ImagesInAcquisition": 1},
        lambda k: {"SOPInstanceUID": "1.2.3.4.5"},
    ],
)
def test_p02_a_tag_that_lies_about_the_order_decides_nothing(tmp_path, lie):
    directions = turned(4)

    def change(k, one):
        for keyword, value in lie(k).items():
            if value is None:
                delattr(one, keyword)
            else:
                setattr(one, keyword, value)

    folder = save(slices(directions=directions, change=change), tmp_path / "s")
    scan = read(folder)
    assert_same(scan, voxels(), truth(directions))


def test_p02_numbers_as_text_do_not_sort(tmp_path):
    # 0, 10, 100, 20 …: sorted as text the slices would be scrambled
    wanted = voxels((3, 2, 12))
    scan = read(save(slices(wanted, step=10.0, origin=(0, 0, 0)), tmp_path / "s", lambda n: f"slice{n}"))
    assert_same(scan, wanted, truth(step=10.0, origin=(0, 0, 0)))


def test_p02_a_series_spread_over_folders_is_one_volume(tmp_path):
    for n, one in enumerate(slices()):
        save([one], tmp_path / "s" / ("ab"[n % 2]) / "deeper", lambda _, n=n: f"I{n}")
    assert_same(read(tmp_path / "s"), voxels(), truth())


def test_p02_a_series_of_links_to_slices_is_read(tmp_path):
    save(slices(), tmp_path / "kept")
    (tmp_path / "s").mkdir()
    for n, path in enumerate(sorted((tmp_path / "kept").iterdir())):
        (tmp_path / "s" / f"L{n}").symlink_to(path)
    assert_same(read(tmp_path / "s"), voxels(), truth())


def test_p02_a_link_back_to_the_folder_ends(tmp_path):
    folder = save(slices(), tmp_path / "s")
    os.symlink(folder, folder / "again", target_is_directory=True)
    assert_same(read(folder), voxels(), truth())


def test_p02_names_without_suffix_and_with_odd_letters(tmp_path):
    names = ["1.2.840.113619.2.5.1762583153", "a b(1);$x", "Ünïcode-層", "-rf"]
    made = slices()
    (tmp_path / "s").mkdir()
    for one, name in zip(made, names, strict=True):
        save_one(one, tmp_path / "s" / name)
    assert_same(read(tmp_path / "s"), voxels(), truth())


def test_p02_descending_positions_keep_right_and_left(tmp_path):
    # one voxel marked at the patient's left, front, top
    wanted = np.zeros((6, 5, 4), np.int16)
    wanted[5, 0, 3] = 1000
    scan = read(save(slices(wanted)[::-1], tmp_path / "s"))
    place = np.argwhere(scan.data[0] == 1000)[0]
    mm = (scan.affine @ [*place, 1])[:3]
    np.testing.assert_allclose(mm, [-(10.5 + 5 * 0.7), 20.25, 39.0], atol=1e-6)
