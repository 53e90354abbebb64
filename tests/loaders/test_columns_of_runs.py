"""Tables with one column a run: told where they are read as metrics, and read by columns=runs."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from predictdyn import loaders

RUNS = ("small lr=1e-4", "small lr=1e-3", "large lr=1e-4")


def chart(folder: Path, name: str, columns: tuple[str, ...], scales: tuple[float, ...] = (1.0, 1.1, 1.2)) -> Path:
    rows = [[str(step), *(f"{scale * (1 + 9 / step):.4f}" for scale in scales)] for step in range(1, 9)]
    rows[-1][-1] = ""  # the last run has not come so far
    (folder / name).write_text("\n".join(map(",".join, [["Step", *columns], *rows])) + "\n")
    return folder / name


def lines(path: Path, **options: object) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaders.load(path, "wide", last_step=8, **options)
    return [str(one.message) for one in caught]


def test_columns_that_look_like_runs_are_told_with_the_option_that_reads_them(tmp_path: Path) -> None:
    (line,) = lines(chart(tmp_path, "val_loss by run.csv", RUNS))
    assert "the 3 columns beside Step look like runs and not like metrics (small lr=1e-4, " in line
    assert line.endswith("read the table with source='wide', columns='runs'")


@pytest.mark.parametrize(
    ("name", "columns", "scales"),
    [
        ("log.csv", ("alpha", "beta", "gamma"), (1, 1, 1)),  # neither numbers in names, nor a metric as file
        ("val_loss.csv", ("a1", "b2", "c3"), (1, 20, 400)),  # values of other sizes
        ("val_loss.csv", ("a1", "b2", "val_loss"), (1, 1, 1)),  # one is a metric
        ("val_loss.csv", ("a1", "b2"), (1, 1)),  # too few
    ],
)
def test_columns_that_may_well_be_metrics_are_not_told(
    tmp_path: Path, name: str, columns: tuple[str, ...], scales: tuple[float, ...]
) -> None:
    assert not any("look like runs" in line for line in lines(chart(tmp_path, name, columns, scales)))


def test_each_column_is_a_run_of_the_metric_that_the_file_names(tmp_path: Path) -> None:
    chart(tmp_path, "val_loss by run.csv", RUNS)
    chart(tmp_path, "chart.csv", tuple(f"{run} - val_acc" for run in RUNS), (0.05, 0.04, 0.03))
    curves = loaders.load(tmp_path, "wide", columns="runs", last_step=8)
    assert curves.runs.index.tolist() == sorted(RUNS) and set(curves.runs["family"]) == set(RUNS)
    assert {name: metric.kind for name, metric in curves.metrics.items()} == {
        "val_loss": "loss",
        "val_acc": "capability",
    }
    of_one = curves.points[(curves.points["run"] == "large lr=1e-4") & (curves.points["metric"] == "val_loss")]
    assert of_one["step"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert of_one["value"].tolist()[:2] == [12.0, 6.6]


def test_no_clock_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "loss.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="columns='runs' needs a column for the step; name it with step="):
        loaders.load(tmp_path / "loss.csv", "wide", columns="runs")
