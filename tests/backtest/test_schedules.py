"""A schedule is known ahead if it is declared, or if the data show that it follows from the plan; else it is cut."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from predictdyn.backtest.plan import Plan
from predictdyn.backtest.run import run
from predictdyn.backtest.schedules import settled
from predictdyn.backtest.summary import resolved, verdicts
from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.forecasters import BASELINES, fit, forecaster
from predictdyn.naming import BY_METRICS

STEPS = np.arange(20, 1001, 20)
LOSS = Metric("loss", "loss")
GUESSED = Metric("lr", "schedule", 0.0, guessed=True)


def cosine(steps: np.ndarray, peak: float = 0.1, length: float = 1000) -> np.ndarray:
    return peak * (1 + np.cos(np.pi * steps / length)) / 2


def suite(rates: dict[str, np.ndarray], lr: Metric = GUESSED, *, copies: bool = False, **columns: list) -> Curves:
    """Runs a0, a1, b0, ...: the letter is the family; the loss is noise, the same for all only with ``copies``."""
    rng, rows = np.random.default_rng(0), []
    for name, rate in rates.items():
        steps = STEPS[: len(rate)] if len(rate) <= len(STEPS) else np.arange(20, 20 * len(rate) + 1, 20)
        loss = np.sin(steps) if copies else rng.standard_normal(len(steps))
        for metric, value in (("lr", rate), ("loss", loss)):
            rows.append(pd.DataFrame({"run": name, "metric": metric, "step": steps, "value": value}))
    runs = pd.DataFrame({"run": list(rates), "family": [name[0] for name in rates], **columns})
    return curves_from(pd.concat(rows), runs, {"lr": lr, "loss": LOSS})


def dropped(at: int) -> np.ndarray:
    """A rate that is cut to a tenth once the outcome stood still."""
    return np.where(at >= STEPS, 0.1, 0.01)


KNOWN = {
    "seeds of recipes": {"a0": cosine(STEPS), "a1": cosine(STEPS), "b0": cosine(STEPS, 0.3), "b1": cosine(STEPS, 0.3)},
    "one without a sibling, of the same shape": {"a0": cosine(STEPS), "a1": cosine(STEPS), "b0": cosine(STEPS, 0.3)},
    "logged to 7 digits": {"a0": cosine(STEPS), "a1": np.round(cosine(STEPS), 8)},
    "two lengths": {"a0": cosine(STEPS), "a1": cosine(np.arange(20, 2001, 20), length=2000)},
    "no two of one family, all alike": {"a0": cosine(STEPS), "b0": cosine(STEPS), "c0": cosine(STEPS)},
    "one that stopped early": {"a0": cosine(STEPS), "a1": cosine(STEPS[:20]), "b0": cosine(STEPS)},
}
CUT = {
    "seeds that reacted": ({"a0": dropped(400), "a1": dropped(600)}, "runs of equal plans differ in it (first: a0 and"),
    "one that reacted late": (
        {"a0": dropped(5000), "a1": dropped(5000), "a2": dropped(900)},
        "runs of equal plans differ in it (first: a0 and a2)",
    ),
    "a recipe each": ({"a0": dropped(400), "b0": dropped(600)}, "runs of equal plans differ"),
    "one that reacted beside a plan": (
        {"a0": cosine(STEPS), "a1": cosine(STEPS), "b0": dropped(500)},
        "no other run of the plan of b0",
    ),
    "a run alone": ({"a0": cosine(STEPS)}, "no two runs of equal plans"),
}


@pytest.mark.parametrize("rates", KNOWN.values(), ids=list(KNOWN))
def test_a_function_of_the_plan_is_known_ahead(rates):
    curves, lines = settled(suite(rates))
    assert lines == [] and curves.metrics["lr"].known_ahead
    seen = curves.truncate(0.3)
    assert len(seen.series["a0", "lr"].step) == len(rates["a0"]) > len(seen.series["a0", "loss"].step)


@pytest.mark.parametrize(("rates", "why"), CUT.values(), ids=list(CUT))
def test_a_rate_that_may_have_reacted_is_cut_and_said(rates, why):
    curves, lines = settled(suite(rates))
    assert len(lines) == 1 and why in lines[0] and f"state its kind, schedule, {BY_METRICS}" in lines[0]
    seen = curves.truncate(0.3)
    assert len(seen.series["a0", "lr"].step) == len(seen.series["a0", "loss"].step) == 15


def test_settings_tell_plans_apart_but_seeds_do_not():
    rates = {"a0": cosine(STEPS), "a1": cosine(STEPS), "a2": cosine(STEPS, 0.3), "a3": cosine(STEPS, 0.3)}
    assert settled(suite(rates, peak=[0.1, 0.1, 0.3, 0.3], data_seed=[1, 2, 3, 4]))[1] == []
    assert "differ in it (first: a0 and a2)" in settled(suite(rates))[1][0]


def test_one_run_under_two_names_bears_nothing_out():
    rates = {"a0": dropped(400), "a1": dropped(400)}
    assert "no two runs of equal plans" in settled(suite(rates, copies=True))[1][0]
    assert settled(suite(rates))[1] == []


def test_a_constant_rate_is_not_worth_a_word_and_a_declared_one_stays_whole():
    flat, lines = settled(suite({"a0": np.full(50, 0.1), "a1": np.full(50, 0.1)}))
    assert lines == [] and not flat.metrics["lr"].known_ahead
    declared, lines = settled(suite({"a0": dropped(400), "a1": dropped(600)}, GUESSED._replace(guessed=False)))
    assert lines == [] and len(declared.truncate(0.3).series["a0", "lr"].step) == 50


def reactive(*, lr: Metric = GUESSED, tampered: str = "") -> Curves:
    """40 runs whose rate drops late where the outcome goes well, which nothing before tells; 20 families of two."""
    rng, rows, runs = np.random.default_rng(3), [], []
    for i in range(40):
        name, end = f"r{i:02}", rng.standard_normal()
        rate = dropped(int(700 + 150 * np.clip(end, -2, 1.8)))
        outcome = end * np.clip(STEPS / 1000 - 0.4, 0, None) / 0.6 + 0.03 * rng.standard_normal(len(STEPS))
        rate = np.where(STEPS > 400, 0.05 * STEPS / 1000, rate) if name == tampered else rate
        for metric, value in (("lr", rate), ("outcome", outcome)):
            rows.append(pd.DataFrame({"run": name, "metric": metric, "step": STEPS, "value": value}))
        runs.append({"run": name, "family": f"f{i // 2}", "last_step": 1000, "seed": i % 2})
    metrics = {"lr": lr, "outcome": Metric("outcome", "capability")}
    return settled(curves_from(pd.concat(rows), pd.DataFrame(runs), metrics))[0]


def draws(curves: Curves, name: str) -> np.ndarray:
    history = curves.select(runs=set(curves.runs.index) - {"r04", "r05"})
    target = pd.DataFrame([("r04", "outcome", 1000)], columns=["run", "metric", "step"])
    return fit(name, history, seed=0).forecast(curves.select(runs=["r04"]).truncate(0.3), target, seed=0).draws


@pytest.mark.parametrize("name", ["last_value", "nearest_run", "quantile_regression", "extra_trees"])
def test_the_future_of_a_rate_moves_no_forecast(name):
    assert np.array_equal(draws(reactive(), name), draws(reactive(tampered="r04"), name))


def test_the_future_of_a_declared_rate_is_used():
    declared = GUESSED._replace(guessed=False)
    assert not np.array_equal(
        draws(reactive(lr=declared), "quantile_regression"),
        draws(reactive(lr=declared, tampered="r04"), "quantile_regression"),
    )


def skill(curves: Curves) -> pd.Series:
    names = [*BASELINES, "quantile_regression"]
    made = [forecaster(name) for name in names]
    done = run(curves, Plan(cutoffs=(0.3,), max_folds=4), made, BASELINES)
    table = resolved(done.rows, curves.runs["family"], BASELINES)
    return verdicts(table, names, BASELINES, seed=0).set_index("forecaster").loc["quantile_regression"]


def test_a_rate_that_reacted_gives_no_skill():
    assert skill(reactive(lr=GUESSED._replace(guessed=False)))["skill"] > 0.3, "else there is nothing to leak"
    cut = skill(reactive())
    assert cut["skill"] < 0.1 and cut["verdict"] == "not predictable here"
