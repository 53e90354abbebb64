"""Plots on any axes: those that are given, else new ones; each returns them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from predictdyn.api.reading import globs
from predictdyn.backtest.plan import matching_runs
from predictdyn.curves import Curves, ended
from predictdyn.loaders.engine.notes import some
from predictdyn.report.figures import calibration, fan, skill
from predictdyn.report.reliability import ENDS, resolved, share_held
from predictdyn.report.style import LIGHT, NARROW, OTHERS, WIDE, plain, styled
from predictdyn.report.words import count, readable

if TYPE_CHECKING:
    from predictdyn.api.backtests import Backtest
    from predictdyn.api.forecasts import Forecast

NAMED = 8  # unfinished runs that a legend names
EXAMPLES = 6


def axes_or_new(ax: Axes | None, size: tuple[float, float] = NARROW) -> Axes:
    """The axes that are given, with the frame that all figures have, else those of a new figure."""
    if ax is not None:
        for side in {"top", "right"} & set(ax.spines):
            ax.spines[side].set_visible(False)
        for spine in ax.spines.values():
            spine.set(edgecolor=LIGHT["quiet"], linewidth=0.7)
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
    names = matching_runs(curves, globs(runs, "runs")) if runs is not None else list(curves.runs.index)
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
    about = forecast.question.curves.metrics
    order = sorted(about, key=lambda name: about[name].kind != "capability")
    # What has an intervention has no way but those that were computed; else the metric counts for more.
    chosen = min(
        keys, key=lambda key: (forecast.base is not None and key not in shown, order.index(key[1]), key not in shown)
    )
    live = path_prediction(forecast, *chosen)
    ready = fan_of(live.paths, live.examples, forecast.question.curves, *chosen)
    ax = axes_or_new(ax)
    fan.paint(ax, ready, key=True)
    with styled():
        ax.set_title(f"{fan.title(ready)}: {plain(ready.label)}", fontsize=10, pad=22)
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
        run,
        metric,
        about.kind,
        cutoff,
        points,
        points.head(0),
        own,
        lower,
        upper,
        chance,
        about.label or readable(metric),
        about.unit,
    )


def plot_skill(backtest: Backtest, kind: str | None, forecaster: str | None, *, ax: Axes | None = None) -> Axes:
    """See `Backtest.plot_skill`."""
    results, main = backtest.results, _one_of(backtest, forecaster)
    if kind is not None and kind not in results.outcomes:
        raise ValueError(f"no kind {kind!r} was forecast; there are {', '.join(results.outcomes)}")
    ax = axes_or_new(ax)
    if kind is None:
        rows = backtest.verdicts[backtest.verdicts["forecaster"] == main]
        lines = {results.named(one): rows[rows["kind"] == one] for one in results.outcomes}
        title = f"Skill of {plain(main)}" + (f": {plain(next(iter(lines)))}" if len(lines) == 1 else "")
    else:
        board = backtest.leaderboard
        others = [name for name in board.loc[~board["baseline"], "forecaster"] if name != main]
        names = [main, *(others[: len(OTHERS)] if forecaster is None else [])]
        rows = backtest.verdicts[backtest.verdicts["kind"] == kind]
        lines = {name: rows[rows["forecaster"] == name] for name in names}
        title = f"Skill for {plain(results.named(kind))}" + (f" of {plain(main)}" if len(names) == 1 else "")
    skill.paint(ax, lines)
    with styled():
        ax.set_title(title, fontsize=10, pad=6 + 16 * (-(-len(lines) // 3) if len(lines) > 1 else 0))
    return ax


def plot_calibration(backtest: Backtest, forecaster: str | None, *, ax: Axes | None = None) -> Axes:
    """See `Backtest.plot_calibration`."""
    results, name = backtest.results, _one_of(backtest, forecaster)
    all_rows = backtest.forecasts
    rows = resolved(all_rows[(all_rows["forecaster"] == name) & all_rows["kind"].isin(results.outcomes)])
    held = [share_held(rows, level, backtest.plan.seed) for level in ENDS]
    ax = axes_or_new(ax)
    calibration.paint_coverage(ax, list(ENDS), held)
    with styled():
        size = f"{count(len(rows), 'forecast')} of {count(rows['run'].nunique(), 'run')}"
        ax.set_title(f"{plain(name)}: {size}", fontsize=10)
    return ax


def _one_of(backtest: Backtest, forecaster: str | None) -> str:
    """The forecaster that was asked for, by default the primary one."""
    names = list(backtest.leaderboard["forecaster"])
    if forecaster is not None and forecaster not in names:
        raise ValueError(f"no forecaster {forecaster!r} took part; there are {', '.join(names)}")
    return forecaster or backtest.primary


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
