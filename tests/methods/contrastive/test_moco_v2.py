"""MoCo v2: its constants and the paper as a loop, a queue that has gone round included."""

import pytest
import torch

from medssl.errors import RecipeError
from medssl.methods import METHODS
from medssl.methods.contract import Method
from medssl.recipe import From, choose
from medssl.views.settings import ViewSettings
from tests.methods.contrastive.pairs import batch_of
from tests.methods.contrastive.queues import compared, info_nce, made, vectors
from tests.methods.tiny import build, context

METHOD = From(METHODS, f"{Method.__module__}:Method", injected=("encoder",))


def test_constants_are_the_papers():
    settings = choose(METHOD, "moco-v2").target.__init__.__kwdefaults__
    assert (settings["temperature"], settings["momentum"], settings["outputs"]) == (0.2, 0.999, 128)
    assert settings["norm"] == "none"
    assert build("moco-v2", "resnet").keys.teacher.ramp == "constant"


@pytest.mark.parametrize("temperature", [0.07, 0.2])
def test_equals_the_paper_as_a_loop_over_steps(temperature):
    method = made("moco-v2", None, queue=5, temperature=temperature)
    past, patients = [], [5, 6, 7]
    for step in range(5):
        query, key = vectors(3, seed=2 * step), vectors(3, seed=2 * step + 1)
        loss, _ = compared(method, batch_of(patients), 2 * query, 3 * key)
        # the last five keys of the past, and this step's while there are fewer
        kept = past[-5:] if len(past) >= 5 else past + list(zip(patients, key, strict=True))
        negative = [torch.stack([k @ q for p, k in kept if p != mine]) for q, mine in zip(query, patients, strict=True)]
        assert float(loss) == pytest.approx(info_nce((query * key).sum(1), negative, temperature), rel=1e-4)
        method.after_step(context(step=step + 1))
        past += list(zip(patients, key, strict=True))
        patients = [patient + 1 for patient in patients]


def test_two_views_that_overlap():
    roles = build("moco-v2", "resnet", overlap=0.7).views(ViewSettings(crop=(16, 16, 16)))
    assert list(roles) == ["view", "partner"]
    assert roles["partner"].crop.share == 0.7


def test_what_is_exported_goes_on_with_heads_and_teacher():
    assert set(build("moco-v2", "resnet").exported()) == {"encoder", "projector", "teacher"}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"queue": 0}, "part.queue: expected at least 1, got 0"),
        ({"momentum": 1.5}, "part.momentum: expected at most 1"),
        ({"norm": "group"}, "part.norm: expected 'batch', 'layer' or 'none'"),
        ({"hidden": 8}, "unknown key part.hidden"),
    ],
)
def test_settings_out_of_range_are_refused(settings, reason):
    with pytest.raises(RecipeError, match=reason):
        choose(METHOD, {"name": "moco-v2", **settings})
