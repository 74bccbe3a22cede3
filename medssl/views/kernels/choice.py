"""Whether views are sampled by compiled code or by torch."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import import_module
from typing import Any


def compiled() -> Any | None:
    """The module of compiled loops, or None where torch does their work.

    ``MEDSSL_COMPILED=0`` turns compilation off; without numba, or where its compiler is turned off
    (``NUMBA_DISABLE_JIT=1``), it is off too. The numbers are the same to 1e-5 of the network's range.
    """
    return None if os.environ.get("MEDSSL_COMPILED", "1") == "0" else _loops()


@lru_cache(maxsize=1)
def _loops() -> Any | None:
    try:
        from numba import config
    except ImportError:
        return None
    # imported by name: a type checker follows numba's decorators nowhere
    return None if config.DISABLE_JIT else import_module("medssl.views.kernels.rows")
