"""One contract, all forecasters: a new file in the folder is under test the moment it exists."""

import dataclasses
from functools import cache

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.forecasters import BASELINES, fit, forecaster, load, names, save

ALL = names()
CUTOFF = 0.25


def asked(curves: Curves, runs: list[str], metrics: tuple[str, ...] = ("accuracy", "loss", "gap")) -> pd.DataFrame:
    rows = [(run, metric, curves.runs.loc[run, "last_step"]) for run in runs for metric in metrics]
    return pd.DataFrame(rows, columns=["run", "metric", "step"])


@pytest.fixture(scope="module")
def split(small):
    """History, and the whole curves of the runs in question."""
    test = [run for run in small.runs.index if run.startswith("f2")]
    return small.select(runs=[run for run in small.runs.index if run not in test]), small.select(runs=test)


@pytest.fixture(scope="module")
def fitted(split):
    return cache(lambda name: fit(name, split[0], seed=3))


def answer(fitted, split, name, seed=5):
    return fitted(name).forecast(split[1].truncate(CUTOFF), asked(split[1], list(split[1].runs.index)), seed=seed)


@pytest.mark.parametrize("name", ALL)
def test_an_answer_has_every_row_and_stays_in_range(name, fitted, split):
    found = answer(fitted, split, name)
    assert found.draws.shape == (6, 1000) and np.isfinite(found.draws).all()
    assert found.target["metric"].tolist() == ["accuracy", "loss", "gap"] * 2
    accuracy, loss, gap = found.draws[0], found.draws[1], found.draws[2]
    assert accuracy.min() > 0 and accuracy.max() < 1 and loss.min() > 0 and gap.min() > -1 and gap.max() < 1
    assert (found.draws.std(axis=1) > 1e-6).all(), "no point masses"


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_draws_and_another_seed_others(name, fitted, split):
    assert np.array_equal(answer(fitted, split, name).draws, answer(fitted, split, name).draws)
    assert not np.array_equal(answer(fitted, split, name).draws, answer(fitted, split, name, seed=6).draws)


@pytest.mark.parametrize("name", ALL)
def test_saved_and_loaded_is_the_same(name, fitted, split, tmp_path):
    save(fitted(name), tmp_path)
    assert not list(tmp_path.rglob("*.pkl")) and not list(tmp_path.rglob("*.joblib"))
    loaded = load(tmp_path)
    again = loaded.forecast(split[1].truncate(CUTOFF), asked(split[1], list(split[1].runs.index)), seed=5)
    assert loaded.model == forecaster(name)
    assert np.array_equal(again.draws, answer(fitted, split, name).draws)


@pytest.mark.parametrize("name", ALL)
def test_rows_do_not_depend_on_what_else_is_asked(name, fitted, split):
    one = fitted(name).forecast(split[1].truncate(CUTOFF), asked(split[1], ["f2-s1"], ("loss",)), seed=5)
    assert np.array_equal(one.draws[0], answer(fitted, split, name).draws[4])


@pytest.mark.parametrize("name", ALL)
def test_settings_are_frozen_and_shown(name):
    one = forecaster(name)
    assert one.name == name and dataclasses.is_dataclass(one) and name in repr(one)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.name = "other"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "values", [[0.5, 0.5, 0.5, 0.5, 0.5], [0.2, 0.3], [1.0, 1.0, 1.0, 0.9, 5e8]], ids=["constant", "two", "spike"]
)
def test_odd_curves_without_history_get_a_sane_answer(name, values):
    step = np.arange(1, len(values) + 1) * 10**8
    points = pd.DataFrame({"run": "only", "metric": "m", "step": step, "value": values})
    runs = pd.DataFrame({"run": ["only"], "last_step": [10**9]})
    curves = curves_from(points, runs, {"m": Metric("m", "loss", 0.0)})
    nothing = curves.select(runs=[])
    found = fit(name, nothing, seed=0).forecast(curves, asked(curves, ["only"], ("m",)), seed=0)
    assert np.isfinite(found.draws).all() and (found.draws > 0).all() and found.draws.std() > 0


@pytest.mark.parametrize("name", ALL)
def test_a_run_of_which_nothing_was_seen_gets_a_row(name, fitted, split):
    hidden = split[1]
    blank = Curves(hidden.points[hidden.points["metric"] == "rate"], hidden.runs, hidden.metrics)
    found = fitted(name).forecast(blank, asked(hidden, ["f2-s0"]), seed=1)
    assert found.draws.shape == (3, 1000) and np.isfinite(found.draws).all()


@pytest.mark.parametrize("name", ALL)
def test_values_at_the_bounds_and_tiny_scales(name):
    share = np.linspace(0.1, 1, 10)
    frames = [
        pd.DataFrame({"run": run, "metric": metric, "step": (share * 100).astype(int), "value": value})
        for run in ("a", "b", "c")
        for metric, value in (("full", np.ones(10)), ("tiny", 1e-12 * (2 - share)))
    ]
    metrics = {"full": Metric("full", "capability", 0.0, 1.0), "tiny": Metric("tiny", "signal")}
    curves = curves_from(pd.concat(frames), None, metrics)
    seen = curves.select(runs=["c"]).truncate(0.5)
    found = fit(name, curves.select(runs=["a", "b"]), seed=0).forecast(
        seen, asked(curves, ["c"], ("full", "tiny")), seed=0
    )
    assert found.draws[0].max() <= 1 and np.median(found.draws[0]) > 0.9
    assert 0 < np.abs(found.draws[1]).max() < 1e-9


def test_an_unknown_forecaster_names_the_known():
    with pytest.raises(ValueError, match="no forecaster 'oracle'; known are last_value"):
        forecaster("oracle")


def test_the_folder_is_the_table():
    assert set(BASELINES) < set(ALL) and "auto" in ALL and not any(name.startswith("_") for name in ALL)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"not a fitted forecaster: expected model\.json"):
        load(tmp_path)
