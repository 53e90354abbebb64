"""A detector that was learnt is read back, as long as nothing that decides what is learnt has changed."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import predictdyn as pdyn
from predictdyn.watch import kept as room
from predictdyn.watch.kept import ARRAYS, KEY, learnt_once


@pytest.fixture
def counted(monkeypatch):
    """The calls of `learn`, which still does its work."""
    calls, learn = [], room.learn
    monkeypatch.setattr(room, "learn", lambda history, **how: calls.append(how) or learn(history, **how))
    return calls


def p_values(detector, curves):
    return detector.evidence(curves)["p"].to_numpy()


def test_it_is_learnt_once_for_all_rates(history, fresh, tmp_path, counted):
    first = learnt_once(history, tmp_path / "alarms", false_alarms=0.05)
    again = learnt_once(history, tmp_path / "alarms", false_alarms=0.01)
    assert len(counted) == 1 and (first.rate, again.rate) == (0.05, 0.01)
    assert first.notes != again.notes and "0.01" in again.notes[0]
    np.testing.assert_array_equal(p_values(first, fresh), p_values(again, fresh))
    plain = room.learn(history, false_alarms=0.05)
    np.testing.assert_allclose(p_values(first, fresh), p_values(plain, fresh), rtol=1e-3)


def test_another_history_or_seed_or_version_learns_again(history, tmp_path, counted, monkeypatch):
    home = tmp_path / "alarms"
    learnt_once(history, home, false_alarms=0.05)
    points = history.points.copy()
    points.loc[0, "value"] *= 1.001  # one value of one run
    learnt_once(replace(history, points=points), home, false_alarms=0.05)
    assert len(counted) == 2
    learnt_once(replace(history, points=points), home, false_alarms=0.05, seed=1)
    monkeypatch.setattr(room, "__version__", "0.0.0")
    learnt_once(replace(history, points=points), home, false_alarms=0.05, seed=1)
    assert len(counted) == 4
    learnt_once(replace(history, points=points), home, false_alarms=0.05, seed=1)
    assert len(counted) == 4, "the last one is kept"


def test_what_is_damaged_or_half_written_is_learnt_again(history, tmp_path, counted, monkeypatch):
    home = tmp_path / "alarms"
    learnt_once(history, home, false_alarms=0.05)
    for damage in (
        lambda: (home / ARRAYS).write_bytes((home / ARRAYS).read_bytes()[:-100]),
        lambda: (home / KEY).write_text("{"),
        lambda: (home / KEY).write_text(json.dumps(["key"])),
        lambda: (home / KEY).unlink(),
        lambda: (home / ARRAYS).unlink(),
    ):
        damage()
        before = len(counted)
        learnt_once(history, home, false_alarms=0.05)
        learnt_once(history, home, false_alarms=0.05)
        assert len(counted) == before + 1
    monkeypatch.setattr(room, "durable", lambda *_: (_ for _ in ()).throw(OSError("disk is full")))
    (home / KEY).unlink()
    assert learnt_once(history, home, false_alarms=0.05).rate == 0.05
    assert not (home / KEY).exists()


def test_nothing_is_written_into_the_folder_that_was_given(history, tmp_path, counted):
    given = tmp_path / "model" / "alarms"
    learnt_once(history, None, false_alarms=0.05, given=given)
    assert not given.exists()
    learnt_once(history, given, false_alarms=0.05)
    learnt_once(history, None, false_alarms=0.05, given=given)
    assert len(counted) == 2


def test_a_watch_that_starts_again_learns_no_alarms(history, fresh, tmp_path, counted):
    logs = tmp_path / "logs"
    logs.mkdir()
    for run, rows in fresh.select(runs=["f100-s0", "f100-s2"]).points.groupby("run"):
        wide = rows[rows["step"] <= 600].pivot_table(index="step", columns="metric", values="value")
        wide.to_csv(logs / f"{run}.csv")
    model = pdyn.fit(history, "mean_change")
    call = {"once": True, "silent": 0, "last_step": 1000, "say": lambda line: None}
    first = pdyn.watch(logs, model, out=tmp_path / "out", **call)
    table = first.table
    again = pdyn.watch(logs, model, out=tmp_path / "out", **call)
    assert len(counted) == 1
    assert again.alarms.equals(first.alarms) and table["e_value"].equals(again.table["e_value"])


def test_a_model_that_was_fitted_with_alarms_brings_them(history, fresh, tmp_path, call, counted):
    data, logs, model = tmp_path / "data", tmp_path / "logs", tmp_path / "model"
    for folder in (data, logs):
        folder.mkdir()
    history.points.to_csv(data / "points.csv", index=False)
    history.runs.to_csv(data / "runs.csv")
    kinds = [(name, one.kind, one.lower, one.upper, one.better) for name, one in history.metrics.items()]
    pd.DataFrame(kinds, columns=["metric", "kind", "lower", "upper", "better"]).to_csv(
        data / "metrics.csv", index=False
    )
    status, _, err = call("fit", data, "--forecaster", "mean_change", "--alarms", "--out", model, "--quiet")
    assert status == 0 and len(counted) == 1, err
    rows = fresh.select(runs=["f100-s2"]).points
    rows[rows["step"] <= 600].pivot_table(index="step", columns="metric", values="value").to_csv(logs / "new.csv")
    found = pdyn.watch(logs, model, out=tmp_path / "out", once=True, silent=0, last_step=1000, say=lambda line: None)
    assert len(counted) == 1 and found.watcher.made["learnt"]
    assert not (tmp_path / "out" / "alarms").exists(), "nothing is kept twice"
    small = history.select(runs=list(history.runs.index[:3]))
    with pytest.raises(ValueError, match="4 are the fewest"):
        pdyn.fit(small, "mean_change").save(tmp_path / "small", alarms=True)
    assert not (tmp_path / "small").exists()
