"""Example forecasts: which curves the page shows, by rules that the page states."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from predictdyn.report.blocks import PageAnswer, PageBlock, Section, Shown, figures, words
from predictdyn.report.figures import fan
from predictdyn.report.figures.fan import Fan
from predictdyn.report.reliability import resolved
from predictdyn.report.results import Results
from predictdyn.report.words import SPACE, at_cutoff, both_modes, count, percent

AGAIN = "The run at the top, with more or less of it seen"
PANELS_PER_KIND, PANELS = 3, 12
Key = tuple[str, str, float]


class Hero(NamedTuple):
    """The example beside the headline, and the rule by which it was chosen."""

    fan: Fan
    rule: str


class _Ranked(NamedTuple):
    """Examples in one cell (kind and cutoff) from the smallest error to the largest; those without a score are left."""

    fans: list[Fan]

    def marked(self) -> list[tuple[str, Fan]]:
        """The best, the median and the worst, as far as they are different ones."""
        n = len(self.fans)
        if n < 3:
            return [
                ("Only one scored" if n == 1 else tag, one)
                for tag, one in zip(("Best", "Worst"), self.fans, strict=False)
            ]
        return [("Best", self.fans[0]), ("Median", self.median), ("Worst", self.fans[-1])]

    @property
    def median(self) -> Fan:
        return self.fans[(len(self.fans) - 1) // 2]


def hero_of(results: Results, fans: list[Fan], answer: PageAnswer) -> Hero | None:
    """The example that goes with the headline.

    Of a backtest the one of the headline's kind and cutoff whose error is the median; of a forecast the first run that
    was asked for and its first metric.
    """
    usable = [f for f in fans if len(f.path) > 1 and len(f.seen) > 1] or fans
    if not usable:
        return None
    if results.made == "forecast":
        order = {run: i for i, run in enumerate(dict.fromkeys(results.forecasts["run"]))}
        first = min(usable, key=lambda f: (order.get(f.run, len(order)), results.kinds.index(f.kind)))
        return Hero(first, _forecast_rule(fans, first))
    same = [f for f in usable if f.kind == answer.kind] or usable
    at = [f for f in same if _equal(f.cutoff, answer.cutoff)] or same
    ranked = _ranked(results, at)
    if not ranked.fans:
        return Hero(at[0], "Shown: the first example by name, since none has a score.")
    n = count(len(ranked.fans), "example")
    return Hero(
        ranked.median,
        f"Shown: of {n} drawn by lot for this outcome and cutoff, the one whose error (CRPS) is the median.",
    )


def examples(results: Results, fans: list[Fan], hero: Hero | None) -> Section | None:
    """Fan charts as small multiples: of each kind the best, the median and the worst example, or the first runs."""
    if hero is None:
        return None
    past = results.made == "backtest"
    groups = _scored(results, fans, hero) if past else _listed(results, fans)
    more = [f for f in fans if (f.run, f.metric) == (hero.fan.run, hero.fan.metric)]
    more = [f for f in more if not _equal(f.cutoff, hero.fan.cutoff)][:PANELS_PER_KIND] if past else []
    if more:
        groups.append((AGAIN, [(f"{at_cutoff(f.cutoff)} seen", f) for f in more]))
    blocks: list[PageBlock] = [words(*_intro(results, fans, hero))]
    number = 0
    for title, chosen in groups:
        panels: list[Shown] = []
        for tag, one in chosen:
            number += 1
            name = f"{one.run}, {one.metric}"
            panels.append(Shown(fan.draw(one, f"fan-{number}"), fan.title(one), fan.caption(one), tag, name))
        if panels:
            blocks.append(figures(panels, title, more=title == AGAIN))
    return Section("examples", "Example forecasts", blocks, paper=True)


def _intro(results: Results, fans: list[Fan], hero: Hero) -> list[str]:
    ranges = (
        "The black line is what was seen, up to the dotted line. Blue is the forecast: the median, and the ranges that "
        f"should contain the outcome in 50, 80 and 90{SPACE}% of cases."
    )
    if any(both_modes(one.path.iloc[-1]) for one in fans):
        ranges += f" A forecast with two modes has a band of 90{SPACE}% for each, with its probability."
    if results.made == "forecast":
        return [ranges]
    drawn = _drawn(fans, hero)
    seen = f" after {percent(hero.fan.cutoff)} of the run" if np.isfinite(hero.fan.cutoff) else ""
    return [
        f"{ranges} Orange is what then happened.",
        f"For each outcome, {drawn} were drawn by lot before any score was known. Below are the best, the median and "
        f"the worst of them{seen}, by CRPS. CRPS is the error of a whole forecast, not only of its median.",
    ]


def _drawn(fans: list[Fan], hero: Hero) -> str:
    """How many runs stand behind each choice: one number, or the smallest and the largest."""
    runs: dict[str, set[str]] = {}
    for one in fans:
        if _equal(one.cutoff, hero.fan.cutoff):
            runs.setdefault(one.kind, set()).add(one.run)
    low, high = min(map(len, runs.values())), max(map(len, runs.values()))
    return count(high, "run") if low == high else f"{low} to {high} runs"


def _scored(results: Results, fans: list[Fan], hero: Hero) -> list[tuple[str, list[tuple[str, Fan]]]]:
    """Best, median and worst of each kind at the hero's cutoff."""
    groups = []
    room = PANELS
    for kind in results.kinds:
        ranked = _ranked(results, [f for f in fans if f.kind == kind and _equal(f.cutoff, hero.fan.cutoff)])
        chosen = ranked.marked()[:room]
        room -= len(chosen)
        groups.append((_heading(results, kind), chosen))
    return groups


def _listed(results: Results, fans: list[Fan]) -> list[tuple[str, list[tuple[str, Fan]]]]:
    """A few runs of each kind; the one with the widest interval is among them, and first."""
    widest = max(fans, key=_relative_width)
    groups = []
    room = PANELS
    for kind in sorted(results.kinds, key=lambda kind: kind != widest.kind):
        of_kind = [f for f in fans if f.kind == kind]
        first = [widest] if kind == widest.kind else []
        chosen = (first + _varied([f for f in of_kind if f is not widest]))[: min(room, PANELS_PER_KIND)]
        room -= len(chosen)
        several = len(fans) > 1
        groups.append((kind, [("Widest" if f is widest and several else "", f) for f in chosen]))
    order = [*results.kinds]
    return [(_heading(results, kind), chosen) for kind, chosen in sorted(groups, key=lambda one: order.index(one[0]))]


def _heading(results: Results, kind: str) -> str:
    named = results.named(kind)
    return f"{named[:1].upper()}{named[1:]}" + (f" ({kind})" if named != kind else "")


def _forecast_rule(fans: list[Fan], first: Fan) -> str:
    widest = max(fans, key=_relative_width)
    rule = "Shown: the first run that was asked for, and the first outcome."
    if widest is first:
        return f"{rule} Its interval is the widest of {count(len(fans), 'curve')} drawn." if len(fans) > 1 else rule
    return f"{rule} The widest interval is that of {widest.label} of {widest.run}; it is among the examples."


def _relative_width(one: Fan) -> float:
    """The width of the last 90 % interval as a share of the metric's range, or of its median where there is none."""
    last = one.path.iloc[-1]
    span = one.upper - one.lower
    unit = span if np.isfinite(span) else abs(float(last["q0.5"]))
    return float(last["q0.95"] - last["q0.05"]) / (unit or 1.0)


def _ranked(results: Results, fans: list[Fan]) -> _Ranked:
    errors = _errors(results)
    known = [(errors[key], key, one) for one in fans if np.isfinite(errors.get(key := _key(one), np.nan))]
    return _Ranked([one for *_, one in sorted(known, key=lambda found: found[:2])])


def _errors(results: Results) -> dict[Key, float]:
    """The scaled CRPS of each forecast: CRPS over the median of the baselines' mean CRPS of its metric."""
    rows = resolved(results.forecasts)
    simple = set(results.leaderboard.loc[results.leaderboard["baseline"], "forecaster"])
    reference = rows[rows["forecaster"].isin(simple)]
    unit = reference.groupby(["metric", "forecaster"])["crps"].mean().groupby("metric").median()
    own = rows[rows["forecaster"] == results.primary]
    scale = own["metric"].map(unit).astype(float)
    scaled = own.assign(error=own["crps"] / scale.where(scale > 0, 1.0), cutoff=own["cutoff"].fillna(-1.0))
    means = scaled.groupby(["run", "metric", "cutoff"], as_index=False)["error"].mean()
    keys = zip(means["run"], means["metric"], means["cutoff"].round(9), strict=True)
    return dict(zip(keys, means["error"].tolist(), strict=True))


def _key(one: Fan) -> Key:
    return one.run, one.metric, round(one.cutoff, 9) if np.isfinite(one.cutoff) else -1.0


def _varied(fans: list[Fan]) -> list[Fan]:
    """In order of name, but with runs and metrics that were not shown yet first."""
    rest = list(fans)
    chosen: list[Fan] = []
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
