"""The command that fits a scaling law: it reads the data, prints the answer of `fit_law` and writes the page."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from predictdyn import cli_words
from predictdyn.cli_words import listed
from predictdyn.console import FOLDER, PATH, QUIET, as_options, notes, say
from predictdyn.progress import spinner

if TYPE_CHECKING:
    import pandas as pd

    from predictdyn.api.ladders import FittedLadder
    from predictdyn.api.laws import FittedLaw
    from predictdyn.curves import Curves

TABLES = (".csv", ".tsv", ".parquet")
SHOWN = 12  # lines of a kind


@click.command()
@click.argument("data", type=PATH)
@click.option("--target", required=True, metavar="METRIC", help="What the law is of: a column, or a logged metric.")
@click.option(
    "--via", default="", metavar="LOSS,...",
    help="A loss on the way: the plan forecasts it, and it the target. TARGET may be A,B then.",
)  # fmt: skip
@click.option("--questions", type=float, default=None, metavar="N", help="Questions of the exam, with --via.")
@click.option("--inputs", default="", metavar="A,B", help="Columns that it depends on (default: all that vary).")
@click.option(
    "--predict", "plans", multiple=True, metavar="A=1,B=2",
    help="A plan to forecast, e.g. 'params=7e9,tokens=2e12'; may be given again for another.",
)  # fmt: skip
@click.option("--compute", default="", metavar="C,...", help="Budgets whose best plan to tell, e.g. 1e23.")
@click.option("--cost", default=None, metavar="WORDS", help="Cost of a run: a column, or e.g. 6*params*tokens.")
@click.option("--lower", type=float, default=None, help="Least value that the target can have.")
@click.option("--upper", type=float, default=None, help="Largest value that the target can have.")
@click.option("--better", type=click.Choice(["lower", "higher"]), default=None, help="Which values are better.")
@click.option("--chance", type=float, default=None, help="Value of a model without skill.")
@click.option("--nuts", is_flag=True, help="Sample the numbers of structures by NUTS: minutes, not seconds.")
@click.option("--out", type=FOLDER, required=True, help="Folder to write; must not exist.")
@click.option("--source", default=None, help="Name of the loader, for logs (default: found out from the data).")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Setting of the loader, e.g. run=name.")
@click.option("--seed", default=0, show_default=True, help="Seed of all that is random.")
@QUIET
def law(
    data: Path, target: str, via: str, questions: float | None, inputs: str, plans: tuple[str, ...],
    compute: str, cost: str | None, lower: float | None, upper: float | None,
    better: str | None, chance: float | None, nuts: bool, out: Path, source: str | None,
    settings: tuple[str, ...], seed: int, quiet: bool,
) -> None:  # fmt: skip
    """Fit a scaling law to finished runs, and publish a page.

    DATA is a CSV or parquet table with one row a run, or any log that `load` reads.
    """
    import warnings

    from predictdyn.api.law_files import write
    from predictdyn.api.laws import fit_law
    from predictdyn.backtest.writing import check_new, new_folder

    check_new(out)
    asked = [cli_words.plan(word) for word in plans]
    if inputs and not listed(inputs):
        raise ValueError(f"--inputs takes names of columns, A,B, got {inputs!r}")
    budgets = [cli_words.budget(word) for word in listed(compute)]
    if via and not listed(via):
        raise ValueError(f"--via takes names of losses, A,B, got {via!r}")
    targets = list(listed(target)) if via else [target]
    found = _read(data, targets[0], source, settings)
    with spinner("fitting the law", quiet=quiet), new_folder(out) as folder:
        with warnings.catch_warnings():
            # What they say is told below, with what only notes say.
            warnings.simplefilter("ignore", UserWarning)
            ways: dict[str, Any] = {"via": list(listed(via)) or None, "questions": questions}
            fitted = fit_law(
                found, targets if via else target, list(listed(inputs)) or None, **ways,
                lower=lower, upper=upper, better=better, chance=chance,
                cost=cost, towards=asked or None, compute=budgets, nuts=nuts, seed=seed,
            )  # fmt: skip
        notes(fitted.notes)
        predictions, optima, cautions = write(
            fitted, folder, predict=asked, compute=budgets, title=cli_words.title(data), command=cli_words.command(),
            data=data, worded=as_options,
        )  # fmt: skip
    for line in (*fitted.warnings, *cautions):
        say(f"warning: {as_options(line)}", err=True)
    for line in _lines(fitted, predictions, optima):
        say(line)
    say(str(out / "index.html"))


def _read(path: Path, target: str, source: str | None, settings: tuple[str, ...]) -> pd.DataFrame | Curves:
    """A table with one row a run as it is; any other log as curves."""
    from predictdyn.api.law_files import log_of_runs, table_of_runs
    from predictdyn.api.reading import prepared, source_of

    if source is None and not settings and path.suffix.lower() in TABLES and path.is_file():
        known = table_of_runs(path, target)
        if known is not None:
            notes(known[1])
            return known[0]
    name, found = source_of(path, source)
    curves = prepared(log_of_runs(path, name, cli_words.options(settings)))
    notes([*found, *curves.notes])
    return curves


def _lines(law: FittedLaw | FittedLadder, predictions: pd.DataFrame, optima: pd.DataFrame) -> list[str]:
    """The answer in short: the formula, its weight and numbers, forecasts, best plans, and how held-out runs went."""
    from predictdyn.api.law_budgets import said_of_budget
    from predictdyn.report.words import short_number

    rows = law.parameters
    own = rows[rows["shown"] & (rows["group"] == "")]
    wide = max(map(len, own["symbol"]))
    lines = [
        *law.formula.splitlines(),
        _weighed(law),
        *(
            f"  {row['symbol']:<{wide}}  {row['median']:<10.4g} {_interval(row)}  {row['meaning']}"
            for row in own.head(SHOWN).to_dict("records")
        ),
    ]
    lines += [
        f"{row['plan']}: {row['median']:.4g}  [{row['q0.05']:.4g}, {row['q0.95']:.4g}] (90 %)  "
        f"{row['times']:.3g} times the largest finished run  {row['status']}"
        if row["status"] == "ok"
        else f"{row['plan']}: no forecast, {row['status']}"
        for row in predictions.head(SHOWN).to_dict("records")
    ]
    for row in optima.head(SHOWN).to_dict("records"):
        low, middle, high = (short_number(row[name]) for name in ("q0.05", "median", "q0.95"))
        lines.append(f"best at {said_of_budget(row)}: {row['quantity']} {middle}  [{low}, {high}] (90 %)")
    return [*lines, *_checked(law)]


def _interval(row: dict[Hashable, Any]) -> str:
    """The interval of a number; one that belongs to a structure has none."""
    return f"[{row['5 %']:.4g}, {row['95 %']:.4g}] (90 %)" if row["5 %"] < row["95 %"] else "(given)"


def _weighed(law: FittedLaw | FittedLadder) -> str:
    """How much the formula counts: forecasts mix structures, so they can differ from it."""
    from predictdyn.report.words import SPACE, percent

    formula = "this formula" if law.formula.count("\n") == 0 else "the first formula"
    weight, used = percent(law.shown[2]).replace(SPACE, " "), int((law.structures["weight"] > 0).sum())
    return f"{formula} has {weight} of the weight; forecasts mix {used} of {len(law.structures)} structures"


def _checked(law: FittedLaw | FittedLadder) -> list[str]:
    held: Any = law.held_out
    if not len(held):
        return []
    inside = int(held["inside"].sum())
    return [
        f"check: the {len(held)} dearest runs were hidden; 90 % intervals contained {inside} of {len(held)} outcomes"
    ]
