"""Decoders that do what native code does on a hostile stream; each runs in a child process alone."""

from __future__ import annotations

import os
import signal
import sys
import time

from medssl.io.dicom.child import decode_frame
from medssl.io.dicom.job import Job

POISON = b"POISON"
"""Frames that hold this are the ones that harm; all others are decoded."""


def abort(job: Job, frame: bytes) -> bytes:
    """As a failed assertion in C."""
    if POISON in frame:
        os.abort()
    return decode_frame(job, frame)


def segfault(job: Job, frame: bytes) -> bytes:
    """As a read outside of memory."""
    if POISON in frame:
        os.kill(os.getpid(), signal.SIGSEGV)
    return decode_frame(job, frame)


def leave(job: Job, frame: bytes) -> bytes:
    """As a library that calls exit."""
    if POISON in frame:
        os._exit(0)
    return decode_frame(job, frame)


def hang(job: Job, frame: bytes) -> bytes:
    """As an endless loop that holds the interpreter's lock."""
    if POISON in frame:
        while True:
            time.sleep(60)
    return decode_frame(job, frame)


def flood(job: Job, frame: bytes) -> bytes:
    """As a frame that unpacks into more memory than there is."""
    if POISON in frame:
        kept = []
        while True:
            kept.append(bytearray(1 << 26))
    return decode_frame(job, frame)


def chatter(job: Job, frame: bytes) -> bytes:
    """As a library that prints what it reads, private text too."""
    os.write(1, b"CANARY Zebedee\n" * 100)
    print("CANARY Zebedee", file=sys.stderr, flush=True)
    return decode_frame(job, frame)


def short(job: Job, frame: bytes) -> bytes:
    """As a decoder that stops early without a word."""
    return decode_frame(job, frame)[:-2]


def long(job: Job, frame: bytes) -> bytes:
    """As a decoder that runs on beyond the frame."""
    return decode_frame(job, frame) + b"\0\0"


def wordy(job: Job, frame: bytes) -> bytes:
    """As a decoder whose error repeats the file's private text."""
    raise RuntimeError("CANARY Zebedee " * 100)
