"""Manifests whose labels are DICOM objects: checked, prepared and evaluated like any other label map."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.commands.manifest import check_manifest
from medssl.commands.prepare import prepare
from medssl.errors import InputError
from medssl.io.read import read, read_record, read_record_label
from medssl.manifest import Manifest
from medssl.store.store import Store
from tests.io.label_files import FRAME, write_rtstruct, write_seg
from tests.io.labels.test_rtstruct import box
from tests.io.scans import write_slices


def manifest(tmp_path, classes="  1: liver\n  2: tumor\n"):
    """Two patients: one with a segmentation, one with a structure set in a folder of its own, numbers the other way."""

    def noise(n, data):
        data.PixelData = np.random.default_rng([n, ord(data.PatientID)]).integers(0, 900, 30).astype("<i2").tobytes()

    for name, frame in (("a", FRAME), ("b", "1.2.3.6")):
        write_slices(tmp_path / name, FrameOfReferenceUID=frame, SeriesInstanceUID=f"1.2.3.4{ord(name)}",
                     PatientID=name, change=noise)  # fmt: skip
    affine = read(tmp_path / "a").affine
    liver = np.zeros((6, 5), bool)
    liver[1:4, 1:3] = True
    tumor = np.zeros((6, 5), bool)
    tumor[4, 4] = True
    names = {1: "liver", 2: "tumor"}
    write_seg(tmp_path / "a.dcm", [(2, (10.0, 20.0, 36.0), tumor), (1, (10.0, 20.0, 33.0), liver)], names=names)
    regions = {1: [box(3.5, 4.5, 3.5, 4.5, 2, affine)], 2: [box(0.5, 3.5, 0.5, 2.5, 1, affine)]}

    def other_frame(data):
        data.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = "1.2.3.6"
        for region in data.StructureSetROISequence:
            region.ReferencedFrameOfReferenceUID = "1.2.3.6"

    write_rtstruct(tmp_path / "b_label" / "x", regions, names={1: "Tumor", 2: "Liver"}, change=other_frame)
    (tmp_path / "m.csv").write_text("image,patient_id,label,modality\na,a,a.dcm,CT\nb,b,b_label,CT\n")
    if classes:
        (tmp_path / "m.yaml").write_text(f"classes:\n{classes}")
    return tmp_path / "m.csv"


def want():
    out = np.zeros((6, 5, 4))
    out[1:4, 1:3, 1] = 1
    out[4, 4, 2] = 2
    return out


def test_classes_have_one_value_in_all_patients_whatever_their_numbers(tmp_path):
    table = Manifest.read(manifest(tmp_path))
    for record in table.records:
        label = read_record_label(table, record, read_record(table, record))
        np.testing.assert_array_equal(label.data[0], want())


def test_prepare_takes_segments_and_contours(tmp_path):
    made = prepare(manifest(tmp_path), tmp_path / "store", spacing_mm=(0.7, 1.9, 3.0))
    assert made["scans"] == 2
    store = Store.open(tmp_path / "store")
    for position in range(2):
        label = store.read_label(position, (0, 0, 0), (6, 5, 4))
        # the store is RAS, the series LPS
        np.testing.assert_array_equal(label[0], want()[::-1, ::-1])


def test_other_classes_make_other_entries(tmp_path):
    path = manifest(tmp_path)
    prepare(path, tmp_path / "store")
    (tmp_path / "m.yaml").write_text("classes:\n  1: tumor\n  2: liver\n")
    assert prepare(path, tmp_path / "store")["built"] == 2
    store = Store.open(tmp_path / "store")
    assert store.read_label(0, (0, 0, 0), (6, 5, 4)).max() == 2
    assert (store.read_label(0, (0, 0, 0), (6, 5, 4)) == 2).sum() == 6


def test_check_reads_them_and_names_what_does_not_fit(tmp_path):
    path = manifest(tmp_path)
    assert check_manifest(path, deep=True)["lines"] == []
    (tmp_path / "m.csv").write_text("image,patient_id,label,modality\na,a,b_label,CT\nb,b,b_label,CT\n")
    result = check_manifest(path, deep=True)
    assert any("FrameOfReferenceUID is not its scan's" in line for line in result["lines"])
    assert "CANARY" not in str(result)


def test_without_classes_numbers_stand(tmp_path):
    table = Manifest.read(manifest(tmp_path, classes=""))
    image = read_record(table, table.records[1])
    label = read_record_label(table, table.records[1], image)
    assert label.data[0, 4, 4, 2] == 1
    assert label.data[0, 1, 1, 1] == 2


def test_a_structure_set_without_a_declared_class_is_refused(tmp_path):
    table = Manifest.read(manifest(tmp_path, classes="  1: kidney\n"))
    image = read_record(table, table.records[1])
    with pytest.raises(InputError, match=r"none of the 2 segments .*: 1 Tumor, 2 Liver"):
        read_record_label(table, table.records[1], image)
