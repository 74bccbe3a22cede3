"""Every option of ``medssl convert``, from the command line and from Python, with right and wrong values."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medssl.cli import run
from medssl.errors import InputError, MedsslError, UsageError
from medssl.identifiers import hashed
from medssl.io.read import read, read_all, read_label
from medssl.io.write import write
from medssl.volume import Volume
from tests.io.label_files import write_rtstruct, write_seg
from tests.io.labels.test_rtstruct import box
from tests.io.scans import marked, oblique, volume, write_slices


@pytest.fixture
def convert(tmp_path, capsys, monkeypatch):
    """Run the verb in an empty folder; its answer, or exit code and line."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = run(["convert", *map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return json.loads(out) if code == 0 else (code, err.strip())

    return call


def four(path):
    """A NIfTI file of three volumes, without the writer under test."""
    import nibabel

    data = np.stack([marked() + 100 * n for n in range(3)], axis=3).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(data, oblique()), path)


def test_volume_chooses_one_of_a_series_of_volumes(tmp_path, convert):
    four(tmp_path / "a.nii")
    code, line = convert("a.nii", "b.nii")
    assert code == 3
    assert "[several-volumes]" in line
    for n in range(3):
        convert("a.nii", f"b{n}.npz", "--volume", n)
        assert read(f"b{n}.npz").data.min() == 100 * n
        assert read("a.nii", volume=n).data.min() == 100 * n
    for wrong in (3, -1):
        assert convert("a.nii", "c.nii", "--volume", wrong)[0] in (2, 3)
        with pytest.raises(MedsslError, match="volume"):
            read("a.nii", volume=wrong)
    assert not (tmp_path / "c.nii").exists()


def test_read_all_gives_every_volume(tmp_path):
    four(tmp_path / "a.nii")
    scans = read_all(tmp_path / "a.nii")
    assert [int(scan.data.min()) for scan in scans] == [0, 100, 200]
    write(volume(), tmp_path / "b.nii")
    assert len(read_all(tmp_path / "b.nii")) == 1
    with pytest.raises(UsageError, match="prefer must be"):
        read_all(tmp_path / "b.nii", prefer="neither")


def test_series_by_number_hash_or_uid(tmp_path, convert):
    write_slices(tmp_path / "ct")
    write_slices(tmp_path / "ct" / "two", SeriesInstanceUID="1.9.9", RescaleIntercept=1000)
    code, line = convert("ct", "a.npz")
    assert (code, "[several-volumes]" in line) == (3, True)
    for wanted in ("2", hashed("1.9.9"), "1.9.9"):
        convert("ct", "a.npz", "--series", wanted)
        assert read("a.npz").data.min() == 1000
        assert read("ct", series=wanted).data.min() == 1000
    assert read("ct", series=1).data.min() == 0
    for wrong in ("3", "0", "1.9", "nobody", ""):
        code, line = convert("ct", "b.npz", "--series", wrong)
        assert (code, "[several-volumes]" in line) == (3, True)
        assert "1.9.9" not in line
    with pytest.raises(InputError, match="0 of 2 volumes match"):
        read("ct", series=7)


def test_series_and_volume_are_each_for_its_own_kind(tmp_path, convert):
    write_slices(tmp_path / "ct")
    write(volume(), tmp_path / "a.nii")
    assert convert("a.nii", "b.nii", "--series", 1)[0] == 2
    assert convert("ct", "b.nii", "--volume", 0)[0] == 2
    with pytest.raises(UsageError, match="only DICOM has series"):
        read("a.nii", series=1)
    with pytest.raises(UsageError, match="series=N"):
        read("ct", volume=0)


def test_prefer_decides_between_two_maps(tmp_path, convert):
    import nibabel

    image = nibabel.Nifti1Image(marked(), oblique())
    image.set_sform(oblique(), 1)
    moved = oblique()
    moved[:3, 3] += 50.0
    image.set_qform(moved, 1)
    nibabel.save(image, tmp_path / "a.nii")
    assert convert("a.nii", "b.nii")[0] == 3
    for form, affine in (("sform", oblique()), ("qform", moved)):
        assert convert("a.nii", "b.nii", "--prefer", form)["flags"] == ["sform_qform_mismatch"]
        np.testing.assert_allclose(read("b.nii").affine, affine, atol=1e-4)
        for scan in (read("a.nii", prefer=form), *read_all("a.nii", prefer=form)):
            np.testing.assert_allclose(scan.affine, affine, atol=1e-4)
    code, line = convert("a.nii", "c.nii", "--prefer", "both")
    assert code == 2
    assert "prefer must be sform or qform, got both" in line
    with pytest.raises(UsageError, match="prefer must be"):
        read("a.nii", prefer="SFORM")


def test_nan_is_filled_and_counted(tmp_path, convert):
    data = marked(dtype="f4")
    data[0, 0, 0], data[1, 1, 1], data[2, 2, 2] = np.nan, np.inf, -np.inf
    write(Volume(data[None], oblique()), tmp_path / "a.nii")
    code, line = convert("a.nii", "b.nii")
    assert code == 3
    assert "3 of 120 voxels are not finite" in line
    assert convert("a.nii", "b.npz", "--nan", "fill=-5")["flags"] == ["nan_filled:3"]
    back = read("b.npz")
    assert back.flags == ("nan_filled:3",)
    assert (back.data == -5).sum() == 3
    assert read("a.nii", nan_fill=-5.0).flags == ("nan_filled:3",)
    for wrong in ("fill=", "fill=nan", "fill=inf", "zero", "=3"):
        assert convert("a.nii", "c.nii", "--nan", wrong)[0] == 2
    with pytest.raises(UsageError, match="must be finite"):
        read("a.nii", nan_fill=float("nan"))
    with pytest.raises(InputError, match="extreme values"):
        read("a.nii", nan_fill=1e31)


def test_values_beyond_1e30_are_refused_and_only_just_below_are_not(tmp_path):
    data = marked(dtype="f4")
    for value, good in ((9e29, True), (-1.1e30, False), (3e38, False)):
        data[0, 0, 0] = value
        write(Volume(data[None], oblique()), tmp_path / "a.nii")
        if good:
            assert read(tmp_path / "a.nii").data.max() == np.float32(value)
        else:
            with pytest.raises(InputError, match="extreme values"):
                read(tmp_path / "a.nii")


def test_gaps_are_resampled_when_allowed(tmp_path, convert):
    write_slices(tmp_path / "ct", count=6, change=lambda n, data: n != 2)
    code, line = convert("ct", "a.npz")
    assert (code, "[slices]" in line) == (3, True)
    result = convert("ct", "a.npz", "--allow-gaps")
    assert (result["flags"], result["shape"]) == (["gaps_resampled"], [6, 5, 6])


def test_a_target_that_is_the_source_is_refused(tmp_path, convert):
    write(volume(), tmp_path / "a.nii")
    (tmp_path / "b.nii").symlink_to("a.nii")
    before = (tmp_path / "a.nii").read_bytes()
    for target in ("a.nii", "./a.nii", "b.nii"):
        code, line = convert("a.nii", target)
        assert (code, "the target is the source" in line) == (2, True)
    assert (tmp_path / "a.nii").read_bytes() == before


def test_a_target_that_cannot_be_written_is_told_before_reading(tmp_path, convert):
    code, line = convert("gone.nii", "a.png")
    assert code == 2
    assert ".nii.gz, .nii, .mha, .nrrd, .npz" in line


@pytest.fixture
def labels(tmp_path):
    """A scan, a segmentation and a structure set of it."""
    write_slices(tmp_path / "ct")
    plane = np.zeros((6, 5), bool)
    plane[1:4, 1:3] = True
    names = {1: "CANARY", 3: "liver"}
    frames = [(3, (10.0, 20.0, 33.0), plane), (3, (10.0, 20.0, 36.0), plane)]
    write_seg(tmp_path / "seg.dcm", frames, names=names)
    affine = read(tmp_path / "ct").affine
    regions = {2: [box(0.5, 3.5, 0.5, 2.5, 1, affine)], 7: [box(1.5, 3.5, 0.5, 2.5, 1, affine)]}
    write_rtstruct(tmp_path / "rt.dcm", regions, names={2: "GTV", 7: "CANARY"})
    return tmp_path


def test_a_segmentation_becomes_a_label_map_with_its_segments_listed(labels, convert):
    result = convert("seg.dcm", "l.nii.gz", "--like", "ct")
    assert result["segments"] == [
        {"number": 1, "name": "Tissue_1", "voxels": 0, "ml": 0.0},
        {"number": 3, "name": "Tissue_3", "voxels": 12, "ml": round(12 * 0.7 * 1.9 * 3 / 1000, 6)},
    ]
    assert (result["dtype"], result["modality"], result["shape"]) == ("uint8", "SEG", [6, 5, 4])
    np.testing.assert_array_equal(read_label("l.nii.gz", "ct").data, read_label("seg.dcm", "ct").data)
    alone = convert("seg.dcm", "l.nii.gz")
    assert alone["shape"] == [6, 5, 2]


def test_a_structure_set_needs_its_scan_and_one_of_two_that_overlap(labels, convert):
    code, line = convert("rt.dcm", "l.nii.gz")
    assert code == 2
    assert "needs its scan" in line
    assert "--like" in line
    code, line = convert("rt.dcm", "l.nii.gz", "--like", "ct")
    assert (code, "segments 2 and 7 overlap in 4 voxels" in line) == (3, True)
    for wanted in ("2", "gtv"):
        result = convert("rt.dcm", "l.nii.gz", "--like", "ct", "--segment", wanted)
        assert [(one["number"], one["name"], one["voxels"]) for one in result["segments"]] == [(2, "GTV", 6)]
    code, line = convert("rt.dcm", "l.nii.gz", "--like", "ct", "--segment", "5")
    assert (code, "CANARY" in line) == (3, False)


def test_a_label_map_of_a_file_takes_the_scans_storage_order_or_its_grid(labels, convert):
    write(Volume(np.ones((1, 3, 3, 3), np.uint8), np.diag([2.0, 2.0, 2.0, 1.0])), labels / "l.nii.gz")
    scan = Volume(marked((6, 6, 6))[None], np.eye(4))
    write(scan, labels / "scan.nii.gz")
    code, line = convert("l.nii.gz", "m.nii.gz", "--like", "scan.nii.gz")
    assert (code, "[label]" in line) == (3, True)
    result = convert("l.nii.gz", "m.nii.gz", "--like", "scan.nii.gz", "--resample")
    assert result["flags"] == ["label_resampled"]
    # the last voxel's centre lies at 5, the label map reaches up to 5 exclusive
    assert result["segments"] == [{"number": 1, "name": "", "voxels": 125, "ml": 0.125}]


def test_options_of_labels_and_of_scans_do_not_mix(labels, convert):
    for option in (["--segment", "1"], ["--threshold", "0.5"], ["--resample"]):
        code, line = convert("ct", "a.nii", *option)
        assert (code, "is for labels" in line) == (2, True)
    for option in (["--series", "1"], ["--volume", "0"], ["--suv"], ["--allow-gaps"], ["--nan", "fill=0"]):
        code, line = convert("seg.dcm", "a.nii", "--like", "ct", *option)
        assert (code, "is for scans" in line) == (2, True)


def test_people_see_a_table_of_segments(labels, capsys, monkeypatch):
    monkeypatch.chdir(labels)
    assert run(["convert", "seg.dcm", "l.nii.gz", "--like", "ct"]) == 0
    out = capsys.readouterr().out
    assert "segment" in out
    assert "Tissue_3" in out
    assert "CANARY" not in out


def test_inspect_lists_the_segments_of_labels(labels, capsys, monkeypatch):
    monkeypatch.chdir(labels)
    (labels / "broken.dcm").write_bytes((labels / "seg.dcm").read_bytes()[:-4])
    assert run(["inspect", ".", "--json"]) == 0
    found = {entry["file"]: entry for entry in json.loads(capsys.readouterr().out)["objects"]}
    assert found["seg.dcm"]["type"] == "BINARY"
    assert found["seg.dcm"]["segments"][1] == {"number": 3, "name": "Tissue_3", "planes": 2}
    assert [one["name"] for one in found["rt.dcm"]["segments"]] == ["GTV", "segment_7"]
    assert found["broken.dcm"]["problems"][0]["code"] == "truncated"
    assert run(["inspect", "rt.dcm"]) == 0
    out = capsys.readouterr().out
    assert "rt.dcm: segments 2 GTV, 7 segment_7" in out
    assert "CANARY" not in out
