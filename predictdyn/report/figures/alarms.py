"""Alarms: what each rule catches beside what it costs in false alarms, and when alarms rang."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from predictdyn.report.style import LIGHT, NARROW, WIDE, Drawing, canvas, drawing, named_rows, plain
from predictdyn.report.words import percent, readable

KINDS = 12  # of troubles in one figure


def rules(rows: pd.DataFrame, labels: list[str], asked: float, name: str, *, wide: bool) -> Drawing:
    """Rows of rules from the top down: the share of troubles caught, and of healthy runs that rang, with its interval.

    The first row is that of the learnt alarms.
    """
    width = (WIDE if wide else NARROW)[0]
    with canvas((width, 1.35 + 0.36 * len(rows))) as (figure, ax):
        caught = (rows["caught"] / rows["troubles"].where(rows["troubles"] > 0)).to_numpy(dtype=float)
        for place, (row, share) in enumerate(zip(rows.to_dict("records"), caught, strict=True)):
            colour = LIGHT["blue"] if not place else LIGHT["quiet"]
            ax.plot([row["low"], row["high"]], [place + 0.16] * 2, color=LIGHT["vermillion"], linewidth=1.6)
            ax.plot([row["measured"]], [place + 0.16], marker="D", color=LIGHT["vermillion"], markersize=4.5)
            if np.isfinite(share):
                ax.plot([0, share], [place - 0.16] * 2, color=colour, linewidth=1)
                ax.plot([share], [place - 0.16], marker="o", color=colour, markersize=7)
        ax.axvline(asked, color=LIGHT["ink"], linewidth=0.9, linestyle=(0, (5, 3)))
        top = np.nanmax([0.1, *caught, *rows["high"]])
        ax.set_xlim(0, min(1.06 * top, 1.03))
        _frame(ax, labels, main=0)
        ax.set_xlabel("share of troubles, or of healthy runs" if np.isfinite(caught).any() else "share of healthy runs")
        marks = [Line2D([], [], marker="o", color=LIGHT["blue"], label="troubles caught")]
        marks = marks if np.isfinite(caught).any() else []
        marks.append(
            Line2D([], [], marker="D", color=LIGHT["vermillion"], label="healthy runs that rang", markersize=4.5)
        )
        asked_for = f"asked: {percent(asked)}"
        marks.append(Line2D([], [], color=LIGHT["ink"], linewidth=0.9, linestyle=(0, (5, 3)), label=asked_for))
        ax.legend(
            handles=marks, loc="lower left", bbox_to_anchor=(0, 1), ncols=3 if wide else 2, frameon=False,
            handlelength=1.4, columnspacing=1.6, borderaxespad=0.2, borderpad=0, fontsize=10 if wide else 9,
        )  # fmt: skip
        return drawing(figure, name)


def delays(runs: pd.DataFrame, name: str) -> Drawing:
    """When the alarm of each troubled run that was caught rang: a row for each trouble, which began at 0.

    Of many troubles the `KINDS` that most runs had.
    """
    troubles = list(dict.fromkeys(runs["trouble"]))
    usual = set(runs["trouble"].value_counts().index[:KINDS])
    troubles = [trouble for trouble in troubles if trouble in usual]
    with canvas((5.6, 1.1 + 0.42 * len(troubles))) as (figure, ax):
        ax.axvline(0, color=LIGHT["ink"], linewidth=1)
        labels = []
        for place, trouble in enumerate(troubles):
            mine = runs[runs["trouble"] == trouble]
            delay = -mine.loc[mine["caught"], "lead"].to_numpy(dtype=float)
            # Many ring at the same checkpoint: runs lie one above the other, in order.
            height = place + 0.28 * np.linspace(-1, 1, len(delay)) if len(delay) > 1 else np.full(len(delay), place)
            ax.plot(np.sort(delay), height, marker="o", linestyle="", color=LIGHT["blue"], markersize=4, alpha=0.6)
            labels.append(f"{plain(readable(trouble), 22)}\n{len(delay)} of {len(mine)} caught")
        _frame(ax, labels)
        ax.margins(x=0.06)
        low, high = ax.get_xlim()
        ax.set_xlim(min(low, -0.02), max(high, 0.02))
        ax.set_xlabel("delay of the alarm, as a share of the run")
        return drawing(figure, name)


def _frame(ax: Axes, labels: list[str], main: int | None = None) -> None:
    ax.set_ylim(len(labels) - 0.45, -0.55)
    named_rows(ax, labels, main)
