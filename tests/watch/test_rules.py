"""Simple rules beside learnt alarms: each against a slow way to the same number, and what is no catch of theirs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from predictdyn.curves import Curve, Curves
from predictdyn.watch.rules import RULES, cusum, not_finite, over_median, paths_of, patience


def _curve(seed: int = 0) -> Curve:
    value = np.exp(np.random.default_rng(seed).standard_normal(60) * 0.1 - np.arange(60) / 40)
    return Curve(np.arange(60.0) * 10, value, np.full(60, np.nan))


def test_the_height_over_the_median_is_that_of_the_ten_points_before():
    curve = _curve()
    height = over_median(curve)
    for i in (2, 7, 40):
        assert np.isclose(height[i], curve.value[i] / np.median(curve.value[max(0, i - 10) : i]))
    assert height[0] == 0.0


def test_sums_of_rises_are_those_of_a_loop():
    curve = _curve(1)
    change = np.r_[0.0, np.diff(np.log(curve.value))]
    total, found = 0.0, [0.0]
    for i in range(1, 60):
        before = change[max(0, i - 10) : i]
        score = (change[i] - before.mean()) / (before.std(ddof=1) + 1e-3) if i >= 3 else 0.0
        total = max(0.0, total + np.clip(score, -10, 10) - 0.5)
        found.append(total)
    assert max(found) > 0.5
    np.testing.assert_allclose(cusum(curve), found, atol=1e-9)


def test_patience_counts_from_the_lowest_loss():
    curve = Curve(np.array([0.0, 1, 2, 3, 4]), np.array([3.0, 1, 2, 0.5, 2]), np.full(5, np.nan))
    assert patience(curve).tolist() == [0.0, 0.0, 0.25, 0.0, 0.25]


def test_no_run_is_judged_by_its_own_part(fresh):
    healthy = fresh.runs.index[:30].tolist()
    parts = [healthy[:15], healthy[15:]]
    paths = paths_of(RULES["median"], fresh, healthy, [], parts)
    again = paths_of(RULES["median"], fresh.select(runs=healthy), healthy, [], parts[:1])
    mine = paths[paths["run"].isin(parts[0])].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, again)
    assert paths_of(RULES["median"], fresh, healthy[:4], [], [healthy[:4]]) is None  # none is left to learn from
    assert paths_of(RULES["gradient"], fresh.select(metrics=["loss"]), healthy, [], parts) is None


def test_only_a_fact_rings_without_a_threshold(fresh):
    events = pd.DataFrame({"run": fresh.runs.index[:2], "step": [50.0, 60.0], "what": ["loss is NaN", "diverged"]})
    found = not_finite(Curves(fresh.points, fresh.runs, fresh.metrics, events))
    assert found["run"].tolist() == [fresh.runs.index[0]] and found["p"].tolist() == [0.0]
