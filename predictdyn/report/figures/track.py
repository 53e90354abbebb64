"""Track: what a run has logged of a metric, and what was forecast of its end each time that it was looked at."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from predictdyn.report.figures.fan import thinned
from predictdyn.report.style import LIGHT, NARROW, WIDE, Drawing, canvas, drawing, plain
from predictdyn.report.words import SPACE, step_word

SHORT = 0.02  # share of a run that is hard to see as a line


class RunTrack(NamedTuple):
    """One metric of one run: ``step`` and ``value`` (t,) as logged; ``when`` (f,) steps at which its end was forecast,
    ``median``, ``low`` and ``high`` (f,) of that; ``plan`` its planned end; ``bound`` a target, NaN where none is;
    ``alarms`` steps at which an alarm rang.
    """

    run: str
    metric: str
    label: str
    step: np.ndarray
    value: np.ndarray
    when: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    plan: float
    bound: float = math.nan
    alarms: tuple[float, ...] = ()


def draw(track: RunTrack, name: str, *, wide: bool = False) -> Drawing:
    """The track as a drawing; ``wide`` fills the page, with a line that says what is what."""
    with canvas(WIDE if wide else NARROW) as (figure, ax):
        seen = thinned(pd.DataFrame({"step": track.step, "value": track.value}))
        step, value = seen["step"].to_numpy(), seen["value"].to_numpy()
        blue = LIGHT["blue"]
        if len(track.when):
            ends = np.r_[track.when, step[-1] if len(step) else track.when[-1]]
            low, middle, high = (np.r_[row, row[-1]] for row in (track.low, track.median, track.high))
            ax.fill_between(ends, low, high, color=blue, alpha=0.22, linewidth=0, step="post")
            ax.plot(ends, middle, color=blue, drawstyle="steps-post")
            # A single look has no width as a line, so it is drawn as the end is.
            points = [(track.plan, "D"), *([(ends[-1], "o")] if ends[-1] - ends[0] < SHORT * track.plan else [])]
            for at, marker in points:
                ax.errorbar(
                    [at], [middle[-1]], [[middle[-1] - low[-1]], [high[-1] - middle[-1]]], color=blue, marker=marker,
                    markersize=4.5, capsize=3, linewidth=1.6,
                )  # fmt: skip
        ax.plot(step, value, color=LIGHT["ink"], linewidth=1.6, marker="o" if len(step) <= 40 else "", markersize=3)
        if math.isfinite(track.bound):
            ax.axhline(track.bound, color=LIGHT["green"], linewidth=1.1, linestyle=(0, (6, 3)))
            ax.annotate("target", (1, track.bound), (-2, 2), xycoords=("axes fraction", "data"), ha="right",
                        textcoords="offset points", fontsize=8.5, color=LIGHT["green"])  # fmt: skip
        for at in track.alarms:
            ax.axvline(at, color=LIGHT["vermillion"], linewidth=1.2, linestyle=(0, (1, 1.4)))
        _frame(ax, track, value)
        if wide:
            _legend(ax, track)
        return drawing(figure, name)


def _frame(ax: Axes, track: RunTrack, value: np.ndarray) -> None:
    every = np.r_[value, track.low, track.high]
    if len(every):
        # A spike of a broken run must not flatten all else: the range is that of the forecasts and of most values.
        low, high = np.quantile(every, (0.01, 0.99)) if len(every) > 20 else (every.min(), every.max())
        # How far the target is off is what the figure is for, however few values lie there.
        bound = [track.bound] if math.isfinite(track.bound) else []
        low, high = min(low, *track.low, *bound, high), max(high, *track.high, *bound, low)
        pad = 0.08 * (high - low) or 0.05 * (abs(high) or 1.0)
        ax.set_ylim(low - pad, high + pad)
    ax.set_xlim(0, 1.04 * track.plan)
    ax.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
    ax.set_axisbelow(True)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(step_word))
    ax.set_xlabel("step")
    ax.set_ylabel(plain(track.label, 30))


def _legend(ax: Axes, track: RunTrack) -> None:
    marks = [
        ("logged", LIGHT["ink"], 2.0, "-"),
        (f"forecast of the end, at each look: median and 90{SPACE}%", LIGHT["blue"], 5.0, "-"),
        ("alarm", LIGHT["vermillion"], 1.6, ":"),
    ][: 3 if track.alarms else 2]
    ax.legend(
        handles=[
            Line2D([], [], label=label, color=hue, linewidth=width, linestyle=line) for label, hue, width, line in marks
        ],
        labelcolor=[hue for _, hue, _, _ in marks],
        columnspacing=2, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, handlelength=1.4,
        borderaxespad=0.2, borderpad=0,
    )  # fmt: skip
