"""The page of a law: the formula with its numbers, what is forecast, how held-out runs went, and what to watch."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from predictdyn.report import record
from predictdyn.report.blocks import Cell, PageAnswer, PageBlock, PageTable, Section, Shown, figures, table, words
from predictdyn.report.downloads import download
from predictdyn.report.figures import scaling
from predictdyn.report.law_results import LawResults
from predictdyn.report.render import written
from predictdyn.report.style import NARROW, WIDE, canvas, drawing, variables
from predictdyn.report.words import SPACE, UNKNOWN, between, count, listed, percent, readable, short_number, value

LONGEST = 90  # letters of a formula that a headline carries
ROWS = 40
SAID = ("90 %", "too few runs to hold")  # how warnings begin that the check says, too
INTERVAL = f"90{SPACE}% interval"


def render_law(results: LawResults) -> dict[str, str]:
    """All files of the page as text by name, index.html last."""
    picture = results.picture
    hero, narrow = _hero(results, picture, wide=True), _hero(results, picture, wide=False)
    parts = [
        _watch(results), _numbers(results), _fit(results, picture), _plans(results, picture), _structures(results),
        _data(results), record.origin(results.provenance),
    ]  # fmt: skip
    sections = [part for part in parts if part]
    content = {
        "title": str(results.provenance.get("title") or "Scaling law by predictdyn"),
        "made": "law",
        "created": str(results.provenance.get("created") or ""),
        "version": str(results.provenance.get("predictdyn") or ""),
        "answer": _answer(results),
        "hero": hero,
        "narrow": narrow.drawing,
        "sections": sections,
        "colours": variables(":root"),
    }
    shown = [figure for section in sections for block in section.blocks for figure in block.figures]
    return written(content, [figure.drawing for figure in (hero, *shown)])


def _answer(results: LawResults) -> PageAnswer:
    """The formula, then what is forecast, the best plan, and how held-out runs went."""
    label, formula = readable(results.label), str(results.facts["formula"])
    named = f"{label[:1].upper()}{label[1:]}"
    left = f"{results.facts['target']} = "
    short = formula.startswith(left) and len(formula) - len(left) <= LONGEST
    headline = f"{named} = {formula.removeprefix(left)}" if short else _beside(results, named)
    sentences = [_forecast(results), _best(results), _check(results)]
    sentences.append(_warned(results))
    return PageAnswer(headline, [line for line in sentences if line], _predictions(results), "loss", math.nan)


def _beside(results: LawResults, named: str) -> str:
    inputs = [readable(name) for name in results.facts["inputs"]]
    return f"{named} as a law of {listed(inputs, 3)}, from {count(results.facts['runs'], 'finished run')}"


def _warned(results: LawResults) -> str:
    """How many warnings there are, and one that no other sentence says, up to what to do."""
    lines = [str(line) for line in results.facts["warnings"]]
    if not lines:
        return ""
    rest = [line for line in lines if not line.startswith(SAID)]
    one = "" if not rest else f": {rest[0].split(';')[0].rstrip('.')}" if len(lines) == 1 else (
        f", among them: {rest[0].split(';')[0].rstrip('.')}"
    )  # fmt: skip
    return f"{count(len(lines), 'warning')} below{one}."


def _forecast(results: LawResults) -> str:
    rows = results.predictions[results.predictions["status"] == "ok"]
    if not len(rows):
        return ""
    row = rows.iloc[0]
    said = f"{str(row['plan'])[:1].upper()}{str(row['plan'])[1:]}"
    number = f"{_number(row)} ({INTERVAL} {between(row['q0.05'], row['q0.95'])})"
    return f"{said} is forecast to end with {readable(results.label)} {number}."


def _best(results: LawResults) -> str:
    rows, target = results.optimum, str(results.facts["target"])
    if not len(rows):
        return ""
    some = rows[rows["compute"] == rows["compute"].iloc[0]]
    grouped = "group" in some
    some = some[some["group"] == some["group"].iloc[0]] if grouped else some
    of = f" with {some['group'].iloc[0]}" if grouped else ""
    plan = [f"{row['quantity']} {_plain(row)}" for _, row in some.iterrows() if row["quantity"] != target]
    there = some[some["quantity"] == target]
    end = f", with {readable(results.label)} {_plain(there.iloc[0], digits=True)}" if len(there) else ""
    unit = f" {results.facts['unit']}" if results.facts.get("unit") else ""
    return f"The best plan for {short_number(some['compute'].iloc[0])}{unit}{of} has {listed(plan)}{end}."


def _check(results: LawResults) -> str:
    held = results.held_out
    if not len(held):
        return "Too few runs have ended to hide some and forecast them, so these intervals are not tested."
    inside = int(held["inside"].astype(str).str.lower().isin(["true", "1"]).sum())
    missed = float(np.median(np.abs(held["truth"] - held["median"]) / np.abs(held["truth"]).clip(lower=1e-300)))
    others = int(results.facts["runs"]) - len(held)
    return (
        f"Check: the {len(held)} dearest runs were hidden and forecast from the other {others}. Their {INTERVAL}s "
        f"contained {inside} of {len(held)} outcomes, and the median error was {percent(missed)}."
    )


def _predictions(results: LawResults) -> PageTable:
    rows = results.predictions
    cells = [
        [
            Cell(str(row["plan"])), Cell(_number(row), mark="main"),
            Cell(between(row["q0.05"], row["q0.95"]) if row["status"] == "ok" else UNKNOWN),
            Cell(f"{row['times']:,.3g} ×" if math.isfinite(row["times"]) else UNKNOWN),
            Cell("ok") if row["status"] == "ok" else Cell(str(row["status"]), mark="unsure"),
        ]
        for _, row in rows.head(ROWS).iterrows()
    ]  # fmt: skip
    what = "cost" if results.facts.get("cost") else "its farthest input"
    caption = (
        f"Forecasts of {readable(results.label)}, by all structures together. Times: {what} against the largest "
        "finished run."
    )
    if not cells:
        caption = "No plan was forecast: none was asked for, and no column says what a larger run costs."
    return PageTable(
        caption, ["plan", "median", INTERVAL, "times", "status"], cells, 1, download(rows, "predictions.csv")
    )


def _hero(results: LawResults, picture: scaling.Picture, *, wide: bool) -> Shown:
    with canvas(WIDE if wide else NARROW) as (figure, ax):
        scaling.paint_target(ax, picture)
        done = drawing(figure, "law" if wide else "law-narrow")
    held = " Orange: the dearest runs as they were forecast when hidden." if len(picture.held) else ""
    line = (
        " Blue line: the best plan for each cost, with its 90 % band."
        if picture.x == "cost" and len(picture.line)
        else ""
    )
    line = line or (" Blue line: the law with its 90 % band." if len(picture.line) else "")
    # A line is of one group: the commonest.
    line += f" It is of runs with {results.facts['drawn']}." if line and results.facts.get("drawn") else ""
    said = f"Dots: {count(len(picture.runs), 'finished run')}.{held}{line} Diamonds: forecasts."
    return Shown(done, f"{readable(results.label)} over {readable(picture.x_label)}", said)


def _watch(results: LawResults) -> Section | None:
    lines = [_sentence(line) for line in results.facts["warnings"]]
    if not lines:
        checked = (
            "extrapolation, exponents, sizes, single runs, crashed runs, checkpoints, mixed tables and held-out runs"
        )
        return Section("warnings", "What to watch", [words(f"Nothing was found. Checked were {checked}.")])
    return Section("warnings", "What to watch", [PageBlock("list", lines=lines)], paper=True)


def _numbers(results: LawResults) -> Section:
    facts, rows = results.facts, results.parameters
    shown = rows["shown"].astype(str).str.lower().isin(["true", "1"])
    own = rows[shown & (rows["group"] == "")]
    held = f" It has {percent(facts['weight'])} of the weight in forecasts." if "weight" in facts else ""
    heaviest = str(results.structures["structure"].iloc[0]) == str(facts["structure"])
    plain = "the heaviest one" if heaviest else "a plain one that fits nearly as well as the best"
    measure = readable(str(facts.get("measure", "")))
    first = f"The law of {measure}" if measure else "The formula"
    blocks = [
        words(
            f"Two steps: the plan of a run forecasts {measure}, and {measure} forecasts {readable(results.label)}. "
            "What is not known of the first step goes through the second."
            if measure
            else "",
            f"{first} is that of the structure {facts['structure']}: {plain}.{held} "
            "Forecasts use all structures by weight, so they can differ from it.",
            "Numbers are medians of the posterior, in the units of the inputs and the target.",
        ),
        PageBlock(
            "code", lines=[str(facts["symbols"]), *map(str, facts.get("steps", [facts["formula"]]))], wrapped=True
        ),
        table(
            _parameters(
                f"Numbers of {'the second step' if measure else facts['structure']}.",
                own,
                download(rows, "parameters.csv"),
            )
        ),
    ]
    groups = rows[shown & (rows["group"] != "")]
    if len(groups):
        caption = f"Numbers of {facts['structure']} for each group.{_left(len(groups))}"
        blocks.append(table(_parameters(caption, groups, None, by="group"), "Numbers of each group"))
    for name, some in rows[~shown & (rows["group"] == "")].groupby("structure", sort=False):
        blocks.append(table(_parameters(f"Numbers of {name}.", some, None), f"Another structure: {name}"))
    return Section("numbers", "The law and its numbers", blocks, paper=True)


def _parameters(caption: str, rows: pd.DataFrame, link: object, by: str = "") -> PageTable:
    cells = [
        [
            *([Cell(str(row[by]))] if by else []), Cell(str(row["symbol"])), Cell(str(row["meaning"])),
            Cell(scaling_number(row["median"], row["q0.95"] - row["q0.05"]), mark="main"),
            Cell(_range(row) if row["q0.05"] < row["q0.95"] else "given"),
        ]
        for _, row in rows.head(ROWS).iterrows()
    ]  # fmt: skip
    if (rows["q0.05"] == rows["q0.95"]).any():
        caption += " A number that is given belongs to the structure and is not fitted."
    head = [*(["group"] if by else []), "symbol", "what it is", "median", INTERVAL]
    return PageTable(caption, head, cells, 3 if by else 2, link)  # type: ignore[arg-type]


def _fit(results: LawResults, picture: scaling.Picture) -> Section:
    held, runs = results.held_out, results.runs
    with canvas() as (figure, ax):
        scaling.paint_residuals(ax, picture)
        done = drawing(figure, "residuals")
    far = runs[runs["far_out"].astype(str).str.lower().isin(["true", "1"])]
    said = [
        "Dots near the line and without a pattern: the law fits.",
        "Open circles far off: it does not extrapolate." if len(held) else "",
        "Crosses: runs far out, those beyond the others at the edge." if len(far) else "",
    ]
    left = Shown(done, "What the law leaves over", " ".join(line for line in said if line))
    blocks = [
        words(
            f"A law of the other {int(results.facts['runs']) - len(held)} runs alone made the forecasts of the "
            f"{len(held)} dearest. Its structures, weights and widths saw none of them."
            if len(held)
            else _check(results),
            _against(held),
            f"{count(len(far), 'finished run')} lie{'s' if len(far) == 1 else ''} far from the law: "
            f"{listed([str(run) for run in far['run']])}."
            if len(far)
            else "",
        ),
        figures([left]),
    ]
    if len(held):
        cells = [
            [
                Cell(str(row["run"])), Cell(value(row["truth"], row["q0.95"] - row["q0.05"])),
                Cell(_number(row), mark="main"), Cell(between(row["q0.05"], row["q0.95"])),
                Cell("inside", mark="good") if str(row["inside"]).lower() == "true" else Cell("outside", mark="bad"),
            ]
            for _, row in held.head(ROWS).iterrows()
        ]  # fmt: skip
        head = ["run", "truth", "forecast", INTERVAL, "where it fell"]
        shown = PageTable(f"Runs that were hidden.{_left(len(held))}", head, cells, 1, download(held, "held_out.csv"))
        blocks.append(table(shown, f"All {len(held)} hidden runs"))
    return Section("check", "How far to trust it", blocks, paper=True)


def _against(held: pd.DataFrame) -> str:
    if not len(held):
        return ""
    law, guess = float(held["crps"].mean()), float(held["crps_dearest"].mean())
    if not guess > 0:
        return ""
    better = f"{percent(1 - law / guess)} smaller than" if law < guess else "no smaller than"
    return f"The error (CRPS) is {better} that of a simple guess: a run ends as the dearest runs before it did."


def _plans(results: LawResults, picture: scaling.Picture) -> Section | None:
    shown = []
    if len(picture.surface) and len(picture.main) == 2:
        with canvas() as (figure, ax):
            scaling.paint_contours(ax, picture)
            best = " Squares: the best plan for each cost." if {*picture.main} <= set(picture.line) else ""
            said = f"Lines of equal {readable(results.label)}, by the median forecast.{best}"
            title = f"{readable(results.label)} over {picture.main[0]} and {picture.main[1]}"
            shown.append(Shown(drawing(figure, "contours"), title, said))
    if len(picture.budgets):
        with canvas() as (figure, ax):
            scaling.paint_budgets(ax, picture)
            said = "Each line: plans of one cost, which stands at its end. Squares: the lowest point inside the line."
            shown.append(Shown(drawing(figure, "isoflops"), f"{readable(results.label)} at equal cost", said))
    rows = results.optimum
    if not len(rows) and not shown:
        return None
    blocks = []
    if len(rows):
        target = str(results.facts["target"])
        cells = [
            [
                *([Cell(str(row["group"]))] if "group" in rows else []), Cell(short_number(row["compute"])),
                Cell(results.label if row["quantity"] == target else str(row["quantity"])),
                Cell(_plain(row, interval=False, digits=row["quantity"] == target), mark="main"),
                Cell(_range(row) if row["quantity"] != target else between(row["q0.05"], row["q0.95"])),
            ]
            for _, row in rows.head(ROWS).iterrows()
        ]  # fmt: skip
        caption = f"The best plan for each budget ({results.facts.get('cost')}), over draws of the law."
        head = [*(["group"] if "group" in rows else []), "budget", "what", "median", INTERVAL]
        blocks.append(table(PageTable(caption, head, cells, len(head) - 2, download(rows, "optimum.csv"))))
    if shown:
        blocks.append(figures(shown))
    return Section("plans", "Plans of equal cost", blocks, paper=True)


def _structures(results: LawResults) -> Section:
    rows = results.structures
    used = rows[rows["weight"] > 0]
    cells = [
        [
            Cell(str(row["structure"]), str(row["formula"])), Cell(percent(row["weight"]), mark="main"),
            Cell(value(row["held_out_crps"])),
        ]
        for _, row in used.head(ROWS).iterrows()
    ]  # fmt: skip
    said = (
        f"{count(len(rows), 'structure')} were fitted. Each was weighed by forecasts of the dearer runs from the "
        f"cheaper ones. {count(len(used), 'structure')} {'has' if len(used) == 1 else 'have'} weight."
    )
    head = ["structure", "weight", "held-out CRPS"]
    label = readable(str(results.facts.get("measure", results.label)))
    caption = f"Structures with weight; CRPS in units of {label}."
    shown = PageTable(caption, head, cells, 1, download(rows, "structures.csv"))
    return Section(
        "structures", "Structures", [words(said), table(shown, f"The {count(len(used), 'structure')} in use")]
    )


def _data(results: LawResults) -> Section:
    facts = results.facts
    cost = f" Cost is {facts['cost']}." if facts.get("cost") else ""
    blocks = [words(f"{count(facts['runs'], 'finished run')}; inputs are {listed(facts['inputs'], 12)}.{cost}")]
    if facts["notes"]:
        blocks.append(PageBlock("list", lines=[_sentence(line) for line in facts["notes"]], title="Notes"))
    cells = [
        [Cell(str(row["run"])), Cell(value(row[facts["target"]])), Cell(value(row["fitted"])),
         Cell(value(row["residual"], abs(row["residual"])))]
        for _, row in results.runs.reindex(results.runs["residual"].abs().sort_values(ascending=False).index)
        .head(ROWS).iterrows()
    ]  # fmt: skip
    head = ["run", results.label, "law", "residual"]
    caption = f"Finished runs, those farthest from the law first.{_left(len(results.runs))}"
    shown = PageTable(caption, head, cells, 1, download(results.runs, "runs.csv"))
    blocks.append(table(shown, f"{count(len(results.runs), 'finished run')} with residuals"))
    return Section("data", "The data", blocks)


def scaling_number(number: float, width: float = math.nan) -> str:
    """A number of a law or a plan: digits as its interval allows, large ones with a short exponent.

    >>> scaling_number(1.7123, 0.05), scaling_number(1.533e10, 8e9), scaling_number(406.2, 900.0)
    ('1.712', '1.53e10', '406')
    """
    if not math.isfinite(number):
        return UNKNOWN
    if abs(number) >= 1e4 or 0 < abs(number) < 1e-3:
        digits, _, power = f"{number:.2e}".partition("e")
        return f"{float(digits):g}e{int(power)}".replace("-", "−")
    return value(number, min(width, abs(number) / 10) if math.isfinite(width) and number else width)


def _plain(row: pd.Series, *, interval: bool = True, digits: bool = False) -> str:
    """A quantity of the optimum, with its interval: the target to the digits of its interval, inputs to three."""
    width = float(row["q0.95"] - row["q0.05"])
    number = value(row["median"], width) if digits else scaling_number(row["median"], width)
    if not interval:
        return number
    return f"{number} ({between(row['q0.05'], row['q0.95']) if digits else _range(row)})"


def _range(row: pd.Series) -> str:
    width = float(row["q0.95"] - row["q0.05"])
    return f"{scaling_number(row['q0.05'], width)} to {scaling_number(row['q0.95'], width)}"


def _number(row: pd.Series) -> str:
    return value(row["median"], row["q0.95"] - row["q0.05"])


def _sentence(line: str) -> str:
    line = str(line).rstrip(".")
    return f"{line[:1].upper()}{line[1:]}." if not line.split(" ")[0].count("_") else f"{line}."


def _left(total: int) -> str:
    return f" The first {ROWS} of {total:,}." if total > ROWS else ""
