"""The metrics file."""

from __future__ import annotations

import math
from pathlib import Path

from medssl.training.logs import MetricsFile, TensorBoard, read_metrics


def test_rows_come_back_exactly(tmp_path: Path) -> None:
    log = MetricsFile(tmp_path / "metrics.csv")
    log.write(0, "main", {"loss": 0.1})
    log.write(1, "main", {"loss": 1 / 3})
    assert read_metrics(tmp_path / "metrics.csv") == {"step": [0, 1], "stage": ["main"] * 2, "loss": [0.1, 1 / 3]}


def test_a_new_column_leaves_the_old_rows_empty(tmp_path: Path) -> None:
    log = MetricsFile(tmp_path / "metrics.csv")
    log.write(0, "one", {"loss": 1.0})
    log.write(1, "two", {"loss": 2.0, "extra": 3.0})
    found = read_metrics(tmp_path / "metrics.csv")
    assert math.isnan(found["extra"][0])
    assert found["extra"][1] == 3.0
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == "step,stage,loss,extra"


def test_a_run_that_goes_on_drops_later_and_cut_rows(tmp_path: Path) -> None:
    log = MetricsFile(tmp_path / "metrics.csv")
    for step in range(4):
        log.write(step, "main", {"loss": float(step), "lr": 1.0})
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("4,ma")
    MetricsFile(tmp_path / "metrics.csv", 2).write(2, "main", {"loss": 9.0, "lr": 1.0})
    assert read_metrics(tmp_path / "metrics.csv")["loss"] == [0.0, 1.0, 9.0]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


def test_tensorboard_writes_events(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path / "tb")
    board.write(0, "main", {"loss": 1.0})
    board.close()
    assert any(p.name.startswith("events") for p in (tmp_path / "tb").iterdir())


def test_tensorboard_shows_histograms_and_words(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = TensorBoard(tmp_path)
    board.histogram(3, "main/similarity", [1, 0, 0, 3])
    board.text(3, "main/health", "the run has collapsed")
    board.close()
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    (event,) = found.Histograms("main/similarity")
    told = event.histogram_value
    assert (event.step, told.num, told.sum, told.sum_squares) == (3, 4.0, 1.5, 2.25)
    # TensorBoard drops empty bins at the ends
    counts = dict(zip(told.bucket_limit, told.bucket, strict=True))
    assert {limit: count for limit, count in counts.items() if count} == {-0.5: 1.0, 1.0: 3.0}
    (text,) = found.Tensors("main/health/text_summary")
    assert text.tensor_proto.string_val == [b"the run has collapsed"]
