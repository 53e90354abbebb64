"""Schedules: the learning rate with the lowest forecast final loss, from finished runs, beside the usual shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.api.reading import globs, prepared, tell
from predictdyn.api.show import html_table
from predictdyn.backtest.folder import digest
from predictdyn.backtest.plan import matching_runs
from predictdyn.curves import Curves, ended
from predictdyn.fitting.schedule_design import SHARES, best_rate, best_wsd, end_draws, expected_ends, shaped
from predictdyn.fitting.schedule_laws import LAWS, RateCurve, peaked
from predictdyn.fitting.schedule_mixture import LossCurve, ScheduleFit
from predictdyn.fitting.schedule_runs import fit_runs, said, warned
from predictdyn.forecasters._rates import rates_of
from predictdyn.forecasters.schedule_law import model_of
from predictdyn.naming import meant, some

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DESIGNED = "designed"
SHAPES = ("cosine", "linear", "wsd", "constant")
PEAKS = 13  # tried between two bounds
SEVERAL = 1.05  # a peak that is so many times another is another one
COOLED = 0.5  # of its peak: a run that ended at no more has cooled
FAR = 1.05  # times the longest finished run, from which a note says so


class KnownRuns(NamedTuple):
    """What finished runs of one model with known schedules say of a loss."""

    fit: ScheduleFit
    curves: tuple[LossCurve, ...]
    runs: tuple[str, ...]
    metric: str

    @property
    def peaks(self) -> np.ndarray:
        """The peak of each run's rate."""
        return np.array([curve.rate.peak for curve in self.curves])

    @property
    def warm_up(self) -> float:
        """Steps after which the rates have risen: the middle run."""
        return float(np.median([curve.rate.began() for curve in self.curves]))

    @property
    def least(self) -> float:
        """The lowest rate that a run ended at, in parts of its peak."""
        return min(float(curve.rate.at(curve.step[-1:])[0]) / curve.rate.peak for curve in self.curves)

    @property
    def cooled(self) -> bool:
        """Whether a run has shown what a fall of the rate brings."""
        return self.least <= COOLED

    @property
    def longest(self) -> float:
        """Steps of the longest run."""
        return max(float(curve.step[-1]) for curve in self.curves)


@dataclass(frozen=True, repr=False)
class DesignedSchedule:
    """A designed learning rate beside the usual shapes, with draws of the final loss of each on common numbers.

    ``rates`` has the designed one first; ``draws`` (m, s) are expected final losses, the mean over lucky and unlucky
    runs, and ``luck`` (m,) is the sd of the log loss of one run. ``notes`` say what was assumed, and what cannot be
    told.
    """

    metric: str
    total_steps: float
    rates: Mapping[str, RateCurve]
    draws: np.ndarray
    luck: np.ndarray
    runs: tuple[str, ...]
    notes: tuple[str, ...]
    call: str
    source: str
    seed: int

    @property
    def schedule(self) -> pd.DataFrame:
        """Knots of the designed rate: step and rate, straight lines between, from zero at step 0 where it warms up."""
        rate = self.rates[DESIGNED]
        table = pd.DataFrame({"step": rate.step, "rate": rate.rate})
        start = pd.DataFrame({"step": [0.0], "rate": [0.0]})
        return table if rate.step[0] <= 0 else pd.concat([start, table], ignore_index=True)

    def rate(self, step: Sequence[float] | np.ndarray) -> np.ndarray:
        """The designed rate at any steps."""
        return self.rates[DESIGNED].at(np.asarray(step, dtype=float))

    def summary(self) -> pd.DataFrame:
        """One row a schedule, the designed one first: its peak, its final loss, and how much worse it is.

        loss, ``5 %``, ``95 %`` are of one run; difference, ``difference 5 %``, ``difference 95 %`` are the expected
        final loss minus the designed one's, on common draws; worse is the probability that it is above zero.
        """
        luck = np.exp(self.luck[:, None] * np.random.default_rng(self.seed).standard_normal(self.draws.shape))
        low, middle, high = np.quantile(self.draws * luck, [0.05, 0.5, 0.95], axis=1)
        apart = self.draws - self.draws[0]
        below, between, above = np.quantile(apart, [0.05, 0.5, 0.95], axis=1)
        worse = np.where(np.arange(len(apart)) == 0, np.nan, (apart > 0).mean(axis=1))
        return pd.DataFrame({
            "schedule": list(self.rates), "peak": [rate.peak for rate in self.rates.values()], "loss": middle,
            "5 %": low, "95 %": high, "difference": between, "difference 5 %": below, "difference 95 %": above,
            "worse": worse,
        })  # fmt: skip

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """The designed rate over steps, and the usual shapes."""
        from predictdyn.api.plots import axes_or_new
        from predictdyn.report.figures import schedules

        return schedules.paint_rates(axes_or_new(ax), self.rates, self.total_steps)

    def plot_losses(self, *, ax: Axes | None = None) -> Axes:
        """How much worse than the designed schedule each shape is, with 90 % intervals."""
        from predictdyn.api.plots import axes_or_new
        from predictdyn.report.figures import schedules

        return schedules.paint_differences(axes_or_new(ax), self.summary(), self.metric)

    def save(self, folder: Path | str) -> Path:
        """Write schedule.csv, summary.csv, figures and provenance.json into a new folder; returns the folder.

        Raises ValueError where the folder is not new.
        """
        return self.write(Path(folder), f"{self.call}.save('folder')", self.source)

    def write(self, folder: Path, command: str, data: Path | str) -> Path:
        """The same, with the command that is to be told, and the path of the data or their hash."""
        from predictdyn.api.schedule_files import write

        return write(
            folder, made="schedule", tables={"schedule": self.schedule, "summary": self.summary()},
            figures={"rates": self.plot, "losses": self.plot_losses},
            plan={"metric": self.metric, "total_steps": self.total_steps, "runs": list(self.runs)},
            command=command, notes=self.notes, seed=self.seed, data=data,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"DesignedSchedule of {self.metric}: {self.total_steps:g} steps, from {len(self.runs)} runs; {self.said}"

    @property
    def said(self) -> str:
        """The gain over the best other schedule in one line."""
        table = self.summary().set_index("schedule")
        best = str(table["loss"].drop(DESIGNED).idxmin())
        row = table.loc[best]
        low, high = row["difference 5 %"], row["difference 95 %"]
        gain = f"{row['difference']:.2g} [{low:.2g}, {high:.2g}] (90 %)"
        return (
            f"it ends {gain} below {best}, the best other"
            if low > 0
            else f"its gain of {gain} over {best}, the best other, cannot be told from none"
        )

    def _repr_html_(self) -> str:
        return html_table(self.summary(), repr(self))


def schedule(
    data: Curves | ScheduleFit,
    metric: str | None = None,
    *,
    total_steps: float,
    peak: float | tuple[float, float] | None = None,
    warm_up: float | None = None,
    least: float | None = None,
    runs: str | Sequence[str] | None = None,
    seed: int = 0,
) -> DesignedSchedule:
    """Design the learning rate of a run: after the warm-up it only falls, and its forecast final loss is lowest.

    ``data`` are curves whose finished runs have known schedules and are of one model, chosen by the globs ``runs``; or
    schedule laws that were fitted before. ``peak`` is the rate at the end of the warm-up of ``warm_up`` steps; by
    default both are those of the runs. Two numbers, (low, high), let it choose the peak between them, which works only
    where runs have had several. ``least`` is the lowest rate that is allowed, by default the lowest part of its peak
    that a run ended at: beyond, nothing is known. Raises ValueError, one line, where nothing can be learnt.

    >>> steps = np.arange(10.0, 1001.0, 10.0)
    >>> runs = {"flat": np.full(100, 0.01), "falls": np.linspace(0.01, 0.0001, 100)}
    >>> frame = pd.concat([
    ...     pd.DataFrame({"run": run, "step": steps, "lr": rate, "loss": 2 + (steps * 0.01) ** -0.5 + 10 * rate})
    ...     for run, rate in runs.items()
    ... ])
    >>> curves = Curves.from_frame(frame, last_step=1000)
    >>> found = schedule(curves, "loss", total_steps=1000)
    >>> found.summary()["schedule"].tolist()
    ['designed', 'cosine', 'linear', 'wsd', 'constant']
    """
    if isinstance(data, ScheduleFit):
        if metric is None or peak is None or warm_up is None:
            raise ValueError("schedule of fitted laws needs metric=, peak= and warm_up=")
        known, fit, low_share = None, data, 0.0
    else:
        known = known_runs(data, metric, runs=runs, seed=seed)
        fit, metric, low_share = known.fit, known.metric, known.least if known.cooled else 0.0
    end = float(total_steps)
    if not (np.isfinite(end) and end > 0):
        raise ValueError(f"total_steps= is a number of steps above zero, got {total_steps!r}")
    began = known.warm_up if known is not None and warm_up is None else float(warm_up or 0.0)
    if not 0 <= began < end:
        raise ValueError(f"warm_up= must end within the run, got {began:g} of {end:g} steps")
    lines: list[str] = []
    if known is not None and not known.cooled:
        lines.append("no finished run ended at half its peak rate or below, so what a fall brings is a guess")
    bounds = _peaks(peak, known, lines)
    tried = np.unique(np.geomspace(*bounds, PEAKS if bounds[0] < bounds[1] else 1))
    if least is not None and not 0 <= least < bounds[0]:
        raise ValueError(f"least= must lie between zero and the peak, got {least:g} and {bounds[0]:g}")
    made: dict[str, RateCurve] = {}
    for name in (DESIGNED, *SHAPES):
        # The peak of the design is that of the best warm-up-stable-decay, which is near it.
        shape = "wsd" if name == DESIGNED else name
        best = _best_of(fit, shape, began, end, tried, least, low_share)
        if name == DESIGNED:
            best = best_rate(fit, began, end, best.peak, _floor(best.peak, least, low_share))
        made[name] = best
    drawn = end_draws(fit, list(made.values()), np.full(len(made), end), seed=seed)
    if known is not None and end > FAR * known.longest:
        lines.append(
            f"the run is {end / known.longest:.3g} times longer than the longest finished run, so trust it less"
        )
    share = 1.0 - float(made["wsd"].step[-2]) / end
    lines += warned(fit)
    harm = tuple(lines)
    lines.append(f"wsd falls over the last {share:.0%} of the run, the best of {', '.join(f'{s:.0%}' for s in SHARES)}")
    lines += said(fit)
    words = {"total_steps": total_steps, "peak": peak, "warm_up": warm_up, "least": least, "runs": runs}
    call = ", ".join(["curves", repr(metric), *(f"{name}={one!r}" for name, one in words.items() if one is not None)])
    found = DesignedSchedule(
        metric, end, made, np.exp(drawn.expected), drawn.luck, known.runs if known else (), tuple(lines),
        f"predictdyn.design.schedule({call})", digest(data) if isinstance(data, Curves) else "", seed,
    )  # fmt: skip
    tell(harm, stacklevel=2)
    return found


def known_runs(
    curves: Curves,
    metric: str | None,
    *,
    runs: str | Sequence[str] | None = None,
    but: str | None = None,
    seed: int = 0,
) -> KnownRuns:
    """Schedule laws fitted to the finished runs of one model. Raises ValueError, one line, where there are none."""
    curves = prepared(curves)
    metric = loss_named(curves, metric)
    names = [
        run
        for run in (matching_runs(curves, globs(runs, "runs")) if runs is not None else curves.runs.index)
        if run != but
    ]
    done, (rates, why) = set(ended(curves)), rates_of(curves, past=True)
    use = [run for run in names if run in done and run in rates and (run, metric) in curves.series]
    if not use:
        reasons = [why[run] for run in names if run in done and run in why]
        raise ValueError(
            f"no finished run has {metric} and a known learning rate"
            + (f": {reasons[0]}" if reasons else f"; {len(names)} runs are there, {len(done & set(names))} have ended")
        )
    models = {model_of(curves, curves, run) for run in use}
    if len(models) > 1:
        raise ValueError(
            f"the {len(use)} finished runs are of {len(models)} models, and a schedule is designed for one; choose its "
            "runs by a glob"
        )
    series = [curves.series[run, metric] for run in use]
    found = [
        LossCurve(rates[run], one.step[one.value > 0].astype(float), np.log(one.value[one.value > 0]))
        for run, one in zip(use, series, strict=True)
    ]
    laws = [peaked(law) for law in LAWS] if _several(np.array([one.rate.peak for one in found])) else LAWS
    fit = fit_runs(found, laws=laws, seed=seed)
    if fit is None:
        raise ValueError(f"the {len(use)} finished runs have fewer than 6 values of {metric} after their warm-up")
    return KnownRuns(fit, tuple(found), tuple(use), metric)


def loss_named(curves: Curves, metric: str | None) -> str:
    """The metric that is asked for, by default the one loss that is there; ValueError where it is none."""
    logged = {name for _, name in curves.series}
    losses = [name for name, one in curves.metrics.items() if one.kind == "loss" and name in logged]
    there = f"losses are {some(losses, 12)}" if losses else "no loss is logged, and a schedule is designed for a loss"
    if metric is None:
        if not losses:
            raise ValueError(f"{there}; metrics are {some(sorted(logged), 12) or 'none'}")
        if len(losses) > 1:
            raise ValueError(f"name the metric: there are {len(losses)} losses, {some(losses, 12)}")
        return losses[0]
    if metric not in logged:
        raise ValueError(f"no metric {metric!r}; {meant(metric, logged)}{there}")
    about = curves.metrics[metric]
    if about.better == "higher" or about.upper is not None or (about.lower or 0) < 0:
        raise ValueError(f"{metric} is no loss above zero without an upper bound; {there}")
    return metric


def _peaks(peak: float | tuple[float, float] | None, known: KnownRuns | None, lines: list[str]) -> tuple[float, float]:
    """The bounds between which the peak is chosen; a line says where the runs do not know what it does."""
    asked = (peak, peak) if isinstance(peak, int | float | np.number) else tuple(peak) if peak is not None else None
    if asked is not None and (len(asked) != 2 or not 0 < asked[0] <= asked[1] < np.inf):
        raise ValueError(f"peak= is a rate above zero, or two, (low, high), got {peak!r}")
    if known is None:
        assert asked is not None
        return float(asked[0]), float(asked[1])
    least, most, usual = float(known.peaks.min()), float(known.peaks.max()), float(np.median(known.peaks))
    one = not _several(known.peaks)
    had = f"all runs had the peak {usual:.3g}" if one else f"runs had peaks from {least:.3g} to {most:.3g}"
    if asked is None:
        if not one:
            lines.append(f"{had}; the design has the middle one, {usual:.3g}")
        return usual, usual
    low, high = float(asked[0]), float(asked[1])
    if low == high:
        if not least / SEVERAL < low < most * SEVERAL:
            lines.append(f"{had}, so what {low:.3g} does is a guess of the laws")
        return low, high
    if low > most or high < least:
        raise ValueError(f"{had}, so nothing tells between {low:.3g} and {high:.3g}; give one peak, or other bounds")
    if one:
        lines.append(f"{had}, so what another one does is not known; the design has it, too")
    elif low < least or high > most:
        lines.append(f"{had}, so the peak is chosen between {max(low, least):.3g} and {min(high, most):.3g}")
    return max(low, least), min(high, most)


def _several(peaks: np.ndarray) -> bool:
    return bool(peaks.max() > SEVERAL * peaks.min())


def _floor(peak: float, least: float | None, low_share: float) -> float:
    return least if least is not None else low_share * peak


def _best_of(
    fit: ScheduleFit, shape: str, began: float, end: float, peaks: np.ndarray,
    least: float | None, low_share: float,
) -> RateCurve:  # fmt: skip
    """A shape at the peak that is best for it. Raises ValueError where the laws have no positive loss at any."""
    rates = []
    for peak in peaks:
        floor = _floor(float(peak), least, low_share)
        own = best_wsd(fit, began, end, float(peak), floor)[0] if shape == "wsd" else None
        rates.append(own or shaped(shape, began, end, float(peak), floor))
    value = expected_ends(fit, rates, np.full(len(rates), end))
    if not np.isfinite(value).any():
        raise ValueError(
            f"a law of the runs has no positive loss for {shape} at the peak {peaks[0]:.3g}: "
            "choose a peak nearer to theirs"
        )
    return rates[int(np.argmin(value))]
