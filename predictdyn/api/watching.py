"""Watch: runs that are training now, looked at again and again, with alarms and a page."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from predictdyn.api.models import FittedModel, as_model, learnt, load_model
from predictdyn.api.reading import globs, prepared, read, source_of
from predictdyn.backtest.writing import check_name, locked
from predictdyn.curves import Curves, ended, no_curves
from predictdyn.events import UnknownMetric
from predictdyn.forecasters import DEFAULT
from predictdyn.forecasters import fit as fitted_on
from predictdyn.forecasters._fitted import Fitted
from predictdyn.loaders.files.paths import is_address
from predictdyn.secrets import hidden, path_shown
from predictdyn.watch.alarm import Alarm, Detector
from predictdyn.watch.assumed_ends import surely_ended
from predictdyn.watch.follow import ASSUMED_END, Follower, unknown_ends, usual_end
from predictdyn.watch.hooks import Hook, command_hook, together, webhook
from predictdyn.watch.keeping import load
from predictdyn.watch.kept import ALARMS, kept, key, learnt_once
from predictdyn.watch.learning import LearntDetector
from predictdyn.watch.own_folder import check_own
from predictdyn.watch.plain import Plain
from predictdyn.watch.standing import check_sentences, targets_of
from predictdyn.watch.state import NAME, Rung, new_state, read_state
from predictdyn.watch.watcher import Watcher, table_of

NO_POINTS = "no points found"  # what loaders say of a log that has just been opened
ALONE = "curve_ensemble"  # continues a curve by itself, where no run has finished


@dataclass(frozen=True, repr=False)
class Watch:
    """A watch: `table`, `alarms` and `changes` say what is known; `look` does one round."""

    watcher: Watcher

    def look(self) -> list[Alarm]:
        """One look at the path: the alarms that rang in it."""
        return [rung.alarm for rung in self.watcher.look()]

    @property
    def table(self) -> pd.DataFrame:
        """One row a run: those that rang first, then those least likely to reach their targets."""
        return table_of(self.watcher.state, self.watcher.targets)

    @property
    def alarms(self) -> pd.DataFrame:
        """One row an alarm: id, run, kind, metric, since, step, evidence, words, at (UTC), hook."""
        rows = [
            {"id": rung.id, **rung.alarm._asdict(), "at": pd.Timestamp(rung.at, unit="s", tz="UTC"), "hook": rung.hook}
            for rung in self.watcher.state.alarms
        ]
        return pd.DataFrame(rows, columns=["id", *Alarm._fields, "at", "hook"])

    @property
    def changes(self) -> pd.DataFrame:
        """What changed, a line each: at (UTC), words."""
        rows = [(pd.Timestamp(at, unit="s", tz="UTC"), words) for at, words in self.watcher.state.changes]
        return pd.DataFrame(rows, columns=["at", "words"])

    def __repr__(self) -> str:
        return (
            f"Watch: {len(self.watcher.state.runs)} runs, {len(self.watcher.state.alarms)} alarms; .table has the runs"
        )


def watch(
    path: Path | str,
    model: FittedModel | Path | str | None = None,
    *,
    history: Curves | None = None,
    forecaster: str = DEFAULT,
    targets: str | Sequence[str] = (),
    metrics: str | Sequence[str] | None = None,
    false_alarms: float = 0.05,
    silent: float = 1800.0,
    every: float = 60.0,
    once: bool = False,
    out: Path | str | None = None,
    on_alarm: str | Callable[[dict[str, Any]], None] | None = None,
    address: str | None = None,
    stop_at_alarm: bool = False,
    say: Callable[[str], None] = print,
    source: str | None = None,
    seed: int = 0,
    **settings: Any,
) -> Watch:
    """Watch runs at a path that is written to, until all have ended; or look ``once``.

    ``model`` is what `fit` gave, or its folder. Else ``history`` (finished runs), else the finished runs at the path
    are learnt from. ``targets`` are sentences as ``"val_acc > 0.75"``. A healthy run rings with a probability of at
    most ``false_alarms``. A run that logs nothing for ``silent`` seconds has stopped (0: this is not looked at).
    ``out`` is the folder of the page and of the state, from which a later watch goes on: new, empty, or written by a
    watch; None keeps nothing.
    ``on_alarm`` is a shell command, or a function that takes the alarm as a dictionary; ``address`` takes it as a POST.
    Each is called once an alarm, and again with the same id only where a call was broken off or failed.
    ``stop_at_alarm`` ends the watch at the first look that rings. ``settings`` are those of the source, as for `load`.
    Raises ValueError, one line, for a wrong call.
    """
    folder = None if out is None else Path(out)
    with guarded(folder):
        found = begun(
            Path(path), model, history=history, forecaster=forecaster, targets=globs(targets, "targets"),
            metrics=globs(metrics, "metrics"),
            false_alarms=false_alarms, silent=silent, every=None if once else every, out=folder, on_alarm=on_alarm,
            address=address, say=say, source=source, seed=seed, settings=settings,
        )  # fmt: skip
        for note in found.made["tested"]:
            say(f"note: {note}")
        for rung in rounds(found, say=say):
            if stop_at_alarm and rung:
                break
    return Watch(found)


def begun(
    path: Path,
    model: FittedModel | Path | str | None,
    *,
    history: Curves | None,
    forecaster: str,
    targets: tuple[str, ...],
    metrics: tuple[str, ...],
    false_alarms: float,
    silent: float,
    every: float | None,
    out: Path | None,
    on_alarm: str | Callable[[dict[str, Any]], None] | None,
    address: str | None,
    say: Callable[[str], None],
    source: str | None,
    seed: int,
    settings: dict[str, Any],
) -> Watcher:
    """A watcher of a path, checked, with its model and what an earlier watch left; it has not looked yet.

    Waits until there is something at the path, where it will look more than once.
    """
    if not 0 < false_alarms < 1:
        raise ValueError(f"false_alarms= is a probability in (0, 1), got {false_alarms:g}")
    if every is not None and not every > 0:
        raise ValueError(f"every= is a number of seconds above 0, got {every:g}")
    if not silent >= 0:
        raise ValueError(f"silent= is a number of seconds, 0 for never, got {silent:g}")
    if model is not None and history is not None:
        raise ValueError("give model= or history=, not both: a saved model has its history")
    check_sentences(targets)
    if out is not None:
        check_name(out)
        check_own(out)
    hook = _hook(on_alarm, address)
    given = load_model(model) if isinstance(model, str | Path) else model
    if given is None and history is not None:
        given = learnt(prepared(history), as_model(forecaster), seed=seed)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    name = _ready(path, source, every, say)
    follower = Follower.of(path, name, settings, None if given is None else usual_end(given.history))
    made = {
        "path": hidden(str(path.absolute())), "title": path_shown(path.absolute().name), "source": name,
        "targets": list(targets), "false_alarms": false_alarms, "seed": seed,
    }  # fmt: skip
    state = new_state(made) if out is None else read_state(out, made)
    fitted, notes = (given.fitted, []) if given is not None else _of_path(follower, state.past, forecaster, seed)
    _check_names(targets, fitted, path, name, settings)
    home = None if out is None else out / ALARMS
    detector, tested = _detector(fitted, targets, false_alarms, seed, home, _of_model(model))
    made |= {"model": _words(fitted), "tested": [*notes, *tested], "learnt": isinstance(detector, LearntDetector)}
    return Watcher(follower, made, detector, fitted, targets, metrics, out, hook, say, silent, every, seed)


def watcher_for(
    follower: Any,
    *,
    model: FittedModel | Path | str | None,
    targets: str | Sequence[str],
    metrics: str | Sequence[str] | None,
    out: Path | str | None,
    on_alarm: str | Callable[[dict[str, Any]], None] | None,
    alarms: LearntDetector | Path | str | None,
    seed: int,
) -> Watcher:
    """A watcher of a run that is logged in this process (`integrations.monitor`).

    Without ``alarms`` a saved model's own are taken, if it has any: to learn them takes seconds, which a training loop
    has not.
    """
    folder, asked = None if out is None else Path(out), globs(targets, "targets")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    given = load_model(model) if isinstance(model, str | Path) else model
    fitted = given.fitted if given is not None else fitted_on(ALONE, no_curves(), seed=seed)
    facts = Plain(fitted, asked, seed)
    if isinstance(alarms, str | Path):
        alarms = load(alarms)
    elif alarms is None and (place := _of_model(model)) is not None:
        alarms = kept(place, key(fitted.history, fitted.seed))
    detector: Detector = facts if alarms is None else replace(alarms, beside=facts)
    tested = [] if alarms is None else list(alarms.notes)
    rate = None if alarms is None else alarms.rate
    made = {
        "path": follower.run, "title": follower.run, "source": "monitor", "targets": list(asked),
        "false_alarms": rate, "seed": seed, "model": _words(fitted), "tested": tested,
        "learnt": alarms is not None,
    }  # fmt: skip
    return Watcher(
        follower,
        made,
        detector,
        fitted,
        asked,
        globs(metrics, "metrics"),
        folder,
        _hook(on_alarm, None),
        _unsaid,
        0.0,
        60.0,
        seed,
    )


def _unsaid(line: str) -> None:
    """Lines of a monitor are in its advice and on its page."""


def rounds(watcher: Watcher, *, say: Callable[[str], None]) -> Iterator[list[Rung]]:
    """The alarms of each look, until all runs have ended. A path that cannot be read now is told, and tried again."""
    first, told, every = True, "", watcher.every
    while True:
        begin = time.monotonic()
        try:
            rung = watcher.look()
        except (ValueError, OSError) as error:
            # A log may be half written at this moment; a wrong call is seen at the first look.
            if every is None or (first and NO_POINTS not in str(error)):
                raise
            line = f"this look was left out: {error}"
            if line != told:
                say(line)
                told = line
        else:
            if first and watcher.news is not None and not watcher.state.runs:
                line = f"{watcher.made['path']}: {unknown_ends(watcher.news)}"
                if watcher.news.total and ASSUMED_END in line:
                    raise ValueError(line)  # a run that trains must not go unwatched with a good exit status
                say(line)
            first, told = False, ""
            yield rung
            if every is None or watcher.finished:
                return
        time.sleep(max(0.0, (every or 0.0) - (time.monotonic() - begin)))


@contextmanager
def guarded(out: Path | None) -> Iterator[None]:
    """Nobody else writes this watch's folder meanwhile, and a wrong call leaves nothing of it behind.

    Raises ValueError where somebody else writes it.
    """
    if out is None:
        yield
        return
    with locked(out):
        new = [place for place in (out, out / ALARMS) if not place.exists()]
        try:
            yield
        except (ValueError, OSError):
            if not (out / NAME).exists():  # no look was kept, so there is nothing to go on from
                for place in new:
                    shutil.rmtree(place, ignore_errors=True)
            raise


def _hook(on_alarm: str | Callable[[dict[str, Any]], None] | None, address: str | None) -> Hook | None:
    hooks: list[Hook] = []
    if on_alarm is not None:
        hooks.append(command_hook(on_alarm) if isinstance(on_alarm, str) else on_alarm)
    if address is not None:
        hooks.append(webhook(address))
    return together(hooks)


def _ready(path: Path, source: str | None, every: float | None, say: Callable[[str], None]) -> str:
    """The source of a path, once there is something to read; a path where nothing is yet is waited for."""
    told = False
    while True:
        try:
            name = source_of(path, source)[0]
            if path.exists() or is_address(path):
                return name
            raise ValueError(f"{path}: no such file or folder")
        except ValueError:
            if every is None or not _nothing(path):
                raise
        if not told:
            say(f"{path}: nothing is there yet, waiting for it")
            told = True
        time.sleep(min(every, 5.0))


def _nothing(path: Path) -> bool:
    """Whether there is no file with content at a path."""
    if path.is_dir():
        return not any(file.is_file() and file.stat().st_size for file in path.rglob("*"))
    return not path.exists() or not path.stat().st_size


def _of_path(follower: Follower, past: list[str] | None, forecaster: str, seed: int) -> tuple[Fitted, list[str]]:
    """What the finished runs at the path teach: those that had ended before the first look, also after a restart.

    Where none surely had, curves are continued by themselves. A line says so where some seem to have ended.
    """
    curves: Curves | None = None
    notes: list[str] = []
    path, source, settings = follower.path, follower.source.name, follower.options
    # A table in which a run went back to a checkpoint contradicts itself; at a restart that is no wrong call.
    for more in ({}, {"merge": "yes"}) if past is not None and "merge" not in settings else ({},):
        try:
            curves = prepared(read(path, source, {**settings, **more}))
            break
        except ValueError:
            continue
    if curves is not None:
        done = [run for run in ended(curves) if past is None or run in past]
        if any(ASSUMED_END in line for line in curves.notes):
            done, notes = surely_ended(curves, done, _written(follower, past))
        if done:
            return learnt(curves.select(runs=done), as_model(forecaster), seed=seed).fitted, notes
    return fitted_on(ALONE, no_curves(), seed=seed), notes


def _written(follower: Follower, past: list[str] | None) -> Mapping[str, float]:
    """When each log was written last; nothing where the path cannot be read now, which the first look tells."""
    before = None if past is None else frozenset(past)
    try:
        # Another follower: the news of this one are for the first look.
        news = Follower(follower.path, follower.source, follower.options, past=before).news()
    except (ValueError, OSError):
        return {}
    return {} if news is None else news.written


def _check_names(targets: tuple[str, ...], fitted: Fitted, path: Path, source: str, settings: dict[str, Any]) -> None:
    """Raise ValueError for a target that no run can answer, before minutes go by to learn alarms.

    Without finished runs nobody knows what will be logged: the first look tells, or the target waits.
    """
    history = fitted.history.metrics
    if not history:
        return
    try:
        targets_of(targets, history)
    except UnknownMetric:
        # The runs in question may log what finished ones have not.
        try:
            there = read(path, source, settings).metrics
        except ValueError:
            return  # the first look tells
        targets_of(targets, {**there, **history})


def _of_model(model: FittedModel | Path | str | None) -> Path | None:
    """Where a saved model has its alarms, if it has any."""
    return Path(model) / ALARMS if isinstance(model, str | Path) else None


def _words(fitted: Fitted) -> str:
    """A model in words that are the same for the same model."""
    if not len(fitted.history.runs):
        return f"{fitted.model.name}, without finished runs"
    marks = f"{sorted(fitted.history.runs.index)}{len(fitted.history.points)}".encode()
    runs = len(fitted.history.runs)
    return f"{fitted.model.name}, learnt from {runs} finished runs ({hashlib.sha256(marks).hexdigest()[:8]})"


def _detector(
    fitted: Fitted, targets: tuple[str, ...], false_alarms: float, seed: int, home: Path | None, given: Path | None
) -> tuple[Detector, list[str]]:
    """The detector, and what is known of its rate: nothing where the history is too small to learn a test from.

    It is read from one of two folders, else learnt and kept in ``home``.
    """
    facts = Plain(fitted, targets, seed)
    if not len(fitted.history.runs):
        return facts, []
    try:
        found = learnt_once(fitted.history, home, false_alarms=false_alarms, given=given, beside=facts, seed=seed)
    except ValueError as error:
        return facts, [f"no test was learnt: {error}"]
    return found, list(found.notes)
