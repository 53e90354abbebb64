"""Cooldowns: when a run at a constant rate should begin to cool, so that it reaches a target with the fewest steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from predictdyn.api.reading import prepared, tell
from predictdyn.api.schedules import KnownRuns, known_runs, loss_named
from predictdyn.api.show import html_table
from predictdyn.backtest.folder import digest
from predictdyn.curves import Curve, Curves
from predictdyn.fitting.schedule_design import SHARES, end_draws
from predictdyn.fitting.schedule_laws import RateCurve
from predictdyn.fitting.schedule_mixture import LossCurve, ScheduleFit, fit_schedules
from predictdyn.fitting.schedule_runs import begun, said, warned
from predictdyn.forecasters._rates import rates_of
from predictdyn.forecasters.schedule_law import model_of
from predictdyn.naming import meant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STOPS = 24
LONGER = 4.0  # times the steps so far: how far a run may go on where nothing says
FALLEN = 0.98  # of its peak: a rate below is no constant one


@dataclass(frozen=True, repr=False)
class DesignedCooldown:
    """When to begin a cooldown, so that a run reaches its target with the fewest steps.

    ``table`` has a row a stopping step; see `summary`. ``stops`` are draws of the fewest steps that reach the target,
    and ``stops_without`` the same without a cooldown; infinite where ``most_steps`` are too few.
    """

    run: str
    metric: str
    target: float
    now: float
    most_steps: float
    probability: float
    table: pd.DataFrame
    stops: np.ndarray
    stops_without: np.ndarray
    runs: tuple[str, ...]
    notes: tuple[str, ...]
    call: str
    source: str
    seed: int

    @property
    def stop(self) -> float:
        """The last step of the run: the target is reached by then with the probability that was asked for."""
        return _quantile(self.stops, self.probability)

    @property
    def start(self) -> float:
        """The step at which the rate begins to fall in a straight line."""
        if not np.isfinite(self.stop):
            return np.nan
        nearest = self.table.iloc[int(np.argmin(np.abs(np.log(self.table["stop"] / self.stop))))]
        return max(self.now, self.stop * (1.0 - float(nearest["share"])))

    def summary(self) -> pd.DataFrame:
        """One row a stopping step: stop, start and share of its best cooldown, and the loss there.

        loss, ``5 %``, ``95 %`` are of this run; reached is the probability of the target; without is the loss if the
        rate stays. A share of zero means no cooldown.
        """
        return self.table.copy()

    def fewest(self) -> pd.DataFrame:
        """The fewest steps that reach the target, with and without a cooldown: median, 90 % interval, probability."""
        rows = []
        for name, stops in (("cooldown", self.stops), ("constant", self.stops_without)):
            quantiles = [_quantile(stops, level) for level in (0.5, 0.05, 0.95)]
            rows.append((name, *quantiles, float(np.isfinite(stops).mean())))
        return pd.DataFrame(rows, columns=["schedule", "steps", "5 %", "95 %", "reached"])

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """The loss over the stopping step, with and without a cooldown, and the target."""
        from predictdyn.api.plots import axes_or_new
        from predictdyn.report.figures import schedules

        return schedules.paint_cooldown(axes_or_new(ax), self.table, self.target, self.metric)

    def save(self, folder: Path | str) -> Path:
        """Write cooldown.csv, fewest.csv, a figure and provenance.json into a new folder; returns the folder.

        Raises ValueError where the folder is not new.
        """
        return self.write(Path(folder), f"{self.call}.save('folder')", self.source)

    def write(self, folder: Path, command: str, data: Path | str) -> Path:
        """The same, with the command that is to be told, and the path of the data or their hash."""
        from predictdyn.api.schedule_files import write

        return write(
            folder, made="cooldown", tables={"cooldown": self.table, "fewest": self.fewest()},
            figures={"cooldown": self.plot},
            plan={"metric": self.metric, "target": self.target, "run": self.run, "runs": list(self.runs)},
            command=command, notes=self.notes, seed=self.seed, data=data,
        )  # fmt: skip

    @property
    def said(self) -> str:
        """The answer in one line."""
        least = float(self.table["loss"].min())
        if not np.isfinite(self.stop):
            return (
                f"{self.metric} {self.target:g} is not reached within {self.most_steps:g} steps with a probability of "
                f"{self.probability:g}: the lowest median there is {least:.4g}"
            )
        low, high = (_quantile(self.stops, level) for level in (0.05, 0.95))
        way = f"begin to cool at step {self.start:.0f} and stop" if self.start < self.stop else "stop without cooldown"
        return (
            f"{way} at step {self.stop:.0f}: {self.metric} {self.target:g} is reached with a probability of "
            f"{self.probability:g}; it needs {low:.0f} to {high:.0f} steps (90 %)"
        )

    def __repr__(self) -> str:
        return f"DesignedCooldown of {self.run}, at step {self.now:g}: {self.said}"

    def _repr_html_(self) -> str:
        return html_table(self.table, repr(self))


def cooldown(
    curves: Curves,
    run: str,
    metric: str | None = None,
    *,
    target: float,
    most_steps: float | None = None,
    probability: float = 0.5,
    least: float = 0.0,
    seed: int = 0,
) -> DesignedCooldown:
    """When a run at a constant rate should begin to cool, so that it reaches a target loss with the fewest steps.

    The rate falls in a straight line to ``least``. What is seen of the run counts, and finished runs of the same model
    with known schedules, of which one at least should have cooled. The run may have up to ``most_steps``, by default
    four times the steps so far. The answer reaches the target with ``probability``. Raises ValueError, one line, for a
    run whose rate is not known or falls already, and for a target that it has reached: its last value is no higher.
    """
    curves = prepared(curves)
    metric = loss_named(curves, metric)
    if run not in curves.runs.index:
        raise ValueError(f"no run {run!r}; {meant(run, map(str, curves.runs.index))}there are {len(curves.runs)} runs")
    if (run, metric) not in curves.series:
        raise ValueError(f"run {run!r} has no {metric}")
    if not 0 < probability < 1:
        raise ValueError(f"probability= lies between 0 and 1, got {probability!r}")
    if not 0 < target < np.inf:
        raise ValueError(f"target= is a loss above zero, got {target!r}")
    once = _reached(curves.series[run, metric], target, f"{metric} of run {run!r}")
    rates, why = rates_of(curves, past=True)
    if run not in rates:
        raise ValueError(f"the learning rate of run {run!r} must be known: {why.get(run, 'it is not logged')}")
    seen, planned = curves.series[run, metric], rates[run]
    now, peak = float(seen.step[-1]), planned.peak
    most = LONGER * now if most_steps is None else float(most_steps)
    if not now < most < np.inf:
        raise ValueError(f"most_steps= must lie beyond the last step that is logged, {now:g}, got {most:g}")
    height = float(planned.at(np.array([now]))[0])
    began = planned.began()
    if height < FALLEN * peak or began >= now:
        raise ValueError(
            f"the rate of run {run!r} is {height:.3g} at step {now:g}, and its peak {peak:.3g}: a cooldown is designed "
            "for a run that is at its constant rate"
        )
    if not 0 <= least < peak:
        raise ValueError(f"least= must lie between zero and the peak, got {least:g} and {peak:g}")
    above = seen.value > 0
    own = LossCurve(
        RateCurve(np.array([began, now]), np.array([peak, peak])), seen.step[above] * 1.0, np.log(seen.value[above])
    )
    fit, known, lines = _fitted(curves, run, metric, own, most, seed)
    stops = np.geomspace(now * (1.0 + 1.0 / STOPS), most, STOPS)
    plans = [
        (stop, share)
        for stop in stops
        for share in (0.0, *SHARES)
        if stop * (1.0 - share) >= now
    ]  # fmt: skip
    cooled = [_cooled(began, stop, share, peak, least) for stop, share in plans]
    ends = np.array([stop for stop, _ in plans])
    drawn = end_draws(fit, cooled, ends, seed=seed)
    luck = np.random.default_rng(seed).standard_normal(drawn.expected.shape[1])
    losses = np.exp(drawn.expected + drawn.luck[:, None] * luck)
    # Infinite where a law has no loss above zero: such a cooldown is never the best.
    middle = drawn.expected.mean(axis=1)
    shares = np.array([share for _, share in plans])
    stays = np.array([int(np.flatnonzero((ends == stop) & (shares == 0))[0]) for stop in stops])
    stops, stays = stops[np.isfinite(middle[stays])], stays[np.isfinite(middle[stays])]
    if not len(stops):
        raise ValueError(f"no schedule law of {metric} has a loss above zero beyond step {now:g}")
    if silent := int(np.sum(~np.isfinite(middle))):
        lines.append(f"{silent} of {len(plans)} cooldowns were not looked at: by a law their loss ends below zero")
    best = [int(np.flatnonzero(ends == stop)[np.argmin(middle[ends == stop])]) for stop in stops]
    low, half, high = np.quantile(losses[best], [0.05, 0.5, 0.95], axis=1)
    table = pd.DataFrame({
        "stop": stops, "start": stops * (1.0 - shares[best]), "share": shares[best], "loss": half, "5 %": low,
        "95 %": high, "reached": (losses[best] <= target).mean(axis=1), "without": np.median(losses[stays], axis=1),
    })  # fmt: skip
    words = f"curves, {run!r}, {metric!r}, target={target!r}, most_steps={most_steps!r}, probability={probability!r}"
    tell(lines, stacklevel=2)
    lines += [*once, *said(fit)]
    return DesignedCooldown(
        run, metric, float(target), now, most, probability, table, _fewest(stops, losses[best], target),
        _fewest(stops, losses[stays], target), known.runs if known else (), tuple(lines),
        f"predictdyn.design.cooldown({words})", digest(curves), seed,
    )  # fmt: skip


def _reached(seen: Curve, target: float, what: str) -> list[str]:
    """A line where a logged value was at or below the target once; ValueError where the last one still is."""
    below = np.flatnonzero(seen.value <= target)
    if not len(below):
        return []
    first = f"{what} was {seen.value[below[0]]:.4g} at step {seen.step[below[0]]:g}"
    if below[-1] == len(seen.value) - 1:
        raise ValueError(f"the target {target:g} has been reached already: {first}; choose a lower target")
    return [f"{first}, at or below the target {target:g}, but its last value is above"]


def _fitted(
    curves: Curves, run: str, metric: str, own: LossCurve, most: float, seed: int
) -> tuple[ScheduleFit, KnownRuns | None, list[str]]:
    """The laws given the run and the finished runs of its model, these runs, and what to know of both."""
    model = model_of(curves, curves, run)
    same = [str(one) for one in curves.runs.index if one != run and model_of(curves, curves, str(one)) == model]
    try:
        known = known_runs(curves.select(runs=same), metric, seed=seed) if same else None
    except ValueError:
        known = None
    if known is None:
        reach = RateCurve(own.rate.step, own.rate.rate)
        fit = fit_schedules([own], reach=reach, until=most, own=True, seed=seed)
        if fit is None:
            raise ValueError(
                f"run {run!r} has fewer than 6 values of {metric} after its warm-up, and no finished run helps"
            )
        return (
            fit,
            None,
            ["no finished run of the same model has a known schedule, so what a cooldown brings is a guess"],
        )
    lines = warned(known.fit)
    if not known.cooled:
        lines.append("no finished run of the same model has cooled, so what a cooldown brings is a guess")
    return begun(known.fit, own, seed=seed), known, lines


def _cooled(began: float, stop: float, share: float, peak: float, least: float) -> RateCurve:
    """A constant rate that falls over the last share of a run."""
    step = np.unique([began, max(stop * (1.0 - share), began), stop])
    return RateCurve(step, np.append(np.full(len(step) - 1, peak), least if share else peak))


def _fewest(stops: np.ndarray, losses: np.ndarray, target: float) -> np.ndarray:
    """For each column of losses (m, s) the first stopping step at or below the target, straight between two."""
    below = losses <= target
    first = np.argmax(below, axis=0)
    before = np.maximum(first - 1, 0)
    column = np.arange(losses.shape[1])
    above, under = losses[before, column], losses[first, column]
    way = np.where(first == 0, 0.0, (above - target) / np.maximum(above - under, 1e-300))
    return np.where(below.any(axis=0), stops[before] + way * (stops[first] - stops[before]), np.inf)


def _quantile(stops: np.ndarray, level: float) -> float:
    """A quantile of numbers of which some are infinite."""
    return float(np.quantile(stops, level, method="inverted_cdf"))
