from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medssl.errors import InputError, RecipeError, UsageError
from medssl.store.store import Store
from medssl.views.augment.choose import augmentations
from medssl.views.crops.base_grid import BaseGrid, Twin, Within
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.crops.slices import Slices
from medssl.views.elastic import Elastic
from medssl.views.make import make_views, replay
from medssl.views.masks.random_cells import RandomCells
from medssl.views.view import IDS, Role, Spatial, View
from tests.store.making import blobs, make_store, texture

SHAPE = (24, 22, 20)
SPATIAL = Spatial((0.5, 0.5, 0.5), 15.0, (0.8, 1.2), (1.0, 1.1, 1.2), elastic=Elastic(0.7))
STRONG = augmentations(
    [{"name": name, "p": 1.0} for name in ("noise", "gamma", "brightness", "blur", "lowres", "cutout")]
)
ROLES = {
    "one": Role(RandomCrop((16, 16, 16)), 2, SPATIAL, STRONG, RandomCells(0.6, 4), draws=2, label=True),
    "base": Role(BaseGrid((2, 2, 1), (8, 8, 16)), 4),
    "query": Role(Within("base", (8, 8, 16)), 2, Spatial(flip=(1.0, 0.0, 0.0))),
    "twin": Role(Twin("one"), 2, augment=STRONG[:1]),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    volumes = [texture(SHAPE, n) for n in range(3)]
    rows = [{"patient_id": name, "score": "2.5"} for name in "aab"]
    return make_store(tmp_path_factory.mktemp("store"), volumes, labels=[blobs(SHAPE)] * 3, rows=rows)


def _make(store: Store, seed: int = 0, roles: Mapping[str, Role] = ROLES) -> dict[str, list[View]]:
    return make_views(store, (1,), roles, np.random.default_rng(seed))


def _same(one: View, two: View) -> bool:
    tensors = [(getattr(one, name), getattr(two, name)) for name in ("image", "valid", "label", "hidden")]
    equal = all(a is b is None or (a is not None and b is not None and torch.equal(a, b)) for a, b in tensors)
    return equal and bool((one.grid.affine == two.grid.affine).all()) and one.ids == two.ids and one.role == two.role


def test_every_role_has_its_views(store: Store) -> None:
    made = _make(store)
    assert {name: len(views) for name, views in made.items()} == {"one": 2, "base": 4, "query": 2, "twin": 2}
    view = made["one"][0]
    assert view.image.shape == view.valid.shape == (1, 16, 16, 16)
    assert (view.image.dtype, view.valid.dtype) == (torch.float32, torch.bool)
    assert view.label is not None
    assert view.label.dtype == torch.int64
    assert view.hidden is not None
    assert view.hidden.shape == (2, 4, 4, 4)
    assert view.hidden.sum(dim=(1, 2, 3)).tolist() == [38, 38]
    assert not torch.equal(view.hidden[0], view.hidden[1])
    assert set(view.ids) == set(IDS)
    assert view.ids["patient"] == store.ids(0)["patient"]
    assert view.targets == {"score": 2.5}
    assert made["base"][0].label is None


def test_a_view_is_made_again_from_its_params(store: Store) -> None:
    for views in _make(store).values():
        for view in views:
            assert _same(view, replay(store, view.params))
            assert _same(view, replay(store, json.loads(json.dumps(view.params))))


def test_the_same_generator_makes_the_same_views(store: Store) -> None:
    one, two, other = _make(store, 4), _make(store, 4), _make(store, 5)
    assert all(_same(a, b) for name in ROLES for a, b in zip(one[name], two[name], strict=True))
    assert not _same(one["one"][0], other["one"][0])


def test_twins_share_boxes_and_not_noise(store: Store) -> None:
    made = _make(store)
    for one, twin in zip(made["one"], made["twin"], strict=True):
        assert (one.grid.box.affine == twin.grid.box.affine).all()
        assert not torch.equal(one.image, twin.image)


def test_padding_stays_empty_under_augmentation(store: Store) -> None:
    view = _make(store, roles={"big": Role(RandomCrop((32, 32, 32)), augment=STRONG)})["big"][0]
    assert int(view.valid.sum()) == int(np.prod(SHAPE))
    assert float(view.image[~view.valid].abs().max()) == 0.0


def test_cells_must_divide_the_view(store: Store) -> None:
    with pytest.raises(RecipeError, match=r"cells of 5 voxels must divide views of \(16, 16, 16\)"):
        _make(store, roles={"one": Role(RandomCrop((16, 16, 16)), masks=RandomCells(0.6, 5))})


def test_a_role_takes_its_own_scan(store: Store) -> None:
    roles = {"a": Role(RandomCrop((8, 8, 8)), record=0), "b": Role(RandomCrop((8, 8, 8)), record=1)}
    made = make_views(store, (2, 0), roles, np.random.default_rng(0))
    assert [made[name][0].ids["record"] for name in "ab"] == [store.ids(2)["record"], store.ids(0)["record"]]
    with pytest.raises(RecipeError, match="scan 1 of samples of 1"):
        make_views(store, (2,), roles, np.random.default_rng(0))


def test_a_view_of_another_scan_is_not_replayed(store: Store) -> None:
    view = _make(store)["one"][0]
    with pytest.raises(UsageError, match="another scan"):
        replay(store.subset([0, 2]), view.params)


def test_params_cannot_name_code(store: Store) -> None:
    params: dict[str, Any] = json.loads(json.dumps(_make(store)["twin"][0].params))
    params["augment"] = [["os:system", {"command": "true"}]]
    with pytest.raises(UsageError, match="no augmentation is registered"):
        replay(store, params)


def test_a_missing_label_map_is_named(tmp_path: Path) -> None:
    store = make_store(tmp_path, [texture(SHAPE)])
    with pytest.raises(InputError, match="label map is asked for"):
        make_views(store, (0,), {"one": Role(RandomCrop((8, 8, 8)), label=True)}, np.random.default_rng(0))


def test_kept_slices_reach_the_crops(tmp_path: Path) -> None:
    store = make_store(tmp_path, [texture(SHAPE)], rows=[{"slices": "3-4,11"}])
    roles = {"one": Role(RandomCrop((8, 8, 1), body_share=0.0), 40)}
    made = make_views(store, (0,), roles, np.random.default_rng(0))["one"]
    assert {round(float(view.grid.affine[2, 3])) for view in made} == {3, 4, 11}


def test_slices_of_a_scan_share_what_is_drawn_but_their_noise(store: Store) -> None:
    parts = augmentations([{"name": name, "p": 1.0} for name in ("gamma", "noise", "brightness")])
    for alike in (True, False):
        role = Role(Slices((8, 8), alike=alike), 3, Spatial(rotate_deg=10.0), parts)
        views = _make(store, roles={"one": role})["one"]
        gamma, noise, brightness = zip(*(view.params["augment"] for view in views), strict=True)
        assert len({part["power"] for _, part in gamma}) == (1 if alike else 3)
        assert len({part["gain"] for _, part in brightness}) == (1 if alike else 3)
        assert len({part["sigma"] for _, part in noise}) == (1 if alike else 3)
        assert len({part["seed"] for _, part in noise}) == 3
        assert all(_same(view, replay(store, json.loads(json.dumps(view.params)))) for view in views)


def test_thick_slices_stay_across_the_slices_after_a_quarter_turn(tmp_path: Path) -> None:
    thick = make_store(tmp_path, [texture((12, 12, 12))], affine=np.diag([5.0, 1.0, 1.0, 1.0]))
    parts = augmentations([{"name": "thickness", "p": 1.0}])
    for seed in range(6):
        (view,) = _make_one(thick, Role(RandomCrop((8, 8, 8)), 1, Spatial(quarter_turns=1.0), parts), seed)
        lengths = np.linalg.norm(view.grid.affine[:3, :3], axis=0)
        assert view.params["augment"][0][1]["axis"] == int(lengths.argmax())


def _make_one(store: Store, role: Role, seed: int) -> list[View]:
    return make_views(store, (0,), {"one": role}, np.random.default_rng(seed))["one"]


def test_turned_twins_are_the_same_view_voxel_by_voxel(store: Store) -> None:
    roles = {
        "one": Role(RandomCrop((16, 16, 16)), 2, SPATIAL),
        "same": Role(Twin("one", turned=True), 2),
        "box": Role(Twin("one"), 2),
    }
    for seed in range(4):
        made = _make(store, seed, roles)
        for one, same, box in zip(made["one"], made["same"], made["box"], strict=True):
            assert torch.equal(one.image, same.image)
            assert torch.equal(one.valid, same.valid)
            assert not torch.equal(one.image, box.image)
            assert _same(replay(store, json.loads(json.dumps(same.params))), same)


class _Dice:
    def draw(self, shape: tuple[int, int, int], rng: np.random.Generator) -> dict[str, Any]:
        return {"shape": list(shape), "number": float(rng.random())}


def test_numbers_of_the_method_are_drawn_for_each_view_after_all_else(store: Store) -> None:
    role = ROLES["one"]
    plain = _make(store, roles={"one": role})["one"][0]
    made = _make(store, roles={"one": replace(role, numbers=_Dice())})["one"]
    assert _same(made[0], plain)
    assert "numbers" not in plain.params
    assert made[0].params["numbers"]["shape"] == [16, 16, 16]
    assert made[0].params["numbers"] != made[1].params["numbers"]
