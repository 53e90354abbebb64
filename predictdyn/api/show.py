"""Small tables for notebooks: what a person can read at a glance."""

from __future__ import annotations

from html import escape

import pandas as pd

from predictdyn.curves import Curves, Metric

MOST = 20  # rows


def html_table(table: pd.DataFrame, caption: str, most: int = MOST) -> str:
    """A table of at most so many rows, with a line above it, and one below on what is not shown.

    >>> html_table(pd.DataFrame({"n": [1, 2, 3]}), "three", most=2).count("<tr")
    3
    """
    shown = table.head(most)
    body = shown.to_html(index=False, border=0, na_rep="", float_format=lambda number: f"{number:.4g}")
    left = len(table) - len(shown)
    more = f"<p>... and {left} more rows</p>" if left else ""
    return f"<div><p>{escape(caption)}</p>{body}{more}</div>"


def html_of_curves(curves: Curves) -> str:
    """Metrics, their kinds and ranges, and how many runs and points each has."""
    counts = curves.points.groupby("metric").agg(runs=("run", "nunique"), points=("run", "size"))
    rows = [
        {
            "metric": name, "kind": metric.kind, "range": range_of(metric), "better": metric.better or "",
            "runs": int(counts["runs"].get(name, 0)), "points": int(counts["points"].get(name, 0)),
        }
        for name, metric in curves.metrics.items()
    ]  # fmt: skip
    return html_table(pd.DataFrame(rows), f"Curves: {curves.summary()}")


def range_of(metric: Metric) -> str:
    """The bounds of a metric in words.

    >>> range_of(Metric("acc", "capability", 0, 1)), range_of(Metric("loss", "loss", 0.0))
    ('0 to 1', 'from 0')
    """
    low, high = metric.lower, metric.upper
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return f"from {low:g}" if low is not None else f"up to {high:g}" if high is not None else ""
