"""Resolve: what logs now answer, by the registered rules, with the scores of every forecast, as entries."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np

from predictdyn.backtest.run import NUMBERS, numbers_of
from predictdyn.curves import Curves
from predictdyn.events import parse
from predictdyn.ledger.chain import TIME, ChainEntry
from predictdyn.ledger.numbers import decoded
from predictdyn.ledger.rule import Ruling, outcome
from predictdyn.ledger.standing import weighted


class Asked(NamedTuple):
    """A question with all its forecasts (contents of entries), the first first."""

    question: dict[str, Any]
    forecasts: list[dict[str, Any]]


class Absent(NamedTuple):
    """An open question whose run is not in the logs: its words, and what the logs would have to call the run."""

    text: str
    run: str


def open_questions(entries: Iterable[ChainEntry]) -> dict[str, Asked]:
    """The questions that have no resolution yet, by their names."""
    found: dict[str, Asked] = {}
    for entry in entries:
        content = entry.content
        if content["kind"] == "forecast":
            question = {**content["question"], "seen_step": content["seen"]["step"]}
            found.setdefault(content["id"], Asked(question, [])).forecasts.append(content)
        elif content["kind"] == "resolution":
            found.pop(content["id"], None)
    return found


def absent(entries: Iterable[ChainEntry], curves: Curves, names: Mapping[str, str]) -> list[Absent]:
    """The open questions that these logs cannot answer, whatever they come to: they do not have the run."""
    found = [
        Absent(asked.forecasts[0]["text"], names.get(asked.question["run"], asked.question["run"]))
        for asked in open_questions(entries).values()
    ]
    return [one for one in found if one.run not in curves.runs.index]


def resolutions(
    entries: Iterable[ChainEntry],
    curves: Curves,
    *,
    names: Mapping[str, str],
    ended: Collection[str],
    now: datetime,
    data: str,
    reason: Callable[[str], str] = str,
) -> list[dict[str, Any]]:
    """An entry for each question that the logs answer; what they leave open has none.

    ``names`` gives what logs call a run or a metric that has an alias. ``ended`` are globs of runs that have stopped
    for good. ``data`` is the hash of the logs. ``reason`` makes words fit for others.
    """
    stamp = now.strftime(TIME)
    found = []
    for name, asked in open_questions(entries).items():
        said = _answer(asked.question, curves, names, ended, now)
        if said.state != "open":
            found.append(_entry(name, asked, said, stamp, data, reason))
    return found


def _answer(
    question: dict[str, Any], curves: Curves, names: Mapping[str, str], ended: Collection[str], now: datetime
) -> Ruling:
    run = names.get(question["run"], question["run"])
    stopped = any(fnmatchcase(run, glob) for glob in ended)
    if question["what"] == "metric":
        one = {**question, "metric": names.get(question["metric"], question["metric"])}
        return outcome(one, curves, run, now=now, ended=stopped)
    each = {
        metric: outcome(
            {**question, "metric": names.get(metric, metric), "step": step}, curves, run, now=now, ended=stopped
        )
        for metric, step in question["metrics"].items()
    }
    # Void before open: a rule that makes nobody right needs no more logs. All bounds must be answered for an event.
    for state in ("void", "open", "censored"):
        for said in each.values():
            if said.state == state:
                return said._replace(points=[])
    values = {metric: np.array([said.value]) for metric, said in each.items()}
    held = bool(parse(question["event"], values).held(values)[0])
    points = sorted(point for said in each.values() for point in said.points)
    return Ruling("resolved", float(held), points, next(iter(each.values())).reason)


def _entry(
    name: str, asked: Asked, said: Ruling, stamp: str, data: str, reason: Callable[[str], str]
) -> dict[str, Any]:
    metric = asked.question["what"] == "metric"
    content: dict[str, Any] = {
        "kind": "resolution", "id": name, "key": f"resolution-{name}", "state": said.state,
        "truth": said.value if math.isfinite(said.value) else None, "points": said.points if metric else [],
        "reason": reason(said.reason), "data": data, "scores": {}, "revisions": [],
    }  # fmt: skip
    if said.state != "resolved":
        return content
    score = "crps" if metric else "brier"
    # A revision that had seen a part of the answer has no score: the question stands for those before it.
    before = [one for one in asked.forecasts if one["seen"]["step"] < said.points[0][0] or not one["seen"]["step"]]
    content["scores"] = {str(one["number"]): scored(one, said.value) for one in before}
    makers: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in before:
        makers.setdefault((one["forecaster"], one["author"]), []).append(one)
    for (forecaster, author), own in makers.items():
        numbers = [content["scores"][str(one["number"])][score] for one in own]
        times = [one["time"] for one in own]
        content["revisions"].append(
            {
                "forecaster": forecaster, "author": author, "forecasts": len(own), "first": numbers[0],
                "last": numbers[-1], "time_weighted": weighted(numbers, times, max(stamp, times[-1])),
            }
        )  # fmt: skip
    return content


def scored(forecast: Mapping[str, Any], truth: float) -> dict[str, Any]:
    """The scores of one entry, by the functions of the backtest: of a number ``crps``, ``log_score``, ``pit`` and the
    CRPS of each baseline; of an event the Brier score."""
    if "probability" in forecast:
        return {"brier": (forecast["probability"] - truth) ** 2}
    own = _numbers(truth, forecast["draws"])
    baselines = {name: _numbers(truth, draws)["crps"] for name, draws in forecast["baselines"].items()}
    return {**{name: own[name] for name in ("crps", "log_score", "pit")}, "baselines": baselines}


def _numbers(truth: float, draws: dict[str, Any]) -> dict[str, float]:
    found = numbers_of(np.array([truth]), np.sort(decoded(draws))[None])[0]
    return dict(zip(NUMBERS, map(float, found), strict=True))
