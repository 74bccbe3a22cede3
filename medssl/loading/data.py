"""The recipe's ``data:`` section, and the store it leads to."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medssl.errors import InputError, RecipeError, ResourceError
from medssl.manifest import Manifest
from medssl.store.location import is_remote
from medssl.store.prepare import is_current, prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.store.work import Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Data:
    """Which scans, and what is done to them.

    Args:
        manifest: the manifest's path (.csv).
        root: folder that its paths start from; the manifest's own by default.
        store: folder of the prepared scans; ``store`` in the run's folder by default. A place such as
            ``s3://bucket/store`` is read through fsspec.
        spacing_mm: voxel size along i, j and k, ``median``, or null to keep each scan's own.
        window_hu: values that become 0 and 1 for CT and for rows without modality; null for percentiles.
        percentiles: percentiles that become 0 and 1 for all other rows.
        zscore: in their place mean ∓ this many standard deviations.
        n4: correct the bias field of MR.
        suv: read PET in uptake values.
        split: which rows are used; null for all.
        workers: processes that load.
        sequences: names of the manifest's ``modality`` column that become the channels of one image a study, missing
            ones masked; none of them where every row is an image of its own.
        cache_optional: where the store cannot be written, keep the prepared scans in memory (``/dev/shm``, else the
            temporary folder) until the run ends, with a warning.
        take: ``patients`` takes patient by patient, so that no batch holds one twice where there are enough;
            ``scans`` takes every scan once an epoch.
    """

    manifest: str
    root: str | None = None
    store: str | None = None
    spacing_mm: tuple[float, float, float] | Literal["median"] | None = None
    window_hu: tuple[float, float] | None = None
    percentiles: tuple[float, float] = (0.5, 99.5)
    zscore: float | None = None
    n4: bool = False
    suv: bool = False
    split: str | None = None
    workers: int = 0
    sequences: tuple[str, ...] = ()
    take: Literal["patients", "scans"] = "patients"
    cache_optional: bool = False

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise RecipeError(f"workers must be 0 or more, got {self.workers}")
        if len({name.strip().casefold() for name in self.sequences}) != len(self.sequences):
            raise RecipeError(f"sequences must differ from each other, got {list(self.sequences)}")
        self.settings()

    def settings(self) -> StoreSettings:
        """What the store does to the scans."""
        return StoreSettings(
            spacing_mm=self.spacing_mm,
            window_hu=self.window_hu,
            percentiles=self.percentiles,
            zscore=self.zscore,
            n4=self.n4,
            suv=self.suv,
        )


def open_store(data: Data, out: str | Path, progress: Progress | None = None) -> Store:
    """The prepared scans of a recipe's split; prepared now where they are not, or no longer, what the recipe asks for.

    Args:
        data: the recipe's section.
        out: the run's folder; holds the store where the recipe names none.
        progress: told how far preparation is.

    Raises:
        InputError: a scan is refused; or no row is of the split (``too-few``).
    """
    manifest = Manifest.read(data.manifest, data.root)
    settings = data.settings()
    if data.store is not None and is_remote(data.store):
        store = _remote(data.store, manifest, settings)
    else:
        path = Path(data.store) if data.store is not None else Path(out) / "store"
        store = _prepared(data, manifest, path, progress).healing(manifest)
    if data.split is not None:
        store = _of_split(store, data)
    return store.studies(data.sequences) if data.sequences else store


def _prepared(data: Data, manifest: Manifest, path: Path, progress: Progress | None) -> Store:
    """The store of a folder, made where it is not current; elsewhere for this run where the folder cannot be written.

    Raises:
        ResourceError: the disk is full or read-only, and the store is not optional (``disk``).
    """
    settings = data.settings()
    if is_current(path, manifest, settings):
        return Store.open(path)
    try:
        return prepare(manifest, path, settings, progress=progress)
    except ResourceError as error:
        if not data.cache_optional or error.code != "disk":
            raise
        memory = Path("/dev/shm")  # noqa: S108
        folder = tempfile.mkdtemp(prefix="medssl-store-", dir=memory if os.access(memory, os.W_OK) else None)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        log.warning("%s; the prepared scans lie in %s until this run ends", error.line(), folder)
        return prepare(manifest, Path(folder), settings, progress=progress)


def _remote(place: str, manifest: Manifest, settings: StoreSettings) -> Store:
    """A store that is read where it lies; it cannot be prepared or mended from here.

    Raises:
        InputError: it was made from another manifest or with other settings (``store-version``).
    """
    store = Store.open(place)
    for what, differs in (
        ("manifest", store.manifest_digest != manifest.digest()),
        ("set of settings", store.asked != settings),
    ):
        if differs:
            raise InputError(
                f"the store was made with another {what} than the recipe's section data gives",
                path=place,
                code="store-version",
                hint="prepare it here with medssl prepare, and copy it there",
            )
    return store


def _of_split(store: Store, data: Data) -> Store:
    positions = store.positions(data.split)
    if not positions:
        have = ", ".join(sorted({store.row(position).split or "(none)" for position in range(len(store))}))
        raise InputError(f"no scan is of split {data.split}, there are: {have}", path=data.manifest, code="too-few")
    return store.subset(positions)
