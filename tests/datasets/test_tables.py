"""What holds for the committed tables of every suite, and for their sizes together."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

DATASETS = Path(__file__).parents[2] / "datasets"
SUITES = ["digits", "grokking", "tinylm"]
KEY = ["run", "metric", "step"]


@pytest.fixture(scope="module", params=SUITES)
def data(request) -> Path:
    return DATASETS / request.param / "data"


def test_points_are_sorted_unique_and_finite(points):
    assert list(points.columns) == ["run", "metric", "step", "value", "stderr"]
    assert (points.step.dtype, points.value.dtype, points.stderr.dtype) == (np.int64, np.float64, np.float64)
    pd.testing.assert_frame_equal(points, points.sort_values(KEY, ignore_index=True))
    assert not points.duplicated(KEY).any()
    assert np.isfinite(points.value).all()
    stated = points.stderr.dropna()
    assert np.isfinite(stated).all() and (stated >= 0).all()


def test_tables_agree_with_each_other(points, runs, metrics, events):
    assert runs.index.is_unique and set(points.run) == set(runs.index)
    assert set(points.metric) == set(metrics.index)
    assert set(events.run) <= set(runs.index)
    assert (points.step <= points.run.map(runs.last_step)).all() and (points.step >= 0).all()
    assert (events.step <= events.run.map(runs.last_step)).all() and (events.step >= 0).all()


def test_values_keep_to_the_ranges_of_their_metrics(points, metrics):
    lower, upper = points.metric.map(metrics.lower), points.metric.map(metrics.upper)
    assert not (points.value < lower).any()
    assert not (points.value > upper).any()


def test_checkpoints_lie_at_the_same_shares_of_every_run(points, runs):
    rates = points[points.metric == "learning_rate"]
    assert (rates.groupby("run").value.max() <= runs.peak_learning_rate * (1 + 1e-5)).all()
    steps = rates.groupby("run").step.apply(list)
    shares = {tuple(np.divide(each, runs.last_step[run]).round(6)) for run, each in steps.items()}
    (shares,) = shares
    assert 50 <= len(shares) <= 80 and shares[0] == 0 and shares[-1] == 1
    early = np.diff(shares)[:10]
    assert early.max() < 0.01 < np.diff(shares)[-10:].max(), "dense early"


def test_an_intervened_run_shares_plan_and_start_with_its_baseline_run(points, runs, events):
    if "intervention" not in runs:
        return
    changed = runs[runs.intervention != "none"]
    assert runs.intervention_step[runs.intervention == "none"].isna().all()
    same = runs.columns.drop(["intervention", "intervention_step", "baseline"])
    baselines = runs.loc[changed.baseline, same].reset_index(drop=True)
    pd.testing.assert_frame_equal(changed[same].reset_index(drop=True), baselines)
    by_run = dict(tuple(points.groupby("run")))
    recorded = set(events[["run", "step", "what"]].itertuples(index=False, name=None))
    for name, plan in changed.iterrows():
        both = (by_run[name], by_run[plan.baseline])
        own, other = (one[one.step < plan.intervention_step].drop(columns="run") for one in both)
        pd.testing.assert_frame_equal(own.reset_index(drop=True), other.reset_index(drop=True))
        assert (name, plan.intervention_step, plan.intervention) in recorded


def test_an_unknown_run_is_a_wrong_call(data, tmp_path):
    command = [sys.executable, data.parent / "make.py", "--runs", "3", "--only", "resnet", "--out", tmp_path / "data"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 2
    assert "no run 'resnet' among the first 3" in answer.stderr
    assert not (tmp_path / "data").exists()


def test_all_suites_together_are_small_enough_to_ship():
    files = [file for suite in SUITES for file in (DATASETS / suite).rglob("*") if "__pycache__" not in file.parts]
    assert sum(file.stat().st_size for file in files if file.is_file()) < 25e6
