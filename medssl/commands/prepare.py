"""``medssl prepare``: the deterministic part of loading, done once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from medssl.errors import UsageError
from medssl.manifest import Manifest
from medssl.store.prepare import prepare as build
from medssl.store.settings import StoreSettings
from medssl.store.work import QUARANTINE_FILE, Preparation, Progress


def prepare(
    manifest: str | Path,
    store: str | Path,
    *,
    root: str | Path | None = None,
    spacing_mm: tuple[float, float, float] | Literal["median"] | None = None,
    window_hu: tuple[float, float] | None = None,
    percentiles: tuple[float, float] = (0.5, 99.5),
    zscore: float | None = None,
    n4: bool = False,
    suv: bool = False,
    recipe: str | Path | None = None,
    jobs: int | None = 1,
    verify: Literal["quick", "full"] = "quick",
    continue_on_error: bool = False,
    max_bad: float | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Orient, resample and measure every scan of a manifest, into a store.

    Args:
        manifest: the manifest's path.
        store: the folder to write; what is there and sound is kept.
        root: folder that the manifest's paths start from.
        spacing_mm: voxel size along i, j and k, ``"median"``, or None to keep each scan's own.
        window_hu: values that become 0 and 1 for CT and for rows without modality.
        percentiles: percentiles that become 0 and 1 for all other rows.
        zscore: in their place mean ∓ this many standard deviations.
        n4: correct the bias field of MR.
        suv: read PET in uptake values.
        recipe: a recipe whose ``data`` section says all of the six above in their place.
        jobs: processes; None for as many as processors and memory allow. A script that asks for several must keep its
            own work under ``if __name__ == "__main__"``.
        verify: ``full`` sums up every source anew; ``quick`` takes one for unchanged whose size, time and inode are.
        continue_on_error: set refused scans aside.
        max_bad: largest share of scans that may be set aside; without it a tenth, and one of any number.
        progress: called with parts done, parts in all, and what is being done.

    Returns:
        ``store``, ``scans``, ``built``, ``reused``, ``settings`` (the input contract) and ``quarantined``.

    Raises:
        MedsslError: a scan is refused, or the disk is full; nothing half-written is left.
    """
    account = Preparation()
    settings = StoreSettings(
        spacing_mm=spacing_mm, window_hu=window_hu, percentiles=percentiles, zscore=zscore, n4=n4, suv=suv
    )
    if recipe is not None:
        if settings != StoreSettings():
            raise UsageError("settings stand in the recipe and beside it: give one or the other", path=recipe)
        settings = _settings_of(recipe)
    made = build(
        Manifest.read(manifest, root),
        Path(store),
        settings,
        jobs=jobs,
        verify=verify,
        continue_on_error=continue_on_error,
        max_bad=max_bad,
        progress=progress,
        account=account,
    )
    out: dict[str, Any] = {
        "store": str(store),
        "scans": len(made),
        "built": account.built,
        "reused": account.reused,
        "settings": made.settings.contract(),
        "quarantined": account.quarantined,
    }
    return {**out, "quarantine": str(Path(store) / QUARANTINE_FILE)} if account.quarantined else out


def _settings_of(recipe: str | Path) -> StoreSettings:
    """What a recipe's ``data`` section says of preparation."""
    from medssl.commands.recipe_files import find_recipe
    from medssl.loading.data import Data
    from medssl.plain_yaml import load_yaml
    from medssl.recipe import check

    data = load_yaml(find_recipe(recipe)).get("data")
    if not isinstance(data, dict):
        raise UsageError("the recipe has no section data", path=recipe)
    return check(Data, data, f"{recipe}: data").settings()
