"""Auto: weights follow what the history teaches, and a member that fell back is left out."""

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import Metric, curves_from
from predictdyn.forecasters.auto import Auto

CHEAP = Auto(members=("last_value", "drift", "chance"), shares=(0.1, 0.5))


def rising(n: int = 12):
    """Runs that all rise by one from a level of their own: drift is right, last value is not."""
    rng = np.random.default_rng(0)
    step = np.arange(0, 101, 5)
    frames = []
    for i in range(n):
        value = rng.normal() + step / 100 + 0.01 * rng.standard_normal(len(step))
        frames.append(pd.DataFrame({"run": f"r{i:02}", "metric": "m", "step": step, "value": value}))
    return curves_from(pd.concat(frames), None, {"m": Metric("m", "capability")})


@pytest.fixture(scope="module")
def fitted():
    curves = rising()
    return CHEAP.fit(curves.of_runs([f"r{i:02}" for i in range(1, 12)]), seed=0), curves.of_runs(["r00"])


def test_the_right_member_is_found(fitted):
    for share in ("0.1", "0.5"):
        last, drift, chance, factor = fitted[0].weights["capability"][share]
        # Eleven rows stand against a prior of eight for equal weights.
        assert drift > 0.6 and last < 0.3 and chance < 0.15 and 0.4 < factor < 2.1


def test_the_forecast_is_sharp_and_holds_the_truth(fitted):
    one, run = fitted
    target = pd.DataFrame({"run": ["r00"], "metric": ["m"], "step": [100]})
    draws = one.forecast(run.upto(0.1), target, seed=0).draws[0]
    truth = run.by_key[("r00", "m")].value[-1]
    low, high = np.quantile(draws, [0.025, 0.975])
    assert low < truth < high and np.quantile(draws, 0.75) - np.quantile(draws, 0.25) < 0.3


def test_draws_of_one_run_are_paths(fitted):
    one, run = fitted
    target = pd.DataFrame({"run": "r00", "metric": "m", "step": [80, 100]})
    draws = one.forecast(run.upto(0.1), target, seed=0).draws
    assert np.corrcoef(draws)[0, 1] > 0.9


def test_without_history_it_learns_from_what_is_seen():
    curves = rising(1)
    found = CHEAP.fit(curves.of_runs([]), seed=0).forecast(
        curves.upto(0.5), pd.DataFrame({"run": ["r00"], "metric": ["m"], "step": [100]}), seed=0
    )
    assert found.status[0] == "ok" and np.isfinite(found.draws).all()
