"""Manifests: dialects that spreadsheets write, paths that stay inside, and the keyed hash of ids."""

from __future__ import annotations

import multiprocessing
import os
import stat

import pytest

from medssl.classes import parse_classes, read_classes, write_classes
from medssl.errors import InputError, IntegrityError
from medssl.identifiers import hashed, home, plain_id, user_salt
from medssl.manifest import Manifest, Record, private_columns


def csv(folder, text, name="m.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_known_columns_and_targets(tmp_path):
    path = csv(tmp_path, 'image,patient_id,split,time,event\n"a,b.nii",p1,train,3.5,1\nc.nii,p2,val,,0\n')
    manifest = Manifest.read(path)
    first, second = manifest.records
    assert first == Record("a,b.nii", "p1", split="train", targets={"time": "3.5", "event": "1"})
    assert (first.line, second.line) == (2, 3)
    assert manifest.root == tmp_path
    assert [record.patient_id for record in manifest.select("val").records] == ["p2"]
    assert len(manifest.select(["train", "val"]).records) == 2
    with pytest.raises(InputError, match=r"no row is of split test"):
        manifest.select("test")


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfimage,patient_id\r\na.nii,p1\r\n\r\n",
        b'"image";"patient_id"\r\n"a.nii";"p1"\r\n',
        b"image\tpatient_id\na.nii\tp1",
        b" image , patient_id \na.nii,p1\n",
    ],
)
def test_dialects(tmp_path, text):
    assert Manifest.read(csv(tmp_path, text)).records == (Record("a.nii", "p1"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the manifest is empty"),
        ("image,patient_id\n", "line 1: the manifest has no rows"),
        (
            "file,who\na,b\n",
            "line 1: expected a header with the columns image and patient_id, it lacks image and patient_id",
        ),
        ("image,patient_id,image\na,b,c\n", "line 1: a column's name stands twice: image"),
        ("image,patient_id\na.nii,p1\nb.nii\n", "line 3: expected 2 fields, got 1"),
        ("image,patient_id\n,p1\n", "line 2: image is empty"),
        ("image,patient_id\na.nii, \n", "line 2: patient_id is empty"),
        ('image,patient_id\na.nii,"p1\n', "line 2: malformed CSV"),
        (b"image,patient_id\na.nii,M\xfcller\n", "line 2: expected UTF-8, got the byte 0xfc"),
        (b"image,patient_id\na.nii,p\0\n", "line 2: a null character"),
    ],
)
def test_malformed_manifests_name_the_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        Manifest.read(csv(tmp_path, text))
    assert caught.value.code == "manifest-format"
    assert "ller" not in str(caught.value)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.nii", "x/../../a.nii", "C:\\a.nii", "..\\a.nii"])
def test_paths_never_leave_the_root(tmp_path, name):
    with pytest.raises(IntegrityError, match=r"line 2: .*(absolute|leaves)") as caught:
        Manifest.read(csv(tmp_path, f"image,patient_id\n{name},p1\n"))
    assert caught.value.exit_code == 4


def test_links_never_leave_the_root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside.nii").write_bytes(b"x")
    (root / "a.nii").symlink_to(tmp_path / "outside.nii")
    (root / "b.nii").write_bytes(b"x")
    manifest = Manifest.read(csv(tmp_path, "image,patient_id\na.nii,p1\nb.nii,p2\nc.nii,p3\n"), root)
    with pytest.raises(IntegrityError, match=r"line 2: a\.nii leaves the data root by a link"):
        manifest.resolve(manifest.records[0])
    assert manifest.resolve(manifest.records[1]) == root / "b.nii"
    with pytest.raises(InputError, match=r"line 4: c\.nii is missing"):
        manifest.resolve(manifest.records[2])


def test_a_missing_manifest_or_root(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        Manifest.read(tmp_path / "m.csv")
    with pytest.raises(InputError, match="data root"):
        Manifest.read(csv(tmp_path, "image,patient_id\na,b\n"), tmp_path / "no")


def test_writing_and_reading_again_keeps_everything(tmp_path):
    records = (
        Record("a, b.nii", "p\n1", label="l.nii", targets={"t": '"'}, line=2),
        Record("c.nii", "p2", study_id="s"),
    )
    Manifest(tmp_path / "m.csv", tmp_path, records).write(tmp_path / "m.csv")
    again = Manifest.read(tmp_path / "m.csv")
    assert [record.row() for record in again.records] == [record.row() for record in records]
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.csv"]


def test_the_digest_sees_content_not_dialect(tmp_path):
    one = Manifest.read(csv(tmp_path, "image,patient_id,split\na.nii,p1,train\n", "a.csv"))
    two = Manifest.read(csv(tmp_path, '\ufeffsplit;patient_id;image\r\ntrain;"p1";a.nii\r\n', "b.csv"))
    other = Manifest.read(csv(tmp_path, "image,patient_id,split\na.nii,p1,val\n", "c.csv"))
    assert one.digest() == two.digest() != other.digest()
    assert len(one.digest()) == 64


def test_classes_from_the_card_or_from_dataset_json(tmp_path):
    path = csv(tmp_path, "image,patient_id\na,b\n")
    assert read_classes(path) == {}
    (tmp_path / "dataset.json").write_text('{"labels": {"0": "background", "2": "tail"}}')
    assert Manifest.read(path).classes == {0: "background", 2: "tail"}
    (tmp_path / "m.yaml").write_text("source: here\nclasses:\n  1: head\n")
    assert Manifest.read(path).classes == {1: "head"}
    assert parse_classes({"background": 0, "liver": 1}, path) == {0: "background", 1: "liver"}
    with pytest.raises(InputError, match="no whole number"):
        parse_classes({"a": "b"}, path)
    (tmp_path / "m.yaml").write_text("classes: !!python/name:os.system\n")
    with pytest.raises(IntegrityError, match="YAML tag"):
        Manifest.read(path)


def test_ids_are_hashed_with_the_users_own_key():
    salt = user_salt()
    assert hashed("p1") == hashed("p1", salt)
    assert hashed("p1") != hashed("p1", b"another")
    assert hashed("p1") != hashed("p2")
    assert hashed("") == ""
    assert "p1" not in hashed("p1")
    assert stat.S_IMODE(os.stat(home() / "salt").st_mode) == 0o600


def test_a_line_that_names_the_separator_is_passed_over(tmp_path):
    manifest = Manifest.read(csv(tmp_path, "sep=;\r\nimage;patient_id\r\na.nii;p1\r\n"))
    assert manifest.records == (Record("a.nii", "p1"),)
    assert manifest.records[0].line == 3


@pytest.mark.parametrize("volume", ["-1", "1.5", "x", "²"])
def test_a_volume_is_a_whole_number(tmp_path, volume):
    with pytest.raises(InputError, match="line 2: volume must be a whole number"):
        Manifest.read(csv(tmp_path, f"image,patient_id,volume\na.nii,p1,{volume}\n"))


def test_columns_that_may_name_people_are_no_targets(tmp_path):
    path = csv(tmp_path, "image,patient_id,Patient-Name,DOB,accession number,age\na.nii,p1,Doe,1944,77,61\n")
    assert Manifest.read(path).records[0].targets == {"age": "61"}
    assert private_columns(path) == ["Patient-Name", "DOB", "accession number"]


def test_a_card_without_classes_leaves_them_to_dataset_json(tmp_path):
    path = csv(tmp_path, "image,patient_id\na,b\n")
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "tail": 2}}')
    (tmp_path / "m.yaml").write_text("medssl_version: '0.1.0'\n")
    assert read_classes(path) == {0: "background", 2: "tail"}
    write_classes(tmp_path / "m.yaml", {1: 'a "b"'}, "abc")
    assert read_classes(path) == {1: 'a "b"'}
    assert "digest: abc" in (tmp_path / "m.yaml").read_text()


def test_ids_spelled_alike_are_one():
    assert plain_id(" P\u00a0001 ") == plain_id("p 001") == plain_id("\uff30 001") != plain_id("p001")


def salt_of(home, monkeypatch):
    monkeypatch.setenv("MEDSSL_HOME", str(home))
    return user_salt()


def test_a_salt_that_others_may_read_is_made_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "salt").write_bytes(bytes(range(32)))
    (tmp_path / "h" / "salt").chmod(0o644)
    assert salt_of(tmp_path / "h", monkeypatch) == bytes(range(32))
    assert stat.S_IMODE(os.stat(tmp_path / "h" / "salt").st_mode) == 0o600


def test_a_salt_that_is_none_is_refused(tmp_path, monkeypatch):
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "salt").write_bytes(b"x" * 31)
    with pytest.raises(InputError, match="31 bytes, expected 32"):
        salt_of(tmp_path / "short", monkeypatch)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "salt")
    with pytest.raises(InputError, match="not a regular file"):
        salt_of(tmp_path / "pipe", monkeypatch)


def _first_salt(home: str) -> str:
    os.environ["MEDSSL_HOME"] = home
    return user_salt().hex()


def test_processes_that_start_together_share_one_salt(tmp_path):
    with multiprocessing.get_context("fork").Pool(8) as pool:
        found = pool.map(_first_salt, [str(tmp_path / "new")] * 16, chunksize=1)
    assert len(set(found)) == 1
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["salt"]
    assert stat.S_IMODE(os.stat(tmp_path / "new" / "salt").st_mode) == 0o600


def test_a_file_system_without_links_gets_a_salt_too(tmp_path, monkeypatch):
    def no_link(*_):
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", no_link)
    assert len(salt_of(tmp_path / "fat", monkeypatch)) == 32
    assert [entry.name for entry in (tmp_path / "fat").iterdir()] == ["salt"]
