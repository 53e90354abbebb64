"""Skill by cutoff: how much better than the best simple baseline, the more of a run is seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from predictdyn.report.style import LIGHT, MARKERS, OTHERS, Drawing, canvas, drawing, plain, styled
from predictdyn.report.words import at_cutoff, cutoffs_of, percent

COLOURS = ("blue", *OTHERS, "vermillion", "quiet")
SIGNS = ("o", *MARKERS, "v", "P")
FLOOR, CEILING = -1.0, 1.0  # skill is at most 1; below -1 the forecaster is out of the question, not of interest


def limits(rows: pd.DataFrame) -> tuple[float, float]:
    """An axis that holds every skill with its interval and zero, but no more than makes sense to look at."""
    edges = rows[["skill", "skill_lo", "skill_hi"]].to_numpy(dtype=float)
    edges = edges[np.isfinite(edges)]
    low, high = (float(edges.min()), float(edges.max())) if len(edges) else (0.0, 0.1)
    low, high = max(min(low, 0.0), FLOOR), min(max(high, 0.1), CEILING)
    pad = 0.06 * (high - low)
    return low - pad, high + pad


def whisker(
    ax: Axes, place: float, row: pd.Series, colour: str, marker: str, *, hollow: bool = False, upright: bool = False
) -> None:
    """One skill with its interval; what lies beyond the axis ends in an arrow at its edge."""
    low, high = ax.get_ylim() if upright else ax.get_xlim()
    middle, left, right = (float(row[name]) for name in ("skill", "skill_lo", "skill_hi"))

    def draw(values: list[float], **look: Any) -> None:
        places = [place] * len(values)
        ax.plot(*((places, values) if upright else (values, places)), color=colour, **look)

    if math.isfinite(left) and math.isfinite(right) and left < high and right > low:
        draw([max(left, low), min(right, high)], linewidth=1.6)
    if middle < low:
        draw([low], marker="v" if upright else "<", markersize=6, clip_on=False, linestyle="")
    elif math.isfinite(middle):
        face = LIGHT["paper"] if hollow else colour
        draw([middle], marker=marker, markersize=6, markerfacecolor=face, markeredgewidth=1.4, zorder=4, linestyle="")


def draw(verdicts: pd.DataFrame, names: list[str], kind: str, name: str) -> Drawing:
    """One kind: skill of the forecasters ``names`` (the primary one first) at each cutoff."""
    with canvas() as (figure, ax):
        rows = verdicts[verdicts["kind"] == kind]
        paint(ax, {one: rows[rows["forecaster"] == one] for one in names})
        return drawing(figure, name)


def paint(ax: Axes, lines: Mapping[str, pd.DataFrame]) -> None:
    """Verdicts by the word for them, the main ones first, on any axes."""
    rows = pd.concat(lines.values())
    shares = cutoffs_of(rows["cutoff"])
    with styled():
        low, high = limits(rows)
        # Where panels share the axis, or something is drawn already, it must hold all of it.
        for other in ax.get_shared_y_axes().get_siblings(ax):
            if other.has_data():
                low, high = min(low, other.get_ylim()[0]), max(high, other.get_ylim()[1])
        ax.set_ylim(low, high)
        ax.axhline(0, color=LIGHT["ink"], linewidth=1)
        for i, (word, own) in enumerate(lines.items()):
            colour, marker = LIGHT[COLOURS[i % len(COLOURS)]], SIGNS[i % len(SIGNS)]
            own = own.sort_values("cutoff")
            place = np.searchsorted(shares, own["cutoff"]) + 0.11 * (i - (len(lines) - 1) / 2)
            shown = own["skill"].clip(lower=ax.get_ylim()[0])
            ax.plot(place, shown, color=colour, linewidth=1.8 if i == 0 else 1, label=plain(word, 20))
            for x, (_, row) in zip(place, own.iterrows(), strict=True):
                whisker(ax, x, row, colour, marker, hollow=i > 0, upright=True)
        ax.set_xlim(-0.4, len(shares) - 0.6)
        ax.set_xticks(range(len(shares)), [at_cutoff(share) for share in shares])
        ax.set_xlabel("share of the run that is seen")
        ax.set_ylabel("skill")
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: percent(round(y, 6))))
        ax.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
        if len(lines) > 1:
            ax.legend(
                loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False, fontsize=9, columnspacing=1.2
            )
