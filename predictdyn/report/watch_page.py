"""The page of a watch: who rang, who will reach its target, how forecasts moved, and what changed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from predictdyn import __version__
from predictdyn.curves import Curve
from predictdyn.report.blocks import Cell, PageAnswer, PageBlock, PageTable, Section, Shown, figures, table, words
from predictdyn.report.figures.track import RunTrack, draw
from predictdyn.report.render import written
from predictdyn.report.style import Drawing, variables
from predictdyn.report.words import SPACE, TAIL, UNKNOWN, between, count, percent, readable, value

ROWS = 60
FIGURES = 6  # runs that are drawn below the first
LINES = 40
WEIGHED = 5  # runs that rang, with the interventions that are known
KEPT = 64  # drawings
FINE = 100  # a figure is drawn again each time that its run has done another such part
LEAST = 5  # seconds between two reloads of the page


class WatchView(NamedTuple):
    """What a page shows: ``table`` a row a run, worst first; ``runs`` their forecasts by name, ``alarms`` as they rang.

    ``bounds`` is the number that a target compares a metric with.
    ``every`` is the pause between looks in seconds (None: no look follows), ``looked`` the time of this one.
    """

    made: Mapping[str, Any]
    every: float | None
    looked: float
    looks: int
    table: pd.DataFrame
    runs: Mapping[str, Mapping[str, Any]]
    alarms: Sequence[Mapping[str, Any]]
    changes: Sequence[tuple[float, str]]
    targets: Sequence[str]
    series: Mapping[tuple[str, str], Curve]
    labels: Mapping[str, str]
    bounds: Mapping[str, float]


def render_watch(view: WatchView, drawn: dict[Any, Any]) -> str:
    """The page as text. ``drawn`` keeps drawings between looks: one of a run that has hardly moved is used again."""
    tracks = [track for run in view.table["run"] if (track := _track(view, run)) is not None][: FIGURES + 1]
    keep: dict[Any, Drawing] = {}
    hero = narrow = None
    if tracks:
        first = tracks[0]
        hero = Shown(
            _drawn(first, "hero", drawn, keep, wide=True), f"{readable(first.label)} of {first.run}", _caption(first)
        )
        narrow = _drawn(first, "hero-narrow", drawn, keep)
    rest = [
        Shown(_drawn(track, "run", drawn, keep), track.run, _caption(track), name=f"{track.run}, {track.metric}")
        for track in tracks[1:]
    ]
    for key, one in keep.items():  # the latest last; the order of runs changes, so more are kept than are shown
        drawn.pop(key, None)
        drawn[key] = one
    for key in list(drawn)[: max(len(drawn) - KEPT, 0)]:
        del drawn[key]
    sections = [part for part in (_alarms(view), _further(view, rest), _changes(view), _origin(view)) if part]
    content: dict[str, Any] = {
        "title": f"Watch of {view.made.get('title') or 'runs'}",
        "made": "watch",
        "created": _time(view.looked),
        "version": __version__,
        "answer": PageAnswer(_headline(view), _sentences(view), _table(view), "", math.nan),
        "hero": hero,
        "narrow": narrow,
        "sections": sections,
        "colours": variables(":root"),
    }
    if view.every is not None:
        content["refresh"] = max(round(view.every), LEAST)
    return written(content, [])["index.html"]


def _headline(view: WatchView) -> str:
    n = len(view.table)
    if not n:
        return "No run is in question yet"
    rang = int((view.table["alarm"] != "").sum())
    said = f"{rang} of {count(n, 'run')} rang an alarm" if rang else f"No alarm in {count(n, 'run')}"
    if view.targets and not (likely := view.table[f"p_{view.targets[0]}"]).isna().all():
        ended = view.table["ended"]
        done, more = int((likely[ended] == 1).sum()), int((likely[~ended] >= 0.5).sum())
        came = [f"{done} reached {view.targets[0]}"] if ended.any() else []
        come = [f"{more} will more likely than not{'' if came else f' reach {view.targets[0]}'}"]
        said += f"; {', '.join([*came, *(come if not ended.all() else [])])}"
    return f"{said}."


def _sentences(view: WatchView) -> list[str]:
    ended = int(view.table["ended"].sum()) if len(view.table) else 0
    if view.every is not None:
        after = f"The next look follows in {view.every:g} s."
    elif ended and ended == len(view.table):
        after = "This was the last look."
    else:
        after = "No further look is planned." if view.looks > 1 else "This was the only look."
    rate = view.made.get("false_alarms")
    return [
        f"Last look: {_time(view.looked)}, number {view.looks:,} of this watch. {after}",
        f"{count(ended, 'run')} {'has' if ended == 1 else 'have'} ended." if ended else "",
        f"At most {percent(float(rate or 0.0))} of healthy runs are to ring, over their whole length (see the end)."
        if view.made.get("learnt")
        else "Alarms state facts and forecasts alone: there were too few finished runs to learn a test from.",
    ]


def _table(view: WatchView) -> PageTable:
    head = ["run", "progress", *(f"P({text})" for text in view.targets), "forecast of the end, or what came", "alarm"]
    rows = []
    for row in view.table.head(ROWS).to_dict("records"):
        metric = str(row["metric"])
        forecast = UNKNOWN
        if math.isfinite(row["median"]):
            width = row["high"] - row["low"]
            forecast = f"{value(row['median'], width)} ({between(row['low'], row['high'])})"
            if row["ended"]:  # what came, with no interval
                forecast = f"{row['median']:.4g}"
        gone = "gone" in view.runs[row["run"]]
        progress = "ended" if row["ended"] else "log gone" if gone else percent(row["progress"])
        rows.append(
            [
                Cell(str(row["run"])),
                Cell(progress, f"step {row['step']:,.0f}"),
                *(_likely(row[f"p_{text}"], row["ended"]) for text in view.targets),
                Cell(forecast, readable(view.labels.get(metric, metric)) if metric else "", name=metric),
                Cell(row["alarm"], mark="bad") if row["alarm"] else Cell("none", mark="good"),
            ]
        )
    order = (
        "those that rang first, then those least likely to reach a target" if view.targets else "those that rang first"
    )
    left = len(view.table) - len(rows)
    more = f" {count(left, 'further run')} in state.json." if left > 0 else ""
    return PageTable(f"Runs, {order}. Brackets: 90{SPACE}% interval.{more}", head, rows, 1)


def _likely(share: float, ended: bool) -> Cell:
    if not math.isfinite(share):
        return Cell(UNKNOWN)
    return Cell("reached" if share else "missed") if ended else Cell(percent(share), mark="main")


def _alarms(view: WatchView) -> Section | None:
    if not view.alarms:
        return None
    rows = [
        [
            Cell(str(one["run"])), Cell(str(one["kind"]), str(one["metric"])), Cell(_seen(view, one)),
            Cell(f"{one['since']:,.0f}"), Cell(f"{one['step']:,.0f}"), Cell(_evidence(one)),
            Cell(_time(one["at"])), Cell({"none": UNKNOWN}.get(one["hook"], one["hook"])),
        ]
        for one in reversed(view.alarms)
    ][:ROWS]  # fmt: skip
    caption = "Alarms, the latest first. Since: the step at which the trouble seems to have begun."
    head = ["run", "alarm", "what was seen", "since", "step", "evidence", "told", "hook"]
    blocks = [table(PageTable(caption, head, rows, 3)), _meaning(view)]
    latest = dict.fromkeys(str(one["run"]) for one in reversed(view.alarms))
    weighed = [run for run in latest if view.runs.get(run, {}).get("weighed", {}).get("entries")][:WEIGHED]
    if weighed:
        blocks.append(
            words(
                "Below: the forecast of each run that rang, as it is and with each known intervention.",
                "An effect is learnt from pairs of runs with the same seed and history, of which one was changed.",
                "Where there is no such pair, different runs are compared: predicted, not causal.",
            )
        )
    blocks += [table(_remedies(view, run)) for run in weighed]
    return Section("alarms", "Alarms", blocks, paper=True)


def _meaning(view: WatchView) -> PageBlock:
    """What the words and numbers of learnt alarms mean, where there are any."""
    learnt = [one for one in view.alarms if _evidence(one).endswith(" to 1")]
    return words(
        "Evidence is an e-value: over healthy runs its mean is at most one, so 20 to 1 is rarer than 2 to 1."
        if learnt
        else "",
        "Announced is what the earlier log of the run led to expect at that step. "
        "One sd is the usual size of such surprises in healthy runs."
        if any("announced" in str(one["words"]) for one in learnt)
        else "",
    )


def _remedies(view: WatchView, run: str) -> PageTable:
    """A run that rang, with each known intervention from now on: those first with which it most likely does well."""
    entries = view.runs[run]["weighed"]["entries"]
    first, *rest = entries
    if view.targets:
        rest = sorted(rest, key=lambda one: -one["targets"].get(view.targets[0], -1.0))
    rows = []
    for entry in (first, *rest):
        for place, (metric, said) in enumerate(entry["metrics"].items()):
            low, middle, high = said["with"]
            effect = Cell(UNKNOWN)
            if said["effect"]:
                least, move, most = said["effect"]
                effect = Cell(value(move, most - least), between(least, most), "main")
            likely = [entry["targets"].get(text, math.nan) if not place else math.nan for text in view.targets]
            rows.append(
                [
                    Cell(entry["change"] if not place else ""),
                    Cell(readable(view.labels.get(metric, metric)), name=metric),
                    Cell(said["words"] or "as it goes on by itself"),
                    *(Cell(percent(share)) if math.isfinite(share) else Cell("") for share in likely),
                    Cell(value(middle, high - low), between(low, high)),
                    effect,
                ]
            )
    caption = (
        f"{run}, if the training is changed after step {first['step']:,.0f}: medians of the end, with "
        f"90{SPACE}% intervals."
    )
    head = ["change", "outcome", "what supports it", *(f"P({text})" for text in view.targets), "forecast", "effect"]
    return PageTable(caption, head, rows, names=3)


def _seen(view: WatchView, one: Mapping[str, Any]) -> str:
    """What an alarm saw, and whether it is over."""
    again = view.runs.get(one["run"], {}).get("finite", {}).get(one["metric"])
    over = f"; finite again from step {again:g}" if one["kind"] == "not finite" and again is not None else ""
    return f"{one['words']}{over}"


def _evidence(one: Mapping[str, Any]) -> str:
    if not math.isfinite(one["evidence"]):
        return "a fact"
    if one["kind"] == "will miss target":
        return f"P = {one['evidence']:.2g}"
    return f"{one['evidence']:,.3g} to 1"


def _further(view: WatchView, shown: list[Shown]) -> Section | None:
    return Section("runs", "More runs", [figures(shown)], paper=True) if shown else None


def _changes(view: WatchView) -> Section | None:
    if not view.changes:
        return None
    lines = [f"{_time(at)}: {said}" for at, said in reversed(view.changes)][:LINES]
    return Section("changes", "What changed", [PageBlock("list", lines=lines)])


def _origin(view: WatchView) -> Section:
    made = view.made
    model = str(made.get("model") or "none")
    again = "" if view.every is None else "The page loads itself again. "
    tested = [f"{line[:1].upper()}{line[1:]}." for line in made.get("tested") or ()]
    return Section(
        "origin", "How this was made",
        [words(
            f"Path: {made.get('path')}. Model: {model}.",
            f"{again}It holds no script, and nothing from elsewhere.",
            "state.json beside it is what the next look goes on from.",
            *tested,
            TAIL if any("exponential tail" in line for line in tested) else "",
        )],
    )  # fmt: skip


def _track(view: WatchView, run: str) -> RunTrack | None:
    """The first metric that is forecast of a run: that of a target, where there is one."""
    entry = view.runs[run]
    metric = next(iter(entry["track"][-1]["metrics"]), "") if entry["track"] else ""
    if not metric:
        return None
    own = [one for one in entry["track"] if metric in one["metrics"]]
    low, _, median, _, high = np.array([one["metrics"][metric] for one in own]).T
    curve = view.series.get((run, metric))
    step, logged = (curve.step, curve.value) if curve is not None else (np.empty(0), np.empty(0))
    return RunTrack(
        run, metric, view.labels.get(metric, metric), step, logged, np.array([one["step"] for one in own]), median, low,
        high, float(entry["plan"]), view.bounds.get(metric, math.nan),
        tuple(sorted({float(one["step"]) for one in view.alarms if one["run"] == run})),
    )  # fmt: skip


def _drawn(
    track: RunTrack, name: str, drawn: Mapping[Any, Drawing], keep: dict[Any, Drawing], *, wide: bool = False
) -> Drawing:
    # Drawing is nine tenths of a look, and no eye sees less than a hundredth of the run: the table has all at once.
    moved = int(FINE * track.step[-1] / track.plan) if len(track.step) else -1
    key = (name, track.run, track.metric, moved, track.alarms, track.bound)
    # The name is part of ids in the page, and stays when the order of runs changes.
    own = f"{name}-{hashlib.sha256(track.run.encode(errors='replace')).hexdigest()[:8]}"
    keep[key] = drawn.get(key) or draw(track, own, wide=wide)
    return keep[key]


def _caption(track: RunTrack) -> str:
    if not len(track.when):
        return ""
    width = float(track.high[-1] - track.low[-1])
    now = f"{value(float(track.median[-1]), width)} ({between(float(track.low[-1]), float(track.high[-1]))})"
    if len(track.when) == 1:
        return f"Black: logged. Blue: the forecast of the end, where it was made (dot) and at the end (diamond), {now}."
    times = count(len(track.when), "forecast")
    return f"Black: logged. Blue: {times} of the end, each where it was made; the diamond is the latest, {now}."


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
