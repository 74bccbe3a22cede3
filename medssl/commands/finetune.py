"""``medssl finetune``: a head on an encoder, from weights or from scratch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from medssl.commands.labelled import few_patients, with_labels
from medssl.commands.networks import (
    CHOICE,
    choice_of,
    contract_notes,
    export_weights,
    in_channels_of,
    load_encoder,
    make_encoder,
)
from medssl.commands.runs import (
    WEIGHTS,
    Progress,
    checked_recipe,
    is_first_process,
    open_run,
    silent,
    write_run,
)
from medssl.commands.training import card_of, train
from medssl.errors import InputError, RecipeError
from medssl.loading.data import Data, open_store
from medssl.manifest import Manifest
from medssl.methods.contract import Method
from medssl.methods.tuning import TUNINGS
from medssl.recipe import Choice, From, to_plain
from medssl.store.store import Store
from medssl.training.hardware import Hardware
from medssl.training.optimizers import Optim
from medssl.training.plan import Keep
from medssl.views.settings import ViewSettings
from medssl.weights.folder import Weights, load_weights

TASK = From(TUNINGS, "medssl.methods.contract:Method", ("encoder", "classes", "bodies"))


@dataclass(frozen=True)
class FinetuneRecipe:
    """What a fine-tuning recipe says.

    Args:
        out: the run folder.
        task: segment or classify, with its settings.
        data: which scans; ``data.split`` names the ones to train on. Those without a label are left out.
        labels: the number of patients whose labels are used, chosen by the seed; null for all.
        encoder: what is fine-tuned; null takes the one of ``init``.
        views: size and augmentation of the crops.
        optim: optimizer, learning rate, steps and batch.
        hardware: devices and precision.
        keep: what the run leaves.
        init: a weights folder or a run to start from; null starts from scratch.
        init_minimum: least share of the encoder's parameters that ``init`` must fill.
        seed: decides every draw.
    """

    out: str
    task: Annotated[Choice, TASK]
    data: Data
    labels: Annotated[int, Field(ge=1)] | None = None
    encoder: Annotated[Choice, CHOICE] | None = None
    views: ViewSettings = field(default_factory=ViewSettings)
    optim: Optim = field(default_factory=Optim)
    hardware: Hardware = field(default_factory=Hardware)
    keep: Keep = field(default_factory=Keep)
    init: str | None = None
    init_minimum: Annotated[float, Field(ge=0, le=1)] = 0.9
    seed: Annotated[int, Field(ge=0)] = 0


def finetune(
    recipe: FinetuneRecipe | Mapping[str, Any] | str | Path,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fine-tune a head and its encoder.

    Args:
        recipe: a file, the name of a recipe that comes with medssl, plain data, or a checked recipe.
        overrides: ``key.path=value``, each.
        resume: go on where the run in ``out`` stopped.
        progress: called with steps done, steps in all, and what is being done.

    Returns:
        As ``pretrain``, and ``labels``: how many were ``asked`` for, how many ``patients`` there are, of how many
        scans, and who was ``chosen`` (keyed hashes). The weights hold the head, so that ``predict`` can use them.

    Raises:
        RecipeError: the recipe does not fit its schema, or names no encoder.
        InputError: there are too few scans, or no labels.
        WeightsError: ``init`` fits too little.
    """
    tell = progress or silent
    asked = checked_recipe(FinetuneRecipe, recipe, overrides)
    out = open_run(asked.out, resume)
    weights = None if asked.init is None else load_weights(asked.init)
    choice = _encoder_choice(asked, weights)
    everyone = open_store(asked.data, out, tell)
    _refuse_all_splits(asked, everyone)
    classes = _classes(asked.task, everyone, asked.data.manifest)
    store, notes = _learned_from(asked, everyone)
    labels = _labels_used(asked, store, everyone)
    crop = asked.views.crop
    encoder = make_encoder(choice, in_channels_of(store), crop, asked.seed)
    init = "from scratch" if weights is None else load_encoder(encoder, weights, asked.init_minimum)
    notes += [] if weights is None else contract_notes(weights, store, crop)
    method = _method(asked.task, encoder, classes, store)
    tell(0, asked.optim.steps, f"{asked.task.name}: {init}")
    took = train(asked, method, store, out, name=asked.task.name, resume=resume, progress=tell)
    if is_first_process():
        named: Any = {str(value): name for value, name in classes.items()} if isinstance(classes, dict) else classes
        before = None if weights is None else weights.config.get("method")
        facts = {"task": {**to_plain(asked.task), "classes": named}, "method": before, "crop": list(crop)}
        card = {**card_of(asked, took, init), "labels": f"{labels['patients']} patients, {len(store)} scans"}
        export_weights(out / WEIGHTS, method.exported(), choice, store, facts, card)
    said = {"verb": "finetune", "task": asked.task.name, "encoder": choice.name, "init": init, "labels": labels}
    return write_run(out, {**said, "scans": len(store), "weights": WEIGHTS, **took, "notes": [*notes, *took["notes"]]})


def setting(choice: Choice, name: str) -> Any:
    """A setting of a chosen part, or its default."""
    return choice.settings.get(name, inspect.signature(choice.target).parameters[name].default)


def _refuse_all_splits(asked: FinetuneRecipe, store: Store) -> None:
    """Training on every split, the test scans with it, must never happen by an omission."""
    splits = sorted({store.row(n).split for n in range(len(store))} - {""})
    if asked.data.split is None and len(splits) > 1:
        raise RecipeError(
            f"data.split: the manifest has the splits {', '.join(splits)}, expected the one to train on",
            path=asked.data.manifest,
        )


def _encoder_choice(asked: FinetuneRecipe, weights: Weights | None) -> Choice:
    if asked.encoder is not None:
        return asked.encoder
    if weights is None:
        raise RecipeError("encoder: name one, or give weights as init", path="recipe")
    return choice_of(weights)


def _learned_from(asked: FinetuneRecipe, store: Store) -> tuple[Store, list[str]]:
    """The scans with labels, of as many patients as the recipe says, and a note about the others."""
    from medssl.methods.tuning.heights import HEIGHT

    rows = range(len(store))
    if asked.task.name == "segment":
        labelled, what = [store.entry(n).voxels.labelled for n in rows], "label map"
    else:
        column = setting(asked.task, "target")
        labelled, what = [column == HEIGHT or column in store.row(n).targets for n in rows], f"value of {column}"
    found, notes = with_labels(store, labelled, what, asked.data.manifest)
    if asked.labels is None:
        return found, notes
    return few_patients(found, Manifest.read(asked.data.manifest, asked.data.root), asked.labels, asked.seed), notes


def _labels_used(asked: FinetuneRecipe, store: Store, everyone: Store) -> dict[str, Any]:
    """Whose labels a run learns from, for ``run.json``."""
    patients = {store.row(n).patient for n in range(len(store))}
    facts = {"asked": asked.labels, "patients": asked.labels or len(patients), "of_scans": len(everyone)}
    return facts if asked.labels is None else {**facts, "chosen": sorted(patients)}


def _classes(task: Choice, store: Store, manifest: str) -> dict[int, str] | list[str]:
    """Label values and names for segmentation; names of the classes for classification."""
    from medssl.methods.tuning.heights import HEIGHT, region_names

    if task.name == "segment":
        return store.classes
    column = setting(task, "target")
    if column == HEIGHT:
        return list(region_names(setting(task, "regions")))
    values = [store.row(n).targets[column] for n in range(len(store)) if column in store.row(n).targets]
    if not values:
        raise InputError(f"no row has a value in the column {column}", path=manifest, code="too-few")
    words = store.target_names.get(column)
    return list(words) if words else [str(number) for number in range(int(max(values)) + 1)]


def untrained(asked: FinetuneRecipe, store: Store) -> Method:
    """The recipe's task on its encoder as they are before training, for a look at the views.

    Args:
        asked: a checked recipe.
        store: some of its scans.
    """
    weights = None if asked.encoder is not None or asked.init is None else load_weights(asked.init)
    encoder = make_encoder(_encoder_choice(asked, weights), in_channels_of(store), asked.views.crop, asked.seed)
    return _method(asked.task, encoder, _classes(asked.task, store, asked.data.manifest), store)


def _method(task: Choice, encoder: Any, classes: Any, store: Store) -> Method:
    from medssl.methods.tuning.heights import bodies_of

    more = {"bodies": bodies_of(store)} if task.name == "classify" else {}
    method: Method = task.build(encoder, classes=classes, **more)
    return method
