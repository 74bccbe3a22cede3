"""Print the nth ```bash block of a Markdown file: ``python block.py README.md 2``."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def block(text: str, number: int) -> str:
    """The text of the ``number``-th block fenced with ```bash, counted from 1."""
    found = re.findall(r"^```bash\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    if len(found) < number:
        sys.exit(f"there are only {len(found)} bash blocks")
    return str(found[number - 1])


if __name__ == "__main__":
    print(block(Path(sys.argv[1]).read_text(encoding="utf-8"), int(sys.argv[2])), end="")
