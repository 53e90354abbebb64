"""The best plan of a law for a budget: for each group of runs, since a plan is of one of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.laws import surfaces
from predictdyn.laws.budget import budget_for
from predictdyn.laws.cost import Cost
from predictdyn.laws.finished import Finished
from predictdyn.laws.inputs import Inputs
from predictdyn.laws.law import Law
from predictdyn.laws.optimal import Optimum, optimal
from predictdyn.naming import some
from predictdyn.report.words import short_number


def best_plans(law: Law, finished: Finished, compute: float | Sequence[float], settings: Mapping[str, Any]) -> Optimum:
    """See `FittedLaw.optimal`: one law, or one a group with a column ``group``; proportions are the mean ones."""
    cost = _cost_in_inputs(finished)
    given = dict(settings.get("fixed") or {})
    rest = {name: value for name, value in settings.items() if name != "fixed"}
    shares = _proportions(law.inputs, finished, given)
    noted = [
        f"best plans are for {', '.join(f'{name} {share:.3g}' for name, share in shares.items())}, the mean of the "
        "finished runs; state others with fixed="
    ] if shares else []  # fmt: skip
    found: dict[str, Optimum] = {}
    for name, group in groups_of(law.inputs, law.runs, given).items():
        found[name] = optimal(law, compute, cost=cost.sequence, fixed={**given, **shares, **group}, **rest)
    if len(found) == 1:
        only = next(iter(found.values()))
        return Optimum(only.table, only.exponents, only.draws, (*noted, *only.notes), only.uncertainty)
    tables, exponents, draws = (
        pd.concat([getattr(one, part).assign(group=name) for name, one in found.items()], ignore_index=True)
        for part in ("table", "exponents", "draws")
    )
    # Lines on a budget go on beginning with it.
    notes = [
        line.replace(", ", f", for {name} ", 1) if line.startswith("at ") else f"for {name}: {line}"
        for name, one in found.items() for line in one.notes
    ]  # fmt: skip
    return Optimum(tables, exponents, draws, (*noted, *notes), next(iter(found.values())).uncertainty)


def groups_of(how: Inputs, runs: pd.DataFrame, given: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The values of the columns of groups that finished runs have together and that agree with those given."""
    free = [name for name in how.by if name not in given]
    if not free:
        return {"": {}}
    rows = runs[list(how.by)].astype(str).drop_duplicates().sort_values(list(how.by))
    for name in how.by:
        if name in given:
            rows = rows[rows[name] == str(given[name])]
    if not len(rows):
        raise ValueError(
            f"no finished run has {', '.join(f'{name} {given[name]!r}' for name in how.by if name in given)}"
        )
    return {
        ", ".join(f"{name} {row[name]}" for name in free): {str(name): row[name] for name in free}
        for row in rows.to_dict("records")
    }


def check_budgets(how: Inputs, finished: Finished, compute: float | Sequence[float]) -> None:
    """Raise ValueError, one line, where no best plan can be told for budgets, whatever the law will be."""
    budgets = np.atleast_1d(np.asarray(compute, dtype=float))
    if not len(budgets):
        return
    if not (np.isfinite(budgets) & (budgets > 0)).all():
        raise ValueError(f"compute= is one positive number or some, got {compute}")
    cost = _cost_in_inputs(finished)
    group = next(iter(groups_of(how, finished.table, {}).values()))
    budget_for(how, finished.table, cost.sequence, {**_proportions(how, finished, {}), **group}, {})


def said_of_budget(row: Mapping[Hashable, Any]) -> str:
    """A budget in words, with its group where there are several."""
    return " with ".join([short_number(row["compute"]), *([str(row["group"])] if "group" in row else [])])


def _proportions(how: Inputs, finished: Finished, given: Mapping[str, Any]) -> dict[str, float]:
    rest = surfaces.middle(finished)
    return {name: float(rest[name].iloc[0]) for name in how.proportions if name not in given}


def _cost_in_inputs(finished: Finished) -> Cost:
    cost = finished.cost
    if cost is None or not set(cost.columns) <= set(finished.inputs):
        raise ValueError(
            f"optimal needs the cost of a run in terms of its inputs, {some(finished.inputs, 12)}; name it in fit_law "
            "with cost='6*params*tokens', a column, or a function of a table"
        )
    taken = sorted({"compute", "group"} & set(finished.inputs))
    if taken:
        raise ValueError(f"the best plan is a table with a column {taken[0]}, so no input can be called so; rename it")
    return cost
