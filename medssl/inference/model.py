"""A fine-tuned model out of a weights folder, ready to predict whole scans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medssl.encoders import ENCODERS
from medssl.encoders.contract import Encoder
from medssl.errors import RecipeError, WeightsError
from medssl.methods.contract import Method
from medssl.methods.tuning import TUNINGS
from medssl.recipe import From, choose
from medssl.store.settings import StoreSettings
from medssl.weights.coverage import load_into
from medssl.weights.folder import Weights


@dataclass(frozen=True, eq=False)
class Model:
    """A fine-tuned network with what its input must be.

    Args:
        method: segment or classify, in evaluation mode.
        task: its name.
        settings: of the task.
        classes: label value to name, or class number to name.
        store: what is done to a scan before the network sees it.
        crop: voxels of a window.
        device: where it works.
        sequences: names of the channels where the input is a study, else empty.
    """

    method: Method
    task: str
    settings: dict[str, Any]
    classes: dict[int, str]
    store: StoreSettings
    crop: tuple[int, int, int]
    device: torch.device
    sequences: tuple[str, ...] = ()

    def probabilities(self, windows: Tensor) -> Tensor:
        """Class probabilities of windows ``(n, C, i, j, k)``, along the second dimension."""
        with torch.no_grad():
            out: Tensor = self.method(windows.to(self.device)).float().softmax(1)
        return out


def load_model(weights: Weights, encoder: Encoder | None = None) -> Model:
    """Build the network that the weights describe and load all of it.

    Args:
        weights: of a fine-tuning run.
        encoder: for weights of a network of their author's own.

    Raises:
        WeightsError: there is no head (``weights-format``), or something does not fit (``weights-fit``).
    """
    config, where = weights.config, weights.folder
    task = config.get("task")
    if not isinstance(task, dict) or task.get("name") not in TUNINGS:
        raise WeightsError(
            "these weights have no head that predicts", path=where, code="weights-format", hint="fine-tune them first"
        )
    named = task.get("classes")
    try:
        classes = {int(v): str(n) for v, n in (named.items() if isinstance(named, dict) else enumerate(named or ()))}
        settings = {key: value for key, value in task.items() if key not in ("name", "classes")}
        injected = ("encoder", "classes", "bodies")
        choice = choose(From(TUNINGS, "", injected), {"name": task["name"], **settings}, str(where), "task")
        network = encoder if encoder is not None else _encoder(weights)
        given = classes if task["name"] == "segment" else list(classes.values())
        method: Method = choice.build(network, classes=given)
        i, j, k = (int(n) for n in config["crop"])
        store = StoreSettings.from_contract(config.get("input") or {})
        sequences = tuple(str(name) for name in config.get("sequences") or ())
    except (RecipeError, KeyError, TypeError, ValueError) as error:
        reason = error.reason if isinstance(error, RecipeError) else f"{CONFIG_PROBLEM}: {error}"
        raise WeightsError(reason, path=where, code="weights-format") from error
    _load(method, weights)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    method = method.eval().to(device)
    return Model(method, task["name"], choice.settings, classes, store, (i, j, k), device, sequences)


CONFIG_PROBLEM = "config.json lacks or garbles something"


def _encoder(weights: Weights) -> Encoder:
    plain = weights.config.get("encoder")
    if plain is None:
        raise WeightsError("these weights belong to a network of their author's own", path=weights.folder)
    registered = From(ENCODERS, "", ("in_channels",))
    choice = choose(registered, plain, str(weights.folder), "encoder")
    built: Encoder = choice.build(in_channels=int(weights.config["in_channels"]))
    return built


def _load(method: Method, weights: Weights) -> None:
    for name, module in method.exported().items():
        tensors = weights.encoder if name == "encoder" else weights.heads.get(name, {})
        try:
            # a prediction by half a network is no prediction
            report = load_into(module, tensors, minimum=1.0)
        except WeightsError as error:
            raise WeightsError(f"{name}: {error.reason}", path=weights.folder, code=error.code) from error
        if report.missing or report.mismatched:
            raise WeightsError(f"{name}: {report.text}", path=weights.folder, code="weights-fit")
