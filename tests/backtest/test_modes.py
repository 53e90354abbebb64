"""Modes of forecasts as rows of a table: found at the last step of a run, and at each step before parted alike."""

from __future__ import annotations

import numpy as np
import pandas as pd

from predictdyn.backtest.modes import MODES, last_rows, modes_of, upper_share
from predictdyn.backtest.run import rows_of
from predictdyn.curves import Metric, curves_from
from predictdyn.fitting.two_modes import two_modes
from predictdyn.forecast import Prediction

ACCURACY = Metric("accuracy", "capability", 0.0, 1.0, "higher")


def _two_heaps(rng: np.random.Generator, n: int) -> np.ndarray:
    """Rows of sorted draws (n, 1000) between zero and one: heaps of any share, width and distance."""
    share, apart, width = rng.uniform(0.02, 0.98, (n, 1)), rng.uniform(0, 8, (n, 1)), rng.uniform(0.3, 1, (n, 1))
    low, high = rng.standard_normal((n, 1000)), apart + width * rng.standard_normal((n, 1000))
    latent = np.where(rng.random((n, 1000)) < share, high, low)
    return np.sort(1 / (1 + np.exp(-(latent - 2) * rng.uniform(0.3, 1.5, (n, 1)))), axis=1)


def test_a_first_look_at_a_few_draws_misses_no_row_with_two_modes():
    draws = _two_heaps(np.random.default_rng(3), 800)
    slowly = two_modes(draws)
    apart = np.array(
        [
            np.ptp(np.quantile(row, [(1 - up) / 2, 1 - up / 2])) if up == up else 0
            for row, up in zip(draws, slowly.upper, strict=True)
        ]
    )
    wanted = np.where(apart >= 0.05, slowly.upper, np.nan)
    assert 300 < np.isfinite(wanted).sum() < 600  # both kinds are among them
    np.testing.assert_array_equal(upper_share(draws, [ACCURACY] * len(draws)), wanted)


def test_steps_on_the_way_are_parted_at_the_share_of_the_last_step():
    target = pd.DataFrame(
        {"run": ["a", "a", "b", "a"], "metric": "accuracy", "step": [100.0, 50.0, 100.0, 75.0]}
    )  # fmt: skip
    rng = np.random.default_rng(0)
    two = np.r_[rng.normal(0.2, 0.01, 700), rng.normal(0.8, 0.01, 300)]
    draws = np.stack([two, np.linspace(0, 1, 1000), rng.normal(0.5, 0.02, 1000), np.linspace(0, 1, 1000)])
    ends = last_rows(target)
    assert ends.last.tolist() == [True, False, True, False]
    upper = np.full(4, np.nan)
    upper[ends.last] = upper_share(np.sort(draws[ends.last], axis=1), [ACCURACY] * 2)
    found = pd.DataFrame(modes_of(ends, upper, draws), columns=MODES)
    np.testing.assert_allclose(found["upper"], [0.3, 0.3, np.nan, 0.3], atol=1e-9)
    np.testing.assert_allclose(found["low_q0.5"], [0.2, 0.35, np.nan, 0.35], atol=0.005)
    np.testing.assert_allclose(found["high_q0.5"], [0.8, 0.85, np.nan, 0.85], atol=0.005)


def test_no_target_has_no_modes():
    target = pd.DataFrame({"run": [], "metric": [], "step": []})
    ends = last_rows(target)
    assert modes_of(ends, np.full(0, np.nan), np.zeros((0, 1000))).shape == (0, 7)


def test_a_fallback_has_no_modes():
    """It draws both ways from the last value, which parts into two heaps that are no outcomes."""
    rng = np.random.default_rng(0)
    points = pd.DataFrame({"run": ["a", "b"], "metric": "accuracy", "step": 1.0, "value": 0.5})
    curves = curves_from(points, pd.DataFrame({"last_step": 10.0}, index=["a", "b"]), {"accuracy": ACCURACY})
    heaps = np.where(rng.random((2, 1000)) < 0.5, 0.1, 0.9) + 0.02 * rng.standard_normal((2, 1000))
    target = points[["run", "metric"]].assign(step=10.0)
    forecast = Prediction(target, heaps, np.array(["ok", "no two modes"], dtype=object))
    rows = rows_of(forecast, np.full(2, np.nan), curves, forecaster="x", fold="live", cutoff=np.nan)
    assert rows["upper"].notna().tolist() == [True, False]
