"""Wrong inputs, as a user gives them: the exit code, one line that says what is wrong, and nothing half-written."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from medssl import cli
from medssl.io.read import read
from medssl.io.write import write
from medssl.volume import Volume
from tests.commands.tiny import recipe, simclr
from tests.training.tiny import make_scans

Refused = Callable[..., str]
VIT = "encoder={name: vit, width: 48, depth: 2, heads: 3, patch: 8}"
RESNET = "encoder={name: resnet, depth: 10, width: 4}"
OWN_STORE = "data.store=out/store"


class Canary:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch canary",)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans, recipes, a pretrained run, a fine-tuned run and its predictions; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "scans").mkdir()
    make_scans(folder / "scans")
    scans, here = Path("scans"), Path.cwd()
    os.chdir(folder)
    try:
        _recipe("pre.yaml", simclr(scans, Path("pre"), keep={"tensorboard": False, "pictures_every": 0}))
        task = {"name": "segment", "width": 8}
        _recipe("seg.yaml", recipe(scans, Path("seg"), task=task, init="pre", encoder=None))
        assert cli.run(["pretrain", "pre.yaml"]) == 0
        assert cli.run(["finetune", "seg.yaml"]) == 0
        assert cli.run(["predict", "seg", "scans/manifest.csv", "masks", "--split", "test"]) == 0
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The place, as the working directory; what a test puts there goes again."""
    monkeypatch.chdir(place)
    before = listing(place)
    yield place
    for name in sorted(listing(place) - before, reverse=True):
        path = place / name
        path.chmod(0o755) if path.is_dir() else None
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.fixture
def refused(here: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command and holds its refusal against what it should be."""

    def run(words: list[str], exit_code: int, code: str, *says: str, leaves: set[str] | None = None) -> str:
        before = listing(here)
        capfd.readouterr()
        assert cli.run(words) == exit_code
        told = capfd.readouterr()
        lines = told.err.splitlines()
        errors = [line for line in lines if line.startswith("medssl: error: ")]
        assert len(errors) == 1, told.err
        assert lines[-1] == errors[0]
        # anything else is the progress of steps that went well
        assert all(line.endswith("…") for line in lines[:-1]), told.err
        assert f" [{code}]" in errors[0]
        for text in says:
            assert text in errors[0]
        assert listing(here) - before == (leaves or set())
        assert before <= listing(here)
        assert not (here / "canary").exists()
        return told.out

    return run


def listing(folder: Path) -> set[str]:
    """Everything below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _recipe(path: str, plain: dict[str, Any]) -> None:
    Path(path).write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file can grow over so many bytes: writing fails as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def without_privilege() -> Iterator[None]:
    """Root writes to read-only folders, too, unless it gives that right away (CAP_DAC_OVERRIDE)."""
    if os.geteuid() != 0:
        yield
        return
    system = ctypes.CDLL(None)
    header, rights = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if not hasattr(system, "capget") or system.capget(header, rights) != 0:
        pytest.skip("runs as root, and cannot give up its rights here")
    before = rights[0]
    rights[0] = before & ~(1 << 1)
    assert system.capset(header, rights) == 0
    yield
    rights[0] = before
    assert system.capset(header, rights) == 0


# --- files that are not there, or are something else -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["inspect", "gone"], "missing", "gone: does not exist"),
        (["convert", "gone", "out.nii"], "missing", "gone: does not exist"),
        (["manifest", "build", "gone", "out.csv"], "missing", "gone: the data folder does not exist"),
        (["manifest", "check", "gone.csv"], "missing", "gone.csv: does not exist"),
        (["manifest", "split", "gone.csv", "out.csv"], "missing", "gone.csv: does not exist"),
        (["prepare", "gone.csv", "out"], "missing", "gone.csv: does not exist"),
        (["prepare", "scans/manifest.csv", "out", "--root", "gone"], "manifest-path", "gone: the data root"),
        (["reduce", "gone.csv", "out"], "missing", "gone.csv: does not exist"),
        (["pretrain", "gone.yaml"], "missing", "(see `medssl recipe list`)"),
        (["pretrain", "pre.yaml", "out=out", "data.manifest=gone.csv"], "missing", "gone.csv: does not exist"),
        (["pretrain", "pre.yaml", "out=out", "init=gone"], "missing", "gone: does not exist"),
        (["finetune", "gone.yaml"], "missing", "gone.yaml: does not exist"),
        (["recipe", "check", "gone"], "missing", "gone: does not exist"),
        (["recipe", "show", "gone"], "missing", "gone: does not exist"),
        (["predict", "gone", "scans/0.nii.gz", "out"], "missing", "gone: does not exist"),
        (["predict", "seg", "gone", "out"], "missing", "gone: does not exist"),
        (["predict", "seg", "gone.csv", "out"], "missing", "gone.csv: does not exist"),
        (["evaluate", "gone", "scans/manifest.csv"], "missing", "(medssl predict writes it)"),
        (["evaluate", "scans", "scans/manifest.csv"], "missing", "scans: expected a folder with predictions.json"),
        (["evaluate", "masks", "gone.csv"], "missing", "gone.csv: does not exist"),
        (["report", "gone"], "run", "gone: expected a run folder, got nothing there"),
        (["report", "scans"], "run", "scans: expected a run folder with recipe.yaml, run.json or metrics.csv"),
        (["weights", "show", "gone"], "missing", "gone: does not exist"),
        (["weights", "check", "scans"], "weights-format", "scans: there is no config.json"),
        (["inspect", "pre.yaml"], "format", "pre.yaml: the content is plain text"),
        (["inspect", "/dev/null"], "not-regular", "/dev/null: expected a regular file, got a device"),
        (["predict", "seg", "pre.yaml", "out"], "format", "pre.yaml: the content is plain text"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_missing_or_other_file(words: list[str], code: str, says: str, refused: Refused) -> None:
    refused(words, 3, code, says)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["pretrain", "scans"], "recipe-value", "scans: expected a recipe (.yaml), got a folder"),
        (["manifest", "build", "pre.yaml", "out.csv"], "usage", "expected a folder of scans, got a file"),
        (["manifest", "build", "scans", "out.txt"], "usage", "out.txt: expected the name of a .csv file"),
        (["convert", "scans/0.nii.gz", "out.foo"], "usage", "expected a name that ends in one of .nii.gz"),
        (["convert", "scans/0.nii.gz", "gone/out.nii"], "usage", "gone/out.nii: the folder gone does not exist"),
        (["recipe", "schema", "pretrain", "--out", "gone/x.json"], "usage", "the folder gone does not exist"),
        (["recipe", "schema", "predict"], "usage", "expected one of pretrain, finetune, got 'predict'"),
        (["prepare", "pre.yaml"], "usage", "Missing argument 'STORE'. [usage] (see medssl prepare --help)"),
        (["prepare", "a.csv", "out", "--jobs", "0"], "usage", '--jobs: expected at least 1, got "0"'),
        (["prepare", "a.csv", "out", "--spacing", "a"], "usage", "--spacing: expected 1 or 3 numbers"),
        (["reduce", "a.csv", "out", "--threshold", "x"], "usage", '--threshold: expected a whole number, got "x"'),
        (["reduce", "scans/manifest.csv", "out", "--unit", "voxel"], "usage", "scan or slice, got 'voxel'"),
        (["predict", "seg", "a", "out", "--overlap", "2"], "usage", '--overlap: expected at most 0.95, got "2"'),
        (["data", "fetch", "gone"], "usage", "there is no dataset card 'gone'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command(words: list[str], code: str, says: str, refused: Refused) -> None:
    refused(words, 2, code, says)


# --- manifests --------------------------------------------------------------------------------------------------------

MANIFESTS = [
    (b"", 3, "manifest-format", "line 1: the manifest is empty"),
    (b"image,patient_id\n", 3, "manifest-format", "line 1: the manifest has no rows"),
    (b"image,patient_id\na.nii,p\nb.nii\n", 3, "manifest-format", "line 3: expected 2 fields, got 1"),
    (b"patient_id,modality\np,CT\n", 3, "manifest-format", "columns image and patient_id, it lacks image"),
    (b"image,patient_id,image\na,p,a\n", 3, "manifest-format", "line 1: a column's name stands twice: image"),
    (b"image,patient_id\n,p\n", 3, "manifest-format", "line 2: image is empty"),
    (b'image,patient_id\n"a,p\n', 3, "manifest-format", "line 2: malformed CSV"),
    (b"image,patient_id\na.nii,M\xfcller\n", 3, "manifest-format", "line 2: expected UTF-8, got the byte 0xfc"),
    (b"image,patient_id\ngone.nii,p\n", 3, "manifest-path", "line 2: gone.nii is missing"),
    (b"image,patient_id\n../a.nii,p\n", 4, "manifest-path", "line 2: ../a.nii leaves the data root"),
    (b"image,patient_id\n/etc/hosts,p\n", 4, "manifest-path", "/etc/hosts is absolute, expected a path relative"),
]


@pytest.mark.parametrize(("content", "exit_code", "code", "says"), MANIFESTS, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "bad.csv", "out"],
        ["reduce", "bad.csv", "out"],
        ["pretrain", "pre.yaml", "out=out", "data.manifest=bad.csv", "data.split=null", OWN_STORE],
    ],
    ids=lambda words: words[0],
)
def test_a_malformed_manifest(
    words: list[str], content: bytes, exit_code: int, code: str, says: str, refused: Refused
) -> None:
    Path("bad.csv").write_bytes(content)
    refused(words, exit_code, code, "bad.csv", says)


def test_a_check_tells_everything_and_fails(refused: Refused) -> None:
    rows = ["scans/0.nii.gz,p0", "gone.nii,p", "short", "scans/0.nii.gz,p0"]
    Path("bad.csv").write_text("\n".join(["image,patient_id", *rows]) + "\n", encoding="utf-8")
    out = refused(["manifest", "check", "bad.csv"], 3, "manifest-check", "bad.csv: 3 problems in the manifest")
    assert [line.split(": ")[0] for line in out.splitlines()[:3]] == ["bad.csv:3", "bad.csv:4", "bad.csv:5"]
    assert out.splitlines()[-1] == "3 rows of 2 patients: 3 problems, 0 warnings"
    told = json.loads(refused(["manifest", "check", "bad.csv", "--json"], 3, "manifest-check"))
    assert [problem["line"] for problem in told["problems"]] == [3, 4, 5]


def test_warnings_are_told_and_do_not_count(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    empty = read("scans/0_label.nii.gz")
    write(Volume(np.zeros_like(empty.data), empty.affine), "empty.nii")
    Path("odd.csv").write_text("image,patient_id,label\nscans/0.nii.gz,p0,empty.nii\n", encoding="utf-8")
    capfd.readouterr()
    assert cli.run(["manifest", "check", "odd.csv", "--deep"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines == [
        "odd.csv:2: warning: empty.nii is empty [label]",
        "1 row of 1 patient: 0 problems, 1 warning",
    ]


def test_paths_from_another_folder_are_guessed(refused: Refused) -> None:
    shutil.copy("scans/manifest.csv", "moved.csv")
    refused(["manifest", "check", "moved.csv"], 3, "manifest-check", "Give it with --root")


def test_a_root_may_be_given_for_a_split(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copy("scans/manifest.csv", "moved.csv")
    words = ["manifest", "split", "moved.csv", "out.csv", "--root", "scans", "--shares", "train=0.5,test=0.5"]
    assert cli.run([*words, "--seed", "1"]) == 0
    assert capfd.readouterr().out.splitlines()[0] == "out.csv (seed 1)"


@pytest.mark.parametrize(
    ("shares", "exit_code", "code", "says"),
    [
        ("a=0.2,b=0.2,c=0.2,d=0.2,e=0.2", 3, "too-few", "scans/manifest.csv: 4 patients cannot fill 5 splits"),
        ("train=0.7,val=0.1,test=0.2", 3, "too-few", "too few patients (4)"),
        ("train=0.5,test=1", 2, "usage", "the shares must lie between 0 and 1 and add up to 1"),
        ("train", 2, "usage", "--shares: expected name=share"),
    ],
)
def test_too_few_for_a_split(shares: str, exit_code: int, code: str, says: str, refused: Refused) -> None:
    words = ["manifest", "split", "scans/manifest.csv", "out.csv", "--shares", shares]
    refused(words, exit_code, code, says)


@pytest.mark.parametrize(
    "words",
    [
        ["pretrain", "pre.yaml", "out=out", "data.split=val"],
        ["finetune", "seg.yaml", "out=out", "data.split=val"],
        ["predict", "seg", "scans/manifest.csv", "out", "--split", "val"],
        ["evaluate", "masks", "scans/manifest.csv", "--split", "val"],
    ],
    ids=lambda words: words[0],
)
def test_a_split_that_is_not_there(words: list[str], refused: Refused) -> None:
    refused(words, 3, "too-few", "scans/manifest.csv", "is of split val, there are: test, train")


def test_one_patient_for_simclr(refused: Refused) -> None:
    lines = Path("scans/manifest.csv").read_text(encoding="utf-8").splitlines()
    Path("scans/one.csv").write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")
    words = ["pretrain", "pre.yaml", "out=out", "data.manifest=scans/one.csv", "data.store=scans/one"]
    assert cli.run(["prepare", "scans/one.csv", "scans/one"]) == 0
    refused(words, 3, "too-few", "scans/one.csv: simclr needs scans of at least 2 patients, got 1")
    refused(["pretrain", "pre.yaml", "out=out", "optim.batch=1"], 2, "recipe-value", "optim.batch: expected at least 2")


# --- recipes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ("optim.stepz=3", "recipe-key", "pre.yaml: unknown key optim.stepz [recipe-key] (did you mean steps?)"),
        ("task=segment", "recipe-key", "unknown key task"),
        ("optim.lr=fast", "recipe-value", 'pre.yaml: optim.lr: expected a number, got "fast"'),
        ("optim.batch=2.5", "recipe-value", "optim.batch: expected a whole number, got 2.5"),
        ("optim=3", "recipe-value", "optim: expected a mapping, got 3"),
        ("out=3", "recipe-value", "out: expected a text, got 3"),
        ("out=", "recipe-value", "out: expected a text, got null"),
        ("out=''", "recipe-value", "out: expected the name of a folder, got an empty text"),
        ("optim.lr=-1", "recipe-value", "optim.lr: expected a number above 0, got -1"),
        ("optim.lr=.inf", "recipe-value", "optim.lr: expected a finite number"),
        ("optim.steps=0", "recipe-value", "optim.steps: expected at least 1, got 0"),
        ("seed=-1", "recipe-value", "seed: expected at least 0, got -1"),
        ("views.crop=[16, 16]", "recipe-value", "views.crop: expected 3 values, got [16, 16]"),
        ("views.crop=[16, 16, 0]", "recipe-value", "views.crop.2: expected at least 1, got 0"),
        ("views.flip=[2, 0, 0]", "recipe-value", "views.flip.0: expected at most 1, got 2"),
        ("views.scale=[2, 1]", "recipe-value", "views.scale: expected two rising numbers"),
        ("data.spacing_mm=mean", "recipe-value", "data.spacing_mm: expected a list or 'median', got \"mean\""),
        ("data.workers=-1", "recipe-value", "data: workers must be 0 or more, got -1"),
        ("hardware.precision=f8", "recipe-value", "hardware.precision: expected 'auto', '32-true'"),
        ("method=simcl", "recipe-name", "method.name: nothing is registered as 'simcl' [recipe-name] (did you mean"),
        ("encoder=resnt", "recipe-name", "encoder.name: nothing is registered as 'resnt'"),
        ("views.augment=[noize]", "recipe-name", "views.augment[0].name: nothing is registered as 'noize'"),
        ("views.augment=[{name: noise, p: 2}]", "recipe-value", "views.augment[0]: p must be in [0, 1], got 2"),
        ("encoder.widths=[4, -8, 8]", "recipe-value", "pre.yaml: encoder: widths must be above 0, got -8"),
        ("encoder=os:system", "recipe-class", "encoder.name: os:system must be a subclass of torch.nn:Module"),
        ("encoder=no_such_module:Net", "recipe-class", "encoder.name: cannot load no_such_module:Net"),
        ("nothing", "recipe-syntax", "nothing: an override reads key.path=value"),
    ],
)
def test_a_recipe_that_does_not_fit(change: str, code: str, says: str, refused: Refused) -> None:
    refused(["pretrain", "pre.yaml", "out=out", OWN_STORE, change], 2, code, says)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["method=spark", VIT], "pre.yaml: method: SparK needs a convolutional encoder (resnet, resenc), got ViT"),
        (["method=mae", RESNET], "pre.yaml: method: MAE needs a transformer that drops tokens (vit), got ResNet"),
        (["method={name: spark, cell: 7}"], "views.crop: crop (16, 16, 16) must be a multiple of the cells' edge 7"),
    ],
)
@pytest.mark.parametrize("verb", [["pretrain"], ["recipe", "check"]], ids=["pretrain", "check"])
def test_a_method_that_its_encoder_cannot_carry(
    verb: list[str], changes: list[str], says: str, refused: Refused
) -> None:
    # before any scan is prepared: the store would be in `out`
    refused([*verb, "pre.yaml", "out=out", OWN_STORE, *changes], 2, "method", says)


def test_what_shows_in_the_first_step_leaves_nothing(refused: Refused) -> None:
    patch = "encoder={name: vit, width: 48, depth: 2, heads: 3, patch: 7}"
    refused(["pretrain", "pre.yaml", "out=out", patch], 2, "encoder", "patches (7, 7, 7) must divide the input")
    refused(["pretrain", "pre.yaml", "out=out", "hardware.strategy=foo"], 2, "recipe-value", "hardware: ", "'foo'")
    views = "views.crop=[100000, 100000, 100000]"
    refused(["pretrain", "pre.yaml", "out=out", views], 5, "memory", "(lower views.crop)")


@pytest.mark.parametrize(
    ("text", "exit_code", "code", "says"),
    [
        ("", 2, "recipe-syntax", "bad.yaml: expected a mapping of keys, got nothing"),
        ("- a", 2, "recipe-syntax", "expected a mapping of keys, got a list"),
        ("a: b: c", 2, "recipe-syntax", "line 1: mapping values are not allowed here"),
        ("out: a\nout: b\n", 2, "recipe-syntax", "line 2: the key 'out' stands twice"),
        ("[" * 60, 2, "recipe-syntax", "nested more than 50 deep"),
        ("out: a\n", 2, "recipe-value", "the key method is missing [recipe-value] (it is one of simclr"),
        ("x: !!python/object/apply:os.system ['touch canary']\n", 4, "recipe-unsafe", "line 1: the YAML tag"),
        ("x: !!python/name:os.system\n", 4, "recipe-unsafe", "the YAML tag tag:yaml.org,2002:python/name:os.system"),
        ("x: !ENV ${HOME}\n", 4, "recipe-unsafe", "the YAML tag !ENV is not allowed"),
        ("x: &a [1]\ny: *a\n", 4, "recipe-unsafe", "line 1: YAML anchors and aliases are not allowed"),
        ("x: *a\n", 4, "recipe-unsafe", "line 1: YAML anchors and aliases are not allowed"),
        ("method: {_target_: os.system, command: touch canary}\n", 4, "recipe-unsafe", "method._target_: a recipe"),
    ],
)
@pytest.mark.parametrize(
    "verb", [["pretrain"], ["finetune"], ["recipe", "check"]], ids=["pretrain", "finetune", "check"]
)
def test_a_recipe_file_that_is_none_or_names_code(
    verb: list[str], text: str, exit_code: int, code: str, says: str, refused: Refused
) -> None:
    if "the key method" in says:
        says = says.partition(" method")[0] if verb == ["finetune"] else says
    Path("bad.yaml").write_text(text, encoding="utf-8")
    refused([*verb, "bad.yaml"], exit_code, code, "bad.yaml", says)


@pytest.mark.parametrize(
    "change",
    [
        "method=!!python/object/apply:os.system ['touch canary']",
        "method={_target_: os.system}",
        "method._target_=os.system",
        "seed=&a 1",
    ],
)
def test_an_override_that_names_code(change: str, refused: Refused) -> None:
    refused(["pretrain", "pre.yaml", "out=out", change], 4, "recipe-unsafe", change)


# --- weights ----------------------------------------------------------------------------------------------------------


def _weights(**changes: Any) -> None:
    """A copy of the pretrained weights as ``bad``, with other keys in its config."""
    shutil.rmtree("bad", ignore_errors=True)
    shutil.copytree("pre/weights", "bad")
    config = json.loads(Path("bad/config.json").read_text(encoding="utf-8"))
    Path("bad/config.json").write_text(json.dumps({**config, **changes}), encoding="utf-8")


def test_weights_of_another_architecture(refused: Refused, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["pretrain", "pre.yaml", "out=out", "init=pre", RESNET]
    refused(words, 3, "weights-fit", "pre/weights: the weights fit too little, at least 90 % is expected: loaded")
    assert cli.run([*words, "init_minimum=0.01"]) == 0
    assert "loaded 14 of 72 tensors, 6.1 % of the parameters; missing 50" in capfd.readouterr().out


@pytest.mark.parametrize("name", ["model.safetensors", "projector.safetensors", "config.json"])
def test_weights_without_a_file(name: str, refused: Refused) -> None:
    _weights()
    Path("bad", name).unlink()
    code = "weights-format" if name == "config.json" else "missing"
    for words in (["pretrain", "pre.yaml", "out=out", "init=bad"], ["weights", "check", "bad"]):
        refused(words, 3, code, "bad", name)


@pytest.mark.parametrize("name", ["bad/pytorch_model.bin", "bad/model.safetensors", "weights.pt", "weights.ckpt"])
def test_a_pickle_is_never_read(name: str, refused: Refused) -> None:
    _weights()
    Path(name).write_bytes(pickle.dumps(Canary()))
    given = "bad" if name.startswith("bad") else name
    for words in (
        ["pretrain", "pre.yaml", "out=out", f"init={given}"],
        ["finetune", "seg.yaml", "out=out", f"init={given}"],
        ["weights", "show", given],
        ["predict", given, "scans/0.nii.gz", "out"],
    ):
        refused(words, 4, "weights-unsafe", name, "safetensors")


def test_a_wrong_checksum(refused: Refused) -> None:
    _weights()
    data = bytearray(Path("bad/model.safetensors").read_bytes())
    data[-3] ^= 1
    Path("bad/model.safetensors").write_bytes(data)
    for words in (["pretrain", "pre.yaml", "out=out", "init=bad"], ["weights", "check", "bad"]):
        refused(words, 4, "hash", "bad/model.safetensors: expected sha256 ", ", got ")


@pytest.mark.parametrize(
    ("changes", "exit_code", "code", "says"),
    [
        ({"encoder": {"name": "os:system"}}, 4, "weights-unsafe", "weights cannot name code, got 'os:system'"),
        ({"encoder": {"name": "resenc", "_target_": "os.system"}}, 4, "weights-unsafe", "encoder._target_: weights"),
        ({"input": {"_target_": "os.system"}}, 4, "weights-unsafe", "input._target_: weights cannot name code"),
        ({"encoder": {"name": "foo"}}, 3, "weights-format", "expected an encoder among resnet, resenc, vit, swin"),
        ({"encoder": {"name": "resenc", "width": 3}}, 3, "weights-format", "unknown key encoder.width"),
        ({"encoder": {"name": "resenc", "widths": [3]}}, 3, "weights-format", "blocks must have 1 entries"),
        ({"checksums": {"../x.safetensors": "0" * 64}}, 3, "weights-format", "no checksum of model.safetensors"),
        ({"in_channels": "x"}, 3, "weights-format", 'in_channels: expected a whole number above 0, got "x"'),
        ({"crop": [0, 1]}, 3, "weights-format", "crop: expected three whole numbers above 0, got [0, 1]"),
        ({"input": 3}, 3, "weights-format", "input: expected what prepare writes down"),
        ({"trained_on": 3}, 3, "weights-format", "trained_on: expected a mapping with a list of scans, got 3"),
        ({"task": "segment"}, 3, "weights-format", 'task: expected a mapping with a name, got "segment"'),
        ({"format": 99}, 3, "weights-format", "expected format 1, got 99"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_config_that_does_not_fit(
    changes: dict[str, Any], exit_code: int, code: str, says: str, refused: Refused
) -> None:
    _weights(**changes)
    refused(["weights", "check", "bad"], exit_code, code, "bad", says)


# --- predictions and labels -------------------------------------------------------------------------------------------


def test_pretrained_weights_do_not_predict(refused: Refused) -> None:
    words = ["predict", "pre", "scans/0.nii.gz", "out"]
    refused(words, 3, "weights-format", "pre/weights: these weights have no head that predicts", "(fine-tune")


def test_another_number_of_channels(refused: Refused, capfd: pytest.CaptureFixture[str]) -> None:
    scan = read("scans/0.nii.gz")
    write(Volume(np.concatenate([scan.data, scan.data]), scan.affine), "two.nrrd")
    refused(["predict", "seg", "two.nrrd", "out"], 3, "not-a-volume", "two.nrrd: expected 1 channel, got 2")
    Path("mixed.csv").write_text("image,patient_id\nscans/0.nii.gz,a\ntwo.nrrd,b\n", encoding="utf-8")
    # the mask of the first scan goes again
    refused(["predict", "seg", "mixed.csv", "out"], 3, "not-a-volume", "two.nrrd: expected 1 channel, got 2")
    assert cli.run(["predict", "seg", "mixed.csv", "out", "--continue-on-error"]) == 1
    assert "set aside: two.nrrd: expected 1 channel, got 2 [not-a-volume]" in capfd.readouterr().out
    assert listing(Path("out")) == {"0.nii.gz", "predictions.json"}


def test_evaluation_of_what_is_not_there(refused: Refused) -> None:
    words = ["evaluate", "masks", "scans/manifest.csv", "--split", "train"]
    refused(words, 3, "too-few", "scans/manifest.csv: no row of the manifest has a prediction")
    Path("odd").mkdir()
    for text, says in (("{}", "is not a file that predict wrote"), ("{", "expected JSON")):
        Path("odd/predictions.json").write_text(text, encoding="utf-8")
        refused(["evaluate", "odd", "scans/manifest.csv"], 3, "format", f"odd/predictions.json: {says}")


def _labelled(data: Any, affine: Any) -> None:
    """``scans/bad.csv``: the manifest with another label map for the first scan."""
    write(Volume(data, affine), "scans/bad.nii.gz")
    text = Path("scans/manifest.csv").read_text(encoding="utf-8")
    Path("scans/bad.csv").write_text(text.replace("0_label.nii.gz", "bad.nii.gz"), encoding="utf-8")
    shutil.copy("scans/manifest.yaml", "scans/bad.yaml")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("moved", "bad.nii.gz: the label map's affine differs from its image's by 5 mm"),
        ("cropped", "bad.nii.gz: the label map has (35, 34, 24) voxels, its image (36, 34, 24)"),
        ("undeclared", "bad.nii.gz has values that are no declared class: [9]"),
        ("halves", "voxels of the label map are not whole numbers"),
        ("below", "-5"),
    ],
)
def test_labels_that_do_not_fit(how: str, says: str, refused: Refused) -> None:
    label = read("scans/0_label.nii.gz")
    moved = label.affine.copy()
    moved[0, 3] += 5
    made = {
        "moved": (label.data, moved),
        "cropped": (label.data[:, :-1], label.affine),
        "undeclared": (np.where(label.data == 2, np.uint8(9), label.data), label.affine),
        "halves": (label.data + np.float32(0.5), label.affine),
        "below": (label.data.astype(np.int16) - 5, label.affine),
    }
    _labelled(*made[how])
    assert says in refused(["manifest", "check", "scans/bad.csv", "--deep"], 3, "manifest-check", "1 problem")
    # whole entries of the other scans may stay, the damaged one and the store's own file must not
    for words in (
        ["prepare", "scans/bad.csv", "out"],
        ["finetune", "seg.yaml", "out=new", "data.manifest=scans/bad.csv", "data.store=out"],
    ):
        kept = _entries_of_undeclared() if how == "undeclared" else set()
        refused(words, 3, "label", says, leaves=kept)
        assert not Path("out/store.json").exists()
        shutil.rmtree("out", ignore_errors=True)


def _entries_of_undeclared() -> set[str]:
    """The entries that preparing the scans alone makes: their voxels are sound, only the names do not fit."""
    assert cli.run(["prepare", "scans/bad.csv", "whole", "--root", "scans"]) == 3
    made = {name.replace("whole", "out", 1) for name in listing(Path()) if name.split("/")[0] == "whole"}
    shutil.rmtree("whole")
    return made


# --- run folders, disks, the network ----------------------------------------------------------------------------------


def test_a_run_is_never_overwritten(refused: Refused) -> None:
    refused(["pretrain", "pre.yaml"], 2, "exists", "pre: a run stands there already", "(go on with --resume")
    refused(["finetune", "seg.yaml"], 2, "exists", "seg: a run stands there already")
    refused(["predict", "seg", "scans/0.nii.gz", "masks"], 2, "exists", "masks: there are predictions already")
    refused(["demo", "--out", "scans", "--phantoms"], 2, "exists", "scans: something stands there already")


def test_a_changed_recipe_does_not_go_on(refused: Refused) -> None:
    words = ["pretrain", "pre.yaml", "--resume", "optim.lr=0.1"]
    refused(words, 2, "resume", "pre: the run cannot go on, 1 setting changed: optim.lr was 0.001, is 0.1")


def test_damaged_checkpoints_do_not_go_on(refused: Refused) -> None:
    shutil.copytree("pre", "cut")
    for path in Path("cut/checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-5])
    refused(["pretrain", "pre.yaml", "--resume", "out=cut"], 3, "checkpoint", "cut/checkpoints: no checkpoint is whole")


@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "scans/manifest.csv", "pre.yaml"],
        ["reduce", "scans/manifest.csv", "pre.yaml"],
        ["pretrain", "pre.yaml", "out=pre.yaml"],
        ["pretrain", "pre.yaml", "out=pre.yaml/run"],
        ["pretrain", "pre.yaml", "out=out", "data.store=pre.yaml"],
        ["predict", "seg", "scans/0.nii.gz", "pre.yaml"],
        ["manifest", "split", "scans/manifest.csv", "scans", "--shares", "train=1"],
        ["report", "pre", "--out", "scans"],
        ["recipe", "schema", "--out", "scans"],
    ],
    ids=" ".join,
)
def test_an_output_that_is_something_else(words: list[str], refused: Refused) -> None:
    expected = "expected a file, got a folder" if "scans" in (words[-1], words[3:4] and words[3]) else "got a file"
    refused(words, 2, "exists", expected)


@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "scans/manifest.csv", "locked/store"],
        ["reduce", "scans/manifest.csv", "locked/out"],
        ["convert", "scans/0.nii.gz", "locked/a.nii.gz"],
        ["convert", "scans/0.nii.gz", "locked/a.nrrd"],
        ["manifest", "build", "scans", "locked/a.csv"],
        ["manifest", "split", "scans/manifest.csv", "locked/a.csv", "--shares", "train=1"],
        ["pretrain", "pre.yaml", "out=locked/run"],
        ["predict", "seg", "scans/0.nii.gz", "locked/masks"],
        ["report", "pre", "--out", "locked/page.html"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
@pytest.mark.usefixtures("without_privilege")
def test_a_read_only_folder(words: list[str], refused: Refused) -> None:
    Path("locked").mkdir()
    Path("locked").chmod(0o555)
    refused(words, 5, "disk", "locked/")


def test_a_full_disk_while_preparing(refused: Refused) -> None:
    with small_disk(20_000):
        refused(["prepare", "scans/manifest.csv", "out"], 5, "disk", "out", "bytes are free", "bytes are needed")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.npz", "a.nrrd", "a.mha"])
def test_a_full_disk_while_converting(name: str, refused: Refused) -> None:
    with small_disk(20_000):
        refused(["convert", "scans/0.nii.gz", name], 5, "disk", f"{name}: ", "bytes are free")


def test_a_full_disk_while_training(refused: Refused, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["pretrain", "pre.yaml", "out=out"]
    started = {"out", "out/recipe.yaml", "out/metrics.csv", "out/checkpoints"}
    with small_disk(20_000):
        refused(words, 5, "disk", "out/checkpoints: ", "bytes are free", leaves=started)
    assert cli.run([*words, "--resume"]) == 0
    shutil.rmtree("out/weights")
    with small_disk(20_000):
        refused([*words, "--resume"], 5, "disk", "out/weights", "bytes are free")
    assert cli.run([*words, "--resume"]) == 0
    assert "went on from step 2" in capfd.readouterr().out
    assert Path("out/weights/model.safetensors").exists()


@pytest.mark.parametrize("words", [["data", "fetch", "samples"], ["demo"], ["demo", "--quick", "--out", "new"]])
def test_no_network(words: list[str], refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSL_OFFLINE", "1")
    refused(words, 5, "network", "MEDSSL_OFFLINE is set", "medssl demo --phantoms")


def test_ctrl_c_saves_and_the_run_goes_on(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # the signal comes in the middle of step 2, as from a terminal
    code = (
        "import os, signal, sys\n"
        "from medssl import cli\n"
        "from medssl.training.logs import MetricsFile\n"
        "write = MetricsFile.write\n"
        "def interrupted(self, step, *rest):\n"
        "    write(self, step, *rest)\n"
        "    if step == 2: os.kill(os.getpid(), signal.SIGINT)\n"
        "MetricsFile.write = interrupted\n"
        "cli.main(sys.argv[1:])\n"
    )
    words = ["pretrain", "pre.yaml", "out=out", "optim.steps=6"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "medssl: stopped; everything is saved, --resume goes on"
    assert not Path("out/weights").exists()
    assert [path.name[:14] for path in Path("out/checkpoints").iterdir()] == ["step-00000003-"]
    assert cli.run([*words, "--resume", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["steps"], told["notes"]) == (6, ["went on from step 3"])
