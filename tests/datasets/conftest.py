"""The tables of the suite that a test module names as SUITE."""

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
