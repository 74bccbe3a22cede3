"""The layer rule: imports go one way through the rooms, and heavy libraries have one home each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "medssl"
ROOMS = (
    "errors",
    "atomic",
    "plain_yaml",
    "expectations",
    "recipe",
    "draws",
    "volume",
    "classes",
    "identifiers",
    "visits",
    "manifest",
    "io",
    "datasets",
    "store",
    "views",
    "loading",
    "objectives",
    "encoders",
    "pairing",
    "heads",
    "weights",
    "methods",
    "reduction",
    "inference",
    "evaluation",
    "training",
    "reporting",
    "commands",
    "verbs",
    "cli",
)
HOMES = {
    "nibabel": {"io"},
    "pydicom": {"io"},
    "SimpleITK": {"io", "store", "views"},
    "monai": {"encoders", "heads", "evaluation"},
    "pytorch_lightning": {"training", "loading"},
    "sklearn": {"pairing", "reduction", "evaluation"},
    "matplotlib": {"reporting"},
    "typer": {"verbs", "cli"},
}
NO_TORCH = {
    "errors",
    "atomic",
    "classes",
    "identifiers",
    "visits",
    "plain_yaml",
    "expectations",
    "recipe",
    "draws",
    "volume",
    "manifest",
    "io",
    "datasets",
    "verbs",
    "cli",
}


def imports_of(source: str) -> Iterator[str]:
    """Modules that a source imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            yield node.module


def breaches(room: str, source: str) -> list[str]:
    """What a source in ``room`` imports against the rules."""
    found = []
    for module in imports_of(source):
        top, *rest = module.split(".")
        if top == "medssl" and rest and rest[0] in ROOMS:
            if ROOMS.index(rest[0]) > ROOMS.index(room):
                found.append(f"{room} imports {module}, which stands later")
        elif top in HOMES and room not in HOMES[top]:
            found.append(f"{room} imports {top}, whose home is {sorted(HOMES[top])}")
        elif top == "torch" and room in NO_TORCH:
            found.append(f"{room} imports torch")
    return found


def room_of(path: Path) -> str:
    """The room that a file of the package stands in."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py" and "_data" not in path.parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    assert room_of(path) in ROOMS
    assert breaches(room_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("io", "from medssl.store.store import Store"),
        ("objectives", "def f():\n    from medssl.methods.region import voco"),
        ("io", "import torch"),
        ("training", "import matplotlib.pyplot as plt"),
    ],
)
def test_the_layer_test_can_fail(room: str, source: str) -> None:
    assert breaches(room, source)


def test_every_code_that_is_raised_is_documented() -> None:
    from medssl.errors import CODES

    used = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                used.add(node.value.value)
    assert {code for code in used if isinstance(code, str)} <= set(CODES)
