"""Curves: the one validated table of logged curves, its runs, its metrics and its events."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from predictdyn.naming import BY_METRICS, meant, some
from predictdyn.secrets import public

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = Literal["capability", "bias", "robustness", "memorization", "loss", "signal", "schedule"]
Better = Literal["higher", "lower", "zero"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OUTCOMES: tuple[Kind, ...] = ("capability", "bias", "robustness", "memorization", "loss")
KEY = ["run", "metric", "step"]
ENDED = 0.98  # a log that reaches this share of its plan tells how the run ended
EVENT_COLUMNS = ["run", "step", "what"]


class Metric(NamedTuple):
    """A logged number: its kind, range, direction and the value of a model that knows nothing.

    ``guessed``: a schedule by its name alone; it may have reacted to the outcomes, so its future counts as unknown.
    ``label`` and ``unit`` are for readers: how a page calls the metric ("test accuracy"), and what it is measured in.
    """

    name: str
    kind: Kind
    lower: float | None = None  # None: unbounded on that side
    upper: float | None = None
    better: Better | None = None
    chance: float | None = None
    guessed: bool = False
    label: str = ""  # blank: the name
    unit: str = ""

    @property
    def known_ahead(self) -> bool:
        """Whether the whole curve was fixed before the run."""
        return self.kind == "schedule" and not self.guessed


class Curve(NamedTuple):
    """One metric of one run as arrays, each (t,); ``stderr`` is NaN where the log does not state it."""

    step: np.ndarray
    value: np.ndarray
    stderr: np.ndarray


def no_events() -> pd.DataFrame:
    """An events table with no rows."""
    return pd.DataFrame(
        {"run": pd.Series(dtype="str"), "step": pd.Series(dtype="float64"), "what": pd.Series(dtype="str")}
    )


@dataclass(frozen=True, repr=False)
class Curves:
    """Logged curves: ``points`` (run, metric, step, value, stderr [, seen]), ``runs``, ``metrics``, ``events``.

    Points are sorted by run, metric and step, unique and finite. ``runs`` has the run as index and the columns
    ``family`` and ``last_step`` (planned), then covariates known before the run. ``notes`` are lines on how they were
    read: what was merged, dropped or assumed. Build one with `from_frame`, or with `curves_from`, which checks all of
    this; the constructor itself trusts its caller, so that cutting is cheap.
    """

    points: pd.DataFrame
    runs: pd.DataFrame
    metrics: Mapping[str, Metric]
    events: pd.DataFrame = field(default_factory=no_events)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        runs: pd.DataFrame | Mapping[str, Any] | None = None,
        metrics: pd.DataFrame | Mapping[str, Any] | Sequence[str] | None = None,
        *,
        run: str | None = None,
        step: str | None = None,
        metric: str | None = None,
        value: str | None = None,
        family: Any = None,
        last_step: Any = None,
    ) -> Curves:
        """Curves of a table of your own: one row a value (long), or one row a step and one column a metric (wide).

        ``run``, ``step``, and for a long table ``metric`` and ``value`` name its columns; by themselves they are found
        by usual names. ``runs`` says what was known before: ``last_step`` (the planned end), ``family`` (near-copies,
        such as seeds) and settings; a table with the column or index run, ``{"last_step": 1000, "lr": {"a": 0.1}}`` by
        column, or ``{"a": {"last_step": 1000}}`` by run. ``last_step`` and ``family`` may be keywords: one value, a
        dictionary by run, or a column; ``family`` also a pattern, as ``"{family}-s*"`` or a regular expression with one
        group. Columns that never change within a run count as settings, and a UserWarning says so. Without
        ``last_step`` a run counts as finished at its longest step, and a UserWarning says so; without ``family`` every
        run is its own. ``metrics`` says what metrics are:
        ``{"val_acc": "capability"}``, `Metric` values, a table (metric, kind, lower, upper, better, chance), or the
        names to take; what it does not say is known by their names, as in logs. Cells that are blank were not logged,
        unless a metric is blank to the end of a run in rows that always had it: then it is NaN. NaN and infinity become
        events; a run that goes on with them is planned to go on to its last row at least. Raises ValueError, one line
        that names the keyword.

        >>> frame = pd.DataFrame({"run": ["a", "a", "b"], "step": [1, 2, 1], "val_acc": [0.2, 0.6, 0.3]})
        >>> curves = Curves.from_frame(frame, runs={"last_step": 2, "family": "first"})
        >>> curves
        Curves: 2 runs, 1 metrics (capability), 3 points
        >>> curves.runs["last_step"].tolist(), curves.metrics["val_acc"].upper
        ([2, 2], 1)
        """
        from predictdyn.api.frames import from_frame

        return from_frame(
            frame, runs, metrics, run=run, step=step, metric=metric, value=value, family=family, last_step=last_step
        )

    def plot(self, metric: str, runs: str | Sequence[str] | None = None, *, ax: Axes | None = None) -> Axes:
        """Draw a metric of all runs, or of those that match globs: finished ones thin, others strong. Returns Axes."""
        from predictdyn.api.plots import plot_curves

        return plot_curves(self, metric, runs, ax=ax)

    def summary(self, points: int | None = None) -> str:
        """Runs, metrics with their kinds, and points (as many as said, else those of the table), as one line."""
        kinds = ", ".join(sorted({metric.kind for metric in self.metrics.values()}))
        metrics = self.points["metric"].nunique()
        points = len(self.points) if points is None else points
        return f"{len(self.runs)} runs, {metrics} metrics ({kinds}), {points} points"

    def __repr__(self) -> str:
        return f"Curves: {self.summary()}"

    def _repr_html_(self) -> str:
        from predictdyn.api.show import html_of_curves

        return html_of_curves(self)

    @cached_property
    def series(self) -> dict[tuple[str, str], Curve]:
        """Every (run, metric) that has points, as a `Curve` of arrays."""
        if self.points.empty:
            return {}
        starts = self._starts
        columns = [self.points[name].to_numpy(dtype=float) for name in ("step", "value", "stderr")]
        ends = np.r_[starts[1:], len(self.points)].tolist()
        keys = zip(*(self.points[name].iloc[starts].tolist() for name in ("run", "metric")), strict=True)
        pieces = zip(keys, starts.tolist(), ends, strict=True)
        return {key: Curve(*(column[a:b] for column in columns)) for key, a, b in pieces}

    @cached_property
    def _starts(self) -> np.ndarray:
        """The rows of points (c,) at which a curve begins."""
        return starts(self.points, ["run", "metric"])

    def _of_points(self, column: str, of_name: Callable[[pd.Series], pd.Series]) -> np.ndarray:
        """For each point (n,) what a function says of its run or metric: it is asked once a curve."""
        count = np.diff(np.r_[self._starts, len(self.points)])
        return np.repeat(of_name(self.points[column].iloc[self._starts]).to_numpy(), count)

    def select(
        self,
        *,
        runs: pd.Index | str | list[str] | set[str] | None = None,
        metrics: str | list[str] | set[str] | tuple[str, ...] | None = None,
    ) -> Curves:
        """The curves of some runs, of some metrics, or both; runs without points and their events stay where runs do.

        Names are whole names, and no globs. Raises ValueError for one that no run, or no metric, has.

        >>> points = pd.DataFrame({"run": ["a", "b"], "metric": "loss", "step": 1, "value": [2.0, 1.0]})
        >>> curves_from(points).select(runs=["a"]).runs.index.tolist()
        ['a']
        """
        points, table, known, events = self.points, self.runs, self.metrics, self.events
        keep = np.ones(len(points), dtype=bool)
        if runs is not None:
            names = _named(runs, table.index, "runs")
            keep &= self._of_points("run", lambda run: run.isin(names))
            table, events = table[table.index.isin(names)], events[events["run"].isin(names)]
        if metrics is not None:
            chosen = _named(metrics, known, "metrics")
            keep &= self._of_points("metric", lambda metric: metric.isin(chosen))
            known = {name: metric for name, metric in known.items() if name in chosen}
        return Curves(points[keep], table, known, events, self.notes)

    def where(self, visible: np.ndarray) -> Curves:
        """The points for which ``visible`` is true, and all of schedules known ahead: a plan is not the future."""
        planned = [name for name, metric in self.metrics.items() if metric.known_ahead]
        keep = visible | self._of_points("metric", lambda metric: metric.isin(planned)) if planned else visible
        return Curves(self.points[keep], self.runs, self.metrics, self.events, self.notes)

    def limit(self, progress: float) -> pd.Series:
        """The last step of each run that is seen once it has done ``progress`` of its plan."""
        # One part in a billion of slack: 0.1 * 30 must still see step 3.
        return self.runs["last_step"].astype(float) * progress * (1 + 1e-9)

    def truncate(self, progress: float) -> Curves:
        """What is visible once each run has done ``progress`` of its planned steps (the cutoff itself is seen).

        Later points and later events are gone; schedules that are known ahead are kept whole.
        """
        limit = self.limit(progress)
        visible = self.points["step"].to_numpy() <= self._of_points("run", lambda run: run.map(limit).astype(float))
        cut = self.where(visible)
        past = self.events["step"].to_numpy(dtype=float) <= self.events["run"].map(limit).to_numpy(dtype=float)
        return Curves(cut.points, cut.runs, cut.metrics, self.events[past], self.notes)


def no_curves() -> Curves:
    """Curves of no runs: the history of who has none."""
    points = pd.DataFrame({"run": [], "metric": [], "step": [], "value": [], "stderr": []}).astype(
        {"run": "str", "metric": "str"}
    )
    runs = pd.DataFrame({"family": [], "last_step": []}, index=pd.Index([], name="run", dtype="str"))
    return Curves(points, runs.astype({"family": "str"}), {})


def ended(curves: Curves) -> pd.Index:
    """Runs whose log reaches their planned end."""
    last = curves.points.groupby("run")["step"].max()
    done = last.reindex(curves.runs.index) >= ENDED * curves.runs["last_step"]
    return curves.runs.index[done]


def curves_from(
    points: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    metrics: Mapping[str, Metric] | None = None,
    events: pd.DataFrame | None = None,
) -> Curves:
    """Check and order four tables into `Curves`.

    points has run, metric, step, value and optionally stderr, seen; runs has the index (or column) run and optionally
    family, last_step and covariates (without a table every run is its own family and ends at its largest step); a
    metric that ``metrics`` does not name is of kind ``signal``. Secrets among the covariates are left out, with a
    UserWarning. Raises ValueError: what was expected, what was found, where first, what is allowed.

    >>> points = pd.DataFrame({"run": "a", "metric": "loss", "step": [1, 2], "value": [2.0, 1.5]})
    >>> curves_from(points).runs["last_step"].tolist()
    [2]
    """
    runs, events, lines = public(runs, events)
    for line in lines:
        warnings.warn(line, UserWarning, stacklevel=2)
    table = _checked_points(points)
    known = dict(metrics or {})
    names = pd.unique(table["metric"])
    complete = known | {name: Metric(name, "signal") for name in names if name not in known}
    _check_metrics(complete)
    _check_ranges(table, complete)
    return Curves(table, _checked_runs(table, runs), complete, _checked_events(table, events))


def _named(asked: str | Iterable[str], known: Collection[str], keyword: str) -> set[str]:
    """The names that were asked for, one or several, all of them known."""
    names = {asked} if isinstance(asked, str) else set(asked)
    strange = sorted(str(name) for name in names if name not in known)
    if strange:
        raise ValueError(
            f"select: {keyword}= names {some(strange)}, which is not there; {meant(strange[0], map(str, known))}"
            f"there are {some(list(known), 12) or 'none'}"
        )
    return names


def _first(bad: np.ndarray, points: pd.DataFrame) -> str:
    """Words for where a fault is first: the row and its key."""
    row = int(np.flatnonzero(bad)[0])
    # As Python's own numbers, which show no type of numpy.
    key = ", ".join(f"{name} {points[name].iloc[row : row + 1].tolist()[0]!r}" for name in KEY if name in points)
    return f"first in row {row + 1} ({key})"


def _number(points: pd.DataFrame, name: str) -> np.ndarray:
    column = points[name]
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=float)
    number = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
    text = np.isnan(number) & column.notna().to_numpy() & ~column.astype("str").str.lower().eq("nan").to_numpy()
    if text.any():
        raise ValueError(
            f"points: {name} must be numbers, found {column.iloc[int(np.flatnonzero(text)[0])]!r}, "
            f"{_first(text, points)}"
        )
    return number


def _checked_points(points: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in [*KEY, "value"] if name not in points]
    if missing:
        raise ValueError(
            f"points: missing column(s) {', '.join(missing)}; found {', '.join(map(str, points.columns)) or 'none'}; "
            "needed are run, metric, step, value (stderr and seen are optional)"
        )
    if points.empty:
        raise ValueError("points: the table has no rows")
    points = points.reset_index(drop=True)
    for name in ("run", "metric"):
        blank = points[name].isna().to_numpy()
        if blank.any():
            raise ValueError(f"points: {name} is blank, {_first(blank, points)}")
    step, value = _number(points, "step"), _number(points, "value")
    for name, column in (("step", step), ("value", value)):
        bad = ~np.isfinite(column)
        if bad.any():
            raise ValueError(
                f"points: {name} must be finite, found {column[bad][0]}, {_first(bad, points)}; "
                "drop the row, and note a diverged run in events (run, step, what)"
            )
    if (step < 0).any():
        raise ValueError(f"points: step must not be negative, found {step[step < 0][0]:g}, {_first(step < 0, points)}")
    table = pd.DataFrame(
        {
            "run": points["run"].astype("str"),
            "metric": points["metric"].astype("str"),
            "step": step.astype("int64") if (step == np.floor(step)).all() and step.max() < 2**62 else step,
            "value": value,
            "stderr": _checked_stderr(points),
        }
    )
    if "seen" in points:
        table["seen"] = _checked_seen(points)
    # By codes: millions of names are slow to compare, and most tables are in order already.
    run, metric = _ranks(table["run"]), _ranks(table["metric"])
    last = _follows(run, metric, step)
    order = None if (last >= 0).all() else np.lexsort((step, metric, run))
    if order is not None:
        last = _follows(run[order], metric[order], step[order])
    if (last == 0).any():
        double = table.duplicated(KEY).to_numpy()
        raise ValueError(
            f"points: run, metric, step must be unique, found {int(double.sum())} repeated row(s), "
            f"{_first(double, table)}; "
            "a resumed run whose steps go back must be merged first (keep the later value)"
        )
    return table if order is None else table.iloc[order].reset_index(drop=True)


def starts(points: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """The rows (c,) at which any of some columns has another value than in the row before; the first is one.

    >>> starts(pd.DataFrame({"run": ["a", "a", "b"]}), ["run"]).tolist()
    [0, 2]
    """
    new = np.ones(len(points), dtype=bool)
    for i, column in enumerate(columns):
        cells = points[column].array
        other = np.asarray(cells[1:] != cells[:-1], dtype=bool)
        new[1:] = new[1:] | other if i else other
    return np.flatnonzero(new)


def _ranks(names: pd.Series) -> np.ndarray:
    """The place of each name (n,) among all different ones in order."""
    code, known = pd.factorize(names)
    rank = np.empty(len(known), dtype=np.int64)
    rank[np.argsort(np.asarray(known, dtype=object), kind="stable")] = np.arange(len(known))
    return rank[code]


def _follows(*keys: np.ndarray) -> np.ndarray:
    """Whether each row comes after (1), equals (0) or comes before (-1) the one before it, by keys (n,): (n - 1,)."""
    found = np.zeros(len(keys[0]) - 1, dtype=np.int8)
    for key in reversed(keys):
        found = np.where(key[1:] == key[:-1], found, np.where(key[1:] > key[:-1], np.int8(1), np.int8(-1)))
    return found


def _checked_stderr(points: pd.DataFrame) -> np.ndarray:
    if "stderr" not in points:
        return np.full(len(points), np.nan)
    stderr = _number(points, "stderr")
    bad = np.isinf(stderr) | (stderr < 0)
    if bad.any():
        raise ValueError(
            f"points: stderr must be a finite number >= 0 or blank, found {stderr[bad][0]}, {_first(bad, points)}"
        )
    return stderr


def _checked_seen(points: pd.DataFrame) -> np.ndarray:
    column = points["seen"]
    number = column.astype(float).to_numpy() if column.dtype == bool else _number(points, "seen")
    bad = ~np.isin(number, (0.0, 1.0))
    if bad.any():
        raise ValueError(f"points: seen must be 0 or 1, found {number[bad][0]}, {_first(bad, points)}")
    return number.astype(bool)


def _checked_runs(points: pd.DataFrame, runs: pd.DataFrame | None) -> pd.DataFrame:
    largest = points.groupby("run")["step"].max()
    if runs is None:
        return pd.DataFrame({"family": largest.index.astype("str"), "last_step": largest}, index=largest.index)
    if "run" in runs.columns:
        runs = runs.set_index("run")
    runs = runs.rename_axis("run")
    runs.index = runs.index.astype("str")
    double = runs.index[runs.index.duplicated()]
    if len(double):
        raise ValueError(f"runs: run must be unique, found {double[0]!r} more than once")
    unknown = largest.index.difference(runs.index)
    if len(unknown):
        raise ValueError(f"runs: no row for {len(unknown)} run(s) of points, first {unknown[0]!r}")
    runs = runs.loc[runs.index.intersection(largest.index)].copy()
    largest = largest.reindex(runs.index)
    if "family" not in runs:
        runs["family"] = runs.index
    runs["family"] = runs["family"].astype("str").where(runs["family"].notna(), runs.index.to_series())
    planned = pd.to_numeric(runs["last_step"], errors="coerce") if "last_step" in runs else largest
    wrong = ~(planned.fillna(largest) > 0) | (planned == np.inf)
    if wrong.any():
        raise ValueError(f"runs: last_step must be a number > 0, first wrong for run {runs.index[wrong][0]!r}")
    runs["last_step"] = planned.fillna(largest).astype(
        points["step"].dtype if (planned.dropna() % 1 == 0).all() else float
    )
    over = largest.to_numpy() > runs["last_step"].to_numpy()
    if over.any():
        run = runs.index[over][0]
        raise ValueError(
            f"runs: last_step is the planned end, but run {run!r} has a point at step {largest[run]} "
            f"after its last_step {runs.loc[run, 'last_step']}"
        )
    # A covariate that is blank for every run says nothing, and has no type to keep.
    rest = [name for name in runs.columns if name not in ("family", "last_step") and runs[name].notna().any()]
    return runs[["family", "last_step", *rest]].sort_index()


def _check_metrics(metrics: Mapping[str, Metric]) -> None:
    for metric in metrics.values():
        if metric.kind not in KINDS:
            raise ValueError(f"metrics: {metric.name!r} has kind {metric.kind!r}; allowed are {', '.join(KINDS)}")
        if metric.better not in (None, *get_args(Better)):
            raise ValueError(
                f"metrics: {metric.name!r} has better {metric.better!r}; "
                f"allowed are {', '.join(get_args(Better))} or blank"
            )
        if metric.lower is not None and metric.upper is not None and not metric.lower < metric.upper:
            raise ValueError(f"metrics: {metric.name!r} has lower {metric.lower} not below upper {metric.upper}")


def bounds(names: pd.Series, metrics: Mapping[str, Metric]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bound of the metric of each point (n,), NaN where there is none.

    >>> bounds(pd.Series(["acc", "acc"]), {"acc": Metric("acc", "capability", 0.0, 1.0)})[1].tolist()
    [1.0, 1.0]
    """
    # By codes: millions of names are slow to look up one by one.
    code, known = pd.factorize(names)
    some = [metrics.get(name, Metric(name, "signal")) for name in known]
    found = np.array([(one.lower, one.upper) for one in some] or np.zeros((0, 2)), dtype=float)
    return found[code, 0], found[code, 1]


def _check_ranges(points: pd.DataFrame, metrics: Mapping[str, Metric]) -> None:
    lower, upper = bounds(points["metric"], metrics)
    value = points["value"].to_numpy()
    # Averages of floats miss a bound by rounding alone: one part in a million of the bound is forgiven.
    outside = (value < lower - 1e-6 * np.maximum(1, np.abs(lower))) | (
        value > upper + 1e-6 * np.maximum(1, np.abs(upper))
    )
    if outside.any():
        metric = metrics[points["metric"].iloc[int(np.flatnonzero(outside)[0])]]
        raise ValueError(
            f"points: value of {metric.name!r} must lie between {metric.lower} and {metric.upper}, "
            f"found {value[outside][0]:g}, {_first(outside, points)}; "
            f"mend the data, or the range {BY_METRICS}"
        )


def _checked_events(points: pd.DataFrame, events: pd.DataFrame | None) -> pd.DataFrame:
    if events is None or events.empty:
        return no_events()
    missing = [name for name in EVENT_COLUMNS if name not in events]
    if missing:
        raise ValueError(f"events: missing column(s) {', '.join(missing)}; needed are run, step, what")
    step = _number(events, "step")
    if not np.isfinite(step).all():
        raise ValueError(f"events: step must be finite, {_first(~np.isfinite(step), events)}")
    unknown = ~events["run"].astype("str").isin(points["run"].unique()).to_numpy()
    if unknown.any():
        raise ValueError(f"events: run has no points, {_first(unknown, events)}")
    table = events.assign(run=events["run"].astype("str"), step=step, what=events["what"].astype("str"))
    return table.sort_values(["run", "step"], ignore_index=True)
