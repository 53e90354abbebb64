"""Each baseline against its definition, by another road."""

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose

from predictdyn.curves import Metric, curves_from
from predictdyn.forecasters import fit


def three_runs():
    """Unbounded metric, so that the latent scale is the value itself: finished a and b, and c to be forecast."""
    step = np.array([1, 10, 50, 100])
    values = {"a": [5.0, 3.0, 2.0, 1.0], "b": [6.0, 4.0, 3.5, 3.0], "c": [5.5, 3.6, 2.6, 2.2]}
    points = pd.concat([pd.DataFrame({"run": r, "metric": "m", "step": step, "value": v}) for r, v in values.items()])
    return curves_from(points, None, {"m": Metric("m", "signal", None, None, None, 9.0)})


def median(name, curves=None, upto=0.5):
    curves = curves or three_runs()
    target = pd.DataFrame({"run": ["c"], "metric": ["m"], "step": [100]})
    history, seen = curves.select(runs=["a", "b"]), curves.select(runs=["c"]).truncate(upto)
    return float(np.median(fit(name, history, seed=0).forecast(seen, target, seed=0).draws[0]))


def test_last_value():
    assert_allclose(median("last_value"), 2.6, atol=0.1)


def test_mean_change_is_added():
    assert_allclose(median("mean_change"), 2.6 + ((1 - 2) + (3 - 3.5)) / 2, atol=0.1)


def test_mean_outcome_is_the_mean_end():
    assert_allclose(median("mean_outcome"), 2.0, atol=0.3)


def test_chance_is_the_stated_level():
    assert_allclose(median("chance"), 9.0, atol=0.5)


def test_straight_tails_follow_a_line_in_log_step_and_damped_ones_part_of_it():
    step = np.array([1, 3, 10, 30, 100])
    rows = [pd.DataFrame({"run": r, "metric": "m", "step": step, "value": 4 - 0.5 * np.log(step)}) for r in "abc"]
    curves = curves_from(pd.concat(rows), None, {"m": Metric("m", "signal")})
    assert_allclose(median("log_linear", curves, 0.3), 4 - 0.5 * np.log(100), atol=0.01)
    damped = 4 - 0.5 * (np.log(30) + 0.6 * np.log(100 / 30))
    assert_allclose(median("damped_slope", curves, 0.3), damped, atol=0.01)


def test_pow3_finds_a_power_law():
    step = np.unique(np.geomspace(1, 1000, 30).astype(int))
    rows = [pd.DataFrame({"run": r, "metric": "m", "step": step, "value": 1 + 3 * step**-0.4}) for r in "abc"]
    curves = curves_from(pd.concat(rows), None, {"m": Metric("m", "signal")})
    target = pd.DataFrame({"run": ["c"], "metric": ["m"], "step": [1000]})
    seen = curves.select(runs=["c"]).truncate(0.1)
    draws = fit("pow3", curves.select(runs=["a", "b"]), seed=0).forecast(seen, target, seed=0).draws
    assert_allclose(np.median(draws), 1 + 3 * 1000**-0.4, atol=0.02)


def test_nearest_run_takes_the_tail_of_the_twin():
    curves = three_runs()
    twin = curves.points.assign(value=np.where(curves.points["run"] == "c", 0.0, curves.points["value"]))
    twin.loc[twin["run"] == "c", "value"] = [5.0, 3.0, 2.0, 1.0]
    many = pd.concat(
        [twin, *(twin[twin["run"] == "b"].assign(run=f"b{i}", value=lambda t: t["value"] * 3) for i in range(2))]
    )
    found = curves_from(many, None, curves.metrics)
    target = pd.DataFrame({"run": ["c"], "metric": ["m"], "step": [100]})
    history, seen = found.select(runs=["a", "b", "b0", "b1"]), found.select(runs=["c"]).truncate(0.5)
    draws = fit("nearest_run", history, seed=0).forecast(seen, target, seed=0).draws
    assert 0.5 < np.median(draws) < 2.0


def test_the_spread_is_that_of_past_errors():
    rng = np.random.default_rng(0)
    frames = []
    for i in range(40):
        begin = rng.normal()
        frames.append(
            pd.DataFrame(
                {"run": f"r{i}", "metric": "m", "step": [1, 50, 100], "value": [begin, begin, begin + rng.normal()]}
            )
        )
    curves = curves_from(pd.concat(frames), None, {"m": Metric("m", "signal")})
    target = pd.DataFrame({"run": ["r0"], "metric": ["m"], "step": [100]})
    history = curves.select(runs=curves.runs.index.difference(["r0"]))
    draws = fit("last_value", history, seed=0).forecast(curves.select(runs=["r0"]).truncate(0.5), target, seed=0).draws
    assert 0.8 < draws.std() < 1.3, "errors have unit variance"
