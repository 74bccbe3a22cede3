"""Several sequences of a study as channels of one image."""

from pathlib import Path

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.loading.study_sampler import StudySampler
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.make import make_views, replay
from medssl.views.view import Role
from tests.store.making import save, texture, write_manifest

FINE = np.diag([1.0, 1.0, 1.0, 1.0])
COARSE = np.diag([2.0, 2.0, 2.0, 1.0])


def _ramp(affine, shape):
    """The millimetres x + 3 y + 9 z of every voxel: the same wherever the grid stands."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    return ((index @ affine[:3, :3].T + affine[:3, 3]) @ [1, 3, 9]).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    save(tmp_path / "a_t1.nii", _ramp(FINE, (24, 24, 24)), FINE)
    save(tmp_path / "a_t2.nii", _ramp(COARSE, (12, 12, 12)), COARSE)
    save(tmp_path / "b_t2.nii", texture((20, 20, 20)), FINE)
    save(tmp_path / "b_label.nii", np.ones((20, 20, 20), dtype=np.uint8), FINE)
    save(tmp_path / "c_pd.nii", texture((20, 20, 20), 3), FINE)
    rows = [
        {"image": "a_t1.nii", "patient_id": "a", "study_id": "1", "modality": "T1", "label": ""},
        {"image": "a_t2.nii", "patient_id": "a", "study_id": "1", "modality": "t2", "label": ""},
        {"image": "b_t2.nii", "patient_id": "b", "study_id": "1", "modality": "T2", "label": "b_label.nii"},
        {"image": "c_pd.nii", "patient_id": "c", "study_id": "9", "modality": "PD", "label": ""},
    ]
    return prepare(write_manifest(tmp_path, rows), tmp_path / "store", StoreSettings(percentiles=(0, 100)))


def test_rows_of_one_study_and_patient_are_one_place(store: Store):
    studies = store.studies(["T1", "T2"])
    assert len(studies) == 2
    assert studies.in_channels == 2
    assert [[one and one[1] for one in studies.channels(n)] for n in range(2)] == [[0, 1], [None, 2]]
    assert studies.subset([1]).channels(0)[1] == (store, 2)
    # a single scan is a channel by itself
    assert store.channels(3) == ((store, 3),)


def test_channels_show_the_same_place_though_their_grids_differ(store: Store):
    studies = store.studies(["T1", "T2"])
    role = Role(RandomCrop((10, 10, 10), scale=(0.9, 0.9)))
    (view,) = make_views(studies, [0], {"view": role}, np.random.default_rng(0))["view"]
    assert view.image.shape == (2, 10, 10, 10)
    assert view.valid.shape == (2, 10, 10, 10)
    values = []
    for channel, one in enumerate(studies.channels(0)):
        voxels = one[0].entry(one[1]).voxels
        values.append(view.image[channel].numpy() * (voxels.high - voxels.low) + voxels.low)
    # both hold the millimetres themselves, as far as 16 bit and the outermost half voxel allow
    inner = np.s_[2:-2, 2:-2, 2:-2]
    np.testing.assert_allclose(values[0][inner], values[1][inner], atol=0.05)


def test_a_missing_sequence_is_zero_and_nowhere_valid(store: Store):
    studies = store.studies(["T1", "T2"])
    role = Role(RandomCrop((8, 8, 8)), label=True)
    (view,) = make_views(studies, [1], {"view": role}, np.random.default_rng(0))["view"]
    assert float(view.image[0].abs().max()) == 0.0
    assert not view.valid[0].any()
    assert view.valid[1].all()
    assert view.label is not None
    assert (view.label == 1).all()
    again = replay(studies, view.params)
    np.testing.assert_array_equal(again.image.numpy(), view.image.numpy())


def test_a_sequence_twice_in_a_study_is_refused(store: Store):
    twice = store.subset([0, 0, 1])
    with pytest.raises(InputError, match="T1 twice"):
        twice.studies(["T1", "T2"])


def test_sequences_that_nobody_has(store: Store):
    with pytest.raises(InputError, match=r"no row is of the sequences FLAIR, there are: PD, T1, T2, t2"):
        store.studies(["FLAIR"])


def test_samples_of_a_study_are_scans_of_one_patient_in_any_order(store: Store):
    sampler = StudySampler(store, seed=1)
    seen = set()
    for step in range(40):
        samples = sampler.draw(step, 2, np.random.default_rng(step))
        patients = [{store.ids(position)["patient"] for position in sample} for sample in samples]
        assert all(len(one) == 1 for one in patients)
        assert patients[0] != patients[1]
        seen |= set(samples)
    assert {(0, 1), (1, 0), (2, 2), (3, 3)} == seen
