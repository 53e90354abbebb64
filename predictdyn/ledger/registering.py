"""Register: the draws of a forecast, and the rules by which logs will answer it, as entries of a ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.ledger.chain import canonical, digest
from predictdyn.ledger.numbers import encoded
from predictdyn.ledger.rule import Rule
from predictdyn.redaction import Finding, Redaction

ID = 16  # letters of the names of questions


class Registrable(NamedTuple):
    """What is registered: the table of `draws_table`, joint events, and what is known of how it was made.

    ``events`` has the columns run, event, probability, metrics (the metrics of its bounds). ``made`` is the provenance
    of the forecast's folder, or what stands for it. ``replay`` says that the end of these runs was hidden by hand.
    """

    draws: pd.DataFrame
    events: pd.DataFrame
    made: Mapping[str, Any]
    replay: bool = False


def begin() -> dict[str, Any]:
    """The first entry of a ledger: a word of its own, so that two ledgers never have the same head."""
    import secrets

    return {"key": "begin", "kind": "begin", "name": secrets.token_hex(8)}


def entries_of(
    given: Registrable,
    rule: Rule,
    *,
    redaction: Redaction,
    text: str | None,
    author: str | None,
    found: list[Finding],
) -> list[dict[str, Any]]:
    """One entry for each target of the forecast, and one for each joint event; all text in them is redacted.

    ``text`` is the question in words; where there are several, each names its metric, run and step behind it. Runs that
    have an alias in ``redaction`` go by it. The same forecast gives the same keys, so that registering it again adds
    nothing.
    """
    table = given.draws
    name = str(table["forecaster"].iloc[0])
    own = table[table["forecaster"] == name]
    others = dict(iter(table[table["forecaster"] != name].groupby(["run", "metric", "step"], sort=False)))
    made = redaction.data(_made(given.made), "provenance", found)
    told = given.events[np.isfinite(given.events["probability"].to_numpy(float))]
    several = len(own) + len(told) > 1
    entries = []
    for row in own.to_dict("records"):
        beside = others.get((row["run"], row["metric"], row["step"]))
        baselines = [] if beside is None else beside[["forecaster", "draws"]].itertuples(index=False)
        question = {
            "what": "metric", "run": row["run"], "metric": row["metric"], "step": float(row["step"]),
            "last_step": float(row["last_step"]), "rule": rule.as_data(),
        }  # fmt: skip
        content = {
            "kind": "forecast",
            "question": question,
            "about": {"family": row["family"], "metric_kind": row["kind"]},
            "text": _text(text, f"{row['metric']} of {row['run']} at step {row['step']:g}", several),
            "forecaster": name, "author": author or "", "status": row["status"], "replay": given.replay,
            "seen": {"step": float(row["seen_step"]), "progress": float(row["seen_step"] / row["last_step"])},
            "made": made,
        }  # fmt: skip
        content = redaction.data(content, f"{row['run']}, {row['metric']}", found)
        # Numbers are what they are: nothing in them is text that could be redacted.
        content["draws"] = encoded(np.asarray(row["draws"], dtype=float))
        content["baselines"] = {
            str(key): encoded(np.sort(np.asarray(draws, dtype=float))) for key, draws in baselines
        }  # fmt: skip
        entries.append(_keyed(content))
    steps = own.groupby("run")[["metric", "step"]].apply(
        lambda rows: dict(zip(rows["metric"], rows["step"], strict=True))
    )
    seen = own.groupby(["run"])["seen_step"].max()
    for row in told.to_dict("records"):
        at = {metric: float(steps[row["run"]][metric]) for metric in row["metrics"]}
        last_step = float(own.loc[own["run"] == row["run"], "last_step"].iloc[0])
        question = {
            "what": "event", "run": row["run"], "event": row["event"], "metrics": at, "step": max(at.values()),
            "last_step": last_step, "rule": rule.as_data(),
        }  # fmt: skip
        content = {
            "kind": "forecast", "question": question, "about": {"family": _first(own, row["run"], "family")},
            "text": _text(text, f"{row['event']} for {row['run']}", several), "forecaster": name,
            "author": author or "", "status": "ok", "replay": given.replay,
            "seen": {"step": float(seen[row["run"]]), "progress": float(seen[row["run"]]) / last_step}, "made": made,
            "probability": float(row["probability"]),
        }  # fmt: skip
        entries.append(_keyed(redaction.data(content, f"{row['run']}, event", found)))
    return entries


def question_id(question: Mapping[str, Any]) -> str:
    """The name of a question: a hash of all that decides its answer, so that revisions are of the same question."""
    return digest(canonical(dict(question)))[:ID]


def _keyed(content: dict[str, Any]) -> dict[str, Any]:
    """The content with the name of its question, and a key that the same forecast has again."""
    question = question_id(content["question"])
    same = {name: content.get(name) for name in ("forecaster", "author", "draws", "probability", "seen", "replay")}
    return {**content, "id": question, "key": f"forecast-{digest(canonical({**same, 'id': question}))[: 2 * ID]}"}


def _text(given: str | None, plain: str, several: bool) -> str:
    """A question in words: those that were given, with what it is of where others have the same words."""
    return plain if not given else f"{given} ({plain})" if several else given


def _first(table: pd.DataFrame, run: str, column: str) -> str:
    return str(table.loc[table["run"] == run, column].iloc[0])


def _made(about: Mapping[str, Any]) -> dict[str, Any]:
    """Of a provenance, what says which code and data: names of files are replaced by one hash over all."""
    kept = {
        name: about[name]
        for name in ("predictdyn", "commit", "versions", "seed", "command", "created")
        if name in about
    }
    hashes = about.get("sha256")
    return {**kept, "data": digest(canonical(dict(hashes))) if isinstance(hashes, Mapping) else ""}
