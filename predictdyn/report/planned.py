"""What would become of the runs with a planned intervention, and what supports that."""

from __future__ import annotations

from predictdyn.report.blocks import Cell, PageBlock, PageTable, Section, table, words
from predictdyn.report.results import Results
from predictdyn.report.words import SPACE, between, count, value

ROWS = 40  # on the page; the rest is in the file


def changes(results: Results) -> Section | None:
    """The forecast without and with each planned intervention, its effect, and the words for what supports it."""
    rows = results.effects
    if not len(rows):
        return None
    blocks: list[PageBlock] = [
        words(
            "The effect is what the intervention would do to this run. It is learnt from pairs of runs with the same "
            "seed and history, of which only one was changed.",
            "Where there is no such pair, the effect comes from a comparison of different runs: predicted, not causal.",
            "Many metrics are tested. One in ten of those that do not move will seem to exclude zero.",
        )
    ]
    for (name, step), some in rows.groupby(["intervention", "intervention_step"], sort=False):
        cells = []
        for _, row in some.head(ROWS).iterrows():
            width = float(row["with_q0.95"] - row["with_q0.05"])
            moved = float(row["effect_q0.95"] - row["effect_q0.05"])
            cells.append(
                [
                    Cell(row["run"]),
                    Cell(results.label(row["metric"]), row["kind"], name=row["metric"]),
                    Cell(value(row["without_q0.5"], width), between(row["without_q0.05"], row["without_q0.95"])),
                    Cell(value(row["with_q0.5"], width), between(row["with_q0.05"], row["with_q0.95"])),
                    Cell(value(row["effect_q0.5"], moved), between(row["effect_q0.05"], row["effect_q0.95"]), "main"),
                    Cell(row["words"]),
                ]
            )
        left = f" The first {ROWS} of {count(len(some), 'row')}; all are in effects.csv." if len(some) > ROWS else ""
        caption = f"{name} after step {step:,.0f}: medians with 90{SPACE}% intervals, in the metric's own units.{left}"
        head = ["run", "outcome", "without", "with", "effect", "what supports it"]
        blocks.append(table(PageTable(caption, head, cells, names=2)))
    return Section("interventions", "If the training is changed", blocks)
