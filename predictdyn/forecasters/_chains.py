"""Diagnostics of the chains that a forecaster has drawn while it learnt from a history."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from predictdyn.fitting.chains import Mixing
from predictdyn.problem import History

COLUMNS = ["metric", *Mixing._fields, "converged"]


def chains_of(history: History) -> pd.DataFrame:
    """One row for each metric whose numbers were drawn by chains so far, as `Mixing`; the worst of several.

    Most forecasters draw by none.
    """
    rows = []
    for found in history.learnt.values():
        if "mixing" in found:
            one = Mixing(*map(float, found["mixing"]))
            rows.append((str(found["metric"]), *one, one.converged))
    table = pd.DataFrame(rows, columns=COLUMNS).sort_values(["metric", "rhat"], ascending=[True, False])
    return table.drop_duplicates("metric", ignore_index=True)


def chains_said(history: History, metrics: Collection[str]) -> list[str]:
    """The same of some metrics in a line, none where no chain was drawn."""
    table = chains_of(history)
    table = table[table["metric"].isin(metrics)]
    if not len(table):
        return []
    met, n = table[table["converged"]], len(table)
    line = f"chains met for {len(met)} of {n} metric{'s' * (n > 1)}"
    if len(met):
        line += f": R-hat at most {met['rhat'].max():.2f}, at least {met['size'].min():.0f} effective draws"
        worst = met["divergent"].max()
        line += f", {worst:.1%} divergent transitions" if worst else ", no divergent transitions"
    return [line]
