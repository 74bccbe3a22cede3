"""A program that converts one file under a limit of memory, and tells its seconds, its peak and the refusal."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from medssl.commands.convert import convert
from medssl.errors import MedsslError


def main(paths: list[str]) -> None:
    """Convert each file and print what came as one JSON document."""
    out = []
    for path in paths:
        start, line = time.perf_counter(), ""
        try:
            convert(path, Path(path).with_name("bounded-out.npz"))
        except MedsslError as error:
            line = error.line()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        out.append({"path": path, "line": line, "seconds": time.perf_counter() - start, "peak_kib": peak})
    print(json.dumps(out))


if __name__ == "__main__":
    main(sys.argv[1:])
