"""The long hunt of promise P54: ``python tests/benchmarks/fuzz.py --count 10000 [--seed 1] [--only NAME ...]``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.cases import CASES
from tests.fuzz.run import hunts

SHARE = 500
"""Damaged files of one process: what is lost with it, and how often memory is counted from the start."""


def main() -> int:
    """Print a line for each format, and each kind of wrong answer once; 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=list(CASES), default=list(CASES))
    words = parser.parse_args()
    os.chdir(Path(__file__).parents[2])
    failed = 0
    for name in words.only:
        start, refused, read, wrong = time.perf_counter(), 0, 0, dict[str, str]()
        for part in range(0, words.count, SHARE):
            count = min(SHARE, words.count - part)
            found = hunts([name], count, words.seed * 1_000_000 + part, 3600)[name]
            refused, read = refused + found["refused"], read + found["read"]
            wrong |= {one["what"].partition(": ")[2][:200]: one["file"] for one in found["wrong"]}
        seconds = time.perf_counter() - start
        print(f"{name:<20} {refused:6} refused {read:6} read {len(wrong):3} wrong {seconds:7.1f} s", flush=True)
        for what, body in wrong.items():
            print(f"    {what}\n    {body[:400]}")
        failed += bool(wrong)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
