"""What a matcher does: say where a point of one scan lies in another."""

from __future__ import annotations

from typing import Protocol

from medssl.views.grid import Array
from medssl.views.view import Scan


class Matcher(Protocol):
    """Correspondence between the bodies of two scans."""

    def place(self, source: Scan, point_mm: Array, target: Scan) -> Array | None:
        """Where ``point_mm`` ``(3,)`` of ``source`` lies in ``target``, in its millimetres; None where nobody knows."""
        ...
