"""Which scans are left out, and what never is."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.manifest import Record
from medssl.reduction.scans import reduce_scans
from medssl.reduction.signature import POSITIONS, Signature


def sign(record: Record) -> Signature:
    """A signature of as many set bits as the record's ``bits`` says; equal voxels where ``voxels`` is equal."""
    bits = int(record.targets["bits"])
    hashes = np.full((3, POSITIONS), (1 << bits) - 1, dtype=np.uint64)
    return Signature(hashes, record.targets.get("voxels", record.image))


def row(image: str, patient: str, bits: int, **more: str) -> Record:
    targets = {"bits": str(bits), **({"voxels": more.pop("voxels")} if "voxels" in more else {})}
    return Record(image=image, patient_id=patient, targets=targets, **more)


def names(records) -> list[str]:
    return [record.image for record in records]


def test_doubles_are_left_out_with_reason_kept_scan_and_distance():
    rows = [row("a", "p", 0), row("b", "q", 6), row("c", "p", 7), row("d", "r", 60, voxels="a")]
    result = reduce_scans(rows, sign)
    assert names(result.kept) == ["a", "c"]
    got = [(r.record.image, r.kept.image, r.distance, r.reason) for r in result.removed]
    assert got == [
        ("b", "a", 6.0, "looks the same as a scan of another patient id"),
        ("d", "a", 0.0, "equal voxel by voxel to a scan of another patient id"),
    ]


def test_a_patient_is_emptied_only_if_doubles_of_all_scans_are_kept():
    rows = [row("a", "p", 0), row("b", "q", 1), row("c", "q", 30)]
    assert names(reduce_scans(rows, sign).kept) == ["a", "c"]
    rows = [row("a", "p", 0), row("b", "q", 1), row("c", "q", 2)]
    assert names(reduce_scans(rows, sign).kept) == ["a"]
    assert names(reduce_scans(rows, sign, keep_patients=True).kept) == ["a", "b"]


def test_a_label_is_never_lost_to_an_unlabelled_double():
    rows = [row("a", "p", 0), row("b", "q", 1, label="b-label"), row("c", "r", 2, label="c-label")]
    result = reduce_scans(rows, sign)
    assert names(result.kept) == ["b"]
    assert [(r.record.image, r.kept.image) for r in result.removed] == [("a", "b"), ("c", "b")]


def test_other_splits_pass_through_and_stand_for_nothing():
    rows = [row("a", "p", 0, split="test"), row("b", "q", 0, split="train"), row("c", "r", 0, split="val")]
    asked: list[str] = []

    def spy(record: Record) -> Signature:
        asked.append(record.image)
        return sign(record)

    result = reduce_scans(rows, spy)
    assert names(result.kept) == ["a", "b", "c"]
    assert asked == ["b"]


def test_channels_of_a_study_stay_or_go_together():
    def study(name: str, patient: str, t1: int, t2: int) -> list[Record]:
        return [
            row(f"{name}-t1", patient, t1, study_id=name, modality="T1"),
            row(f"{name}-t2", patient, t2, study_id=name, modality="T2"),
        ]

    # within one study T1 and T2 look alike, which makes neither a double
    assert len(reduce_scans(study("s", "p", 0, 1), sign).kept) == 2
    half = reduce_scans([*study("s", "p", 0, 30), *study("t", "q", 1, 60)], sign)
    assert len(half.kept) == 4
    whole = reduce_scans([*study("s", "p", 0, 30), *study("t", "q", 1, 32)], sign)
    assert names(whole.kept) == ["s-t1", "s-t2"]
    assert [(r.record.image, r.kept.image, r.distance) for r in whole.removed] == [
        ("t-t1", "s-t1", 1.0),
        ("t-t2", "s-t2", 2.0),
    ]


def test_two_series_of_one_modality_in_a_study_can_be_doubles():
    rows = [row(f"s{n}", "p", n, study_id="s", modality="CT") for n in range(2)]
    assert names(reduce_scans(rows, sign).kept) == ["s0"]


def test_progress_is_told():
    told: list[tuple[int, int, str]] = []
    reduce_scans([row("a", "p", 0)], sign, progress=lambda *args: told.append(args))
    assert told == [(0, 1, "hashing scans"), (1, 1, "hashing scans")]


@pytest.mark.parametrize("threshold", [0, 6])
def test_reducing_twice_changes_nothing(threshold):
    rows = [row(str(n), f"p{n}", n) for n in range(60)]
    once = reduce_scans(rows, sign, threshold)
    assert len(once.kept) == -(-60 // (threshold + 1))
    assert reduce_scans(once.kept, sign, threshold).removed == ()
