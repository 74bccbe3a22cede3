"""A crop or mask policy by its name, as a stage whose views can be looked at: what methods choose in their code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from medssl.errors import RecipeError
from medssl.expectations import show
from medssl.loading.plan import Stage
from medssl.loading.study_sampler import PairSampler, StudySampler
from medssl.methods.roles import augmentations
from medssl.plain_yaml import parse_yaml, refuse_code
from medssl.recipe import From, choose, load_class
from medssl.store.store import Store
from medssl.views.crops import CROPS
from medssl.views.crops.anisotropic import Anisotropic
from medssl.views.crops.base_grid import BaseGrid, Within
from medssl.views.crops.matched import Matched
from medssl.views.crops.partitions import Partitions
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.masks import MASKS
from medssl.views.matching.affine import register
from medssl.views.settings import ViewSettings
from medssl.views.view import CropPolicy, Role

CROP = From(CROPS, "medssl.views.view:CropPolicy", ("matcher",))
MASK = From(MASKS, "medssl.views.masks.contract:Mask")

Asked = str | Mapping[str, Any]
"""A name or ``{name: …, settings}``, also as YAML."""

FIRST = "first"
"""The role that a policy looks at which needs an earlier one."""


def crop_stage(asked: Asked, views: ViewSettings, store: Store | None, seed: int, label: bool) -> Stage:
    """One stage that shows a crop policy, with the geometry and the changes of value of a recipe.

    Args:
        asked: the policy. Beside its own settings it may have ``count``, the views a sample. ``shape`` is the
            recipe's crop unless it is given. A policy that looks at an earlier role gets one, named ``first``;
            ``matcher: affine`` registers the scans of the store, and ``of: study`` takes another scan of the same
            study: its sequences are natural views of one another.
        views: what the recipe says.
        store: the scans; None where the policy is only checked.
        seed: of the recipe.
        label: whether label maps are shown.

    Raises:
        RecipeError: nothing has this name, or a setting is unknown or out of range.
    """
    entry, count = _parted(asked, "crop", "count")
    matcher, of = entry.pop("matcher", None), entry.pop("of", None)
    chosen = choose(CROP, _defaults(entry.get("name"), views) | entry, "--crop", "crop")
    policy = chosen.build()
    if matcher is not None:
        policy = _matching(policy, matcher, store)
    value = augmentations(views)
    role = Role(policy, count or _count(policy), views.spatial, value, label=label)
    alone = not any(getattr(policy, name, None) for name in ("role", "inside"))
    if of is not None and (alone or of != "study"):
        raise RecipeError("crop.of: only study is known, for a policy that looks at an earlier role", path="--crop")
    if alone:
        return Stage(chosen.name, 1, {chosen.name: role})
    first = replace(role, crop=_first(policy, views))
    roles = {FIRST: replace(first, count=_count(first.crop)), chosen.name: role}
    if not isinstance(policy, Matched) and of is None:
        return Stage(chosen.name, 1, roles)
    roles[chosen.name] = replace(role, record=1)
    kind = PairSampler if of is None else StudySampler
    return Stage(chosen.name, 1, roles, sampler=lambda ids, surveys: kind(ids, seed))


def masked_stages(asked: Asked, stages: Sequence[Stage]) -> list[Stage]:
    """The stages with a mask policy in the place of what their roles have.

    Args:
        asked: the policy. Beside its own settings it may have ``draws``, the masks of a view.
        stages: of a method, or of a crop policy.

    Raises:
        RecipeError: nothing has this name, or a setting is unknown or out of range.
    """
    entry, draws = _parted(asked, "mask", "draws")
    policy = choose(MASK, entry, "--mask", "mask").build()
    return [
        replace(one, views={name: replace(role, masks=policy, draws=draws or 1) for name, role in one.views.items()})
        for one in stages
    ]


def _parted(asked: Asked, what: str, number: str) -> tuple[dict[str, Any], int | None]:
    """The policy's own entry, and how many are drawn."""
    where = f"--{what}"
    data = parse_yaml(asked, where) if isinstance(asked, str) else asked
    entry = {"name": data} if isinstance(data, str) else data
    if not isinstance(entry, Mapping):
        raise RecipeError(f"expected a name or {{name: …}}, got {show(data)}", path=where)
    refuse_code(dict(entry), where)
    rest = dict(entry)
    count = rest.pop(number, None)
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        raise RecipeError(f"{what}.{number}: expected a whole number above 0, got {show(count)}", path=where)
    return rest, count


def _defaults(name: Any, views: ViewSettings) -> dict[str, Any]:
    """What a registered policy needs and most recipes would say: the recipe's crop, and the earlier role."""
    known = _fields(load_class(CROPS[name])) if name in CROPS else []
    shape = list(views.crop[:2] if name == "slices" else views.crop)
    own: dict[str, Any] = {"shape": shape, "cell_shape": list(views.crop), "role": FIRST}
    return {key: own[key] for key in own if key in known}


def _fields(policy: Any) -> list[str]:
    return [one.name for one in fields(policy)] if hasattr(policy, "__dataclass_fields__") else []


def _count(policy: CropPolicy) -> int:
    if isinstance(policy, BaseGrid):
        return int(np.prod(policy.cells))
    return policy.parts if isinstance(policy, Partitions) else 2


def _first(policy: CropPolicy, views: ViewSettings) -> CropPolicy:
    if isinstance(policy, Within):
        return BaseGrid((2, 2, 1), views.crop)
    return Anisotropic(views.crop) if isinstance(policy, Anisotropic) else RandomCrop(views.crop, views.scale)


def _matching(policy: CropPolicy, matcher: Any, store: Store | None) -> CropPolicy:
    if not isinstance(policy, Matched):
        raise RecipeError("crop.matcher: only matched has one", path="--crop")
    if matcher not in ("body-box", "affine"):
        raise RecipeError(
            f"crop.matcher: expected body-box or affine, got {show(matcher)}",
            path="--crop",
            hint="features of an encoder are matched in Python: medssl.views.matching.features",
        )
    return replace(policy, matcher=register(store)) if matcher == "affine" and store else policy
