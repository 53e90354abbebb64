"""The page of replayed alarms: how often healthy runs rang, what was caught and when, beside simple rules."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from predictdyn import __version__
from predictdyn.report.alarms_results import WATCH, AlarmsView
from predictdyn.report.blocks import (
    Cell,
    Mark,
    PageAnswer,
    PageBlock,
    PageTable,
    Section,
    Shown,
    figures,
    table,
    words,
)
from predictdyn.report.downloads import download
from predictdyn.report.figures import alarms as drawn
from predictdyn.report.render import written
from predictdyn.report.style import variables
from predictdyn.report.words import SPACE, TAIL, UNKNOWN, count, percent, readable, short_number, value

ROWS, FEW = 40, 8  # rows of a table, and those that are not folded away
WAYS = ("cost", "never", "always")
# A rule in a figure, and in a sentence.
RULES = {
    WATCH: ("learnt alarms", "learnt alarms"),
    "median": ("loss / its median", "the loss over the median of its last ten points"),
    "gradient": ("gradient / its median", "the gradient norm over the median of its last ten points"),
    "cusum": ("CUSUM of the loss", "the sum of recent rises of the loss (CUSUM)"),
    "patience": ("patience", "a loss that has not improved for long (patience)"),
    "not_finite": ("NaN or infinite", "a number that is NaN or infinite"),
}
NO_TROUBLE = (
    "No finished run has a known trouble, so what these alarms catch cannot be measured.",
    "A run that failed counts as healthy until events.csv of a tidy folder names it (columns run, step, what).",
)


def render_alarms(view: AlarmsView) -> str:
    """The page as text."""
    headline, *sentences = answers(view)
    doubts = len(view.doubtful)
    if doubts:
        sentences.append(
            f"{count(doubts, 'run')} that count{'s' if doubts == 1 else ''} as healthy may have failed: see below."
        )
    hero = narrow = None
    rules = view.first_rules
    if len(rules):
        labels = [_rule(name)[0] for name in rules["rule"]]
        hero = Shown(
            drawn.rules(rules, labels, view.asked, "hero", wide=True), "Learnt alarms beside simple rules",
            f"All rules were asked for the same rate, {percent(view.asked)} of healthy runs. Circles: troubles caught, "
            f"more is better. Diamonds: healthy runs that rang, with the 90{SPACE}% interval; fewer is better."
            if rules["troubles"].iloc[0]
            else f"Diamonds: healthy runs that rang, with the 90{SPACE}% interval. The dashed line is what was asked.",
        )  # fmt: skip
        narrow = drawn.rules(rules, labels, view.asked, "hero-narrow", wide=False)
    parts = [_caught(view), _others(view), _false(view), _doubtful(view), _cost(view), _origin(view)]
    content: dict[str, Any] = {
        "title": f"Alarms of {view.title}" if view.title else "Alarms, replayed",
        "made": "alarms",
        "created": view.created,
        "version": __version__,
        "answer": PageAnswer(headline, sentences, _rates(view), "", math.nan),
        "hero": hero,
        "narrow": narrow,
        "sections": [part for part in parts if part],
        "colours": variables(":root"),
    }
    return written(content, [])["index.html"]


def answers(view: AlarmsView) -> list[str]:
    """What a reader should know first: a headline, then a sentence each."""
    if not len(view.rates):
        return ["No healthy run was replayed, so false alarms are not known.", *_catches(view)]
    row = view.rates.iloc[0]
    rang = f"{int(row['rang'])} of {count(row['runs'], 'healthy run')} rang a false alarm"
    asked = [
        f"Asked for at most {percent(row['asked'])}, measured {_share(row)}: {_held(row)[0]}."
        for row in view.rates.to_dict("records")
    ]
    bad = _troubled(view)
    if not len(bad):
        return [f"{rang}.", *asked, *NO_TROUBLE]
    caught = f"{int(bad['caught'].sum())} of {count(len(bad), 'trouble')} were caught"
    return [f"{rang}, and {caught}.", *asked, *_catches(view)]


def _share(row: Any) -> str:
    return f"{_tenths(row['measured'])} (90{SPACE}% interval {_tenths(row['low'])} to {_tenths(row['high'])})"


def _tenths(share: float) -> str:
    """A share with a digit more than others have: rates that were measured are compared with small ones."""
    return f"{100 * share:.1f}{SPACE}%" if math.isfinite(share) else UNKNOWN


def _held(row: Any) -> tuple[str, Mark]:
    """Whether a measured rate is what was asked for; few families cannot say so of a small one."""
    if row["measured"] <= row["asked"]:
        need = math.ceil(1 / row["asked"]) - 1
        if row["families"] < need and row["high"] > row["asked"]:
            few = count(row["families"], "family is", "families are")
            return f"no more than was asked, but {few} too few to certify it: that takes {need}", "unsure"
        return "no more than was asked", "good"
    surely = row["low"] > row["asked"]
    return ("more than was asked", "bad") if surely else ("more than was asked, but not surely so", "unsure")


def _troubled(view: AlarmsView) -> pd.DataFrame:
    """The runs with a trouble, at the first rate."""
    runs = view.runs
    rate = view.asked if len(view.rates) else (runs["rate"].iloc[0] if len(runs) else math.nan)
    return runs[(runs["trouble"] != "") & (runs["rate"] == rate)] if len(runs) else runs


def _catches(view: AlarmsView) -> list[str]:
    """How many troubles were caught and when, and the best other rule beside that."""
    bad = _troubled(view)
    if not len(bad):
        return list(NO_TROUBLE)
    caught = bad[bad["caught"]]
    lines = []
    if len(caught):
        before = int((caught["lead"] > 0).sum())
        also = f"; {before} rang before it" if before else ""
        lines.append(f"Alarms rang {_when(caught['lead'].median(), caught['lead_steps'].median())}{also}.")
    rules = view.first_rules
    if len(rules) < 2:
        return lines
    best, many = rules.iloc[1], count(len(rules) - 1, "simple rule")
    if not best["caught"]:
        return [*lines, f"None of {many} caught a trouble."]
    rang = f"{best['rang']:.0f} of {count(best['runs'], 'healthy run')}" if math.isfinite(best["measured"]) else "none"
    return [
        *lines,
        f"The best of {many}: {_rule(best['rule'])[1]}.",
        f"It caught {best['caught']}, {_when(best['lead'], best['lead_steps'])}, and rang in {rang}.",
    ]


def _when(lead: float, steps: float) -> str:
    """How long before or after the trouble, at the median."""
    if lead == 0:
        return "in the median at the step at which the trouble began"
    side = "before" if lead > 0 else "after"
    return f"in the median {percent(abs(lead))} of the run ({count(abs(steps), 'step')}) {side} the trouble began"


def _rule(name: str) -> tuple[str, str]:
    return RULES.get(name, (readable(name), readable(name)))


def _rates(view: AlarmsView) -> PageTable:
    rows = [
        [
            Cell(f"at most {percent(row['asked'])}"),
            Cell(f"{row['rang']:,} of {row['runs']:,}", count(row["families"], "family", "families")),
            Cell(_tenths(row["measured"]), f"{_tenths(row['low'])} to {_tenths(row['high'])}", "main"),
            Cell(_held(row)[0], mark=_held(row)[1]),
        ]
        for row in view.rates.to_dict("records")
    ]
    caption = (
        "False alarms: healthy runs that rang at any time in their whole length. "
        f"In the measured rate every family counts alike, with its 90{SPACE}% interval below."
    )
    head = ["asked rate", "false alarms", "measured rate", "how it compares"]
    return PageTable(caption, head, rows, 1, download(view.rates, "alarms_rates.csv"))


def _false(view: AlarmsView) -> Section | None:
    """The healthy runs that rang."""
    if not len(view.runs):
        return None
    rang = view.runs[(view.runs["trouble"] == "") & (view.runs["rate"] == view.asked) & view.runs["rang"].notna()]
    if not len(rang):
        return None
    rows = [
        [Cell(str(row["run"])), Cell(str(row["family"])), Cell(str(row["kind"])), Cell(f"{row['rang']:,.0f}")]
        for row in rang.head(ROWS).to_dict("records")
    ]
    more = f" The first {ROWS} of {len(rang):,}." if len(rang) > ROWS else ""
    caption = f"Healthy runs that rang, asked for {percent(view.asked)}, and the step of the first alarm.{more}"
    shown = PageTable(caption, ["run", "family", "kind of alarm", "step"], rows, 3)
    return Section(
        "false", "Healthy runs that rang",
        [
            words("Look at these runs first: a trouble that nobody has noted rings, too."),
            table(shown, _fold(len(rang))),
        ],
    )  # fmt: skip


def _caught(view: AlarmsView) -> Section | None:
    if not len(view.catches):
        return None
    rows = [
        [
            Cell(readable(str(row["trouble"])), name=str(row["trouble"])),
            Cell(f"at most {percent(row['rate'])}"),
            Cell(percent(row["caught"]), f"{row['caught'] * row['runs']:,.0f} of {row['runs']:,}", "main"),
            _delay(row["lead"], row["lead_steps"]),
            Cell(percent(row["before"])),
        ]
        for row in view.catches.head(ROWS).to_dict("records")
    ]
    left = len(view.catches) - len(rows)
    more = f" {count(left, 'further row')} in alarms_catches.csv." if left else ""
    caption = (
        "Each trouble at each rate. When: the median of what was caught, as a share of the run and in steps. "
        "Before: the share of these runs that rang before it began, which for a change is a false alarm."
        f"{more}"
    )
    head = ["trouble", "asked rate", "caught", "when it rang", "before"]
    bad = _troubled(view)
    picture = drawn.delays(bad, "delays")
    kinds = bad["trouble"].nunique()
    part = f" The {drawn.KINDS} troubles that most runs had, of {kinds}." if kinds > drawn.KINDS else ""
    said = (
        f"Asked for {percent(view.asked)}.{part} One dot for each trouble that was caught. The line is the start of "
        "the trouble; dots to its left rang before it."
    )
    return Section(
        "caught", "What was caught, and when",
        [
            words(
                "A trouble is a failure, or a change that somebody made to a run.",
                "A change counts as caught where the first alarm comes after it. "
                "A failure may be foretold, so any alarm counts.",
            ),
            figures([Shown(picture, "From the trouble to the alarm", said)]),
            table(PageTable(caption, head, rows, 2, download(view.catches, "alarms_catches.csv"))),
        ],
        paper=True,
    )  # fmt: skip


def _delay(lead: float, steps: float) -> Cell:
    if not math.isfinite(lead):
        return Cell(UNKNOWN, mark="quiet")
    if lead == 0:
        return Cell("at once")
    return Cell(f"{percent(abs(lead))} {'before' if lead > 0 else 'after'}", count(abs(steps), "step"))


def _others(view: AlarmsView) -> Section | None:
    rules = view.rules
    if not len(rules):
        return None
    known = bool(rules["troubles"].max())
    place = {name: number for number, name in enumerate(view.first_rules["rule"])}
    rules = rules.sort_values(["asked", "rule"], key=lambda c: c.map(place) if c.name == "rule" else -c, kind="stable")
    rows = []
    for row in rules.to_dict("records"):
        main: Mark = "main" if row["rule"] == WATCH else ""
        cells = [Cell(_rule(row["rule"])[0], _rule(row["rule"])[1] if not main else "", main)]
        cells.append(Cell(f"at most {percent(row['asked'])}"))
        if known:
            caught = f"{row['caught']:,} of {row['troubles']:,}"
            cells += [Cell(percent(row["caught"] / row["troubles"]), caught), _delay(row["lead"], row["lead_steps"])]
        rang = Cell(UNKNOWN)
        if math.isfinite(row["measured"]):
            rang = Cell(_tenths(row["measured"]), f"{row['rang']:.0f} of {row['runs']:.0f} runs")
        rows.append([*cells, rang])
    head = ["rule", "asked rate", *(["caught", "when it rang"] if known else []), "false alarms"]
    caption = "All troubles count alike here. When: the median of what was caught."
    return Section(
        "rules", "Beside simple rules",
        [
            words(
                "Each rule has a threshold for the same rate, from the same healthy runs, by the same formula.",
                "NaN or infinite is a fact, which needs no threshold." if "not_finite" in set(rules["rule"]) else "",
            ),
            table(PageTable(caption, head, rows, 2, download(rules, "alarms_rules.csv"))),
        ],
    )  # fmt: skip


def _cost(view: AlarmsView) -> Section | None:
    if not len(view.catches):
        return None
    rows = [
        [
            Cell(f"{row['miss_costs']:g} false alarm{'' if row['miss_costs'] == 1 else 's'}"),
            Cell(f"at most {percent(row['rate'])}"),
            *(
                Cell(value(row[name], 0.1), mark="main" if row[name] == min(row[other] for other in WAYS) else "")
                for name in WAYS
            ),
        ]
        for row in view.cost.to_dict("records")
    ]
    caption = (
        "Mean cost of a run, in false alarms, where every second run has a trouble. The cheapest way stands out: these "
        "alarms, no alarm at all, or a look at every run."
    )
    head = ["a missed trouble costs", "rate to ask for", "with alarms", "with no alarm", "a look at every run"]
    return Section(
        "cost", "Which rate to ask for",
        [
            words("Find the row of what a missed trouble costs you. Its rate cost least of those that were tried."),
            table(PageTable(caption, head, rows, 1, download(view.cost, "alarms_cost.csv"))),
        ],
    )  # fmt: skip


def _doubtful(view: AlarmsView) -> Section | None:
    """Runs that count as healthy and end far from all others, with the lines that say that they failed."""
    found = view.doubtful
    if not len(found):
        return None
    rows = []
    for row in found.head(ROWS).to_dict("records"):
        metric = Cell(readable(str(row["metric"])), name=str(row["metric"]))
        numbers = [Cell(short_number(float(f"{row[name]:.3g}"))) for name in ("end", "limit", "others")]
        rows.append([Cell(str(row["run"])), metric, *numbers, Cell(f"{row['since']:,.0f}")])
    more = f" The first {ROWS} of {len(found):,}; all are in alarms_doubtful.csv." if len(found) > ROWS else ""
    caption = (
        "How each run ends (the median of its last three values), and how the median other run does. "
        f"Since: the step after which the run was never better than the limit.{more}"
    )
    head = ["run", "metric", "its end", "limit", "end of the others", "since step"]
    return Section(
        "doubtful", "Runs that may have failed",
        [
            words(
                "These runs have no event, so they count as healthy. They end far from the others.",
                "A failure that counts as healthy raises the threshold, and silences true alarms.",
                "The limit is five times as far from the median other run as the worse quartile is. "
                "It is also at least a quarter of the median run's progress away.",
            ),
            table(PageTable(caption, head, rows, 2, download(found, "alarms_doubtful.csv")), _fold(len(found))),
            words(
                "Where a run did fail, add its line to events.csv of a tidy folder, below the head run,step,what. "
                "Then replay that folder. A run that went well needs nothing."
            ),
            PageBlock(
                "code", lines=["\n".join(["run,step,what", *view.events])],
                fold=f"The {len(found)} lines" if len(found) > FEW else "",
            ),
        ],
    )  # fmt: skip


def _fold(n: int) -> str:
    """The line under which a table of many runs is folded away."""
    return f"All {n:,} runs" if n > FEW else ""


def _origin(view: AlarmsView) -> Section:
    lines = [f"{line[:1].upper()}{line[1:]}." for line in view.notes]
    return Section(
        "origin", "How this was measured",
        [
            words(
                "Finished runs were replayed checkpoint by checkpoint. Each was judged by alarms that were learnt from "
                "other runs only.",
                "Healthy is a finished run without an event and without an intervention.",
            ),
            *([PageBlock("list", lines=lines)] if lines else []),
            words(
                TAIL if any("exponential tail" in line for line in lines) else "",
            ),
        ],
    )  # fmt: skip
