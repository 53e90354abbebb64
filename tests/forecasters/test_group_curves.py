"""Group curves: groups are found where they are and nowhere else; gap and worst group come from one pair of draws."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from predictdyn.curves import Metric, curves_from
from predictdyn.forecasters import forecaster, load, save
from predictdyn.forecasters._groups import FEWEST_POINTS, groups_in, scale_of, with_groups
from predictdyn.loaders import tidy
from predictdyn.scores import crps

STEPS = np.unique(np.geomspace(1, 1000, 25).astype(int))
CUTOFF = 0.1
METRICS = {
    "boys": Metric("boys", "capability", 0.0, 1.0, "higher"),
    "girls": Metric("girls", "capability", 0.0, 1.0, "higher"),
    "gap": Metric("gap", "bias", -1.0, 1.0, "zero", 0.0),
    "worst": Metric("worst", "bias", 0.0, 1.0, "higher"),
    "other": Metric("other", "capability", 0.0, 1.0, "higher"),
}
ONLY_WORST = ["gap", "worst", "other"]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@cache
def suite(n=60, shared=True):
    """Runs that rise late by a shock that both groups share and nothing tells; the plan tells who ends in front.

    A lead is there from the start with the opposite sign, so gaps change sides after the cutoff. Not ``shared``: the
    shock is that of the girls alone, who are behind.
    """
    rng = np.random.default_rng(0)
    late = sigmoid(4 * (np.log(STEPS) - np.log(300)))
    frames, runs = [], []
    for i in range(n):
        lead, shock = rng.uniform(-1, 1), rng.standard_normal()
        middle = -1 + (1.5 + shock) * late
        half = 0.5 * lead * (2 * late - 0.4)
        noise = 0.02 * rng.standard_normal((3, len(STEPS)))
        if not shared:
            half = 1.5 - 0.5 * shock * late
            middle = -1 + 1.5 * late - half + 1.5
        boys, girls = sigmoid(middle + half + noise[0]), sigmoid(middle - half + noise[1])
        values = {"boys": boys, "girls": girls, "gap": boys - girls, "worst": np.minimum(boys, girls)}
        values["other"] = sigmoid(noise[2])
        runs.append({"run": f"r{i:02}", "family": f"f{i // 2:02}", "last_step": 1000, "lead": lead})
        frames += [
            pd.DataFrame({"run": f"r{i:02}", "metric": name, "step": STEPS, "value": value})
            for name, value in values.items()
        ]
    return curves_from(pd.concat(frames), pd.DataFrame(runs), METRICS)


def changed(curves, values=None, **metrics):
    """The same curves with other values (n,) or metrics."""
    points = curves.points if values is None else curves.points.assign(value=values)
    return curves_from(points, curves.runs.reset_index(), {**curves.metrics, **metrics})


def at_end(curves, metrics, steps=(1000,)):
    rows = [(run, name, step) for run in curves.runs.index for name in metrics for step in steps]
    return pd.DataFrame(rows, columns=["run", "metric", "step"])


def truth(curves, target):
    points = curves.points.set_index(["run", "metric", "step"])["value"]
    return points.reindex(pd.MultiIndex.from_frame(target)).to_numpy(float)


def of(found, metric):
    return found.draws[(found.target["metric"] == metric).to_numpy()]


@cache
def answered(logged, metrics=("gap", "worst"), steps=(1000,), *, shared=True):
    """History, the whole curves in question, and the forecast."""
    curves = suite(shared=shared) if logged else suite(shared=shared).of_metrics(ONLY_WORST)
    runs = list(curves.runs.index)
    history, test = curves.of_runs(runs[16:]), curves.of_runs(runs[:16])
    found = forecaster("group_curves").fit(history, seed=1).forecast(
        test.upto(CUTOFF), at_end(test, metrics, steps), seed=2
    )  # fmt: skip
    return history, test, found


def test_groups_are_found_by_their_difference():
    (found,) = groups_in(suite())
    assert (found.gap, found.worst, found.logged, found.signed) == ("gap", "worst", ("boys", "girls"), True)
    values = suite().points["value"].where(suite().points["metric"] != "gap", -suite().points["value"])
    assert groups_in(changed(suite(), values))[0].logged == ("girls", "boys"), "a gap has a sign"
    apart = changed(suite(), suite().points["value"].abs(), gap=Metric("gap", "bias", 0.0, 1.0, "zero"))
    assert not groups_in(apart)[0].signed and groups_in(apart)[0].logged == ("boys", "girls")


def test_one_point_that_is_off_is_no_difference():
    values = suite().points["value"].to_numpy().copy()
    row = np.flatnonzero(suite().points["metric"] == "gap")[777]
    values[row] += 1e-3
    (found,) = groups_in(changed(suite(), values))
    assert found.logged is None and found.worst == "worst", "what is left is the gap and the worst group"
    values[row] += 1 - values[np.flatnonzero(suite().points["metric"] == "worst")[777]]
    assert groups_in(changed(suite(), values)) == [], "nor can the worst group be a gap below a group in range"


def test_few_points_and_narrow_bounds_are_no_evidence():
    some = suite().of_runs(["r00"])
    few = [curves_from(some.points[some.points["step"].isin(STEPS[:n])], None, METRICS) for n in (19, 20)]
    assert FEWEST_POINTS == 20 and not groups_in(few[0]) and groups_in(few[1])
    assert groups_in(few[0], suite()), "all tables count"
    assert groups_in(changed(suite(), gap=Metric("gap", "bias", -0.9, 0.9, "zero"))) == []
    none = suite().points["value"].where(suite().points["metric"].isin(["worst", "other"]), 0.0)
    assert groups_in(changed(suite(), none)) == [], "no gap anywhere is no evidence of groups"


def test_the_widest_gap_is_that_of_the_worst_group():
    extra = suite().points[suite().points["metric"] == "gap"]
    extra = extra.assign(metric="also", value=0.9 * extra["value"])
    points = pd.concat([suite().of_metrics(ONLY_WORST).points, extra])
    both = curves_from(points, suite().runs.reset_index(), {**METRICS, "also": METRICS["gap"]._replace(name="also")})
    assert [one.gap for one in groups_in(both)] == ["gap"]


@pytest.mark.parametrize("logged", [True, False], ids=["logged", "worst only"])
def test_the_lower_group_and_how_far_apart_give_both_back(logged):
    curves = suite() if logged else suite().of_metrics(ONLY_WORST)
    (found,) = groups_in(curves)
    scale = scale_of(found, curves)
    wide = with_groups(curves, found, scale).points.pivot_table("value", ["run", "step"], "metric")
    lower, apart = scale.latent(wide[found.lower].to_numpy()), wide[found.apart].to_numpy()
    first, second = (scale.value(lower + np.maximum(part, 0)) for part in (apart, -apart))
    original = suite().points.pivot_table("value", ["run", "step"], "metric")
    assert_allclose(first, original["boys"], atol=1e-9)
    assert_allclose(second, original["girls"], atol=1e-9)
    assert (apart > 0).mean() > 0.2 and (apart < 0).mean() > 0.2, "gaps have both signs"


def test_a_worst_group_of_nothing_is_nothing():
    """Zeros are forecast as zeros, though the group in front is within a hair of its bound."""
    zero = suite().points["run"].isin([f"r{i:02}" for i in range(60) if i % 4 < 2]).to_numpy()
    metric, step = suite().points["metric"], suite().points["step"]
    wide = suite().points.assign(value=np.where(zero & (metric == "worst"), 0.0, suite().points["value"]))
    wide.loc[zero & (metric == "gap"), "value"] = 1 - 1e-5 - 0.01 / step[zero & (metric == "gap")]
    curves = changed(suite(), wide["value"].to_numpy()).of_metrics(ONLY_WORST)
    runs = list(curves.runs.index)
    one = curves.of_runs(["r00"])
    fitted = forecaster("group_curves").fit(curves.of_runs(runs[2:]), seed=1)
    found = fitted.forecast(one.upto(CUTOFF), at_end(one, ("worst",)), seed=2)
    assert (found.draws == 0).mean() > 0.3


def test_groups_of_our_own_data():
    curves = tidy.load(Path(__file__).parents[2] / "datasets" / "digits" / "data")
    some = curves.of_runs(list(curves.runs.index[:40]))
    (found,) = groups_in(some)
    assert (found.gap, found.worst, found.logged) == ("accuracy_gap", "worst_group_accuracy", None)


def test_winobias_of_pythia_has_two_groups(real_data):
    table = pd.read_csv(real_data / "pythia_bias" / "bias_tidy.csv.gz")
    table = table[(table["suite"] == "winobias_v1") & (table["metric"] == "em") & (table["arm"] == "baseline")]
    table = table.assign(side=table["task"].str.extract("_(pro|anti)", expand=False))
    wide = table.pivot_table("value", ["size", "step"], "side")
    wide = wide.assign(gap=wide["pro"] - wide["anti"]).reset_index().rename(columns={"size": "run"})
    points = wide.melt(["run", "step"], ["pro", "anti", "gap"], var_name="metric")
    metrics = {name: Metric(name, "bias", 0.0, 1.0, "higher") for name in ("pro", "anti")}
    curves = curves_from(points, None, {**metrics, "gap": METRICS["gap"]})
    assert groups_in(curves)[0].logged == ("pro", "anti")
    fitted = forecaster("group_curves").fit(curves.of_runs(["410m"]), seed=0)
    one = curves.of_runs(["1.4b"])
    found = fitted.forecast(one.upto(0.5), at_end(one, ["gap"]), seed=0)
    assert set(found.status) == {"fewer than 20 finished runs: last value"}


@pytest.mark.parametrize("logged", [True, False], ids=["logged", "worst only"])
def test_gap_and_worst_are_one_joint_sample(logged):
    asked = ("gap", "worst", "boys", "girls") if logged else ("gap", "worst")
    found = answered(logged, asked, (400, 1000))[2]
    assert found.joint and (found.status == "ok").all()
    gap, worst = of(found, "gap"), of(found, "worst")
    other = worst + np.abs(gap)
    assert other.max() < 1 and worst.min() > 0, "the group in front is in range, draw by draw"
    if logged:
        assert_array_equal(gap, of(found, "boys") - of(found, "girls"))
        assert_array_equal(worst, np.minimum(of(found, "boys"), of(found, "girls")))


@pytest.mark.parametrize("logged", [True, False], ids=["logged", "worst only"])
def test_what_both_groups_share_is_not_in_the_gap(logged):
    _, test, found = answered(logged)
    gap, worst = of(found, "gap"), of(found, "worst")
    # The same two margins without their pairing: how much of the gap's sureness is that they move together.
    front = worst + np.abs(gap)
    alone = np.random.default_rng(0).permuted(front, axis=1) - worst
    assert gap.std(axis=1).mean() < 0.4 * alone.std(axis=1).mean()
    real = truth(test, at_end(test, ("gap",)))
    last = test.upto(CUTOFF)
    now = np.array([last.by_key[run, "gap"].value[-1] for run in test.runs.index])
    assert crps(real, gap).mean() < 0.4 * np.abs(real - now).mean(), "the plan tells who ends in front"
    low, high = np.quantile(gap, [0.05, 0.95], axis=1)
    assert ((low <= real) & (real <= high)).mean() > 0.7


@pytest.mark.parametrize("logged", [True, False], ids=["logged", "worst only"])
def test_errors_of_gap_and_worst_group_are_drawn_as_pairs(logged):
    found = answered(logged, shared=False)[2]
    gap, worst = of(found, "gap"), of(found, "worst")
    alone = worst + np.random.default_rng(0).permuted(gap, axis=1)
    # Nothing happens to the boys: whatever the girls lose, the gap gains.
    assert (worst + gap).std(axis=1).mean() < 0.65 * alone.std(axis=1).mean()


@pytest.mark.parametrize("logged", [True, False], ids=["logged", "worst only"])
def test_a_gap_that_changes_sides_keeps_its_sign(logged):
    _, test, found = answered(logged)
    real = truth(test, found.target)[(found.target["metric"] == "gap").to_numpy()]
    now = np.array([test.upto(CUTOFF).by_key[run, "gap"].value[-1] for run in test.runs.index])
    turns = (np.abs(real) > 0.08) & (now * real < 0)
    assert turns.sum() >= 6, "the lead at the cutoff is on the other side"
    assert_array_equal(np.sign(np.median(of(found, "gap"), axis=1))[turns], np.sign(real[turns]))


def test_rows_do_not_depend_on_what_else_is_asked():
    history, test, both = answered(True, ("gap", "worst"), (400, 1000))
    fitted = forecaster("group_curves").fit(history, seed=1)
    alone = fitted.forecast(test.upto(CUTOFF), at_end(test.of_runs(["r03"]), ("worst",), (400,)), seed=2)
    row = both.target.query("run == 'r03' and metric == 'worst' and step == 400").index[0]
    # But for the last digits: sums over one row and over sixteen are not taken in the same order.
    assert_allclose(alone.draws[0], both.draws[row], rtol=1e-9)


def test_other_metrics_fall_back_and_are_not_joint():
    history, test, found = answered(True, ("gap", "other"))
    assert not found.joint
    last = forecaster("last_value").fit(history, seed=1)
    wanted = last.forecast(test.upto(CUTOFF), at_end(test, ("other",)), seed=2)
    assert_array_equal(of(found, "other"), wanted.draws)
    assert set(found.status[found.target["metric"] == "other"]) == {"no two groups found: last value"}
    assert_array_equal(of(found, "gap"), of(answered(True)[2], "gap"))


def test_what_was_not_seen_moves_nothing_and_what_was_learnt_is_kept(tmp_path):
    history, test, found = answered(True)
    points = test.points.copy()
    late = (points["step"] > 100).to_numpy()
    points.loc[late, "value"] = np.random.default_rng(0).uniform(0.1, 0.4, int(late.sum()))
    tampered = changed(test, points["value"].to_numpy())
    fitted = forecaster("group_curves").fit(history, seed=1)
    save("group_curves", fitted, tmp_path)
    again = load(tmp_path)[1].forecast(tampered.upto(CUTOFF), found.target, seed=2)
    assert_array_equal(again.draws, found.draws)
    assert again.joint


@pytest.mark.parametrize("runs", [19, 40], ids=["runs", "families"])
def test_too_few_runs_say_so(runs):
    history, test, found = answered(True)
    few = history.of_runs(list(history.runs.index)[:runs])
    if runs == 40:
        few.runs["family"] = np.arange(40) % 3
        few.runs["family"] = few.runs["family"].astype(str)
    answer = forecaster("group_curves").fit(few, seed=1).forecast(test.upto(CUTOFF), found.target, seed=2)
    assert set(answer.status) == {"fewer than 20 finished runs: last value"} and not answer.joint
    last = forecaster("last_value").fit(few, seed=1).forecast(test.upto(CUTOFF), found.target, seed=2)
    assert_array_equal(answer.draws, last.draws)
