"""Mutated headers of every format: refused or read, never a crash, never an unnamed reason (promise P54)."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from medssl.draws import generator
from medssl.errors import CODES, MedsslError
from medssl.io.read import read
from medssl.io.write import write
from tests.io.scans import volume, write_slices

EXTREME = (b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\0\0\x80\x7f", b"\0\0\xc0\x7f", b"\xff\xff\xff\xff")


def mutated(body: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(body)
    for _ in range(int(rng.choice([1, 1, 2, 5]))):
        at = int(rng.integers(min(len(out), 900)))
        kind = rng.random()
        if kind < 0.6:
            out[at] = int(rng.integers(256))
        elif kind < 0.8:
            out[at : at + 4] = EXTREME[int(rng.integers(len(EXTREME)))]
        elif kind < 0.9:
            del out[at : at + int(rng.integers(1, 20))]
        else:
            out[at:at] = rng.bytes(int(rng.integers(1, 9)))
    return bytes(out)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha", ".npz", ".dcm"])
def test_mutated_headers_are_refused_by_name(tmp_path, ending, capfd):
    if ending == ".dcm":
        path = write_slices(tmp_path / "s") / "IM07.dcm"
    else:
        path = tmp_path / f"a{ending}"
        write(volume(), path)
    body = path.read_bytes()
    body = gzip.decompress(body) if ending == ".nii.gz" else body
    rng = generator(0, 1, 7)
    lines = []
    for _ in range(150):
        changed = mutated(body, rng)
        path.write_bytes(gzip.compress(changed, 1) if ending == ".nii.gz" else changed)
        try:
            read(path.parent if ending == ".dcm" else path)
        except MedsslError as error:
            lines.append(error.line())
            codes = error.code
            if codes == "internal" or codes not in CODES:
                pytest.fail(f"{codes}: {error.line()}: {error.__cause__!r}")
    assert len(lines) > 20
    assert all(str(tmp_path) in line and len(line.splitlines()) == 1 for line in lines)
    assert capfd.readouterr().err == ""
