"""Replay alarms: finished runs, checkpoint by checkpoint, each judged by what other families teach."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from predictdyn.curves import Curves, ended
from predictdyn.watch.doubtful import COLUMNS, COUNTED, doubtful, event_lines, warnings_of
from predictdyn.watch.learning import LearntDetector, learn
from predictdyn.watch.replay_tables import WATCH, compared, costs, rang, tables
from predictdyn.watch.rules import RULES, not_finite, paths_of
from predictdyn.watch.threshold import certificate
from predictdyn.watch.troubles import healthy_runs, milestones_said, troubles_of

if TYPE_CHECKING:
    from predictdyn.report.alarms_results import AlarmsView

RATES = (0.05, 0.01)
FOLDS = 5
LEFT = "without the runs that are judged, the history has as few as"
RESULTS = ("runs", "rates", "catches", "cost", "rules", "doubtful")


@dataclass(frozen=True, repr=False)
class AlarmReplay:
    """What a replay found.

    ``runs``: one row for each run, trouble and rate: run, family, trouble (blank where it is healthy), at (its step),
    rate, rang (the step, blank where it never rang), kind, lead (share of the run by which it rang before the trouble,
    negative for a delay), lead_steps, caught. ``rates``: what was asked and what was measured. ``catches``: by trouble.
    ``cost``: by what a missed trouble costs. ``rules``: the alarms beside simple rules, all troubles alike.
    ``doubtful``: runs that count as healthy and end far from the others.
    """

    runs: pd.DataFrame
    rates: pd.DataFrame
    catches: pd.DataFrame
    cost: pd.DataFrame
    notes: tuple[str, ...]
    rules: pd.DataFrame = field(default_factory=pd.DataFrame)
    doubtful: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COLUMNS))

    def summary(self) -> pd.DataFrame:
        """The measured false-alarm rates."""
        return self.rates

    def save(self, folder: Path | str, *, title: str = "") -> Path:
        """Write the tables as ``alarms_NAME.csv`` into a folder, and a page of them; returns the page's path.

        alarms.json beside them has the notes, so that `report` can make the page again.

        ``title`` is what the page calls the data.
        """
        from predictdyn.report.alarms_page import render_alarms
        from predictdyn.report.alarms_results import ABOUT, PAGE

        view = self._view(title)
        out, text = Path(folder), render_alarms(view)
        out.mkdir(parents=True, exist_ok=True)
        for name in RESULTS:
            getattr(self, name).to_csv(out / f"alarms_{name}.csv", index=False)
        about = {"title": view.title, "created": view.created, "notes": list(view.notes), "events": list(view.events)}
        (out / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        file = out / PAGE
        file.write_text(text, encoding="utf-8")
        return file

    def lines(self) -> list[str]:
        """What a reader should know first, a line each, as a terminal shows it."""
        from predictdyn.report.alarms_page import answers

        told = [*answers(self._view("")), *(f"{line[:1].upper()}{line[1:]}." for line in self.notes)]
        return [line.replace("\u00a0", " ") for line in told]

    def _view(self, title: str) -> AlarmsView:
        from predictdyn.report.alarms_results import AlarmsView

        created = datetime.now(UTC).isoformat(timespec="seconds")
        tables = {name: getattr(self, name) for name in RESULTS}
        # Doubtful runs have a section of their own on the page.
        told = tuple(line for line in self.notes if COUNTED not in line)
        return AlarmsView(title, created, **tables, events=event_lines(self.doubtful), notes=told)

    def __repr__(self) -> str:
        told = "; ".join(
            f"asked {row.asked:g}, measured {row.measured:.3f}" for row in self.rates.itertuples(index=False)
        )
        return f"AlarmReplay: false alarms {told}; .catches and .cost have more"


def held_out(curves: Curves, column: str, folds: int) -> list[list[str]]:
    """The runs of each fold: those of one value of a column are never apart."""
    values = curves.runs.index.to_series() if column == "run" else curves.runs[column].astype(str)
    order = sorted(set(values), key=lambda name: hashlib.sha256(name.encode()).digest())
    if len(order) < 2:
        raise ValueError(f"alarms are replayed by runs left out, and all runs have one {column}; name another column")
    number = {name: place % min(folds, len(order)) for place, name in enumerate(order)}
    return [[run for run in values.index if number[values[run]] == fold] for fold in range(min(folds, len(order)))]


def backtest_alarms(
    curves: Curves,
    *,
    false_alarms: float | Sequence[float] = RATES,
    healthy: Collection[str] | None = None,
    troubles: pd.DataFrame | None = None,
    hold_out: str = "family",
    folds: int = FOLDS,
    seed: int = 0,
    resume: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, all_: None,
) -> AlarmReplay:
    """Replay finished runs: how many healthy ones ring, how many troubles are caught, and how early.

    ``false_alarms``: the rates that are asked for. ``healthy`` names runs that went well, ``troubles`` (run, trouble,
    at) those that did not, and since which step; without them events and interventions say so. Runs of one value of
    the column ``hold_out`` are held out together. Every checkpoint is looked at. ``resume`` is a folder that keeps what
    is done of each fold, for the next call with the same arguments. Raises ValueError as `learn` does.
    """
    rates = [false_alarms] if isinstance(false_alarms, float) else list(false_alarms)
    wrong = troubles_of(curves) if troubles is None else troubles
    good = healthy_runs(curves) if healthy is None else [run for run in ended(curves) if run in set(healthy)]
    asked = [*good, *(run for run in wrong["run"] if run not in set(good))]
    paths: list[pd.DataFrame] = []
    parts = held_out(curves, hold_out, folds)
    for number, test in enumerate(parts):
        progress(number, len(parts))
        mine = [run for run in test if run in set(asked)]
        others = [run for run in good if run not in set(test)]
        if not mine:
            continue
        kept = None if resume is None else resume / f"fold{number}.parquet"
        path = None if kept is None else _kept(kept)
        if path is None:
            rest = curves.select(runs=curves.runs.index.difference(test))
            apart = hold_out == "family"  # then no run is of a family that is known
            detector = learn(rest, false_alarms=min(rates), healthy=others, known_families=not apart, seed=seed)
            path = detector.evidence(curves.select(runs=mine))
            path.attrs["families"] = _learnt_from(detector)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                path.to_parquet(kept)
        paths.append(path)
    progress(len(parts), len(parts))
    # Who names the healthy runs has said that they went well.
    doubts = doubtful(curves, good if healthy is None else [])
    notes = (
        *_certificates([one.attrs["families"] for one in paths], rates),
        *(milestones_said(curves) if healthy is None or troubles is None else []),
        *warnings_of(doubts, len(good)),
    )
    every = {WATCH: _joined(paths), **_by_rules(curves, good, wrong, parts)}
    rules = compared(curves, every, good, wrong, rates, seed=seed)
    found = summed_up(curves, every[WATCH], good, wrong, rates, notes=notes, seed=seed)
    return replace(found, rules=rules, doubtful=doubts)


def _kept(file: Path) -> pd.DataFrame | None:
    """What was kept of a fold; None where nothing was, or by a version that noted other things."""
    found = pd.read_parquet(file) if file.exists() else None
    return found if found is not None and "families" in found.attrs else None


def _joined(paths: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table of those of the folds, without what was noted of each."""
    return pd.concat([pd.DataFrame({name: one[name] for name in one}) for one in paths], ignore_index=True)


def _learnt_from(detector: LearntDetector) -> dict[str, int]:
    """How many families of healthy runs set the threshold, for each kind of run that is judged."""
    found = {"new": detector.own.joint.families}
    return found if detector.shared is None else {**found, "known": detector.shared.joint.families}


def _certificates(folds: Sequence[Mapping[str, int]], rates: Iterable[float]) -> list[str]:
    """What can be said of each rate, by the fold that had the fewest families."""
    fewest = {kind: min(fold[kind] for fold in folds if kind in fold) for kind in ("new", "known") if kind in folds[0]}
    of = {kind: "" if len(fewest) == 1 else f"for runs of a {kind} family, " for kind in fewest}
    return [f"{of[kind]}{certificate(families, rate, LEFT)}" for kind, families in fewest.items() for rate in rates]


def _by_rules(
    curves: Curves, healthy: Collection[str], troubles: pd.DataFrame, parts: Sequence[Sequence[str]]
) -> dict[str, pd.DataFrame]:
    """The paths of each simple rule that the history has a metric for."""
    tried = {name: paths_of(rule, curves, healthy, set(troubles["run"]), parts) for name, rule in RULES.items()}
    broken = not_finite(curves)
    return {
        **{name: paths for name, paths in tried.items() if paths is not None},
        **({"not_finite": broken} if len(broken) else {}),
    }


def summed_up(
    curves: Curves, paths: pd.DataFrame, healthy: Collection[str], troubles: pd.DataFrame, rates: Sequence[float],
    *, notes: tuple[str, ...] = (), seed: int = 0,
) -> AlarmReplay:  # fmt: skip
    """The replay of any rule whose ``paths`` (run, step, p[, kind]) say how rare each checkpoint is."""
    runs = pd.concat([rang(curves, paths, healthy, troubles, rate) for rate in rates], ignore_index=True)
    return AlarmReplay(runs, *tables(runs, seed=seed), costs(curves, paths, healthy, troubles), notes)
