"""P48 and P49: outputs keep the scan's own grid exactly, and are written whole or not at all, in their own folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medssl.commands.convert import convert
from medssl.draws import generator
from medssl.errors import ResourceError
from medssl.inference.export import to_label_map
from medssl.io.read import read
from medssl.io.write import write
from medssl.store.resample import resample
from medssl.volume import Volume, reorient
from tests.bad_input.asking import listing, small_disk
from tests.promises.files import marked, nifti, put
from tests.promises.test_p01_files import placed, random_affine, random_voxels

SUFFIXES = [".nii.gz", ".nii", ".mha", ".nrrd", ".npz"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shear", [False, True])
def test_p48_what_is_written_reads_back_in_its_place(tmp_path: Path, suffix: str, shear: bool) -> None:
    for seed in range(6):
        rng = generator(seed, 1, 48)
        affine, data = random_affine(rng, shear), random_voxels(rng, ["u1", "i2", "f4"][seed % 3])
        source = put(tmp_path / "a.nii", nifti(data, srow=affine[:3].ravel()))
        convert(source, tmp_path / f"b{suffix}")
        again = read(tmp_path / f"b{suffix}")
        placed(again, data, affine)
        np.testing.assert_allclose(
            again.affine, read(source).affine, rtol=1e-6, atol=1e-4 if ".nii" in suffix else 1e-9
        )
        assert again.data.dtype == data.dtype


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_p48_both_maps_of_a_nifti_are_coded_and_equal(tmp_path: Path, suffix: str) -> None:
    for seed in range(6):
        affine = random_affine(generator(seed, 2, 48), shear=False)
        write(Volume(marked()[None], affine), tmp_path / f"a{suffix}")
        header = nibabel.load(tmp_path / f"a{suffix}").header
        assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
        np.testing.assert_allclose(header.get_qform(), header.get_sform(), rtol=1e-5, atol=1e-3)
        assert header.get_xyzt_units()[0] == "mm"


def test_p48_a_label_mapped_to_the_store_and_back_lies_on_itself() -> None:
    for seed in range(12):
        rng = generator(seed, 3, 48)
        affine = random_affine(rng, shear=False)
        affine[:3, :3] /= np.linalg.norm(affine[:3, :3], axis=0) / rng.uniform(0.8, 3.0, 3)
        shape = tuple(int(n) for n in rng.integers(12, 18, 3))
        place = rng.integers(4, np.array(shape) - 5)
        data = np.zeros((1, *shape), np.uint8)
        data[0][tuple(slice(p - 3, p + 4) for p in place)] = 1
        label = Volume(data, affine)
        stored = resample(reorient(label, "RAS"), (1.3, 1.1, 0.9), labels=True)
        chances = np.stack([stored.data[0] == 0, stored.data[0] == 1]).astype(np.float32)
        back = to_label_map(chances, stored.affine, label.shape, affine)
        np.testing.assert_allclose(back.affine, affine, atol=1e-5)
        assert back.data.shape == data.shape
        assert back.data.dtype == np.uint8
        assert back.data[0][tuple(place)] == 1
        centre = np.argwhere(back.data[0]).mean(axis=0)
        assert np.abs(centre - place).max() <= 0.5


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_p49_a_full_disk_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    rng = generator(0, 1, 49)
    scan = Volume(rng.integers(0, 30000, (1, 40, 40, 40)).astype(np.int16), np.eye(4))
    write(Volume(marked()[None], np.eye(4)), tmp_path / f"old{suffix}")
    before = (tmp_path / f"old{suffix}").read_bytes()
    for name in ("new", "old"):
        with small_disk(20_000), pytest.raises(ResourceError, match=rf"{name}.*bytes are free") as caught:
            write(scan, tmp_path / f"{name}{suffix}")
        assert caught.value.exit_code == 5
    assert (tmp_path / f"old{suffix}").read_bytes() == before
    assert listing(tmp_path) == {f"old{suffix}"}


_LOOP = """
import sys, numpy as np
from medssl.io.write import write
from medssl.volume import Volume
data = np.random.default_rng(0).integers(0, 30000, (1, 64, 64, 64)).astype(np.int16)
print("ready", flush=True)
while True:
    write(Volume(data, np.eye(4)), sys.argv[1])
"""


def test_p49_a_kill_leaves_no_partial_file(tmp_path: Path) -> None:
    for number, suffix in enumerate((".nii.gz", ".npz", ".nii")):
        path = tmp_path / f"a{suffix}"
        with subprocess.Popen([sys.executable, "-c", _LOOP, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(0.05 + 0.13 * number)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        if path.exists():
            assert read(path).shape == (64, 64, 64)
        # what a kill leaves beside it is hidden and marked, so that nobody takes it for a result
        assert all(name.startswith(".") and ".part" in name for name in listing(tmp_path) if name != path.name)
        for name in listing(tmp_path):
            os.unlink(tmp_path / name)


def test_p49_nothing_is_written_outside_the_folder_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    source = put(tmp_path / "a.nii", nifti())
    before = listing(tmp_path)
    for suffix in SUFFIXES:
        convert(source, tmp_path / "out" / f"b{suffix}")
    assert listing(tmp_path) - before == {f"out/b{suffix}" for suffix in SUFFIXES}
