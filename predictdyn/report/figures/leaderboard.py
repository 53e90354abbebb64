"""Leaderboard: skill of each forecaster as a dot with its interval."""

from __future__ import annotations

import pandas as pd

from predictdyn.report.figures.skill import limits, whisker
from predictdyn.report.style import LIGHT, Drawing, canvas, drawing, named_rows, plain


def draw(rows: pd.DataFrame, labels: list[str], filled: list[bool], main: int | None, name: str) -> Drawing:
    """Rows with skill, skill_lo, skill_hi from the top down; row ``main`` is blue, dots not ``filled`` are hollow."""
    with canvas((4.6, 0.9 + 0.3 * len(rows))) as (figure, ax):
        ax.set_xlim(*limits(rows))
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.axvline(0, color=LIGHT["ink"], linewidth=1)
        for place, (_, row) in enumerate(rows.iterrows()):
            colour = LIGHT["blue"] if place == main else LIGHT["quiet"]
            whisker(ax, place, row, colour, "o", hollow=not filled[place])
        named_rows(ax, [plain(label, 22) for label in labels], main)
        ax.set_xlabel("less error than the best simple guess")
        return drawing(figure, name)
