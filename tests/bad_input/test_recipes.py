"""Recipes that do not fit, and recipes that name code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_input.asking import OWN_STORE, RESNET, VIT, Refused


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ("optim.stepz=3", "recipe-key", "pre.yaml: unknown key optim.stepz [recipe-key] (did you mean steps?)"),
        ("task=segment", "recipe-key", "unknown key task"),
        ("optim.lr=fast", "recipe-value", 'pre.yaml: optim.lr: expected a number, got "fast"'),
        ("optim.batch=2.5", "recipe-value", "optim.batch: expected a whole number, got 2.5"),
        ("optim=3", "recipe-value", "optim: expected a mapping, got 3"),
        ("out=3", "recipe-value", "out: expected a text, got 3"),
        ("out=", "recipe-value", "out: expected a text, got null"),
        ("out=''", "recipe-value", "out: expected the name of a folder, got an empty text"),
        ("optim.lr=-1", "recipe-value", "optim.lr: expected a number above 0, got -1"),
        ("optim.lr=.inf", "recipe-value", "optim.lr: expected a finite number"),
        ("optim.steps=0", "recipe-value", "optim.steps: expected at least 1, got 0"),
        ("seed=-1", "recipe-value", "seed: expected at least 0, got -1"),
        ("views.crop=[16, 16]", "recipe-value", "views.crop: expected 3 values, got [16, 16]"),
        ("views.crop=[16, 16, 0]", "recipe-value", "views.crop.2: expected at least 1, got 0"),
        ("views.flip=[2, 0, 0]", "recipe-value", "views.flip.0: expected at most 1, got 2"),
        ("views.scale=[2, 1]", "recipe-value", "views.scale: expected two rising numbers"),
        ("data.spacing_mm=mean", "recipe-value", "data.spacing_mm: expected a list or 'median', got \"mean\""),
        ("data.workers=-1", "recipe-value", "data: workers must be 0 or more, got -1"),
        ("hardware.precision=f8", "recipe-value", "hardware.precision: expected 'auto', '32-true'"),
        ("method=simcl", "recipe-name", "method.name: nothing is registered as 'simcl' [recipe-name] (did you mean"),
        ("encoder=resnt", "recipe-name", "encoder.name: nothing is registered as 'resnt'"),
        ("views.augment=[noize]", "recipe-name", "views.augment[0].name: nothing is registered as 'noize'"),
        ("views.augment=[{name: noise, p: 2}]", "recipe-value", "views.augment[0]: p must be in [0, 1], got 2"),
        ("encoder.widths=[4, -8, 8]", "recipe-value", "pre.yaml: encoder: widths must be above 0, got -8"),
        ("encoder=os:system", "recipe-class", "encoder.name: os:system must be a subclass of torch.nn:Module"),
        ("encoder=no_such_module:Net", "recipe-class", "encoder.name: cannot load no_such_module:Net"),
        ("nothing", "recipe-syntax", "nothing: an override reads key.path=value"),
    ],
)
def test_a_recipe_that_does_not_fit(change: str, code: str, says: str, refused: Refused) -> None:
    refused(["pretrain", "pre.yaml", "out=out", OWN_STORE, change], 2, code, says)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["method=spark", VIT], "pre.yaml: method: SparK needs a convolutional encoder (resnet, resenc), got ViT"),
        (["method=mae", RESNET], "pre.yaml: method: MAE needs a transformer that drops tokens (vit), got ResNet"),
        (["method={name: spark, cell: 7}"], "views.crop: crop (16, 16, 16) must be a multiple of the cells' edge 7"),
    ],
)
@pytest.mark.parametrize("verb", [["pretrain"], ["recipe", "check"]], ids=["pretrain", "check"])
def test_a_method_that_its_encoder_cannot_carry(
    verb: list[str], changes: list[str], says: str, refused: Refused
) -> None:
    # before any scan is prepared: the store would be in `out`
    refused([*verb, "pre.yaml", "out=out", OWN_STORE, *changes], 2, "method", says)


def test_what_shows_in_the_first_step_leaves_nothing(refused: Refused) -> None:
    patch = "encoder={name: vit, width: 48, depth: 2, heads: 3, patch: 7}"
    refused(["pretrain", "pre.yaml", "out=out", patch], 2, "encoder", "patches (7, 7, 7) must divide the input")
    refused(["pretrain", "pre.yaml", "out=out", "hardware.strategy=foo"], 2, "recipe-value", "hardware: ", "'foo'")
    views = "views.crop=[100000, 100000, 100000]"
    most = "views.crop: expected at most 1073741824 voxels"
    refused(["pretrain", "pre.yaml", "out=out", views], 2, "recipe-value", most)


@pytest.mark.parametrize(
    ("text", "exit_code", "code", "says"),
    [
        ("", 2, "recipe-syntax", "bad.yaml: expected a mapping of keys, got nothing"),
        ("- a", 2, "recipe-syntax", "expected a mapping of keys, got a list"),
        ("a: b: c", 2, "recipe-syntax", "line 1: mapping values are not allowed here"),
        ("out: a\nout: b\n", 2, "recipe-syntax", "line 2: the key 'out' stands twice"),
        ("[" * 60, 2, "recipe-syntax", "nested more than 50 deep"),
        ("out: a\n", 2, "recipe-value", "the key method is missing [recipe-value] (it is one of simclr"),
        ("x: !!python/object/apply:os.system ['touch canary']\n", 4, "recipe-unsafe", "line 1: the YAML tag"),
        ("x: !!python/name:os.system\n", 4, "recipe-unsafe", "the YAML tag tag:yaml.org,2002:python/name:os.system"),
        ("x: !ENV ${HOME}\n", 4, "recipe-unsafe", "the YAML tag !ENV is not allowed"),
        ("x: &a [1]\ny: *a\n", 4, "recipe-unsafe", "line 1: YAML anchors and aliases are not allowed"),
        ("x: *a\n", 4, "recipe-unsafe", "line 1: YAML anchors and aliases are not allowed"),
        ("method: {_target_: os.system, command: touch canary}\n", 4, "recipe-unsafe", "method._target_: a recipe"),
    ],
)
@pytest.mark.parametrize(
    "verb", [["pretrain"], ["finetune"], ["recipe", "check"]], ids=["pretrain", "finetune", "check"]
)
def test_a_recipe_file_that_is_none_or_names_code(
    verb: list[str], text: str, exit_code: int, code: str, says: str, refused: Refused
) -> None:
    if "the key method" in says:
        says = says.partition(" method")[0] if verb == ["finetune"] else says
    Path("bad.yaml").write_text(text, encoding="utf-8")
    refused([*verb, "bad.yaml"], exit_code, code, "bad.yaml", says)


@pytest.mark.parametrize(
    "change",
    [
        "method=!!python/object/apply:os.system ['touch canary']",
        "method={_target_: os.system}",
        "method._target_=os.system",
        "seed=&a 1",
    ],
)
def test_an_override_that_names_code(change: str, refused: Refused) -> None:
    refused(["pretrain", "pre.yaml", "out=out", change], 4, "recipe-unsafe", change)
