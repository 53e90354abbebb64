"""The standing of a ledger: its entries as plain tables, one row a forecast and one row a question."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.forecast import LEVELS
from predictdyn.ledger.chain import SHORT, TIME, ChainEntry
from predictdyn.ledger.numbers import decoded
from predictdyn.ledger.rule import due
from predictdyn.scores import quantiles

QUANTILES = [f"q{level:g}" for level in LEVELS]
MEANT = ["question", "what", "run", "family", "metric", "kind", "step"]  # what a registered forecast is of
FORECAST_COLUMNS = [
    "entry",
    "hash",
    "time",
    *MEANT,
    "forecaster",
    "author",
    "status",
    "replay",
    "seen_step",
    "progress",
    *QUANTILES,
    "probability",
    "state",
    "truth",
    "crps",
    "log_score",
    "pit",
    "brier",
    "baselines",
]
QUESTION_COLUMNS = [
    *MEANT,
    "text",
    "resolve_by",
    "asked",
    "state",
    "truth",
    "reason",
    "answered",
    "resolution",
    "forecasts",
]


class Standing(NamedTuple):
    """``forecasts``: one row an entry, scores blank until it is resolved, and where it had seen a part of the answer,
    which makes it void. ``questions``: one row a question.

    ``revisions``: of each question and forecaster the first, the last and the time-weighted score. ``head`` is the
    short hash of the newest entry.
    """

    forecasts: pd.DataFrame
    questions: pd.DataFrame
    revisions: pd.DataFrame
    head: str
    size: int


def standing(entries: Iterable[ChainEntry], now: datetime) -> Standing:
    """The tables of a ledger. A question is open, due (its date has passed), resolved, censored or void."""
    forecasts: list[dict[str, Any]] = []
    questions: dict[str, dict[str, Any]] = {}
    answers: dict[str, dict[str, Any]] = {}
    revisions: list[dict[str, Any]] = []
    head, count = "", 0
    for entry in entries:
        content = entry.content
        head, count = entry.hash[:SHORT], entry.number
        if content["kind"] == "forecast":
            forecasts.append(_forecast(entry, content))
            own = questions.setdefault(content["id"], _question(content))
            own["forecasts"] += 1
            if own["state"] == "open" and due(content["question"], now):
                own["state"] = "due"
        elif content["kind"] == "resolution":
            answers[content["id"]] = content
            questions[content["id"]].update(
                state=content["state"],
                truth=content["truth"],
                reason=content["reason"],
                answered=content["time"],
                resolution=content["number"],
            )
            revisions += [
                {"question": content["id"], **one}
                for one in content.get("revisions", [])
                if content["state"] == "resolved"
            ]
    for row in forecasts:
        row["state"] = questions[row["question"]]["state"]
        row["truth"] = questions[row["question"]]["truth"]
        if row["question"] in answers:
            scores = answers[row["question"]]["scores"].get(str(row["entry"]), {})
            # A revision that had seen a part of the answer: nobody is right or wrong.
            row.update(scores or ({"state": "void"} if row["state"] == "resolved" else {}))
    columns = ["question", "forecaster", "author", "first", "last", "time_weighted", "forecasts"]
    return Standing(
        _table(forecasts, FORECAST_COLUMNS),
        _table(list(questions.values()), QUESTION_COLUMNS),
        _table(revisions, columns),
        head,
        count,
    )


def _meant(content: dict[str, Any]) -> dict[str, Any]:
    """What a registered forecast is of."""
    question = content["question"]
    return {
        "question": content["id"],
        "what": question["what"],
        "run": question["run"],
        "family": content["about"]["family"],
        "metric": question.get("metric", question.get("event")),
        "kind": content["about"].get("metric_kind", "event"),
        "step": question["step"],
    }


def _forecast(entry: ChainEntry, content: dict[str, Any]) -> dict[str, Any]:
    row = {
        "entry": entry.number,
        "hash": entry.hash,
        "time": content["time"],
        **_meant(content),
        "forecaster": content["forecaster"],
        "author": content["author"],
        "status": content["status"],
        "replay": content["replay"],
        "seen_step": content["seen"]["step"],
        "progress": content["seen"]["progress"],
        "probability": content.get("probability"),
    }
    if "draws" in content:
        row |= dict(zip(QUANTILES, quantiles(np.sort(decoded(content["draws"]))[None], LEVELS)[0], strict=True))
    return row


def _question(content: dict[str, Any]) -> dict[str, Any]:
    question = content["question"]
    return {
        **_meant(content),
        "text": content["text"],
        "resolve_by": question["rule"]["resolve_by"],
        "asked": content["time"],
        "state": "open",
        "truth": None,
        "reason": "",
        "answered": None,
        "resolution": None,
        "forecasts": 0,
    }


def _table(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=columns)
    numbers = ["truth", "crps", "log_score", "pit", "brier", "probability", *QUANTILES]
    return table.astype({name: float for name in numbers if name in table})


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, by names of columns."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def weighted(scores: list[float], times: list[str], end: str) -> float:
    """The mean of scores, each weighed by how long its forecast stood: until the next, the last until ``end``.

    Where no time has passed at all, the last counts.

    >>> weighted([4.0, 1.0], ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"], "2026-01-05T00:00:00Z")
    1.75
    """
    moments = [datetime.strptime(time, TIME).replace(tzinfo=UTC).timestamp() for time in (*times, end)]
    stood = np.diff(moments)
    return float(np.average(scores, weights=stood)) if stood.sum() > 0 else scores[-1]
