from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from medssl.errors import RecipeError
from medssl.recipe import load_class
from medssl.views.augment import AUGMENTATIONS
from medssl.views.augment.blur import Blur
from medssl.views.augment.brightness import Brightness
from medssl.views.augment.choose import augmentations
from medssl.views.augment.cutout import Cutout
from medssl.views.augment.gamma import Gamma
from medssl.views.augment.intensity import Intensity
from medssl.views.augment.lowres import LowRes
from medssl.views.augment.noise import Noise

NAMES = sorted(AUGMENTATIONS)


def _image(shape: tuple[int, ...] = (1, 12, 10, 8)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random(shape).astype(np.float32))


def _build(name: str, **settings: Any) -> Any:
    return load_class(AUGMENTATIONS[name])(**settings)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 12, 10, 8), (3, 9, 9, 1), (1, 1, 1, 1)])
def test_the_contract(name: str, shape: tuple[int, ...]) -> None:
    part = _build(name, p=1.0)
    assert isinstance(part, Intensity)
    image = _image(shape)
    before = image.clone()
    params = part.draw(np.random.default_rng(1))
    out = part.apply(image, params)
    assert torch.equal(image, before)
    assert (out.shape, out.dtype) == (image.shape, image.dtype)
    assert float(out.min()) >= 0.0
    assert float(out.max()) <= 1.0
    assert torch.equal(out, part.apply(image, json.loads(json.dumps(params))))
    assert torch.equal(out, _build(name).apply(image, params))


@pytest.mark.parametrize("name", NAMES)
def test_a_view_is_changed_by_a_strong_one(name: str) -> None:
    part = _build(name, p=1.0, strength=(0.5, 0.5))
    assert not torch.equal(part.apply(_image(), part.draw(np.random.default_rng(1))), _image())


@pytest.mark.parametrize("name", NAMES)
def test_strength_zero_is_the_identity(name: str) -> None:
    part = _build(name, p=1.0, strength=(0.0, 0.0))
    assert torch.equal(part.apply(_image(), part.draw(np.random.default_rng(1))), _image())


@pytest.mark.parametrize("name", NAMES)
def test_chance_zero_draws_nothing_but_as_many_numbers(name: str) -> None:
    places = set()
    for p in (0.0, 1.0):
        rng = np.random.default_rng(2)
        params = _build(name, p=p).draw(rng)
        assert bool(params) == bool(p)
        places.add(int(rng.integers(2**60)))
    assert len(places) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("given", "reason"),
    [({"p": 1.5}, r"p must be in \[0, 1\]"), ({"strength": (0.3, 0.1)}, "strength must be two rising numbers")],
)
def test_senseless_settings_are_refused(name: str, given: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        _build(name, **given)


def test_noise_has_its_strength() -> None:
    image = torch.full((1, 40, 40, 40), 0.5)
    out = Noise().apply(image, {"sigma": 0.05, "seed": 3, "law": "gaussian"})
    assert float(out.std()) == pytest.approx(0.05, rel=0.02)
    assert float(out.mean()) == pytest.approx(0.5, abs=1e-3)
    assert not torch.equal(out, Noise().apply(image, {"sigma": 0.05, "seed": 4, "law": "gaussian"}))


def test_rician_noise_of_nothing_has_the_mean_of_rayleigh() -> None:
    out = Noise().apply(torch.zeros(1, 50, 50, 50), {"sigma": 0.1, "seed": 3, "law": "rician"})
    assert float(out.mean()) == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.01)
    # the magnitude of a strong signal grows by σ² / 2 over it
    out = Noise().apply(torch.full((1, 50, 50, 50), 0.6), {"sigma": 0.05, "seed": 3, "law": "rician"})
    assert float(out.mean()) == pytest.approx(0.6 + 0.05**2 / 1.2, abs=4e-4)


def test_gamma_keeps_the_ends() -> None:
    out = Gamma().apply(torch.tensor([0.0, 0.25, 1.0]).reshape(1, 3, 1, 1), {"power": 2.0})
    assert out.ravel().tolist() == pytest.approx([0.0, 0.0625, 1.0], abs=1e-6)


def test_gamma_goes_both_ways() -> None:
    rng = np.random.default_rng(0)
    powers = np.array([Gamma(p=1.0, strength=(0.4, 0.4)).draw(rng)["power"] for _ in range(400)])
    np.testing.assert_allclose(np.unique(powers.round(6)), [np.exp(-0.4), np.exp(0.4)], atol=1e-6)
    assert (powers > 1).mean() == pytest.approx(0.5, abs=0.08)


def test_brightness_turns_about_the_middle() -> None:
    image = torch.tensor([0.0, 0.5, 0.75, 1.0]).reshape(1, 4, 1, 1)
    assert Brightness().apply(image, {"gain": 0.5, "offset": 0.1}).ravel().tolist() == pytest.approx(
        [0.35, 0.6, 0.725, 0.85]
    )


def test_blur_is_a_gaussian() -> None:
    image = torch.zeros(1, 21, 21, 21)
    image[0, 10, 10, 10] = 1.0
    out = Blur().apply(image, {"sigma": [1.5, 1.5, 1.5]})[0].double()
    places = torch.arange(21).double() - 10
    for axis in range(3):
        profile = out.sum(dim=[other for other in range(3) if other != axis])
        assert float(profile.sum()) == pytest.approx(1.0, abs=1e-5)
        assert float((profile * places**2).sum()) == pytest.approx(1.5**2, rel=0.05)
    assert torch.allclose(Blur().apply(torch.full((2, 5, 5, 5), 0.3), {"sigma": [2.0, 2.0, 2.0]}), torch.tensor(0.3))


def test_low_resolution_keeps_what_varies_slowly() -> None:
    ramp = torch.linspace(0, 1, 32).reshape(1, 32, 1, 1).expand(1, 32, 32, 32).contiguous()
    assert float((LowRes().apply(ramp, {"factor": 2.0}) - ramp).abs().max()) < 0.04
    fine = torch.from_numpy(np.indices((32, 32, 32)).sum(axis=0) % 2).float()[None]
    assert float(LowRes().apply(fine, {"factor": 2.0}).std()) < 0.1


def test_cutout_fills_a_box_inside() -> None:
    out = Cutout().apply(_image((1, 20, 20, 10)), {"side": 0.5, "place": [0.0, 0.999, 0.5], "value": 2.0})
    where = np.argwhere(out[0].numpy() == 2.0)
    assert where.min(axis=0).tolist() == [0, 10, 3]
    assert (where.max(axis=0) + 1).tolist() == [10, 20, 8]


def test_a_recipes_list_becomes_objects() -> None:
    parts = augmentations(["noise", {"name": "blur", "p": 0.5, "strength": [0.5, 2.0]}])
    assert parts == (Noise(), Blur(p=0.5, strength=(0.5, 2.0)))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("nois", "did you mean noise"),
        ({"name": "blur", "sigma": 1.0}, "unknown key"),
        ({"name": "blur", "p": "often"}, "p"),
    ],
)
def test_a_wrong_entry_is_named(entry: Any, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        augmentations([entry], "recipe.yaml")
