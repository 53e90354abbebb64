"""A season in small: two of eight runs are forecast from their beginning, registered, and later finished."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

import predictdyn as pdyn
from predictdyn.api.forecasts import Forecast
from predictdyn.curves import Curves

OPEN = ("f3-s0", "f3-s1")


class Season(NamedTuple):
    """Curves before and after, and the forecast that was made before."""

    before: Curves
    after: Curves
    forecast: Forecast


def begun(curves: Curves, progress: float, runs: tuple[str, ...] = OPEN) -> Curves:
    """The logs as they stood when some runs had come so far."""
    points = curves.points
    late = points["run"].isin(runs) & (points["step"].to_numpy(float) > progress * 1000)
    return curves.where(~late.to_numpy())


@pytest.fixture(scope="session")
def season(small: Curves) -> Season:
    after = small.select(metrics=["accuracy", "loss"])
    before = begun(after, 0.2)
    made = pdyn.forecast(before, forecaster="mean_change", metrics=["accuracy", "loss"], progress=False)
    return Season(before, after, made)


@pytest.fixture
def ledger(season: Season, tmp_path: Path) -> Path:
    """A ledger with the forecast of the season, not resolved."""
    path = tmp_path / "runs.ledger"
    pdyn.register(season.forecast, path, events=["accuracy > 0.5 and loss < 2"], author="Ada")
    return path
