"""A run that was killed and goes on makes bit by bit what the uninterrupted run makes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from medssl.errors import UsageError
from medssl.methods.contract import Method
from medssl.store.store import Store
from medssl.training.fit import fit
from medssl.training.logs import read_metrics
from tests.training.tiny import make_method, make_plan, make_store

CASES = {"1": 0, "2": 0, "3": 0, "4": 3, "6": 3, "7": 6, "save": 3}
"""Where the run dies, and the step that the newest whole checkpoint is of."""


def _digest(method: Method) -> str:
    state = method.state_dict()
    return hashlib.sha256(
        b"".join(name.encode() + value.numpy().tobytes() for name, value in state.items())
    ).hexdigest()


def _losses(out: Path) -> list[str]:
    return [loss.hex() for loss in read_metrics(out / "metrics.csv")["loss"]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module")
def whole(store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], str]:
    """Losses and final state of the run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole")
    method = make_method("voco")
    fit(method, store, make_plan(method), out)
    losses = _losses(out)
    assert len(set(losses)) == 8
    return losses, _digest(method)


@pytest.fixture(scope="module")
def killed(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run folder of every case."""
    out = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.training.killed", str(store.path), str(out), *CASES]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n")[:-1] == [f"{case} 9" for case in CASES], done.stderr
    return out


@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_step_it_goes_on_exactly(
    case: str, store: Store, killed: Path, whole: tuple[list[str], str]
) -> None:
    method = make_method("voco")
    plan = make_plan(method, workers=2 if case in ("4", "save") else 0)
    report = fit(method, store, plan, killed / case, resume=True)
    note = f"went on from step {CASES[case]}"
    assert report["notes"] == [note if CASES[case] else "there was no checkpoint to go on from, the run began anew"]
    assert (_losses(killed / case), _digest(method)) == whole


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_leaves(
    number: int, code: int, store: Store, whole: tuple[list[str], str], tmp_path: Path
) -> None:
    def progress(done: int, total: int, text: str) -> None:
        if done == 5:
            os.kill(os.getpid(), number)

    method = make_method("voco")
    with pytest.raises(SystemExit, match=str(code)):
        fit(method, store, make_plan(method), tmp_path, progress=progress)
    method = make_method("voco")
    report = fit(method, store, make_plan(method), tmp_path, resume=True)
    assert report["notes"] == ["went on from step 5"]
    assert (_losses(tmp_path), _digest(method)) == whole
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_finished_run_has_nothing_to_do(store: Store, whole: tuple[list[str], str], tmp_path: Path) -> None:
    method = make_method("voco")
    fit(method, store, make_plan(method), tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    method = make_method("voco")
    assert fit(method, store, make_plan(method), tmp_path, resume=True)["steps"] == 8
    assert _digest(method) == whole[1]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files


def test_another_recipe_is_refused_with_the_differences(store: Store, tmp_path: Path) -> None:
    method = make_method()
    plan = make_plan(method, steps=2, every=1, recipe={"recipe": {"optim": {"lr": 0.1}, "out": "a"}, "manifest": "x"})
    fit(method, store, plan, tmp_path)
    changed = replace(plan, recipe={"recipe": {"optim": {"lr": 0.2}, "out": "b"}, "manifest": "y"})
    with pytest.raises(UsageError, match=r"2 settings changed: optim\.lr was 0\.1, is 0\.2; manifest was") as caught:
        fit(make_method(), store, changed, tmp_path, resume=True)
    assert caught.value.code == "resume"
