"""Trust in a forecast: how well the user's own finished runs are forecast at the same progress, from ``trust.csv``."""

from __future__ import annotations

import numpy as np
import pandas as pd

from predictdyn.report.blocks import Cell, PageTable
from predictdyn.report.downloads import download
from predictdyn.report.results import Results
from predictdyn.report.words import SPACE, count, cutoffs_of, listed, percent, percents, readable

ROWS = 40  # on the page; the rest is in the file


def sentences(results: Results) -> list[str]:
    """How far to trust the forecasts of a page, or how to find out."""
    rows = results.trust
    if rows.empty and _alone(results):
        return [
            "No other run here has ended, so nothing says how far to trust these numbers. "
            "Once some runs have ended, predictdyn backtest says it."
        ]
    if rows.empty:
        share = cutoffs_of(results.forecasts["cutoff"])[0]
        cut = f" at the cutoff {share:.2g}" if 0 < share < 1 else ""
        return [
            "No finished runs were replayed for this page. "
            f"A backtest of your finished runs{cut} says how far to trust these numbers (predictdyn backtest)."
        ]
    known = _known(rows)
    if known.empty:
        note = rows["note"].iloc[0] or "no finished run reaches this far"
        return [f"There are too few finished runs to say how far to trust these numbers ({note})."]
    own = known[~_borrowed(known)]
    said = []
    if len(own):
        better = own.loc[own["skill_lo"] > 0, "metric"].nunique()
        runs = f"{own['n_runs'].max():,.0f} of your finished runs"
        said.append(
            f"In replays of {runs}, the forecasts beat the best simple guess reliably for {better} of "
            f"{count(own['metric'].nunique(), 'outcome')}."
        )
    held = own["coverage_90"]
    if held.notna().any():
        low, high = held.min(), held.max()
        shares = percent(low) if percent(low) == percent(high) else percents(low, high)
        said.append(f"The 90{SPACE}% intervals contained the outcome in {shares} of cases.")
    others = [name for name in dict.fromkeys(known["metric"]) if name not in set(own["metric"])]
    if others:
        said.append(
            "These were not replayed themselves, and are judged by those of the same kind: "
            f"{listed([results.label(name) for name in others], 4)}."
        )
    few = [name for name in dict.fromkeys(rows["metric"]) if name not in set(known["metric"])]
    if few:
        said.append(f"Too few finished runs to say: {listed([results.label(name) for name in few], 4)}.")
    return said


def _alone(results: Results) -> bool:
    """Whether every run of the data is forecast from all that it logged, and no model brought others."""
    data, plan = results.provenance.get("data") or {}, results.provenance.get("plan") or {}
    hidden = plan.get("cutoff") is not None or plan.get("upto") is not None
    return not (hidden or plan.get("model")) and data.get("runs") == results.forecasts["run"].nunique()


def table(results: Results) -> PageTable | None:
    """What replays say of each metric; None where no runs were replayed."""
    rows = results.trust
    if rows.empty:
        return None
    sure, borrowed = _known(rows).index, rows.index[_borrowed(rows)]
    cells = []
    for place, row in rows.head(ROWS).iterrows():
        named = results.label(row["metric"])
        note = row["kind"] if named != row["kind"] else ""
        if place in borrowed:
            note = f"not replayed; rests on {listed([results.label(name) for name in row['rests_on'].split(', ')], 4)}"
        outcome = Cell(named, note, name=row["metric"])
        runs = Cell(
            _number(row["n_runs"]), count(row["n_families"], "family", "families") if _is(row["n_families"]) else ""
        )
        if place in sure:
            good = row["skill_lo"] > 0
            skill = Cell(percent(row["skill"]), percents(row["skill_lo"], row["skill_hi"]), "good" if good else "bad")
            judged = [skill, Cell(readable(row["baseline"]), name=row["baseline"]), Cell(percent(row["coverage_90"]))]
        else:
            judged = [Cell("too few", row["note"], "unsure"), Cell("–", mark="quiet"), Cell("–", mark="quiet")]
        cells.append([outcome, Cell(percent(row["progress"])), *judged, runs])
    left = len(rows) - len(cells)
    caption = (
        "How far to trust these forecasts: your own finished runs were cut at "
        f"{_where(results)} and forecast again. "
        "Skill is the share of the best simple guess's error that the forecast removes, with its "
        f"90{SPACE}% interval. Where that reaches below zero, the forecast is not reliably better than such a "
        f"guess, but may be close.{f' {left:,} further rows are in trust.csv.' if left else ''}"
    )
    head = ["outcome", "progress", "skill", "best simple guess", f"inside 90{SPACE}%", "finished runs"]
    return PageTable(caption, head, cells, download=download(rows, "trust.csv"))


def _where(results: Results) -> str:
    """At which progress finished runs were cut, where it is not what is seen of the runs in question."""
    cut = [percent(share) for share in cutoffs_of(results.trust["progress"].dropna())]
    seen = [percent(share) for share in cutoffs_of(results.forecasts["cutoff"].dropna())]
    if not cut or not seen or set(cut) == set(seen):
        return "the same progress"
    shares = f"{seen[0]} to {seen[-1]}" if len(seen) > 2 else listed(seen)
    return f"{listed(cut)}, the nearest progress that was replayed (seen: {shares}),"


def _known(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that say something: no note that runs are too few, and a skill."""
    judged: pd.Series[bool] = (rows["note"] == "") & np.isfinite(rows["skill"].astype(float))
    return rows.loc[judged]


def _borrowed(rows: pd.DataFrame) -> pd.Series[bool]:
    """The rows of metrics that were not replayed themselves, and rest on others of their kind."""
    rests: pd.Series[bool] = (rows["rests_on"] != "") & (rows["rests_on"] != rows["metric"])
    return rests


def _is(number: float) -> bool:
    return bool(np.isfinite(number))


def _number(number: float) -> str:
    return f"{number:,.0f}" if _is(number) else "–"
