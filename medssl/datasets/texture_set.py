"""A data set of texture phantoms: whether an encoder has learned anything but brightness shows on it."""

from __future__ import annotations

from pathlib import Path

from medssl.datasets.cards import copy_card
from medssl.datasets.made_set import cached_set
from medssl.datasets.progress import Progress, silent
from medssl.datasets.textures import ORGANS, texture_phantom
from medssl.errors import UsageError
from medssl.io.write import write
from medssl.manifest import Manifest, Record

COUNT, TEST, SHAPE = 40, 16, (64, 64, 64)
"""The set that is fetched by name: its patients, how many of them are for testing, and the voxels of a scan."""

_MANIFEST = "textures.csv"
_EDITION = "textures 1"


def write_textures(
    folder: str | Path,
    count: int = COUNT,
    test: int = TEST,
    seed: int = 0,
    shape: tuple[int, int, int] = SHAPE,
    progress: Progress = silent,
) -> Path:
    """Write texture phantoms with their labels and a manifest.

    Args:
        folder: is made; what it holds under the same names is replaced.
        count: patients, each with one scan.
        test: how many of them, the last ones, are of the split ``test``; the others are of ``train``.
        seed: another seed, other patients.
        shape: voxels of a scan, each of 1 mm.
        progress: told at every scan.

    Returns:
        Path of ``textures.csv``.

    Raises:
        UsageError: no patient is left for one of the splits.
    """
    if not 0 < test < count:
        raise UsageError(f"a set of texture phantoms has patients in both splits, got {test} of {count} for testing")
    folder = Path(folder)
    records = []
    for number in range(count):
        progress(number, count, "making phantoms")
        name = f"texture{number:03d}.nii.gz"
        for kind, volume in zip(("images", "labels"), texture_phantom(seed, number, shape), strict=True):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            write(volume, folder / kind / name)
        records.append(
            Record(
                image=f"images/{name}",
                patient_id=f"t{number:03d}",
                study_id=f"s{number:03d}",
                label=f"labels/{name}",
                modality="MR",
                split="test" if number >= count - test else "train",
            )
        )
    progress(count, count, "making phantoms")
    Manifest(folder / _MANIFEST, folder, tuple(records), dict(ORGANS)).write(folder / _MANIFEST)
    copy_card("textures", folder)
    return folder / _MANIFEST


def cached_textures(cache: str | Path | None = None, progress: Progress = silent) -> Path:
    """The texture phantoms in the user's cache, made if they are not there yet, checked if they are.

    Raises:
        IntegrityError: a cached file was changed (code ``hash``).
    """
    made = (COUNT, TEST, 0, SHAPE, progress)
    return cached_set("textures", _EDITION, lambda folder: write_textures(folder, *made), cache, progress)
