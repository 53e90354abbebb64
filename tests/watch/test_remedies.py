"""The page of an alarm: the forecast with each intervention that finished runs had, and what supports it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import Curves, curves_from
from predictdyn.forecasters import fit
from predictdyn.watch.alarm import Alarm, Look
from predictdyn.watch.follow import News
from predictdyn.watch.remedies import known_interventions
from predictdyn.watch.watcher import Watcher
from tests.watch.conftest import LAST, METRICS, made

TARGET = "loss < 0.35"


@pytest.fixture(scope="module")
def with_arms() -> Curves:
    """Twelve healthy runs; of each an arm that halves its loss from 40 % on, and an arm of a run that is not there."""
    plain = made(12, 1)
    parts, runs = [plain.points], [plain.runs.assign(intervention="none")]
    for name, factor in (("half the loss", 0.5), ("more data", 0.7)):
        points = plain.points.copy()
        changed = (points["metric"] == "loss") & (points["step"] > 0.4 * LAST)
        points.loc[changed, "value"] *= factor
        known = plain.runs.index if name == "half the loss" else plain.runs.index + "-gone"
        arm = plain.runs.assign(intervention=name, intervention_step=0.4 * LAST, baseline=known)
        arm.index = arm.index + f"-{name}"
        parts.append(points.assign(run=points["run"] + f"-{name}"))
        runs.append(arm)
    return curves_from(pd.concat(parts, ignore_index=True), pd.concat(runs), METRICS)


class Grows:
    """A run that comes further from look to look, in the place of files that are followed."""

    def __init__(self, curves: Curves, shares: list[float]) -> None:
        self.curves, self.shares = curves, shares
        self.past, self.closed = None, frozenset()

    def news(self) -> News | None:
        self.past = frozenset()
        if not self.shares:
            return None
        now = self.curves.truncate(self.shares.pop(0))
        return News(now, frozenset(now.runs.index), frozenset(), {}, len(now.runs), ())

    def accept(self, news: News) -> None:
        pass


class RingsAtOnce:
    """Rings in the first run."""

    def look(self, curves: Curves, state: dict) -> Look:
        run = curves.runs.index[0]
        alarms = [] if state else [Alarm(run, "off path", "loss", 300.0, 400.0, 40.0, "loss higher than announced")]
        return Look(tuple(alarms), {"rang": True}, pd.DataFrame({"run": [run], "e_value": [40.0]}))


def watcher(history: Curves, new: Curves, shares: list[float], out=None, hook=None) -> Watcher:
    made_by = {"path": "/logs", "targets": [TARGET]}
    model = fit("mean_change", history)
    follower = Grows(new, shares)
    return Watcher(follower, made_by, RingsAtOnce(), model, (TARGET,), ("loss",), out, hook, silent=0.0, every=60.0)


def test_the_page_of_an_alarm_shows_the_forecast_with_each_intervention(with_arms, tmp_path):
    shown = []
    hook = lambda said: shown.append((tmp_path / "out" / "index.html").read_text())  # noqa: E731
    new = made(1, 1, start=500)
    watch = watcher(with_arms, new, [0.41], tmp_path / "out", hook)
    watch.look()
    (run,) = new.runs.index
    unchanged, *rest = watch.state.runs[run]["weighed"]["entries"]
    assert unchanged["change"] == "unchanged" and {one["change"] for one in rest} == {"half the loss", "more data"}
    assert {one["step"] for one in rest} == {400.0}
    of = {one["change"]: one["metrics"]["loss"] for one in rest}
    middle = unchanged["metrics"]["loss"]["with"][1]
    assert of["half the loss"]["with"][1] == pytest.approx(0.5 * middle, rel=0.1)
    assert of["half the loss"]["effect"][1] == pytest.approx(-0.5 * middle, rel=0.15)
    assert of["half the loss"]["words"].startswith("paired runs support it: 12 pairs in 12 families")
    assert of["more data"]["words"].startswith("predicted, not causal: 12 runs with it in 12 families, none beside")
    chance = {one["change"]: one["targets"][TARGET] for one in (unchanged, *rest)}
    assert chance["half the loss"] > chance["unchanged"]
    assert len(shown) == 1, "the hook's page has it already"
    for words in (f"{run}, if the training is changed after step 400", "half the loss", "predicted, not causal: 12"):
        assert words in shown[0]


def test_it_is_weighed_again_once_the_run_has_moved_on(with_arms):
    new = made(1, 1, start=500)
    watch = watcher(with_arms, new, [0.41, 0.43, 0.6])
    (run,) = new.runs.index
    steps = []
    for _ in range(3):
        watch.look()
        steps.append(watch.state.runs[run]["weighed"]["step"])
    assert steps == [400.0, 400.0, 600.0]


def test_nothing_is_said_without_interventions_or_of_a_run_that_had_one(with_arms, tmp_path):
    new = made(1, 1, start=500)
    (run,) = new.runs.index
    plain = with_arms.select(runs=with_arms.runs.index[with_arms.runs["intervention"] == "none"])
    watch = watcher(plain, new, [0.5])
    watch.look()
    assert len(watch.state.alarms) == 1 and "weighed" not in watch.state.runs[run]
    own = replace(new, runs=new.runs.assign(intervention="half the loss", intervention_step=300.0, baseline="x"))
    watch = watcher(with_arms, own, [0.5], tmp_path / "out")
    watch.look()
    assert watch.state.runs[run]["weighed"]["entries"] == []
    assert "if the training is changed" not in (tmp_path / "out" / "index.html").read_text()
    few = with_arms.runs.index[with_arms.runs["intervention"] == "more data"][3:]
    assert known_interventions(with_arms.select(runs=with_arms.runs.index.difference(few))) == ["half the loss"]


def test_a_look_without_alarms_weighs_nothing(with_arms, monkeypatch):
    new = made(1, 1, start=500)
    watch = watcher(with_arms, new, [0.41])
    monkeypatch.setattr(RingsAtOnce, "look", lambda *_: Look((), {}, pd.DataFrame({"run": [], "e_value": []})))
    watch.look()
    assert "weighed" not in watch.state.runs[new.runs.index[0]] and np.isfinite(watch.state.looked)
