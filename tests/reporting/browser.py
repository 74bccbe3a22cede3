"""Opens a page in headless Chromium and says which pictures are broken and what the console was told."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")

_PROBE = """<script>
const found = {images: 0, broken: [], errors: [], overflow: 0};
addEventListener('error', event => found.errors.push(String(event.message || event.target.tagName)), true);
addEventListener('unhandledrejection', event => found.errors.push(String(event.reason)));
addEventListener('load', async () => {
  for (const image of document.images) {
    found.images += 1;
    try { await image.decode(); } catch (reason) { found.broken.push(image.alt); continue; }
    if (!image.naturalWidth) found.broken.push(image.alt);
  }
  found.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  document.title = 'probe ' + JSON.stringify(found);
});
</script>"""


@dataclass(frozen=True)
class Findings:
    """What a browser made of a page.

    Args:
        images: how many pictures it has.
        broken: alt texts of those that cannot be shown.
        errors: errors that the page met while loading.
        console: what was written to the console.
        overflow: pixels by which the page is wider than the window.
    """

    images: int
    broken: list[str]
    errors: list[str]
    console: list[str]
    overflow: int


def find_browser() -> str | None:
    """The path of a Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def check_page(page: Path, browser: str, width: int = 1200) -> Findings:
    """Open a page as it is for its console, and a copy that reports on itself for its pictures."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        probed = Path(folder) / "probed.html"
        # the page forbids every script; the copy must allow the one that looks
        allowed = text.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
        probed.write_text(allowed.replace("<head>", f"<head>{_PROBE}", 1), encoding="utf-8")
        _, log = _open(page, browser, width)
        dom, _ = _open(probed, browser, width)
    title = re.search(r"<title>probe (\{.*?\})</title>", dom, re.S)
    if title is None:
        raise RuntimeError(f"the page did not load: {dom[:200]!r}")
    console = [line for line in log.splitlines() if "CONSOLE" in line]
    return Findings(**json.loads(html.unescape(title[1])), console=console)


def _open(page: Path, browser: str, width: int) -> tuple[str, str]:
    """The document after loading, and the browser's log."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
            f"--window-size={width},2000",
            "--virtual-time-budget=10000",
            "--dump-dom",
            page.resolve().as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, encoding="utf-8")
    return done.stdout, done.stderr
