"""Perplexities on the way to an outcome are exponentials of a loss: their logarithms take their place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.curves import Curves, curves_from
from predictdyn.laws import cells
from predictdyn.naming import some

_PERPLEXITY = re.compile(r"perplexity|(^|[^a-z])ppl([^a-z]|$)")
_LOGARITHM = re.compile(r"(^|[^a-z])(log|ln)([^a-z]|$)")


def as_losses(
    data: Curves | pd.DataFrame, via: Sequence[str]
) -> tuple[Curves | pd.DataFrame, list[str], dict[str, str], list[str]]:
    """The data with the logarithm of each perplexity in its place; the measures; their names by that; what to say.

    A perplexity is known by its name, if all its values are above 1.

    >>> runs = pd.DataFrame({"val_ppl": [20.0, 10.0], "acc": [0.3, 0.4]})
    >>> found, via, was, said = as_losses(runs, ["val_ppl"])
    >>> via, was, found["log(val_ppl)"].round(2).tolist()
    (['log(val_ppl)'], {'log(val_ppl)': 'val_ppl'}, [3.0, 2.3])
    """
    taken = [name for name in dict.fromkeys(via) if named_perplexity(name) and _above_one(data, name)]
    if not taken:
        return data, list(via), {}, []
    new = {name: f"log({name})" for name in taken}
    data = _curves(data, new) if isinstance(data, Curves) else logarithms(data.rename(columns=str), new)
    what = "is the exponential" if len(taken) == 1 else "are exponentials"
    line = (
        f"{some(taken)} {what} of a loss, by name, so the logarithm is fitted in its place; no value is lost; give it "
        "another name to have it fitted as it is"
    )
    return data, [new.get(name, name) for name in via], {log: name for name, log in new.items()}, [line]


def named_perplexity(name: str) -> bool:
    """Whether a metric is called so.

    >>> [named_perplexity(name) for name in ("eval/ppl", "WikiText Perplexity", "log_ppl", "apply", "loss")]
    [True, True, False, False, False]
    """
    low = name.lower()
    return bool(_PERPLEXITY.search(low)) and not _LOGARITHM.search(low)


def logarithms(table: pd.DataFrame, new: Mapping[str, str]) -> pd.DataFrame:
    """A table with the logarithms of columns under new names in their place.

    Raises ValueError for a cell that is no number above 1; blank ones stay blank.
    """
    found: dict[str, Any] = {}
    for name in table.columns:
        if name not in new:
            found[name] = table[name]
            continue
        value = _numbers(table[name])
        if (value <= 1).any():
            raise ValueError(f"{name} is a perplexity, so it is above 1, got {value[value <= 1][0]:g}")
        found[new[name]] = np.log(value)
    return pd.DataFrame(found, index=table.index)


def _curves(curves: Curves, new: Mapping[str, str]) -> Curves:
    points = curves.points.copy()
    own = points["metric"].isin(list(new))
    value = points.loc[own, "value"].to_numpy(dtype=float)
    points.loc[own, "stderr"] = points.loc[own, "stderr"].to_numpy(dtype=float) / value
    points.loc[own, "value"] = np.log(value)
    points["metric"] = points["metric"].map(lambda name: new.get(name, name))
    metrics = {
        new.get(name, name): one._replace(name=new[name], kind="loss", lower=0.0, upper=None, label="", unit="")
        if name in new
        else one
        for name, one in curves.metrics.items()
    }
    return replace(curves_from(points, curves.runs, metrics, curves.events), notes=curves.notes)


def _above_one(data: Curves | pd.DataFrame, name: str) -> bool:
    """Whether all that is there are numbers above 1."""
    if isinstance(data, Curves):
        value = data.points.loc[data.points["metric"] == name, "value"].to_numpy(dtype=float)
    elif name in data:
        try:
            value = _numbers(data[name])
        except (ValueError, TypeError):  # told where the column is read in earnest
            return False
    else:
        return False
    value = value[~np.isnan(value)]
    return len(value) > 0 and bool((value > 1).all())


def _numbers(column: pd.Series) -> np.ndarray:
    return np.array([cells.number(cell) for cell in column], dtype=float)
