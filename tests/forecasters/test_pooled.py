"""The pooled forecaster: what it may know, what it keeps, and what it does when there is little to know."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import KEY, Curves, Metric, curves_from
from predictdyn.fitting.chains import Mixing
from predictdyn.forecasters import fit, load, save
from predictdyn.forecasters._chains import chains_of, chains_said
from predictdyn.forecasters._fitted import Fitted
from predictdyn.forecasters.pooled import POOLED, Pooled, SampledScales
from predictdyn.problem import History

STEPS = np.array([0, 1, 3, 10, 30, 60, 100, 200, 300, 450, 600, 800, 1000])
METRICS = {
    "acc": Metric("acc", "capability", 0.0, 1.0, "higher", 0.25),
    "loss": Metric("loss", "loss", 0.0, None, "lower"),
    "grad": Metric("grad", "signal", 0.0, None),
}


def made(families: int = 4, seed: int = 0) -> Curves:
    """Two runs a family; accuracy rises and loss falls further the larger the model, with noise that is logged."""
    rng = np.random.default_rng(seed)
    rows, runs = [], []
    for family in range(families):
        for twin in range(2):
            run, size = f"f{family}-{twin}", 1e7 * 3.0**family
            runs.append((run, f"f{family}", 1000, size))
            skill = 0.4 * family + 0.1 * rng.standard_normal()
            rise = np.log1p(STEPS) / 7
            acc = 1 / (1 + np.exp(1.1 - skill * rise)) + 0.01 * rng.standard_normal(len(STEPS))
            loss = 1 + 9 * np.exp(-(1 + 0.2 * skill) * rise + 0.01 * rng.standard_normal(len(STEPS)))
            for metric, value, stderr in (("acc", acc, 0.015), ("loss", loss, np.nan)):
                rows += [(run, metric, step, y, stderr) for step, y in zip(STEPS, value, strict=True)]
    points = pd.DataFrame(rows, columns=["run", "metric", "step", "value", "stderr"])
    table = pd.DataFrame(runs, columns=["run", "family", "last_step", "params"])
    return curves_from(points, table, {name: METRICS[name] for name in ("acc", "loss")})


def split(curves: Curves) -> tuple[Curves, Curves, pd.DataFrame]:
    """All families but the last, the last, and its final values."""
    new = set(curves.runs.index[curves.runs["family"] == "f3"])
    target = pd.DataFrame([(run, metric, 1000) for run in sorted(new) for metric in ("acc", "loss")], columns=KEY)
    return curves.select(runs=set(curves.runs.index) - new), curves.select(runs=new), target


@pytest.fixture(scope="module")
def fitted():
    one = fit(POOLED, split(made())[0])
    POOLED.prepare(one.past, one.seed)
    return one


def final(curves: Curves, target: pd.DataFrame) -> np.ndarray:
    keys = zip(target["run"], target["metric"], strict=True)
    return np.array([curves.series[key].value[-1] for key in keys])


def test_chains_meet_and_the_forecast_is_close(fitted):
    table = chains_of(fitted.past)
    assert len(table) == 2 and set(table["metric"]) == set(fitted.history.metrics)
    assert table["converged"].all() and table["rhat"].between(0.98, 1.05).all() and (table["size"] > 40).all()
    (line,) = chains_said(fitted.past, set(table["metric"]))
    assert chains_said(fitted.past, {"another"}) == []
    assert line.startswith("chains met for 2 of 2 metrics: R-hat at most 1.0")
    _, new, target = split(made())
    for share, near in ((0.1, 0.15), (0.6, 0.08)):
        found = fitted.forecast(new.truncate(share), target, seed=1)
        assert (found.status == "ok").all() and found.draws.shape == (4, 1000)
        truth = final(new, target)
        low, high = np.quantile(found.draws, [0.01, 0.99], axis=1)
        assert ((low < truth) & (truth < high)).all()
        assert (np.abs(np.median(found.draws, axis=1) / truth - 1) < near).all()


def test_nothing_after_the_cutoff_matters(fitted):
    _, new, target = split(made())
    tampered = new.points.assign(value=np.where(new.points["step"] > 100, 0.9, new.points["value"]))
    before = fitted.forecast(new.truncate(0.1), target, seed=1)
    after = fitted.forecast(Curves(tampered, new.runs, new.metrics).truncate(0.1), target, seed=1)
    assert (before.draws == after.draws).all()
    seen = new.points.assign(value=np.where(new.points["step"] == 100, 0.9, new.points["value"]))
    assert (
        before.draws != fitted.forecast(Curves(seen, new.runs, new.metrics).truncate(0.1), target, seed=1).draws
    ).any()


def test_rows_do_not_move_each_other(fitted):
    _, new, target = split(made())
    whole = fitted.forecast(new.truncate(0.3), target, seed=1)
    for i in range(len(target)):
        alone = fitted.forecast(new.truncate(0.3), target.iloc[[i]], seed=1)
        assert (alone.draws[0] == whole.draws[i]).all()
    assert (fitted.forecast(new.truncate(0.3), target, seed=2).draws != whole.draws).all()


def test_other_metrics_do_not_move_what_is_learnt(fitted):
    history = split(made())[0].select(metrics=["acc"])
    alone = fit(POOLED, history)
    POOLED.prepare(alone.past, alone.seed)
    (key,) = alone.past.learnt
    assert (alone.past.learnt[key]["z"] == fitted.past.learnt[key]["z"]).all()


def test_saved_and_loaded_is_the_same(fitted, tmp_path):
    _, new, target = split(made())
    save(fitted, tmp_path)
    again = load(tmp_path)
    assert again.model == POOLED and set(again.past.learnt) == set(fitted.past.learnt)
    # Whoever asks of one of its runs must see the columns that say which runs share steps.
    pd.testing.assert_frame_equal(again.history.runs, fitted.history.runs)
    for share in (0.0005, 0.3):
        one, two = (who.forecast(new.truncate(share), target, seed=3) for who in (fitted, again))
        assert (one.draws == two.draws).all() and (one.status == two.status).all()


def test_a_run_of_the_history_is_counted_once():
    whole = made().select(metrics=["acc"])
    cut = whole.truncate(0.3)
    fitted = fit(POOLED, cut)
    target = pd.DataFrame([("f1-0", "acc", 1000)], columns=KEY)
    seen, nothing = cut, cut.select(runs=set(cut.runs.index) - {"f1-0"})
    nothing = Curves(nothing.points, cut.runs, cut.metrics)
    # Seen twice, or only in the history: the same points, once.
    assert (fitted.forecast(seen, target, seed=0).draws == fitted.forecast(nothing, target, seed=0).draws).all()


def test_a_run_that_was_never_seen_gets_the_population(fitted):
    _, new, target = split(made())
    nothing = Curves(new.points.iloc[:0], new.runs, new.metrics)
    found = fitted.forecast(nothing, target, seed=0)
    assert (found.status == "ok").all()
    informed = fitted.forecast(new.truncate(0.6), target, seed=0)
    assert (found.draws.std(1) > informed.draws.std(1)).all()


@pytest.mark.parametrize("scale", [0.0, 1e-12])
def test_degenerate_curves_get_finite_draws(scale):
    rows = []
    for i in range(3):
        rows += [(f"r{i}", "flat", step, 3.0 * scale) for step in range(0, 66, 6)]
        rows += [(f"r{i}", "short", step, scale * (step + i)) for step in (1, 60)]
        rows += [(f"r{i}", "grad", step, scale * (1 + (1 + 0.1 * i) * np.exp(-step / 30))) for step in range(0, 66, 6)]
    points = pd.DataFrame(rows, columns=["run", "metric", "step", "value"])
    curves = curves_from(points, metrics={"short": Metric("short", "loss"), "flat": Metric("flat", "bias")})
    names = ["flat", "short", "grad"]
    target = pd.DataFrame([("r0", m, step) for m in names for step in (60, 75)], columns=KEY)
    seen = curves.select(runs={"r0"}).truncate(0.5)
    for history in (curves.select(runs={"r1", "r2"}), curves.select(runs=set())):
        found = fit(POOLED, history).forecast(seen, target, seed=0)
        assert np.isfinite(found.draws).all() and (found.draws.std(1) > 0).all()
        words = "fewer than 3 points and no finished run: spread as large as the values"
        assert set(found.status[2:4]) <= {"ok", "too few points", words}


def test_a_large_history_is_conditioned_on_in_part_and_the_own_family_whole():
    """With room for all nothing changes; with room for three of eight runs twins of the run in question still count."""
    curves = made()
    twin, target = curves.select(runs={"f3-1"}), pd.DataFrame([("f3-1", "acc", 1000)], columns=KEY)
    history = curves.select(runs=set(curves.runs.index) - {"f3-1"})
    learnt: dict[str, dict[str, np.ndarray]] = {}

    def draws(most: int, past: Curves) -> np.ndarray:
        few = Fitted(Pooled(sampler="importance", conditioning_runs=most), History(past, learnt))
        found = few.forecast(twin.truncate(0.01), target, seed=0).draws
        learnt.update(few.past.learnt)
        return found

    whole = draws(7, history)
    np.testing.assert_array_equal(whole, draws(300, history))
    part = draws(3, history)
    assert np.isfinite(part).all() and not np.array_equal(part, whole)
    # The twin's points are among those used: moving them moves the forecast, though three others fill the room.
    points = history.points
    lower = points.assign(value=points["value"].where(points["run"] != "f3-0", 0.1))
    for most in (3, 300):
        moved = draws(most, replace(history, points=lower))
        assert np.median(moved) < np.median(draws(most, history)) - 0.01


def test_reasons_of_a_fallback():
    curves = made(1).select(metrics=["acc"])
    target = pd.DataFrame([("f0-0", "acc", 1000)], columns=KEY)
    empty = fit(POOLED, curves.select(runs=set()))
    nothing = Curves(curves.points.iloc[:0], curves.runs, curves.metrics)
    assert empty.forecast(nothing, target, seed=0).status[0] == "nothing to learn from"
    status = empty.forecast(curves.truncate(0.001), target, seed=0).status[0]
    assert status.startswith("fewer than 3 points and no finished run")
    fitted = fit(POOLED, curves)
    POOLED.prepare(fitted.past, fitted.seed)
    for key, found in fitted.past.learnt.items():
        apart = SampledScales.of(found)._replace(mixing=Mixing(1.4, 9.0, 0.0))
        fitted.past.learnt[key] = apart.arrays(str(found["metric"]))
    assert fitted.forecast(curves.truncate(0.5), target, seed=0).status[0] == "not converged"


def test_importing_it_does_not_import_jax():
    code = "import sys, predictdyn.forecasters.pooled; sys.exit('jax' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
