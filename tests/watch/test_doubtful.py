"""Runs that count as healthy and may have failed: who is named, who is not, and what to type."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import predictdyn as pdyn
from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.watch.doubtful import doubtful, event_lines, warnings_of
from predictdyn.watch.keeping import load
from predictdyn.watch.learning import learn
from predictdyn.watch.losses import gradient_norm, training_loss, training_losses
from predictdyn.watch.troubles import healthy_runs


def _lost(curves: Curves, runs: list[str], step: float = 600, level: float = 2.3) -> Curves:
    """The curves with runs whose loss is back where it began from a step on, and stays there; nothing says so."""
    points = curves.points.copy()
    mine = points["run"].isin(runs) & (points["metric"] == "loss") & (points["step"] >= step)
    points.loc[mine, "value"] = level
    return Curves(points, curves.runs, curves.metrics, curves.events)


def test_a_run_that_collapsed_without_an_event_is_named_with_the_line_to_type(history):
    run = history.runs.index[7]
    broken = _lost(history, [run])
    found = doubtful(broken, healthy_runs(broken))
    assert found["run"].tolist() == [run] and found["metric"].tolist() == ["loss"]
    assert found["end"].tolist() == [2.3] and found["others"][0] < found["limit"][0] < 2.3
    assert event_lines(found) == [f"{run},600,diverged"]
    (line,) = warnings_of(found, 60)
    assert line.startswith("1 of 60 runs that count as healthy ends far from the others") and "events.csv" in line
    events = pd.DataFrame([line.split(",") for line in event_lines(found)], columns=["run", "step", "what"])
    told = Curves(broken.points, broken.runs, broken.metrics, events.astype({"step": float}))
    assert run not in healthy_runs(told) and not len(doubtful(told, healthy_runs(told)))


def test_healthy_runs_are_not_named(history, fresh):
    for curves in (history, fresh):
        assert not len(doubtful(curves, healthy_runs(curves)))
        assert not warnings_of(doubtful(curves, healthy_runs(curves)), 1)


@pytest.mark.parametrize(("share", "named"), [(0.2, True), (0.4, False)])
def test_where_many_runs_end_badly_that_is_usual(history, share, named):
    runs = history.runs.index[:: round(1 / share)].tolist() if share < 0.25 else history.runs.index[:24].tolist()
    found = doubtful(_lost(history, runs), history.runs.index)
    assert (sorted(found["run"]) == sorted(runs)) if named else not len(found)


def test_a_run_that_is_only_a_little_worse_is_not_named(history):
    """Others end within some hundredths of each other, which alone would make it far away."""
    points = history.points[history.points["metric"] == "loss"]
    calm = points.assign(value=2.5 * np.exp(-points["step"] / 100) + 0.3)
    calm.loc[calm["run"] == history.runs.index[0], "value"] += 0.2
    assert not len(doubtful(Curves(calm, history.runs, history.metrics), history.runs.index))


def test_a_run_is_compared_with_its_family_where_that_is_large(five_seeds):
    """One family ends at 0.2, all others near 1.2: a run of it at 1.2 is worse than its kin alone."""
    runs = five_seeds.runs.assign(family=["few"] * 6 + ["many"] * 54)
    steps = np.arange(0, 1001, 100)
    rows = []
    for place, run in enumerate(runs.index):
        end = 0.2 if 0 < place < 6 else 1.2
        rows += [(run, "loss", step, end + (2.5 - end) * np.exp(-step / 100)) for step in steps]
    points = pd.DataFrame(rows, columns=["run", "metric", "step", "value"])
    found = doubtful(curves_from(points, runs, five_seeds.metrics), runs.index)
    assert found["run"].tolist() == [runs.index[0]]


def test_generalisation_that_fails_is_no_collapse(history):
    """Only the training loss is looked at, where one is told: many good runs do not generalise."""
    metrics = {"train_loss": Metric("train_loss", "loss", 0.0, None, "lower"), "val_loss": Metric("val_loss", "loss")}
    points = history.points[history.points["metric"] == "loss"]
    other = points.assign(metric="val_loss")
    other.loc[other["run"] == history.runs.index[3], "value"] = 2.5
    both = pd.concat([points.assign(metric="train_loss"), other], ignore_index=True)
    curves = curves_from(both, history.runs, metrics | {"val_loss": Metric("val_loss", "loss", 0.0, None, "lower")})
    assert [metric.name for metric in training_losses(curves)] == ["train_loss"]
    assert not len(doubtful(curves, curves.runs.index))
    assert doubtful(curves.select(metrics=["val_loss"]), curves.runs.index)["run"].tolist() == [history.runs.index[3]]


def test_without_a_loss_capabilities_tell(history):
    points = history.points[history.points["metric"] == "accuracy"].copy()
    points.loc[(points["run"] == history.runs.index[5]) & (points["step"] > 300), "value"] = 0.01
    found = doubtful(Curves(points, history.runs, {"accuracy": history.metrics["accuracy"]}), history.runs.index)
    assert found["run"].tolist() == [history.runs.index[5]] and found["since"].tolist() == [320]


def test_metrics_that_rules_look_at_are_found_by_name(history):
    assert training_loss(history) == "loss" and gradient_norm(history) == "gradient_norm"
    assert training_loss(history.select(metrics=["accuracy"])) is None


def test_what_is_learnt_says_so_and_keeps_it(history, tmp_path):
    run = history.runs.index[7]
    broken = _lost(history, [run])
    detector = learn(broken)
    assert any(run in note and "events.csv" in note for note in detector.notes)
    (tmp_path / "kept").mkdir()
    detector.save(tmp_path / "kept")
    assert load(tmp_path / "kept").notes == detector.notes
    assert not any("events.csv" in note for note in learn(history).notes)
    # Who names the healthy runs has said that they went well.
    assert not any("events.csv" in note for note in learn(broken, healthy=healthy_runs(broken)).notes)


def test_the_suites_of_this_project_are_hardly_doubted():
    """Digits: all runs that died, and few others. Grokking: only runs that did not fit what they were trained on."""
    curves = pdyn.load_dataset("digits").select(metrics=["train_loss"])
    healthy = healthy_runs(curves)
    end = curves.points.groupby("run")["value"].last()
    died = {run for run in healthy if end[run] > 2.2}
    named = set(doubtful(curves, healthy)["run"])
    assert len(died) == 19 and died <= named and len(named - died) <= 0.02 * len(healthy)
    assert end[list(named)].min() > 1.5
    curves = pdyn.load_dataset("grokking")
    found = doubtful(Curves(curves.points, curves.runs, curves.metrics), curves.runs.index)
    assert len(found) == 3 and set(found["metric"]) == {"train_loss"}
    curves = pdyn.load_dataset("tinylm")
    assert not len(doubtful(curves, healthy_runs(curves)))
