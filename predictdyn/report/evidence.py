"""The evidence below the answer: leaderboard, calibration, skill by cutoff."""

from __future__ import annotations

import math

import pandas as pd

from predictdyn.report.blocks import Cell, PageTable, Section, Shown, figures, table, words
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
                    "simple baseline" if baseline else "",
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
            *(f"{level}{SPACE}% held" for level in (50, 80, 90, 95)), "fell back", "runs", "forecasts"]  # fmt: skip
    caption = (
        f"Best first. A line through a dot is the 90{SPACE}% interval of the skill; hollow dots are simple baselines. "
        "An arrow at the edge is a skill further out."
    )
    left = f" The figure shows the first {BARS} of {len(rows)}." if len(rows) > BARS else ""
    return Section(
        "leaderboard",
        "Leaderboard",
        [
            words(
                "All forecasters saw the same runs to the same cutoffs. Families count alike here, however many runs "
                "they have, and so do kinds and cutoffs; under Calibration every forecast counts once."
            ),
            figures([Shown(picture, "Skill of each forecaster", caption + left)]),
            table(PageTable("Every forecaster, over all kinds and cutoffs.", head, cells)),
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
            "Truths held",
            listed(
                [
                    f"{percent(h.share)} held where {percent(level)} was promised"
                    for level, h in zip(ENDS, held, strict=True)
                ]
            )
            + ". Dots on the dashed line keep the promise, below it are too sure; lines are intervals by runs.",
        )
    ]
    known = rows[rows["pit"].notna()]
    if len(known):
        band = pit_difference(known, results.seed)
        out = bool(((band.difference < band.low) | (band.difference > band.high)).any())
        shown += [
            Shown(
                calibration.histogram(known["pit"].to_numpy(dtype=float), "pit"),
                "Where truths fell",
                "Level with the dashed line is calibrated. High at both ends: too sure; high in the middle: not sure "
                "enough; leaning to one side: forecasts are too low (right) or too high (left).",
            ),
            Shown(
                calibration.difference(band.grid, band.difference, band.low, band.high, "pit-difference"),
                "Departure from calibrated",
                f"The line {'leaves' if out else 'stays inside'} the band that holds a calibrated forecaster's whole "
                f"line with 90{SPACE}% confidence, runs as the unit.",
            ),
        ]
    worst = _coverage_table(results, rows)
    runs = count(rows["run"].nunique(), "run")
    intro = (
        f"{results.primary}, {count(len(rows), 'forecast')} of {runs}. Forecasts of one run go wrong together, so "
        "runs are the unit."
    )
    return Section("calibration", "Calibration", [words(intro), figures(shown), table(worst)])


def _coverage_table(results: Results, rows: pd.DataFrame) -> PageTable:
    cutoffs = cutoffs_of(rows["cutoff"])
    cells, slices = [], []
    for kind in [k for k in results.kinds if k in set(rows["kind"])]:
        line = [Cell(kind)]
        for cutoff in cutoffs:
            part = rows[(rows["kind"] == kind) & same_cutoff(rows["cutoff"], cutoff)]
            if part.empty:
                line.append(Cell("–", mark="quiet"))
                continue
            held = share_held(part, 0.9, results.seed)
            off = held.high < 0.9 or held.low > 0.9
            line.append(Cell(percent(held.share), percents(held.low, held.high), "bad" if off else ""))
            slices.append((held.share, f"{kind} at {at_cutoff(cutoff)}" if math.isfinite(cutoff) else kind))
        cells.append(line)
    share, where = min(slices)
    caption = (
        f"Truths held by the 90{SPACE}% interval, with the interval of that share by runs. ○ where 90{SPACE}% lies "
        f"outside it. Lowest: {where}, {percent(share)}."
    )
    return PageTable(caption, ["kind", *(at_cutoff(cutoff) for cutoff in cutoffs)], cells)


def skills(results: Results) -> Section:
    """Skill by cutoff, a panel per kind; under a fixed split one figure of all kinds."""
    rows = results.verdicts
    intro = (
        f"Skill is the share of the best simple baseline's error (CRPS) that is taken away; below zero the baseline is "
        f"better. Lines are 90{SPACE}% intervals over families and runs."
    )
    if rows["cutoff"].isna().all():
        own = rows[rows["forecaster"] == results.primary].sort_values("kind", key=lambda c: c.map(results.kinds.index))
        solid = [verdict == "predictable here" for verdict in own["verdict"]]
        picture = leaderboard.draw(own, own["kind"].tolist(), solid, None, "skill")
        caption = f"Skill of {results.primary} by kind under a fixed split. Filled: predictable here."
        return Section("skill", "Skill by kind", [words(intro), figures([Shown(picture, "Skill by kind", caption)])])
    board = results.leaderboard[~results.leaderboard["baseline"]]
    others = [name for name in board["forecaster"] if name != results.primary]
    names = [results.primary, *others[: len(OTHERS) - 1]]
    panels = []
    kinds = [kind for kind in results.kinds if (rows["kind"] == kind).any()]
    for i, kind in enumerate(kinds):
        own = rows[(rows["kind"] == kind) & (rows["forecaster"] == results.primary)].sort_values("cutoff")
        said = listed([f"{percent(row['skill'])} at {percent(row['cutoff'])}" for _, row in own.iterrows()], 8)
        best = listed(list(dict.fromkeys(own["best_baseline"])))
        caption = f"{results.primary}: {said}. Best baseline: {best}."
        panels.append(Shown(skill.draw(rows, names, kind, f"skill-{i + 1}"), kind, caption))
    total = rows["forecaster"].nunique()
    left = f" Shown: {listed(names)} of {total} forecasters; the rest is in verdicts.csv." if total > len(names) else ""
    return Section("skill", "Skill by cutoff", [words(intro + left), figures(panels)])
