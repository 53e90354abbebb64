"""Problem: all that a model may look at, and what is asked of it; tables become arrays here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from predictdyn.curves import Curve, Curves
from predictdyn.scales import Scale, scale_for

SLACK = 1.02  # how far beyond its last point a curve speaks
NOTHING = np.zeros(0)
Answer = TypeVar("Answer")


class LatentCurve(NamedTuple):
    """One curve, ready to model. Arrays (t,): progress of the planned run, latent value, latent standard error."""

    run: str
    family: str
    progress: np.ndarray
    latent: np.ndarray
    stderr: np.ndarray

    def truncate(self, progress: float) -> LatentCurve:
        """The points up to and including a progress of the run."""
        n = int(np.searchsorted(self.progress, progress * (1 + 1e-9), side="right"))
        return self._replace(progress=self.progress[:n], latent=self.latent[:n], stderr=self.stderr[:n])

    def at(self, progress: np.ndarray) -> np.ndarray:
        """Latent values at progress (m,), linear in `log_progress` between points, constant outside: (m,)."""
        asked = np.asarray(progress, dtype=float)
        if not len(self.progress) or not asked.size:
            return np.full(asked.shape, np.nan)
        # Only the points around what is asked, since a curve may have thousands.
        ends = (asked.item(),) * 2 if asked.size == 1 else (asked.min(), asked.max())
        first, last = map(self.progress.searchsorted, ends)
        near = slice(max(int(first) - 2, 0), int(last) + 2)
        return np.interp(log_progress(asked), log_progress(self.progress[near]), self.latent[near])

    def reaches(self, progress: np.ndarray | float) -> np.ndarray:
        """Whether the curve was logged as far as a progress, a number or (m,); one that ends less than 2 % before was.

        >>> curve = LatentCurve("a", "a", np.array([0.1, 0.99]), np.zeros(2), np.zeros(2))
        >>> curve.reaches(np.array([0.5, 1.0, 1.1])).tolist()
        [True, True, False]
        """
        return np.asarray(progress <= self.reaches_to)

    @property
    def reaches_to(self) -> float:
        """The progress that it is taken to have been logged to, -1 where nothing was."""
        # A tie is one whatever the rounding.
        return float(self.progress[-1]) * SLACK + 1e-12 if len(self.progress) else -1.0


class Query(NamedTuple):
    """The targets of one run: rows of the target table and the progress of the run they lie at, each (m,)."""

    run: str
    rows: np.ndarray
    progress: np.ndarray


class Panel(NamedTuple):
    """One metric: the finished curves to learn from, what is observed of the runs in question, and what is asked."""

    metric: str
    scale: Scale
    chance: float | None  # on the latent scale
    context: dict[str, LatentCurve]
    observed: dict[str, LatentCurve]  # of every run in question; empty arrays where nothing was seen
    queries: list[Query]


def log_progress(progress: np.ndarray) -> np.ndarray:
    """A time axis between linear and logarithmic, 0 at the start and 1 at the planned end: ln(1 + 1000 x)/ln 1001.

    Training changes by orders of magnitude of steps, but step 0 has no logarithm.

    >>> log_progress(np.array([0.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    return np.log1p(1000.0 * np.asarray(progress, dtype=float)) / np.log(1001.0)


def progress_at(log_progress: np.ndarray) -> np.ndarray:
    """The progress of the run at a number of `log_progress`.

    >>> progress_at(np.array([0.0, 1.0])).round(9).tolist()
    [0.0, 1.0]
    """
    return np.expm1(np.asarray(log_progress, dtype=float) * np.log(1001.0)) / 1000.0


class History:
    """The runs to learn from, and what has been computed of them so far: one for all models, folds and questions.

    `once` keeps what is quick to compute again; `learnt` keeps arrays that are saved with a fitted model. Both must
    follow from the history and the key alone, so that no answer depends on what was asked before. In a replay ``whole``
    is the history with the runs that are replayed: what is learnt of all runs together and hardly of any one of them
    may be taken from there.
    """

    def __init__(
        self, curves: Curves, learnt: Mapping[str, dict[str, np.ndarray]] | None = None, whole: History | None = None
    ) -> None:
        self.curves = curves
        self.whole = whole
        self.learnt: dict[str, dict[str, np.ndarray]] = dict(learnt or {})
        self._computed: dict[Hashable, Any] = {}

    def __repr__(self) -> str:
        return f"History({len(self.curves.runs)} runs, {len(self.curves.points)} points)"

    def once(self, key: Hashable, make: Callable[[], Answer]) -> Answer:
        """What ``make`` gives, computed the first time the key is met."""
        if key not in self._computed:
            self._computed[key] = make()
        answer: Answer = self._computed[key]
        return answer

    def learn(self, key: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Arrays by name, learnt the first time the key is met, and saved with a fitted model."""
        if key not in self.learnt:
            self.learnt[key] = make()
        return self.learnt[key]

    @cached_property
    def by_metric(self) -> dict[str, dict[str, Curve]]:
        """The curves of each metric, by run."""
        return _by_metric(self.curves)

    @cached_property
    def plan(self) -> dict[str, tuple[str, float]]:
        """Family and planned end of each run."""
        return _plan(self.curves)

    def latent(self, metric: str, scale: Scale) -> dict[str, LatentCurve]:
        """All curves of a metric on a latent scale, by run."""
        return self.once(("latent", metric, scale.floor, scale.unit), lambda: self._latent(metric, scale))

    def _latent(self, metric: str, scale: Scale) -> dict[str, LatentCurve]:
        if self.whole is not None:
            every = self.whole.latent(metric, scale)
            return {run: every[run] for run in self.by_metric.get(metric, {})}
        return _on_scale(self.by_metric.get(metric, {}), self.plan, scale)

    def without(self, runs: Collection[str]) -> History:
        """The history that a replay of some of its runs may learn from: all others."""
        return History(self.curves.select(runs=self.curves.runs.index.difference(list(runs))), whole=self)


@dataclass(frozen=True)
class Problem:
    """Everything a model may look at, and what is asked: ``target`` has the columns run, metric, step (n rows).

    ``fit_seed`` is for what is learnt from the history, ``seed`` for draws.
    """

    history: History
    observed: Curves
    target: pd.DataFrame
    seed: int
    fit_seed: int = 0
    larger: Problem | None = field(default=None, repr=False)  # of which this has some rows

    def rows(self, which: np.ndarray) -> Problem:
        """The same problem for some rows of its target, by place; what was computed of the curves is shared."""
        if len(which) == len(self.target):
            return self
        return replace(self, target=self.target.iloc[which].reset_index(drop=True), larger=self)

    @property
    def root(self) -> Problem:
        """The problem of which this has some rows: what does not depend on the target is kept there."""
        return self if self.larger is None else self.larger.root

    @property
    def whole(self) -> History | None:
        """In a replay of finished runs, the history with them (`History.whole`); else None."""
        return self.history.whole

    def seeded(self, seed: int, fit_seed: int) -> Problem:
        """The same problem with other random numbers; what was computed of it is shared."""
        other = replace(self, seed=seed, fit_seed=fit_seed)
        self._computed, self._panels  # noqa: B018 - made now, so that both have the same
        other.__dict__.update({name: value for name, value in self.__dict__.items() if name in _SHARED})
        return other

    @cached_property
    def panels(self) -> list[Panel]:
        """One panel per metric that is asked for, in the order of first mention.

        Scales come from visible values only. Raises ValueError for a run or a metric that neither table knows.
        """
        for run in pd.unique(self.target["run"]):
            if run not in self.observed.runs.index:
                raise ValueError(f"target asks for run {run!r}, which has no row in the seen runs")
        return [self.panel(name) for name in pd.unique(self.target["metric"])]

    def panel(self, name: str) -> Panel:
        """The panel of a metric, whether it is asked for or not."""
        if name not in self._panels:
            if self.larger is None:
                self._panels[name] = self._panel(name)
            else:
                self._panels[name] = self.larger.panel(name)._replace(queries=self._queries(name))
        return self._panels[name]

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """All metrics of both tables, by name."""
        return {**self.history.curves.metrics, **self.observed.metrics}

    @cached_property
    def scales(self) -> dict[str, Scale]:
        """The latent scale of every metric."""
        return {name: self.panel(name).scale for name in self.metrics} if self.larger is None else self.larger.scales

    @cached_property
    def scales_key(self) -> tuple[tuple[float, float], ...]:
        """What latent values of all metrics depend on."""
        return tuple((scale.floor, scale.unit) for scale in self.scales.values())

    def once(self, key: Hashable, make: Callable[[], Answer]) -> Answer:
        """What ``make`` gives, computed once for all members; it must not depend on a seed."""
        if key not in self._computed:
            self._computed[key] = make()
        answer: Answer = self._computed[key]
        return answer

    @cached_property
    def _computed(self) -> dict[Hashable, Any]:
        return {}

    @cached_property
    def progress(self) -> np.ndarray:
        """The progress of its run that each row of the target lies at, (n,)."""
        end = self.target["run"].map(self.observed.runs["last_step"].astype(float))
        return self.target["step"].to_numpy(dtype=float) / end.to_numpy(dtype=float)

    @cached_property
    def _panels(self) -> dict[str, Panel]:
        return {}

    @cached_property
    def _observed(self) -> tuple[dict[str, dict[str, Curve]], dict[str, tuple[str, float]]]:
        return _by_metric(self.observed), _plan(self.observed)

    @cached_property
    def _rows(self) -> dict[str, dict[str, np.ndarray]]:
        """Rows of the target by metric and run."""
        rows: dict[str, dict[str, list[int]]] = {}
        for row, (run, name) in enumerate(zip(self.target["run"], self.target["metric"], strict=True)):
            rows.setdefault(name, {}).setdefault(run, []).append(row)
        return {name: {run: np.array(some) for run, some in of.items()} for name, of in rows.items()}

    def _panel(self, name: str) -> Panel:
        if name not in self.metrics:
            raise ValueError(f"target asks for metric {name!r}; known are {', '.join(sorted(self.metrics)[:20])}")
        curves, plan = self._observed
        past, begun = self.history.by_metric.get(name, {}), curves.get(name, {})
        metric = self.metrics[name]
        # In a replay all runs are known, so that one scale serves all of them.
        known = past if self.whole is None else self.whole.by_metric.get(name, {})
        values = [curve.value for curve in (*known.values(), *begun.values())]
        scale = scale_for(metric, np.concatenate([NOTHING, *values]))
        context = self.history.latent(name, scale)
        blank = {run: LatentCurve(run, family, NOTHING, NOTHING, NOTHING) for run, (family, _) in plan.items()}
        observed = blank | _on_scale(begun, plan, scale)
        chance = None if metric.chance is None else float(scale.latent(np.array(metric.chance)))
        scale = scale.below([line.latent for line in (*context.values(), *observed.values())])
        return Panel(name, scale, chance, context, observed, self._queries(name))

    def _queries(self, name: str) -> list[Query]:
        return [Query(run, rows, self.progress[rows]) for run, rows in self._rows.get(name, {}).items()]


# What of a problem does not depend on its seeds.
_SHARED = ("panels", "metrics", "scales", "scales_key", "progress", "_computed", "_panels", "_observed", "_rows")


def _by_metric(curves: Curves) -> dict[str, dict[str, Curve]]:
    grouped: dict[str, dict[str, Curve]] = {}
    for (run, metric), curve in curves.series.items():
        grouped.setdefault(metric, {})[run] = curve
    return grouped


def _plan(curves: Curves) -> dict[str, tuple[str, float]]:
    runs = curves.runs
    return dict(zip(runs.index, zip(runs["family"], runs["last_step"].astype(float), strict=True), strict=True))


def _on_scale(
    curves: Mapping[str, Curve], plan: Mapping[str, tuple[str, float]], scale: Scale
) -> dict[str, LatentCurve]:
    """Curves of one metric on its latent scale, all in one go."""
    if not curves:
        return {}
    value, stderr = (np.concatenate([getattr(one, name) for one in curves.values()]) for name in ("value", "stderr"))
    ends = np.cumsum([len(one.step) for one in curves.values()])[:-1]
    parts = zip(np.split(scale.latent(value), ends), np.split(scale.latent_stderr(value, stderr), ends), strict=True)
    return {
        run: LatentCurve(run, plan[run][0], one.step / plan[run][1], *part)
        for (run, one), part in zip(curves.items(), parts, strict=True)
    }
