"""Monitor: a training loop tells its numbers, and gets advice, without being slowed down or broken."""

from __future__ import annotations

import atexit
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from predictdyn.api.models import FittedModel
    from predictdyn.curves import Curves
    from predictdyn.watch.alarm import Alarm
    from predictdyn.watch.learning import LearntDetector
    from predictdyn.watch.watcher import Watcher

# Nothing heavy is imported here: the loop goes on while the first look imports what it needs.

LOGGER = logging.getLogger("predictdyn")
FIRST = 3.0  # seconds that the first look is taken to cost, with all that it loads, until it is known
ASKED = 5.0  # seconds after which a look that waits asks again how long the training will last
MARKS = 8  # steps that tell the pace of the training
EARLY = 0.5  # share of the whole training's budget that the first look may take before time has earned it
STOPPING = ("not finite", "will miss target", "divergence ahead")


class Advice(NamedTuple):
    """What is known so far, at the step of the latest look; empty before it.

    ``stop``: an alarm rang of a kind that one stops for. ``forecast``: of each metric the median and the ends of the
    90 % interval at the end of the run. ``targets``: the probability of each. Once the run has reached its planned
    end, these are what came: the last values, and 1 or 0.
    """

    stop: bool = False
    alarms: tuple[Alarm, ...] = ()
    step: float = math.nan
    forecast: Mapping[str, tuple[float, float, float]] = {}
    targets: Mapping[str, float] = {}
    words: str = ""


class Monitor:
    """Takes what a run logs and looks at it beside the training.

    ``model`` is what `fit` gave, or its folder; without one, curves are continued by themselves. ``last_step`` is the
    planned end. ``settings`` are what was known before the run, as columns of the history's runs. ``targets`` are
    sentences as ``"val_acc > 0.75"``. ``alarms`` is what `predictdyn.watch.learn` gave of finished runs, or a folder of
    it; without it those that were saved with the model, else facts and targets ring alone. Looks are made by a thread,
    and take at most the share ``budget`` of the time that the whole training is expected to last: so the first comes
    early in a long training, and not before the end in one of a few minutes. A metric that stops being finite is looked
    at at once. ``background=False`` looks inside `log`, each time (``budget=None``) or by the same budget. ``stop_on``
    are the kinds of alarms that advise to stop. ``out`` and ``on_alarm`` are those of `watch`. After the start, nothing
    is raised: a fault is one line in the log "predictdyn". Raises ValueError for a wrong call.

    >>> monitor = Monitor(last_step=100, background=False, budget=None)
    >>> for step in range(4):
    ...     advice = monitor.log(step, {"val_loss": 1.0 if step < 3 else float("nan")})
    >>> advice.stop, advice.words
    (True, 'not finite: val_loss is NaN at step 3')
    """

    def __init__(
        self,
        model: FittedModel | Path | str | None = None,
        *,
        last_step: float,
        run: str = "run",
        family: str | None = None,
        settings: Mapping[str, object] | None = None,
        targets: str | Sequence[str] = (),
        metrics: str | Sequence[str] | None = None,
        alarms: LearntDetector | Path | str | None = None,
        stop_on: str | Sequence[str] = STOPPING,
        budget: float | None = 0.01,
        background: bool = True,
        out: Path | str | None = None,
        on_alarm: str | Callable[[dict[str, Any]], None] | None = None,
        seed: int = 0,
    ) -> None:
        if not (_is_number(last_step) and 0 < last_step < math.inf):
            raise ValueError(f"last_step= is the planned end of the run, a step above 0, got {last_step!r}")
        if budget is not None and not (_is_number(budget) and 0 < budget <= 1):
            raise ValueError(f"budget= is a share of the time in (0, 1], or None for no limit, got {budget!r}")
        stop_on = (stop_on,) if isinstance(stop_on, str) else tuple(stop_on)
        if stop_on != STOPPING:
            from predictdyn.watch.alarm import KINDS

            if unknown := [kind for kind in stop_on if kind not in KINDS]:
                raise ValueError(f"stop_on= names kinds of alarms; {unknown[0]!r} is none of {', '.join(KINDS)}")
        if model is not None and isinstance(model, str | Path) and not Path(model).is_dir():
            raise ValueError(f"model= takes what fit gave, or its folder; there is no folder {model}")
        if isinstance(alarms, str | Path) and not Path(alarms).is_dir():
            raise ValueError(f"alarms= takes what learn gave, or its folder; there is no folder {alarms}")
        if targets:
            from predictdyn.watch.standing import check_sentences

            check_sentences([targets] if isinstance(targets, str) else list(targets))
        if out is not None and Path(out).is_dir():
            from predictdyn.watch.own_folder import check_own

            check_own(Path(out), shared=True)  # the training's own folder will do
        self._call = {
            "model": model, "targets": targets, "metrics": metrics, "alarms": alarms, "out": out,
            "on_alarm": on_alarm, "seed": seed,
        }  # fmt: skip
        self._logged = LoopLog(run, float(last_step), family or run, dict(settings or {}))
        self._stop_on, self._budget, self._background = stop_on, budget, background
        self._watcher: Watcher | None = None
        self._advice = Advice()
        self._begun, self._spent, self._told = time.monotonic(), 0.0, ""
        self._next, self._looked = FIRST, self._begun  # cost of the next look, as it is known; end of the latest
        self._pace = Pace(float(last_step))
        self._news, self._urgent, self._closed = threading.Event(), threading.Event(), False
        self._thread: threading.Thread | None = None
        self._looking = threading.Lock()

    @property
    def closed(self) -> bool:
        """Whether it has made its last look."""
        return self._closed

    @property
    def advice(self) -> Advice:
        """The latest advice."""
        return self._advice

    def log(self, step: float, metrics: Mapping[str, Any]) -> Advice:
        """Take the numbers of a step, and give the latest advice: in the background it is of an earlier step.

        What is no number is left out.
        """
        try:
            if self._logged.add(step, metrics):
                self._urgent.set()
            self._pace.add(time.monotonic(), float(step))
            self._news.set()
            if not self._background:
                if self._urgent.is_set() or self._wait() <= 0:
                    self._look()
            elif self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="predictdyn monitor", daemon=True)
                self._thread.start()
                atexit.register(self._exit)
        except Exception as error:
            self._fault(error)
        return self._advice

    def close(self, timeout: float = 30.0) -> Advice:
        """One last look at all that was logged, and the end of the thread; waits for it at most ``timeout`` seconds."""
        try:
            if not self._closed:
                self._closed = self._logged.over = True
                self._urgent.set()
                self._news.set()
                atexit.unregister(self._exit)
                if self._thread is not None:
                    self._thread.join(timeout)
                else:
                    self._look()
        except Exception as error:
            self._fault(error)
        return self._advice

    def _exit(self) -> None:
        """The process ends: the last look is for a page or a hook, since nobody is left to take advice."""
        if self._call["out"] is not None or self._call["on_alarm"] is not None:
            self.close()

    def _work(self) -> None:
        """The thread: waits for news and for time within the budget, then looks."""
        while True:
            self._news.wait()
            while (pause := self._wait()) > 0 and not self._urgent.is_set():
                self._urgent.wait(min(pause, ASKED))
            last = self._closed
            self._look()
            if last:
                return

    def _wait(self) -> float:
        """Seconds until another look is within the budget.

        The whole training has earned its share of the time that it is expected to last. What is left of that is spread
        evenly over the rest of it. Where its end is not known, or has passed, looks wait until time has earned them.
        """
        if self._budget is None:
            return 0.0
        now = time.monotonic()
        earned = (self._spent + self._next) / self._budget - (now - self._begun)
        end = self._pace.end()
        if earned <= 0 or end is None or end <= now:
            return earned
        left = self._budget * (end - self._begun) - self._spent
        if not self._spent:
            return 0.0 if self._next <= EARLY * left else earned
        if self._next > left:
            return earned
        return min(earned, self._looked + self._next * (end - self._looked) / left - now)

    def _look(self) -> None:
        """One look; its cost is noted, and so is what it found."""
        with self._looking:
            self._news.clear()
            self._urgent.clear()
            begin = ready = time.thread_time()
            try:
                if self._watcher is None:
                    self._watcher = watcher_of(self._logged, **self._call)
                    ready = time.thread_time()
                self._watcher.look()
                self._advice = _advice(self._watcher, self._stop_on)
            except Exception as error:
                self._fault(error)
            finally:
                self._spent += time.thread_time() - begin
                self._next, self._looked = time.thread_time() - ready, time.monotonic()

    def _fault(self, error: Exception) -> None:
        """A fault of ours, as one line; the same one is not said again."""
        line = " ".join(f"{type(error).__name__}: {error}".split())
        if line != self._told:
            self._told = line
            LOGGER.warning("the monitor left out a look (training is not affected): %s", line)


def _is_number(setting: object) -> bool:
    return isinstance(setting, Real)


class Pace:
    """When a loop will come to its planned end, by the steps that it has logged."""

    def __init__(self, last_step: float) -> None:
        self.last_step = last_step
        self._first: tuple[float, float] | None = None
        self._marks: tuple[tuple[float, float], ...] = ()  # the latest, (seconds, step) each

    def add(self, now: float, step: float) -> None:
        """Note when a step was logged; one that is no further than the latest says nothing of the pace."""
        if self._first is None:
            self._first = now, step
        if not self._marks or step > self._marks[-1][1]:
            self._marks = (*self._marks[1 - MARKS :], (now, step))

    def end(self) -> float | None:
        """The time of the planned end; None before the third step.

        The faster of two paces counts, that of all steps and the median of the latest, so that a slow start (code that
        is compiled) does not promise more time than there is.

        >>> pace = Pace(100)
        >>> for now, step in ((0, 0), (60, 10), (61, 20), (62, 30)):
        ...     pace.add(now, step)
        >>> pace.end()
        69.0
        """
        marks = self._marks
        if self._first is None or len(marks) < 3:
            return None
        paces = sorted((b[0] - a[0]) / (b[1] - a[1]) for a, b in pairwise(marks))
        whole = (marks[-1][0] - self._first[0]) / (marks[-1][1] - self._first[1])
        pace = min(whole, paces[(len(paces) - 1) // 2])
        return marks[-1][0] + pace * max(self.last_step - marks[-1][1], 0.0)


class LoopLog:
    """What a loop has logged so far, in the place of files that are followed (`watch.follow.Follower`)."""

    def __init__(self, run: str, last_step: float, family: str, settings: dict[str, object]) -> None:
        self.run, self.last_step, self.family, self.settings = run, last_step, family, settings
        self.past: frozenset[str] | None = None
        self.closed: frozenset[str] = frozenset()
        self.history: Curves | None = None  # whose metrics are known
        self.over = False  # the loop logs no more
        self._values: dict[str, dict[float, float]] = {}
        self._broken: set[str] = set()  # metrics whose latest number was not finite
        self._lock = threading.Lock()
        self._seen, self._size = 0, 0

    def add(self, step: float, metrics: Mapping[str, Any]) -> bool:
        """Take some numbers; a later one at the same step counts. Whether a metric has stopped being finite."""
        at = float(step)
        if not 0 <= at < math.inf:  # one such step would stay, and spoil every look after it
            raise ValueError(f"a step is a number from 0 on, got {step!r}")
        bad = False
        with self._lock:
            for name, value in metrics.items():
                number = _number(value)
                if number is None:
                    continue
                self._values.setdefault(str(name), {})[at] = number
                self._size += 1
                if math.isfinite(number):
                    self._broken.discard(str(name))
                elif str(name) not in self._broken:  # one that goes on so is news once, and not at each step
                    self._broken.add(str(name))
                    bad = True
        return bad

    def news(self) -> Any:
        """As `Follower.news`."""
        from predictdyn.curves import ENDED
        from predictdyn.watch.follow import News

        with self._lock:
            if self._size == self._seen and not (self.over and not self.closed):
                return None
            size, values = self._size, {name: dict(cells) for name, cells in self._values.items()}
        self.past = frozenset()
        curves = _curves_of(self, values)
        self._pending = size
        if curves is None:
            return None
        last = max(step for cells in values.values() for step in cells)
        own = frozenset([self.run])
        # Near its end a run goes on: what came of it is known at the end, or once nothing more is logged.
        gone = own - self.closed if last >= self.last_step * (ENDED if self.over else 1.0) else frozenset()
        return News(curves, own, gone, {}, 1, (), {self.run: last})

    def accept(self, news: Any) -> None:
        """As `Follower.accept`."""
        self._seen, self.closed = self._pending, self.closed | news.ended


def _number(value: Any) -> float | None:
    """What a loop gave as a number, None where it is none: a text such as "nan" is a name, and no fault of the run."""
    if isinstance(value, str | bytes):
        return None
    try:
        return float(value)
    except Exception:  # each library has its own error for an array of more than one
        return None


def _curves_of(logged: LoopLog, values: Mapping[str, Mapping[float, float]]) -> Curves | None:
    """The numbers as curves: each stretch of numbers that are not finite is an event, as loaders have it."""
    import numpy as np
    import pandas as pd

    from predictdyn.curves import Curves, curves_from, no_curves
    from predictdyn.loaders.engine.facts import fitted_or_guessed, log_metrics

    parts, events, metrics = [], [], {}
    named = log_metrics(sorted(values))
    known = {} if logged.history is None else logged.history.metrics
    for name, cells in values.items():
        step = np.array(sorted(cells))
        value = np.array([cells[at] for at in step])
        bad = ~np.isfinite(value)
        for at in np.flatnonzero(bad & ~np.append(False, bad[:-1])):
            word = "NaN" if np.isnan(value[at]) else "infinite" if value[at] > 0 else "minus infinity"
            events.append((logged.run, step[at], f"{name} is {word}"))
        fine = ~bad
        if fine.any() and name in named:
            parts.append(pd.DataFrame({"run": logged.run, "metric": name, "step": step[fine], "value": value[fine]}))
            low, high = float(value[fine].min()), float(value[fine].max())
            metrics[name] = known.get(name) or fitted_or_guessed(named[name], low, high)[0]
    if not (parts or events):
        return None
    last = max(logged.last_step, *(step for cells in values.values() for step in cells))
    row = {**logged.settings, "family": logged.family, "last_step": last}
    runs = pd.DataFrame([row], index=pd.Index([logged.run], name="run"))
    happened = pd.DataFrame(events, columns=["run", "step", "what"])
    if not parts:  # no number has been finite yet
        return Curves(no_curves().points, runs, {}, happened)
    return curves_from(pd.concat(parts, ignore_index=True), runs, metrics, happened)


def watcher_of(logged: LoopLog, **call: Any) -> Watcher:
    """A watcher of what is logged, with the model and detector of `watch`."""
    from predictdyn.api.watching import watcher_for

    found = watcher_for(logged, **call)
    logged.history = None if found.fitted is None else found.fitted.history
    return found


def _advice(watcher: Watcher, stop_on: tuple[str, ...]) -> Advice:
    """The state of a watcher of one run, as advice."""
    alarms = tuple(rung.alarm for rung in watcher.state.alarms)
    entry = next(iter(watcher.state.runs.values()), None)
    stop = any(alarm.kind in stop_on for alarm in alarms)
    words = "; ".join(f"{alarm.kind}: {alarm.words}" for alarm in alarms)
    if entry is not None and entry["ended"]:
        came = entry["final"]
        ends = {name: (value, value, value) for name, value in came["metrics"].items()}
        return Advice(stop, alarms, entry["step"], ends, dict(came["targets"]), words)
    if entry is None or not entry["track"]:
        return Advice(stop, alarms, math.nan if entry is None else entry["step"], {}, {}, words)
    last = entry["track"][-1]
    forecast = {name: (levels[2], levels[0], levels[4]) for name, levels in last["metrics"].items()}
    return Advice(stop, alarms, entry["step"], forecast, dict(last["targets"]), words)
