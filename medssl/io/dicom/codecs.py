"""Compressed DICOM frames decoded in child processes: a crash, a hang or a flood of memory is a file's refusal."""

from __future__ import annotations

import atexit
import contextlib
import json
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError, ResourceError
from medssl.io.dicom.child import ANSWER, MEMORY, MISSING, OK, REQUEST
from medssl.io.dicom.job import Job

DECODER = "medssl.io.dicom.child:decode_frame"
_START = "import sys; sys.path[:] = sys.argv[2:]; from medssl.io.dicom.child import main; main(sys.argv[1])"
_PIPE_BYTES = 1 << 20
_MOST = 8

PACKAGES: dict[str, str] = {
    "1.2.840.10008.1.2.5": "pylibjpeg-rle pylibjpeg",
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70)], "python-gdcm"),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (80, 81)], "pyjpegls"),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203)], "pylibjpeg-openjpeg pylibjpeg"),
}
"""Transfer syntax → what to install for it, free for any use."""


class ChildEndedError(Exception):
    """A decoding child crashed or was ended; ``late`` when it ran out of time."""

    def __init__(self, late: bool = False) -> None:
        self.late = late
        super().__init__("out of time" if late else "ended")


def parallel() -> int:
    """Frames worth decoding at once: one for each processor, and one in a worker process, which has peers."""
    if multiprocessing.parent_process() is not None:
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, _MOST))


class Child:
    """One child process.

    Args:
        decoder: ``module:function`` that it calls.
    """

    def __init__(self, decoder: str) -> None:
        home = str(Path(__file__).parents[3])
        self._process = subprocess.Popen(
            # no path of the working folder's, no settings of the environment's: a scan's folder may hold anything
            [sys.executable, "-I", "-S", "-c", _START, decoder, home, *(part for part in sys.path if part)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise ResourceError("a decoding process has no pipes", code="internal")
        self._requests, self._answers = self._process.stdin.fileno(), self._process.stdout.fileno()
        self.fresh = True
        for handle in (self._requests, self._answers):
            os.set_blocking(handle, False)
            with contextlib.suppress(ImportError, AttributeError, OSError):
                import fcntl

                fcntl.fcntl(handle, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def decode(self, job: Job, frame: bytes) -> bytearray | str:
        """Voxels, or the word that says why there are none.

        Raises:
            ChildEndedError: the child is gone, and this object with it.
        """
        # the child ends itself in time; it is waited for a little longer
        until = time.monotonic() + job.seconds + (15 if self.fresh else 5)
        self.fresh = False
        described = json.dumps(job._asdict()).encode()
        try:
            self._send(REQUEST.pack(len(described), len(frame)) + described, until)
            self._send(frame, until)
            status, length = ANSWER.unpack(self._receive(ANSWER.size, until))
            if length > (job.size if status == OK else 100):
                raise ChildEndedError
            answer = self._receive(length, until)
        except (OSError, ChildEndedError) as error:
            late = isinstance(error, ChildEndedError) and error.late
            raise ChildEndedError(self.end() == -signal.SIGALRM or late) from error
        return answer if status == OK else answer.decode("ascii", "replace")

    def end(self) -> int | None:
        """End the process, and tell how it ended if it did so itself."""
        # its input's end is what it waits for
        self._close(self._process.stdin)
        try:
            return self._process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None
        finally:
            self._close(self._process.stdout)

    def abandon(self) -> None:
        """Let go of the process without ending it: after a fork it is the parent's."""
        self._close(self._process.stdin)
        self._close(self._process.stdout)
        self._process.returncode = 0

    @staticmethod
    def _close(stream: IO[bytes] | None) -> None:
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()

    def _send(self, data: bytes, until: float) -> None:
        view = memoryview(data)
        while view:
            _wait(self._requests, select.POLLOUT, until)
            view = view[os.write(self._requests, view) :]

    def _receive(self, size: int, until: float) -> bytearray:
        out = bytearray(size)
        view = memoryview(out)
        while view:
            _wait(self._answers, select.POLLIN, until)
            count = os.readv(self._answers, [view])
            if not count:
                raise ChildEndedError
            view = view[count:]
        return out


def _wait(handle: int, event: int, until: float) -> None:
    poll = select.poll()
    poll.register(handle, event)
    if not poll.poll(max(0, int(1000 * (until - time.monotonic())))):
        raise ChildEndedError(late=True)


class Children:
    """Decoding children, started when they are needed and kept for the next frame.

    Args:
        decoder: ``module:function`` that they call.
        seconds: for one frame of up to a million pixels; larger ones have as much more.
        memory: bytes that decoding may take beside 64 bytes a pixel.
    """

    def __init__(self, decoder: str = DECODER, seconds: int = 60, memory: int = 1 << 29) -> None:
        self._decoder, self._seconds, self._memory = decoder, seconds, memory
        self._begin()
        _ALL.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(parallel())
        self._idle: list[Child] = []
        self._busy: list[Child] = []

    def decode(self, job: Job, frame: bytes, path: Path) -> NDArray[np.generic]:
        """Voxels ``(rows, columns)`` of one frame.

        Args:
            job: what is known of the frame; its limits are set here.
            frame: its compressed bytes.
            path: the file, for messages.

        Raises:
            InputError: ``codec``: the frame cannot be decoded, or no decoder is installed.
        """
        millions = job.rows * job.columns // 1_000_000 + 1
        job = job._replace(
            seconds=self._seconds * millions, memory=self._memory + 64 * job.rows * job.columns + 4 * len(frame)
        )
        with self._slots:
            answer = self._ask(job, frame, path)
        if isinstance(answer, str):
            raise _refusal(answer, job, path)
        if len(answer) != job.size:
            raise InputError("the decoded frame has another size than the header says", path=path, code="corrupt")
        return np.frombuffer(answer, f"<{'i' if job.signed else 'u'}{job.bits // 8}").reshape(job.rows, job.columns)

    def _ask(self, job: Job, frame: bytes, path: Path) -> bytearray | str:
        while True:
            child = self._take()
            used = not child.fresh
            try:
                answer = child.decode(job, frame)
            except ChildEndedError as error:
                self._put_back(child, alive=False)
                if used and not error.late:
                    # what an earlier file broke in it is not this file's fault: once more, with a fresh one
                    continue
                what = f"did not end in {job.seconds} s" if error.late else "crashed the decoder"
                raise InputError(f"decoding the pixels {what}", path=path, code="codec") from error
            except BaseException:
                # an interrupted exchange leaves half an answer in the pipe
                child.end()
                self._put_back(child, alive=False)
                raise
            self._put_back(child, alive=True)
            return answer

    def _take(self) -> Child:
        with self._lock:
            child = self._idle.pop() if self._idle else Child(self._decoder)
            self._busy.append(child)
            return child

    def _put_back(self, child: Child, alive: bool) -> None:
        with self._lock:
            if child in self._busy:
                self._busy.remove(child)
            if alive:
                self._idle.append(child)

    def close(self) -> None:
        """End every child."""
        with self._lock:
            children, self._idle = self._idle + self._busy, []
        for child in children:
            child.end()

    def after_fork(self) -> None:
        """Begin anew in a forked process: the children are its parent's."""
        for child in self._idle + self._busy:
            child.abandon()
        self._begin()


_ALL: weakref.WeakSet[Children] = weakref.WeakSet()
_shared: list[Children] = []


def shared_children() -> Children:
    """The children of this process."""
    if not _shared:
        _shared.append(Children())
    return _shared[0]


def _refusal(word: str, job: Job, path: Path) -> InputError:
    from pydicom.uid import UID

    name = UID(job.syntax).name
    if word == MISSING:
        return InputError(
            f"no decoder for {name} is installed", path=path, code="codec", hint=f"pip install {PACKAGES[job.syntax]}"
        )
    if word == MEMORY:
        return InputError(f"decoding the pixels takes over {job.memory} bytes ({name})", path=path, code="codec")
    return InputError(f"pixel data cannot be decoded (transfer syntax {name})", path=path, code="codec")


@atexit.register
def _close_all() -> None:
    for children in list(_ALL):
        children.close()


def _begin_anew() -> None:
    for children in list(_ALL):
        children.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
