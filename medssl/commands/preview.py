"""``medssl preview``: a recipe's views of a few scans, in the body and after augmentation, before anything trains."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medssl import draws
from medssl.commands.finetune import FinetuneRecipe, untrained
from medssl.commands.networks import in_channels_of, make_encoder
from medssl.commands.policies import Asked, crop_stage, masked_stages
from medssl.commands.pretrain import PretrainRecipe
from medssl.commands.recipe import verb_of
from medssl.commands.recipe_files import find_recipe
from medssl.commands.runs import Progress, checked_recipe, silent
from medssl.errors import InputError, MedsslError, UsageError
from medssl.loading.data import Data, open_store
from medssl.loading.plan import Stage
from medssl.loading.sampler import PatientSampler
from medssl.manifest import Manifest, Record
from medssl.methods.roles import planned_stages
from medssl.plain_yaml import load_yaml
from medssl.recipe import to_plain
from medssl.store.location import is_remote
from medssl.store.prepare import is_current
from medssl.store.store import Store
from medssl.views.make import make_views, replay
from medssl.views.scan import scan_of
from medssl.views.view import View


def preview(
    recipe: PretrainRecipe | FinetuneRecipe | Mapping[str, Any] | str | Path,
    overrides: Sequence[str] = (),
    *,
    out: str | Path = "preview.html",
    samples: int = 2,
    step: int = 0,
    crop: Asked | None = None,
    mask: Asked | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Draw the views of a few samples and write them as one page.

    The store of the recipe is used where it stands. Where it does not, only the scans that are shown are prepared,
    in a temporary folder; a spacing of ``median`` is then the median of these few.

    Args:
        recipe: a file, the name of a recipe that comes with medssl, plain data, or a checked recipe.
        overrides: ``key.path=value``, each.
        out: the page to write (.html).
        samples: how many samples of each stage.
        step: of the run that is shown: every step draws other views, always the same ones for the same step.
        crop: a crop policy that is shown in the place of the method's: a name of ``medssl.views.crops`` or
            ``{name: …, settings}``.
        mask: a mask policy, of ``medssl.views.masks``, likewise.
        progress: told what is being done.

    Returns:
        ``page``, ``scans``, and ``stages``: for each its name and ``roles``, each with the ``views`` a sample, the
        ``shape``, the least and largest ``spacing_mm`` and the ``valid`` share of its voxels.

    Raises:
        RecipeError: the recipe does not fit its schema.
        InputError: a scan is refused, or there is none.
        UsageError: ``samples`` or ``step`` is out of range, or ``out`` is no name of a page.
    """
    from medssl.reporting.page import Page

    if samples < 1 or step < 0:
        raise UsageError(f"samples must be at least 1 and step at least 0, got {samples} and {step}")
    if Path(out).suffix.lower() not in (".html", ".htm") or Path(out).is_dir():
        raise UsageError("expected the name of a .html file", path=out)
    tell = progress or silent
    asked = _asked(recipe, overrides)
    # a slip in a name is told before any scan is read
    if crop is not None:
        crop_stage(crop, asked.views, None, asked.seed, False)
    if mask is not None:
        masked_stages(mask, ())
    with _store(asked, samples, tell) as store:
        planned = _stages(asked, store, crop)
        if mask is not None:
            planned = masked_stages(mask, planned)
        name = planned[0].name if crop is not None else _name(asked)
        page = Page(
            f"Views of {name}",
            f"What step {step} would see, before anything is trained. Samples: {min(samples, len(store))}.",
            facts=[(key, str(value)) for key, value in _flat(to_plain(asked.views))],
        )
        stages = []
        for number, stage in enumerate(planned):
            tell(number, number + 1, f"drawing {stage.name}")
            stages.append(_show(page, store, stage, samples, step, asked.seed))
        return {"page": str(page.write(out)), "scans": len(store), "stages": stages}


def _asked(recipe: Any, overrides: Sequence[str]) -> Any:
    if isinstance(recipe, PretrainRecipe | FinetuneRecipe):
        return checked_recipe(type(recipe), recipe, overrides)
    data = load_yaml(find_recipe(recipe)) if isinstance(recipe, str | Path) else dict(recipe)
    kind: Any = FinetuneRecipe if verb_of(data) == "finetune" else PretrainRecipe
    return checked_recipe(kind, recipe, overrides)


@contextmanager
def _store(asked: Any, samples: int, tell: Progress) -> Iterator[Store]:
    """The recipe's own store where it is current, else one of a few scans that is gone afterwards."""
    data: Data = asked.data
    manifest = Manifest.read(data.manifest, data.root)
    if data.store is not None and is_remote(data.store):
        yield open_store(data, asked.out, tell)
        return
    own = Path(data.store) if data.store is not None else Path(asked.out) / "store"
    if is_current(own, manifest, data.settings()):
        yield open_store(data, asked.out, tell)
        return
    few = _few(manifest.select(data.split) if data.split else manifest, samples, isinstance(asked, FinetuneRecipe))
    with tempfile.TemporaryDirectory(prefix="medssl-preview-") as folder:
        table = Path(folder) / "scans.csv"
        replace(manifest, records=few).write(table)
        if manifest.classes:
            from medssl.classes import write_classes

            write_classes(table.with_suffix(".yaml"), manifest.classes)
        there = replace(
            data, manifest=str(table), root=str(manifest.root), store=str(Path(folder) / "store"), split=None
        )
        yield open_store(there, folder, tell)


def _few(manifest: Manifest, samples: int, labelled: bool) -> tuple[Record, ...]:
    """All rows of as many patients as there are samples, those with labels first where labels are learned."""
    if not manifest.records:
        raise InputError("no row is left to show", path=manifest.path, code="too-few")
    ordered = sorted(manifest.records, key=lambda record: labelled and not record.label)
    patients = list(dict.fromkeys(record.patient_id for record in ordered))[: max(2, samples)]
    return tuple(record for record in manifest.records if record.patient_id in patients)


def _stages(asked: Any, store: Store, crop: Asked | None) -> Sequence[Stage]:
    if crop is not None:
        return [crop_stage(crop, asked.views, store, asked.seed, isinstance(asked, FinetuneRecipe))]
    planned: Sequence[Stage] = planned_stages(_method(asked, store), asked.optim.steps, asked.views)
    return planned


def _name(asked: Any) -> str:
    name: str = asked.method.name if isinstance(asked, PretrainRecipe) else asked.task.name
    return name


def _method(asked: Any, store: Store) -> Any:
    if isinstance(asked, FinetuneRecipe):
        return untrained(asked, store)
    return asked.method.build(make_encoder(asked.encoder, in_channels_of(store), asked.views.crop, asked.seed))


def _show(page: Any, store: Store, stage: Stage, samples: int, step: int, seed: int) -> dict[str, Any]:
    from medssl.reporting.body_views import views_in_body
    from medssl.reporting.page import Table
    from medssl.reporting.view_rows import view_rows

    sampler, note = PatientSampler(store, seed), None
    try:
        chosen = stage.sampler(store, {}) if stage.sampler else sampler
    except (MedsslError, KeyError):
        chosen, note = (
            sampler,
            "This stage chooses its scans by what an earlier stage found; here they are taken in turn.",
        )
    drawn = chosen.draw(step, samples, draws.generator(seed, draws.SAMPLE, step))
    facts: dict[str, dict[str, Any]] = {}
    for slot, positions in enumerate(drawn):
        rng = draws.generator(seed, draws.VIEW, step, slot)
        views = make_views(store, positions, stage.views, rng, (slot, samples))
        figures: list[Any] = []
        for record in sorted({stage.views[role].record for role in views}):
            position = positions[record]
            here = {role: found for role, found in views.items() if stage.views[role].record == record}
            scan = scan_of(store, position)
            where = {role: [view.grid for view in found] for role, found in here.items()}
            image = store.read(position, (0, 0, 0), scan.shape)
            caption = f"Scan {position + 1} of the store{f', {scan.modality}' if scan.modality else ''}, seen through."
            figures.append(views_in_body(image, scan.affine, where, caption))
        shown = [_shown(store, role, n, view) for role, found in views.items() for n, view in enumerate(found, 1)]
        text = "Middle slices: as sampled, as the network gets it, and with hidden cells hatched."
        figures.append(view_rows(shown, text, store.classes))
        rows = [(one.name, _words(view.params)) for one, view in zip(shown, _all(views), strict=True)]
        tables = [Table(("view", "what was drawn"), rows, "Everything drawn for each view; the rest is as it is.")]
        page.section(f"{stage.name}, sample {slot + 1}", "", figures, tables, note)
        for role, found in views.items():
            _count(facts.setdefault(role, {}), found)
    return {"name": stage.name, "roles": facts}


def _shown(store: Store, role: str, number: int, view: View) -> Any:
    from medssl.reporting.view_rows import Shown
    from medssl.volume import spacing_of

    plain = replay(store, {**view.params, "augment": []}, [])
    return Shown(
        f"{role} {number}",
        plain.image.numpy(),
        view.image.numpy(),
        None if view.hidden is None else view.hidden.numpy(),
        None if view.label is None else view.label.numpy(),
        spacing_of(view.grid.affine),
    )


def _all(views: Mapping[str, Sequence[View]]) -> list[View]:
    return [view for found in views.values() for view in found]


def _count(facts: dict[str, Any], views: Sequence[View]) -> None:
    from medssl.volume import spacing_of

    lengths = [length for view in views for length in spacing_of(view.grid.affine)]
    before = facts.get("spacing_mm", [np.inf, 0.0])
    facts["views"] = len(views)
    facts["shape"] = [int(n) for n in views[0].grid.shape]
    facts["spacing_mm"] = [round(min(before[0], *lengths), 4), round(max(before[1], *lengths), 4)]
    facts["valid"] = round(float(np.mean([view.valid.float().mean().item() for view in views])), 4)


def _words(params: Mapping[str, Any]) -> str:
    """What was drawn for a view, in a line."""
    parts = [f"{name} {_short(value)}" for name, value in params["spatial"].items()]
    for name, numbers in params["augment"]:
        if numbers:
            parts.append(f"{name} ({', '.join(f'{key} {_short(value)}' for key, value in numbers.items())})")
    return "; ".join(parts) or "nothing"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} {_short(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return (
            "[" + " ".join(_short(item) for item in value) + "]"
            if np.size(value) <= 12
            else f"[{np.size(value)} numbers]"
        )
    return str(value)


def _flat(data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, _short(value) if not isinstance(value, str) else value) for key, value in data.items()]
