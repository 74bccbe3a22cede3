"""The program of a decoding child: compressed frames in on its input, bare voxels out on its output.

It runs apart because a codec is native code that a hostile or broken stream may crash, hang or fill with memory. It
starts without torch, opens no scan, and ends when its parent does.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any

from medssl.io.dicom.job import Job

PREFERRED: dict[str, tuple[str, ...]] = {
    "1.2.840.10008.1.2.5": ("pylibjpeg", "pydicom"),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70)], ("gdcm", "pylibjpeg")),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (80, 81)], ("pyjpegls", "gdcm", "pylibjpeg")),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (90, 91)], ("pylibjpeg", "gdcm")),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203)], ("pylibjpeg",)),
}
"""The first of a syntax's decoders that is installed decides: what it refuses, a more lenient one may not repair."""

EXTENDED = "1.2.840.10008.1.2.4.51"

REQUEST = struct.Struct("<IQ")
"""Bytes of the JSON that describes a frame, bytes of the frame."""

ANSWER = struct.Struct("<BQ")
"""``OK`` and the bytes of voxels, or ``REFUSED`` and the bytes of a word that says why."""

OK, REFUSED = 0, 1
MISSING, MEMORY, BROKEN = "missing", "memory", "broken"


class MissingDecoderError(Exception):
    """No package that decodes the syntax is installed."""


def decode_frame(job: Job, frame: bytes) -> bytes:
    """Voxels of a compressed frame, row after row, little endian.

    Raises:
        MissingDecoderError: no decoder of the syntax is installed.
        Exception: whatever the decoder raises.
    """
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder

    decoder = get_decoder(job.syntax)
    plugin = next((name for name in PREFERRED[job.syntax] if name in decoder.available_plugins), None)
    if plugin is None:
        raise MissingDecoderError(job.syntax)
    if job.syntax == EXTENDED and job.used > 8:
        from medssl.io.dicom.jpeg12 import extended

        return extended(job, frame)
    voxels, _ = decoder.as_array(
        encapsulate([frame], has_bot=False),
        index=0,
        raw=True,
        decoding_plugin=plugin,
        rows=job.rows,
        columns=job.columns,
        number_of_frames=1,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=job.bits,
        bits_stored=job.used,
        pixel_representation=job.signed,
        pixel_keyword="PixelData",
    )
    if voxels.shape != (job.rows, job.columns):
        raise ValueError("the frame has another shape than the header says")
    return bytes(voxels.astype(voxels.dtype.newbyteorder("<"), copy=False).tobytes())


def main(decoder: str) -> None:
    """Answer frames until the input ends.

    Args:
        decoder: ``module:function`` that turns a job and its bytes into voxels; tests name their own.
    """
    # native code may print: nothing but answers may reach the parent
    requests, answers = os.dup(0), os.dup(1)
    for stream in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)
    _forbid_files()
    module, name = decoder.split(":")
    decode: Callable[[Job, bytes], bytes] = getattr(importlib.import_module(module), name)
    while True:
        head = _read(requests, REQUEST.size)
        described, length = REQUEST.unpack(head)
        job = Job(**json.loads(_read(requests, described)))
        frame = _read(requests, length)
        _limit_memory(job.memory)
        with _mortal(requests, job.seconds):
            status, answer = _answer(decode, job, frame)
        _write(answers, ANSWER.pack(status, len(answer)))
        _write(answers, answer)


def _answer(decode: Callable[[Job, bytes], bytes], job: Job, frame: bytes) -> tuple[int, bytes]:
    try:
        return OK, decode(job, frame)
    except (MissingDecoderError, ImportError):
        return REFUSED, MISSING.encode()
    except MemoryError:
        return REFUSED, MEMORY.encode()
    except Exception:
        # decoders raise whatever they like, and their messages may hold private text
        return REFUSED, BROKEN.encode()


def _forbid_files() -> None:
    """No file is written here, a core dump least of all: it would hold the scan."""
    sys.dont_write_bytecode = True
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _limit_memory(more: int) -> None:
    """Let the address space grow by ``more`` bytes; where its size is not told, not at all limited."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as status:
            now = int(status.read().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (now + more, hard))


class _mortal(contextlib.AbstractContextManager[None]):  # noqa: N801 (used as a word of the language)
    """Within it the system itself ends this process when time is over or the parent is gone.

    Native code may hold the interpreter's lock, so neither a thread nor a handler would come to its turn.
    """

    def __init__(self, requests: int, seconds: int) -> None:
        self._requests, self._seconds = requests, seconds

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(self._seconds)
        self._watch(on=True)

    def __exit__(self, *_: Any) -> None:
        signal.alarm(0)
        self._watch(on=False)

    def _watch(self, on: bool) -> None:
        # the parent sends nothing while it waits: what comes on the pipe meanwhile is its end
        with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
            import fcntl

            signal.signal(signal.SIGIO, signal.SIG_DFL if on else signal.SIG_IGN)
            fcntl.fcntl(self._requests, fcntl.F_SETOWN, os.getpid())
            flags = fcntl.fcntl(self._requests, fcntl.F_GETFL) & ~os.O_ASYNC
            fcntl.fcntl(self._requests, fcntl.F_SETFL, flags | (os.O_ASYNC if on else 0))
            if on and select.select([self._requests], [], [], 0)[0]:
                os._exit(0)


def _read(handle: int, size: int) -> bytes:
    out = bytearray()
    while len(out) < size:
        piece = os.read(handle, min(size - len(out), 1 << 20))
        if not piece:
            os._exit(0)
        out += piece
    return bytes(out)


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(handle, view) :]
    except BrokenPipeError:
        os._exit(0)
