"""P55: what native code does with hostile pixels stays in a child process and becomes that file's refusal."""

from __future__ import annotations

import os

import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGLSLossless

from medssl.io.dicom import pixels as dicom_pixels
from medssl.io.dicom.codecs import Children
from medssl.io.read import read
from tests.promises.bad_decoders import POISON
from tests.promises.series import assert_same, names_in, refusal, save, slices, truth, voxels

WIDE = voxels((36, 33, 3), "uint16")
VICTIM = "IM07.dcm"
"""The second slice, in which the poison stands."""


def poisoned(folder):
    """A compressed series; the second slice's stream has harmless bytes that the decoders under test act upon."""
    save(slices(WIDE), folder)
    for path in folder.iterdir():
        one = dcmread(path)
        one.compress(JPEGLSLossless, generate_instance_uid=False)
        if path.name == VICTIM:
            frame = next(generate_frames(one.PixelData, number_of_frames=1))
            # a JPEG comment right after the start of the image
            comment = b"\xff\xfe" + (2 + len(POISON)).to_bytes(2, "big") + POISON
            one.PixelData = encapsulate([frame[:2] + comment + frame[2:]])
        one.save_as(path)
    return folder


@pytest.fixture
def decode_with(monkeypatch):
    """Let compressed pixels be decoded by a function of ``bad_decoders``; its children are ended afterwards."""
    made = []

    def begin(name, **limits):
        children = Children(f"tests.promises.bad_decoders:{name}", **limits)
        made.append(children)
        monkeypatch.setattr(dicom_pixels, "shared_children", lambda: children)
        return children

    yield begin
    for children in made:
        children.close()


def processes():
    """Child processes of this one, ended ones that nobody has waited for too."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return set(file.read().split())


@pytest.mark.parametrize("name", ["abort", "segfault", "leave"])
def test_p55_a_crash_is_the_refusal_of_its_file(tmp_path, decode_with, name):
    folder = poisoned(tmp_path / "s")
    decode_with(name)
    error = refusal(folder)
    assert error.code == "codec"
    assert names_in(error, VICTIM)


def test_p55_after_a_crash_the_next_scan_is_read(tmp_path, decode_with):
    poisoned(tmp_path / "bad")
    good = poisoned(tmp_path / "good")
    clean = dcmread(good / VICTIM)
    clean.PixelData = encapsulate(
        [next(generate_frames(clean.PixelData, number_of_frames=1)).replace(POISON, b"harmle")]
    )
    clean.save_as(good / VICTIM)
    decode_with("abort")
    for _ in range(2):
        assert refusal(tmp_path / "bad").code == "codec"
        assert_same(read(good), WIDE, truth())


def test_p55_a_hang_ends(tmp_path, decode_with):
    folder = poisoned(tmp_path / "s")
    decode_with("hang", seconds=1)
    error = refusal(folder)
    assert error.code == "codec"
    assert names_in(error, VICTIM)


def test_p55_a_flood_of_memory_ends(tmp_path, decode_with):
    folder = poisoned(tmp_path / "s")
    decode_with("flood", memory=1 << 28)
    error = refusal(folder)
    assert error.code in ("codec", "memory")
    assert names_in(error, VICTIM)


def test_p55_what_a_library_prints_is_lost(tmp_path, decode_with, capfd):
    folder = poisoned(tmp_path / "s")
    decode_with("chatter")
    assert_same(read(folder), WIDE, truth())
    said = capfd.readouterr()
    assert said.out + said.err == ""


@pytest.mark.parametrize("name", ["short", "long"])
def test_p55_another_number_of_voxels_is_refused(tmp_path, decode_with, name):
    folder = poisoned(tmp_path / "s")
    decode_with(name)
    error = refusal(folder)
    assert error.code in ("codec", "corrupt")
    assert names_in(error, ".dcm")


def test_p55_a_decoders_own_words_are_not_repeated(tmp_path, decode_with):
    folder = poisoned(tmp_path / "s")
    decode_with("wordy")
    error = refusal(folder)
    assert error.code == "codec"
    assert names_in(error, ".dcm")


def test_p55_no_child_is_left_behind(tmp_path, decode_with):
    before = processes()
    folder = poisoned(tmp_path / "s")
    children = decode_with("abort")
    refusal(folder)
    children.close()
    assert processes() <= before


def test_p55_plain_pixels_start_no_child(tmp_path, decode_with):
    before = processes()
    decode_with("abort")
    assert_same(read(save(slices(), tmp_path / "s")), voxels(), truth())
    assert processes() <= before
