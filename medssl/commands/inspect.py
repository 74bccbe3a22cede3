"""``medssl inspect``: what is in a file or folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def inspect(path: str | Path) -> dict[str, Any]:
    """Series, geometry, intensities, flags and problems of every volume in a file or folder.

    Returns:
        ``path``, ``volumes`` (see ``medssl.io.inspect.inspect``) and ``problems`` of all volumes together.

    Raises:
        InputError: the path does not exist, or the folder holds no scan.
    """
    from medssl.io.inspect import inspect as volumes_of

    volumes = volumes_of(path)
    return {
        "path": str(path),
        "volumes": volumes,
        "problems": [problem for volume in volumes for problem in volume["problems"]],
    }


def lines(result: dict[str, Any]) -> list[str]:
    """The result for people, one line a fact."""
    out = []
    for volume in result["volumes"]:
        series = f" series {volume['series']}" if "series" in volume else ""
        out.append(
            f"{volume['file']}{series}: {volume['format'] or 'not readable'} {volume.get('modality', '')}".rstrip()
        )
        if "shape" in volume:
            size = "×".join(str(n) for n in volume["shape"])
            spacing = " × ".join(f"{mm:g}" for mm in volume["spacing_mm"])
            channels = f", {volume['channels']} channels" if volume["channels"] > 1 else ""
            out.append(f"  {size} voxels of {spacing} mm, axes towards {volume['orientation']}{channels}")
        if volume.get("range"):
            low, high = volume["range"]
            marks = ", ".join(f"{float(q):.0%} {value:g}" for q, value in volume["quantiles"].items())
            out.append(f"  {volume['dtype']} from {low:g} to {high:g} ({marks})")
        if volume["flags"]:
            out.append(f"  flags: {', '.join(volume['flags'])}")
        out += [f"  problem: {p['file']}: {p['reason']} [{p['code']}]" for p in volume["problems"]]
    return out
