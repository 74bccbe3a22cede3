"""Manifests built from every layout that is known, and from trees of DICOM."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from medssl import cli
from medssl.commands.manifest import build_manifest, check_manifest
from medssl.errors import InputError, UsageError
from medssl.identifiers import hashed
from medssl.io.read import read_record
from medssl.io.write import write
from medssl.manifest import Manifest
from medssl.volume import Volume
from tests.io.scans import volume, write_slices

FACTS = ("image", "patient_id", "study_id", "label", "modality", "volume")


def put(path: Path, seed: int = 0, label: bool = False, affine: np.ndarray | None = None) -> Path:
    """A scan of its own, or a label map."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(seed).integers(0, 900, (1, 6, 5, 4)).astype(np.int16)
    write(Volume((data > 400).astype(np.uint8) if label else data, volume().affine if affine is None else affine), path)
    return path


def put_4d(path: Path, volumes: int = 3) -> Path:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(1).integers(0, 900, (6, 5, 4, volumes)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(data, volume().affine), path)
    return path


def describe(folder: Path, **facts: object) -> None:
    (folder / "dataset.json").write_text(json.dumps(facts))


def rows(path: Path, root: Path | None = None) -> list[tuple[str, ...]]:
    return [tuple(getattr(record, name) for name in FACTS) for record in Manifest.read(path, root).records]


def test_nnunet_2_with_test_cases_and_regions(tmp_path):
    for n, (folder, case) in enumerate([("imagesTr", "b_07"), ("imagesTr", "b_08"), ("imagesTs", "b_09")]):
        for channel in (0, 1):
            put(tmp_path / folder / f"{case}_{channel:04d}.nrrd", 10 * n + channel)
    put(tmp_path / "labelsTr" / "b_07.nrrd", label=True)
    put(tmp_path / "imagesTr" / "b_07_0000.nii.gz")
    put(tmp_path / "imagesTr" / "stray.nrrd")
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    describe(tmp_path, channel_names={"0": "T1", "1": "FLAIR"}, labels=labels, numTraining=2, file_ending=".nrrd")
    result = build_manifest(tmp_path, tmp_path / "m.csv")
    assert result["layout"] == "nnunet"
    assert rows(tmp_path / "m.csv") == [
        ("imagesTr/b_07_0000.nrrd", "b_07", "b_07", "labelsTr/b_07.nrrd", "T1", ""),
        ("imagesTr/b_07_0001.nrrd", "b_07", "b_07", "labelsTr/b_07.nrrd", "FLAIR", ""),
        ("imagesTr/b_08_0000.nrrd", "b_08", "b_08", "", "T1", ""),
        ("imagesTr/b_08_0001.nrrd", "b_08", "b_08", "", "FLAIR", ""),
        ("imagesTs/b_09_0000.nrrd", "b_09", "b_09", "", "T1", ""),
        ("imagesTs/b_09_0001.nrrd", "b_09", "b_09", "", "FLAIR", ""),
    ]
    assert Manifest.read(tmp_path / "m.csv").classes == {0: "background", 1: "whole", 2: "core"}
    assert [entry["file"] for entry in result["passed_over"]] == ["imagesTr/b_07_0000.nii.gz", "imagesTr/stray.nrrd"]


def test_nnunet_1_lists_names_without_channels(tmp_path):
    put(tmp_path / "imagesTr" / "la_1_0000.nii.gz")
    put(tmp_path / "labelsTr" / "la_1.nii.gz", label=True)
    training = [{"image": "./imagesTr/la_1.nii.gz", "label": "./labelsTr/la_1.nii.gz"}]
    describe(tmp_path, modality={"0": "CT"}, labels={"0": "background", "1": "liver"}, training=training, test=[])
    assert build_manifest(tmp_path, tmp_path / "m.csv")["layout"] == "nnunet"
    expected = ("imagesTr/la_1_0000.nii.gz", "la_1", "la_1", "labelsTr/la_1.nii.gz", "CT", "")
    assert rows(tmp_path / "m.csv") == [expected]


def test_nnunet_2_may_list_its_files(tmp_path):
    put(tmp_path / "raw" / "x.nii.gz")
    put(tmp_path / "raw" / "y.nii.gz", label=True)
    (tmp_path / "imagesTr").mkdir()
    cases = {"c1": {"images": ["raw/x.nii.gz"], "label": "raw/y.nii.gz"}, "c2": {"images": ["../evil.nii"]}}
    describe(tmp_path, channel_names={"0": "MR"}, labels={"background": 0, "x": 1}, numTraining=1, dataset=cases)
    result = build_manifest(tmp_path, tmp_path / "m.csv")
    assert rows(tmp_path / "m.csv") == [("raw/x.nii.gz", "c1", "c1", "raw/y.nii.gz", "MR", "")]
    assert result["passed_over"] == [{"file": "../evil.nii", "reason": "lies outside the folder"}]


def test_a_decathlon_task_of_several_channels(tmp_path):
    put_4d(tmp_path / "imagesTr" / "BRATS_1.nii.gz")
    put(tmp_path / "labelsTr" / "BRATS_1.nii.gz", label=True)
    training = [{"image": "./imagesTr/BRATS_1.nii.gz", "label": "./labelsTr/BRATS_1.nii.gz"}]
    describe(tmp_path, modality={"0": "FLAIR", "1": "T1w", "2": "T2w"}, labels={"0": "bg", "1": "x"}, training=training)
    with pytest.raises(InputError, match="holds 3 volumes; --each-volume makes a row of each"):
        build_manifest(tmp_path, tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()
    build_manifest(tmp_path, tmp_path / "m.csv", each_volume=True)
    name, label = "imagesTr/BRATS_1.nii.gz", "labelsTr/BRATS_1.nii.gz"
    assert rows(tmp_path / "m.csv") == [
        (name, "BRATS_1", "BRATS_1", label, kind, str(n)) for n, kind in enumerate(["FLAIR", "T1w", "T2w"])
    ]
    manifest = Manifest.read(tmp_path / "m.csv")
    read = [read_record(manifest, record).data.copy() for record in manifest.records]
    assert not np.array_equal(read[0], read[1])
    assert check_manifest(tmp_path / "m.csv")["ok"]


def test_a_5d_file_is_passed_over_since_no_number_chooses_in_it(tmp_path):
    import nibabel

    put(tmp_path / "a.nii")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 2, 3), np.int16), np.eye(4)), tmp_path / "b.nii")
    result = build_manifest(tmp_path, tmp_path / "m.csv", each_volume=True)
    assert result["rows"] == 1
    assert "5D image" in result["passed_over"][0]["reason"]


def test_decathlon_names_never_leave_the_folder(tmp_path):
    describe(tmp_path, labels={"0": "bg"}, training=[{"image": "../../etc/passwd"}])
    with pytest.raises(InputError, match="leaves the data root") as caught:
        build_manifest(tmp_path, tmp_path / "m.csv")
    assert caught.value.code == "manifest-path"


def bids(root: Path) -> None:
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    for n, subject in enumerate(["sub-01", "sub-02"]):
        for m, session in enumerate(["ses-1", "ses-2"]):
            anat = root / subject / session / "anat"
            put(anat / f"{subject}_{session}_T1w.nii.gz", 10 * n + m)
            other = np.diag([1.0, 1.0, 3.0, 1.0])
            put(anat / f"{subject}_{session}_FLAIR.nii.gz", 100 + 10 * n + m, affine=other)
    put_4d(root / "sub-01" / "ses-1" / "func" / "sub-01_ses-1_task-rest_bold.nii.gz")
    derived = root / "derivatives" / "lesions"
    name = "sub-01_ses-1"
    put(derived / "sub-01" / "ses-1" / "anat" / f"{name}_desc-lesion_mask.nii.gz", label=True)
    put(derived / "sub-01" / "ses-1" / "anat" / f"{name}_desc-brain_mask.nii.gz", label=True)
    put(derived / "sub-02" / "anat" / "sub-02_ses-2_space-MNI152_dseg.nii.gz", label=True)
    (derived / "desc-lesion_dseg.tsv").write_text("index\tname\n0\tbackground\n1\tlesion\n")
    put(root / "sourcedata" / "sub-01_T1w.nii.gz", 77)
    people = [
        "participant_id\tage\tsex\tsite\tname\tremark\tgroup",
        "sub-01\t34\tF\tA\tDoe, Jane\tshe said\tpatient",
        "sub-02\tn/a\tM\tB\tRoe, Richard\tnothing\tcontrol",
    ]
    (root / "participants.tsv").write_text("\ufeff" + "\r\n".join(people) + "\r\n", encoding="utf-8")


def test_bids_with_sessions_masks_and_participants(tmp_path):
    bids(tmp_path)
    result = build_manifest(tmp_path, tmp_path / "m.csv")
    assert result["layout"] == "bids"
    records = Manifest.read(tmp_path / "m.csv").records
    assert len(records) == 8
    lesion = "derivatives/lesions/sub-01/ses-1/anat/sub-01_ses-1_desc-lesion_mask.nii.gz"
    labelled = {record.image: record.label for record in records if record.label}
    assert labelled == {"sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz": lesion}
    one = next(record for record in records if record.label)
    assert (one.patient_id, one.study_id, one.modality, one.site) == ("sub-01", "sub-01_ses-1", "T1w", "A")
    assert one.targets == {"age": "34", "sex": "F", "group": "patient"}
    assert next(record for record in records if record.patient_id == "sub-02").targets["age"] == ""
    text = (tmp_path / "m.csv").read_text() + json.dumps(result)
    assert "Doe" not in text
    assert "she said" not in text
    assert result["classes"] == {"0": "background", "1": "lesion"}
    reasons = {Path(entry["file"]).name: entry["reason"] for entry in result["passed_over"]}
    assert "--each-volume" in reasons["sub-01_ses-1_task-rest_bold.nii.gz"]
    assert "only label" in reasons["sub-02_ses-2_space-MNI152_dseg.nii.gz"]
    assert check_manifest(tmp_path / "m.csv")["ok"]


def test_the_layout_may_be_said(tmp_path):
    bids(tmp_path)
    assert build_manifest(tmp_path, tmp_path / "m.csv", layout="loose", each_volume=True)["layout"] == "loose"
    with pytest.raises(InputError, match="has not the layout nnunet"):
        build_manifest(tmp_path, tmp_path / "m.csv", layout="nnunet")
    with pytest.raises(UsageError, match="expected a layout of decathlon"):
        build_manifest(tmp_path, tmp_path / "m.csv", layout="tcia")


def test_a_folder_a_case(tmp_path):
    for n in range(2):
        put(tmp_path / f"case{n}" / "image.mha", n)
        put(tmp_path / f"case{n}" / "label.mha", label=True)
    build_manifest(tmp_path, tmp_path / "m.csv")
    assert [(row[0], row[1], row[3]) for row in rows(tmp_path / "m.csv")] == [
        (f"case{n}/image.mha", f"case{n}", f"case{n}/label.mha") for n in range(2)
    ]


def test_files_that_are_broken_are_passed_over_and_checksums_written(tmp_path):
    put(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").write_bytes(b"<html>")
    result = build_manifest(tmp_path, tmp_path / "m.csv", sha256=True)
    (entry,) = result["passed_over"]
    assert entry["file"] == "b.nii.gz"
    assert "[format]" in entry["reason"]
    (record,) = Manifest.read(tmp_path / "m.csv").records
    assert len(record.sha256) == 64
    assert check_manifest(tmp_path / "m.csv", deep=False)["ok"]
    put(tmp_path / "a.nii.gz", 5)
    assert [problem["code"] for problem in check_manifest(tmp_path / "m.csv")["problems"]] == ["hash"]


def test_echoes_under_one_series_are_rows_that_stay_when_others_come(tmp_path):
    write_slices(tmp_path / "d" / "mr", EchoTime=10)
    first = build_manifest(tmp_path / "d", tmp_path / "one.csv")
    for path in write_slices(tmp_path / "more", EchoTime=20, RescaleIntercept=7).iterdir():
        shutil.move(path, tmp_path / "d" / "mr" / f"e2_{path.name}")
    build_manifest(tmp_path / "d", tmp_path / "two.csv")
    one, two = Manifest.read(tmp_path / "one.csv"), Manifest.read(tmp_path / "two.csv")
    assert (first["rows"], len(two.records)) == (1, 2)
    assert len({record.series_id for record in two.records}) == 2
    assert one.records[0].series_id in {record.series_id for record in two.records}
    assert sorted(int(read_record(two, record).data.min()) for record in two.records) == [0, 7]
    assert int(read_record(one, one.records[0]).data.min()) == 0


def test_a_series_in_several_folders_is_one_row_and_its_copy_another(tmp_path):
    write_slices(tmp_path / "cd" / "DISK1")
    for path in list((tmp_path / "cd" / "DISK1").iterdir())[:2]:
        (tmp_path / "cd" / "DISK2").mkdir(exist_ok=True)
        shutil.move(path, tmp_path / "cd" / "DISK2" / path.name)
    build_manifest(tmp_path / "cd", tmp_path / "m.csv")
    manifest = Manifest.read(tmp_path / "m.csv")
    assert [record.image for record in manifest.records] == ["cd"]
    assert read_record(manifest, manifest.records[0]).shape == (6, 5, 4)
    write_slices(tmp_path / "two" / "a")
    shutil.copytree(tmp_path / "two" / "a", tmp_path / "two" / "b")
    build_manifest(tmp_path / "two", tmp_path / "n.csv")
    assert [row[0] for row in rows(tmp_path / "n.csv")] == ["two/a", "two/b"]
    assert "a voxel copy" in check_manifest(tmp_path / "n.csv")["warnings"][0]


def test_one_broken_series_of_a_folder_is_passed_over_alone(tmp_path):
    for name, uid in (("a", "1.1"), ("b", "1.2")):
        for path in write_slices(tmp_path / name, SeriesInstanceUID=uid).iterdir():
            (tmp_path / "d").mkdir(exist_ok=True)
            shutil.move(path, tmp_path / "d" / f"{name}_{path.name}")
    cut = tmp_path / "d" / "b_IM00.dcm"
    whole = cut.read_bytes()
    cut.write_bytes(whole[: whole.find(b"\x20\x00\x32\x00DS") + 12])
    result = build_manifest(tmp_path / "d", tmp_path / "m.csv")
    assert result["rows"] == 1
    assert len(result["passed_over"]) == 1
    manifest = Manifest.read(tmp_path / "m.csv")
    assert read_record(manifest, manifest.records[0]).shape == (6, 5, 4)


def test_localizers_and_series_with_gaps_are_passed_over(tmp_path):
    write_slices(tmp_path / "d" / "ct")
    write_slices(tmp_path / "d" / "scout", 1, SeriesInstanceUID="1.1")
    write_slices(tmp_path / "d" / "gap", 6, change=lambda n, data: n != 2, SeriesInstanceUID="1.2")
    result = build_manifest(tmp_path / "d", tmp_path / "m.csv")
    assert [row[0] for row in rows(tmp_path / "m.csv")] == ["d/ct"]
    reasons = {entry["file"]: entry["reason"] for entry in result["passed_over"]}
    assert "[not-a-volume]" in reasons["scout"]
    assert "missing slice" in reasons["gap"]


def test_a_structure_set_is_the_label_of_the_series_it_was_made_on(tmp_path):
    from pydicom.dataset import Dataset

    def refer(n: int, data: Dataset) -> None:
        series, study, frame = Dataset(), Dataset(), Dataset()
        series.SeriesInstanceUID = "1.2.3.4"
        study.RTReferencedSeriesSequence = [series]
        frame.RTReferencedStudySequence = [study]
        data.ReferencedFrameOfReferenceSequence = [frame]

    write_slices(tmp_path / "p" / "ct")
    write_slices(tmp_path / "p" / "pt", SeriesInstanceUID="1.2.3.5", Modality="PT")
    kind = "1.2.840.10008.5.1.4.1.1.481.3"
    write_slices(tmp_path / "p" / "rs", 1, change=refer, SeriesInstanceUID="1.9", SOPClassUID=kind, Modality="RTSTRUCT")
    result = build_manifest(tmp_path / "p", tmp_path / "m.csv")
    assert [(row[0], row[3]) for row in rows(tmp_path / "m.csv")] == [("p/ct", "p/rs/IM00.dcm"), ("p/pt", "")]
    assert result["labels"] == 1


def test_names_of_people_stay_out_of_what_is_not_a_path(tmp_path, capfd):
    write_slices(tmp_path / "d" / "ct", InstitutionName="CANARY Hospital", PatientBirthDate="19440606")
    assert cli.run(["manifest", "build", str(tmp_path / "d"), str(tmp_path / "m.csv"), "--json"]) == 0
    told = capfd.readouterr()
    text = told.out + told.err + (tmp_path / "m.csv").read_text() + (tmp_path / "m.yaml").read_text()
    for secret in ("CANARY", "19440606", "1.2.3.4"):
        assert secret not in text
    assert hashed("CANARY-MRN-000451") in (tmp_path / "m.csv").read_text()


def test_a_card_that_its_user_wrote_stays(tmp_path):
    put(tmp_path / "a.nii.gz")
    (tmp_path / "m.yaml").write_text("classes: {1: mine}\n")
    build_manifest(tmp_path, tmp_path / "m.csv")
    assert (tmp_path / "m.yaml").read_text() == "classes: {1: mine}\n"
    result = build_manifest(tmp_path, tmp_path / "n.csv")
    assert f"digest: {result['digest']}" in (tmp_path / "n.yaml").read_text()
    assert result["digest"] == Manifest.read(tmp_path / "n.csv").digest()
