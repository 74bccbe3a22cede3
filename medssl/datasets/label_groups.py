"""Five groups of organs that the samples and the phantoms share, and the way from an organ's name to its group."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError

GROUPS: dict[int, str] = {1: "solid_organs", 2: "digestive_tract", 3: "heart_vessels", 4: "bones", 5: "muscles"}
"""Label value to group; 0 is everything else: air, lungs, fat, skin, spinal cord, bladder."""

_MEMBERS: dict[int, tuple[str, ...]] = {
    1: ("liver", "spleen", "pancreas", "gallbladder", "kidney", "adrenal_gland"),
    2: ("esophagus", "stomach", "duodenum", "small_bowel", "colon"),
    3: (
        "heart",
        "aorta",
        "pulmonary_artery",
        "pulmonary_vein",
        "brachiocephalic",
        "subclavian_artery",
        "common_carotid_artery",
        "atrial_appendage",
        "superior_vena_cava",
        "inferior_vena_cava",
        "portal_vein_and_splenic_vein",
        "iliac_artery",
        "iliac_vena",
    ),
    4: (
        "vertebrae",
        "sacrum",
        "rib",
        "sternum",
        "costal_cartilages",
        "hip",
        "femur",
        "humerus",
        "scapula",
        "clavicula",
        "skull",
    ),
    5: ("autochthon", "iliopsoas", "gluteus"),
}


def group_of(organ: str) -> int:
    """The group of an organ's name, 0 where it belongs to none.

    A side or a number after the name does not matter: ``rib_left_3`` is a ``rib``.

    Example:
        >>> group_of("rib_left_3"), group_of("liver"), group_of("lung_upper_lobe_left"), group_of("hippocampus")
        (4, 1, 0, 0)
    """
    for value, members in _MEMBERS.items():
        if any(organ == member or organ.startswith(member + "_") for member in members):
            return value
    return 0


def regroup(label: NDArray[Any], names: Mapping[int, str]) -> NDArray[np.uint8]:
    """A label map whose values are groups instead of organs.

    Args:
        label: whole numbers of any shape; 0 is background.
        names: organ's name of every value that may occur.

    Raises:
        InputError: a value has no name (code ``label``): a guess would be a wrong label.

    Example:
        >>> regroup(np.array([0, 5, 9]), {5: "liver", 9: "aorta"}).tolist()
        [0, 1, 3]
    """
    values = np.unique(label)
    unknown = [int(v) for v in values if v != 0 and int(v) not in names]
    if unknown:
        raise InputError(f"label values {unknown} have no name", code="label")
    if not len(values):
        return np.zeros(label.shape, np.uint8)
    table = np.array([0 if v == 0 else group_of(names[int(v)]) for v in values], dtype=np.uint8)
    return table[np.searchsorted(values, label)]


def read_names(source: str, variable: str, part: str) -> dict[int, str]:
    """Label values and names out of Python source text, which is parsed and never run.

    Args:
        source: the text of a module that assigns a dict literal of dict literals.
        variable: the name it is assigned to.
        part: the key of the inner dict, ``{value: name}``.

    Raises:
        InputError: the text has no such literal (code ``format``).

    Example:
        >>> read_names('m = {"total": {1: "spleen"}}', "m", "total")
        {1: 'spleen'}
    """
    try:
        for node in ast.parse(source).body:
            if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)):
                continue
            if not any(isinstance(t, ast.Name) and t.id == variable for t in node.targets):
                continue
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == part:
                    return {int(k): str(v) for k, v in ast.literal_eval(value).items()}
    except (SyntaxError, ValueError, AttributeError) as error:
        raise InputError(f"no table of label names in {variable}[{part!r}]: {error}", code="format") from error
    raise InputError(f"no table of label names {variable}[{part!r}]", code="format")
