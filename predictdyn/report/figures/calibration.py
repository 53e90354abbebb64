"""Calibration: where truths fell in their forecasts, and how many of them the intervals held."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from predictdyn.report.style import LIGHT, Drawing, canvas, drawing, styled
from predictdyn.report.words import percent

SHARE = FuncFormatter(lambda y, _: percent(round(y, 6)))


def histogram(pit: np.ndarray, name: str, *, bins: int = 10) -> Drawing:
    """PIT histogram: flat when calibrated. pit (n,) in [0, 1]."""
    counts, edges = np.histogram(pit, bins=bins, range=(0, 1))
    with canvas() as (figure, ax):
        ax.bar(
            edges[:-1], counts / max(len(pit), 1), np.diff(edges) * 0.92, align="edge", color=LIGHT["blue"], alpha=0.75
        )
        ax.axhline(1 / bins, color=LIGHT["ink"], linewidth=1, linestyle=(0, (5, 3)))
        ax.yaxis.set_major_locator(MaxNLocator(5))
        ax.yaxis.set_major_formatter(SHARE)
        ax.set_xlim(0, 1)
        ax.set_xlabel("where the outcome fell in its forecast (PIT)")
        ax.set_ylabel("share of outcomes")
        return drawing(figure, name)


def difference(grid: np.ndarray, gap: np.ndarray, low: np.ndarray, high: np.ndarray, name: str) -> Drawing:
    """ECDF of the PIT less the uniform, over its simultaneous band around zero. All (m,)."""
    with canvas() as (figure, ax):
        ax.fill_between(grid, low, high, color=LIGHT["quiet"], alpha=0.22, linewidth=0)
        ax.axhline(0, color=LIGHT["ink"], linewidth=1)
        ax.plot(grid, gap, color=LIGHT["blue"])
        out = (gap < low) | (gap > high)
        if out.any():
            ax.plot(grid[out], gap[out], linestyle="", marker="x", markersize=4.5, color=LIGHT["vermillion"])
        ax.set_xlim(0, 1)
        ax.yaxis.set_major_locator(MaxNLocator(5, symmetric=True))
        ax.set_xlabel("where the outcome fell in its forecast (PIT)")
        ax.set_ylabel("ECDF less uniform")
        ax.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
        return drawing(figure, name)


def coverage(levels: list[float], held: Sequence[tuple[float, float, float]], name: str) -> Drawing:
    """Share of truths held by the intervals of each level, with (share, low, high), against what they promise."""
    with canvas() as (figure, ax):
        paint_coverage(ax, levels, held)
        return drawing(figure, name)


def paint_coverage(ax: Axes, levels: list[float], held: Sequence[tuple[float, float, float]]) -> None:
    """The same on any axes."""
    with styled():
        bottom = min([0.4, *(low for _, low, _ in held)])
        ax.plot([bottom, 1], [bottom, 1], color=LIGHT["ink"], linewidth=1, linestyle=(0, (5, 3)))
        for level, (share, low, high) in zip(levels, held, strict=True):
            ax.plot([level, level], [low, high], color=LIGHT["blue"], linewidth=1.6)
            ax.plot([level], [share], color=LIGHT["blue"], marker="o", markersize=6)
        ax.set_xlim(0.44, 1)
        ax.set_ylim(max(bottom - 0.03, -0.02), 1.02)
        ax.set_xticks(levels, [percent(level) if level != 0.9 else "90" for level in levels])
        ax.yaxis.set_major_locator(MaxNLocator(5))
        ax.yaxis.set_major_formatter(SHARE)
        ax.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
        ax.set_xlabel("promised by the interval")
        ax.set_ylabel("outcomes inside")
