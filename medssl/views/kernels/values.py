"""Compiled loops over a view's values: noise from a counter, blur, and powers.

Importing this module imports numba; ``medssl.views.kernels.choice`` does so where it is wanted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from medssl.views.kernels.build import built

_FAST = {"reassoc", "contract", "arcp", "nsz"}


def _fill(seed: Any, table: Any, out: Any) -> None:
    """Values of a table by the four 16-bit parts of a hash of the counter (splitmix64, Steele et al. 2014)."""
    quarter = (out.size + 3) // 4
    for n in range(quarter):
        x = seed[0] + np.uint64(n + 1) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
        for part in range(4):
            at = part * quarter + n
            if at < out.size:
                out[at] = table[np.int64((x >> np.uint64(16 * part)) & np.uint64(0xFFFF))]


def _blur(src: Any, wi: Any, wj: Any, wk: Any, out: Any) -> None:
    """Convolve ``(i, j, k)`` along each axis with half kernels (the middle first), the edge repeated."""
    ni, nj, nk = src.shape
    ri, rj, rk = wi.size - 1, wj.size - 1, wk.size - 1
    plane = np.empty((nj, nk), np.float32)
    row = np.empty(nk + 2 * rk, np.float32)
    for i in range(ni):
        for j in range(nj):
            line, middle = plane[j], src[i, j]
            for k in range(nk):
                line[k] = wi[0] * middle[k]
            for r in range(1, ri + 1):
                before, after, weight = src[max(i - r, 0), j], src[min(i + r, ni - 1), j], wi[r]
                for k in range(nk):
                    line[k] += weight * (before[k] + after[k])
        for j in range(nj):
            inner, middle = row[rk : rk + nk], plane[j]
            for k in range(nk):
                inner[k] = wj[0] * middle[k]
            for r in range(1, rj + 1):
                before, after, weight = plane[max(j - r, 0)], plane[min(j + r, nj - 1)], wj[r]
                for k in range(nk):
                    inner[k] += weight * (before[k] + after[k])
            for k in range(rk):
                row[k] = inner[0]
                row[rk + nk + k] = inner[nk - 1]
            done = out[i, j]
            for k in range(nk):
                done[k] = wk[0] * inner[k]
            for r in range(1, rk + 1):
                before, after, weight = row[rk - r : rk - r + nk], row[rk + r : rk + r + nk], wk[r]
                for k in range(nk):
                    done[k] += weight * (before[k] + after[k])


def _power(src: Any, power: Any, log: Any, exp: Any, out: Any) -> None:
    """X to a power, as 2 to the power of (power · log₂ x); 0 stays 0.

    x is split into 2ᵉ · m with m from √½ to √2, log₂ m and the broken part of 2ʸ are polynomials: loops over numbers
    that the compiler turns into vector instructions, where the library's power is a call for each.
    """
    bits = src.view(np.int32)
    for n in range(src.size):
        e = (bits[n] - np.int32(0x3F3504F3)) >> np.int32(23)
        m = np.int32(bits[n] - (e << np.int32(23))).view(np.float32) - np.float32(1)
        p = log[8]
        for term in (7, 6, 5, 4, 3, 2, 1, 0):
            p = p * m + log[term]
        y = power[0] * (np.float32(e) + m * p)
        y = max(y, np.float32(-126))
        whole = np.floor(y + np.float32(0.5))
        r = y - whole
        q = exp[6]
        for term in (5, 4, 3, 2, 1, 0):
            q = q * r + exp[term]
        value = q * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
        out[n] = value if src[n] > 0 else np.float32(0)


def _chebyshev(function: Any, low: float, high: float, degree: int) -> Any:
    """Coefficients, lowest first, of the polynomial that meets a function at Chebyshev's points."""
    found = np.polynomial.Chebyshev.interpolate(function, degree, [low, high])
    return found.convert(kind=np.polynomial.Polynomial).coef.astype(np.float32)


def _log_over_m(m: Any) -> Any:
    """log₂(1 + m) / m, which is smooth at 0."""
    small = np.abs(m) < 1e-9
    safe = np.where(small, 1.0, m)
    return np.where(small, 1 / np.log(2), np.log2(1 + safe) / safe)


LOG = _chebyshev(_log_over_m, np.sqrt(0.5) - 1, np.sqrt(2) - 1, 8)
EXP = _chebyshev(np.exp2, -0.5, 0.5, 6)
"""Polynomials that ``power`` is given."""

fill = built(_fill, _FAST)
power = built(_power, _FAST)
blur = built(_blur, _FAST)
