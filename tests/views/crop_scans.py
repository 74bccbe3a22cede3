"""Scans without voxels, for tests of crop policies."""

import numpy as np

from medssl.views.grid import Grid, apply
from medssl.views.view import Scan

TILTED = np.array([[0.8, -0.6, 0, 5], [0.6, 0.8, 0, -7], [0, 0, -2.5, 0], [0, 0, 0, 1]])


def scan_of(shape, affine=TILTED, body=None, **more):
    return Scan(shape, np.asarray(affine, dtype=float), np.array(body or [[0, 0, 0], shape]), {"patient": 1}, **more)


def edges(scan: Scan, grid: Grid):
    """First and last edge in stored voxels from the scan's outer edge."""
    ends = apply(np.linalg.inv(scan.affine), grid.box.corners_mm()) + 0.5
    return ends.min(axis=0), ends.max(axis=0)
