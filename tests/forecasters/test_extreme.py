"""Almost nothing seen, and values at the ends of what a number can be: a sane forecast or a status, never a warning."""

import numpy as np
import pandas as pd
import pytest

from predictdyn.backtest.run import rows_of
from predictdyn.curves import Metric, curves_from
from predictdyn.forecasters import fit, names

SHARES = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5])
FALL = np.linspace(2.0, 1.0, 6)
VALUES = {
    "huge": 1e300 * FALL, "tiny": 1e-300 * FALL, "offset": 1e9 + 0.1 * FALL, "constant": np.full(6, 0.5),
    "zero": np.zeros(6), "denormal": 5e-324 * np.round(3 * FALL),
    "both ends": np.array([1e300, 1.0, 1e-300, 0, 1e9, 1]),
    "small": 0.3 * FALL, "below": -1e300 * FALL,
}  # fmt: skip
SOME_KINDS = {
    "free": {name: Metric(name, "signal") for name in VALUES},
    "loss": {name: Metric(name, "loss", 0.0) for name in VALUES if name != "below"},
    "share": {name: Metric(name, "capability", 0.0, 1.0) for name in ("tiny", "constant", "zero", "denormal", "small")},
}
SAMPLED = ("pooled", "auto")  # chains for every metric and run: without a history only


def asked(metrics: dict[str, Metric], runs: int, points: int):
    """Runs r0 (in question, seen to ``points`` of six points), r1, ..., which go on to the end."""
    frames = []
    for i in range(runs):
        for name in metrics:
            value, share = np.append(VALUES[name], VALUES[name][-1]), np.append(SHARES, 1.0)
            value = value if name in ("constant", "zero") else value * (1 - 0.01 * i)
            n = points if i == 0 else 7
            frames.append(pd.DataFrame({"run": f"r{i}", "metric": name, "step": 1000 * share[:n], "value": value[:n]}))
    runs_table = pd.DataFrame({"run": [f"r{i}" for i in range(runs)], "last_step": 1000})
    curves = curves_from(pd.concat(frames), runs_table, metrics)
    target = pd.DataFrame([("r0", name, 1000.0) for name in metrics], columns=["run", "metric", "step"])
    return curves, curves.select(runs=[f"r{i}" for i in range(1, runs)]), curves.select(runs=["r0"]), target


@pytest.mark.parametrize("kinds", SOME_KINDS)
@pytest.mark.parametrize("name", names())
def test_any_number_gets_a_sane_forecast_without_a_warning(name, kinds):
    metrics = SOME_KINDS[kinds]
    if name == "pooled":
        metrics = {one: metrics[one] for one in ("huge", "denormal") if one in metrics}
    for runs, points in ((1, 6), (1, 1)) if name in SAMPLED else ((6, 6), (6, 1), (1, 6), (1, 2), (1, 1)):
        curves, history, seen, target = asked(metrics, runs, points)
        found = fit(name, history, seed=0).forecast(seen, target, seed=0)
        truth = np.array([VALUES[metric][-1] for metric in target["metric"]])
        rows = rows_of(found, truth, curves, forecaster=name, fold="f", cutoff=0.5)
        numbers = rows[["mean", "sd", "crps", "pit", "q0.05", "q0.95"]].to_numpy()
        assert np.isfinite(numbers).all(), rows[~np.isfinite(numbers).all(axis=1)]
        for row, metric in enumerate(target["metric"]):
            one, low, high = metrics[metric], *np.quantile(found.draws[row], [0.005, 0.995])
            assert one.lower is None or found.draws[row].min() >= one.lower
            assert one.upper is None or found.draws[row].max() <= one.upper
            if found.status[row] == "ok" and metric in ("huge", "tiny", "offset", "constant", "small", "below"):
                size = np.abs(VALUES[metric]).max()
                size += 1e-8 if kinds == "share" else 0.0  # nearer to a bound than 1e-9 of the range is on it
                assert np.median(np.abs(found.draws[row])) < 30 * size and low <= high, (metric, low, high)


@pytest.mark.parametrize("points", [1, 2])
@pytest.mark.parametrize("name", names())
def test_one_or_two_points_and_no_history_are_not_certain(name, points):
    metrics = {
        "small": Metric("small", "signal"), "huge": Metric("huge", "loss", 0.0),
        "constant": Metric("constant", "capability", 0.0, 1.0),
    }  # fmt: skip
    _, history, seen, target = asked(metrics, 1, points)
    found = fit(name, history, seed=0).forecast(seen, target, seed=0)
    assert (found.status != "ok").all()
    low, high = np.quantile(found.draws, [0.05, 0.95], axis=1)
    last = np.array([VALUES[metric][points - 1] for metric in metrics])
    assert (high - low > 0.5 * last).all(), (low, high)
    assert (low[2] < 0.2) and (high[2] > 0.8), "the spread of the range"
