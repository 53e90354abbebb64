"""The evidence below the answer: leaderboard, calibration, skill by cutoff."""

from __future__ import annotations

import math

import pandas as pd

from predictdyn.report.blocks import Cell, PageTable, Section, Shown, figures, table, words
from predictdyn.report.downloads import download
from predictdyn.report.figures import calibration, leaderboard, skill
from predictdyn.report.reliability import ENDS, pit_difference, resolved, share_held
from predictdyn.report.results import Results
from predictdyn.report.style import OTHERS
from predictdyn.report.words import SPACE, at_cutoff, count, cutoffs_of, listed, percent, percents, same_cutoff, value

BARS = 14


def ranking(results: Results) -> Section:
    """The leaderboard as figure and table."""
    rows = results.leaderboard
    simple = rows["baseline"].tolist()
    names = rows["forecaster"].tolist()
    main = names.index(results.primary) if results.primary in names[:BARS] else None
    picture = leaderboard.draw(rows.head(BARS), names[:BARS], [not s for s in simple[:BARS]], main, "leaderboard")
    cells = []
    for (_, row), baseline in zip(rows.iterrows(), simple, strict=True):
        cells.append(
            [
                Cell(
                    row["forecaster"],
                    "simple guess" if baseline else "",
                    "main" if row["forecaster"] == results.primary else "",
                ),
                Cell(percent(row["skill"]), percents(row["skill_lo"], row["skill_hi"])),
                Cell(value(row["scaled_crps"], 0.1)),
                *(Cell(percent(row[f"coverage_{level}"])) for level in (50, 80, 90, 95)),
                Cell(percent(row["fallback_share"])),
                Cell(f"{row['n_runs']:,.0f}", count(row["n_families"], "family", "families")),
                Cell(f"{row['n']:,.0f}"),
            ]
        )
    head = ["forecaster", f"skill, 90{SPACE}% interval", "relative CRPS",
            *(f"in {level}{SPACE}%" for level in (50, 80, 90, 95)), "fell back", "runs", "forecasts"]  # fmt: skip
    caption = (
        f"Best first. The line through a dot is the 90{SPACE}% interval of the skill. Hollow dots are simple guesses. "
        "An arrow at the edge means that the skill lies further out."
    )
    default = ", the default of predictdyn" if results.primary == "auto" else ""
    said = (
        "Every forecaster, over all kinds and cutoffs. CRPS is the error of a whole forecast; relative to a typical "
        f"simple guess it is 1 on average. In 50{SPACE}% is the share of outcomes inside the 50{SPACE}% interval."
    )
    left = f" The figure shows the first {BARS} of {len(rows)}." if len(rows) > BARS else ""
    return Section(
        "leaderboard",
        "Leaderboard",
        [
            words(
                "All forecasters saw the same runs up to the same cutoffs. A family is a group of runs that were "
                "hidden together, for example seeds of one setup. Every family, kind and cutoff has equal weight here."
                f" The rest of this page speaks for {results.primary}{default}."
            ),
            figures([Shown(picture, "Skill of each forecaster", caption + left)]),
            table(PageTable(said, head, cells, download=download(rows, "leaderboard.csv"))),
        ],
    )


def reliability(results: Results) -> Section | None:
    """PIT histogram, ECDF difference and coverage of the primary forecaster."""
    rows = resolved(results.own())
    if rows.empty:
        return None
    held = [share_held(rows, level, results.seed) for level in ENDS]
    shown = [
        Shown(
            calibration.coverage(list(ENDS), held, "coverage"),
            "Outcomes inside the intervals",
            listed(
                [
                    f"{percent(h.share)} inside the {percent(level)} interval"
                    for level, h in zip(ENDS, held, strict=True)
                ]
            )
            + ". Dots below the dashed line are too sure. Lines are intervals, with runs as the unit.",
        )
    ]
    known = rows[rows["pit"].notna()]
    if len(known):
        band = pit_difference(known, results.seed)
        out = bool(((band.difference < band.low) | (band.difference > band.high)).any())
        shown += [
            Shown(
                calibration.histogram(known["pit"].to_numpy(dtype=float), "pit"),
                "Where outcomes fell",
                "Bars level with the dashed line are right. High at both ends: too sure. High in the middle: not sure "
                "enough. High at the right: forecasts are too low. High at the left: too high.",
            ),
            Shown(
                calibration.difference(band.grid, band.difference, band.low, band.high, "pit-difference"),
                "Departure from calibrated",
                f"The line {'leaves' if out else 'stays inside'} the grey band. A calibrated forecaster stays inside "
                f"with 90{SPACE}% confidence, with runs as the unit.",
            ),
        ]
    worst = _coverage_table(results, rows)
    runs = count(rows["run"].nunique(), "run")
    intro = (
        f"How often the outcome lay inside the intervals of {results.primary}: {count(len(rows), 'forecast')} of "
        f"{runs}. Every forecast counts once. Forecasts of one run go wrong together, so the unit is the run."
    )
    return Section("calibration", "Calibration", [words(intro), figures(shown), table(worst)])


def _coverage_table(results: Results, rows: pd.DataFrame) -> PageTable:
    cutoffs = cutoffs_of(rows["cutoff"])
    cells, slices = [], []
    for kind in [k for k in results.kinds if k in set(rows["kind"])]:
        line = [_called(results, kind)]
        for cutoff in cutoffs:
            part = rows[(rows["kind"] == kind) & same_cutoff(rows["cutoff"], cutoff)]
            if part.empty:
                line.append(Cell("–", mark="quiet"))
                continue
            held = share_held(part, 0.9, results.seed)
            off = held.high < 0.9 or held.low > 0.9
            line.append(Cell(percent(held.share), percents(held.low, held.high), "bad" if off else ""))
            slices.append(
                (
                    held.share,
                    f"{results.named(kind)} at {at_cutoff(cutoff)}" if math.isfinite(cutoff) else results.named(kind),
                )
            )
        cells.append(line)
    share, where = min(slices)
    caption = (
        f"Share of outcomes inside the 90{SPACE}% interval, and the interval of that share. ○ marks shares that differ "
        f"from 90{SPACE}%. Lowest: {where}, {percent(share)}."
    )
    return PageTable(caption, ["outcome", *(at_cutoff(cutoff) for cutoff in cutoffs)], cells)


def _called(results: Results, kind: str) -> Cell:
    named = results.named(kind)
    return Cell(named, kind if named != kind else "")


def skills(results: Results) -> Section:
    """Skill by cutoff, a panel per kind; under a fixed split one figure of all kinds."""
    rows = results.verdicts
    intro = (
        "Skill is the share of the best simple guess's error (CRPS) that the forecaster removes. Below zero the guess "
        f"is better. Lines are 90{SPACE}% intervals over families and runs."
    )
    if rows["cutoff"].isna().all():
        own = rows[rows["forecaster"] == results.primary].sort_values("kind", key=lambda c: c.map(results.kinds.index))
        solid = [verdict == "predictable here" for verdict in own["verdict"]]
        picture = leaderboard.draw(own, [results.named(kind) for kind in own["kind"]], solid, None, "skill")
        caption = f"Skill of {results.primary} by outcome. Filled: predictable here."
        return Section(
            "skill", "Skill by outcome", [words(intro), figures([Shown(picture, "Skill by outcome", caption)])]
        )
    board = results.leaderboard[~results.leaderboard["baseline"]]
    others = [name for name in board["forecaster"] if name != results.primary]
    names = [results.primary, *others[: len(OTHERS) - 1]]
    panels = []
    kinds = [kind for kind in results.kinds if (rows["kind"] == kind).any()]
    for i, kind in enumerate(kinds):
        own = rows[(rows["kind"] == kind) & (rows["forecaster"] == results.primary)].sort_values("cutoff")
        said = listed([f"{percent(row['skill'])} at {percent(row['cutoff'])}" for _, row in own.iterrows()], 8)
        best = listed(list(dict.fromkeys(own["best_baseline"])))
        caption = f"{results.primary}: {said}. Best simple guess: {best}."
        panels.append(Shown(skill.draw(rows, names, kind, f"skill-{i + 1}"), results.named(kind), caption))
    total = rows["forecaster"].nunique()
    left = (
        f" The figures show {listed(names)}. All {total} forecasters are in verdicts.csv." if total > len(names) else ""
    )
    return Section("skill", "Skill by cutoff", [words(intro + left), figures(panels)])
