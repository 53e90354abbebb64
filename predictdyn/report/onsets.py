"""The section on onsets: how likely and when something will first hold, or how well that was forecast."""

from __future__ import annotations

import pandas as pd

from predictdyn.backtest.onsets import BASELINES
from predictdyn.fitting.chains import LOST, MET
from predictdyn.report.blocks import Cell, PageTable, Section, Shown, figures, table, words
from predictdyn.report.downloads import download
from predictdyn.report.figures import onsets as drawn
from predictdyn.report.results import Results
from predictdyn.report.words import SPACE, at_cutoff, count, percent, percents, step_word, value

ROWS = 40
HAZARD = "hazard"


def expected(results: Results) -> Section | None:
    """Of a forecast: the probability of each onset before the end, and its step; nothing where none was asked for."""
    rows = results.onset
    if rows.empty:
        return None
    cells = [
        [Cell(row["run"]), Cell(row["event"]), Cell(percent(row["probability"]), mark="main"), Cell(_steps(row)),
         Cell(_step(row["q0.5"])), Cell("ok") if row["status"] == "ok" else Cell(row["status"], mark="unsure")]
        for _, row in rows.head(ROWS).iterrows()
    ]  # fmt: skip
    left = len(rows) - len(cells)
    rest = f" {count(left, 'further row')} in onset.csv." if left else ""
    said = (
        "When each event first holds, as far as finished runs tell. A finished run in which it never held counts as "
        "not yet, not as never. Where a step is missing, the event does not come before the planned end with more "
        "than that probability. This is a model of its own, of when finished runs got there. Events that are forecast "
        "from the draws of the outcomes can differ from it by the errors of both."
    )
    head = ["run", "event", "before the end", f"90{SPACE}% interval of the step", "median step", "status"]
    shown = []
    for i, event in enumerate(dict.fromkeys(results.onset_steps["event"])):
        own = results.onset_steps[results.onset_steps["event"] == event]
        runs = own["run"].nunique()
        caption = f"The probability that it has come by each step, of {min(runs, drawn.RUNS)} of {count(runs, 'run')}."
        shown.append(Shown(drawn.curves(own, f"onset-{i + 1}"), event, caption))
    content = PageTable(f"The onset of each event.{rest}", head, cells, 2, download(rows, "onset.csv"))
    return Section("onset", "When it comes", [words(said, _chains(rows)), figures(shown), table(content)], paper=True)


def replayed(results: Results) -> Section | None:
    """Of a backtest: Brier score and censored CRPS beside the baselines, and a reliability picture."""
    board, rows = results.onset_scores, results.onsets
    if board.empty:
        return None
    event = str(rows["event"].iloc[0])
    cells = []
    for _, row in board.iterrows():
        simple = row["forecaster"] in BASELINES
        cells.append([
            Cell(at_cutoff(row["cutoff"])), Cell(row["forecaster"], "simple guess" if simple else ""),
            Cell(value(row["brier"], 0.1)), _gain(row, "brier"), Cell(value(row["crps"], 0.01)), _gain(row, "crps"),
            Cell(percent(row["base_rate"])),
            Cell(f"{row['n_runs']:,.0f}", count(row["n_families"], "family", "families")),
        ])  # fmt: skip
    shown = []
    own = rows[(rows["forecaster"] == HAZARD) & rows["happened"].notna()]
    for i, (cutoff, part) in enumerate(own.groupby("cutoff", sort=True)):
        picture = drawn.reliability(part["probability"].to_numpy(), part["happened"].to_numpy(), f"reliability-{i + 1}")
        said = (
            f"{count(len(part), 'run')}. Dots on the dashed line are right; numbers are runs in a bin. Lines are one "
            "standard error."
        )
        shown.append(Shown(picture, f"{at_cutoff(float(cutoff))} seen", said))  # type: ignore[arg-type]
    intro = (
        f"Whether and when {event} first held, forecast for runs in which it had not held yet. The Brier score is the "
        "squared error of a probability. The CRPS of the onset is its error in time, in shares of the planned run, "
        "counted as far as the log goes."
    )
    caption = (
        "Skill is the share of the better simple guess's score that is removed, with its 90 % interval. The hazard by "
        "age knows only how many finished runs had it by then."
    )
    head = ["seen", "forecast", "Brier", "skill", "CRPS of the onset", "skill", "base rate", "runs"]
    content = PageTable(caption, head, cells, 2, download(board, "onset_scores.csv"))
    return Section("onset", f"When {event}", [words(intro, _chains(rows)), figures(shown), table(content)])


def _chains(rows: pd.DataFrame) -> str:
    """How well the chains that drew the hazard mixed, at worst; nothing where none drew it."""
    drawn_by_chains = rows[rows["rhat"].notna()] if "rhat" in rows else rows.head(0)
    if drawn_by_chains.empty:
        return ""
    rhat, lost = drawn_by_chains["rhat"].max(), drawn_by_chains["divergent"].max()
    return (
        f"Of the chains that drew the hazard R-hat is at most {rhat:.2f}, at least "
        f"{drawn_by_chains['effective'].min():,.0f} draws count, and at most {lost:.1%} of paths diverged. Chains with "
        f"more than {MET} or {LOST:.0%} have not met."
    )


def _gain(row: pd.Series, score: str) -> Cell:
    low, high = row[f"{score}_skill_lo"], row[f"{score}_skill_hi"]
    return Cell(percent(row[f"{score}_skill"]), percents(low, high), "good" if low > 0 else "")


def _step(step: float) -> str:
    return step_word(step) if step == step else "not before the end"


def _steps(row: pd.Series) -> str:
    if row["q0.05"] != row["q0.05"]:
        return "not before the end"
    return f"{step_word(row['q0.05'])} to {_step(row['q0.95'])}"
