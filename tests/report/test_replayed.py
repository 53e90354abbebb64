"""A page of forecasts says how far to trust it, from the table that replays of finished runs left."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from predictdyn.report import outlook, publish, replayed
from predictdyn.report.results import read

TRUST = """metric,kind,progress,skill,skill_lo,skill_hi,baseline,coverage_90,n_runs,n_families,note
accuracy,capability,0.25,0.31,0.18,0.42,last_value,0.91,24,12,
bias_gap,bias,0.25,0.12,-0.03,0.25,mean_change,0.875,22,11,
exact_recall,memorization,0.25,,,,,,3,1,3 finished runs of 1 family; 5 are needed
"""


@pytest.fixture
def replays(forecast: Path, tmp_path: Path) -> Path:
    """A folder of forecasts with a table of trust."""
    folder = Path(shutil.copytree(forecast, tmp_path / "replays"))
    (folder / "trust.csv").write_text(TRUST)
    return folder


def test_page_says_how_well_finished_runs_were_forecast(replays: Path) -> None:
    page = publish(replays).read_text(encoding="utf-8").replace("\u00a0", " ")
    head = page.split("</header>")[0]
    assert "In replays of 24 of your finished runs, the forecasts beat the best simple guess reliably" in head
    assert "reliably for 1 of 2 outcomes." in head
    assert "The 90 % intervals contained the outcome in 88 to 91 % of cases." in head
    assert "Too few finished runs to say: exact recall." in head
    assert "No finished runs were replayed" not in page
    table = page.split('<div class="trust matrix">')[1].split("</div>")[0]
    assert page.index('<div class="verdicts') < page.index('<div class="trust matrix">') < page.index("<nav aria-label")
    assert "31 %<small>18 to 42 %</small>" in table and "12 %<small>−3 to 25 %</small>" in table
    assert re.search(r"too few<small>3 finished runs of 1 family; 5 are needed</small>", table)
    assert "last value" in table and "24<small>12 families</small>" in table
    assert "How far to trust these forecasts" in (replays / "report.md").read_text(encoding="utf-8")


def test_the_table_says_where_finished_runs_were_cut_if_not_at_what_is_seen(replays: Path) -> None:
    results = read(replays)
    for seen, where in ((0.25, "at the same progress and"), (0.35, "at 25 %, the nearest progress that was replayed")):
        table = replayed.table(replace(results, forecasts=results.forecasts.assign(cutoff=seen)))
        assert table and f"finished runs were cut {where}" in table.caption.replace("\u00a0", " ")
    assert table and "(seen: 35\u00a0%), and forecast again" in table.caption


def test_a_metric_that_was_not_replayed_is_not_counted_and_names_those_it_rests_on(replays: Path) -> None:
    head, accuracy, gap, _ = TRUST.splitlines()
    lines = [f"{head},rests_on", f"{accuracy},accuracy", f"{gap},accuracy"]
    (replays / "trust.csv").write_text("\n".join(lines) + "\n")
    said = replayed.sentences(read(replays))
    assert said[0].endswith("reliably for 1 of 1 outcome.")
    assert said[1].endswith("contained the outcome in 91\u00a0% of cases.")
    judged = "These were not replayed themselves, and are judged by those of the same kind: bias gap."
    assert said[2:] == [judged]
    table = replayed.table(read(replays))
    assert table and [row[0].note for row in table.rows] == ["capability", "not replayed; rests on accuracy"]
    (replays / "trust.csv").write_text("\n".join([lines[0], lines[2]]) + "\n")
    assert replayed.sentences(read(replays)) == [judged]


def test_trust_that_rests_on_too_few_runs_says_so(replays: Path) -> None:
    (replays / "trust.csv").write_text("".join(TRUST.splitlines(keepends=True)[i] for i in (0, 3)))
    said = replayed.sentences(read(replays))
    assert said == [
        "There are too few finished runs to say how far to trust these numbers "
        "(3 finished runs of 1 family; 5 are needed)."
    ]
    table = replayed.table(read(replays))
    assert table and [cell.mark for cell in table.rows[0]][2] == "unsure"


def test_without_replays_the_page_says_how_to_get_them(forecast: Path) -> None:
    results = read(forecast)
    answer = outlook.answer(results)
    assert answer.trust is None
    assert any("A backtest of your finished runs at the cutoff 0.25 says" in line for line in answer.sentences)
    begun = replace(results, forecasts=results.forecasts.assign(cutoff=0.0))
    assert "A backtest of your finished runs says" in replayed.sentences(begun)[0]


def test_equal_shares_are_said_once(replays: Path) -> None:
    table = pd.read_csv(replays / "trust.csv").assign(coverage_90=0.9)
    table.to_csv(replays / "trust.csv", index=False)
    assert "contained the outcome in 90\u00a0% of cases" in " ".join(replayed.sentences(read(replays)))


def test_a_table_of_trust_without_a_column_is_refused(replays: Path) -> None:
    pd.read_csv(replays / "trust.csv").drop(columns="skill_lo").to_csv(replays / "trust.csv", index=False)
    with pytest.raises(ValueError, match=r"trust.csv: missing column\(s\) skill_lo; needed are metric, kind"):
        read(replays)


def test_a_page_of_runs_without_finished_ones_names_no_finished_runs(forecast: Path) -> None:
    """It sent who has one run alone to a backtest of "your finished runs"."""
    results = read(forecast)
    runs = results.forecasts["run"].nunique()
    alone = replace(
        results, provenance={**results.provenance, "data": {"runs": runs}, "plan": {"model": None, "cutoff": None}}
    )
    assert replayed.sentences(alone)[0].startswith("No other run here has ended")
    fitted = replace(alone, provenance={**alone.provenance, "plan": {"model": "a"}})
    assert replayed.sentences(fitted)[0].startswith("No finished runs were replayed")
