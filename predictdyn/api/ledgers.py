"""Ledgers: forecasts registered before, resolved by logs after, and the record of how good they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from predictdyn import __version__
from predictdyn.api.forecasts import Forecast
from predictdyn.api.reading import globs, prepared
from predictdyn.backtest.draws import draws_table, read_draws
from predictdyn.backtest.folder import digest as digest_of
from predictdyn.commit import commit
from predictdyn.curves import Curves
from predictdyn.events import parse, probabilities
from predictdyn.ledger.aliases import aliases_file, aliases_for, read_aliases
from predictdyn.ledger.chain import SHORT, ChainEntry
from predictdyn.ledger.registering import Registrable, begin, entries_of
from predictdyn.ledger.resolving import Absent, absent, resolutions
from predictdyn.ledger.rule import Rule, check_deadline
from predictdyn.ledger.standing import Standing, standing
from predictdyn.ledger.store import Store
from predictdyn.ledger.verify import Verified, verify
from predictdyn.naming import matching
from predictdyn.redaction import Finding, Redaction


class Appended(NamedTuple):
    """What a call added: the new entries, how many were there before, and the head of the ledger now.

    ``replaced`` is what was redacted in the new entries. ``absent`` are open questions whose run the logs do not have:
    words of the question, and name of the run.
    """

    entries: list[ChainEntry]
    known: int
    head: str
    replaced: list[Finding]
    absent: tuple[Absent, ...] = ()

    @property
    def states(self) -> pd.Series:
        """How many questions were resolved, censored or void by this call."""
        return pd.Series(
            [entry.content["state"] for entry in self.entries if entry.content["kind"] == "resolution"]
        ).value_counts()


@dataclass(frozen=True)
class Ledger:
    """A file of forecasts that are registered before, and resolved after; nothing in it is ever changed."""

    path: Path
    store: Store = field(repr=False)

    def __init__(self, path: Path | str | Ledger) -> None:
        place = path.path if isinstance(path, Ledger) else Path(path)
        object.__setattr__(self, "path", place)
        object.__setattr__(self, "store", path.store if isinstance(path, Ledger) else Store(place))

    @property
    def head(self) -> str:
        """The first letters of the newest hash: quote it where others see it, and nobody can rewrite what is before."""
        last = self.store.last()
        return "" if last is None else last.hash[:SHORT]

    def verify(self, head: str | None = None) -> Verified:
        """Whether every entry is as it was written; with ``head``, a hash quoted once, also whether none is gone."""
        return verify(self.store, head)

    def standing(self) -> Standing:
        """Its forecasts, questions and revisions as tables."""
        return standing(self.store.entries(), self.store.now())

    def __len__(self) -> int:
        last = self.store.last()
        return 0 if last is None else last.number


def register(
    forecast: Forecast | Path | str,
    ledger: Ledger | Path | str,
    *,
    question: str | None = None,
    resolve_by: float | str | None = None,
    last_n: int = 1,
    evaluation: str | None = None,
    void_if: Sequence[str] = Rule.void_if,
    events: Sequence[str] = (),
    author: str | None = None,
    private: str | Sequence[str] | None = None,
    redact: Sequence[str] = (),
) -> Appended:
    """Write a forecast into a ledger, before its outcome is known: its draws, and the rule by which logs will answer.

    ``forecast`` is what `forecast` gave, or a folder that it was saved in. ``question`` is the question in words; where
    there are several, each adds its metric, run and step. The rule: the mean of the last ``last_n`` logged values up to
    the step, void where the forecast had seen one of them; ``evaluation`` names the version of the evaluation;
    ``void_if`` are reasons out of evaluation, intervened and replanned; ``resolve_by``, a step or a date such as
    "2026-12-31", is when the question closes: without a value by then, at 98 % of the step or later, it is censored.
    ``events`` are joint events (of a folder: those it was made with). Runs that match ``private`` (globs) go by an
    alias that is kept beside the ledger, and so does every name that holds a secret. ``redact`` are regular expressions
    to cut out of all text. The same forecast is registered once. Raises ValueError where a question is resolved
    already, for a ``resolve_by`` that has passed or is too early, and for a glob that matches no run and no family.
    """
    home = Ledger(ledger)
    rule = Rule(last_n, evaluation, tuple(void_if), resolve_by)
    given = _of_folder(Path(forecast)) if isinstance(forecast, Path | str) else _of_forecast(forecast, events)
    plain = Redaction(tuple(redact))
    file = aliases_file(home.path)
    for row in given.draws[["run", "metric", "step", "seen_step"]].drop_duplicates().to_dict("records"):
        what = f"{row['metric']} of {row['run']} at step {row['step']:g}"
        check_deadline(rule, float(row["step"]), float(row["seen_step"]), what, home.store.now())
    # A ledger cannot be edited afterwards: a name that nobody bears is told of before anything is kept.
    hidden = globs(private, "private")
    matching([*dict.fromkeys([*given.draws["run"], *given.draws["family"].map(str)])], hidden, "run")
    aliases = aliases_for(given.draws["run"], file, hidden, plain)
    aliases |= aliases_for(given.draws["metric"], file, (), plain, "metric")
    families = aliases_for(given.draws["family"].map(str), file, hidden, plain, "family")
    redaction = Redaction(tuple(redact), tuple({**families, **aliases}.items()))
    found: list[Finding] = []
    entries = entries_of(given, rule, redaction=redaction, text=question, author=author, found=found)

    def new(inside: Any) -> list[dict[str, Any]]:
        late = [one for one in entries if inside.has(f"resolution-{one['id']}") and not inside.has(one["key"])]
        if late:
            raise ValueError(
                f"{len(late)} of {len(entries)} questions are resolved already (first: {late[0]['text']}), so no "
                "forecast of them can be registered; choose other runs or a later step"
            )
        return entries

    added = [one for one in home.store.append(new, begin()) if one.content["kind"] == "forecast"]
    return Appended(added, len(entries) - len(added), home.head, found)


def resolve(ledger: Ledger | Path | str, curves: Curves, *, ended: str | Sequence[str] | None = None) -> Appended:
    """Answer what logs now answer, by the registered rules, and score it.

    ``ended`` are globs of runs that have stopped for good, wherever their logs end. A question that is resolved stays
    so: calling this again adds only what is new. What the logs do not answer stays open. A run that they do not have is
    censored once it is among ``ended``, or its date has passed; until then ``absent`` of the result names it. Raises
    ValueError for a glob that matches no run of the ledger or of the logs.
    """
    home = Ledger(ledger)
    home.store.last()  # a ledger that is not there is told of before any work
    curves = prepared(curves)
    names = {alias: name for name, alias in read_aliases(aliases_file(home.path)).items()}
    redaction = Redaction(aliases=tuple((name, alias) for alias, name in names.items()))
    data = digest_of(curves)

    def new(inside: Any) -> list[dict[str, Any]]:
        asked = [e.content["question"]["run"] for e in inside.entries() if e.content["kind"] == "forecast"]
        known = dict.fromkeys([*(names.get(run, run) for run in asked), *curves.runs.index])
        matching([*known], globs(ended, "ended"), "run")
        return resolutions(
            inside.entries(), curves, names=names, ended=globs(ended, "ended"), now=home.store.now(), data=data,
            reason=redaction.text,
        )  # fmt: skip

    added = home.store.append(new, begin())
    return Appended(added, 0, home.head, [], tuple(absent(home.store.entries(), curves, names)))


def _of_forecast(found: Forecast, events: Sequence[str]) -> Registrable:
    if not isinstance(found, Forecast):
        raise ValueError(f"register takes what forecast gave, or its folder, got {type(found).__name__}")
    live = found.base or found.live
    _, split, fitted, _ = found.question
    table = draws_table(live.prediction, split, fitted, seed=found.seed)
    asked = [parse(text, set(table["metric"])) for text in events]
    told = probabilities(live.prediction, asked) if asked else pd.DataFrame(columns=["run", "event", "probability"])
    made = {
        "predictdyn": __version__, "commit": commit(), "seed": found.seed, "command": found.call,
        "sha256": {"curves": digest_of(found.question.curves)},
    }  # fmt: skip
    return Registrable(table, _with_metrics(told, table), made, _replayed(dict(found.plan)))


def _of_folder(folder: Path) -> Registrable:
    from predictdyn.report.results import PROBABILITIES, provenance_of

    made = provenance_of(folder)
    if made["made"] != "forecast":
        raise ValueError(f"{folder} is a {made['made']}, and only a forecast can be registered; make one with forecast")
    table = read_draws(folder)
    file = folder / PROBABILITIES
    told = pd.read_csv(file) if file.is_file() else pd.DataFrame(columns=["run", "event", "probability"])
    return Registrable(
        table, _with_metrics(told, table), {"commit": commit(), **made}, _replayed(made.get("plan") or {})
    )


def _with_metrics(told: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Events with the metrics of their bounds."""
    known = set(table["metric"])
    each = [list(dict.fromkeys(bound.metric for bound in parse(text, known).bounds)) for text in told["event"]]
    return told.assign(metrics=pd.Series(each, index=told.index, dtype=object))


def _replayed(plan: dict[str, Any]) -> bool:
    """Whether what is forecast was hidden by hand: the outcome may have been known."""
    return plan.get("upto") is not None or plan.get("cutoff") is not None
