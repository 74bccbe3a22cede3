"""Diffusion weights and directions from vendors' private elements, to tell apart planes that lie on each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from medssl.errors import MedsslError
from medssl.io.dicom.files import quiet, read_dataset
from medssl.io.dicom.frame import Frame
from medssl.io.dicom.planes import plain_number, private

_BLOCKS: dict[int, tuple[str, tuple[int, ...]]] = {
    0x0019: ("SIEMENS MR HEADER", (0x0C, 0x0E)),
    0x0043: ("GEMS_PARM_01", (0x39,)),
    0x2001: ("Philips Imaging DD 001", (0x03,)),
    0x2005: ("Philips MR Imaging DD 001", (0xB0, 0xB1, 0xB2)),
}
"""Group → the block's name and the elements that hold a weight or a direction."""

_GE_DIRECTION = (0x0019, "GEMS_ACQU_01", (0xBB, 0xBC, 0xBD))
_RESERVED = range(0x10, 0x20)


def with_directions(frames: list[Frame]) -> list[Frame]:
    """The planes with their private diffusion facts as one more soft value; as they were where there are none.

    The files are opened again: this is asked only of planes that no standard tag tells apart, and the answer is
    compared and never output.
    """
    if any(frame.index is not None or frame.modality != "MR" for frame in frames):
        return frames
    try:
        with quiet():
            facts = [_facts(frame) for frame in frames]
    except MedsslError:
        # what is wrong with the file shows when its pixels are read
        return frames
    if len(set(facts)) < 2:
        return frames
    return [replace(frame, soft=(*frame.soft, fact)) for frame, fact in zip(frames, facts, strict=True)]


def _facts(frame: Frame) -> str:
    wanted = [(group, name, elements) for group, (name, elements) in _BLOCKS.items()] + [_GE_DIRECTION]
    tags = [group << 16 | block for group in {one[0] for one in wanted} for block in _RESERVED]
    tags += [
        group << 16 | block << 8 | element
        for group, _, elements in wanted
        for block in _RESERVED
        for element in elements
    ]
    dataset = read_dataset(frame.path, tags, stop_before_pixels=True)
    return "|".join(_block(dataset, *one) for one in wanted)


def _block(dataset: Any, group: int, name: str, elements: tuple[int, ...]) -> str:
    for block in _RESERVED:
        if str(private(dataset, group << 16 | block)).strip() == name:
            return ",".join(_plain(private(dataset, group << 16 | block << 8 | element)) for element in elements)
    return ""


def _plain(value: Any) -> str:
    if value is None:
        return ""
    parts = [value] if isinstance(value, str | bytes | int | float) else list(value)
    return "\\".join(plain_number(str(part)) for part in parts)
