"""What is refused before the first step of a run, because it cannot work with these settings or these data."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol

from medssl.errors import InputError, RecipeError
from medssl.methods.contract import Facts, Method
from medssl.recipe import Choice
from medssl.store.store import Store
from medssl.training.chunked import refuse_batch_norms
from medssl.training.hardware import Hardware
from medssl.training.optimizers import Optim

COLDEST = 2.0**-9
"""Lowest temperature with float16. The gradient of a unit vector of cosines is at most 2/temperature, and float16 ends
at 65,504: from the gradient scaler's first scale of 2¹⁶ more than ten halvings, each a step that is left out, may be
needed below it. Measured: none at 0.1, up to 7 steps at 0.001, up to 11 at 0.0001, up to 17 at 0.000001."""


class Asked(Protocol):
    """The sections of a training recipe that are looked at."""

    @property
    def optim(self) -> Optim: ...  # noqa: D102

    @property
    def hardware(self) -> Hardware: ...  # noqa: D102


def refuse_settings(asked: Asked, method: Method) -> None:
    """Refuse settings that do not fit one another, whatever the data.

    Args:
        asked: the recipe.
        method: as the recipe builds it.

    Raises:
        RecipeError: ``optim.chunk`` with networks that cannot be encoded in parts or with a strategy that cannot add
            up several backwards; a temperature too low for float16.
    """
    if asked.optim.chunk is not None and asked.optim.chunk < asked.optim.batch:
        refuse_batch_norms(method.train(), asked.optim.chunk, asked.optim.batch)
        strategy = asked.hardware.strategy
        if strategy != "auto" and not strategy.startswith("ddp"):
            raise RecipeError(
                f"expected hardware.strategy auto or ddp with a chunk, got {strategy}",
                path="optim.chunk",
                hint="set hardware.strategy: auto, or optim.chunk: null",
            )
    if _half(asked):
        _refuse_cold(asked)


def check_data(asked: Asked, method: Method, store: Store, name: str, manifest: str) -> list[str]:
    """Refuse data that the method cannot learn from, and say what is doubtful.

    Args:
        asked: the recipe.
        method: what will be trained.
        store: on which scans.
        name: of the method, for messages.
        manifest: where the scans are listed.

    Returns:
        Lines for the run's notes.

    Raises:
        InputError: there are fewer patients than the method needs (``too-few``).
        RecipeError: a batch holds fewer than that, or a setting of the method cannot work.
    """
    facts = facts_of(asked, store)
    least = method.least_patients
    if least > 1 and facts.patients < least:
        reason = f"{name} needs scans of at least {least} patients, got {facts.patients}"
        raise InputError(reason, path=manifest, code="too-few")
    if facts.batch < least:
        raise RecipeError(f"expected at least {least} for {name}, got {facts.batch}", path="optim.batch")
    try:
        return method.check(facts)
    except RecipeError as error:
        path = _full(error.path, method, _part(asked)[0])
        raise RecipeError(error.reason, path=path, code=error.code, hint=error.hint) from error


def facts_of(asked: Asked, store: Store) -> Facts:
    """What is known of a run before its first step."""
    hardware = asked.hardware.trainer_settings()
    processes = hardware["devices"] * hardware["num_nodes"]
    patients = {store.ids(position)["patient"] for position in range(len(store))} - {-1}
    return Facts(
        scans=len(store),
        patients=len(patients),
        batch=asked.optim.batch * processes,
        steps=asked.optim.steps,
        processes=processes,
        half=_half(asked),
        targets=tuple(sorted({column for position in range(len(store)) for column in store.targets(position)})),
    )


def _half(asked: Asked) -> bool:
    return bool(asked.hardware.trainer_settings()["precision"] == "16-mixed")


def _part(asked: Any) -> tuple[str, Choice]:
    """The key of what is trained, and the choice there."""
    return ("method", asked.method) if hasattr(asked, "method") else ("task", asked.task)


def _refuse_cold(asked: Asked) -> None:
    key, choice = _part(asked)
    defaults = {name: one.default for name, one in inspect.signature(choice.target).parameters.items()}
    for path, value in _numbers({**defaults, **choice.settings}, key):
        # no gradient passes through the target's, which dino warms up
        if "temperature" in path.rpartition(".")[2] and value < COLDEST:
            raise RecipeError(
                f"expected at least {COLDEST:.5f} with hardware.precision 16-mixed, got {value}: gradients of"
                " 1/temperature leave the range of float16, and more steps than a run has patience for are left out"
                " until their scale is low enough",
                path=path,
                hint="raise it, or set hardware.precision: bf16-mixed or 32-true",
            )


def _numbers(settings: Mapping[str, Any], at: str) -> Iterator[tuple[str, float]]:
    """Every number among settings, and among the settings of their parts, by its key."""
    for name, value in settings.items():
        path = f"{at}.{name}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield path, float(value)
        elif is_dataclass(value) and not isinstance(value, type):
            yield from _numbers({field.name: getattr(value, field.name) for field in fields(value)}, path)
        elif isinstance(value, Mapping):
            yield from _numbers(value, path)


def _full(path: str | None, method: Method, key: str) -> str | None:
    """A setting of the method by its key in the recipe; other keys as they are."""
    first = (path or "").partition(".")[0]
    return f"{key}.{path}" if first in inspect.signature(type(method)).parameters and first != "encoder" else path
