"""The hot loops, compiled: a view row by row, from stored numbers to the network's range.

Each row is worked on in short loops over small arrays, which the compiler turns into vector instructions: where the
voxels lie, the eight stored values around each (the one loop that reads the scan), what lies between them. Places
are counted in double precision, so that neither the row nor the scan's size takes from their exactness.

Importing this module imports numba; ``medssl.views.kernels.choice`` does so where it is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import float32, int32, njit, types
from numba.extending import intrinsic

from medssl.views.kernels.build import built

# neither "no NaN" nor "no infinity" is promised: a stored float may be one
_FAST = {"reassoc", "contract", "arcp", "nsz"}
Function = TypeVar("Function", bound=Callable[..., Any])


def _inner(function: Function) -> Function:
    """Compile a part of a loop together with the loop."""
    return cast(Function, njit(fastmath=_FAST, nogil=True, error_model="numpy")(function))


@_inner
def _combine(weights: Any, first: Any, number: Any, lines: Any, out: Any) -> None:
    """Four lines of control points, ``(a, …)`` flattened, weighted into one."""
    w0, w1, w2, w3 = weights[0, number], weights[1, number], weights[2, number], weights[3, number]
    begin = first[number]
    for n in range(out.shape[0]):
        for m in range(out.shape[1]):
            out[n, m] = (
                w0 * lines[n, begin, m]
                + w1 * lines[n, begin + 1, m]
                + w2 * lines[n, begin + 2, m]
                + w3 * lines[n, begin + 3, m]
            )


@_inner
def _bend(along: Any, reach: Any, line: Any, x: Any, y: Any, z: Any) -> None:
    """Add the spline through a line of control points to a row of places: each point where it reaches."""
    for m in range(line.shape[1]):
        begin, end = reach[m, 0], reach[m, 1]
        weight, i, j, h = along[m, begin:end], x[begin:end], y[begin:end], z[begin:end]
        a, b, c = line[0, m], line[1, m], line[2, m]
        for n in range(weight.size):
            i[n] += a * weight[n]
            j[n] += b * weight[n]
            h[n] += c * weight[n]


@_inner
def _locate(
    x: Any, y: Any, z: Any, size: Any, strides: Any, least: Any, most: Any, ok: Any, at: Any, parts: Any
) -> None:
    """Clamp a row of places into the block: the first of the eight voxels around each, and how far beyond it lies."""
    top0, top1, top2 = size[0] - 1.0, size[1] - 1.0, size[2] - 1.0
    last0, last1, last2 = int32(max(size[0] - 2, 0)), int32(max(size[1] - 2, 0)), int32(max(size[2] - 2, 0))
    s0, s1, s2 = strides[0], strides[1], strides[2]
    for k in range(x.size):
        i, j, h = x[k], y[k], z[k]
        ok[k] = (i >= least[0]) & (i <= most[0]) & (j >= least[1]) & (j <= most[1]) & (h >= least[2]) & (h <= most[2])
        i, j, h = min(max(i, 0.0), top0), min(max(j, 0.0), top1), min(max(h, 0.0), top2)
        x[k], y[k], z[k] = i, j, h
        a, b, c = min(int32(i), last0), min(int32(j), last1), min(int32(h), last2)
        parts[0][k], parts[1][k], parts[2][k] = float32(i - a), float32(j - b), float32(h - c)
        at[k] = a * s0 + b * s1 + c * s2


@_inner
def _gather(flat: Any, at: Any, s0: Any, s1: Any, s2: Any, corners: Any) -> None:
    """The eight stored values around each place of a row."""
    c0, c1, c2, c3, c4, c5, c6, c7 = corners
    for k in range(at.size):
        p = at[k]
        q = p + s0
        c0[k] = flat[p]
        c1[k] = flat[p + s2]
        c2[k] = flat[p + s1]
        c3[k] = flat[p + s1 + s2]
        c4[k] = flat[q]
        c5[k] = flat[q + s2]
        c6[k] = flat[q + s1]
        c7[k] = flat[q + s1 + s2]


@_inner
def _blend(corners: Any, parts: Any, ok: Any, gain: Any, bias: Any, out: Any) -> None:
    """What lies between eight stored values, in the network's range; 0 outside the scan."""
    c0, c1, c2, c3, c4, c5, c6, c7 = corners
    fi, fj, fk = parts
    for k in range(out.size):
        a, b, c, d = float32(c0[k]), float32(c2[k]), float32(c4[k]), float32(c6[k])
        a += fk[k] * (float32(c1[k]) - a)
        b += fk[k] * (float32(c3[k]) - b)
        c += fk[k] * (float32(c5[k]) - c)
        d += fk[k] * (float32(c7[k]) - d)
        a += fj[k] * (b - a)
        c += fj[k] * (d - c)
        a += fi[k] * (c - a)
        value = min(max(a * gain + bias, float32(0)), float32(1))
        out[k] = value if ok[k] else float32(0)


def _two(context: Any, flat: Any, index: Any) -> Any:
    """Four bytes from an array's number on, wherever it lies: two neighbours of 16 bits in one go."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = target.make_array(signature.args[0])(target, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(place, ir.IntType(32).as_pointer()), align=2)

    return types.uint32(flat, types.int64), generate


_word: Any = intrinsic(_two)


@_inner
def _gather_words(flat: Any, at: Any, s0: Any, s1: Any, words: Any) -> None:
    """As ``_gather``, for 16-bit numbers that lie side by side along k: half the reads."""
    w0, w1, w2, w3 = words
    for k in range(at.size):
        p = np.int64(at[k])
        w0[k] = _word(flat, p)
        w1[k] = _word(flat, p + s1)
        w2[k] = _word(flat, p + s0)
        w3[k] = _word(flat, p + s0 + s1)


@_inner
def _blend_words(halves: Any, parts: Any, ok: Any, gain: Any, bias: Any, out: Any) -> None:
    """As ``_blend``, of neighbours along k that stand side by side."""
    h0, h1, h2, h3 = halves
    fi, fj, fk = parts
    for k in range(out.size):
        a, b, c, d = float32(h0[2 * k]), float32(h1[2 * k]), float32(h2[2 * k]), float32(h3[2 * k])
        a += fk[k] * (float32(h0[2 * k + 1]) - a)
        b += fk[k] * (float32(h1[2 * k + 1]) - b)
        c += fk[k] * (float32(h2[2 * k + 1]) - c)
        d += fk[k] * (float32(h3[2 * k + 1]) - d)
        a += fj[k] * (b - a)
        c += fj[k] * (d - c)
        a += fi[k] * (c - a)
        value = min(max(a * gain + bias, float32(0)), float32(1))
        out[k] = value if ok[k] else float32(0)


@_inner
def _nearest(flat: Any, strides: Any, x: Any, y: Any, z: Any, ok: Any, out: Any) -> None:
    """The label of the voxel nearest to each place of a row; -1 outside the scan."""
    s0, s1, s2 = strides[0], strides[1], strides[2]
    for k in range(out.size):
        p = int32(x[k] + 0.5) * s0 + int32(y[k] + 0.5) * s1 + int32(z[k] + 0.5) * s2
        out[k] = np.int64(flat[p]) if ok[k] else -1


@_inner
def _fours(n: Any, like: Any) -> Any:
    """Four rows of a type's numbers."""
    return np.empty(n, like.dtype), np.empty(n, like.dtype), np.empty(n, like.dtype), np.empty(n, like.dtype)


@_inner
def _halves(words: Any, like: Any) -> Any:
    """Rows of words as rows of the numbers that they are made of."""
    kind = like.dtype
    return words[0].view(kind), words[1].view(kind), words[2].view(kind), words[3].view(kind)


@_inner
def _steps(size: Any, strides: Any) -> Any:
    """How far an axis's next voxel lies; along an axis of one voxel it is that voxel itself."""
    out = np.zeros(3, np.int64)
    for axis in range(3):
        if size[axis] > 1:
            out[axis] = strides[axis]
    return out[0], out[1], out[2]


@_inner
def _lay(into: Any, i: Any, j: Any, rows: Any) -> None:
    """Places of a row of voxels before any deformation."""
    for axis in range(3):
        row, step = rows[axis], into[axis, 2]
        start = into[axis, 0] * i + into[axis, 1] * j + into[axis, 3]
        for k in range(row.size):
            row[k] = start + step * k


def _interpolate(
    flat: Any,
    channel: Any,
    size: Any,
    strides: Any,
    label: Any,
    label_strides: Any,
    into: Any,
    bounds: Any,
    spline: Any,
    maps: Any,
    image: Any,
    valid: Any,
    mask: Any,
) -> None:
    """A view from a block; see ``medssl.views.kernels.run.interpolate`` for what each argument is."""
    channels, n0, n1, n2 = image.shape
    control, first, weights, along, reach = spline
    s0, s1, s2 = _steps(size, strides)
    paired = flat.itemsize == 2 and s2 == 1
    rows, at = (np.empty(n2), np.empty(n2), np.empty(n2)), np.empty(n2, strides.dtype)
    parts = (np.empty(n2, np.float32), np.empty(n2, np.float32), np.empty(n2, np.float32))
    corners, words = _fours(n2, flat) + _fours(n2, flat), _fours(n2, np.empty(0, np.uint32))
    halves = _halves(words, flat)
    # control points (3, a, b·c): i is combined once a plane, j once a row, k along the row
    _, a, b, c = control.shape
    plane, line, spread = np.empty((3, b * c)), np.empty((3, c)), control.reshape(3, a, b * c)
    for i in range(n0):
        if control.size:
            _combine(weights, first, i, spread, plane)
        for j in range(n1):
            _lay(into, i, j, rows)
            if control.size:
                _combine(weights[:, n0:], first[n0:], j, plane.reshape(3, b, c), line)
                _bend(along, reach, line, rows[0], rows[1], rows[2])
            ok = valid[i, j]
            _locate(rows[0], rows[1], rows[2], size, strides, bounds[0], bounds[1], ok, at, parts)
            for n in range(channels):
                if paired:
                    _gather_words(flat[n * channel :], at, s0, s1, words)
                    _blend_words(halves, parts, ok, maps[0, n], maps[1, n], image[n, i, j])
                else:
                    _gather(flat[n * channel :], at, s0, s1, s2, corners)
                    _blend(corners, parts, ok, maps[0, n], maps[1, n], image[n, i, j])
            if mask.size:
                _nearest(label, label_strides, rows[0], rows[1], rows[2], ok, mask[i, j])


def _copy(flat: Any, start: Any, strides: Any, maps: Any, begin: Any, count: Any, image: Any) -> None:
    step, n = strides[3], count[2]
    for c in range(image.shape[0]):
        g, b = maps[0, c], maps[1, c]
        for i in range(count[0]):
            for j in range(count[1]):
                p = start + c * strides[0] + i * strides[1] + j * strides[2]
                row = image[c, begin[0] + i, begin[1] + j, begin[2] : begin[2] + n]
                # the two plain cases apart, for the compiler to see that they are plain
                if step == 1:
                    line = flat[p : p + n]
                    for k in range(n):
                        row[k] = min(max(float32(line[k]) * g + b, float32(0)), float32(1))
                elif step == -1:
                    line = flat[p - n + 1 : p + 1]
                    for k in range(n):
                        row[k] = min(max(float32(line[n - 1 - k]) * g + b, float32(0)), float32(1))
                else:
                    for k in range(n):
                        row[k] = min(max(float32(flat[p + k * step]) * g + b, float32(0)), float32(1))


interpolate = built(_interpolate, fastmath=_FAST)
# no contraction here: a copied voxel is the same number with and without compilation
copy = built(_copy, fastmath={"reassoc", "arcp", "nsz"})
