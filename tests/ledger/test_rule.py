"""The rule by which logs answer: which value counts, when it does, and when nobody is right or wrong."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import Metric, curves_from
from predictdyn.ledger.rule import Rule, check_deadline, deadline, outcome

DAY = datetime(2026, 5, 1, tzinfo=UTC)


def logs(steps, *, train_to=0, **columns):
    """A run whose accuracy is a hundredth of its step, and whose loss is logged further."""
    rows = [("r", "accuracy", step, step / 100) for step in steps]
    rows += [("r", "loss", step, 1.0) for step in range(10, train_to + 1, 10)]
    points = pd.DataFrame(rows, columns=["run", "metric", "step", "value"]).assign(stderr=np.nan)
    runs = pd.DataFrame([{"run": "r", "family": "f", "last_step": 100, **columns}])
    metrics = {"accuracy": Metric("accuracy", "capability", 0, 2), "loss": Metric("loss", "loss", 0)}
    return curves_from(points, runs, {name: metrics[name] for name in dict.fromkeys(row[1] for row in rows)})


def ruled(curves, rule=None, *, step=100, ended=False, now=DAY):
    rule = rule or Rule()
    question = {
        "run": "r",
        "metric": "accuracy",
        "step": step,
        "last_step": 100,
        "seen_step": 20,
        "rule": rule.as_data(),
    }
    return outcome(question, curves, "r", now=now, ended=ended)


def test_the_value_at_the_step():
    assert ruled(logs([50, 100])) == ("resolved", 1.0, [(100.0, 1.0)], "")
    assert ruled(logs([50, 80])) == ("open", pytest.approx(np.nan, nan_ok=True), [], "the log has reached 80 of 100")


def test_the_mean_of_the_last_checkpoints():
    found = ruled(logs([60, 80, 100]), Rule(last_n=3))
    assert found.value == pytest.approx((0.6 + 0.8 + 1.0) / 3) and [step for step, _ in found.points] == [60, 80, 100]
    # Later checkpoints are not of the question.
    assert ruled(logs([60, 80, 100]), Rule(last_n=2), step=80).value == pytest.approx(0.7)
    assert ruled(logs([100]), Rule(last_n=2)).reason == "only 1 of the 2 checkpoints were logged"


def test_a_value_near_the_end_counts_once_the_run_is_there():
    assert ruled(logs([50, 99])).state == "open"
    assert ruled(logs([50, 99], train_to=100)) == ("resolved", 0.99, [(99.0, 0.99)], "")
    assert ruled(logs([50, 99]), ended=True).value == 0.99


def test_a_run_that_stopped_before_is_censored_only_once_it_is_said():
    stopped = logs([50, 97], train_to=90)
    assert ruled(stopped).state == "open"
    assert ruled(stopped, ended=True)[::3] == ("censored", "the last value before step 100 was logged at 97")
    assert ruled(logs([50], train_to=100)).state == "censored"


def test_after_a_date_or_a_step_a_question_closes_answered_or_not():
    by_day = Rule(resolve_by="2026-05-01")
    assert ruled(logs([99]), by_day).state == "open"
    later = datetime(2026, 5, 2, 1, tzinfo=UTC)
    assert ruled(logs([99]), by_day, now=later).value == 0.99
    assert ruled(logs([50]), by_day, now=later).state == "censored"
    assert ruled(logs([50, 70]), Rule(resolve_by=80.0)).state == "open"
    assert ruled(logs([50, 80]), Rule(resolve_by=80.0)).state == "censored"


def test_a_run_that_the_logs_do_not_have_is_open_until_its_date_or_until_it_has_stopped():
    def found(rule=None, **how):
        question = {"metric": "accuracy", "step": 100, "last_step": 100, "seen_step": 20}
        return outcome({**question, "rule": (rule or Rule()).as_data()}, logs([100]), "gone", **{"now": DAY, **how})

    by_day, by_step = Rule(resolve_by="2026-05-01"), Rule(resolve_by=150.0)
    assert [found(rule, ended=False).state for rule in (None, by_day, by_step)] == ["open"] * 3
    for one in (found(ended=True), found(by_day, ended=False, now=datetime(2026, 5, 2, 1, tzinfo=UTC))):
        assert one[::3] == ("censored", "the logs do not have the run")


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("2026-04-30", "resolve_by= is a day that has not passed, got 2026-04-30; today is 2026-05-01"),
        (80.0, "resolve_by=80 is too early for it: only values from step 98 on answer it"),
        (98.5, "resolve_by=98.5 is too early for it: its forecast has seen step 99"),
        ("2026-05-01", None),
        (99.5, None),
        (200.0, None),
        (None, None),
    ],
)
def test_a_deadline_at_which_nothing_can_be_answered_is_refused(by, words):
    rule = Rule(resolve_by=by)
    if words is None:
        check_deadline(rule, 100, 99, "it", DAY)
    else:
        with pytest.raises(ValueError, match=words):
            check_deadline(rule, 100, 99, "it", DAY)


def test_void_only_by_the_reasons_that_were_fixed():
    other = logs([100], evaluation="v2")
    assert ruled(other, Rule(evaluation="v1"))[::3] == ("void", "the evaluation is v2, and the rule says v1")
    assert ruled(other, Rule(evaluation="v2")).state == ruled(other).state == "resolved"
    assert ruled(other, Rule(evaluation="v1", void_if=())).state == "resolved"
    for silent in (logs([100]), logs([100], evaluation=None)):
        reason = "the logs name no version of the evaluation, and the rule says v1"
        assert ruled(silent, Rule(evaluation="v1"))[::3] == ("resolved", reason)
        assert ruled(silent, Rule(evaluation="v1", void_if=())).reason == ruled(silent).reason == ""
    changed = logs([100], intervention_step=50.0)
    assert ruled(changed)[::3] == ("void", "the run was changed after step 50")
    assert ruled(changed, Rule(void_if=("evaluation",))).state == "resolved"
    # A change that the forecast had seen is none.
    assert ruled(logs([100], intervention_step=20.0)).state == "resolved"
    assert ruled(logs([100]), Rule(void_if=("replanned",))).state == "resolved"


@pytest.mark.parametrize("n", [1, 3, 4, 5])
def test_a_mean_of_values_that_the_forecast_had_seen_is_void(n):
    found = ruled(logs([10, 20, 60, 80, 100]), Rule(last_n=n))  # the forecast had seen step 20
    if n <= 3:
        assert found.state == "resolved" and found.points[0][0] == 120 - 20 * n
    else:
        begins = {4: 20, 5: 10}[n]
        assert (
            found.reason
            == f"the mean of the last {n} values begins at step {begins}, and the forecast had seen step 20"
        )
        assert found.state == "void" and ruled(logs([10, 20, 60, 80, 100]), Rule(last_n=n, void_if=())).state == "void"


def test_a_last_value_that_the_forecast_had_seen_is_void():
    found = ruled(logs([10, 20]), step=20.2, ended=True)
    assert found[::3] == ("void", "the last value was logged at step 20, and the forecast had seen step 20")


def test_a_schedule_that_is_known_ahead_does_not_bring_the_run_there():
    points = pd.DataFrame({"run": "r", "metric": ["accuracy", "rate"], "step": [99, 100], "value": [0.9, 0.0]})
    metrics = {"accuracy": Metric("accuracy", "capability", 0, 1), "rate": Metric("rate", "schedule", 0)}
    runs = pd.DataFrame([{"run": "r", "family": "f", "last_step": 100}])
    assert ruled(curves_from(points.assign(stderr=np.nan), runs, metrics)).state == "open"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"last_n": 0}, "last_n= is a number of checkpoints from 1 on, got 0"),
        ({"void_if": ("bad luck",)}, "void_if= has reasons out of evaluation, intervened, replanned, got 'bad luck'"),
        ({"resolve_by": "soon"}, "resolve_by= is a positive step or a date such as 2026-12-31, got 'soon'"),
        ({"resolve_by": -1.0}, "resolve_by= is a positive step"),
    ],
)
def test_wrong_rules(wrong, words):
    with pytest.raises(ValueError, match=words):
        Rule(**wrong)
    assert deadline("2e3") == 2000.0
