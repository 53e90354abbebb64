"""Example forecasts: which curves the page shows, chosen by a rule that does not look at how well they went."""

from __future__ import annotations

import numpy as np

from predictdyn.report.blocks import PageAnswer, PageBlock, Section, Shown, figures, words
from predictdyn.report.figures import fan
from predictdyn.report.results import Results
from predictdyn.report.words import SPACE, count

PANELS_PER_KIND, PANELS = 3, 12


def hero_of(fans: list[fan.Fan], answer: PageAnswer) -> fan.Fan | None:
    """The example that goes with the headline: its kind and cutoff, the first by run and metric."""
    usable = [f for f in fans if len(f.path) > 1 and len(f.seen) > 1] or fans
    same = [f for f in usable if f.kind == answer.kind] or usable
    at = [f for f in same if _equal(f.cutoff, answer.cutoff)] or same
    return at[0] if at else None


def examples(results: Results, fans: list[fan.Fan], hero: fan.Fan | None) -> Section | None:
    """Fan charts: the hero's curve at every cutoff, then small multiples by kind."""
    if hero is None:
        return None
    again = [f for f in fans if (f.run, f.metric) == (hero.run, hero.metric) and not _equal(f.cutoff, hero.cutoff)][:3]
    groups: list[tuple[str, list[fan.Fan]]] = [("The same curve, seen to other cutoffs", again)] if again else []
    room = PANELS - len(again)
    for kind in results.kinds:
        chosen = _varied([f for f in fans if f.kind == kind and _equal(f.cutoff, hero.cutoff) and f is not hero])
        groups.append((kind, chosen[: max(room, 0)]))
        room -= len(groups[-1][1])
    truth = "Open dots or a dashed line are what then happened. " if results.made == "backtest" else ""
    shown = 1 + sum(len(chosen) for _, chosen in groups)
    left = f" {count(len(fans) - shown, 'further example')} in paths.parquet." if len(fans) > shown else ""
    intro = (
        f"What lies left of the dotted line was seen. Blue is the forecast of {results.primary}: the median, "
        f"and the ranges that should hold the truth 50, 80 and 90{SPACE}% of the time. {truth}"
        f"No example was chosen by how well it went.{left}"
    )
    blocks: list[PageBlock] = [words(intro)]
    number = 0
    for title, chosen in groups:
        panels: list[Shown] = []
        for one in chosen:
            number += 1
            panels.append(Shown(fan.draw(one, f"fan-{number}"), fan.title(one), fan.caption(one)))
        if panels:
            blocks.append(figures(panels, title))
    return Section("examples", "Example forecasts", blocks)


def _varied(fans: list[fan.Fan]) -> list[fan.Fan]:
    """In order of name, but with runs and metrics that were not shown yet first."""
    rest = list(fans)
    chosen: list[fan.Fan] = []
    used: dict[str, int] = {}
    while rest and len(chosen) < PANELS_PER_KIND:
        best = min(rest, key=lambda f: used.get(f"run {f.run}", 0) + used.get(f"metric {f.metric}", 0))
        rest.remove(best)
        chosen.append(best)
        for key in (f"run {best.run}", f"metric {best.metric}"):
            used[key] = used.get(key, 0) + 1
    return chosen


def _equal(one: float, other: float) -> bool:
    return bool(np.isclose(one, other, equal_nan=True))
