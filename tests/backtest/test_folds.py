"""Folds: who is held out, what is hidden, what is asked."""

import numpy as np
import pandas as pd
import pytest

from predictdyn.backtest.folds import folds, groups
from predictdyn.backtest.plan import Plan, target_metrics
from predictdyn.backtest.rules import RULES, warnings_for
from predictdyn.curves import Metric, curves_from


def only(curves, plan):
    (group,) = groups(curves, plan)
    return group, list(folds(curves, group, plan))


def test_families_are_held_out_whole(small):
    for group in groups(small, Plan()):
        families = set(small.runs.loc[group.test, "family"])
        assert len(families) == 1
        assert not families & set(group.history.runs["family"])
        assert len(group.test) + len(group.history.runs) == len(small.runs)


def test_many_families_are_dealt_into_few_folds(small):
    dealt = groups(small, Plan(max_folds=2))
    assert len(dealt) == 2
    assert sorted(run for group in dealt for run in group.test) == list(small.runs.index)


def test_test_runs_are_held_out_together_and_all_others_are_history(small):
    group, _ = only(small, Plan(test=("f1*", "f2-s0")))
    assert group.test == ["f1-s0", "f1-s1", "f2-s0"]
    assert list(group.history.runs.index) == ["f0-s0", "f0-s1", "f2-s1", "f3-s0", "f3-s1"]
    assert any(warning.startswith("L3") for warning in warnings_for(small, Plan(test=("f2-s0",))))


def test_leave_one_run_out(small):
    dealt = groups(small, Plan(hold_out="run"))
    assert len(dealt) == 8 and all(len(group.test) == 1 for group in dealt)


@pytest.mark.parametrize("column", ["run", "seed"])
def test_what_is_held_out_together_is_one_family_to_forecasters(small, column):
    plan = Plan(hold_out=column, cutoffs=(0.3,))
    of_run = small.runs.reset_index().set_index("run", drop=False)[column].astype(str)
    for group in groups(small, plan):
        (fold,) = folds(small, group, plan)
        for runs in (group.history.runs, fold.observed.runs):
            assert runs["family"].to_dict() == of_run[runs.index].to_dict()
        assert not set(fold.observed.runs["family"]) & set(group.history.runs["family"])
    (group,) = groups(small, Plan(hold_out=column, test=("f1*",)))
    assert set(group.history.runs["family"]) == {"f0", "f2", "f3"}  # held out by name: families are as they are


def test_nothing_after_the_cutoff_is_seen_but_the_schedule(small):
    _, replays = only(small, Plan(cutoffs=(0.1, 0.5), test=("f0-s0",)))
    for fold in replays:
        late = fold.observed.points[fold.observed.points["step"] > 1000 * fold.cutoff]
        assert set(late["metric"]) == {"rate"}
        assert fold.observed.points["step"].max() == 1000


def test_final_targets_are_the_values_at_the_last_step(small):
    _, (fold,) = only(small, Plan(cutoffs=(0.5,), test=("f0-s0",)))
    assert set(fold.target["metric"]) == {"accuracy", "gap", "noisy_accuracy", "memorized", "loss"}
    assert (fold.target["step"] == 1000).all()
    for (_, row), truth in zip(fold.target.iterrows(), fold.truth, strict=True):
        assert truth == small.series[(row["run"], row["metric"])].value[-1]


def test_hidden_targets_are_all_points_after_the_cutoff(small):
    _, (fold,) = only(small, Plan(cutoffs=(0.5,), targets="hidden", test=("f0-s0",), metrics=("loss",)))
    steps = small.series[("f0-s0", "loss")].step
    assert fold.target["step"].tolist() == steps[steps > 500].tolist()


def test_a_stopped_run_stays_in_with_a_blank_truth():
    points = pd.DataFrame({"run": [*"aaaaabbbc"], "metric": "loss", "step": [1, 2, 3, 4, 5, 1, 2, 3, 5], "value": 1.0})
    runs = pd.DataFrame({"run": ["a", "b", "c"], "last_step": 5})
    curves = curves_from(points, runs, {"loss": Metric("loss", "loss", 0.0)})
    _, (fold,) = only(curves, Plan(cutoffs=(0.4,), test=("[ab]",)))
    assert fold.target["step"].tolist() == [5, 5]
    np.testing.assert_array_equal(fold.truth, [1.0, np.nan])


def test_a_fixed_split_follows_the_column_alone(small):
    seen = small.points.assign(seen=(small.points["step"] <= 100) & (small.points["run"] != "f3-s1"))
    curves = curves_from(seen, small.runs, small.metrics)
    group, (fold,) = only(curves, Plan(split="seen", targets="hidden", cutoffs=(0.9,)))
    visible = fold.observed.points[fold.observed.points["metric"] != "rate"]
    assert visible["seen"].all() and "f3-s1" not in set(visible["run"])
    assert "f3-s1" in set(fold.target["run"]) and np.isnan(fold.cutoff)
    assert group.history.points.loc[group.history.points["metric"] != "rate", "seen"].all()


def test_a_budget_keeps_expensive_runs_out_of_the_history(small):
    runs = small.runs.assign(flops=np.arange(8) * 1e18)
    curves = curves_from(small.points, runs, small.metrics)
    group, _ = only(curves, Plan(budget=2e18, test=("f3*",)))
    assert list(group.history.runs.index) == ["f0-s0", "f0-s1", "f1-s0"]
    assert not any(warning.startswith("L2") for warning in warnings_for(curves, Plan(budget=2e18)))
    assert "give a budget" in next(warning for warning in warnings_for(curves, Plan()) if warning.startswith("L2"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cutoffs": (-0.1,)}, r"cutoffs are shares in \[0, 1\), got -0.1"),
        ({"cutoffs": (0.1, 1.5)}, r"cutoffs are shares in \[0, 1\), got 0.1, 1.5"),
        ({"cutoffs": (0.1, 0.1)}, "cutoffs must differ"),
        ({"split": "time"}, "split is cutoff or seen, got 'time'"),
        ({"targets": "all"}, "targets is final or hidden, got 'all'"),
        ({"hold_out": "colour"}, "hold-out column 'colour' is not in runs; there are run, family"),
        ({"test": ("z*",)}, r"no run matches 'z\*'; there are f0-s0"),
        ({"metrics": ("z*",), "test": ("f0*",)}, r"no metric matches 'z\*'; there are"),
        ({"metrics": ("rate",), "test": ("f0*",)}, "no metric matches 'rate'"),
        ({"split": "seen"}, "split seen needs a column seen"),
        ({"budget": 1.0}, "a compute budget needs a column flops"),
    ],
)
def test_a_wrong_plan_ends_in_one_clear_line(small, settings, words):
    with pytest.raises(ValueError, match=words):
        plan = Plan(**settings)
        for group in groups(small, plan):
            list(folds(small, group, plan))


@pytest.mark.parametrize(
    ("one_family", "settings", "words"),
    [
        (True, {}, r"in 1 of 1 fold\(s\).*all 8 runs have the family 'f'.*type hold_out='run'"),
        (False, {"hold_out": "last_step"}, "all 8 runs have the last_step '1000'.*type hold_out='run'"),
        (False, {"test": ("*",)}, "test= holds out all 8 runs; let it match some"),
        (False, {"budget": 1e18}, r"in 1 of 4 fold\(s\).*budget of 1e\+18 flops.*'f0'.*raise budget="),
        (False, {"split": "seen"}, "no point is marked as seen; set the column seen"),
    ],
)
def test_a_fold_without_history_is_refused_with_what_to_type(small, one_family, settings, words):
    runs = small.runs.assign(flops=np.arange(8) * 1e18)
    runs["family"] = "f" if one_family else runs["family"]
    curves = curves_from(small.points.assign(seen=False), runs, small.metrics)
    with pytest.raises(ValueError, match=words):
        groups(curves, Plan(**settings))
    if one_family:
        assert len(groups(curves, Plan(hold_out="run"))) == 8


def test_a_single_run_is_no_backtest(small):
    for plan in (Plan(), Plan(hold_out="run"), Plan(test=("*",))):
        with pytest.raises(ValueError, match=r"there is one run only; .* forecast it with cutoff=F"):
            groups(small.select(runs=["f0-s0"]), plan)


def test_signals_are_targets_only_where_no_outcome_is_known(small):
    assert "gradient_norm" not in target_metrics(small, ())
    assert target_metrics(small, ("gradient*",)) == ["gradient_norm"]
    assert target_metrics(curves_from(small.points), ()) == sorted(small.metrics)


def test_every_rule_is_accounted_for():
    assert [rule.split()[0] for rule in RULES] == [f"L{i}" for i in range(1, 13)]


def test_best_so_far_metrics_are_warned_of(small):
    best = small.points.copy()
    loss = best["metric"] == "loss"
    best.loc[loss, "value"] = best[loss].groupby("run")["value"].cummin()
    said = warnings_for(curves_from(best, small.runs, small.metrics), Plan())
    assert any("loss" in warning and warning.startswith("L5") for warning in said)
    assert not any("loss" in warning for warning in warnings_for(small, Plan()) if warning.startswith("L5"))
