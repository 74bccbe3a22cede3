"""Decoders that do what a broken stream makes native code do; a decoding child is given their names."""

from __future__ import annotations

import ctypes
import os
import signal
import time

from medssl.io.dicom.job import Job

MARK = b"HURT"


def zeros(job: Job, frame: bytes) -> bytes:
    """A good decoder."""
    return bytes(job.size)


def own_number(job: Job, frame: bytes) -> bytes:
    """Which process decodes, in each voxel of four bytes."""
    return os.getpid().to_bytes(4, "little") * (job.size // 4)


def aborts(job: Job, frame: bytes) -> bytes:
    """Ends as an assertion in native code does, for marked frames."""
    if MARK in frame:
        os.kill(os.getpid(), signal.SIGABRT)
    return bytes(job.size)


def always_aborts(job: Job, frame: bytes) -> bytes:
    """Ends at the first frame."""
    os.kill(os.getpid(), signal.SIGABRT)
    return b""


def aborts_when_used(job: Job, frame: bytes, _seen: list[bytes] = []) -> bytes:  # noqa: B006
    """Breaks at its second frame, whichever that is: the first one did the damage."""
    _seen.append(frame)
    if len(_seen) > 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    return bytes(job.size)


def hangs(job: Job, frame: bytes) -> bytes:
    """Holds the interpreter's lock for ever, for marked frames."""
    while MARK in frame:
        ctypes.PyDLL(None).usleep(1_000_000)
    return bytes(job.size)


def sleeps(job: Job, frame: bytes) -> bytes:
    """Waits without end."""
    time.sleep(3600)
    return bytes(job.size)


def eats(job: Job, frame: bytes) -> bytes:
    """Takes all the memory that it is given, and more."""
    held = [bytearray(1 << 26) for _ in range(1 << 10)]
    return bytes(len(held) and job.size)


def lies(job: Job, frame: bytes) -> bytes:
    """Answers with too few voxels."""
    return bytes(job.size - 1)


def floods(job: Job, frame: bytes) -> bytes:
    """Answers with too many voxels."""
    return bytes(job.size + 1)


def prints(job: Job, frame: bytes) -> bytes:
    """Chats on both streams, as native libraries do."""
    os.write(1, b"decoding CANARY\n" * 1000)
    os.write(2, b"warning CANARY\n" * 1000)
    return bytes(job.size)


def raises(job: Job, frame: bytes) -> bytes:
    """Fails with private text."""
    raise ValueError("CANARY^PHI")
