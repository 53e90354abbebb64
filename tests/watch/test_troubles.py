"""Which runs went well, what went wrong, and which events are no trouble."""

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import Curves, curves_from
from predictdyn.watch.replay import backtest_alarms
from predictdyn.watch.troubles import healthy_runs, milestones, milestones_said, troubles_of


def runs_with(events: list[tuple[str, float, str]], n: int = 20) -> Curves:
    rng = np.random.default_rng(0)
    steps = np.arange(0, 101, 10)
    names = [f"r{i:02d}" for i in range(n)]
    points = pd.DataFrame(
        [(run, "loss", int(step), 3 - step / 50 + 0.01 * rng.standard_normal()) for run in names for step in steps],
        columns=["run", "metric", "step", "value"],
    )
    found = curves_from(points, pd.DataFrame({"run": names, "family": names, "last_step": 100}).set_index("run"))
    table = pd.DataFrame(events, columns=["run", "step", "what"])
    return Curves(found.points, found.runs, found.metrics, table)


MOST = [(f"r{i:02d}", 40.0, "generalised") for i in range(11)]


def test_what_most_runs_have_is_a_milestone_and_no_trouble():
    curves = runs_with([*MOST, ("r01", 60.0, "data lost")])
    assert milestones(curves) == {"generalised": 11}
    assert len(healthy_runs(curves)) == 19 and "r01" not in healthy_runs(curves)
    assert troubles_of(curves).to_dict("records") == [{"run": "r01", "trouble": "data lost", "at": 60.0}]
    (line,) = milestones_said(curves)
    assert "'generalised' (11 runs)" in line
    assert any(line == note for note in backtest_alarms(curves, false_alarms=0.2, folds=2).notes)


def test_half_of_the_runs_are_not_most():
    curves = runs_with(MOST[:10])
    assert milestones(curves) == {} and milestones_said(curves) == [] and len(healthy_runs(curves)) == 10


@pytest.mark.parametrize("what", ["diverged", "loss is NaN", "Collapsed", "CUDA OOM", "loss exploded"])
def test_a_failure_is_a_trouble_however_many_runs_have_it(what):
    curves = runs_with([(run, step, what) for run, step, _ in MOST])
    assert milestones(curves) == {} and len(healthy_runs(curves)) == 9 and len(troubles_of(curves)) == 11


def test_runs_that_were_changed_do_not_make_a_milestone():
    curves = runs_with(MOST)
    changed = curves.runs.assign(intervention="none")
    changed.loc[changed.index[:11], "intervention"] = "labels cleaned"
    changed.loc[changed.index[:11], "intervention_step"] = 40.0
    arms = Curves(curves.points, changed, curves.metrics, curves.events)
    assert milestones(arms) == {}
