"""Kill ``medssl prepare`` at random moments and look at what stands: ``python tests/benchmarks/kill_store.py``.

Promise P24 at length: after every kill nothing but whole entries has a name of its own, and after the last one a run
that is left alone ends with the same bytes as one that was never disturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from medssl.store.entry import entry_is_sound
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import ENTRIES
from tests.promises.stores import contents, leftovers, small_set

SHAPE = (96, 96, 64)


def command(folder: Path, where: Path, jobs: int) -> list[str]:
    """The words of a run."""
    script = "import sys; from medssl.cli import main; sys.argv[0] = 'medssl'; main()"
    words = ["prepare", str(folder / "scans.csv"), str(where), "--jobs", str(jobs)]
    return [sys.executable, "-c", script, *words]


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--scans", type=int, default=40)
    args = parser.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = small_set(folder, args.scans, SHAPE)
        start = time.perf_counter()
        subprocess.run(command(folder, folder / "timed", 1), check=True, capture_output=True)
        whole = time.perf_counter() - start
        killed = unfinished = rounds = 0
        where = folder / "store"
        while killed < args.count:
            process = subprocess.Popen(
                command(folder, where, 1 + killed % 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                process.wait(rng.uniform(0.1, whole))
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                killed += 1
                unfinished += bool(leftovers(where))
            else:
                # it came to its end: the next begins anew
                rounds += 1
                where = folder / f"store{rounds}"
            bad = [path.name for path in (where / ENTRIES).glob("[!.]*") if not entry_is_sound(path)]
            if bad:
                raise SystemExit(f"after {killed} kills these entries are not whole: {bad}")
        prepare(manifest, where, StoreSettings())
        same = contents(where) == contents(folder / "timed")
    print(f"{killed} kills, {unfinished} left temporary files, {rounds} runs came to their end in between")
    print(f"the store is the same as one that was never disturbed: {same}")
    if not same:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
