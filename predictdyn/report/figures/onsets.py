"""Onsets: how likely something has come by each step, and how often what was called likely came."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from predictdyn.report.figures.calibration import SHARE
from predictdyn.report.style import LIGHT, OTHERS, Drawing, canvas, drawing, plain, styled
from predictdyn.report.words import step_word

BINS = 5
RUNS = 8


def paint_onset(ax: Axes, before: pd.DataFrame, runs: Sequence[str]) -> None:
    """The probability by step (run, step, probability) of some runs, at most `RUNS`, on any axes."""
    colours = [LIGHT[name] for name in ("blue", *OTHERS, "vermillion")]
    with styled():
        for i, run in enumerate(runs[:RUNS]):
            own = before[before["run"] == run]
            step, share = np.r_[0, own["step"]], np.r_[0, own["probability"]]
            ax.plot(step, share, color=colours[i % 5], linestyle="-" if i < 5 else "--", label=plain(run, 30))
        ax.set_ylim(-0.02, 1.02)
        ax.yaxis.set_major_formatter(SHARE)
        ax.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.xaxis.set_major_formatter(FuncFormatter(step_word))
        ax.set_xlabel("step")
        ax.set_ylabel("probability that it has come")
        ax.legend(frameon=False, fontsize=8.5)


def curves(before: pd.DataFrame, name: str) -> Drawing:
    """The same as a drawing, of the first runs."""
    with canvas() as (figure, ax):
        paint_onset(ax, before, list(dict.fromkeys(before["run"])))
        return drawing(figure, name)


def reliability(probability: np.ndarray, happened: np.ndarray, name: str) -> Drawing:
    """How often it came among forecasts of about the same probability, in `BINS` bins. Both (n,)."""
    with canvas() as (figure, ax):
        ax.plot([0, 1], [0, 1], color=LIGHT["ink"], linewidth=1, linestyle=(0, (5, 3)))
        place = np.minimum((probability * BINS).astype(int), BINS - 1)
        for one in range(BINS):
            some = place == one
            n = int(some.sum())
            if n:
                share = float(happened[some].mean())
                # Wilson's interval, as wide as one standard error on each side of a share of n.
                middle, half = (
                    (share + 0.5 / n) / (1 + 1 / n),
                    np.sqrt(share * (1 - share) / n + 0.25 / n**2) / (1 + 1 / n),
                )
                x = float(probability[some].mean())
                ax.plot([x, x], [middle - half, middle + half], color=LIGHT["blue"], linewidth=1.6)
                ax.plot([x], [share], color=LIGHT["blue"], marker="o", markersize=3 + min(6, 0.6 * np.sqrt(n)))
                ax.annotate(str(n), (x, share), (5, -9), textcoords="offset points", fontsize=8.5, color=LIGHT["quiet"])
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.02)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(SHARE)
        ax.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
        ax.set_xlabel("forecast probability")
        ax.set_ylabel("share in which it came")
        return drawing(figure, name)
