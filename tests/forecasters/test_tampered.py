"""A saved model never tells what it saw of the run in question: two that differ in its future alone say the same."""

import numpy as np
import pandas as pd
import pytest

from predictdyn.backtest.live import LiveSplit, split_live, without
from predictdyn.curves import Curves, curves_from
from predictdyn.forecasters import fit, forecaster, load, names, save
from predictdyn.forecasters._fitted import Fitted
from predictdyn.problem import History

CUTOFF = 0.3
METRICS = {"accuracy", "loss", "gradient_norm"}
SLOW = {"pooled", "auto", "curve_ensemble"}  # each of their members is tested by itself


def tampered(curves: Curves, runs: set[str]) -> Curves:
    """The same curves, but that some runs end another way than they did."""
    late = (curves.points["step"] > CUTOFF * 1000) & curves.points["run"].isin(runs)
    value = curves.points["value"].where(~late, 0.2 * curves.points["value"])
    return curves_from(curves.points.assign(value=value), curves.runs, dict(curves.metrics))


def renamed(curves: Curves, names: dict[str, str]) -> Curves:
    points = curves.points.assign(run=curves.points["run"].replace(names))
    return curves_from(points, curves.runs.rename(index=names), dict(curves.metrics))


def said(name: str, known: Curves, curves: Curves, ask: LiveSplit, folder) -> tuple[np.ndarray, list[str]]:
    """Draws of a model that was fitted on ``known``, kept and read again, and the words for what was done to it."""
    save(fit(name, known, seed=1), folder)
    fitted, words = without(load(folder), curves, ask)
    return fitted.forecast(ask.observed, ask.target, seed=3).draws, words


@pytest.mark.parametrize("name", [name for name in names() if name not in SLOW])
def test_a_model_does_not_know_how_the_run_in_question_ended(name, small, tmp_path):
    curves = small.select(metrics=METRICS)
    ask = split_live(curves.select(runs=["f2-s0"]), runs=("f2-s0",), cutoff=CUTOFF)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, words = said(name, curves, curves, ask, tmp_path / "a")
    other, _ = said(name, tampered(curves, {"f2-s0"}), curves, ask, tmp_path / "b")
    assert np.array_equal(one, other)
    assert len(words) == 1 and "fitted on 1 run(s) in question" in words[0] and "(f2-s0)" in words[0]
    assert "fitted again without them, on 7 run(s)" in words[0]


@pytest.mark.parametrize("name", sorted(SLOW))
def test_the_slow_ones_learn_again_from_what_is_left(name, small):
    # What they learn is a function of the history and the seed (test_contract); so it is the history that counts.
    learnt = {"weights": {"of all runs": np.ones(1)}}
    ask = split_live(small.select(runs=["f2-s0"]), runs=("f2-s0",), cutoff=CUTOFF)
    again, _ = without(Fitted(forecaster(name), History(small, learnt), 7), small, ask)
    assert set(again.history.runs.index) == set(small.runs.index) - {"f2-s0"}
    assert set(again.history.points["run"]) == set(again.history.runs.index)
    assert again.model == forecaster(name) and again.seed == 7 and again.past.learnt == {}


def arms(curves: Curves) -> Curves:
    """Every first seed with an arm that leaves it at the end of what is seen and later."""
    bases = [run for run in curves.runs.index if run.endswith("s0")]
    names = {run: f"{run}-arm" for run in bases}
    more = curves.select(runs=bases)
    points = pd.concat([curves.points, more.points.assign(run=more.points["run"].map(names))])
    runs = pd.concat([curves.runs.assign(baseline=curves.runs.index), more.runs.assign(baseline=bases).rename(names)])
    return curves_from(points, runs, dict(curves.metrics))


def stripped(known: Curves, curves: Curves, run: str, **cut: float) -> set[str]:
    """The runs that a model forgets before it forecasts one."""
    ask = split_live(curves, runs=(run,), **(cut or {"cutoff": CUTOFF}))
    fitted, _ = without(fit("mean_change", known, seed=0), curves, ask)
    return set(known.runs.index) - set(fitted.history.runs.index)


def test_arms_and_baselines_are_forgotten_with_the_run(small):
    known = arms(small.select(metrics=METRICS))
    assert stripped(known, known, "f2-s0") == {"f2-s0", "f2-s0-arm"}
    assert stripped(known, known, "f2-s0-arm") == {"f2-s0", "f2-s0-arm"}
    # The data at hand may know less than the model: the run alone, without the column.
    alone = small.select(metrics=METRICS).select(runs=["f2-s0"]).truncate(CUTOFF)
    assert stripped(known, alone, "f2-s0", upto=300) == {"f2-s0", "f2-s0-arm"}


def test_a_run_that_goes_on_may_learn_from_the_run_it_left(small):
    known = arms(small.select(metrics=METRICS))
    rest = known.select(runs=set(known.runs.index) - {"f2-s0-arm"})
    live = known.select(runs=["f2-s0", "f2-s0-arm"])
    cut = live.points[(live.points["run"] == "f2-s0") | (live.points["step"] <= 300)]
    same = curves_from(cut, live.runs, dict(live.metrics))
    # As long as it has not left it, the run that it left tells how it goes on.
    assert stripped(rest, same, "f2-s0-arm", upto=300) == {"f2-s0"}
    left = cut.assign(value=cut["value"].where((cut["run"] == "f2-s0") | (cut["step"] < 200), cut["value"] * 0.99))
    parted = curves_from(left, live.runs, dict(live.metrics))
    assert stripped(rest, parted, "f2-s0-arm", upto=300) == set()


def test_the_same_run_under_another_name_is_forgotten_too(small):
    known = renamed(small.select(metrics=METRICS), {"f2-s0": "sweep/f2-s0"})
    assert stripped(known, small.select(metrics=METRICS), "f2-s0") == {"sweep/f2-s0"}


def test_a_model_of_other_runs_is_left_as_it_is(small):
    curves = small.select(metrics=METRICS)
    fitted = fit("mean_change", curves.select(runs=["f0-s0", "f0-s1"]), seed=0)
    ask = split_live(curves, runs=("f2-s0",), cutoff=CUTOFF)
    same, words = without(fitted, curves, ask)
    assert same is fitted and words == []
