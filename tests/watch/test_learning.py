"""Alarms that were learnt: what rings and what does not, however often one looks, and after saving and loading."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import Curves, curves_from, no_curves
from predictdyn.watch import Look, learn, load
from predictdyn.watch.checkpoints import GAP, LEAST_GAP, checkpoints
from predictdyn.watch.learning import LearntDetector
from predictdyn.watch.troubles import healthy_runs


@pytest.fixture(scope="module")
def detector(history: Curves) -> LearntDetector:
    return learn(history)


def looked(detector: LearntDetector, curves: Curves, times: int) -> tuple[list, dict]:
    state: dict = {}
    found = []
    for progress in np.linspace(1.0, 0.05, times)[::-1]:
        look = detector.look(curves.truncate(float(progress)), state)
        state = json.loads(json.dumps(look.state))  # as it is kept between two looks
        found += look.alarms
    return sorted(found), state


def test_broken_runs_ring_after_they_broke_and_healthy_ones_hardly_ever(detector, fresh):
    look = detector.look(fresh, {})
    rang = {alarm.run: alarm for alarm in look.alarms}
    broke = dict(zip(fresh.events["run"], fresh.events["step"], strict=True))
    caught = [run for run in broke if run in rang and rang[run].step > broke[run]]
    assert len(caught) >= 18
    assert len(set(rang) - set(broke)) <= 5  # of 40, asked for 5 %
    late = [rang[run].step - broke[run] for run in caught]
    assert np.median(late) <= 40  # two checkpoints
    assert all(rang[run].since <= broke[run] + 20 for run in caught)
    assert all("loss higher than announced" in rang[run].words for run in caught)


def test_alarms_do_not_depend_on_how_often_one_looks(detector, fresh):
    once, _ = looked(detector, fresh, 1)
    often, state = looked(detector, fresh, 23)
    assert once == often and len(once) >= 18
    assert detector.look(fresh, state).alarms == ()


def test_a_detector_is_the_same_after_saving_and_loading(detector, fresh, tmp_path):
    detector.save(tmp_path)
    again = load(tmp_path)
    one, other = detector.look(fresh, {}), again.look(fresh, {})
    assert one.alarms == other.alarms
    pd.testing.assert_frame_equal(one.table, other.table)
    (tmp_path / "detector.npz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="no detector can be read there"):
        load(tmp_path)


def test_a_smaller_rate_rings_later_or_never(history, fresh):
    strict = learn(history, false_alarms=0.001)
    often = {alarm.run: alarm.step for alarm in learn(history, false_alarms=0.2).look(fresh, {}).alarms}
    rare = {alarm.run: alarm.step for alarm in strict.look(fresh, {}).alarms}
    assert set(rare) < set(often) and all(rare[run] >= often[run] for run in rare)
    assert any("rests on an exponential tail" in line for line in strict.notes)


def test_a_run_of_a_known_family_is_judged_by_the_family_curve(five_seeds):
    past = five_seeds
    detector = learn(past)
    assert detector.shared is not None and len(detector.families) == 12
    odd = past.select(runs=["f3-s0"])
    points = odd.points.copy()
    mine = (points["metric"] == "loss") & (points["step"] > 500)
    points.loc[mine, "value"] *= 1.3
    points["run"] = "new"
    runs = odd.runs.rename(index={"f3-s0": "new"})
    alarms = detector.look(Curves(points, runs, odd.metrics), {}).alarms
    assert [alarm.kind for alarm in alarms] == ["off family curve"]
    assert 500 < alarms[0].step <= 560 and alarms[0].metric == "loss"


class Beside:
    """A detector that says one thing of every run."""

    def look(self, curves: Curves, state: dict) -> Look:
        table = pd.DataFrame({"run": curves.runs.index, "p_loss < 1": 0.25})
        return Look((), {"looks": state.get("looks", 0) + 1}, table)

    def save(self, folder) -> None: ...


def test_a_detector_beside_it_keeps_its_own_state(history, fresh):
    both = learn(history, beside=Beside())
    look = both.look(fresh, both.look(fresh, {}).state)
    assert look.state["beside"] == {"looks": 2} and look.state["version"] == 1
    assert (look.table["p_loss < 1"] == 0.25).all() and len(look.table) == len(fresh.runs)


def test_healthy_runs_are_finished_and_without_an_event(fresh):
    assert not set(healthy_runs(fresh)) & set(fresh.events["run"])
    assert len(healthy_runs(fresh)) == 40
    assert healthy_runs(fresh.truncate(0.5)) == []


def test_many_metrics_of_few_runs_do_not_make_every_new_run_strange():
    rng = np.random.default_rng(3)
    steps = np.arange(0, 101, 4)

    def runs(names: list[str]) -> Curves:
        rows = [
            (run, f"m{k}", int(step), value)
            for run in names
            for k in range(60)
            for step, value in zip(steps, rng.standard_normal(len(steps)), strict=True)
        ]
        table = pd.DataFrame({"run": names, "family": names, "last_step": 100})
        return curves_from(pd.DataFrame(rows, columns=["run", "metric", "step", "value"]), table)

    detector = learn(runs([f"past{i}" for i in range(8)]))
    assert len(detector.look(runs([f"new{i}" for i in range(12)]), {}).alarms) <= 2


def test_what_few_families_log_is_not_judged(history):
    rare = history.points[(history.points["metric"] == "loss") & history.points["run"].str.startswith("f1-")]
    points = pd.concat([history.points, rare.assign(metric="rare")]).sort_values(["run", "metric", "step"])
    metrics = {**history.metrics, "rare": history.metrics["loss"]._replace(name="rare")}
    detector = learn(Curves(points.reset_index(drop=True), history.runs, metrics))
    assert sorted(detector.axes) == ["accuracy", "gradient_norm", "loss"]


@pytest.mark.parametrize("rate", [0.0, 1.0, 5.0])
def test_a_rate_is_a_share(history, rate):
    with pytest.raises(ValueError, match="share of runs in"):
        learn(history, false_alarms=rate)


def test_a_history_without_healthy_runs_is_told(history):
    with pytest.raises(ValueError, match="there are 2; 4 are the fewest"):
        learn(history, healthy=history.runs.index[:2])


def test_a_dense_log_is_looked_at_a_few_hundred_times_and_each_from_what_came_before():
    progress = np.linspace(0, 1, 50_001)
    found = checkpoints(progress)
    assert 200 < len(found) < 320
    gap = np.diff(progress[found])
    assert (gap >= (LEAST_GAP + GAP * progress[found][:-1]) * (1 - 1e-5)).all()
    half = checkpoints(progress[:20_000])
    assert half.tolist() == found[: len(half)].tolist()


def test_a_run_without_a_finite_number_is_passed_over(history, fresh):
    detector = learn(history)
    some = fresh.select(runs=["f100-s0", "f100-s2"])
    blank = some.runs.rename(index={"f100-s0": "blank"}).loc[["blank"]]
    both = replace(some, runs=pd.concat([some.runs, blank]))
    alone = replace(no_curves(), runs=blank)
    look = detector.look(both, {})
    assert {alarm.run for alarm in look.alarms} == {alarm.run for alarm in detector.look(some, {}).alarms}
    assert look.table.set_index("run").loc["blank", "step"] == 0
    assert detector.look(alone, {}).alarms == ()
