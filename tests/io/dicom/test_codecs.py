"""Promise P55: whatever a decoder does, it is the refusal of that file, and nothing is left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.dicom.codecs import Children
from medssl.io.dicom.frames import find_frames
from medssl.io.dicom.pixels import read_pixels
from medssl.io.dicom.series import stack
from tests.io import stub_decoders
from tests.io.scans import write_slices
from tests.io.syntaxes import compress

JOB = stub_decoders.Job("1.2.840.10008.1.2.5", 4, 4, 16, 16, 0)
FILE = Path("IM07.dcm")
RLE = "1.2.840.10008.1.2.5"


@pytest.fixture
def children():
    """Makes children with a stub decoder, and ends them."""
    made = []

    def make(name: str, **limits: int) -> Children:
        made.append(Children(f"tests.io.stub_decoders:{name}", **limits))
        return made[-1]

    yield make
    for one in made:
        one.close()


def wait_for(condition: Callable[[], bool]) -> bool:
    """Whether something comes true within ten seconds."""
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.05)
    return False


def gone(process: int) -> bool:
    """Whether a process ends; one that nobody has asked for its end yet has ended too."""

    def ended() -> bool:
        try:
            return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    return wait_for(ended)


def number(voxels: np.ndarray) -> int:
    """The process that ``own_number`` tells."""
    return int(voxels.reshape(-1)[0]) | int(voxels.reshape(-1)[1]) << 16


def test_p55_a_crash_is_that_files_refusal_and_the_next_has_a_fresh_child(children):
    own = children("aborts")
    with pytest.raises(InputError, match=r"^IM07\.dcm: decoding the pixels crashed the decoder \[codec\]"):
        own.decode(JOB, stub_decoders.MARK, FILE)
    assert not own.decode(JOB, b"good", FILE).any()


def test_p55_a_crash_in_a_series_names_the_file(tmp_path, children):
    folder = compress(write_slices(tmp_path / "s", PixelRepresentation=0), RLE)
    planes = stack(sorted(find_frames(folder).frames, key=lambda frame: frame.position[2]), folder)
    assert read_pixels(planes, folder, children("zeros")).shape == (1, 6, 5, 4)
    with pytest.raises(InputError, match=r"IM00\.dcm: decoding the pixels crashed the decoder \[codec\]"):
        read_pixels(planes, folder, children("always_aborts"))


def test_p55_what_one_file_broke_is_not_the_next_ones_fault(children):
    own = children("aborts_when_used")
    for _ in range(3):
        assert not own.decode(JOB, b"good", FILE).any()


@pytest.mark.parametrize("name", ["hangs", "sleeps"])
def test_p55_a_hang_ends_with_its_time(children, name):
    own = children(name, seconds=1)
    with pytest.raises(InputError, match=r"did not end in 1 s \[codec\]"):
        own.decode(JOB, stub_decoders.MARK, FILE)


def test_p55_memory_is_bounded(children):
    with pytest.raises(InputError, match=r"decoding the pixels takes over \d+ bytes .*\[codec\]"):
        children("eats", memory=1 << 28).decode(JOB, b"", FILE)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lies", "another size than the header says"),
        ("floods", "crashed the decoder"),
        ("raises", r"cannot be decoded \(transfer syntax RLE Lossless\)"),
    ],
)
def test_p55_a_wrong_answer_is_refused_without_its_words(children, name, message):
    with pytest.raises(InputError, match=message) as caught:
        children(name).decode(JOB, b"", FILE)
    assert "CANARY" not in str(caught.value)


def test_what_native_code_prints_does_not_reach_the_answer(children):
    assert not children("prints").decode(JOB, b"", FILE).any()


def test_a_child_serves_many_frames(children):
    own = children("own_number")
    assert len({number(own.decode(JOB, b"", FILE)) for _ in range(5)}) == 1


def test_threads_share_the_children(children):
    own, found = children("own_number"), []
    threads = [threading.Thread(target=lambda: found.append(number(own.decode(JOB, b"", FILE)))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert len(set(found)) <= len(os.sched_getaffinity(0))


def _in_a_forked_process(own: Children, answers: multiprocessing.SimpleQueue) -> None:
    answers.put(number(own.decode(JOB, b"", FILE)))
    own.close()


def test_a_forked_daemon_has_children_of_its_own(children):
    own = children("own_number")
    before = number(own.decode(JOB, b"", FILE))
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=_in_a_forked_process, args=(own, answers), daemon=True)
    process.start()
    process.join()
    assert answers.get() != before
    assert number(own.decode(JOB, b"", FILE)) == before


_PARENT = """
import sys
from medssl.io.dicom.job import Job
from medssl.io.dicom.codecs import Children
own = Children("tests.io.stub_decoders:own_number")
voxels = own.decode(Job("1.2.840.10008.1.2.5", 4, 4, 16, 16, 0), b"", "x").reshape(-1)
print(int(voxels[0]) | int(voxels[1]) << 16, flush=True)
"""


def start_parent(code: str) -> tuple[subprocess.Popen[str], int]:
    """A process with a decoding child, and the child's number."""
    root = Path(__file__).parents[3]
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def test_p55_no_child_outlives_its_parent():
    parent, child = start_parent(_PARENT)
    assert parent.wait() == 0
    assert gone(child)


_BUSY = """
import threading, time
from medssl.io.dicom.job import Job
from medssl.io.dicom.codecs import Children
own = Children("tests.io.stub_decoders:hangs")
job = Job("1.2.840.10008.1.2.5", 4, 4, 16, 16, 0)
threading.Thread(target=own.decode, args=(job, b"HURT", "x")).start()
while not own._busy:
    time.sleep(0.01)
print(own._busy[0]._process.pid, flush=True)
"""


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in native code that holds the lock"])
def test_p55_no_child_outlives_a_killed_parent(busy):
    code = _BUSY if busy else _PARENT + "import time; time.sleep(600)"
    parent, child = start_parent(code)
    if busy:
        wait_for(lambda: "nanosleep" in Path(f"/proc/{child}/wchan").read_text(encoding="ascii"))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert gone(child)


def test_the_child_imports_no_torch_and_keeps_off_the_working_folder(tmp_path):
    (tmp_path / "numpy.py").write_text("raise SystemExit('a scan folder is no place for code')")
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if p]\n"
        "from medssl.io.dicom.child import Job\n"
        "from medssl.io.dicom.codecs import Children\n"
        "job = Job('1.2.840.10008.1.2.5', 4, 4, 16, 16, 0)\n"
        "assert not Children('tests.io.stub_decoders:zeros').decode(job, b'', 'x').any()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, check=True)
    names = "import sys, medssl.io.dicom.child; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", names], text=True).strip() == "False"


@pytest.mark.parametrize(
    ("syntax", "blocked", "line"),
    [
        ("1.2.840.10008.1.2.4.70", ["gdcm"], "pip install python-gdcm"),
        ("1.2.840.10008.1.2.4.80", ["gdcm", "jpeg_ls"], "pip install pyjpegls"),
        ("1.2.840.10008.1.2.4.90", ["gdcm", "openjpeg"], "pip install pylibjpeg-openjpeg"),
        ("1.2.840.10008.1.2.4.202", ["gdcm", "openjpeg"], "pip install pylibjpeg-openjpeg"),
    ],
)
def test_a_missing_codec_is_one_pip_line(syntax, blocked, line):
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({[*blocked, 'libjpeg']!r}))\n"
        "from pathlib import Path\n"
        "from medssl.io.dicom import child as dicom_child, codecs as dicom_codecs\n"
        f"job = dicom_child.Job({syntax!r}, 4, 4, 16, 16, 0)\n"
        "status, word = dicom_child._answer(dicom_child.decode_frame, job, b'')\n"
        "print(dicom_codecs._refusal(word.decode(), job, Path('a.dcm')))\n"
    )
    out = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert line in out
    assert "no decoder for" in out
