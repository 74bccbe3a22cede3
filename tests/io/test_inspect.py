"""What inspect tells of folders: every series, whatever lies beside it, and what is broken."""

from __future__ import annotations

import json
import os
import re
import shutil

import numpy as np
import pytest

import medssl
from medssl import cli
from medssl.errors import InputError
from medssl.io.read import read, read_record
from medssl.io.write import write
from medssl.manifest import Manifest, Record
from medssl.volume import Volume
from tests.io.scans import volume, write_slices


def series(folder, uid, count=4, **tags):
    return write_slices(folder, count, SeriesInstanceUID=uid, **tags)


def by_folder(result):
    return {os.path.basename(entry.get("folder", entry["file"])): entry for entry in result["volumes"]}


def test_one_broken_file_hides_no_other_series(tmp_path):
    for name, uid in (("a", "1.1"), ("b", "1.2"), ("c", "1.3")):
        series(tmp_path / name, uid)
    cut = tmp_path / "b" / "IM00.dcm"
    cut.write_bytes(cut.read_bytes()[:-30])
    result = medssl.inspect(tmp_path)
    told = by_folder(result)
    assert sorted(told) == ["a", "b", "c"]
    assert told["a"]["problems"] == told["c"]["problems"] == []
    assert told["a"]["range"] == told["c"]["range"] == [0.0, 119.0]
    assert told["b"]["shape"] == [6, 5, 4]
    assert [problem["code"] for problem in told["b"]["problems"]] == ["truncated"]
    assert result["problems"][0]["file"].endswith("b/IM00.dcm")


@pytest.mark.parametrize("keep", [300, 500])
def test_a_header_cut_short_spoils_its_own_series_only(tmp_path, keep):
    for name, uid in (("a", "1.1"), ("b", "1.2")):
        for path in series(tmp_path / name, uid).iterdir():
            path.rename(tmp_path / f"{name}_{path.name}")
        (tmp_path / name).rmdir()
    cut = tmp_path / "b_IM00.dcm"
    whole = cut.read_bytes()
    at = whole.find(b"\x20\x00\x0e\x00UI")
    cut.write_bytes(whole[: at + keep - 250])
    result = medssl.inspect(tmp_path)
    good = [entry for entry in result["volumes"] if not entry["problems"]]
    assert len(good) == 1
    assert good[0]["slices"] == 4
    bad = [entry for entry in result["volumes"] if entry["problems"]]
    assert len(bad) == 1
    assert {problem["code"] for problem in bad[0]["problems"]} <= {"truncated", "geometry", "corrupt", "not-a-volume"}
    assert bad[0]["problems"][0]["file"].endswith("b_IM00.dcm")


def test_a_problem_of_all_slices_is_told_once(tmp_path):
    series(tmp_path / "a", "1.1", ImagePositionPatient=None)
    series(tmp_path / "b", "1.2")
    result = medssl.inspect(tmp_path)
    assert len(result["volumes"]) == 2
    (problem,) = result["problems"]
    assert problem["code"] == "geometry"
    assert "3 more files" in problem["reason"]


def test_what_lies_beside_the_scans_is_told_as_what_it_is(tmp_path):
    series(tmp_path / "ct", "1.1")
    for kind, uid in (("SR", "1.2.840.10008.5.1.4.1.1.88.11"), ("RTSTRUCT", "1.2.840.10008.5.1.4.1.1.481.3")):
        series(tmp_path / kind, f"2.{len(kind)}", 1, SOPClassUID=uid, Modality=kind)
    write(volume(), tmp_path / "x.nii.gz")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "README").write_text("hello")
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (tmp_path / "ct" / "Thumbs.db").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "gone").symlink_to("nowhere")
    result = medssl.inspect(tmp_path)
    assert [entry["format"] for entry in result["volumes"]] == ["nifti.gz", "dicom"]
    assert result["problems"] == []
    objects = [entry["kind"] for entry in result["objects"]]
    assert len(objects) == 2
    assert objects[0].startswith("an RT structure set (RTSTRUCT)")
    assert objects[1] == "a structured report (SR)"
    kinds = {os.path.basename(entry["file"]): entry["kind"] for entry in result["passed_over"]}
    assert kinds == {
        ".DS_Store": "a hidden file",
        "README": "plain text",
        "Thumbs.db": "a .db file",
        "gone": "a link that leads nowhere",
        "loop": "a link to a folder, which is not followed",
        "notes.txt": "a .txt file",
        "pipe": "a pipe (FIFO)",
        "self": "a link that leads nowhere",
    }
    assert result == medssl.inspect(tmp_path)


def test_pipes_and_links_that_claim_to_be_scans_are_problems(tmp_path):
    write(volume(), tmp_path / "a.nii")
    os.mkfifo(tmp_path / "b.nii")
    (tmp_path / "c.nii").symlink_to("nowhere.nii")
    (tmp_path / "d.nii").symlink_to("d.nii")
    (tmp_path / "e.dcm").write_bytes(b"")
    result = medssl.inspect(tmp_path)
    told = {os.path.basename(entry["file"]): [p["code"] for p in entry["problems"]] for entry in result["volumes"]}
    assert told == {
        "a.nii": [],
        "b.nii": ["not-regular"],
        "c.nii": ["missing"],
        "d.nii": ["missing"],
        "e.dcm": ["truncated"],
    }


def test_headers_alone_tell_the_same_geometry(tmp_path):
    series(tmp_path / "ct", "1.1")
    for suffix in (".nii", ".nii.gz", ".nrrd", ".mha", ".npz"):
        write(volume(), tmp_path / f"a{suffix}")
    whole, quick = medssl.inspect(tmp_path), medssl.inspect(tmp_path, headers=True)
    for one, two in zip(whole["volumes"], quick["volumes"], strict=True):
        for name in ("file", "shape", "channels", "spacing_mm", "orientation", "affine", "flags", "problems"):
            assert one[name] == two[name]
        assert "range" not in two
    # broken voxels stay unseen, as the option says
    noise = np.random.default_rng(0).integers(0, 999, (1, 60, 50, 40)).astype(np.int16)
    cut = tmp_path / "a.nii.gz"
    write(Volume(noise, np.eye(4)), cut)
    cut.write_bytes(cut.read_bytes()[:-6])
    assert medssl.inspect(tmp_path, headers=True)["problems"] == []
    assert [problem["code"] for problem in medssl.inspect(tmp_path)["problems"]] == ["truncated"]


def test_a_4d_file_is_told_with_how_many_volumes_it_holds(tmp_path):
    import nibabel

    nibabel.save(nibabel.Nifti1Image(np.arange(600, dtype=np.int16).reshape(6, 5, 4, 5), np.eye(4)), tmp_path / "f.nii")
    (entry,) = medssl.inspect(tmp_path / "f.nii")["volumes"]
    assert (entry["shape"], entry["volumes"], entry["volume"], entry["problems"]) == ([6, 5, 4], 5, 0, [])


def test_workers_change_nothing_and_progress_counts_up(tmp_path):
    for n in range(7):
        write(Volume(volume().data + np.int16(n), np.eye(4)), tmp_path / f"{n}.nii.gz")
    told = []
    one = medssl.inspect(tmp_path, workers=1)
    assert medssl.inspect(tmp_path, workers=5, progress=lambda *said: told.append(said)) == one
    assert [said for said in told if said[2] == "reading volumes"] == [(n, 7, "reading volumes") for n in range(1, 8)]


def test_several_volumes_under_one_uid_have_keys_of_their_own_that_stay(tmp_path):
    first = series(tmp_path / "mr", "1.1", EchoTime=10)
    alone = medssl.inspect(first)["volumes"][0]["series_id"]
    for path in series(tmp_path / "echo", "1.1", EchoTime=20, RescaleIntercept=7).iterdir():
        shutil.move(path, first / f"second_{path.name}")
    keys = [entry["series_id"] for entry in medssl.inspect(first)["volumes"]]
    assert alone in keys
    assert len(set(keys)) == 2
    assert all(re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{8}", key) for key in keys)
    lowest = {key: int(read(first, series=key).data.min()) for key in keys}
    assert lowest == {alone: 0, next(key for key in keys if key != alone): 7}
    with pytest.raises(InputError, match="2 of 2 volumes match"):
        read(first, series=alone.partition("-")[0])


def test_headers_that_are_kept_are_read_again_when_a_file_changes(tmp_path):
    folder = series(tmp_path / "ct", "1.1")
    for path in series(tmp_path / "more", "1.2", RescaleIntercept=7).iterdir():
        shutil.move(path, folder / f"more_{path.name}")
    keys = [entry["series_id"] for entry in medssl.inspect(folder)["volumes"]]
    manifest = Manifest(tmp_path / "m.csv", tmp_path, tuple(Record("ct", "p", series_id=key) for key in keys))
    assert [int(read_record(manifest, record).data.min()) for record in manifest.records] == [0, 7]
    for path in series(tmp_path / "new", "1.2", RescaleIntercept=9).iterdir():
        (folder / f"more_{path.name}").write_bytes(path.read_bytes())
    assert [int(read_record(manifest, record).data.min()) for record in manifest.records] == [0, 9]
    # nobody can say whose slice an empty file was: no volume of its folder is given
    (folder / "more_IM07.dcm").write_bytes(b"")
    for record in manifest.records:
        with pytest.raises(InputError, match="the file is empty"):
            read_record(manifest, record)


def test_nothing_private_is_told(tmp_path, capfd):
    series(tmp_path / "ct", "1.1", PatientBirthDate="19440606", InstitutionName="CANARY Hospital")
    cut = tmp_path / "ct" / "IM00.dcm"
    cut.write_bytes(cut.read_bytes()[:-30])
    assert cli.run(["inspect", str(tmp_path / "ct"), "--json"]) == 3
    told = capfd.readouterr()
    assert json.loads(told.out)["problems"][0]["code"] == "truncated"
    assert not re.search("CANARY|19440606|451", told.out + told.err)


def test_a_folder_without_scans_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="no scans in the folder"):
        medssl.inspect(tmp_path)
