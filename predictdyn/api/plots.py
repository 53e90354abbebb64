"""Plots on any axes: those that are given, else new ones; each returns them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from predictdyn.api.reading import globs
from predictdyn.backtest.live import ended
from predictdyn.backtest.plan import matching_runs
from predictdyn.curves import Curves
from predictdyn.loaders.engine.notes import some
from predictdyn.report.figures import calibration, fan, skill
from predictdyn.report.reliability import ENDS, resolved, share_held
from predictdyn.report.style import LIGHT, NARROW, OTHERS, WIDE, plain, styled

if TYPE_CHECKING:
    from predictdyn.api.backtests import Backtest
    from predictdyn.api.forecasts import Forecast

NAMED = 8  # unfinished runs that a legend names
EXAMPLES = 6


def axes_or_new(ax: Axes | None, size: tuple[float, float] = NARROW) -> Axes:
    """The axes that are given, else those of a new figure."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    with styled():
        new: Axes = plt.subplots(figsize=size, layout="constrained")[1]
    return new


def plot_curves(
    curves: Curves, metric: str, runs: str | Sequence[str] | None = None, *, ax: Axes | None = None
) -> Axes:
    """See `Curves.plot`."""
    logged = sorted({name for _, name in curves.series})
    if metric not in logged:
        raise ValueError(f"no metric {metric!r}; there are {some(logged, 12)}")
    names = matching_runs(curves, globs(runs)) if runs is not None else list(curves.runs.index)
    done = set(ended(curves))
    going = [run for run in names if run not in done and (run, metric) in curves.series]
    ax = axes_or_new(ax)
    with styled():
        for run in [*(run for run in names if run in done), *going]:
            curve = curves.series.get((run, metric))
            if curve is None:
                continue
            few: dict[str, Any] = {"marker": "o", "markersize": 3} if len(curve.step) < 3 else {}
            if run in done:
                ax.plot(curve.step, curve.value, color=LIGHT["quiet"], alpha=0.45, linewidth=1, **few)
            else:
                colour = LIGHT[("vermillion", "blue", *OTHERS)[going.index(run) % 5]]
                label = plain(run) if going.index(run) < NAMED else None
                ax.plot(curve.step, curve.value, color=colour, linewidth=1.8, label=label, **few)
        ax.set_xlabel("step")
        ax.set_ylabel(plain(metric))
        ax.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
        if going:
            ax.legend(frameon=False, fontsize=9)
    return ax


def plot_forecast(forecast: Forecast, metric: str | None, run: str | None, *, ax: Axes | None = None) -> Axes:
    """See `Forecast.plot`."""
    from predictdyn.api.forecasts import path_prediction

    target = forecast.target
    for keyword, name in (("metric", metric), ("run", run)):
        if name is not None and name not in set(target[keyword]):
            raise ValueError(f"no {keyword} {name!r} is forecast; there are {some(sorted(set(target[keyword])), 12)}")
    rows = (
        target[(target["metric"] == metric if metric else True) & (target["run"] == run if run else True)]
        if metric or run
        else target
    )
    if rows.empty:
        raise ValueError(f"metric {metric!r} of run {run!r} is not forecast")
    shown = set(zip(forecast.live.paths["run"], forecast.live.paths["metric"], strict=True))
    keys = list(zip(rows["run"], rows["metric"], strict=True))
    chosen = next((key for key in keys if key in shown), keys[0])
    live = path_prediction(forecast, *chosen)
    ready = fan_of(live.paths, live.examples, forecast.question.curves, *chosen)
    ax = axes_or_new(ax)
    fan.paint(ax, ready, key=True)
    with styled():
        ax.set_title(fan.title(ready), fontsize=10, pad=22)
    return ax


def fan_of(paths: pd.DataFrame, examples: pd.DataFrame, curves: Curves, run: str, metric: str) -> fan.Fan:
    """One fan: the way of a run and metric, and what was seen of it."""
    own = paths[(paths["run"] == run) & (paths["metric"] == metric)].sort_values("step")
    if own.empty:
        raise ValueError(
            f"there is no path of {metric!r} of run {run!r} with an intervention; plot one that summary has first"
        )
    points = examples[(examples["run"] == run) & (examples["metric"] == metric)].sort_values("step")
    about = curves.metrics[metric]
    lower, upper, chance = (
        np.nan if edge is None else float(edge) for edge in (about.lower, about.upper, about.chance)
    )
    cutoff = float(own["cutoff"].iloc[0])
    return fan.Fan(
        run, metric, about.kind, cutoff, points, points.head(0), own, lower, upper, chance, about.label, about.unit
    )


def plot_skill(backtest: Backtest, kind: str | None, *, ax: Axes | None = None) -> Axes:
    """See `Backtest.plot_skill`."""
    kinds = backtest.results.outcomes
    if kind is not None and kind not in kinds:
        raise ValueError(f"no kind {kind!r} was forecast; there are {', '.join(kinds)}")
    board = backtest.leaderboard
    others = [
        name
        for name in board["forecaster"]
        if name != backtest.primary and not board.set_index("forecaster").loc[name, "baseline"]
    ]
    ax = axes_or_new(ax)
    skill.paint(ax, backtest.verdicts, [backtest.primary, *others[: len(OTHERS)]], kind or kinds[0])
    return ax


def plot_calibration(backtest: Backtest, *, ax: Axes | None = None) -> Axes:
    """See `Backtest.plot_calibration`."""
    rows = resolved(backtest.results.own())
    held = [share_held(rows, level, backtest.plan.seed) for level in ENDS]
    ax = axes_or_new(ax)
    calibration.paint_coverage(ax, list(ENDS), held)
    return ax


def plot_examples(backtest: Backtest, *, axes: Sequence[Axes] | None = None) -> np.ndarray:
    """See `Backtest.plot_examples`."""
    ready = fan.fans(backtest.results)
    if axes is None:
        import matplotlib.pyplot as plt

        shown = ready[:EXAMPLES]
        rows = max(-(-len(shown) // 2), 1)
        size = (WIDE[0], rows * NARROW[1])
        with styled():
            grid = plt.subplots(rows, 2, figsize=size, layout="constrained", squeeze=False)[1].ravel()
        for empty in grid[len(shown) :]:
            empty.set_axis_off()
    else:
        grid = np.array(list(np.ravel(np.asarray(axes, dtype=object))), dtype=object)
        shown = ready[: len(grid)]
    for ax, one in zip(grid, shown, strict=False):
        fan.paint(ax, one)
        with styled():
            ax.set_title(fan.title(one), fontsize=9)
    return np.asarray(grid[: len(shown)], dtype=object)
