"""Files of a law: its tables, what they are of, and the page made from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from predictdyn.api.reading import read
from predictdyn.backtest.folder import about, file_hashes, write_json
from predictdyn.backtest.writing import new_folder
from predictdyn.curves import Curves
from predictdyn.laws import surfaces
from predictdyn.laws.cost import counts_data
from predictdyn.laws.decimals import with_points
from predictdyn.laws.finished import RUN_NAMES
from predictdyn.laws.reading import Plans
from predictdyn.laws.replay import dearness
from predictdyn.loaders import catalogue
from predictdyn.loaders.engine.facts import is_clock
from predictdyn.loaders.engine.log_metrics import CLOCKS

if TYPE_CHECKING:
    from predictdyn.api.ladders import FittedLadder
    from predictdyn.api.laws import FittedLaw

SEVERAL = 0.6  # of the rows name a run that another row has, too, from which the table is a log


def save(
    law: FittedLaw | FittedLadder, folder: Path, *, predict: Plans, compute: float | Sequence[float], title: str
) -> Path:
    """See `FittedLaw.save`."""
    with new_folder(folder) as aside:
        write(law, aside, predict=predict, compute=compute, title=title, command=f"{law.call}.save('page')", data=None)
    return folder / "index.html"


def write(
    law: FittedLaw | FittedLadder, folder: Path, *, predict: Plans, compute: float | Sequence[float], title: str,
    command: str, data: Path | None, worded: Callable[[str], str] = str,
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:  # fmt: skip
    """The files of a law and its page in a folder that is there; returns predictions, optima, and cautions on them.

    ``worded`` puts lines that name keywords into the words of who reads them.
    """
    from predictdyn.report import publish

    predictions, asked = _predictions(law, predict)
    budgets = [float(one) for one in np.atleast_1d(np.asarray(compute, dtype=float))]
    optima, noted, far = _optima(law, budgets)
    picture = law.picture
    cautions = [*(law.check(predictions) if asked else []), *far]
    symbols, formula, weight = law.shown
    structures = law.structures
    tables = {
        "structures": structures, "parameters": law.parameters.rename(columns={"5 %": "q0.05", "95 %": "q0.95"}),
        "predictions": predictions, "runs": picture.runs, "held_out": picture.held, "optimum": optima,
        "line": picture.line, "surface": picture.surface, "budgets": picture.budgets,
    }  # fmt: skip
    for name, table in tables.items():
        if len(table):
            table.to_csv(folder / f"{name}.csv", index=False)
    cost = law.finished.cost
    warned, told = ([worded(line) for line in lines] for lines in ((*law.warnings, *cautions), (*law.notes, *noted)))
    rest = surfaces.middle(law.finished)
    facts = {
        "target": law.target, "label": law.finished.label, "better": law.settings.get("better", "lower"),
        "inputs": law.inputs, "groups": list(law.law.inputs.groups),
        "drawn": ", ".join(f"{name} {rest[name].iloc[0]}" for name in law.law.inputs.by),
        "runs": len(law.finished.table),
        "cost": cost.words if cost else None, "unit": cost.unit if cost else "",
        "structure": str(structures.loc[structures["shown"], "structure"].iloc[0]),
        "symbols": symbols, "formula": formula, "weight": weight, **law.page,
        "correlations": law.correlations.round(4).to_dict(), "asked": asked, "x": picture.x,
        "x_label": picture.x_label, "main": list(picture.main), "warnings": warned,
        "notes": told,
    }  # fmt: skip
    write_json(facts, folder / "law.json")
    hashes = {"table": _digest(law)} if data is None else file_hashes(data)
    plan = {
        "target": law.target, "inputs": ", ".join(law.inputs), "cost": cost.words if cost else None,
        "predict": asked, "compute": ", ".join(f"{one:g}" for one in budgets), **law.settings,
    }  # fmt: skip
    provenance = about(
        made="law", title=title, command=command, primary_forecaster="law", seed=law.seed, plan=plan, sha256=hashes,
        counts={"runs": len(law.finished.table)}, warnings=[*told, *warned], seconds={},
    )  # fmt: skip
    write_json(provenance, folder / "provenance.json")
    publish(folder)
    return predictions, optima, cautions


def table_of_runs(path: Path, target: str) -> tuple[pd.DataFrame, list[str]] | None:
    """A CSV, TSV or parquet file with one row a run, and what to say of it; None for a log of several rows a run.

    Raises ValueError where it cannot be read.
    """
    line = ""
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
        else:
            with path.open(encoding="utf-8-sig") as lines:
                head = lines.readline()
            sep = max(",;\t", key=head.count)
            how: dict[str, Any] = {"sep": sep, "encoding": "utf-8-sig"}
            names = pd.read_csv(path, header=None, nrows=1, dtype=str, **how).iloc[0].dropna()
            if names.duplicated().any():
                raise ValueError(f"column {names[names.duplicated()].iloc[0]!r} is there more than once")
            table = pd.read_csv(path, **how)
            if sep != ",":
                text, line = with_points(pd.read_csv(path, dtype=str, **how), sep)
                table = pd.read_csv(StringIO(text.to_csv(index=False))) if line else table
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as a table ({' '.join(str(error).split())[:300]})") from None
    table = table.rename(columns=str)
    if target not in table and {"metric", "value"} <= set(table):
        return None
    name = next((name for name in table.columns if name.lower() in RUN_NAMES), None)
    again = name is not None and table[name].duplicated().mean() > SEVERAL
    log = again and any(map(is_clock, table.columns))
    return None if log else (table, [f"{path}: {line}"] if line else [])


def log_of_runs(path: Path, source: str, settings: dict[str, Any]) -> Curves:
    """A log with its counters of data beside its metrics: the tokens of a run are an input of a law.

    Other clocks stay out, as in `load`; so do all where settings choose metrics.
    """
    named = {option.name for option in catalogue.source(source).options}
    if {"metrics", "exclude"} & set(settings) or not {"metrics", "exclude"} <= named:
        return read(path, source, settings)
    others = [name for name in CLOCKS if not counts_data(name)]
    exclude = [*others, *(f"*/{name}" for name in others)]
    curves = read(path, source, {**settings, "metrics": ["*"], "exclude": exclude})
    kept = [name for name in curves.metrics if counts_data(name) or not is_clock(name)]
    return replace(curves.select(metrics=kept), notes=curves.notes)


def _predictions(law: FittedLaw | FittedLadder, predict: Plans) -> tuple[pd.DataFrame, bool]:
    """Forecasts of the plans that were asked for, else of the dearest run made ten times larger."""
    if not isinstance(predict, pd.DataFrame):
        law.finished.reading.must_know(dict.fromkeys(name for one in predict for name in one))
    plans = predict if isinstance(predict, pd.DataFrame) else pd.DataFrame(list(predict))
    asked, larger = bool(len(plans)), None
    if not asked:
        larger = surfaces.larger(law.finished, dearness(law.finished, dict(law.settings)))
        if larger is None:
            return pd.DataFrame(), False
        plans = larger[0][law.inputs]
    found = law.predict(plans).rename(columns={"5 %": "q0.05", "95 %": "q0.95"})
    names = [law.said(row) for _, row in found.iterrows()]
    if not asked and larger is not None:
        several = "target" in found and len(found["target"].unique()) > 1
        names = [f"{larger[1]} ({row['target']})" if several else larger[1] for _, row in found.iterrows()]
    cost = law.finished.cost
    if cost is not None and law.picture.x == "cost":
        found["cost"] = cost(found)
    return found.assign(plan=names)[["plan", *found.columns]], asked


def _optima(law: FittedLaw | FittedLadder, budgets: list[float]) -> tuple[pd.DataFrame, list[str], list[str]]:
    """A row for each budget and quantity: median, ``q0.05``, ``q0.95``; how they came to be, and what may hurt."""
    if not budgets:
        return pd.DataFrame(), [], []
    found = law.optimal(budgets)
    table = found.table.rename(columns={"estimate": "median", "low": "q0.05", "high": "q0.95"})
    # Lines on a budget say that a bound binds, or that the plan lies far from the finished runs.
    far = [line for line in found.notes if line.startswith("at ")]
    return table, [line for line in found.notes if line not in far], far


def _digest(law: FittedLaw | FittedLadder) -> str:
    import hashlib

    return hashlib.sha256(law.finished.table.to_csv(index=False).encode()).hexdigest()
