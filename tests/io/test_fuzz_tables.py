"""P54: damaged manifests and recipes are refused by name, or say something that is understood."""

from __future__ import annotations

import pytest

from medssl.errors import InputError, ResourceError
from medssl.manifest import Manifest
from tests.fuzz.cases import TABLES
from tests.fuzz.run import hunts

COUNT = 120


@pytest.fixture(scope="module")
def found():
    return hunts(TABLES, COUNT, 0, 120)


@pytest.mark.parametrize("name", list(TABLES))
def test_p54_damaged_tables_are_refused_by_name_or_understood(found, name):
    assert found[name]["wrong"] == []
    assert found[name]["refused"] + found[name]["read"] == COUNT
    assert found[name]["refused"] > COUNT // 5


def test_a_recipe_of_networks_beyond_all_memory_says_so(tmp_path):
    from medssl.commands.recipe import check_recipe
    from medssl.commands.recipe_files import recipes_folder

    text = next(recipes_folder().rglob("*finetune*.yaml")).read_text(encoding="utf-8")
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ResourceError, match=r"not enough memory to build the networks \[memory\]"):
        check_recipe(str(tmp_path / "r.yaml"), ["encoder={name: resnet, width: 10000000000000}"])


def test_a_manifest_names_a_path_too_long_for_the_system(tmp_path):
    (tmp_path / "m.csv").write_text(f"image,patient_id\n{'a' * 5000}.nii,p1\n")
    manifest = Manifest.read(tmp_path / "m.csv")
    with pytest.raises(InputError, match=r"m\.csv: line 2: a+\.nii is missing"):
        manifest.resolve(manifest.records[0])
