"""Manifests made from folders, checked in one run, and split by patient."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from medssl.commands.manifest import build_manifest, check_manifest, split_manifest
from medssl.errors import InputError, UsageError
from medssl.identifiers import hashed
from medssl.io.manifests.split import assign_splits
from medssl.io.read import read_record
from medssl.io.write import write
from medssl.manifest import Manifest, Record
from medssl.volume import Volume, reorient
from tests.io.scans import oblique, volume, write_slices


def put(path, offset=0, label=False):
    """A scan, or its label map."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scan = volume()
    data = (scan.data > 60).astype(np.uint8) if label else scan.data + np.int16(offset)
    write(Volume(data, scan.affine), path)
    return path


def rows(path):
    return [(record.image, record.patient_id, record.label) for record in Manifest.read(path).records]


def test_images_and_labels_with_equal_names(tmp_path):
    for n in range(2):
        put(tmp_path / "d" / "images" / f"case_{n}.nii.gz", n)
    put(tmp_path / "d" / "labels" / "case_0.nii.gz", label=True)
    put(tmp_path / "d" / "labels" / "gone.nii.gz", label=True)
    put(tmp_path / "d" / "other" / "case_0.nii.gz", label=True)
    result = build_manifest(tmp_path / "d", tmp_path / "m.csv")
    assert rows(tmp_path / "m.csv") == [
        ("d/images/case_0.nii.gz", "case_0", "d/labels/case_0.nii.gz"),
        ("d/images/case_1.nii.gz", "case_1", ""),
    ]
    assert (result["rows"], result["labels"], result["root"]) == (2, 1, str(tmp_path))
    assert [entry["file"] for entry in result["passed_over"]] == ["labels/gone.nii.gz", "other"]


def test_a_decathlon_folder(tmp_path):
    put(tmp_path / "d" / "imagesTr" / "la_1.nii.gz")
    put(tmp_path / "d" / "labelsTr" / "la_1.nii.gz", label=True)
    put(tmp_path / "d" / "imagesTs" / "la_2.nii.gz")
    training = [{"image": "./imagesTr/la_1.nii.gz", "label": "./labelsTr/la_1.nii.gz"}]
    described = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "left atrium"}}
    described |= {"training": training, "test": ["./imagesTs/la_2.nii.gz", "./imagesTs/gone.nii.gz"]}
    (tmp_path / "d" / "dataset.json").write_text(json.dumps(described))
    out = tmp_path / "elsewhere"
    out.mkdir()
    result = build_manifest(tmp_path / "d", out / "m.csv")
    assert rows_with_root(out / "m.csv", tmp_path / "d") == [
        ("imagesTr/la_1.nii.gz", "la_1", "labelsTr/la_1.nii.gz"),
        ("imagesTs/la_2.nii.gz", "la_2", ""),
    ]
    assert result["root"] == str(tmp_path / "d")
    assert result["passed_over"] == [{"file": "imagesTs/gone.nii.gz", "reason": "is missing"}]
    assert Manifest.read(out / "m.csv").classes == {0: "background", 1: "left atrium"}


def rows_with_root(path, root):
    return [(record.image, record.patient_id, record.label) for record in Manifest.read(path, root).records]


def test_nnunet_channels_share_a_study(tmp_path):
    for channel in (0, 1):
        put(tmp_path / "imagesTr" / f"b_07_{channel:04d}.nii.gz", channel)
    put(tmp_path / "labelsTr" / "b_07.nii.gz", label=True)
    described = {"channel_names": {"0": "T1", "1": "FLAIR"}, "labels": {"background": 0, "tumour": 1}, "numTraining": 1}
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    build_manifest(tmp_path, tmp_path / "m.csv")
    records = Manifest.read(tmp_path / "m.csv").records
    assert [(r.patient_id, r.study_id, r.modality, r.label) for r in records] == [
        ("b_07", "b_07", "T1", "labelsTr/b_07.nii.gz"),
        ("b_07", "b_07", "FLAIR", "labelsTr/b_07.nii.gz"),
    ]


def test_loose_files_and_dicom_series(tmp_path):
    put(tmp_path / "brain1_image.nrrd")
    put(tmp_path / "brain1_label.nrrd", label=True)
    put(tmp_path / "sub-07" / "sub-07_T1w.nii.gz", 5)
    write_slices(tmp_path / "ct")
    write_slices(tmp_path / "ct" / "b", SeriesInstanceUID="9.9", RescaleIntercept=7)
    write_slices(tmp_path / "bad", ImagePositionPatient=None)
    result = build_manifest(tmp_path, tmp_path / "m.csv")
    patient = hashed("CANARY-MRN-000451")
    assert rows(tmp_path / "m.csv") == [
        ("brain1_image.nrrd", "brain1", "brain1_label.nrrd"),
        ("sub-07/sub-07_T1w.nii.gz", "sub-07", ""),
        ("ct", patient, ""),
        ("ct/b", patient, ""),
    ]
    assert [entry["file"] for entry in result["passed_over"]] == ["bad/IM00.dcm"]
    assert "[geometry] (with 3 more files of its series)" in result["passed_over"][0]["reason"]
    assert "CANARY" not in (tmp_path / "m.csv").read_text() + json.dumps(result)
    manifest = Manifest.read(tmp_path / "m.csv")
    assert [int(read_record(manifest, record).data.min()) for record in manifest.records[2:]] == [0, 7]


def test_a_series_is_chosen_by_its_hash(tmp_path):
    write_slices(tmp_path / "ct")
    for path in write_slices(tmp_path / "more", SeriesInstanceUID="9.9", RescaleIntercept=7).iterdir():
        path.rename(tmp_path / "ct" / f"more_{path.name}")
    shutil.rmtree(tmp_path / "more")
    build_manifest(tmp_path, tmp_path / "m.csv")
    manifest = Manifest.read(tmp_path / "m.csv")
    assert [record.image for record in manifest.records] == ["ct", "ct"]
    assert [int(read_record(manifest, record).data.min()) for record in manifest.records] == [0, 7]


def test_an_empty_folder_is_refused_and_nothing_written(tmp_path):
    (tmp_path / "d").mkdir()
    with pytest.raises(InputError, match="no scans"):
        build_manifest(tmp_path / "d", tmp_path / "m.csv")
    with pytest.raises(InputError, match="does not exist"):
        build_manifest(tmp_path / "no", tmp_path / "m.csv")
    assert [entry.name for entry in tmp_path.iterdir()] == ["d"]


def test_all_problems_come_in_one_run(tmp_path):
    put(tmp_path / "a.nii.gz")
    shutil.copy(tmp_path / "a.nii.gz", tmp_path / "copy.nii.gz")
    put(tmp_path / "b.nii.gz", label=True)
    text = """image,patient_id,split,sha256
a.nii.gz,p1,train,
copy.nii.gz,p2,val,
b.nii.gz,P1 ,val,
b.nii.gz,p3,train,
gone.nii.gz,p4,train,
../x.nii.gz,p5,train,
short
b.nii.gz,p1,test,0000
"""
    (tmp_path / "m.csv").write_text(text)
    result = check_manifest(tmp_path / "m.csv")
    expected = [
        (3, "manifest-check", "a byte copy of a.nii.gz on line 2, across the splits train and val"),
        (5, "manifest-check", "duplicate of line 4"),
        (6, "manifest-path", "gone.nii.gz is missing"),
        (7, "manifest-path", "leaves the data root"),
        (8, "manifest-format", "expected 4 fields, got 1"),
        (9, "hash", "is not the file that sha256 names"),
        (9, "manifest-check", "duplicate of line 4"),
        (9, "manifest-leak", "in split test here, in split train on line 2"),
    ]
    errors = [problem for problem in result["problems"] if problem["severity"] == "error"]
    assert [(problem["line"], problem["code"]) for problem in errors] == [(line, code) for line, code, _ in expected]
    for problem, (_, _, part) in zip(errors, expected, strict=True):
        assert part in problem["reason"]
    assert result["lines"][2] == f"{tmp_path}/m.csv:6: gone.nii.gz is missing [manifest-path]"
    assert len(result["warnings"]) == 1
    assert "differs in case" in result["warnings"][0]
    assert result["ok"] is False
    json.dumps(result)


def test_deep_finds_copies_in_other_clothes_and_labels_that_do_not_fit(tmp_path):
    scan = volume()
    put(tmp_path / "a.nii.gz")
    write(reorient(Volume(scan.data.astype(np.float32), scan.affine), "LPI"), tmp_path / "b.mha")
    write(Volume(scan.data % 7, scan.affine), tmp_path / "c.nii.gz")
    put(tmp_path / "good.nii.gz", label=True)
    moved = oblique()
    moved[1, 3] += 3
    write(Volume((scan.data > 60).astype(np.uint8) * 9, moved), tmp_path / "moved.nii.gz")
    write(Volume((scan.data > 60).astype(np.uint8) * 9, scan.affine), tmp_path / "nine.nii.gz")
    (tmp_path / "bad.nii.gz").write_bytes(b"")
    (tmp_path / "m.yaml").write_text("classes:\n  1: one\n")
    (tmp_path / "m.csv").write_text(
        "image,patient_id,label\na.nii.gz,p1,good.nii.gz\nb.mha,p2,moved.nii.gz\nc.nii.gz,p3,nine.nii.gz\nbad.nii.gz,p4,\n"
    )
    assert check_manifest(tmp_path / "m.csv", deep=False)["ok"]
    lines = check_manifest(tmp_path / "m.csv")["lines"]
    assert [line.split("m.csv:")[1][0] for line in lines] == ["3", "3", "4", "5"]
    assert "affine differs from its image's by 3 mm" in lines[0]
    assert "a voxel copy of a.nii.gz on line 2" in lines[1]
    assert "no declared class: 9" in lines[2]
    assert "bad.nii.gz: " in lines[3]


def patients(count, offset=0):
    return tuple(Record(f"{n}.nii", f"p{n}") for n in range(offset, offset + count))


def test_splits_are_by_patient_seeded_and_stable(tmp_path):
    shares = {"train": 0.7, "val": 0.1, "test": 0.2}
    small = Manifest(tmp_path / "m.csv", tmp_path, patients(200))
    large = Manifest(tmp_path / "m.csv", tmp_path, patients(300))
    one = assign_splits(small, shares, 3)
    assert one == assign_splits(small, shares, 3)
    assert one != assign_splits(small, shares, 4)
    more = {record.patient_id: record.split for record in assign_splits(large, shares, 3).records}
    assert all(more[record.patient_id] == record.split for record in one.records)
    counts = {name: sum(record.split == name for record in one.records) / 200 for name in shares}
    # three standard deviations of a binomial share
    assert all(abs(counts[name] - share) < 3 * np.sqrt(share * (1 - share) / 200) for name, share in shares.items())


def test_rows_of_one_patient_stay_together(tmp_path):
    records = tuple(Record(f"{n}.nii", name) for n, name in enumerate(["p-1 ", "P-1"] * 3 + ["a", "b", "c", "d"]))
    done = assign_splits(Manifest(tmp_path / "m.csv", tmp_path, records), {"train": 0.5, "val": 0.5}, 1)
    assert len({record.split for record in done.records[:6]}) == 1


def test_too_few_patients_are_refused_with_a_seed_that_works(tmp_path):
    three = Manifest(tmp_path / "m.csv", tmp_path, patients(3))
    with pytest.raises(InputError, match="3 patients cannot fill 4 splits"):
        assign_splits(three, {"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25})
    shares = {"train": 0.8, "test": 0.2}
    seed = next(s for s in range(100) if not _fills(three, shares, s))
    with pytest.raises(InputError, match=r"stays empty.*seed \d+ fills every split") as caught:
        assign_splits(three, shares, seed)
    assert caught.value.code == "too-few"
    assert _fills(three, shares, int(caught.value.hint.split()[1]))


def _fills(manifest, shares, seed):
    try:
        assign_splits(manifest, shares, seed)
    except InputError:
        return False
    return True


@pytest.mark.parametrize("shares", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}, {"": 1.0}])
def test_shares_that_are_none(tmp_path, shares):
    with pytest.raises(UsageError, match="share"):
        assign_splits(Manifest(tmp_path / "m.csv", tmp_path, patients(3)), shares)


def test_the_split_manifest_keeps_rows_and_classes(tmp_path):
    Manifest(tmp_path / "m.csv", tmp_path, patients(40)).write(tmp_path / "m.csv")
    (tmp_path / "m.yaml").write_text("classes:\n  1: one\n")
    result = split_manifest(tmp_path / "m.csv", tmp_path / "s.csv", {"train": 0.5, "test": 0.5}, seed=1)
    again = Manifest.read(tmp_path / "s.csv")
    assert sum(part["rows"] for part in result["splits"].values()) == len(again.records) == 40
    assert again.classes == {1: "one"}
