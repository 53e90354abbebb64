"""The page of a replay of alarms: what was asked, what rang, what was caught, as tables and words."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from predictdyn.watch.replay import AlarmReplay

HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Alarms</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .75rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}</style></head><body>"""
NO_TROUBLE = (
    "No finished run had a trouble, so nobody can tell what these alarms catch. A run that failed counts as healthy "
    "until events.csv of a tidy folder says since when it went wrong (columns run, step, what)."
)
SHARES = ("measured", "low", "high", "caught", "lead", "before")


def page(found: AlarmReplay, folder: Path) -> Path:
    """Write ``alarms.html`` into a folder."""
    lines = [HEAD, "<h1>Alarms, replayed</h1>", *(f"<p>{escape(line)}</p>" for line in verdicts(found))]
    told = {
        "False alarms": (found.rates, "Healthy runs that ever rang, families counting alike, with 90 % intervals."),
        "Catches": (found.catches, "Lead is the share of the run before the trouble; a delay is negative."),
        "Cost": (found.cost, "The rate to ask for, where a missed trouble costs so many false alarms."),
    }
    if not len(found.catches):
        del told["Catches"], told["Cost"]
    for title, (table, words) in told.items():
        lines += [f"<h2>{title}</h2>", f"<p>{words}</p>", _table(table)]
    file = folder / "alarms.html"
    file.write_text("\n".join([*lines, "</body></html>"]), encoding="utf-8")
    return file


def verdicts(found: AlarmReplay) -> list[str]:
    """What a reader should know first, a sentence each."""
    lines = []
    for row in found.rates.to_dict("records"):
        held = (
            "no more than was asked" if row["measured"] <= row["asked"]
            else "more than was asked, but not surely so" if row["low"] <= row["asked"] else "more than was asked"
        )  # fmt: skip
        lines.append(
            f"Asked for {row['asked']:.0%}: {row['rang']} of {row['runs']} healthy runs rang ({row['measured']:.1%}, "
            f"{row['low']:.1%} to {row['high']:.1%}), which is {held}."
        )
    if not len(found.catches):
        lines.append(NO_TROUBLE)
    # Each fold has a number of families of its own, and one of them says enough.
    notes = {re.sub(r"\d+ families", "", line): line for line in reversed(found.notes)}
    return [*lines, *(f"{line[0].upper()}{line[1:]}." for line in reversed(notes.values()))]


def _table(table: pd.DataFrame) -> str:
    shown = table.copy()
    for name in shown:
        if name in SHARES:
            shown[name] = [f"{value:.1%}" if pd.notna(value) else "" for value in shown[name]]
    return shown.to_html(index=False, border=0, na_rep="", float_format=lambda value: f"{value:.4g}")
