"""Crop and mask policies by name, on the page of a preview."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medssl.cli import run
from medssl.commands.policies import crop_stage, masked_stages
from medssl.commands.preview import preview
from medssl.errors import RecipeError
from medssl.loading.study_sampler import PairSampler
from medssl.manifest import Manifest
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.views.crops import CROPS
from medssl.views.crops.matched import Matched
from medssl.views.grid import overlap_share
from medssl.views.make import make_views
from medssl.views.masks import MASKS
from medssl.views.matching.affine import AffineMatcher
from medssl.views.settings import ViewSettings
from tests.commands.tiny import simclr
from tests.store.making import make_store, texture
from tests.training.tiny import make_scans

VIEWS = ViewSettings(crop=(8, 8, 8))


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    make_scans(folder)
    return folder


@pytest.fixture(scope="module")
def store(scans: Path) -> Store:
    return prepare(Manifest.read(scans / "manifest.csv"), scans / "store", StoreSettings())


@pytest.mark.parametrize("name", CROPS)
def test_every_crop_policy_is_drawn_by_its_name_alone(store: Store, name: str) -> None:
    stage = crop_stage(name, VIEWS, store, 0, label=False)
    views = make_views(store, (0, 1), stage.views, np.random.default_rng(0))
    assert len(views[name]) == stage.views[name].count >= 2
    assert {view.image.shape[1:] for view in views[name]} == {(8, 8, 1) if name == "slices" else (8, 8, 8)}


@pytest.mark.parametrize("name", MASKS)
def test_every_mask_policy_is_put_in_the_place_of_a_roles_own(store: Store, name: str) -> None:
    stages = [crop_stage("random", VIEWS, store, 0, label=False)]
    (stage,) = masked_stages({"name": name, "cell": 2, "draws": 2}, stages)
    (view, _) = make_views(store, (0,), stage.views, np.random.default_rng(0))["random"]
    assert view.hidden is not None
    assert view.hidden.shape == (2, 4, 4, 4)
    assert view.hidden[0].sum() == view.hidden[1].sum() > 0


def test_settings_are_the_policys_own_and_the_count(store: Store) -> None:
    stage = crop_stage("{name: slices, shape: [6, 4], count: 3}", VIEWS, store, 0, label=False)
    views = make_views(store, (0,), stage.views, np.random.default_rng(0))["slices"]
    assert [tuple(view.image.shape[1:]) for view in views] == [(6, 4, 1)] * 3


def test_local_crops_lie_inside_global_ones(store: Store) -> None:
    asked = {"name": "anisotropic", "inside": "first", "area": [0.2, 0.3], "length": [0.2, 0.3], "count": 3}
    stage = crop_stage(asked, VIEWS, store, 0, label=False)
    views = make_views(store, (0,), stage.views, np.random.default_rng(0))
    for local in views["anisotropic"]:
        assert max(overlap_share(local.grid.box, whole.grid.box) for whole in views["first"]) == pytest.approx(1.0)


def test_matched_crops_are_of_two_patients(store: Store) -> None:
    stage = crop_stage({"name": "matched", "matcher": "affine"}, VIEWS, store, 0, label=False)
    assert stage.sampler is not None
    assert isinstance(stage.sampler(store, {}), PairSampler)
    policy = stage.views["matched"].crop
    assert isinstance(policy, Matched)
    assert isinstance(policy.matcher, AffineMatcher)
    views = make_views(store, (0, 1), stage.views, np.random.default_rng(0))
    assert [views[name][0].ids["patient"] for name in ("first", "matched")] == [
        store.ids(position)["patient"] for position in (0, 1)
    ]


def test_sequences_of_a_study_are_natural_views(tmp_path: Path) -> None:
    kinds = [("a", "x", "T1"), ("a", "x", "T2"), ("b", "y", "T1"), ("b", "y", "T2")]
    rows = [{"patient_id": patient, "study_id": study, "modality": kind} for patient, study, kind in kinds]
    made = make_store(tmp_path, [texture((12, 12, 12), seed) for seed in range(4)], rows=rows)
    stage = crop_stage("{name: twin, of: study}", VIEWS, made, 0, label=False)
    assert stage.sampler is not None
    drawn = stage.sampler(made, {}).draw(0, 2, np.random.default_rng(0))
    assert sorted(tuple(sorted(sample)) for sample in drawn) == [(0, 1), (2, 3)]
    views = make_views(made, drawn[0], stage.views, np.random.default_rng(0))
    for one, other in zip(views["first"], views["twin"], strict=True):
        np.testing.assert_array_equal(one.grid.affine, other.grid.affine)
        assert one.ids["record"] != other.ids["record"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("slice", "registered as 'slice'"),
        ("{name: slices, shapes: 3}", "unknown key crop.shapes"),
        ({"name": "random", "shape": [8, 8]}, "crop.shape: expected 3 values"),
        ({"name": "random", "scale": [2.0, 1.0]}, "two rising numbers"),
        ({"name": "random", "count": 0}, "crop.count: expected a whole number above 0"),
        ({"name": "random", "matcher": "affine"}, "only matched has one"),
        ({"name": "random", "of": "study"}, "only study is known"),
        ({"name": "twin", "of": "family"}, "only study is known"),
        ({"name": "matched", "matcher": "features"}, "expected body-box or affine"),
        ("3", "expected a name or"),
        ("[1", "line 1"),
        ("os:system", "must be a subclass of"),
    ],
)
def test_a_slip_is_told_before_any_scan_is_read(tmp_path: Path, asked: Any, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        preview(simclr(tmp_path / "nowhere", tmp_path / "run"), crop=asked, out=tmp_path / "p.html")


def test_a_slip_in_a_mask_too(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"did you mean|registered as 'tube'"):
        preview(simclr(tmp_path / "nowhere", tmp_path / "run"), mask="tube", out=tmp_path / "p.html")
    with pytest.raises(RecipeError, match=r"mask\.draws: expected a whole number"):
        preview(simclr(tmp_path / "nowhere", tmp_path / "run"), mask={"name": "tubes", "draws": "two"})


def test_the_command_line_shows_both(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [f"data.manifest={scans / 'manifest.csv'}", f"data.store={scans / 'store'}", "views.crop=[16, 16, 16]"]
    policies = ["--crop", "{name: partitions, parts: 3}", "--mask", "{name: tubes, cell: 4, draws: 2}"]
    page = tmp_path / "p.html"
    sets += ["data.split=null", f"out={tmp_path / 'run'}"]
    code = run(
        ["preview", "hippocampus/pretrain_simclr", *sets, *policies, "--out", str(page), "--samples", "1"], False
    )
    assert code == 0
    assert "partitions  partitions      3" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "Views of partitions" in text
    assert "mask 2" in text.replace("%20", " ")
