"""How long the command line and the package take to start: ``python tests/benchmarks/start_up.py``."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import medssl": [sys.executable, "-c", "import medssl"],
    "medssl --help": [sys.executable, "-m", "medssl.cli", "--help"],
}
RUNS = 15


def seconds(command: list[str]) -> float:
    """Wall time of one whole process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the median of each command's runs, after one that does not count."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {RUNS} runs, median")
    for name, command in COMMANDS.items():
        seconds(command)
        print(f"{name:<16} {statistics.median(seconds(command) for _ in range(RUNS)):.3f} s")


if __name__ == "__main__":
    main()
