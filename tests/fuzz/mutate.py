"""Seeded damage: bits, bytes, fields set to extreme values, cuts, insertions, doubled blocks, and odd words in text."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Field(NamedTuple):
    """A header's field: where it begins, and how ``struct`` packs it (``s`` with a count for bytes)."""

    at: int
    code: str


EXTREME_INTEGERS = (0, 1, -1, 2, 3, 127, 255, 256, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1)
EXTREME_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-30, 1e30, 3e38, -3e38, np.inf, -np.inf, np.nan, 0.5, 352.5, 1e9)
WORDS = (
    *("", " ", "0", "-1", "1", "2", "3", "7", "300", "65536", "99999999999", "1e400", "-1e-400", "nan", "inf", "-inf"),
    *("0x10", "1_0", "1,2", "(1,0,0)", "(", ")", "none", "true", "\u0663", "\x00", "\x1b[31m", "\r", "a" * 5000),
    *(
        "../../x",
        "/etc/passwd",
        "LOCAL",
        "LIST",
        "%d",
        "raw",
        "gzip",
        "bzip2",
        "hex",
        "ascii",
        "&a",
        "*a",
        "!!int",
        "{}",
    ),
)
_TOKEN = re.compile(rb"[^\s,;:=(){}\[\]]+")


def mutant(body: bytes, rng: np.random.Generator, fields: Sequence[Field], first: int, last: int, text: bool) -> bytes:
    """A damaged copy.

    Args:
        body: the valid file.
        rng: what is drawn from.
        fields: of its header, in its byte order.
        first: where damage may begin.
        last: where it must end.
        text: a header of words and lines.
    """
    out = bytearray(body)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3, 6]))):
        end = min(last, len(out))
        if end <= first:
            break
        kinds = [_flip, _set, _cut_out, _insert, _double, _swap, _zero]
        if fields and rng.random() < 0.5:
            _field(out, rng, fields)
        elif text and rng.random() < 0.7:
            _word(out, rng, first, end)
        elif rng.random() < 0.06:
            del out[int(rng.integers(first, end)) :]
        else:
            kinds[int(rng.choice(7, p=[0.35, 0.25, 0.1, 0.1, 0.08, 0.06, 0.06]))](out, rng, first, end)
    return bytes(out)


def _flip(out: bytearray, rng: np.random.Generator, first: int, end: int) -> None:
    out[int(rng.integers(first, end))] ^= 1 << int(rng.integers(8))


def _set(out: bytearray, rng: np.random.Generator, first: int, end: int) -> None:
    out[int(rng.integers(first, end))] = int(rng.choice([0, 255, 127, 128, int(rng.integers(256))]))


def _cut_out(out: bytearray, rng: np.random.Generator, first: int, end: int) -> None:
    at = int(rng.integers(first, end))
    del out[at : min(at + int(rng.integers(1, 40)), end)]


def _insert(out: bytearray, rng: np.random.Generator, first: int, end: int) -> None:
    at = int(rng.integers(first, end))
    out[at:at] = rng.bytes(int(rng.integers(1, 20)))


def _double(out: bytearray, rng: np.random.Generator, first: int, end: int) -> None:
    at = int(rng.integers(first, end))
    out[at:at] = out[at : min(at + int(rng.integers(1, 200)), end)] * int(rng.integers(1, 4))


def _swap(out: bytearray, rng: np.random.Generator, first: int, end: int) -> None:
    size = int(rng.integers(1, 32))
    one, other = (int(n) for n in rng.integers(first, max(first + 1, end - size), 2))
    out[one : one + size], out[other : other + size] = out[other : other + size], out[one : one + size]


def _zero(out: bytearray, rng: np.random.Generator, first: int, end: int) -> None:
    at = int(rng.integers(first, end))
    stop = min(at + int(rng.integers(1, 64)), end)
    out[at:stop] = bytes([int(rng.choice([0, 255]))]) * (stop - at)


def _field(out: bytearray, rng: np.random.Generator, fields: Sequence[Field]) -> None:
    at, code = fields[int(rng.integers(len(fields)))]
    if at + struct.calcsize(code) > len(out):
        return
    if code[-1] == "s":
        size = struct.calcsize(code)
        word = WORDS[int(rng.integers(len(WORDS)))].encode("utf-8", "replace")
        out[at : at + size] = word[:size].ljust(size, b" ")
    elif code[-1] in "fd":
        value = EXTREME_FLOATS[int(rng.integers(len(EXTREME_FLOATS)))]
        out[at : at + struct.calcsize(code)] = np.array(value).astype(f"{code[0]}f{struct.calcsize(code)}").tobytes()
    else:
        size = struct.calcsize(code)
        value = EXTREME_INTEGERS[int(rng.integers(len(EXTREME_INTEGERS)))] % 2 ** (8 * size)
        out[at : at + size] = value.to_bytes(size, "little" if code[0] == "<" else "big")


def _word(out: bytearray, rng: np.random.Generator, first: int, end: int) -> None:
    """Replace a word, or leave a line out, double or move it."""
    part = bytes(out[first:end])
    if rng.random() < 0.7:
        found = list(_TOKEN.finditer(part))
        if found:
            one = found[int(rng.integers(len(found)))]
            word = WORDS[int(rng.integers(len(WORDS)))].encode("utf-8", "replace")
            out[first + one.start() : first + one.end()] = word
        return
    lines = part.split(b"\n")
    one, other = (int(n) for n in rng.integers(0, len(lines), 2))
    if rng.random() < 0.4:
        del lines[one]
    elif rng.random() < 0.5:
        lines.insert(other, lines[one])
    else:
        lines[one], lines[other] = lines[other], lines[one]
    out[first:end] = b"\n".join(lines)
