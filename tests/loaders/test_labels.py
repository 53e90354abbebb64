"""Labels and units of metrics come with metrics.csv and go with it; a table without them is as it was."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from predictdyn.backtest.folder import metrics_table
from predictdyn.curves import Metric
from predictdyn.loaders import tidy
from predictdyn.loaders.engine.companions import read_metrics

# Points alone say nothing of where runs end; what is said of that is tested in test_tidy.py.
pytestmark = pytest.mark.filterwarnings("ignore:.*no runs.csv says where runs end")
POINTS = "run,metric,step,value\na,acc,10,0.5\na,acc,20,0.6\na,lat,10,3\na,lat,20,2\n"
METRICS = "metric,kind,lower,upper,better,label,unit\nacc,capability,0,1,higher, test accuracy ,\nlat,signal,,,,,ms\n"


def _folder(path: Path, metrics: str) -> Path:
    path.mkdir()
    (path / "points.csv").write_text(POINTS)
    (path / "metrics.csv").write_text(metrics)
    return path


def test_label_and_unit_are_read_and_blank_where_they_are_blank(tmp_path: Path) -> None:
    metrics = tidy.load(_folder(tmp_path / "in", METRICS)).metrics
    assert [(one.label, one.unit) for one in metrics.values()] == [("test accuracy", ""), ("", "ms")]
    assert metrics["acc"] == Metric("acc", "capability", 0.0, 1.0, "higher", label="test accuracy")


def test_they_come_back_as_they_were_written(tmp_path: Path) -> None:
    curves = tidy.load(_folder(tmp_path / "in", METRICS))
    tidy.save(curves, tmp_path / "out")
    assert dict(tidy.load(tmp_path / "out").metrics) == dict(curves.metrics)
    assert read_metrics(tmp_path / "out" / "metrics.csv") == dict(curves.metrics)


def test_without_them_no_column_is_written(tmp_path: Path) -> None:
    rows = "\n".join(line.rsplit(",", 2)[0] for line in METRICS.splitlines())
    curves = tidy.load(_folder(tmp_path / "in", rows + "\n"))
    tidy.save(curves, tmp_path / "out")
    plain = ["metric", "kind", "lower", "upper", "better", "chance"]
    assert list(pd.read_csv(tmp_path / "out" / "metrics.csv")) == plain
    assert list(metrics_table(curves.metrics)) == plain
    labelled = {"acc": curves.metrics["acc"]._replace(label="accuracy")}
    assert list(metrics_table(labelled)) == [*plain, "label"]
