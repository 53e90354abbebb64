"""The answer of a forecast in words: what each run will become, and how sure that is."""

from __future__ import annotations

import pandas as pd

from predictdyn.report.blocks import Cell, PageAnswer, PageTable, Section, table, words
from predictdyn.report.results import Results
from predictdyn.report.words import SPACE, between, count, cutoffs_of, listed, percent, value

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
        said = [f"{row['metric']} {_interval(row, i == 0)}" for i, (_, row) in enumerate(first.iterrows())]
        headline = f"{runs[0]} is forecast to end with {listed(said)}."
    else:
        metric = str(rows["metric"].iloc[0])
        same = rows[rows["metric"] == metric].sort_values("q0.5")
        low, high = same.iloc[0], same.iloc[-1]
        headline = (
            f"{count(len(runs), 'run')} are forecast to the end: {metric} from {_interval(low, True)} for {low['run']} "
            f"to {_interval(high)} for {high['run']}."
        )
    fell = int((~rows["status"].isin(["ok", "censored"])).sum())
    sentences = [
        f"Each number is the median of {results.primary}, with the interval that should hold the outcome nine times "
        "in ten.",
        f"{fell} of {count(len(rows), 'forecast')} fell back to a simple baseline." if fell else "",
        "No backtest stands behind this page: how far to trust it is not known here. To learn it, run predictdyn "
        "backtest on finished runs of the same make.",
    ]
    cutoff = cutoffs_of(rows["cutoff"])[0]
    return PageAnswer(
        headline, [s for s in sentences if s], forecast_table(rows, runs), str(rows["kind"].iloc[0]), cutoff
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
        "runs; fewer than four families of them say nothing, and metrics then count as independent."
    )
    caption = f"The probability of each event at the last step that was asked.{rest}"
    return Section(
        "events",
        "How likely it is",
        [words(said), table(PageTable(caption, ["run", "event", "probability", "status"], cells, 2))],
    )


def _interval(row: pd.Series, named: bool = False) -> str:
    width = float(row["q0.95"] - row["q0.05"])
    name = f"90{SPACE}% interval " if named else ""
    return f"{value(row['q0.5'], width)} ({name}{between(row['q0.05'], row['q0.95'])})"


def _one_of_each_kind(rows: pd.DataFrame) -> pd.DataFrame:
    """The first metric of each kind, then the second of each."""
    return rows.assign(turn=rows.groupby("kind").cumcount()).sort_values(["turn", "place"], kind="stable")


def forecast_table(rows: pd.DataFrame, runs: list[str]) -> PageTable:
    """What each run will become: a row per run and metric."""
    cells = []
    each = min(max(ROWS // len(runs), 1), METRICS)
    for run in runs[: ROWS // each]:
        for _, row in _one_of_each_kind(rows[rows["run"] == run]).head(each).iterrows():
            width = float(row["q0.95"] - row["q0.05"])
            cells.append(
                [
                    Cell(run),
                    Cell(row["metric"], row["kind"]),
                    Cell(value(row["q0.5"], width), mark="main"),
                    Cell(between(row["q0.05"], row["q0.95"])),
                    Cell(between(row["q0.25"], row["q0.75"], width)),
                    Cell(f"{row['step']:,.0f}"),
                    Cell("ok") if row["status"] == "ok" else Cell(f"fell back: {row['status']}", mark="unsure"),
                ]
            )
    left = len(rows) - len(cells)
    rest = f" {count(left, 'further row')} in forecasts.parquet." if left else ""
    head = ["run", "metric", "median", f"90{SPACE}% interval", f"50{SPACE}% interval", "at step", "status"]
    return PageTable(
        f"The forecast of each run at its last step, in the metric's own units.{rest}", head, cells, names=2
    )
