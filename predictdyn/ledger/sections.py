"""The sections of the front page of a record: figures and tables with one sentence on what to look at."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.ledger.record import Calibration, calibration, reliability, skills
from predictdyn.ledger.standing import Standing, records
from predictdyn.report.figures import calibration as drawn
from predictdyn.report.style import LIGHT, canvas, drawing
from predictdyn.report.words import UNKNOWN, count, percent, percents, readable, value

LISTED = 30  # questions of a state on the front page
FEWEST = 20  # forecasts, below which a record says little
FEWEST_RUNS = 3  # with an interval of a skill


class Figure(NamedTuple):
    """A drawing, its title and what it shows."""

    svg: str
    title: str
    caption: str


class RecordTable(NamedTuple):
    """Rows under a head; a cell is text, or {"href", "text"}; the first ``names`` columns are words."""

    caption: str
    head: list[str]
    rows: list[list[Any]]
    names: int = 1


class RecordSection(NamedTuple):
    """A part of the front page."""

    anchor: str
    title: str
    words: list[str]
    figures: list[Figure]
    tables: list[RecordTable]


def sections(found: Standing, rows: pd.DataFrame) -> list[RecordSection]:
    """All sections, for ``rows`` that are `counted`."""
    made = [_open(found.questions)]
    if len(rows):
        made = [_calibration(calibration(rows)), _skill(rows), _makers(rows), *made]
    events = reliability(found.forecasts)
    if len(events):
        made.insert(len(made) - 1, _events(events))
    made += [_answered(found)]
    if len(found.revisions):
        made += [_revisions(found.revisions[found.revisions["forecasts"] > 1], found.questions)]
    return [one for one in made if one.tables or one.figures or one.words]


def headline(found: Standing, rows: pd.DataFrame) -> tuple[str, list[str]]:
    """The sentence that the record is known by, and the sentences below it."""
    states = found.questions["state"].value_counts().to_dict()
    asked = ", ".join(
        f"{states[name]:,} {name}" for name in ("open", "due", "resolved", "censored", "void") if states.get(name)
    )
    told = [f"{count(len(found.questions), 'question')}: {asked}." if asked else "No question yet."]
    replays = int(found.forecasts["replay"].sum())
    if replays:
        told.append(
            f"{count(replays, 'forecast')} had the outcome hidden by hand when they were registered. They are shown, "
            "and not counted."
        )
    if not len(rows):
        return "No forecast is resolved yet", told
    share, low, high = next(one[1:] for one in calibration(rows).coverage if one[0] == 0.9)
    told.append(
        f"The 90{chr(160)}% interval of that share, by runs, is {percents(low, high)}. "
        + ("These are too few forecasts to judge by." if len(rows) < FEWEST else "")
    )
    return f"Coverage of 90{chr(160)}% intervals: {percent(share)} of {count(len(rows), 'forecast')}", told


def _calibration(found: Calibration) -> RecordSection:
    levels = [one[0] for one in found.coverage]
    held = [one[1:] for one in found.coverage]
    band = found.band
    inside = not ((band.difference < band.low) | (band.difference > band.high)).any()
    figures = [
        Figure(
            drawn.coverage(levels, held, "coverage").inline,
            "Outcomes inside the intervals",
            "On the dashed line, intervals hold as many outcomes as they promise.",
        ),
        Figure(
            drawn.histogram(found.pit, "pit").inline,
            "Where outcomes fell",
            "Flat when calibrated. A hill in the middle: forecasts were too wide. Hills at the ends: too narrow.",
        ),
        Figure(
            drawn.difference(*band, "difference").inline,
            "The same, with its band",
            "Inside the band, nothing speaks against calibration."
            if inside
            else "Outside the band, forecasts and outcomes differ by more than chance.",
        ),
    ]
    table = RecordTable(
        "Coverage, with 90 % intervals by runs.",
        ["interval", "outcomes inside", "90 % interval"],
        [[percent(level), percent(share), percents(low, high)] for level, share, low, high in found.coverage],
    )
    return RecordSection("calibration", "Calibration", [], figures, [table])


def _skill_cells(table: pd.DataFrame, names: list[str]) -> list[list[Any]]:
    return [
        [
            *(str(row[name]) or UNKNOWN for name in names),
            f"{row['n']:,}",
            f"{row['n_runs']:,}",
            *(
                (percent(row["skill"]), _ends(row), row["baseline"])
                if isinstance(row["baseline"], str)
                else (UNKNOWN, UNKNOWN, "none registered")
            ),
            percent(row["coverage_90"]),
        ]
        for row in table.to_dict("records")
    ]


def _ends(row: Mapping[Hashable, Any]) -> str:
    """The interval of a skill; drawing one or two runs again says nothing of others."""
    few = row["n_runs"] < FEWEST_RUNS
    return f"fewer than {FEWEST_RUNS} runs" if few else percents(row["skill_lo"], row["skill_hi"])


_HEAD = ["forecasts", "runs", "skill", "90 % interval", "best baseline", "in 90 %"]


def _skill(rows: pd.DataFrame) -> RecordSection:
    table = skills(rows, ["kind", "horizon", "forecaster"])
    words = [
        "Skill is the share of the best simple baseline's error that the forecast removes: 0.3 means 30 % less error. "
        "Baselines were registered with each forecast."
    ]
    shown = RecordTable(
        "Skill by kind of metric and by how much of the run was seen.",
        ["kind", "seen", "forecaster", *_HEAD],
        _skill_cells(table, ["kind", "horizon", "forecaster"]),
        3,
    )
    return RecordSection("skill", "Skill", words, [], [shown])


def _makers(rows: pd.DataFrame) -> RecordSection:
    by_author = skills(rows.assign(author=rows["author"].where(rows["author"] != "", "not named")), ["author"])
    tables = [
        RecordTable(
            "By forecaster.", ["forecaster", *_HEAD], _skill_cells(skills(rows, ["forecaster"]), ["forecaster"])
        ),
        RecordTable("By author.", ["author", *_HEAD], _skill_cells(by_author, ["author"])),
    ]
    return RecordSection("makers", "Forecasters and authors", [], [], tables)


def _events(table: pd.DataFrame) -> RecordSection:
    with canvas() as (figure, ax):
        ax.plot([0, 1], [0, 1], color=LIGHT["ink"], linewidth=1, linestyle=(0, (5, 3)))
        ax.scatter(table["probability"], table["happened"], s=20 + 4 * np.sqrt(table["n"]), color=LIGHT["blue"])
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.02)
        ax.set_xlabel("probability that was said")
        ax.set_ylabel("share that happened")
        svg = drawing(figure, "events").inline
    brier = float(np.average(table["brier"], weights=table["n"]))
    cells = [
        [percent(row["probability"]), percent(row["happened"]), f"{row['n']:,}", f"{row['n_runs']:,}"]
        for row in table.to_dict("records")
    ]
    return RecordSection(
        "events",
        "Events",
        [f"Mean Brier score {brier:.3f}: 0 is perfect, 0.25 is a coin."],
        [Figure(svg, "Reliability of probabilities", "On the dashed line, events happen as often as was said.")],
        [RecordTable("Events by their probability.", ["said", "happened", "forecasts", "runs"], cells)],
    )


def question_cells(row: dict[str, Any], up: str = "") -> list[Any]:
    """A question as a row of a list: its text with its page, run, metric, step, state, outcome."""
    truth = row["truth"]
    return [
        {"href": f"{up}q/{row['question']}.html", "text": row["text"]},
        row["run"],
        readable(row["metric"]),
        f"{row['step']:g}",
        row["state"],
        value(truth) if isinstance(truth, float) and math.isfinite(truth) else UNKNOWN,
    ]


QUESTION_HEAD = ["question", "run", "metric", "step", "state", "outcome"]


def _open(questions: pd.DataFrame) -> RecordSection:
    waiting = questions[questions["state"].isin(["open", "due"])].sort_values(
        ["state", "asked"], kind="stable", ascending=[True, False]
    )
    words = [] if len(waiting) else ["Nothing is open."]
    if (waiting["state"] == "due").any():
        words = ["Due: the date by which logs should have answered has passed. Run `predictdyn resolve` on newer logs."]
    tables = [_listed(waiting, "Open and due")] if len(waiting) else []
    return RecordSection("open", "Open and due", words, [], tables)


def _answered(found: Standing) -> RecordSection:
    rows = found.questions[found.questions["answered"].notna()].sort_values("answered", kind="stable", ascending=False)
    return RecordSection(
        "answered", "Answered last", [], [], [_listed(rows, "The newest answers")] if len(rows) else []
    )


def _listed(rows: pd.DataFrame, caption: str) -> RecordTable:
    more = f", the first {LISTED} of {len(rows):,}" if len(rows) > LISTED else ""
    cells = [question_cells(row) for row in records(rows.head(LISTED))]
    return RecordTable(f"{caption}{more}.", QUESTION_HEAD, cells, 3)


def _revisions(table: pd.DataFrame, questions: pd.DataFrame) -> RecordSection:
    text = questions.set_index("question")["text"]
    cells = [
        [
            {"href": f"q/{row['question']}.html", "text": text[row["question"]]},
            row["forecaster"],
            f"{row['forecasts']}",
            *(value(row[name]) for name in ("first", "last", "time_weighted")),
        ]
        for row in table.tail(LISTED).to_dict("records")
    ]
    words = ["A forecast that was revised is scored as it was first, as it was last, and weighed by the time it stood."]
    head = ["question", "forecaster", "forecasts", "first", "last", "by time"]
    shown = [RecordTable("Scores of revised forecasts: CRPS of a metric, Brier score of an event.", head, cells, 2)]
    return RecordSection("revisions", "Revisions", words if cells else [], [], shown if cells else [])
