"""Learn alarms from finished runs, and look at runs with what was learnt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.effects.pairs import arms
from predictdyn.watch.alarm import Alarm, Detector, Look
from predictdyn.watch.checkpoints import Axis, axis_for, looked_at
from predictdyn.watch.doubtful import doubtful, warnings_of
from predictdyn.watch.hazard import first_failures
from predictdyn.watch.regime import Heights, Regime, families_of, heights, learn_regime
from predictdyn.watch.sights import Prepared, Sight, family_means, prepared, sights
from predictdyn.watch.threshold import e_value
from predictdyn.watch.troubles import healthy_runs, milestones_said

FEWEST_RUNS = 4  # healthy ones
FEWEST_FAMILIES = 3  # with a family curve
LEAST_TOLD = 0.5  # sd: a metric that went less far is not named
USUAL = 0.25  # of the families log a metric that is looked at


@dataclass(frozen=True)
class LearntDetector:
    """Alarms of a history: what a healthy run does, and how rarely it does more.

    ``own`` judges a run by its own past, ``shared`` one whose family has a curve in ``families`` by that too.
    ``beside`` is a detector of facts and targets whose alarms are added. ``doubts`` says which of the healthy runs may
    have failed.
    """

    rate: float
    axes: dict[str, Axis]
    own: Regime
    shared: Regime | None
    families: dict[str, np.ndarray]
    beside: Detector | None = None
    doubts: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether the rate is certified, for runs of new families and of known ones; doubts about the history."""
        lines = [f"runs of a new family: {self.own.joint.words(self.rate)}"]
        if self.shared is not None:
            lines.append(f"runs of a known family: {self.shared.joint.words(self.rate)}")
        return (*lines, *self.doubts)

    def look(self, curves: Curves, state: dict[str, Any]) -> Look:
        """New alarms of all runs since the state.

        The whole log of each run is judged, checkpoint by checkpoint, each by what came before it. So what rings, and
        where, is the same however often one looks; the state says only what has rung.
        """
        runs: dict[str, dict[str, Any]] = {**state.get("runs", {})}
        found = self._judged(curves)
        alarms, rows = [], []
        logged = curves.points[curves.points["metric"].isin(looked_at(curves.metrics.values()))]
        last = logged.groupby("run")["step"].max().to_dict()
        for run in curves.runs.index:
            entry = {"rang": [], **runs.get(run, {})}
            alarm, evidence = self._alarm(*found[run]) if run in found else (None, 1.0)
            if alarm is not None and not entry["rang"]:
                entry["rang"] = [[alarm.kind, alarm.metric, alarm.step]]
                alarms.append(alarm)
            step = float(last.get(run, 0.0))
            progress = step / float(curves.runs["last_step"][run])
            rows.append((run, step, progress, evidence, entry["rang"][0][0] if entry["rang"] else ""))
            runs[run] = entry
        table = pd.DataFrame(rows, columns=["run", "step", "progress", "e_value", "alarm"])
        new: dict[str, Any] = {"runs": runs, "version": 1}
        if self.beside is not None:
            more = self.beside.look(curves, state.get("beside", {}))
            alarms += more.alarms
            new["beside"] = more.state
            table = table.merge(
                more.table[["run", *(c for c in map(str, more.table) if c.startswith("p_"))]], on="run", how="left"
            )
        return Look(tuple(alarms), new, table)

    def evidence(self, curves: Curves) -> pd.DataFrame:
        """What the detector thinks at every checkpoint: run, step, progress, ``p`` (that holds at any time), kind."""
        parts = []
        for run, (regime, _, high) in self._judged(curves).items():
            joint = high.joint(regime.of_kind)
            kinds = np.array([regime.kind, "divergence ahead"])[joint.argmax(axis=0)]
            p = regime.joint.p(joint.max(axis=0))
            parts.append(
                pd.DataFrame({"run": run, "step": high.step, "progress": high.progress, "p": p, "kind": kinds})
            )
        empty = pd.DataFrame(columns=["run", "step", "progress", "p", "kind"])
        return pd.concat(parts, ignore_index=True) if parts else empty

    def save(self, folder: Path) -> None:
        """Write settings as JSON and arrays as npz into a folder; `watch.load` reads them back."""
        from predictdyn.watch.keeping import write_detector

        write_detector(self, folder)

    def _judged(self, curves: Curves) -> dict[str, tuple[Regime, Sight, Heights]]:
        """Each run that can be judged: by which regime, its sight and its heights."""
        known = curves.runs["family"].isin(self.families) & (self.shared is not None)
        found: dict[str, tuple[Regime, Sight, Heights]] = {}
        for regime, runs in ((self.own, curves.runs.index[~known]), (self.shared, curves.runs.index[known])):
            if regime is None or not len(runs):
                continue
            mine = curves.select(runs=list(runs))
            ready: Prepared = prepared(mine, self.axes, self.families if regime is self.shared else None)
            for run, sight in sights(ready, regime.announced, list(runs)).items():
                high = heights(sight, regime.surprise, regime.hazard, regime.watched)
                if len(high.step):
                    found[run] = (regime, sight, high)
        return found

    def _alarm(self, regime: Regime, sight: Sight, high: Heights) -> tuple[Alarm | None, float]:
        """The alarm of a run, if it rings, and the e-value of its latest checkpoint."""
        joint = high.joint(regime.of_kind)
        p = regime.joint.p(joint.max(axis=0))
        now = _digits(e_value(p[-1]))
        ringing = np.flatnonzero(p <= self.rate)
        if not len(ringing):
            return None, now
        at = int(ringing[0])
        shown = float(p[at])
        rare = f"one healthy run in {1 / shown:.0f} ever does so"
        step = float(high.step[at])
        if joint[:, at].argmax() == 1:
            risk = 1 / (1 + np.exp(-high.hazard[at]))
            words = f"finished runs that looked so failed within a tenth of the run in {risk:.0%} of cases; {rare}"
            return Alarm(sight.run, "divergence ahead", "", step, step, _digits(e_value(shown)), words), now
        late = np.flatnonzero(np.isin(sight.step, high.step))
        begin = late[int(high.begin[at])]
        metric, far = self._strangest(sight, begin, late[at])
        since = float(sight.step[begin - 1]) if begin else float(sight.step[begin])
        words = f"since step {since:g}: {far}; {rare}"
        return Alarm(sight.run, regime.kind, metric, since, step, _digits(e_value(shown)), words), now

    def _strangest(self, sight: Sight, begin: int, end: int) -> tuple[str, str]:
        """The metric that went furthest from what was announced, and words on the first three."""
        part = np.nan_to_num(sight.scores[begin : end + 1])
        row = np.abs(part).argmax(axis=0)
        far = part[row, np.arange(part.shape[1])]
        order = np.argsort(-np.abs(far))[:3]
        names = list(self.axes)
        order = order[np.abs(far[order]) >= min(LEAST_TOLD, np.abs(far[order[0]]))]
        told = [f"{names[k]} {'higher' if far[k] > 0 else 'lower'} than announced ({far[k]:+.1f} sd)" for k in order]
        return names[order[0]], ", ".join(told)


def _digits(value: np.ndarray) -> float:
    """Three digits: the last ones of sums depend on how long a log is."""
    return float(f"{float(value):.3g}")


def learn(
    history: Curves, *, false_alarms: float = 0.05, healthy: Collection[str] | None = None,
    beside: Detector | None = None, known_families: bool = True, seed: int = 0,
) -> LearntDetector:  # fmt: skip
    """Learn alarms from finished runs.

    ``false_alarms`` is the share of healthy runs of new families that may ever ring, however often one looks, all kinds
    of `TESTED` together. ``healthy`` names the runs that went well; without it those without an event and without an
    intervention. Runs with a failure, such as ``diverged``, teach what comes before one. ``beside`` adds facts and
    targets. Without ``known_families`` no run is compared with its family. Raises ValueError for a rate
    outside (0, 1), or fewer than four healthy runs.
    """
    if not 0 < false_alarms < 1:
        raise ValueError(f"false_alarms= is a share of runs in (0, 1), got {false_alarms}")
    good = healthy_runs(history) if healthy is None else [run for run in history.runs.index if run in set(healthy)]
    # Who names the healthy runs has said that they went well.
    doubts = [*warnings_of(doubtful(history, good), len(good)), *milestones_said(history)] if healthy is None else []
    names = looked_at(history.metrics.values())
    family = families_of(history)
    values: dict[str, list[np.ndarray]] = {name: [] for name in names}
    by: dict[str, set[str]] = {name: set() for name in names}
    for (run, name), curve in history.select(runs=good).series.items():
        if name in values:
            values[name].append(curve.value)
            by[name].add(family[run])
    # What few families log teaches too little to call a run of another one strange.
    enough = USUAL * len({family[run] for run in good})
    axes = {
        name: axis_for(history.metrics[name], values[name])
        for name in names
        if values[name] and len(by[name]) >= enough
    }
    if len(good) < FEWEST_RUNS or not axes:
        raise ValueError(
            f"alarms are learnt from finished healthy runs, and there are {len(good)}; {FEWEST_RUNS} are the fewest "
            "(runs with an event or an intervention do not count)"
        )
    history = _told_apart(history, good)
    events: dict[str, list[tuple[float, str]]] = {}
    for run, step, what in history.events[["run", "step", "what"]].itertuples(index=False):
        events.setdefault(run, []).append((float(step), str(what)))
    plain = set(history.runs.index) - set(arms(history.runs).index)
    failure = {run: step for run, step in first_failures(events).items() if run in plain and run not in set(good)}
    ready = prepared(history, axes)
    own = learn_regime("off path", ready, history, good, failure, seed=seed)
    means, others = family_means(ready, good, families_of(history)) if known_families else ({}, {})
    shared = None
    if len(means) >= FEWEST_FAMILIES:
        beside_family = prepared(history.select(runs=[*others]), axes, means, others)
        shared = learn_regime("off family curve", beside_family, history, list(others), {}, seed=seed)
    return LearntDetector(false_alarms, axes, own, shared, means if shared else {}, beside, tuple(doubts))


def _told_apart(history: Curves, good: Collection[str]) -> Curves:
    """Where all healthy runs are of one family, each is its own: there is nothing else to hold out."""
    if len(set(history.runs["family"][list(good)])) > 1:
        return history
    return Curves(history.points, history.runs.assign(family=history.runs.index), history.metrics, history.events)
