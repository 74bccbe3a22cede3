"""What a decoding child is asked for."""

from __future__ import annotations

from typing import NamedTuple


class Job(NamedTuple):
    """One compressed frame of one sample a pixel.

    Args:
        syntax: the transfer syntax's UID.
        rows: of the frame.
        columns: of the frame.
        bits: BitsAllocated.
        used: BitsStored.
        signed: PixelRepresentation.
        seconds: after which the child is to end itself.
        memory: bytes of address space that decoding may take on top.
    """

    syntax: str
    rows: int
    columns: int
    bits: int
    used: int
    signed: int
    seconds: int = 60
    memory: int = 1 << 30

    @property
    def size(self) -> int:
        """Bytes of the decoded frame."""
        return self.rows * self.columns * self.bits // 8
