"""The loop: one look after the other at a path, each with what is new, what it means, and whom to tell."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.events import JointEvent
from predictdyn.forecasters._fitted import Fitted
from predictdyn.watch.alarm import Alarm, Detector
from predictdyn.watch.follow import Follower, News
from predictdyn.watch.hooks import Hook, HookError, message
from predictdyn.watch.remedies import known_interventions, remedies
from predictdyn.watch.standing import chosen_metrics, ends, entries, final, last_steps, targets_of
from predictdyn.watch.state import (
    CHANGES,
    Rung,
    WatchState,
    alarm_id,
    durable,
    new_state,
    read_state,
    thinned,
    write_state,
)

TRIES = 3  # calls of a hook, one a look, before it is given up
PAUSES = 5.0  # a run that is silent for so many times its longest pause has stopped
GONE = 600.0  # seconds after which nobody waits for a log that is gone
WEIGHED = 0.05  # of the run, after which interventions are weighed again
SAID = (0.05, 0.25, 0.5, 0.75, 0.95)  # a probability that crosses one of these is a change worth a line


@dataclass
class Watcher:
    """A path with its model, detector and state; `look` does one round.

    ``say`` takes a line for each change. ``out`` is the folder of the state and the page; None keeps both in memory.
    ``silent``: seconds without a new line after which a run counts as stopped (0: never).
    """

    follower: Follower
    made: Mapping[str, Any]
    detector: Detector
    fitted: Fitted | None
    targets: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    out: Path | None = None
    hook: Hook | None = None
    say: Callable[[str], None] = lambda line: None
    silent: float = 1800.0
    every: float | None = None  # seconds between looks, None where this is the only one
    seed: int = 0
    now: Callable[[], float] = time.time
    state: WatchState = field(init=False)
    curves: Curves | None = field(default=None, init=False)
    news: News | None = field(default=None, init=False)  # the latest
    waiting: list[str] = field(default_factory=list, init=False)  # targets on metrics that nobody has logged yet
    unsaid: list[str] = field(default_factory=list, init=False)
    drawn: dict[Any, Any] = field(default_factory=dict, init=False)
    wrote: bool = field(default=False, init=False)  # whether the folder could ever be written
    unwritten: set[str] = field(default_factory=set, init=False)  # what of it cannot be written now

    def __post_init__(self) -> None:
        self.state = new_state(self.made) if self.out is None else read_state(self.out, self.made)
        self.follower.past = None if self.state.past is None else frozenset(self.state.past)
        self.follower.closed = frozenset(run for run, entry in self.state.runs.items() if entry["ended"])
        self.follower.last = {run: entry["step"] for run, entry in self.state.runs.items()}

    def look(self) -> list[Rung]:
        """One look: alarms that rang in it. What was left over of a look that was broken off is told first.

        The order makes that no alarm is lost, and none told twice but for a hook that was broken off: state first, in
        one piece with the detector's, then lines and hooks, then the state again. Raises ValueError where the path
        cannot be read; nothing has changed then.
        """
        self._tell()
        news = self.follower.news()
        self.news = news or self.news
        before, kept = len(self.state.alarms), self.state
        try:
            if news is not None:
                self._take(news)
            self._stopped()
        except BaseException:
            self.unsaid.clear()
            self.state = kept  # what was half worked out is worked out again at the next look
            raise
        self.state = self.state._replace(looks=self.state.looks + 1, looked=self.now())
        self._keep()
        if news is not None:
            self.follower.accept(news)
        self._say()
        self._tell()
        self._say()
        self._draw()
        return self.state.alarms[before:]

    def _take(self, news: News) -> None:
        """All that follows from news, in the state."""
        past = sorted(self.follower.past or ())
        self.state = self.state._replace(past=past)
        runs, lines = self._missing(() if news.curves is None else news.curves.runs.index)
        self.state = self.state._replace(runs=runs)
        if news.curves is None:
            self._changed(lines)
            return
        curves = self.curves = news.curves
        lines += self._grown(curves, news, runs)
        lines += self._forecast(curves, news)
        look = self.detector.look(curves, self.state.detector)
        self.state = self.state._replace(detector=look.state)
        for run, e_value in look.table[["run", "e_value"]].itertuples(index=False):
            if run in runs:
                runs[run]["e_value"] = None if pd.isna(e_value) else float(e_value)
        self._ring(look.alarms)
        events = self._events(curves) if news.ended else []
        for run in sorted(news.ended):
            runs[run] |= {"ended": True, "final": final(curves, run, runs[run], events)}
            lines.append(f"{run}: ended at step {runs[run]['step']:g}{_final(curves, run, runs[run])}")
        self._changed(lines)
        self._changed(self._recovered(curves))

    def _missing(self, there: Collection[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """The runs of the state, and lines on those whose log is gone or is back: renamed, removed, or not readable."""
        runs, lines = {run: dict(entry) for run, entry in self.state.runs.items()}, []
        for run, entry in runs.items():
            if not entry["ended"] and run not in there and "gone" not in entry:
                entry["gone"] = self.now()
                lines.append(f"{run}: its log is gone, after step {entry['step']:g}")
            elif run in there and entry.pop("gone", None) is not None:
                lines.append(f"{run}: its log is back")
        return runs, lines

    def _grown(self, curves: Curves, news: News, runs: dict[str, dict[str, Any]]) -> list[str]:
        """How far each run has come, in its entry; lines on those that are new, or went back."""
        steps, lines, now = last_steps(curves), [], self.now()
        for run in curves.runs.index:
            plan = float(curves.runs.loc[run, "last_step"])
            step = max(steps.get(run, 0.0), news.reached.get(run, 0.0))
            wrote = news.written.get(run, math.nan)
            wrote = now if math.isnan(wrote) else min(wrote, now)
            if run not in runs:
                runs[run] = {"step": step, "plan": plan, "at": wrote, "pause": 0.0, "ended": False, "track": []}
                lines.append(f"{run}: seen at step {step:g} of {plan:g}")
            elif step != runs[run]["step"]:
                entry = runs[run]
                if step < entry["step"]:
                    lines.append(f"{run}: went back from step {entry['step']:g} to step {step:g}")
                    # Forecasts from steps that were lost are of another course.
                    entry["track"] = [one for one in entry["track"] if one["step"] <= step]
                    entry.pop("final", None)
                    entry.pop("weighed", None)
                    entry["ended"] = False
                entry |= {"pause": max(entry["pause"], wrote - entry["at"]), "at": wrote, "step": step, "plan": plan}
        return lines

    def _forecast(self, curves: Curves, news: News) -> list[str]:
        """New forecasts of runs that have grown in a metric that is forecast, kept in the state, and lines on them."""
        targets = self._events(curves)
        lines = self._waits(targets)
        due = [run for run in sorted(news.grown - news.ended) if self._moved(run)]
        if self.fitted is None or not due:
            return lines
        metrics = chosen_metrics(curves, self.metrics, targets)
        found = ends(self.fitted, curves, due, metrics, seed=self.seed)
        if found is None:
            return lines
        self.fitted = found.fitted  # what it had to forget stays forgotten
        for run, entry in entries(found, curves, targets, self.now()).items():
            own = self.state.runs[run]
            own["track"] = thinned([*own["track"], entry])
            for line in _moves(own.get("told"), entry):
                lines.append(f"{run}: {line}")
                own["told"] = entry
        return lines

    def _events(self, curves: Curves) -> list[JointEvent]:
        """The targets; ValueError for one that names a metric which neither these runs nor the history have.

        Where there is no history, and another look will follow, such a target waits: it may be logged later.
        """
        history = {} if self.fitted is None else self.fitted.history.metrics
        return targets_of(self.targets, {**curves.metrics, **history}, waiting=not history and self.every is not None)

    def _waits(self, events: Sequence[JointEvent]) -> list[str]:
        """A line on targets that wait, each time that there are others than before."""
        read = {event.text for event in events}
        waiting = [text for text in self.targets if text not in read]
        told, self.waiting = self.waiting, waiting
        return [f"no run has logged a metric of this target yet: {text}" for text in waiting if told != waiting]

    def _moved(self, run: str) -> bool:
        entry = self.state.runs[run]
        return not entry["track"] or entry["track"][-1]["step"] != entry["step"]

    def _stopped(self) -> None:
        """Alarms of runs that have been silent for long. (The log alone cannot say this: it needs a clock.)"""
        if not self.silent:
            return
        found = []
        for run, entry in self.state.runs.items():
            entry["at"] = min(entry["at"], self.now())  # a clock that was set back
            quiet = self.now() - entry["at"]
            if not entry["ended"] and "gone" not in entry and quiet > max(self.silent, PAUSES * entry["pause"]):
                words = f"nothing was logged for {_duration(quiet)} after step {entry['step']:g} of {entry['plan']:g}"
                step = float(entry["step"])
                found.append(Alarm(run, "clock stopped", "", step, step, math.inf, words))
        self._ring(found)

    def _ring(self, alarms: Sequence[Alarm]) -> None:
        """New alarms, in the state."""
        rung = {one.id for one in self.state.alarms}
        due = "none" if self.hook is None else "due"
        new = [Rung(alarm_id(alarm), alarm, self.now(), hook=due) for alarm in alarms]
        self.state = self.state._replace(alarms=[*self.state.alarms, *(one for one in new if one.id not in rung)])

    def _recovered(self, curves: Curves) -> list[str]:
        """Lines on metrics that rang as not finite, and are finite again; noted, so each is said once."""
        lines: list[str] = []
        for alarm in (rung.alarm for rung in self.state.alarms if rung.alarm.kind == "not finite"):
            curve = curves.series.get((alarm.run, alarm.metric))
            entry = self.state.runs.get(alarm.run)
            if (
                entry is None
                or curve is None
                or alarm.metric in entry.get("finite", {})
                or curve.step[-1] <= alarm.step
            ):
                continue
            step = float(curve.step[curve.step > alarm.step][0])
            entry["finite"] = {**entry.get("finite", {}), alarm.metric: step}
            lines.append(f"{alarm.run}: {alarm.metric} is finite again from step {step:g}")
        return lines

    def _changed(self, lines: Sequence[str]) -> None:
        """Lines on changes, for the page and to be said once they are kept."""
        self.unsaid += lines
        kept = [*self.state.changes, *((self.now(), line) for line in lines)]
        self.state = self.state._replace(changes=kept[-CHANGES:])

    def _say(self) -> None:
        """Say what changed: it is kept by now, so a kill in between leaves it to the page."""
        while self.unsaid:
            self.say(self.unsaid.pop(0))

    def _tell(self) -> None:
        """Print alarms that have not been told, then call hooks; each call is noted before and after.

        All lines come first and the page is there, as a hook may take a minute and may show the page. After one that
        took all its time the others wait for the next look, so that many alarms do not stop the looking.
        """
        for place, rung in enumerate(self.state.alarms):
            if not rung.told:
                line = f"{rung.alarm.run}: ALARM, {rung.alarm.kind}: {rung.alarm.words}"
                self.say(line)  # before it is noted: a kill between the two has it said again, and not lost
                self._changed([line])
                self.unsaid.pop()
                self._put(place, rung._replace(told=True))
        self._weigh()
        due = [place for place, rung in enumerate(self.state.alarms) if rung.hook == "due"]
        if self.hook is None or not due:
            return
        try:
            if self.curves is not None:
                self._draw()
        finally:  # a page that cannot be drawn keeps no alarm back
            for place in due:
                rung = self.state.alarms[place]
                rung = self._put(place, rung._replace(tries=rung.tries + 1))
                after, slow = self._call(rung)
                self._put(place, after)
                if slow:
                    break

    def _weigh(self) -> None:
        """What known interventions would do to runs that rang: in the state, and again once a run has moved on."""
        curves = self.curves
        if curves is None or self.fitted is None:
            return
        rang = {rung.alarm.run for rung in self.state.alarms} & set(curves.runs.index)
        due = []
        for run in sorted(rang):
            entry = self.state.runs[run]
            before = entry.get("weighed", {"step": -math.inf})["step"]
            if not entry["ended"] and entry["step"] - before >= WEIGHED * entry["plan"]:
                due.append(run)
        if not due or not known_interventions(self.fitted.history):
            return
        targets = self._events(curves)
        found = ends(self.fitted, curves, due, chosen_metrics(curves, self.metrics, targets), seed=self.seed)
        for run in due:
            entries = [] if found is None else remedies(found, curves, run, targets, seed=self.seed)
            self.state.runs[run]["weighed"] = {"step": self.state.runs[run]["step"], "entries": entries}
        self._keep()

    def _call(self, rung: Rung) -> tuple[Rung, bool]:
        """The alarm after a call of its hook, and whether that took all its time."""
        assert self.hook is not None
        page = str((self.out / "index.html").absolute()) if self.out is not None else ""
        try:
            self.hook(message(rung, str(self.made["path"]), page))
        except HookError as error:
            given_up = rung.tries >= TRIES
            rest = f"given up after {TRIES} tries" if given_up else "it is tried again at the next look"
            self._changed([f"{rung.alarm.run}: the hook of alarm {rung.id} failed: {error}; {rest}"])
            return rung._replace(hook="failed" if given_up else "due"), error.slow
        return rung._replace(hook="done"), False

    def _put(self, place: int, rung: Rung) -> Rung:
        alarms = list(self.state.alarms)
        alarms[place] = rung
        self.state = self.state._replace(alarms=alarms)
        self._keep()
        return rung

    def report(self) -> bool:
        """Whether an alarm has rung that no command has ended with; from now on none has."""
        new = any(not rung.reported for rung in self.state.alarms)
        if new:
            self.state = self.state._replace(alarms=[rung._replace(reported=True) for rung in self.state.alarms])
            self._keep()
        return new

    @property
    def finished(self) -> bool:
        """Whether no run is left that may go on, and no hook is left to call."""
        due = any(rung.hook == "due" for rung in self.state.alarms) and self.hook is not None
        over = all(e["ended"] or self.now() - e.get("gone", math.inf) > GONE for e in self.state.runs.values())
        return bool(self.state.past is not None and over and not due)

    def _draw(self) -> None:
        """The page; a figure is drawn again only where its run has moved."""
        if self.out is None:
            return
        from predictdyn.report.watch_page import WatchView, render_watch

        curves = self.curves
        events = [] if curves is None else self._events(curves)
        view = WatchView(
            made=self.made, every=None if self.finished else self.every, looked=self.state.looked,
            looks=self.state.looks,
            table=table_of(self.state, self.targets), runs=self.state.runs,
            alarms=[{"at": one.at, "hook": one.hook, **one.alarm._asdict()} for one in self.state.alarms],
            changes=self.state.changes, targets=self.targets, series={} if curves is None else curves.series,
            labels={} if curves is None else {name: one.label or name for name, one in curves.metrics.items()},
            bounds={bound.metric: bound.number for event in reversed(events) for bound in reversed(event.bounds)},
        )  # fmt: skip
        page = render_watch(view, self.drawn).encode(errors="replace")
        self._write("page", lambda out: durable(out / "index.html", page))

    def _keep(self) -> None:
        self._write("state", lambda out: write_state(out, self.state))

    def _write(self, name: str, what: Callable[[Path], None]) -> None:
        """Write into the folder. Once that has worked, a disk that is full must not keep an alarm from being told.

        Then alarms may be told again after a restart, and a line says so. Raises OSError before it has ever worked.
        """
        if self.out is None:
            return
        before = bool(self.unwritten)
        try:
            what(self.out)
        except OSError as error:
            if not self.wrote:
                raise
            self.unwritten.add(name)
            if not before:
                self.say(
                    f"{self.out} cannot be written ({error.strerror or error}): the watch goes on, but after a restart "
                    "alarms may be told again; free the disk"
                )
        else:
            self.wrote = True
            self.unwritten.discard(name)
            if before and not self.unwritten:
                self.say(f"{self.out} can be written again")


def table_of(state: WatchState, targets: Sequence[str]) -> pd.DataFrame:
    """One row a run, those least likely to reach their targets first, then those that rang, then by name.

    Columns run, step, progress, alarm (kinds, or blank), ``p_<target>``, median and 90 % interval of the first metric,
    and whether it has ended: then all of these are what came.
    """
    rang: dict[str, list[str]] = {}
    for rung in state.alarms:
        rang.setdefault(rung.alarm.run, []).append(rung.alarm.kind)
    rows = []
    for run, entry in state.runs.items():
        last = entry["track"][-1] if entry["track"] else {"metrics": {}, "targets": {}}
        metric = next(iter(last["metrics"]), "")
        low, _, middle, _, high = last["metrics"].get(metric, [np.nan] * 5)
        likely = last["targets"]
        if known := entry.get("final"):  # what has come is no forecast
            low = middle = high = known["metrics"].get(metric, np.nan)
            likely = known["targets"]
        rows.append(
            {
                "run": run, "step": entry["step"], "progress": min(entry["step"] / entry["plan"], 1.0),
                "alarm": ", ".join(dict.fromkeys(rang.get(run, []))), "e_value": entry.get("e_value"),
                **{f"p_{text}": likely.get(text, np.nan) for text in targets},
                "metric": metric, "median": middle, "low": low, "high": high, "ended": entry["ended"],
            }
        )  # fmt: skip
    names = ["run", "step", "progress", "alarm", "e_value", *(f"p_{text}" for text in targets)]
    table = pd.DataFrame(rows, columns=[*names, "metric", "median", "low", "high", "ended"])
    order = [f"p_{text}" for text in targets]
    least = table[order].min(axis=1) if order else pd.Series(1.0, index=table.index)
    keys = table.assign(_least=least.fillna(1.0), _calm=table["alarm"] == "")
    return keys.sort_values(["_calm", "_least", "run"], ignore_index=True)[table.columns]


def _moves(before: dict[str, Any] | None, now: dict[str, Any]) -> list[str]:
    """Words on a forecast that is new, or has moved since it was told last; none where it has not."""
    said = []
    for metric, (low, _, middle, _, high) in now["metrics"].items():
        old = None if before is None else before["metrics"].get(metric)
        if old is None or not old[1] <= middle <= old[3]:
            was = "" if old is None else f", was {old[2]:.4g}"
            said.append(f"{metric} is forecast to end at {middle:.4g} [{low:.4g}, {high:.4g}] (90 %){was}")
    for text, share in now["targets"].items():
        old_share = None if before is None else before["targets"].get(text)
        if old_share is None or any((old_share < line) != (share < line) for line in SAID):
            was = "" if old_share is None else f", was {old_share:.2f}"
            said.append(f"P({text}) = {share:.2f}{was}")
    return [f"at {now['progress']:.0%}: {'; '.join(said)}"] if said else []


def _final(curves: Curves, run: str, entry: dict[str, Any]) -> str:
    """The last value of the metric that was forecast first."""
    metric = next(iter(entry["track"][-1]["metrics"]), None) if entry["track"] else None
    curve = None if metric is None else curves.series.get((run, metric))
    if curve is None or metric is None:
        return ""
    middle = entry["track"][-1]["metrics"][metric][2]
    return f", {metric} {curve.value[-1]:.4g} (forecast {middle:.4g})"


def _duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> _duration(90), _duration(7300), _duration(200000)
    ('90 s', '2.0 h', '2.3 days')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"
