"""The answer of a forecast in words: what each run will become, and how sure that is."""

from __future__ import annotations

import pandas as pd

from predictdyn.backtest.decay import AHEAD
from predictdyn.backtest.modes import MODES
from predictdyn.report import replayed
from predictdyn.report.blocks import Cell, PageAnswer, PageTable, Section, table, words
from predictdyn.report.downloads import download
from predictdyn.report.results import QUANTILES, Results
from predictdyn.report.words import SPACE, between, both_modes, count, cutoffs_of, listed, percent, value, width_of

ROWS = 40  # of the table: fewer metrics of each run, the more runs there are
METRICS = 5


def answer(results: Results) -> PageAnswer:
    """What a forecast says: median and interval of each run's outcomes at its last step."""
    rows = results.own()
    rows = rows.loc[rows.groupby(["run", "metric"], sort=False)["step"].idxmax()]
    rows = rows.assign(place=rows["kind"].map(results.outcomes.index)).sort_values(["run", "place", "metric"])
    runs = list(dict.fromkeys(rows["run"]))
    first = _one_of_each_kind(rows[rows["run"] == runs[0]]).head(3)
    if len(runs) == 1:
        said = [
            f"{results.label(row['metric'])} {_interval(results, row, i == 0)}"
            for i, (_, row) in enumerate(first.iterrows())
        ]
        headline = f"{runs[0]} is forecast to end with {listed(said)}."
    else:
        metric = str(rows["metric"].iloc[0])
        same = rows[rows["metric"] == metric].sort_values("q0.5")
        headline = f"{count(len(runs), 'run')} are forecast to the end. {_range(results, same)}"
    unsure = int((rows["status"] == AHEAD).sum())
    fell = int((~rows["status"].isin(["ok", "censored", AHEAD])).sum())
    sentences = [
        f"Each number is the median forecast of {results.speaker}. The 90{SPACE}% interval should contain the outcome "
        "nine times in ten.",
        _of_modes(rows),
        *replayed.sentences(results),
        f"{fell} of {count(len(rows), 'forecast')} fell back to a simple guess: see the column status." if fell else "",
        f"{unsure} of {count(len(rows), 'forecast')} {'is' if unsure == 1 else 'are'} less sure: see the column status."
        if unsure
        else "",
    ]
    cutoff = cutoffs_of(rows["cutoff"])[0]
    shown = forecast_table(results, rows, runs)
    kind = str(rows["kind"].iloc[0])
    return PageAnswer(headline, [s for s in sentences if s], shown, kind, cutoff, replayed.table(results))


def _of_modes(rows: pd.DataFrame) -> str:
    """How many forecasts have two modes; blank where none has."""
    n = int(rows["upper"].notna().sum()) if "upper" in rows else 0
    if not n:
        return ""
    return (
        f"{n} of {count(len(rows), 'forecast')} {'has' if n == 1 else 'have'} two modes: the run ends in one or in the "
        "other, and hardly between them. The median says little there; the table has both."
    )


def probabilities(results: Results) -> Section | None:
    """How likely each joint event is for each run; nothing where none was asked for."""
    rows = results.probabilities
    if rows.empty:
        return None
    cells = [
        [Cell(row["run"]), Cell(row["event"]), Cell(percent(row["probability"]), mark="main"),
         Cell("ok") if row["status"] == "ok" else Cell(row["status"], mark="unsure")]
        for _, row in rows.head(ROWS).iterrows()
    ]  # fmt: skip
    left = len(rows) - len(cells)
    rest = f" {count(left, 'further row')} in probabilities.csv." if left else ""
    said = (
        "The share of joint draws in which all of an event holds. How metrics move together is learnt from finished "
        "runs. With fewer than four families of them, metrics count as independent."
    )
    head = ["run", "event", "probability", "status"]
    caption = f"The probability of each event at the last step that was asked.{rest}"
    return Section(
        "events",
        "How likely it is",
        [words(said), table(PageTable(caption, head, cells, 2, download(rows, "probabilities.csv")))],
        paper=True,
    )


def _range(results: Results, same: pd.DataFrame) -> str:
    """One metric of several runs, in order of their medians: the lowest and the highest, each with its interval."""
    label, low, high = results.label(str(same["metric"].iloc[0])), same.iloc[0], same.iloc[-1]
    if len(same) == 1:
        return f"{label}: {_interval(results, low, True)} for {low['run']}."
    unit = results.unit(low["metric"])
    width = float(min(low["q0.95"] - low["q0.05"], high["q0.95"] - high["q0.05"]))
    return (
        f"{label}: {between(low['q0.5'], high['q0.5'], width)}{f' {unit}' if unit else ''}, lowest "
        f"{_interval(results, low, True)} for {low['run']} and highest {_interval(results, high)} for {high['run']}."
    )


def _interval(results: Results, row: pd.Series, named: bool = False) -> str:
    unit = results.unit(row["metric"])
    width = width_of(float(row["q0.05"]), float(row["q0.95"]))
    # Between two modes lies a median that no run reaches.
    if both_modes(row):
        return f"in one of two modes ({both_modes(row)})"
    name = f"90{SPACE}% interval " if named else ""
    return f"{value(row['q0.5'], width)}{f' {unit}' if unit else ''} ({name}{between(row['q0.05'], row['q0.95'])})"


def _one_of_each_kind(rows: pd.DataFrame) -> pd.DataFrame:
    """The first metric of each kind, then the second of each."""
    return rows.assign(turn=rows.groupby("kind").cumcount()).sort_values(["turn", "place"], kind="stable")


def _status(status: str) -> Cell:
    if status in ("ok", AHEAD):
        return Cell(status, mark="" if status == "ok" else "unsure")
    return Cell(f"fell back: {status}", mark="unsure")


def forecast_table(results: Results, rows: pd.DataFrame, runs: list[str]) -> PageTable:
    """What each run will become: a row per run and metric."""
    cells = []
    each = min(max(ROWS // len(runs), 1), METRICS)
    for run in runs[: ROWS // each]:
        for _, row in _one_of_each_kind(rows[rows["run"] == run]).head(each).iterrows():
            width = width_of(float(row["q0.05"]), float(row["q0.95"]))
            cells.append(
                [
                    Cell(run),
                    _outcome(results, row),
                    Cell(value(row["q0.5"], width), both_modes(row), mark="main"),
                    Cell(between(row["q0.05"], row["q0.95"])),
                    Cell(between(row["q0.25"], row["q0.75"], width)),
                    Cell(f"{row['step']:,.0f}"),
                    _status(str(row["status"])),
                ]
            )
    left = len(rows) - len(cells)
    rest = f" {count(left, 'further row')} in forecasts.parquet." if left else ""
    head = ["run", "outcome", "median", f"90{SPACE}% interval", f"50{SPACE}% interval", "at step", "status"]
    caption = f"The forecast of each run at its last step, in the metric's own units.{rest}"
    kept = ["run", "metric", "kind", "step", "status", "mean", "sd", *QUANTILES, *(n for n in MODES if n in rows)]
    return PageTable(caption, head, cells, 2, download(rows[kept], "forecasts.csv"))


def _outcome(results: Results, row: pd.Series) -> Cell:
    """The words for a metric, below them its exact name where that is another, and its kind."""
    named, unit = results.label(row["metric"]), results.unit(row["metric"])
    exact = [row["metric"]] if named != row["metric"] else []
    return Cell(named + (f" ({unit})" if unit else ""), " · ".join([*exact, row["kind"]]), name=row["metric"])
