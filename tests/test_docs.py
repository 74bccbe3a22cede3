"""The documentation keeps up with the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from medssl.errors import CODES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def test_every_error_code_stands_on_its_page() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, flags=re.MULTILINE)) == set(CODES)


def test_the_architecture_page_names_every_room() -> None:
    from tests.test_layers import ROOMS

    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    missing = [room for room in ROOMS if f"`{room}/`" not in page and f"`{room}.py`" not in page]
    assert missing == []


@pytest.mark.parametrize("page", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in DOCS.rglob("*.md"))])
def test_commands_in_the_pages_exist(page: str) -> None:
    """Every `medssl VERB …` in a bash block names a verb and options that the command line has."""
    from typer.main import get_command

    from medssl.cli import app

    root = get_command(app)
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if not words or words[0] != "medssl":
                continue
            command = root
            rest = words[1:]
            while rest and hasattr(command, "commands"):
                assert rest[0] in command.commands or rest[0].startswith("-"), f"{page}: {line}"
                if rest[0].startswith("-"):
                    break
                command = command.commands[rest.pop(0)]
            known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {"--help"}
            unknown = [word for word in rest if word.startswith("--") and word.split("=")[0] not in known]
            assert unknown == [], f"{page}: {line}"


def test_readme_begins_with_its_two_commands() -> None:
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "medssl demo" in blocks[0]
    assert "pytest" in blocks[1]


def test_ci_runs_the_block_that_the_readme_states() -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, ".ci/block.py", "README.md", "2"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "pytest" in done.stdout
    assert "block.py README.md 2" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_no_host_and_no_machine_path_is_named() -> None:
    words = ("pypi" + ".org", "files.python" + "hosted", "/work" + "/", "/tmp" + "/w")
    found = []
    for path in sorted(ROOT.rglob("*")):
        inside = path.relative_to(ROOT).parts
        if path.suffix not in {".py", ".md", ".toml", ".yaml", ".csv", ".sh", ""} or not path.is_file():
            continue
        if any(part.startswith(".") and part != ".ci" for part in inside) or "build" in inside or "_build" in inside:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {word}" for word in words if word in text]
    assert found == []
