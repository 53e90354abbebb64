"""The table of features: nothing from after the share, no run from another, a number or NaN, and a group for all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal

from predictdyn.covariates import encoder_for
from predictdyn.curves import Metric, curves_from
from predictdyn.features import FEATURES, GROUPS, group, phases, scales_for, table
from predictdyn.features.catalogue import as_markdown, names

SHARES = (0.01, 0.1, 0.3)


@pytest.fixture(scope="module")
def learnt(small):
    """What finished runs teach: keywords of `table`."""
    found = phases.fit(small, seed=0, metrics=["gradient_norm", "loss", "accuracy"])
    return {"scales": scales_for(small), "encoder": encoder_for(small.runs), "phases": found}


def tampered(curves, share, seed=0):
    """Every value after the share drawn anew from its own metric, but for schedules."""
    points = curves.points.copy()
    late = points["step"].to_numpy() > points["run"].map(curves.limit(share)).to_numpy()
    late &= ~points["metric"].isin([m.name for m in curves.metrics.values() if m.kind == "schedule"]).to_numpy()
    values = points["value"].to_numpy(copy=True)
    values[late] = values[late] * np.random.default_rng(seed).uniform(0.01, 1, late.sum())
    assert late.any() and not np.array_equal(values, points["value"])
    points["value"] = values
    return replace(curves, points=points)


@pytest.mark.parametrize("share", SHARES)
def test_what_comes_after_the_share_changes_nothing(small, learnt, share):
    for keywords in (learnt, {}):
        whole = table(small, share, **keywords)
        assert_frame_equal(whole, table(tampered(small, share), share, **keywords))
        assert_frame_equal(whole, table(small.truncate(share), share, **keywords))


def test_the_check_on_tampering_can_fail(small, learnt):
    changed = tampered(small, 0.1)
    assert not table(small, 1.0, **learnt).equals(table(changed, 1.0, **learnt))


@pytest.mark.parametrize("share", SHARES)
def test_a_run_does_not_depend_on_the_others(small, learnt, share):
    whole = table(small, share, **learnt)
    some = small.select(runs=list(small.runs.index[[1, 4]]))
    alone = table(some, share, **learnt)
    assert list(alone.index) == list(some.runs.index) and list(alone) == list(whole)
    # Other padding may add the same numbers in another order.
    assert_allclose(alone, whole.loc[alone.index], rtol=1e-9, atol=1e-12)


def test_rows_keep_the_order_of_the_runs(small, learnt):
    order = small.runs.index[::-1]
    turned = table(replace(small, runs=small.runs.loc[order]), 0.3, **learnt)
    assert list(turned.index) == list(order)
    assert_allclose(turned.loc[small.runs.index], table(small, 0.3, **learnt), rtol=1e-9, atol=1e-12)


def test_the_same_call_gives_the_same_table_of_finite_floats(small, learnt):
    one = table(small, 0.3, **learnt)
    assert_frame_equal(one, table(small, 0.3, **learnt))
    assert set(one.dtypes) == {np.dtype(float)} and one.columns.is_unique
    assert not np.isinf(one.to_numpy()).any()
    # All eight runs have every metric: hardly anything is unknown.
    assert one.notna().mean().mean() > 0.9


def test_columns_follow_from_metrics_alone(small, learnt):
    begun = small.truncate(0.001)
    assert list(table(begun, 0.001, **learnt)) == list(table(small, 0.9, **learnt))
    assert {name.split(":")[0] for name in table(small, 0.5, metrics=["loss", "gap"])} == {"loss", "gap", "plan"}


def test_every_feature_of_the_catalogue_is_made_and_no_other(small, learnt):
    made = {column: group(column) for column in table(small, 0.3, **learnt)}
    assert set(made.values()) == set(GROUPS)
    assert {feature.group for feature in FEATURES} == set(GROUPS)
    for subject, of in (("accuracy", ["curve"]), ("gradient_norm", ["curve", "signal"]), ("gap", ["curve", "bias"])):
        listed = {f"{subject}:{name}" for kind in of for name in names(kind)}
        assert {column for column in made if column.rpartition(":")[0] == subject} == listed
    relations = {column for column in made if column.startswith("noisy_accuracy/accuracy:")}
    assert relations == {f"noisy_accuracy/accuracy:{name}" for name in names("pair")}
    planned = {column for column in made if column.startswith("plan:")}
    schedule = {f"plan:{name.replace('SCHEDULE', 'rate')}" for name in names("schedule")}
    assert planned == {"plan:log_steps", "plan:params"} | schedule
    state = {name.replace("STATE", str(k)) for name in names("phase") for k in range(learnt["phases"].count)}
    assert {column for column in made if column.startswith("phase:")} == {f"phase:{name}" for name in state}


def test_groups_of_signals_and_of_unknown_columns(small):
    assert group("gradient_norm:slope", small.metrics) == "signals"
    assert group("loss:slope", small.metrics) == "trend"
    for unknown in ("loss:height", "slope", "loss"):
        with pytest.raises(ValueError, match=r"no feature .*known are METRIC"):
            group(unknown)


def test_the_page_shows_the_catalogue():
    page = Path(__file__).parents[2] / "docs" / "features.md"
    assert as_markdown() in page.read_text()
    assert all(f"| {name} | {words} |" in page.read_text() for name, words in GROUPS.items())


def test_a_wrong_call_is_told_what_is_allowed(small):
    with pytest.raises(ValueError, match=r"share is a fraction in \(0, 1\], got 0"):
        table(small, 0)
    with pytest.raises(ValueError, match="no metric 'speed'; known are accuracy"):
        table(small, 0.5, metrics=["speed"])
    with pytest.raises(ValueError, match="no scale for metric 'gap'; known are accuracy"):
        table(small, 0.5, scales={"accuracy": scales_for(small)["accuracy"]})


def test_curves_of_few_points(described):
    constant, two, one = described([2.0] * 9), described([1.0, 3.0]), described([1.0], [4])
    assert [constant[name] for name in ("slope", "curvature", "noise", "change", "break_gain", "roughness")] == [0] * 6
    assert [constant[name] for name in ("worst_step", "spikes", "surge")] == [0] * 3
    assert np.isnan([constant[name] for name in ("time_50", "break_at")]).all()
    assert_allclose([two[name] for name in ("slope", "end", "change")], [2 / np.log(2), 3, 1])
    assert np.isnan([two[name] for name in ("noise", "curvature", "worst_step", "plateau")]).all()
    assert [one[name] for name in ("points", "first", "last", "level")] == [1, 1, 1, 1]
    assert np.isnan([one[name] for name in ("slope", "end", "change", "noise", "surge")]).all()
    none = described([1.0, 2.0], [50, 100], share=0.1)
    assert (
        none["points"] == 0
        and np.isnan([v for name, v in none.items() if name not in ("points", "plan:log_steps")]).all()
    )


def test_a_run_without_a_metric_is_unknown_there(small):
    gone = small.points[(small.points["run"] != "f0-s0") | (small.points["metric"] != "loss")]
    found = table(replace(small, points=gone), 0.3, scales=scales_for(small))
    assert found.loc["f0-s0", "loss:points"] == 0 and np.isnan(found.loc["f0-s0", "loss:slope"])
    assert_allclose(found.drop(index="f0-s0"), table(small, 0.3, scales=scales_for(small)).drop(index="f0-s0"))


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(-1e300, 1e300) | st.sampled_from([0.0, 1.0, 1e-300]), min_size=1, max_size=12),
    kind=st.sampled_from(["signal", "bias", "capability"]),
    start=st.integers(0, 3),
)
def test_absurd_values_are_never_infinite(described, values, kind, start):
    found = described(values, start + np.arange(len(values)), Metric("m", kind), 0.9, start + len(values))
    assert not np.isinf(list(found.values())).any()


def test_features_of_a_schedule():
    step = np.arange(0, 1001, 10)
    warm = np.minimum(step / 100, 1.0)
    rate = 0.02 * np.where(step > 800, (1000 - step) / 200, warm)
    points = pd.DataFrame({"run": "a", "metric": "rate", "step": step, "value": rate})
    curves = curves_from(points, None, {"rate": Metric("rate", "schedule", 0.0)})
    found = table(curves, 0.05)
    assert_allclose(found["plan:rate.peak"], np.log(0.02))
    assert_allclose(found["plan:rate.now"], 0.5)
    assert_allclose(found["plan:rate.final"], 0, atol=1e-12)
    assert_allclose(found["plan:rate.warmup"], 0.1)
    assert_allclose(found["plan:rate.decay"], 0.2)
    assert_allclose(found["plan:rate.rest"], (0.75 * 0.05 + 0.7 + 0.1) / 0.95, rtol=2e-3)
    assert_allclose(found["plan:log_steps"], np.log(1000))
    changed = replace(curves, points=points.assign(value=rate / 2, stderr=np.nan))
    assert_allclose(table(changed, 0.05)["plan:rate.peak"], np.log(0.01))


def test_scales_take_their_floor_from_all_tables(small):
    low = curves_from(pd.DataFrame({"run": "z", "metric": "loss", "step": [1], "value": [1e-7]}), None, small.metrics)
    alone, both = scales_for(small), scales_for(small, low)
    assert both["loss"].floor < alone["loss"].floor and both["accuracy"] == alone["accuracy"]
