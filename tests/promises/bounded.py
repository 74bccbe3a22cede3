"""A program that converts one file under a limit of memory, and tells its seconds, its peak and the refusal."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from medssl.commands.convert import convert
from medssl.errors import MedsslError


def peak_kib() -> int:
    """This program's own peak: what the system counts for its process begins with the one that started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(paths: list[str]) -> None:
    """Convert each file and print what came as one JSON document."""
    out = []
    for path in paths:
        start, line = time.perf_counter(), ""
        try:
            convert(path, Path(path).with_name("bounded-out.npz"))
        except MedsslError as error:
            line = error.line()
        peak = peak_kib()
        out.append({"path": path, "line": line, "seconds": time.perf_counter() - start, "peak_kib": peak})
    print(json.dumps(out))


if __name__ == "__main__":
    main(sys.argv[1:])
