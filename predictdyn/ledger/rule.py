"""The rule by which a question is answered from logs, fixed when it is registered."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import ENDED, Curves

OutcomeState = Literal["open", "resolved", "censored", "void"]
VOID_IF = {
    "evaluation": "the logs name another version of the evaluation than the rule",
    "intervened": "the run was changed after the forecast: intervention_step of runs lies beyond what was seen",
    "replanned": "the planned end of the run is no longer the registered one",
}


@dataclass(frozen=True)
class Rule:
    """How a question is answered.

    The value is the mean of the last ``last_n`` values that were logged at or before the step, the last of them at 98 %
    of the step or later. It counts once the run has reached the step, has ended, or ``resolve_by`` (a step of the run,
    or a date) has passed: without such a value the question is then censored. ``evaluation`` names the version of the
    evaluation that is meant. ``void_if`` are the reasons for which nobody is right or wrong: keys of `VOID_IF`. A mean
    that takes a value which the forecast had seen is void under every rule. Raises ValueError for anything else.
    """

    last_n: int = 1
    evaluation: str | None = None
    void_if: tuple[str, ...] = ("evaluation", "intervened")
    resolve_by: float | str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.last_n, bool) or not isinstance(self.last_n, int) or self.last_n < 1:
            raise ValueError(f"last_n= is a number of checkpoints from 1 on, got {self.last_n!r}")
        if wrong := [reason for reason in self.void_if if reason not in VOID_IF]:
            raise ValueError(f"void_if= has reasons out of {', '.join(VOID_IF)}, got {wrong[0]!r}")
        if isinstance(self.resolve_by, str):
            _date(self.resolve_by)
        elif self.resolve_by is not None and not (math.isfinite(self.resolve_by) and self.resolve_by > 0):
            raise ValueError(f"resolve_by= is a positive step or a date such as 2026-12-31, got {self.resolve_by!r}")

    def as_data(self) -> dict[str, Any]:
        """The rule as it stands in an entry."""
        return {**asdict(self), "void_if": sorted(self.void_if)}


def rule_of(question: dict[str, Any]) -> Rule:
    """The rule of a registered question."""
    stated = question["rule"]
    return Rule(stated["last_n"], stated["evaluation"], tuple(stated["void_if"]), stated["resolve_by"])


def deadline(word: str) -> float | str:
    """A step, or a date, of one word.

    >>> deadline("1e5"), deadline("2026-12-31")
    (100000.0, '2026-12-31')
    """
    try:
        return float(word)
    except ValueError:
        return _date(word).isoformat()


def _date(word: str) -> date:
    try:
        return date.fromisoformat(word)
    except ValueError:
        raise ValueError(f"resolve_by= is a positive step or a date such as 2026-12-31, got {word!r}") from None


def check_deadline(rule: Rule, step: float, seen: float, what: str, now: datetime) -> None:
    """Raises ValueError for a ``resolve_by`` that has passed, or at which no value could answer a question yet.

    ``step`` is that of the question, ``seen`` the last that its forecast has seen, ``what`` the question in words.
    """
    by = rule.resolve_by
    if isinstance(by, str):
        if _passed(rule, now):
            today = now.astimezone(UTC).date()
            raise ValueError(f"resolve_by= is a day that has not passed, got {by}; today is {today} (UTC)")
    elif by is not None and by < ENDED * step:
        raise ValueError(
            f"resolve_by={by:g} is too early for {what}: only values from step {ENDED * step:g} on answer it; "
            "choose such a step, or a date"
        )
    elif by is not None and by <= seen:
        raise ValueError(
            f"resolve_by={by:g} is too early for {what}: its forecast has seen step {seen:g}; "
            "choose a later step, or a date"
        )


class Ruling(NamedTuple):
    """What the logs say of a question: its state, the value, the points (step, value) it is the mean of, and why."""

    state: OutcomeState
    value: float
    points: list[tuple[float, float]]
    reason: str


def outcome(question: dict[str, Any], curves: Curves, run: str, *, now: datetime, ended: bool) -> Ruling:
    """Apply the rule of a question about one metric to logs; ``run`` is what the logs call the run.

    ``ended`` says that the run has stopped for good, wherever its log ends. Logs without the run leave it open until
    then, or until its date has passed: a run under another name would stay open for ever, and nobody would see it.
    """
    rule, step = rule_of(question), float(question["step"])
    waiting = Ruling("open", math.nan, [], "")
    passed = _passed(rule, now)
    if run not in curves.runs.index:
        return waiting._replace(state="censored" if ended or passed else "open", reason="the logs do not have the run")
    if reason := _void(rule, question, curves.runs.loc[[run]].iloc[0]):
        return Ruling("void", math.nan, [], reason)
    reached = _reached(curves, run)
    if isinstance(rule.resolve_by, float | int):
        passed = reached >= rule.resolve_by
    if not (reached >= step or ended or passed):
        return waiting._replace(reason=f"the log has reached {reached:g} of {step:g}")
    curve = curves.series.get((run, question["metric"]))
    place = 0 if curve is None else int(np.searchsorted(curve.step, step, side="right"))
    if curve is None or place == 0 or curve.step[place - 1] < ENDED * step:
        last = 0.0 if curve is None or place == 0 else float(curve.step[place - 1])
        why = f"the last value before step {step:g} was logged at {last:g}" if last else "no value was logged"
        return Ruling("censored", math.nan, [], why)
    if place < rule.last_n:
        return Ruling("censored", math.nan, [], f"only {place} of the {rule.last_n} checkpoints were logged")
    part = slice(place - rule.last_n, place)
    value, at = curve.value[part], curve.step[part]
    seen = float(question["seen_step"])
    # A forecast that has seen no value at all has zero here, and a value at step 0 was not seen then.
    if seen > 0 and at[0] <= seen:
        return Ruling("void", math.nan, [], f"{_begun(rule, at[0])}, and the forecast had seen step {seen:g}")
    mean = float(value[0]) if rule.last_n == 1 else float(np.mean(value))
    points = [(float(s), float(v)) for s, v in zip(at, value, strict=True)]
    return Ruling("resolved", mean, points, _unchecked(rule, curves.runs.loc[[run]].iloc[0]))


def _unchecked(rule: Rule, run: pd.Series) -> str:
    """A line where the rule names a version of the evaluation, and the logs name none: blank where they do."""
    if "evaluation" not in rule.void_if or not rule.evaluation or pd.notna(run.get("evaluation")):
        return ""
    return f"the logs name no version of the evaluation, and the rule says {rule.evaluation}"


def _begun(rule: Rule, step: float) -> str:
    """Where the values of an answer begin, in words."""
    if rule.last_n == 1:
        return f"the last value was logged at step {step:g}"
    return f"the mean of the last {rule.last_n} values begins at step {step:g}"


def _reached(curves: Curves, run: str) -> float:
    """The last step at which anything was logged; a schedule that is known ahead was not."""
    steps = (
        float(curve.step[-1])
        for (name, metric), curve in curves.series.items()
        if name == run and curves.metrics[metric].kind != "schedule"
    )
    return max(steps, default=0.0)


def due(question: dict[str, Any], now: datetime) -> bool:
    """Whether the date of a question has passed."""
    return _passed(rule_of(question), now)


def _passed(rule: Rule, now: datetime) -> bool:
    return isinstance(rule.resolve_by, str) and now.astimezone(UTC).date() > _date(rule.resolve_by)


def _void(rule: Rule, question: dict[str, Any], run: pd.Series) -> str:
    """Why a question is void by the reasons that its rule allows; blank where none holds."""
    named, meant = run.get("evaluation"), rule.evaluation
    if "evaluation" in rule.void_if and meant and named is not None and pd.notna(named) and str(named) != meant:
        return f"the evaluation is {named}, and the rule says {meant}"
    changed = pd.to_numeric(pd.Series([run.get("intervention_step")]), errors="coerce").iloc[0]
    if "intervened" in rule.void_if and pd.notna(changed) and question["seen_step"] < changed < question["step"]:
        return f"the run was changed after step {float(changed):g}"
    if "replanned" in rule.void_if and float(run["last_step"]) != float(question["last_step"]):
        return f"the planned end is {float(run['last_step']):g}, and was {float(question['last_step']):g}"
    return ""
