"""P50: what a scan's header says of a person reaches no output, log, report, weight file or error, by any command."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from medssl import cli
from medssl.commands.convert import convert
from tests.commands.tiny import simclr
from tests.io.scans import write_slices
from tests.promises.files import CANARIES, marked, mha, nifti, nifti_extension, nrrd, put
from tests.promises.private import found_in, leaks
from tests.training.tiny import make_scans

TEXT = "|".join(CANARIES)
WORDS = {"descrip": TEXT.encode()[:80], "aux_file": b"CANARY HOSPITAL", "intent_name": b"CANARY^PHI"}
WORDS |= {"db_name": b"CANARY-ACC-77", "data_type": b"CANARYPHI"}


def private_nifti(data: np.ndarray | None = None, **fields: Any) -> bytes:
    return nifti(data, extension=nifti_extension(128, TEXT.encode()[:120]), **WORDS, **fields)


def private_nrrd() -> bytes:
    return nrrd(
        content=TEXT,
        labels='"CANARY^PHI" "CANARYPHI" "x"',
        sample_units="CANARY HOSPITAL",
        after=f"\n# {TEXT}\nPatient:={TEXT}\nBirth_Date:=19010203\ntext:={TEXT}: {TEXT}",
    )


def private_mha() -> bytes:
    return mha(Comment=TEXT, Name="CANARY^PHI", PatientName="CANARYPHI", AcquisitionDate="19010203", Anything=TEXT)


def private_series(folder: Path) -> Path:
    return write_slices(
        folder,
        PatientBirthDate="19010203",
        InstitutionName="CANARY HOSPITAL",
        AccessionNumber="CANARY-ACC-77",
        StudyDescription=TEXT,
        SeriesDescription=TEXT,
        ImageComments=TEXT,
        ReferringPhysicianName="CANARY^PHI",
    )


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """A scan of each format with private text wherever text can stand."""
    folder = tmp_path / "scans"
    folder.mkdir()
    arrays = {"data": marked(), "affine": np.diag([1.5, 1.2, 3.0, 1.0]), "patient": np.array([TEXT])}
    np.savez(folder / "e.npz", **arrays, flags=np.array([TEXT, "CANARY^PHI", "sheared"]))
    return [
        put(folder / "a.nii.gz", private_nifti()),
        put(folder / "b.nii", private_nifti()),
        put(folder / "c.nrrd", private_nrrd()),
        put(folder / "d.mha", private_mha()),
        folder / "e.npz",
        private_series(folder / "series"),
    ]


def test_p50_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    hidden = [
        TEXT.encode(),
        TEXT.encode("utf-16-le"),
        TEXT.encode().hex().encode(),
        gzip.compress(gzip.compress(b"CANARY^PHI")),
    ]
    assert all(found_in(content) for content in hidden)
    assert all(found_in(content) for content in (private_nifti(), private_nrrd(), private_mha()))
    assert not found_in(b"CANARY" * 99)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd", ".npz"])
def test_p50_converting_drops_every_free_text(sources: list[Path], tmp_path: Path, suffix: str) -> None:
    (tmp_path / "out").mkdir()
    for source in sources:
        told = convert(source, tmp_path / "out" / f"{source.stem}{suffix}")
        assert not found_in(json.dumps({key: told[key] for key in told if key != "source"}).encode())
    assert leaks(tmp_path / "out") == {}


@pytest.mark.parametrize("damage", ["cut", "header"])
def test_p50_no_refusal_tells_private_text(
    sources: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: str
) -> None:
    for source in sources:
        for path in sorted(source.iterdir()) if source.is_dir() else [source]:
            whole = path.read_bytes()
            plain = gzip.decompress(whole) if path.suffix == ".gz" else whole
            broken = plain[: len(plain) - 9] if damage == "cut" else plain.replace(b"3", b"CANARY^PHI")
            path.write_bytes(gzip.compress(broken) if path.suffix == ".gz" else broken)
        for words in (["convert", str(source), str(tmp_path / "out.npz")], ["inspect", str(source)]):
            for more in ([], ["--json"]):
                cli.run([*words, *more])
                told = capfd.readouterr()
                assert not found_in((told.out + told.err).encode()), told
        cli.run(["convert", str(source), str(tmp_path / "out.npz")], debug=True)
        assert not found_in(capfd.readouterr().err.encode())


def test_p50_no_command_lets_private_text_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scans = tmp_path / "scans"
    scans.mkdir()
    make_scans(scans, 3)
    for path in scans.glob("[0-9].nii.gz"):
        voxels = np.frombuffer(gzip.decompress(path.read_bytes())[352:], "<f4").reshape((36, 34, 24), order="F")
        srow = np.diag([-1.5, -1.5, 2.0, 1.0])[:3].ravel()
        put(path, private_nifti(voxels, srow=srow, pixdim=[1, 1.5, 1.5, 2, 1, 1, 1, 1]))
    rows = (scans / "manifest.csv").read_text().splitlines()
    head = rows[0] + ",patient_name,birth_date,comment"
    rows = [row.replace(",p0,", ",CANARY-MRN-000451,") + ",CANARY^PHI,19010203,CANARY HOSPITAL" for row in rows[1:]]
    (scans / "manifest.csv").write_text("\n".join([head, *rows, ""]))
    private_series(scans / "series")
    keep = {"tensorboard": True, "pictures_every": 1}
    plain = simclr(Path("scans"), Path("out/run"), keep=keep)
    (tmp_path / "pre.yaml").write_text(yaml.safe_dump({**plain, "optim": {"steps": 1, "batch": 2}}))
    (tmp_path / "out").mkdir()
    for words in (
        ["inspect", "scans", "--json"],
        ["inspect", "scans/series"],
        ["manifest", "build", "scans/series", "out/built.csv"],
        ["manifest", "check", "scans/manifest.csv", "--json"],
        ["manifest", "check", "scans/manifest.csv"],
        ["prepare", "scans/manifest.csv", "out/store"],
        ["reduce", "scans/manifest.csv", "out/reduced", "--json"],
        ["pretrain", "pre.yaml", "data.store=out/store"],
        ["report", "out/run"],
        ["weights", "show", "out/run"],
    ):
        code = cli.run(words)
        told = capfd.readouterr()
        assert code == 0, (words, told.err)
        # a path is told as the user gave it; everything else must be free of what the headers say
        assert not found_in((told.out + told.err).encode()), (words, told)
    assert len(list((tmp_path / "out").rglob("*"))) > 20
    found = leaks(tmp_path / "out")
    # a manifest made from a manifest keeps the ids that its user gave, so that the two can be joined
    assert found.pop(str(tmp_path / "out" / "reduced" / "manifest.csv"), {b"CANARY-MRN-000451"}) == {
        b"CANARY-MRN-000451"
    }
    assert found == {}
    salt = Path(os.environ["MEDSSL_HOME"]) / "salt"
    assert salt.stat().st_mode & 0o777 == 0o600
