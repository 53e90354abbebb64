"""The tables of the suite that a test module names as SUITE."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture(scope="module")
def data(request) -> Path:
    return request.module.SUITE / "data"


@pytest.fixture(scope="module")
def points(data) -> pd.DataFrame:
    return pd.read_parquet(data / "points.parquet")


@pytest.fixture(scope="module")
def runs(data) -> pd.DataFrame:
    return pd.read_csv(data / "runs.csv", index_col="run")


@pytest.fixture(scope="module")
def metrics(data) -> pd.DataFrame:
    return pd.read_csv(data / "metrics.csv", index_col="metric")


@pytest.fixture(scope="module")
def events(data) -> pd.DataFrame:
    return pd.read_csv(data / "events.csv")


@pytest.fixture
def made_again(request, points, tmp_path) -> Callable[[str], pd.DataFrame]:
    """A function that trains a run again -> its points: metric, step, and `error`, how far they are from the committed.

    The same points are there, the planned learning rate is exact, and nothing unfinished is left behind.
    """

    def make(run: str) -> pd.DataFrame:
        out = tmp_path / "data"
        command = [sys.executable, request.module.SUITE / "make.py", "--only", run, "--out", out]
        subprocess.run(command, check=True, capture_output=True)
        again = pd.read_parquet(out / "points.parquet")
        key = ["run", "metric", "step"]
        both = points[points.run == run].merge(again, on=key, suffixes=("", "_again"), how="outer", indicator=True)
        assert (both._merge == "both").all()
        both["error"] = (both.value - both.value_again).abs()
        assert both.error[both.metric == "learning_rate"].max() == 0
        assert not (tmp_path / "data.parts").exists()
        return both

    return make
