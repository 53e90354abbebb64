"""Figures of a scaling law: the target over cost, what is left over, contours over two inputs, plans of equal cost."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from predictdyn.report.style import LIGHT, plain, styled
from predictdyn.report.words import short_number

LEVELS = 9  # contours
FARTHEST = 1.5  # times the largest residual of the others, where runs that are far out are drawn
SMALLEST = 12  # runs, from which dots are smaller
DOT: dict[str, Any] = {"linestyle": "", "marker": "o", "markeredgewidth": 0}


class Picture(NamedTuple):
    """What is drawn: tables with columns of inputs, ``cost`` where known, and quantiles ``q0.05``, median, ``q0.95``.

    ``runs`` have the target's column, fitted and residual; ``held`` truth and quantiles; ``line`` is the law along
    ``x``, ``asked`` are plans that were forecast, ``surface`` a grid over ``main``, ``budgets`` plans of equal cost.
    """

    target: str  # in words
    column: str
    x: str
    x_label: str
    main: tuple[str, ...]
    runs: pd.DataFrame
    held: pd.DataFrame
    line: pd.DataFrame
    asked: pd.DataFrame
    surface: pd.DataFrame
    budgets: pd.DataFrame


def paint_target(ax: Axes, picture: Picture, *, key: bool = True) -> Axes:
    """The target over cost or the main input: finished and held-out runs, the law, and forecasts with intervals."""
    runs, held, line, asked, x = picture.runs, picture.held, picture.line, picture.asked, picture.x
    with styled():
        if len(line):
            order = line.sort_values(x)
            ax.fill_between(order[x], order["q0.05"], order["q0.95"], color=LIGHT["blue"], alpha=0.18, linewidth=0)
            words = "best plan for its cost" if x == "cost" else "the law"
            ax.plot(order[x], order["median"], color=LIGHT["blue"], label=f"{words} (90 % band)")
        size = 4.5 if len(runs) <= SMALLEST * 5 else 3
        ax.plot(
            runs[x], runs[picture.column], color=LIGHT["ink"], markersize=size, alpha=0.8, label="finished runs", **DOT
        )
        if len(held):
            middle = held["median"]
            away = [middle - held["q0.05"], held["q0.95"] - middle]
            ax.errorbar(
                held[x], middle, yerr=away, color=LIGHT["vermillion"], linestyle="", linewidth=1.3, marker="_",
                markersize=7, label="forecast when held out (90 %)", zorder=4,
            )  # fmt: skip
        if len(asked):
            middle = asked["median"]
            away = [middle - asked["q0.05"], asked["q0.95"] - middle]
            ax.errorbar(
                asked[x], middle, yerr=away, color=LIGHT["blue"], linestyle="", linewidth=1.8, marker="D", markersize=6,
                label="forecast (90 %)", zorder=5,
            )  # fmt: skip
        if _logarithmic(runs[x]):
            _log_axis(ax, "x")
        low = [runs[picture.column].min(), *(frame["median"].min() for frame in (line, asked) if len(frame))]
        if min(low) > 0 and runs[picture.column].max() > 3 * min(low):
            _log_axis(ax, "y")
        else:
            ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        ax.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
        ax.set_xlabel(plain(picture.x_label))
        ax.set_ylabel(plain(picture.target))
        if key:
            ax.legend(frameon=False, fontsize=9)
    return ax


def paint_residuals(ax: Axes, picture: Picture) -> Axes:
    """What the law leaves over, in per cent of the target (in its units where that is near zero), over cost."""
    runs, held, x = picture.runs, picture.held, picture.x
    truth = runs[picture.column].to_numpy(dtype=float)
    share = bool((truth > 0).all() and truth.min() > 0.02 * truth.max())
    with styled():
        ax.axhline(0, color=LIGHT["ink"], linewidth=1)
        far = runs["far_out"].astype(bool)
        left = runs["residual"] / (runs[picture.column] / 100 if share else 1.0)
        ax.plot(
            runs.loc[~far, x], left[~far], color=LIGHT["ink"], markersize=4, alpha=0.8, label="finished runs", **DOT
        )
        missed = held["truth"] - held["median"] if len(held) else pd.Series(dtype=float)
        missed = missed / (held["truth"] / 100 if share else 1.0) if len(held) else missed
        if far.any():
            # One run that is wrong must not hide all others: those far beyond stand at the edge.
            edge = FARTHEST * float(np.max(np.abs(np.r_[left[~far], missed, 1e-12])))
            left = left.clip(-edge, edge)
            ax.plot(
                runs.loc[far, x],
                left[far],
                color=LIGHT["purple"],
                linestyle="",
                marker="x",
                markersize=6,
                label="far out",
            )
        if len(held):
            ax.plot(
                held[x], missed, linestyle="", marker="o", markersize=5, markerfacecolor=LIGHT["paper"],
                color=LIGHT["vermillion"], markeredgewidth=1.3, label="when held out", zorder=4,
            )  # fmt: skip
        if _logarithmic(runs[x]):
            _log_axis(ax, "x")
        ax.yaxis.set_major_locator(MaxNLocator(5, symmetric=True))
        ax.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
        ax.set_xlabel(plain(picture.x_label))
        ax.set_ylabel(f"truth less law{', %' if share else ''}")
        ax.legend(frameon=False, fontsize=9)
    return ax


def paint_contours(ax: Axes, picture: Picture) -> Axes:
    """The target over two inputs: contours, finished runs, lines of equal cost, and the best plan of each budget."""
    x, y = picture.main
    grid = picture.surface.pivot_table(index=y, columns=x, values="median")
    with styled():
        ax.set_xscale("log")
        ax.set_yscale("log")
        value = grid.to_numpy()
        if np.isfinite(value).any() and np.nanmax(value) > np.nanmin(value):
            # Levels at equal shares of the plane: a law is steep where runs are small.
            levels = np.unique(np.quantile(value[np.isfinite(value)], np.linspace(0.03, 0.97, LEVELS)))
            lines = ax.contour(grid.columns, grid.index, value, levels=levels, colors=LIGHT["blue"], linewidths=1.1)
            for text in ax.clabel(lines, fontsize=8.5, fmt=lambda number: f"{number:.3g}"):
                text.set_color(LIGHT["blue"])
        limits = ax.get_xlim(), ax.get_ylim()
        for _, rows in picture.budgets.groupby("budget") if len(picture.budgets) else ():
            ax.plot(rows[x], rows[y], color=LIGHT["quiet"], linewidth=0.8, linestyle=(0, (4, 3)))
        ax.plot(
            picture.runs[x], picture.runs[y], color=LIGHT["ink"], markersize=4, alpha=0.8, label="finished runs", **DOT
        )
        if len(picture.line) and {x, y} <= set(picture.line):
            ax.plot(
                picture.line[x], picture.line[y], color=LIGHT["vermillion"], marker="s", markersize=4,
                label="best plan for its cost",
            )  # fmt: skip
        if len(picture.budgets):
            ax.plot([], [], color=LIGHT["quiet"], linewidth=0.8, linestyle=(0, (4, 3)), label="equal cost")
        ax.set_xlim(limits[0])
        ax.set_ylim(limits[1])
        _log_axis(ax, "x")
        _log_axis(ax, "y")
        ax.set_xlabel(plain(x))
        ax.set_ylabel(plain(y))
        ax.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handlelength=1.4)
    return ax


def paint_budgets(ax: Axes, picture: Picture) -> Axes:
    """The target over the first input along plans of equal cost; the best plan of each budget is marked."""
    x, rows = picture.main[0], picture.budgets
    levels = sorted(rows["budget"].unique())
    with styled():
        for place, level in enumerate(levels):
            some = rows[rows["budget"] == level].sort_values(x)
            words = f"{level:.1e}".replace("e+", "e") if place % 2 else ""
            share = 0.35 + 0.65 * place / max(len(levels) - 1, 1)
            ax.fill_between(some[x], some["q0.05"], some["q0.95"], color=LIGHT["blue"], alpha=0.07, linewidth=0)
            ax.plot(some[x], some["median"], color=LIGHT["blue"], alpha=share, linewidth=1.5)
            ax.annotate(
                words, (float(some[x].iloc[-1]), float(some["median"].iloc[-1])), (4, 0),
                textcoords="offset points", fontsize=8, va="center", color=LIGHT["quiet"],
            )  # fmt: skip
        best = rows[rows["best"] & ~rows["edge"]].sort_values("budget")
        ax.plot(best[x], best["median"], color=LIGHT["vermillion"], linewidth=1, marker="s", markersize=4.5, zorder=4)
        _log_axis(ax, "x")
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        ax.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
        ax.margins(x=0.12)
        ax.set_xlabel(plain(x))
        ax.set_ylabel(plain(picture.target))
    return ax


def _logarithmic(column: pd.Series) -> bool:
    return bool(column.min() > 0 and column.max() > 5 * column.min())


def _log_axis(ax: Axes, which: str) -> None:
    axis: Any = ax.xaxis if which == "x" else ax.yaxis
    (ax.set_xscale if which == "x" else ax.set_yscale)("log")
    low, high = ax.get_xlim() if which == "x" else ax.get_ylim()
    if high > 30 * low:
        axis.set_major_locator(LogLocator(numticks=6))
    elif high > 0 and low > 0:
        steps = [digit * 10.0**power for power in range(int(np.floor(np.log10(low))), int(np.log10(high)) + 2)
                 for digit in (1, 2, 3, 5)]  # fmt: skip
        axis.set_major_locator(FixedLocator([step for step in steps if low <= step <= high]))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(short_number))
    axis.set_minor_formatter(NullFormatter())
