"""``medssl pretrain``: an encoder without labels, by any method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from medssl.commands.networks import (
    CHOICE,
    contract_notes,
    export_weights,
    in_channels_of,
    load_encoder,
    load_heads,
    make_encoder,
)
from medssl.commands.preflight import refuse_settings
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
from medssl.encoders import ENCODERS
from medssl.loading.data import Data, open_store
from medssl.methods import METHODS
from medssl.methods.roles import planned_stages
from medssl.recipe import Choice, From, to_plain
from medssl.training.hardware import Hardware
from medssl.training.optimizers import Optim
from medssl.training.plan import Keep
from medssl.views.settings import ViewSettings
from medssl.weights.folder import load_weights


@dataclass(frozen=True)
class PretrainRecipe:
    """What a pretraining recipe says.

    Args:
        out: the run folder.
        method: how to learn without labels.
        encoder: what learns.
        data: which scans.
        views: size and augmentation of the crops.
        optim: optimizer, learning rate, steps and batch.
        hardware: devices and precision.
        keep: what the run leaves.
        init: a weights folder to go on from, heads included; null starts anew.
        init_minimum: least share of the encoder's parameters that ``init`` must fill.
        seed: decides every draw.
    """

    out: str
    method: Annotated[Choice, From(METHODS, "medssl.methods.contract:Method", ("encoder",))]
    encoder: Annotated[Choice, CHOICE]
    data: Data
    views: ViewSettings = field(default_factory=ViewSettings)
    optim: Optim = field(default_factory=Optim)
    hardware: Hardware = field(default_factory=Hardware)
    keep: Keep = field(default_factory=Keep)
    init: str | None = None
    init_minimum: Annotated[float, Field(ge=0, le=1)] = 0.9
    seed: Annotated[int, Field(ge=0)] = 0


def pretrain(
    recipe: PretrainRecipe | Mapping[str, Any] | str | Path,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Pretrain an encoder.

    Args:
        recipe: a file, the name of a recipe that comes with medssl, plain data, or a checked recipe.
        overrides: ``key.path=value``, each.
        resume: go on where the run in ``out`` stopped.
        progress: called with steps done, steps in all, and what is being done.

    Returns:
        ``run``, ``weights``, ``steps``, ``seconds``, ``data_wait``, ``init`` (how much of it fitted), ``health`` (the
        last numbers) and ``notes``.
        The run folder holds ``recipe.yaml``, ``run.json``, ``metrics.csv``, ``health.npz``, ``checkpoints/``,
        ``pictures/``, ``tensorboard/`` and ``weights/``.

    Raises:
        RecipeError: the recipe does not fit its schema.
        UsageError: a run stands in ``out`` (``exists``), or it cannot go on (``resume``).
        InputError: a scan or the manifest is refused.
        WeightsError: ``init`` fits too little.
    """
    tell = progress or silent
    asked = checked_recipe(PretrainRecipe, recipe, overrides)
    out = open_run(asked.out, resume)
    weights = None if asked.init is None else load_weights(asked.init)
    rehearse(asked)
    store = open_store(asked.data, out, tell)
    crop = asked.views.crop
    encoder = make_encoder(asked.encoder, in_channels_of(store), crop, asked.seed)
    init = "from scratch" if weights is None else load_encoder(encoder, weights, asked.init_minimum)
    method = asked.method.build(encoder)
    notes: list[str] = []
    if weights is not None:
        heads = load_heads({n: m for n, m in method.exported().items() if n != "encoder"}, weights)
        init += f"; heads: {', '.join(heads) or 'none'}"
        notes = contract_notes(weights, store, crop)
    tell(0, asked.optim.steps, f"{asked.method.name}: {init}")
    took = train(asked, method, store, out, name=asked.method.name, resume=resume, progress=tell)
    if is_first_process():
        facts = {"method": to_plain(asked.method), "crop": list(crop)}
        export_weights(out / WEIGHTS, method.exported(), asked.encoder, store, facts, card_of(asked, took, init))
    facts = {"verb": "pretrain", "method": asked.method.name, "encoder": asked.encoder.name, "init": init}
    return write_run(out, {**facts, "scans": len(store), "weights": WEIGHTS, **took, "notes": [*notes, *took["notes"]]})


def rehearse(asked: Any) -> None:
    """Build what a recipe names once for one channel, so that what does not fit shows before any scan is prepared.

    Args:
        asked: a checked recipe of either verb.

    Raises:
        RecipeError: settings that do not fit one another, or a method on an encoder that cannot carry it.
    """
    if asked.encoder.name not in ENCODERS:
        # a network of the user's own may be made for another number of channels
        return
    encoder = make_encoder(asked.encoder, 1, asked.views.crop, asked.seed)
    if isinstance(asked, PretrainRecipe):
        method = asked.method.build(encoder)
        planned_stages(method, asked.optim.steps, asked.views)
        refuse_settings(asked, method)
