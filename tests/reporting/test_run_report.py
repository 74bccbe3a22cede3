from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medssl.commands.report import report
from medssl.errors import InputError
from medssl.reporting.run_folder import read_rows, read_run
from medssl.reporting.run_report import build_run_report
from tests.reporting.samples import write_run


def test_both_forms_of_metrics_are_understood(tmp_path: Path):
    wide, long = tmp_path / "wide.csv", tmp_path / "long.csv"
    wide.write_text("step,stage,loss,lr\n0,main,2.0,0.1\n1,main,1.5,\n")
    long.write_text("step,stage,name,value\n0,main,loss,2.0\n0,main,lr,0.1\n1,main,loss,1.5\n")
    assert read_rows(wide) == read_rows(long)
    assert len(read_rows(wide)) == 3


def test_empty_metrics_and_a_last_line_that_was_cut_off(tmp_path: Path):
    path = tmp_path / "metrics.csv"
    path.write_text("")
    assert read_rows(path) == []
    path.write_text("step,stage,loss,lr\n")
    assert read_rows(path) == []
    path.write_text("step,stage,loss,lr\n0,main,2.0,0.1\n1,ma")
    assert [row["name"] for row in read_rows(path)] == ["loss", "lr"]


def test_a_run_is_read_with_its_pictures_by_step(tmp_path: Path):
    run = read_run(write_run(tmp_path / "run", "mae", pictures=True))
    assert run.missing == ()
    assert run.recipe["encoder.depth"] == 10
    assert run.info["notes"] == "a, b"
    assert list(run.pictures) == [20, 40]
    assert sorted(run.pictures[20]) == ["input", "masked", "rebuilt"]


def test_the_page_tells_the_whole_run(tmp_path: Path):
    folder = write_run(tmp_path / "run", "mae", pictures=True)
    answer = report(folder)
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert answer == {"run": str(folder), "written": str(folder / "report.html"), "bytes": len(html.encode())}
    words = (
        "mae on resnet",
        "7 %",
        "similarity positive and negative",
        "Reconstructions",
        "encoder.depth",
        "data_wait",
    )
    assert [word for word in words if word not in html] == []
    assert 'role="note"' not in html


def test_missing_and_broken_pieces_are_left_out_with_a_word(tmp_path: Path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "main-00000010.npz").write_bytes(b"PK no archive")
    (tmp_path / "run.json").write_text("{")
    (tmp_path / "recipe.yaml").write_text("a: [1\n")
    html = build_run_report(tmp_path, tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert "There is no metrics.csv." in html
    assert "run.json cannot be read: expected JSON." in html
    assert "recipe.yaml cannot be read: line" in html
    assert "pictures/main-00000010.npz cannot be read." in html
    assert "has logged no numbers yet" in html


def test_pictures_are_never_unpickled(tmp_path: Path):
    (tmp_path / "pictures").mkdir()
    np.savez(tmp_path / "pictures" / "step_5.npz", input=np.array([{"a": 1}], dtype=object))
    run = read_run(tmp_path)
    assert run.pictures == {}
    assert "pictures/step_5.npz cannot be read." in run.missing


@pytest.mark.parametrize(("name", "came"), [("absent", "nothing there"), ("file", "a file")])
def test_a_missing_run_folder_is_refused(tmp_path: Path, name: str, came: str):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=rf"expected a run folder, got {came} \[run\]"):
        report(tmp_path / name)
