"""The page of replayed alarms: first what matters, in words that say no more than the numbers."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from predictdyn.report.alarms_page import NO_TROUBLE, answers, render_alarms
from predictdyn.report.alarms_results import AlarmsView
from predictdyn.report.style import variables

RATE = {"runs": 40, "families": 20, "rang": 1, "measured": 0.025, "low": 0.0, "high": 0.08}
RAW = ("lead_steps", "miss_costs", "measured</th>", "low</th>", "not_finite", "labels_lost<", ">nan")


def _view(
    *, troubles: int = 4, caught: int = 3, lead: float = -0.02, doubts: int = 0, best: int = 2, name: str = "run",
    rate: dict[str, float] | None = None,
) -> AlarmsView:  # fmt: skip
    """A replay at two rates: healthy runs of which one rang, and troubles of which some were caught."""
    rates = pd.DataFrame([{"asked": asked, **RATE, **(rate or {})} for asked in (0.05, 0.01)])
    rows = []
    for asked in (0.05, 0.01):
        healthy = {"trouble": "", "at": float("nan"), "rate": asked, "kind": "off path", "caught": False}
        rows += [
            {"run": f"{name}{i}", "family": f"f{i // 2}", **healthy, "rang": 90.0 if not i else None} for i in range(40)
        ]
        for i in range(troubles):
            found = i < caught
            rows.append({
                "run": f"bad{i}", "family": f"f{i}", "trouble": "labels_lost", "at": 500.0, "rate": asked,
                "kind": "off path", "rang": 500 - 1000 * lead if found else None, "caught": found,
                "lead": lead if found else None, "lead_steps": 1000 * lead if found else None,
            })  # fmt: skip
    none = float("nan")
    rules = pd.DataFrame([
        {"rule": rule, "asked": asked, **RATE, "troubles": troubles, "caught": n if troubles else 0,
         "lead": lead if n else none, "lead_steps": 1000 * lead if n else none, "before": 0}
        for rule, n in (("watch", caught), ("patience", best), ("not_finite", 0)) for asked in (0.05, 0.01)
    ])  # fmt: skip
    catch = {"trouble": "labels_lost", "runs": troubles, "caught": caught / max(troubles, 1), "lead": lead,
             "lead_steps": 1000 * lead, "before": 0.0}  # fmt: skip
    catches = pd.DataFrame([{"rate": asked, **catch} for asked in (0.05, 0.01)] if troubles else [])
    cost = [
        {"miss_costs": miss, "rate": 0.05, "cost": 0.2 * miss, "never": miss / 2, "always": 0.5} for miss in (1.0, 10)
    ]
    doubtful = pd.DataFrame(
        [(f"{name}{i}", "train_loss", 2.3, 1.2e-6, 1.7, 600.0) for i in range(doubts)],
        columns=["run", "metric", "end", "others", "limit", "since"],
    )
    events = [f"{name}{i},600,diverged" for i in range(doubts)]
    notes = (
        "the history has 20 families of healthy runs; 99 would certify the rate 0.01, so it rests on an "
        "exponential tail",
    )
    return AlarmsView(
        "my runs", "2026-01-02", pd.DataFrame(rows), rates, catches, pd.DataFrame(cost), rules, doubtful,
        events, notes,
    )  # fmt: skip


def seen(page: str) -> str:
    """The words of a page."""
    words = re.sub(r"<[^>]*>", " ", re.sub(r"<(style|svg).*?</\1>", " ", page, flags=re.DOTALL))
    return " ".join(words.replace("\u00a0", " ").split())


def test_the_first_lines_answer_how_many_rang_what_was_caught_and_what_else_would_have():
    lines = [line.replace("\u00a0", " ") for line in answers(_view())]
    assert lines[0] == "1 of 40 healthy runs rang a false alarm, and 3 of 4 troubles were caught."
    assert lines[1].startswith("Asked for at most 5 %, measured 2.5 % (90 % interval 0.0 % to 8.0 %)")
    assert lines[3] == "Alarms rang in the median 2 % of the run (20 steps) after the trouble began."
    assert lines[4] == "The best of 2 simple rules: a loss that has not improved for long (patience)."
    assert lines[5].startswith("It caught 2, in the median 2 % of the run (20 steps) after")
    assert lines[5].endswith("and rang in 1 of 40 healthy runs.")


def test_alarms_before_a_failure_are_told_as_such():
    assert any("10 % of the run (100 steps) before" in line.replace("\u00a0", " ") for line in answers(_view(lead=0.1)))
    assert any("at the step at which" in line for line in answers(_view(lead=0.0)))


def test_nothing_that_was_caught_is_told_plainly():
    lines = answers(_view(caught=0, best=0))
    assert (
        lines[0].endswith("and 0 of 4 troubles were caught.")
        and lines[-1] == "None of 2 simple rules caught a trouble."
    )
    render_alarms(_view(caught=0, best=0))


def test_few_families_do_not_certify_that_a_rate_was_kept():
    none = {"rang": 0, "measured": 0.0, "low": 0.0}
    lines = answers(_view(rate={**none, "families": 9, "high": 0.226}))
    assert lines[1].endswith(": no more than was asked, but 9 families are too few to certify it: that takes 19.")
    assert lines[2].endswith("that takes 99.")
    page = render_alarms(_view(rate={**none, "families": 9, "high": 0.226}))
    assert '"good"' not in page.split("how it compares")[1].split("</table>")[0]
    assert answers(_view(rate={**none, "families": 120, "high": 0.02}))[2].endswith(": no more than was asked.")


@pytest.mark.parametrize(
    ("measured", "low", "said"),
    [
        (0.05, 0.0, ": no more than was asked."),
        (0.06, 0.04, ": more than was asked, but not surely so."),
        (0.09, 0.06, ": more than was asked."),
    ],
)
def test_a_rate_above_the_one_asked_for_is_not_called_no_more(measured: float, low: float, said: str):
    assert answers(_view(rate={"measured": measured, "low": low}))[1].endswith(said)


def test_without_troubles_neither_catches_nor_costs_are_shown():
    lines = answers(_view(troubles=0))
    assert lines[0] == "1 of 40 healthy runs rang a false alarm." and lines[-2:] == list(NO_TROUBLE)
    page = render_alarms(_view(troubles=0))
    assert "Which rate to ask for" not in page and "What was caught" not in page and "events.csv" in page
    assert "Which rate to ask for" in render_alarms(_view())


def test_the_page_speaks_words_and_has_no_column_of_a_file():
    for page in (render_alarms(_view(doubts=2)), render_alarms(_view(troubles=0))):
        assert not [raw for raw in RAW if raw in re.sub(r'(href|title)="[^"]*"', "", page)]
    text = seen(render_alarms(_view()))
    assert "labels lost" in text and "2 % after 20 steps" in text and "Alarms of my runs · 2026-01-02" in text
    assert "An exponential tail is an assumption" in text


def test_a_run_that_may_have_failed_has_its_line_to_type():
    page = render_alarms(_view(doubts=2))
    assert "run,step,what\nrun0,600,diverged\nrun1,600,diverged" in page
    assert "2 runs that count as healthy may have failed" in seen(page) and "1.2e-6" in page
    assert "<details" not in page and "The 12 lines" in render_alarms(_view(doubts=12))
    assert "may have failed" not in render_alarms(_view())


def test_the_page_is_of_the_house_and_its_sentences_are_short():
    page = render_alarms(_view(doubts=3))
    style = page.split("<style>")[1].split("</style>")[0]
    assert variables(":root") in style and "prefers-color-scheme:dark" in style
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b", style.replace(variables(":root"), ""))
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert max(b - a for a, b in itertools.pairwise(levels)) == 1
    for line in re.findall(
        r"<(?:p|caption|figcaption|h1)(?: [^>]*)?>(.*?)</(?:p|caption|figcaption|h1)>", page, re.DOTALL
    ):
        for sentence in re.split(r"(?<=[.:;?!])\s", seen(line)):
            assert len(re.findall(r"\w[\w’'.-]*", sentence)) <= 25, sentence


def test_a_log_with_many_kinds_of_trouble_stays_readable():
    view = _view()
    names = [f"trouble {i}" for i in range(60)]
    bad = view.runs[view.runs["trouble"] != ""].iloc[[0]]
    runs = pd.concat([view.runs, *(bad.assign(trouble=name, run=name) for name in names)], ignore_index=True)
    catches = pd.concat([view.catches.iloc[[0]].assign(trouble=name) for name in names], ignore_index=True)
    page = render_alarms(view._replace(runs=runs, catches=catches))
    assert "20 further rows in alarms_catches.csv" in page and "12 troubles that most runs had, of 61" in page


def test_names_of_others_are_shown_as_text():
    page = render_alarms(_view(name="<b>\x1b[2J", doubts=1))
    assert "<b>" not in page and "\x1b" not in page and "&lt;b&gt;" in page


def test_page_fits_a_phone_and_a_laptop(browser: Any, tmp_path: Path):
    file = tmp_path / "alarms.html"
    file.write_text(render_alarms(_view(doubts=3)), encoding="utf-8")
    frames = "".join(
        f'<iframe src="{file.as_uri()}" style="border:0;width:{width}px;height:900px" onload="const root = '
        "this.contentDocument.documentElement; this.title = [root.scrollWidth, root.clientWidth].join(' ')\"></iframe>"
        for width in (390, 1300)
    )
    shown, asked = browser.opened(f'<!DOCTYPE html><link rel="icon" href="data:,">{frames}', tmp_path)
    found = re.findall(r'title="(\d+) (\d+)"', shown.stdout)
    assert len(found) == 2 and all(int(scrolled) <= int(inner) for scrolled, inner in found)
    assert "CONSOLE" not in shown.stderr and not asked
