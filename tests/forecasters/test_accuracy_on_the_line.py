"""Accuracy on the line: the line, what persists of a run's distance from it, and how unsure its guide is."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from predictdyn.curves import KEY, Curves, Metric, curves_from
from predictdyn.forecasters import forecaster
from predictdyn.forecasters.accuracy_on_the_line import AccuracyOnTheLine, AccuracyOnTheLineFitted, guides_for
from predictdyn.scores import crps

ONE = AccuracyOnTheLine()
NAME = ONE.name
A, B = -0.4, 0.7
STEPS = np.unique(np.geomspace(1, 1000, 25).astype(int))
METRICS = {
    "a_decoy": Metric("a_decoy", "capability", 0.0, 1.0, "higher"),
    "accuracy": Metric("accuracy", "capability", 0.0, 1.0, "higher"),
    "percent": Metric("percent", "capability", 0.0, 100.0, "higher"),
    "agreement": Metric("agreement", "signal", 0.0, 1.0),
    "shifted": Metric("shifted", "robustness", 0.0, 1.0, "higher"),
    "failed": Metric("failed", "robustness", 0.0, 1.0, "lower"),
    "loss": Metric("loss", "loss", 0.0),
}


def made(n: int = 30, *, persists: bool = True, off: float = 0.15, noise: float = 0.01, seed: int = 0) -> Curves:
    """Runs whose shifted accuracy is a line in their accuracy, each at its own distance, for good or anew each time.

    Accuracies rise late and by an amount that no plan knows; the decoy goes its own way.
    """
    rng = np.random.default_rng(seed)
    late = (STEPS / 1000) ** 0.7
    rows, runs = [], []
    for i in range(n):
        run, skill = f"r{i:02}", rng.standard_normal()
        guide = -1 + 0.3 * rng.standard_normal() + late * (1.5 + 0.7 * skill)
        distance = off * (rng.standard_normal() if persists else rng.standard_normal(len(STEPS)))
        shifted = A + B * guide + distance
        curves = {
            "a_decoy": rng.standard_normal() + late * rng.standard_normal(),
            "accuracy": guide,
            "agreement": 0.5 + 0.8 * guide + 0.15 * rng.standard_normal(),
            "shifted": shifted,
            "failed": -shifted,
        }
        values = {name: norm.cdf(z + noise * rng.standard_normal(len(STEPS))) for name, z in curves.items()}
        values |= {"percent": 100 * values["accuracy"], "loss": 1 + np.exp(-guide)}
        for name, value in values.items():
            rows.append(pd.DataFrame({"run": run, "metric": name, "step": STEPS, "value": value}))
        runs.append({"run": run, "family": f"f{i // 2:02}", "last_step": 1000})
    return curves_from(pd.concat(rows), pd.DataFrame(runs), METRICS)


def split(curves: Curves, n: int = 6) -> tuple[Curves, Curves]:
    runs = list(curves.runs.index)
    return curves.of_runs(runs[n:]), curves.of_runs(runs[:n])


def asked(curves: Curves, metrics: tuple[str, ...] = ("shifted",), steps: tuple[int, ...] = (1000,)) -> pd.DataFrame:
    rows = [(run, metric, step) for run in curves.runs.index for metric in metrics for step in steps]
    return pd.DataFrame(rows, columns=KEY)


def truth(curves: Curves, metric: str = "shifted") -> np.ndarray:
    return np.array([curves.by_key[run, metric].value[-1] for run in curves.runs.index])


def drawn(curves: Curves, target: pd.DataFrame, way=ONE, share: float = 0.1, n: int = 6) -> np.ndarray:
    """Probits of draws, every row of them an answer of its own."""
    history, test = split(curves, n)
    found = way.fit(history, seed=0).forecast(test.upto(share), target, seed=1)
    assert set(found.status) == {"ok"}
    return norm.ppf(found.draws)


def distance_at(curves: Curves, share: float) -> np.ndarray:
    """Each run's distance from the true line where it is cut."""
    seen = curves.upto(share).by_key
    last = {
        name: norm.ppf([seen[run, name].value[-1] for run in curves.runs.index]) for name in ("accuracy", "shifted")
    }
    return last["shifted"] - A - B * last["accuracy"]


def guide_draws(curves: Curves, share: float, way: str = "pooled_change") -> np.ndarray:
    history, test = split(curves)
    found = forecaster(way).fit(history, seed=0).forecast(test.upto(share), asked(test, ("accuracy",)), seed=5)
    return norm.ppf(found.draws)


@pytest.mark.parametrize("of", ["pooled_change", "climatology"])
def test_a_forecast_is_the_line_at_the_guide_and_the_distance_of_the_run(of):
    curves = made()
    test = split(curves)[1]
    found = np.median(drawn(curves, asked(test), AccuracyOnTheLine(of=of)), axis=1)
    guide = np.median(guide_draws(curves, 0.1, of), axis=1)
    expected = A + B * guide + distance_at(test, 0.1)
    assert np.abs(found - expected).max() < 0.06
    # Neither the line alone nor the distance alone would do.
    assert np.abs(found - A - B * guide).max() > 0.15
    last = np.array([test.upto(0.1).by_key[run, "shifted"].value[-1] for run in test.runs.index])
    assert np.abs(found - norm.ppf(last)).max() > 0.15


@pytest.mark.parametrize("persists", [True, False])
def test_as_much_of_the_distance_is_kept_as_persists(persists):
    curves = made(60, persists=persists)
    test = split(curves)[1]
    left = np.median(drawn(curves, asked(test)), axis=1) - A - B * np.median(guide_draws(curves, 0.1), axis=1)
    slope = np.polyfit(distance_at(test, 0.1), left, 1)[0]
    assert abs(slope - persists) < 0.25


def test_the_spread_is_that_of_the_guide_and_of_the_distance():
    sure = made(off=0.01)
    test = split(sure)[1]
    spread = drawn(sure, asked(test)).std(axis=1)
    assert np.all(np.abs(spread / (B * guide_draws(sure, 0.1).std(axis=1)) - 1) < 0.2)
    # A guide that is all but known leaves the distance, which is new each time.
    wild = made(persists=False, off=0.3)
    late = drawn(wild, asked(test), share=0.95).std(axis=1)
    assert np.all(B * guide_draws(wild, 0.95).std(axis=1) < 0.15) and np.all((late > 0.2) & (late < 0.6))


def test_intervals_hold_what_they_say_and_forecasts_beat_the_last_value():
    curves = made(60, noise=0.03)
    test = split(curves, 30)[1]
    target, right = asked(test), truth(test)
    draws = norm.cdf(drawn(curves, target, n=30))
    low, high = np.quantile(draws, [0.05, 0.95], axis=1)
    assert 0.75 < ((low < right) & (right < high)).mean() <= 1.0
    plain = forecaster("last_value").fit(split(curves, 30)[0], seed=0).forecast(test.upto(0.1), target, seed=1)
    assert crps(right, draws).mean() < 0.8 * crps(right, plain.draws).mean()


def test_the_guide_is_the_nearest_line_between_the_same_bounds():
    assert guides_for(METRICS["shifted"], METRICS) == ["a_decoy", "accuracy", "agreement"]
    assert guides_for(METRICS["accuracy"], METRICS) == ["a_decoy", "agreement"]
    assert guides_for(METRICS["loss"], METRICS) == guides_for(METRICS["percent"], METRICS) == []
    curves = made()
    history, test = split(curves)
    fitted = ONE.fit(history, seed=0)
    assert nearest(fitted, test.upto(0.1)) == ["accuracy", "agreement"]
    # Where accuracy was not looked at in a run, agreement guides it.
    seen = test.upto(0.1).of_metrics(set(METRICS) - {"accuracy"})
    found = fitted.forecast(seen, asked(test), seed=1)
    assert set(found.status) == {"ok"}
    other = ONE.fit(history.of_metrics(set(METRICS) - {"accuracy"}), seed=0).forecast(seen, asked(test), seed=1)
    assert np.array_equal(found.draws, other.draws)


def nearest(fitted: AccuracyOnTheLineFitted, seen: Curves) -> list[str]:
    from predictdyn.lines import tasks

    (task,) = tasks(fitted.history, seen, asked(seen))
    return [one.metric for one in fitted._ranked(task, fitted._candidates(seen, asked(seen))["shifted"])]


def test_an_error_is_on_the_line_of_an_accuracy():
    curves = made()
    test = split(curves)[1]
    found = drawn(curves, asked(test, ("failed",)))
    assert np.abs(np.median(found, axis=1) + np.median(drawn(curves, asked(test)), axis=1)).max() < 0.1
    assert np.isfinite(found).all(), "no draw is at a bound"


def test_a_run_whose_shift_was_never_measured_is_on_the_line():
    curves = made(off=0.02)
    history, test = split(curves)
    seen = test.upto(0.1).of_metrics(set(METRICS) - {"shifted"})
    found = ONE.fit(history, seed=0).forecast(seen, asked(test), seed=1)
    assert set(found.status) == {"ok"}
    expected = A + B * np.median(guide_draws(curves, 0.1), axis=1)
    assert np.abs(norm.ppf(np.median(found.draws, axis=1)) - expected).max() < 0.06


def test_steps_on_the_way_are_paths_and_rows_do_not_move_each_other():
    curves = made()
    history, test = split(curves)
    fitted = AccuracyOnTheLine(of="drift").fit(history, seed=0)
    target = asked(test, ("failed", "shifted"), (500, 1000))
    whole = fitted.forecast(test.upto(0.1), target, seed=1).draws
    for row in (0, 3, 10):
        alone = fitted.forecast(test.upto(0.1), target.iloc[[row]].reset_index(drop=True), seed=1)
        # But for the last digits: a baseline takes its sums over all steps of a run at once.
        np.testing.assert_allclose(alone.draws[0], whole[row], rtol=1e-9)
    assert np.corrcoef(whole[:2].argsort(axis=1).argsort(axis=1))[0, 1] > 0.3
    assert np.median(whole[2]) < np.median(whole[3]), "accuracy rises"


def test_nothing_after_the_cutoff_matters():
    curves = made()
    history, test = split(curves)
    changed = test.points.assign(value=test.points["value"].where(test.points["step"] <= 100, 0.5))
    tampered = dataclasses.replace(test, points=changed)
    fitted = ONE.fit(history, seed=0)
    before, after = (fitted.forecast(one.upto(0.1), asked(test), seed=1).draws for one in (test, tampered))
    assert np.array_equal(before, after)
    assert not np.array_equal(before, fitted.forecast(test.upto(0.2), asked(test), seed=1).draws)


def test_saved_and_loaded_with_its_settings(tmp_path):
    curves = made()
    history, test = split(curves)
    fitted = AccuracyOnTheLine(of="drift", shares=(1.0,), last=2).fit(history, seed=3)
    fitted.save(tmp_path)
    again = forecaster(NAME).load(tmp_path)
    assert again.settings == fitted.settings
    first, second = (one.forecast(test.upto(0.1), asked(test), seed=1) for one in (fitted, again))
    assert np.array_equal(first.draws, second.draws) and (first.status == "ok").all()


def test_it_gives_up_with_a_word():
    curves = made()
    history, test = split(curves)
    seen = test.upto(0.1)

    def status(past: Curves, now: Curves, metric: str = "shifted") -> str:
        found = ONE.fit(past, seed=0).forecast(now, asked(test.of_runs(["r00"]), (metric,)), seed=1)
        last = forecaster("last_value").fit(past, seed=0)
        assert np.isfinite(found.draws).all()
        plain = last.forecast(now, found.target, seed=1)
        assert abs(np.median(found.draws) - np.median(plain.draws)) < 0.02
        return str(found.status[0])

    three = list(history.runs.index[:6])
    assert status(history, seen, "loss") == "no guide on a line with it: last value"
    for others in ([], ["percent"], ["a_decoy"]):
        assert status(history.of_metrics(["shifted", *others]), seen) == "no guide on a line with it: last value"
    assert status(history.of_runs(three), seen) == "too few finished runs: last value"
    assert status(history.upto(0.6), seen) == "too few finished runs: last value"
    assert status(history, seen.of_metrics(["shifted"])) == "nothing seen of a guide: last value"
