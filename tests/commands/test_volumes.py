"""A 4D file from the folder to the store: each volume is a scan of its own."""

from __future__ import annotations

import nibabel
import numpy as np

import medssl


def test_each_volume_of_a_4d_file_is_prepared_by_itself(tmp_path):
    (tmp_path / "d").mkdir()
    data = np.random.default_rng(0).integers(0, 900, (12, 12, 12, 3)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / "d" / "f.nii")
    assert medssl.build_manifest(tmp_path / "d", tmp_path / "m.csv", each_volume=True)["rows"] == 3
    assert medssl.check_manifest(tmp_path / "m.csv")["problems"] == []
    done = medssl.prepare(tmp_path / "m.csv", tmp_path / "store")
    assert (done["scans"], done["built"], done["reused"]) == (3, 3, 0)
    split = medssl.split_manifest(tmp_path / "m.csv", tmp_path / "s.csv", {"train": 1.0})
    assert split["splits"]["train"] == {"rows": 3, "patients": 1}
