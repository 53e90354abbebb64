"""Averages over forms: records, short curves, what other runs teach, and an answer to every curve there can be."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.fitting.structural import NodeScores, SampledNodes
from predictdyn.forecast import DRAWS, Prediction
from predictdyn.forecasters import fit
from predictdyn.forecasters._node_prior import learned_prior
from predictdyn.forecasters._series import record_bias
from predictdyn.forecasters.model_average import ModelAverage
from predictdyn.forecasters.structural import STRUCTURAL, StructuralNodes
from predictdyn.loaders import lm_eval
from predictdyn.problem import History, Problem
from predictdyn.scales import scale_for
from predictdyn.scores import crps

ONE = ModelAverage("one", StructuralNodes(), ("pow3",))
FREE = Metric("m", "signal")


def run_of(step, value, *, metric: Metric = FREE, last_step: float | None = None, run: str = "r") -> Curves:
    """One curve of one run."""
    points = pd.DataFrame({"run": run, "metric": metric.name, "step": step, "value": value})
    end = float(step[-1]) if last_step is None else last_step
    return curves_from(points, pd.DataFrame({"run": [run], "last_step": [end]}), {metric.name: metric})


def asked(*steps: float, run: str = "r", metric: str = "m") -> pd.DataFrame:
    return pd.DataFrame({"run": run, "metric": metric, "step": steps})


def without_history(curves: Curves, target: pd.DataFrame, one: ModelAverage = STRUCTURAL, seed: int = 0) -> Prediction:
    """A forecast without history."""
    return fit(one, curves.select(runs=[])).forecast(curves, target, seed=seed)


# Best-so-far logs


def test_a_best_so_far_log_is_corrected_towards_its_next_measurement():
    rng = np.random.default_rng(0)
    t = np.arange(60)
    plain, mended = [], []
    for _ in range(300):
        measured = -0.03 * t + rng.standard_normal(len(t)) * 0.3
        log = np.minimum.accumulate(measured)
        truth = -0.03 * len(t)
        plain.append(log[-1] - truth)
        mended.append(log[-1] + record_bias(log) - truth)
    assert np.mean(plain) < -0.3, "a record is a lucky measurement"
    assert abs(np.mean(mended)) < 0.6 * abs(np.mean(plain))


def test_the_mean_late_record_is_taken_back_on_either_side():
    falling = np.array([5.0, 5.0, 4.0, 3.0, 3.0, 2.5, 2.5, 1.0])
    assert record_bias(falling) == pytest.approx(np.mean([0.5, 1.5]))
    assert record_bias(-falling) == pytest.approx(-np.mean([0.5, 1.5]))


@pytest.mark.parametrize(
    "latent",
    [
        [5.0, 5.0, 4.0, 3.0, 3.0, 2.0, 2.1, 1.0],
        [5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.5, 0.5],
        [5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.2, 0.1],
        [5.0, 5.0, 5.0, 4.0, 4.0, 4.0, 3.0, 3.0],
        [5.0, 5.0, 5.0, 4.0, 3.0, 2.0, 1.0, *[1.0] * 9],
        [1.0],
        [],
    ],
    ids=["turns back", "saturated", "no repeats", "few records", "none late", "one point", "nothing"],
)
def test_other_curves_are_left_without_history(latent):
    assert record_bias(np.array(latent)) == 0.0


# Short curves


def test_short_curves_fall_back_and_move_no_other_row():
    step = np.array([10, 20, 30, 50, 100])
    long = run_of(step, np.log(step) + 0.01 * np.cos(step), run="long", last_step=1000)
    frames, runs = [long.points], [long.runs.reset_index()]
    # A point at step 0 has no logarithm, and is none of the three.
    for run, short in (("two", [10, 20]), ("zero", [0, 10, 20]), ("three", [10, 20, 30])):
        one = run_of(short, np.linspace(1, 2, len(short)), run=run, last_step=1000)
        frames, runs = [*frames, one.points], [*runs, one.runs.reset_index()]
    curves = curves_from(pd.concat(frames), pd.concat(runs), {"m": FREE})
    target = pd.concat([asked(500, 1000, run=run) for run in ("two", "long", "zero", "three")], ignore_index=True)
    found = without_history(curves, target)
    fallback = "fewer than 3 points: last value"
    # Where no run has ended either, two points say nothing of how far the end may be.
    wide = "fewer than 3 points and no finished run: spread as large as the values"
    assert found.status.tolist() == [wide] * 2 + ["ok"] * 2 + [fallback] * 2 + ["ok"] * 2
    assert found.target.equals(target)
    assert_allclose(np.median(found.draws[[0, 1, 4, 5]], axis=1), 2.0)
    only = without_history(curves, asked(500, 1000, run="long"))
    assert np.array_equal(only.draws, found.draws[2:4])
    nothing = without_history(curves, asked(500, run="two"))
    assert nothing.status.tolist() == [wide] and np.array_equal(nothing.draws[0], found.draws[0])


def test_no_run_moves_another_that_is_asked_with_it():
    step, loss = np.array([10, 20, 40, 80, 160]), Metric("m", "loss", 0.0, None, "lower")
    one = run_of(step, np.array([2.0, 1.7, 1.8, 1.4, 1.5]), metric=loss, run="low", last_step=10000)
    other = run_of(2 * step, np.array([900.0, 800.0, 850.0, 700.0, 600.0]), metric=loss, run="high", last_step=10000)
    runs = [one.runs.reset_index(), other.runs.reset_index()]
    curves = curves_from(pd.concat([one.points, other.points]), pd.concat(runs), {"m": loss})
    both = without_history(curves, pd.concat([asked(10000, run="low"), asked(10000, run="high")], ignore_index=True))
    assert np.array_equal(without_history(curves, asked(10000, run="low")).draws[0], both.draws[0])


def test_neither_other_runs_nor_other_steps_nor_other_metrics_move_a_bit():
    many = steep(9, 7)
    doubled = pd.concat([many.points, many.points.assign(metric="k", value=2 - many.points["value"])])
    curves = curves_from(doubled, None, {"m": FREE, "k": Metric("k", "signal")}).truncate(0.3)
    steps = np.linspace(400, 1000, 23)
    parts = [asked(*steps, run=run, metric=metric) for metric in ("m", "k") for run in many.runs.index]
    everything = pd.concat(parts, ignore_index=True)
    nothing = History(curves.select(runs=[]))
    among = STRUCTURAL.latent(Problem(nothing, curves, everything, 0)).draws
    for run, metric in (("7-00", "k"), ("7-05", "m")):
        place = (everything["run"] == run) & (everything["metric"] == metric) & (everything["step"] == 1000)
        only = curves.select(runs=[run])
        one = STRUCTURAL.latent(Problem(nothing, only, asked(1000, run=run, metric=metric), 0)).draws
        assert np.array_equal(among[place.to_numpy()], one)


def test_a_target_that_was_changed_in_place_is_answered_anew():
    step = np.arange(10, 151, 10)
    curves = run_of(step, np.log(step), last_step=1500)
    fitted, target = fit(STRUCTURAL, curves.select(runs=[])), asked(300)
    near = np.median(fitted.forecast(curves, target, seed=0).draws)
    target["step"] = [1500.0]
    assert np.median(fitted.forecast(curves, target, seed=0).draws) > near + 1


class Told:
    """A model of two forms that say the same, one with the tails of a normal and one with those of Student's t."""

    def __init__(self, evidence: float = 0.0) -> None:
        self.evidence = evidence

    def sample_nodes(self, forms, curves, knots, uniforms, log_priors):
        for i, at in enumerate(knots):
            same = np.ones((len(at), len(uniforms)))
            first = SampledNodes(0 * same, 0 * same, same, 1e6, 0.0, 0.0)
            yield i, [first, first._replace(df=2.0, log_evidence=self.evidence)]


def test_every_form_keeps_its_own_tails():
    step = np.arange(10, 151, 10)
    curves = run_of(step, np.sin(step), last_step=300)
    draws = without_history(curves, asked(300), ModelAverage("told", Told(), ("pow3", "hill"))).draws[0]
    off = np.abs(draws - np.median(draws)) / np.sin(step).std()
    expected = 0.5 * 2 * stats.t.sf(4.0, 2.0)
    assert (off > 4).mean() == pytest.approx(expected, rel=0.3)


@pytest.mark.parametrize("evidence", [np.nan, -np.inf])
def test_a_form_without_a_finite_weight_has_no_draws(evidence):
    step = np.arange(10, 151, 10)
    curves = run_of(step, np.sin(step), last_step=300)
    found = without_history(curves, asked(300), ModelAverage("told", Told(evidence), ("pow3", "hill")))
    off = np.abs(found.draws[0] - np.median(found.draws[0])) / np.sin(step).std()
    assert found.status[0] == "ok" and off.max() < 4, "the tails of the other alone"


def test_draws_that_are_not_finite_fall_back():
    class Lost(Told):
        def sample_nodes(self, *asked):
            for i, (first, other) in super().sample_nodes(*asked):
                yield i, [first._replace(location=np.full_like(first.location, np.nan)), other]

    curves = run_of(np.arange(10, 151, 10), np.arange(15.0), last_step=300)
    found = without_history(curves, asked(300), ModelAverage("lost", Lost(), ("pow3", "hill")))
    assert found.status.tolist() == ["no finite answer: last value"] and np.median(found.draws) == pytest.approx(14)


# What other runs teach


def steep(n: int, seed: int) -> Curves:
    """Runs of one form, a power law with a strong exponent, that differ in all else."""
    rng = np.random.default_rng(seed)
    step = np.unique(np.geomspace(20, 1000, 20).round())
    frames = []
    for i in range(n):
        fall = rng.uniform(1.0, 3.0)
        value = rng.normal() + fall * (step / 20.0) ** -1.2 + 0.03 * fall * rng.standard_normal(len(step))
        frames.append(pd.DataFrame({"run": f"{seed}-{i:02}", "metric": "m", "step": step, "value": value}))
    return curves_from(pd.concat(frames), None, {"m": FREE})


def test_runs_of_one_form_make_the_forecast_of_another_better():
    history, fresh = steep(24, 1), steep(12, 2)
    seen = fresh.truncate(0.1)
    target = pd.concat([asked(1000, run=run) for run in fresh.runs.index], ignore_index=True)
    truth = np.array([fresh.series[run, "m"].value[-1] for run in target["run"]])

    def draws(one: ModelAverage, past: Curves) -> np.ndarray:
        return fit(one, past).forecast(seen, target, seed=0).draws

    taught, untaught = draws(ONE, history), draws(ONE, history.select(runs=[]))
    deaf = draws(dataclasses.replace(ONE, worth=1e9), history)
    assert crps(truth, taught).mean() < 0.9 * crps(truth, untaught).mean()
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    ours, theirs = (np.quantile(one, levels, axis=1) for one in (deaf, untaught))
    assert_allclose(ours, theirs, atol=0.02 * untaught.std(axis=1).max())
    held = np.quantile(taught, [0.05, 0.95], axis=1)
    assert ((held[0] < truth) & (truth < held[1])).mean() >= 0.75, "better, and not by being too sure"


class Scored:
    """A model of one form with two nodes, the second of which always forecast better; counts what it is asked."""

    asked = 0

    def score_nodes(self, forms, curves, knots, truth):
        self.asked += len(curves)
        return NodeScores(np.zeros((len(curves), 2)), np.tile([0.0, 1.0], (len(curves), 1)), [2])


def test_the_learned_prior_is_the_maximum_of_what_it_says():
    curves = History(steep(40, 3)).latent("m", scale_for(FREE, np.ones(3)))
    context = {("m", run): curve for run, curve in curves.items()}
    model, shares = Scored(), {}
    found = np.exp(learned_prior(model, ["pow3"], context, 0.1, 20.0, shares)) / 2
    n = model.asked
    assert n == len(shares) == 24 and found.sum() == pytest.approx(1)
    p = np.linspace(1e-4, 1 - 1e-4, 20001)
    with_worth = n * np.log((1 - p) + p * np.e) + 20 * 0.5 * (np.log(p) + np.log(1 - p))
    assert found[1] == pytest.approx(p[with_worth.argmax()], abs=1e-3)
    fewer = dict(list(context.items())[:39])
    again = learned_prior(model, ["pow3"], fewer, 0.1, 20.0, shares)
    assert model.asked <= n + 1 and np.isfinite(again).all(), "what is known of a curve is not asked again"


def test_a_replay_shares_what_each_curve_says():
    history, fresh = steep(6, 1), steep(1, 2)
    part = history.select(runs=list(history.runs.index[:5]))
    seen, target = fresh.truncate(0.1), asked(1000, run="2-00")
    whole = History(history)
    plain, shared = (ONE.latent(Problem(History(part, whole=one), seen, target, 0)).draws for one in (None, whole))
    assert np.array_equal(plain, shared)
    again = ONE.latent(Problem(History(part, whole=whole), seen, target, 0)).draws
    assert np.array_equal(plain, again)


# Every curve there can be


def test_two_steps_of_one_run_are_one_path():
    step = np.arange(10, 151, 10)
    value = np.log(step) + 0.02 * np.random.default_rng(1).standard_normal(len(step))
    curves = run_of(step, value, last_step=1000)
    near, far = without_history(curves, asked(500, 1000)).draws
    assert stats.spearmanr(near, far).statistic > 0.8
    assert np.array_equal(without_history(curves, asked(1000)).draws[0], far), (
        "a step does not depend on what else is asked"
    )
    assert abs(stats.spearmanr(near, without_history(curves, asked(1000), seed=1).draws[0]).statistic) < 0.15
    assert far.std() > near.std()


@pytest.mark.parametrize(
    ("step", "value"),
    [
        (np.arange(1, 16) * 10**8, np.linspace(2.0, 1.0, 15)),
        (np.array([1, 2, 3, 10**6, 10**6 + 1, 10**9]), np.array([9.0, 8.0, 7.5, 3.0, 3.1, 2.0])),
        (np.arange(1, 13), np.r_[np.linspace(2.0, 1.0, 11), 5e8]),
        (np.arange(1, 13), np.r_[2.0, 1e-30, np.linspace(1.9, 1.0, 10)]),
    ],
    ids=["steps to 1e9", "gaps", "spike at the end", "dip"],
)
def test_odd_steps_and_values_give_a_finite_answer(step, value):
    loss = Metric("m", "loss", 0.0, None, "lower")
    found = without_history(run_of(step, value, metric=loss, last_step=4e9), asked(2e9, 4e9))
    assert (found.status == "ok").all() and np.isfinite(found.draws).all()
    assert (found.draws >= 0).all() and (found.draws.std(axis=1) > 0).all()


@st.composite
def any_curve(draw):
    """A metric with any bounds, and up to 30 points of it at any scale."""
    lower, upper = draw(st.sampled_from([None, 0.0])), draw(st.sampled_from([None, 1.0]))
    better = draw(st.sampled_from(["higher", "lower", None]))
    n = draw(st.integers(1, 30))
    share = np.array(draw(st.lists(st.floats(0, 1), min_size=n, max_size=n)))
    scale = 10.0 ** draw(st.integers(-12, 9))
    if lower is None and upper is None:
        value = scale * (2 * share - 1)
    elif upper is None:
        value = scale * share
    elif lower is None:
        value = 1 - scale * share
    else:
        value = min(scale, 1.0) * share
    step = np.cumsum(draw(st.lists(st.integers(1, 10**7), min_size=n, max_size=n)))
    return Metric("m", "signal", lower, upper, better), step, value, draw(st.floats(1.001, 100.0))


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(any_curve())
def test_any_curve_gets_draws_in_range_with_a_spread_or_a_status(made):
    metric, step, value, ahead = made
    end = int(np.ceil(step[-1] * ahead))
    found = without_history(run_of(step, value, metric=metric, last_step=end), asked(end))
    draws = found.draws[0]
    assert draws.shape == (DRAWS,) and np.isfinite(draws).all()
    assert metric.lower is None or draws.min() >= metric.lower
    assert metric.upper is None or draws.max() <= metric.upper
    assert found.status[0] != "ok" or draws.std() > 0


# A curve that rises and falls


@pytest.mark.parametrize("run", ["pythia-70m", "pythia-160m"])
def test_small_pythias_may_fall_from_their_peak(real_data, run):
    name = "lambada_openai acc"
    whole = lm_eval.load(real_data / "pythia_evals").select(metrics={name}).select(runs=[run])
    seen = whole.truncate(63000 / 143000)
    last, truth = seen.series[run, name].value[-1], whole.series[run, name].value[-1]
    assert truth < last - 0.04, "it falls"
    found = without_history(seen, asked(143000, run=run, metric=name))
    assert found.status[0] == "ok" and (found.draws[0] < last).mean() > 0.2
    low, high = np.quantile(found.draws[0], [0.01, 0.99])
    assert low < truth < high
