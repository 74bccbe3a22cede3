"""The samples: small real CT and MR scans, fetched once into the user's cache and checked at every use."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from medssl.datasets.cache import cache_folder, check_sums, has_sums, settle, write_sums
from medssl.datasets.cards import copy_card
from medssl.datasets.label_groups import GROUPS, read_names, regroup
from medssl.datasets.lattice import onto_lattice
from medssl.datasets.progress import Progress, silent
from medssl.datasets.registry_fetch import download
from medssl.datasets.sample_sources import MEMBERS, NAME_TABLE, PARTLY, PINS, SAMPLES, Sample
from medssl.datasets.thick_slices import thicken
from medssl.datasets.unpack import unpack
from medssl.draws import stable_int
from medssl.errors import from_os_error
from medssl.io.read import read, read_label
from medssl.io.write import write
from medssl.manifest import Manifest, Record
from medssl.volume import Volume

UNKNOWN = -1
"""In a partial organ map: nobody has said what this voxel is."""

EDITION = f"samples {stable_int(repr((PINS, MEMBERS, SAMPLES, GROUPS))):x}"
"""Changes whenever the packages, the files taken from them, the rows or the groups do."""

_MANIFEST = "samples.csv"


def fetch_samples(cache: str | Path | None = None, progress: Progress = silent) -> Path:
    """The samples' manifest, fetched and unpacked if they are not there yet.

    Args:
        cache: see ``cache.cache_folder``; the samples lie in ``samples`` below it.
        progress: told at every step.

    Returns:
        Path of ``samples.csv``.

    Raises:
        IntegrityError: a file in the cache was changed (``hash``; it is then set aside and the next call fetches
            anew), or a package has another checksum than the one pinned, or holds unsafe members (``archive``).
        ResourceError: no network, no room on the disk, no pip.
    """
    folder = cache_folder(cache) / "samples"
    if has_sums(folder, EDITION):
        check_sums(folder, progress)
        return folder / _MANIFEST
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=".samples-", dir=folder.parent))
        try:
            archives = download(PINS, room / "archives", progress=progress)
            made = room / "samples"
            for number, (name, members) in enumerate(MEMBERS.items()):
                progress(number, len(MEMBERS), "unpacking")
                unpack(archives[name], members, room / name)
                merge(room / name, made)
            progress(len(MEMBERS), len(MEMBERS), "unpacking")
            build_samples(made, progress=progress)
            settle(made, folder, EDITION)
        finally:
            shutil.rmtree(room, ignore_errors=True)
    except OSError as error:
        raise from_os_error(error, folder) from error
    return folder / _MANIFEST


def merge(source: Path, target: Path) -> None:
    """Move all files of one folder into another, keeping their paths."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            to = target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, to)


def build_samples(folder: Path, samples: tuple[Sample, ...] = SAMPLES, progress: Progress = silent) -> Path:
    """Write grouped labels, the manifest and the checksums beside unpacked files.

    Args:
        folder: holds ``images``, ``organs``, ``masks`` and the table of label names.
        samples: the rows.
        progress: told at every scan.

    Returns:
        Path of the manifest.
    """
    table = folder / NAME_TABLE
    source = table.read_text(encoding="utf-8")
    for number, sample in enumerate(samples):
        progress(number, len(samples), "grouping labels")
        if sample.organs == PARTLY:
            write_partial(folder, sample)
        elif sample.organs:
            write_groups(folder, sample, read_names(source, "class_map", sample.organs))
        elif sample.thin:
            write(thicken(read(folder / sample.thin)), folder / sample.image)
    progress(len(samples), len(samples), "grouping labels")
    shutil.rmtree(folder / "organs")
    table.unlink()
    records = tuple(_record(sample) for sample in samples)
    Manifest(folder / _MANIFEST, folder, records, dict(GROUPS)).write(folder / _MANIFEST)
    copy_card("samples", folder)
    write_sums(folder, EDITION)
    return folder / _MANIFEST


def _record(sample: Sample) -> Record:
    return Record(
        image=sample.image,
        patient_id=sample.patient,
        study_id=sample.name,
        label=label_path(sample) if sample.organs else "",
        modality=sample.modality,
        split="test" if sample.test else "train",
        flags=" ".join(sample.flags),
        targets={"region": sample.region, "masks": sample.masks},
    )


def label_path(sample: Sample) -> str:
    """Where the grouped label map of a sample lies."""
    return f"labels/{sample.name}.nii.gz"


def write_groups(folder: Path, sample: Sample, names: dict[int, str]) -> None:
    """Write the label map of a sample in the five groups, on the image's own grid."""
    image = read(folder / sample.image)
    organs = read_label(folder / "organs" / f"{sample.name}.nii.gz")
    label = regroup(onto_lattice(organs, image), names)
    (folder / "labels").mkdir(exist_ok=True)
    write(Volume(label[None], image.affine), folder / label_path(sample))


def write_partial(folder: Path, sample: Sample) -> None:
    """Write what is known of a scan of which only single organs are marked; the rest is ``UNKNOWN``, not background."""
    image = read(folder / sample.image)
    label = np.full(image.shape, UNKNOWN, dtype=np.int16)
    for path in sorted((folder / "organs" / sample.name).glob("*.nii.gz")):
        inside = onto_lattice(read_label(path), image) > 0
        name = path.name.removesuffix(".nii.gz")
        label[inside] = regroup(np.array([1]), {1: name})[0]
    (folder / "labels").mkdir(exist_ok=True)
    write(Volume(label[None], image.affine), folder / label_path(sample))
