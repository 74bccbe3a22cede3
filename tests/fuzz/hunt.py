"""Reads damaged files under limits: ``python -m tests.fuzz.hunt NAME,NAME COUNT SEED``.

Right is a volume that agrees with itself, or a refusal with a known code that names the file. Wrong is everything else:
another exception, the code ``internal``, a lost process, over 5 s of the processor's time, over 1 GiB of memory, and,
where a checksum covers what was damaged, other voxels.
"""

from __future__ import annotations

import hashlib
import json
import resource
import signal
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from medssl.draws import generator
from medssl.errors import CODES, MedsslError
from medssl.volume import Volume
from tests.fuzz.cases import CASES, Case
from tests.fuzz.mutate import mutant

SECONDS = 5.0
MEMORY = 1 << 30


class SlowError(BaseException):
    """Reading took too long; not an ``Exception``, so that no reader takes it for damage."""


def hunt(name: str, count: int, seed: int) -> dict[str, Any]:
    """Damage a format's file ``count`` times.

    Returns:
        ``refused``, ``read`` and ``codes`` (how often), and ``wrong`` (what, and the file's bytes in hexadecimal).
    """
    with tempfile.TemporaryDirectory() as folder:
        case = CASES[name](Path(folder))
        case.path.write_bytes(case.packed(case.body))
        try:
            original = case.load()
        except MedsslError:
            # a format that is always refused
            original = None
        problem = _unsound(original)
        wrong: list[dict[str, str]] = [{"what": f"undamaged: {problem}", "file": ""}] if problem else []
        codes: dict[str, int] = {}
        last = len(case.body) if case.last is None else case.last
        for n in range(count):
            rng = generator(seed, zlib.crc32(name.encode()), n)
            body = case.packed(mutant(case.body, rng, case.fields, case.first, last, case.text))
            case.path.write_bytes(body)
            code, what = _one(case, original)
            codes[code] = codes.get(code, 0) + 1
            if what:
                wrong.append(
                    {"what": f"{n}: {what}", "file": body.hex()[:4000], "sha": hashlib.sha256(body).hexdigest()}
                )
    read = codes.pop("", 0)
    return {"name": name, "refused": sum(codes.values()), "read": read, "codes": codes, "wrong": wrong}


def _one(case: Case, original: Any) -> tuple[str, str]:
    """The code of the refusal, and what is wrong."""
    try:
        with _limited():
            found = case.load()
    except MedsslError as error:
        line = error.line()
        if error.code not in CODES or error.code == "internal":
            return error.code, f"{line} from {error.__cause__!r}"
        if error.code == "memory" and not case.hungry:
            return error.code, line
        if str(case.path.parent) not in line or len(line.splitlines()) != 1:
            return error.code, f"the file is not named: {line!r}"
        return error.code, ""
    except SlowError:
        return "slow", "over 5 s"
    except Exception as error:
        return "crash", f"{type(error).__name__}: {error}"
    problem = _unsound(found)
    if not problem and case.sealed and not _same(found, original):
        problem = "other voxels under a checksum"
    return "", problem


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise SlowError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _unsound(found: Any) -> str:
    """What in a result does not agree with itself."""
    volumes = found if isinstance(found, list) else [found]
    for volume in volumes:
        if not isinstance(volume, Volume):
            continue
        data = volume.data
        if data.ndim != 4 or min(data.shape) < 1 or min(volume.shape) < 2 or data.dtype.kind not in "iuf":
            return f"voxels {data.dtype} {data.shape}"
        if not np.isfinite(data).all() or not np.isfinite(volume.affine).all():
            return "numbers that are not finite"
        if abs(np.linalg.det(volume.affine[:3, :3])) <= 0 or min(volume.spacing_mm) <= 0:
            return "an affine without an inverse"
        if not all(isinstance(flag, str) and flag for flag in volume.flags) or "CANARY" in repr(volume):
            return f"flags {volume.flags}"
    return ""


def _same(found: Any, original: Any) -> bool:
    return np.array_equal(found.data, original.data) and np.array_equal(found.affine, original.affine)


def _bound() -> None:
    """No more address space than there is now and a GiB, and an end for native code that does not come back."""
    now = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if sys.platform == "linux" else 0
    )
    if now:
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))


def main(words: list[str]) -> None:
    """Hunt through formats, separated by commas, and print one JSON document a line."""
    names, count, seed = words[0].split(","), int(words[1]), int(words[2])
    _bound()
    for name in names:
        print(f"at {name}", file=sys.stderr, flush=True)
        print(json.dumps(hunt(name, count, seed)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
