"""The monitor: the right advice, never an error of ours, never more than its share of the time."""

from __future__ import annotations

import logging
import math
import threading
import time

import numpy as np
import pandas as pd
import pytest

import predictdyn as pdyn
from predictdyn.integrations.monitor import FIRST, Monitor


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    parts = []
    for i in range(9):
        step = np.arange(0, 101, 5)
        value = (0.4 + 0.05 * i) * (1 - np.exp(-(step + 1) / 25)) + rng.normal(0, 0.003, len(step))
        parts.append(pd.DataFrame({"run": f"old{i}", "step": step, "val_acc": value}))
    curves = pdyn.Curves.from_frame(pd.concat(parts), runs={"last_step": 100}, metrics={"val_acc": "capability"})
    return pdyn.fit(curves, "pooled_change")


def logged(monitor, limit: float, until: int = 51) -> pdyn.Monitor:
    for step in range(0, until, 5):
        monitor.log(step, {"val_acc": limit * (1 - np.exp(-(step + 1) / 25)), "note": "text"})
    return monitor


def test_advice_of_a_low_and_a_good_run(model):
    call = {"last_step": 100, "targets": "val_acc > 0.7", "background": False, "budget": None}
    low = logged(pdyn.Monitor(model, **call), 0.45).advice
    assert low.stop and [alarm.kind for alarm in low.alarms] == ["will miss target"] and low.step == 50
    middle, lower, upper = low.forecast["val_acc"]
    assert lower < 0.44 < upper and lower < middle < upper and low.targets["val_acc > 0.7"] < 0.05
    good = logged(pdyn.Monitor(model, **call), 0.78).advice
    assert not good.stop and not good.alarms and good.targets["val_acc > 0.7"] > 0.95


def test_in_the_background_the_advice_is_that_of_the_foreground(model):
    call = {"last_step": 100, "targets": "val_acc > 0.7"}
    front = logged(pdyn.Monitor(model, background=False, budget=None, **call), 0.45)
    back = logged(pdyn.Monitor(model, **call), 0.45)
    begin = time.perf_counter()
    assert back.advice.step != 50, "a budget of 1 % leaves no time for a look in the first moments"
    assert back.close(60) == back.advice and time.perf_counter() - begin < 60
    assert [alarm.kind for alarm in back.advice.alarms] == [alarm.kind for alarm in front.advice.alarms]
    assert back.advice.forecast == front.advice.forecast


def test_a_number_that_is_not_finite_does_not_wait_for_the_budget():
    monitor = pdyn.Monitor(last_step=100)
    monitor.log(1, {"val_loss": 1.0})
    monitor.log(2, {"val_loss": float("inf")})
    end = time.monotonic() + 60
    while not monitor.advice.stop and time.monotonic() < end:
        time.sleep(0.05)
    assert monitor.advice.words == "not finite: val_loss is infinite at step 2"
    monitor.close()


def test_looks_keep_to_the_budget(model, monkeypatch):
    monitor = pdyn.Monitor(model, last_step=100, background=False, budget=0.01)
    looks = []
    monkeypatch.setattr(monitor, "_look", lambda: looks.append(time.monotonic()))
    monitor.log(1, {"val_acc": 0.1})
    assert not looks
    monitor._begun -= FIRST / 0.01
    monitor.log(2, {"val_acc": 0.1})
    assert len(looks) == 1
    monitor._spent = 3.0
    monitor.log(3, {"val_acc": 0.1})
    assert len(looks) == 1


def test_an_error_of_ours_is_one_line_and_the_loop_goes_on(model, caplog, monkeypatch):
    monitor = pdyn.Monitor(model, last_step=100, background=False, budget=None, targets="speed > 1")
    with caplog.at_level(logging.WARNING, "predictdyn"):
        for step in range(5):
            assert monitor.log(step, {"val_acc": 0.1}).stop is False
    assert len(caplog.records) == 1 and "names metric 'speed'" in caplog.text
    monkeypatch.setattr(monitor._logged, "add", lambda *_: 1 / 0)
    monitor.log(6, {"val_acc": 0.1})
    assert "ZeroDivisionError" in caplog.text


def test_a_wrong_call_is_told_before_the_training():
    for call, words in (({"last_step": 0}, "planned end"), ({"last_step": 9, "budget": 2}, "share of the time")):
        with pytest.raises(ValueError, match=words):
            pdyn.Monitor(**call)
    with pytest.raises(ValueError, match="there is no folder"):
        pdyn.Monitor("nowhere", last_step=9)


def test_the_page_and_the_hook(model, tmp_path):
    told = []
    monitor = pdyn.Monitor(
        model,
        last_step=100,
        background=False,
        budget=None,
        targets="val_acc > 0.7",
        out=tmp_path / "out",
        on_alarm=told.append,
    )
    logged(monitor, 0.45)
    assert [said["kind"] for said in told] == ["will miss target"]
    assert "will miss target" in (tmp_path / "out" / "index.html").read_text()


def test_what_is_no_number_is_left_out_and_spoils_no_later_look(caplog):
    class Bad:
        def __float__(self):
            raise RuntimeError("only one element tensors can be converted")

    monitor = pdyn.Monitor(last_step=100, background=False, budget=None)
    rubbish = {"val_loss": 1.0, "name": "nan", "none": None, "array": np.ones(3), "bad": Bad(), "huge": 10**400}
    assert not monitor.log(0, rubbish).alarms
    for step in (math.nan, math.inf, -1, None, "x"):
        monitor.log(step, {"val_loss": 9.0})
    monitor.log(10, None)
    advice = monitor.log(5, {"val_loss": 0.5, "more": 2})  # steps may go back
    advice = monitor.log(20, {"val_loss": 0.4})
    assert advice.step == 20 and not advice.alarms and set(advice.forecast) <= {"val_loss", "more"}
    assert "a step is a number from 0 on" in caplog.text and "training is not affected" in caplog.text


def test_a_target_on_a_metric_that_comes_later_keeps_no_alarm_back():
    monitor = pdyn.Monitor(last_step=100, targets="val_acc > 0.9", background=False, budget=None)
    monitor.log(0, {"train_loss": 2.0})
    assert monitor.log(1, {"train_loss": float("nan")}).alarms[0].kind == "not finite"
    monitor = pdyn.Monitor(last_step=100, targets="val_acc > 0.9", background=False, budget=None)
    for step in range(0, 40, 10):
        monitor.log(step, {"train_loss": 2.0 / (1 + step)})
    assert "val_acc > 0.9" in monitor.log(40, {"train_loss": 0.04, "val_acc": 0.5}).targets


def test_numbers_from_many_threads(caplog):
    monitor = pdyn.Monitor(last_step=1000, background=False, budget=None)
    threads = [
        threading.Thread(target=lambda at=at: [monitor.log(step, {f"loss{at}": 1.0}) for step in range(at, 60, 20)])
        for at in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert monitor.close().step == 43 and not caplog.text


def trained(monkeypatch, lasts: float, evaluations: int, *, slow_start: float = 0.0, first=3.0, later=0.5):
    """A made-up training under a made-up clock: when it was looked at, and what the looks cost, in seconds."""
    clock = [1000.0]
    monkeypatch.setattr("predictdyn.integrations.monitor.time.monotonic", lambda: clock[0])
    monitor = pdyn.Monitor(last_step=1000, background=False)
    looks: list[tuple[float, float]] = []

    def look():
        cost = later if looks else first
        looks.append((clock[0] - 1000, cost))
        monitor._spent, monitor._next, monitor._looked = monitor._spent + cost, later, clock[0]

    monkeypatch.setattr(monitor, "_look", look)
    for number in range(evaluations + 1):
        monitor.log(1000 * number / evaluations, {"val_loss": 1.0})
        clock[0] += lasts / evaluations + (slow_start if number == 0 else 0.0)
    return looks


@pytest.mark.parametrize(("lasts", "evaluations"), [(3600, 100), (36000, 5000), (1200, 50), (900, 300)])
def test_a_long_training_is_looked_at_early_and_costs_its_budget_at_most(monkeypatch, lasts, evaluations):
    looks = trained(monkeypatch, lasts, evaluations)
    times, costs = np.array(looks).T
    assert times[0] <= 3 * lasts / evaluations, "once the pace is known"
    assert 0.3 * 0.01 * lasts < costs.sum() <= 0.01 * lasts
    assert np.diff(times).min() >= 0.5 / 0.02, "no burst: a look that came late is not made up for at once"


@pytest.mark.parametrize("lasts", [60, 120, 290])
def test_a_short_training_is_not_looked_at_before_its_end(monkeypatch, lasts):
    assert trained(monkeypatch, lasts, 40) == []


def test_a_slow_start_promises_no_time(monkeypatch):
    """Two minutes of compiling, then two of training: the latter cannot pay for a look."""
    assert trained(monkeypatch, 120, 60, slow_start=120) == []


def test_a_training_that_outlives_its_plan_is_looked_at_by_the_time_that_has_passed(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("predictdyn.integrations.monitor.time.monotonic", lambda: clock[0])
    monitor = pdyn.Monitor(last_step=10, background=False)
    looks = []
    monkeypatch.setattr(monitor, "_look", lambda: looks.append(clock[0]))
    for step in range(400):
        monitor.log(step, {"val_loss": 1.0})
        clock[0] += 1.0
    assert looks[0] == 300.0


def test_a_metric_that_stays_nan_is_urgent_once(monkeypatch):
    monitor = pdyn.Monitor(last_step=100, background=False)
    looks = []
    monkeypatch.setattr(monitor, "_look", lambda: looks.append(step) or monitor._urgent.clear())
    for step, value in enumerate([1.0, math.nan, math.nan, math.nan, 1.0, 1.0, math.inf, math.inf]):
        monitor.log(step, {"val_loss": value})
    assert looks == [1, 6]


def test_alarms_of_the_model_folder_are_those_of_the_monitor(tmp_path, caplog):
    from tests.watch.conftest import made

    model = pdyn.fit(made(12, 3), "mean_change")
    model.save(tmp_path / "model", alarms=True)
    broken = made(1, 0, broken=1, start=300).points
    call = {"last_step": 1000, "background": False, "budget": None, "stop_on": ["off path"]}
    for how in (
        {"model": tmp_path / "model"},
        {"model": model, "alarms": tmp_path / "model" / "alarms"},
    ):
        monitor = pdyn.Monitor(**how, **call)
        monitor._budget = 1.0  # one look at the whole
        for step, rows in broken.groupby("step"):
            monitor.log(step, dict(zip(rows["metric"], rows["value"], strict=True)))
        assert [alarm.kind for alarm in monitor.close().alarms] == ["off path"]
    monitor = pdyn.Monitor(model, **call)
    assert monitor.log(0, {"loss": 1.0}).alarms == ()
    assert not caplog.text
    with pytest.raises(ValueError, match="there is no folder nowhere"):
        pdyn.Monitor(model, last_step=9, alarms="nowhere")


def test_a_loop_whose_first_number_is_not_finite_rings_and_may_recover():
    monitor = pdyn.Monitor(last_step=100, background=False, budget=None)
    advice = monitor.log(0, {"val_loss": math.nan})
    assert advice.stop and advice.step == 0 and advice.words == "not finite: val_loss is NaN at step 0"
    for step in range(1, 6):
        advice = monitor.log(step, {"val_loss": 1 / step})
    assert len(advice.alarms) == 1 and set(advice.forecast) == {"val_loss"}


def test_at_the_end_of_the_process_a_look_is_made_for_a_page_or_a_hook_alone(tmp_path, monkeypatch):
    """Nobody is left to take the advice, and the process must not wait for it."""
    for more, expected in (({}, 0), ({"out": tmp_path}, 1), ({"on_alarm": print}, 1)):
        monitor = pdyn.Monitor(last_step=100, **more)
        looks = []
        monkeypatch.setattr(monitor, "_look", lambda looks=looks: looks.append(1))
        monitor.log(1, {"val_loss": 1.0})
        assert monitor._thread is not None and monitor._thread.daemon
        monitor._exit()
        assert len(looks) == expected
        monitor.close()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"last_step": "100"}, "last_step= is the planned end of the run, a step above 0, got '100'"),
        ({"last_step": None}, "last_step= is the planned end of the run"),
        ({"budget": "1%"}, r"budget= is a share of the time in \(0, 1\], or None for no limit, got '1%'"),
        ({"stop_on": ["nan"]}, "stop_on= names kinds of alarms; 'nan' is none of off path, "),
        ({"targets": "acc >> 3"}, "event 'acc >> 3': found 'acc >> 3' where a bound was expected"),
    ],
)
def test_a_wrong_call_is_told_before_training(call, said):
    with pytest.raises(ValueError, match=said):
        Monitor(**{"last_step": 10, **call})


def test_one_kind_to_stop_for_may_be_a_text():
    monitor = Monitor(last_step=10, stop_on="not finite", background=False, budget=None)
    monitor.log(0, {"loss": 1.0})
    assert monitor.log(1, {"loss": float("nan")}).stop


@pytest.mark.parametrize("last", [50, 49.5])
def test_what_came_is_the_advice_at_the_end(last):
    """Also where the last log lies just before the planned end; before that, the run still goes on."""
    monitor = Monitor(last_step=50, targets="val_acc > 0.8", background=False, budget=None)
    for step in range(0, 50, 5):
        advice = monitor.log(step, {"val_acc": 0.5 + step / 250})
    assert advice.targets["val_acc > 0.8"] < 1 and advice.forecast["val_acc"][0] < 0.8
    monitor.log(49.2, {"val_acc": 0.3})
    monitor.log(last, {"val_acc": 0.9})
    advice = monitor.close()
    assert advice.step == last and advice.targets == {"val_acc > 0.8": 1.0}
    assert advice.forecast == {"val_acc": (0.9, 0.9, 0.9)}
