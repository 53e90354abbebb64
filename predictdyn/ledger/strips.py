"""Strips: the forecasts of one question as bars above each other, and the outcome as a line; a small SVG by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from predictdyn.report.words import value

ROW, SIDE, WIDTH = 22, 8, 560  # a drawing for each of thousands of pages: matplotlib takes 50 ms, this 50 µs


def strip(rows: Sequence[Mapping[str, Any]], truth: float) -> str:
    """Of each forecast (quantile columns) the 90 % and the 50 % range and the median; of the outcome a line."""
    ends = [row[name] for row in rows for name in ("q0.025", "q0.975")] + ([truth] if np.isfinite(truth) else [])
    low, high = min(ends), max(ends)
    wide = high - low if high > low else max(abs(high), 1.0)
    height = ROW * len(rows) + 26

    def x(number: float) -> str:
        return f"{SIDE + (WIDTH - 2 * SIDE) * (number - low) / wide:.1f}"

    parts = []
    for place, row in enumerate(rows):
        middle = ROW * place + ROW / 2
        for lower, upper, size in (("q0.025", "q0.975", 2), ("q0.05", "q0.95", 6), ("q0.25", "q0.75", 12)):
            first, last = float(x(row[lower])), float(x(row[upper]))
            parts.append(
                f'<rect x="{first:.1f}" y="{middle - size / 2:g}" width="{max(last - first, 0.8):.1f}" height="{size}" '
                'fill="var(--blue)" fill-opacity=".35"/>'
            )
        parts.append(
            f'<rect x="{float(x(row["q0.5"])) - 1:.1f}" y="{middle - 8:g}" width="2" height="16" fill="var(--blue)"/>'
        )
    if np.isfinite(truth):
        at = x(truth)
        parts.append(f'<path d="M{at} 0V{height - 22}" stroke="var(--vermillion)" stroke-width="2"/>')
    foot = height - 6
    for number, anchor in ((low, "start"), (high, "end")):
        parts.append(
            f'<text x="{x(number)}" y="{foot}" text-anchor="{anchor}" font-size="13" fill="var(--quiet)">'
            f"{value(number, wide / 4)}</text>"
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" class="drawing" role="img" aria-label="ranges of the forecasts, and the '
        f'outcome">{"".join(parts)}</svg>'
    )
