"""Inputs that follow from others in all finished runs, such as tokens = 20 x params: a law cannot tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from predictdyn.laws.cost import Cost
from predictdyn.laws.inputs import proportions_among
from predictdyn.naming import some

EXACT = 1e-3  # of a column's spread in logs that others leave, as rounding does
AGREES = 0.02  # ln of how far a plan may be from the rule and still follow it


@dataclass(frozen=True)
class Collinear:
    """A column that is a factor times powers of inputs in all finished runs, but for ``apart`` (in logarithms)."""

    factor: float
    powers: Mapping[str, float]
    apart: float = 0.0

    @property
    def words(self) -> str:
        """The rule.

        >>> Collinear(20.0, {"params": 1.0}).words, Collinear(12.0, {"width": 2.0, "depth": 1.0}).words
        ('20 x params', '12 x width^2 x depth')
        """
        inputs = [name if power == 1 else f"{name}^{power:.3g}" for name, power in self.powers.items()]
        return " x ".join([*([] if self.factor == 1 else [f"{self.factor:.4g}"]), *inputs])

    def __call__(self, table: pd.DataFrame) -> np.ndarray:
        """The column by the rule, (n,)."""
        value = np.full(len(table), self.factor)
        for name, power in self.powers.items():
            value = value * pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float) ** power
        return value

    def farther(self, value: np.ndarray, table: pd.DataFrame) -> np.ndarray:
        """By how much given values (n,) lie off the rule, in logarithms; 0 where they agree, or are not given."""
        with np.errstate(all="ignore"):
            off = np.log(value / self(table))
        return np.where(np.isfinite(off) & (np.abs(off) > max(AGREES, 3 * self.apart)), off, 0.0)


def collinear_among(
    names: Sequence[str], numbers: Mapping[str, np.ndarray], exact: float = EXACT
) -> dict[str, Collinear]:
    """Columns that follow from those before them in all rows, each with its rule: positive numbers that vary.

    >>> params = np.array([1e6, 2e6, 5e6, 1e7])
    >>> collinear_among(["params", "tokens"], {"params": params, "tokens": 20 * params})["tokens"].words
    '20 x params'
    """
    good = [name for name in names if name in numbers and not (numbers[name] <= 0).any()]
    shares = proportions_among({name: numbers[name] for name in good})
    found: dict[str, Collinear] = {}
    free: list[str] = []
    for name in good:
        rule = None if name in shares else collinear_of(name, free, numbers, exact)
        if rule is not None:
            found[name] = rule
        elif name not in shares:
            free.append(name)
    return found


def collinear_of(name: str, others: Sequence[str], numbers: Mapping[str, np.ndarray], exact: float) -> Collinear | None:
    """The rule by which a column follows from others; None where it does not, or where rows are too few to say so."""
    columns = np.stack([np.log(numbers[one]) for one in (name, *others)], axis=1)
    columns = columns[np.isfinite(columns).all(axis=1)]
    z, x = columns[:, 0], columns[:, 1:]
    if not others or len(z) < len(others) + 3 or np.ptp(z) < 1e-9:
        return None
    design = np.column_stack([np.ones(len(z)), x])
    slopes = np.linalg.lstsq(design, z, rcond=None)[0]
    if (z - design @ slopes).std() > exact * z.std():
        return None
    # Powers are nearly always whole or simple, and read better so.
    powers = np.where(np.abs(slopes[1:] - np.round(slopes[1:], 1)) < 5 * exact, np.round(slopes[1:], 1), slopes[1:])
    left = z - x @ powers
    kept = {one: float(power) for one, power in zip(others, powers, strict=True) if power != 0}
    return Collinear(float(np.exp(left.mean())), kept, float(left.std())) if kept else None


def filled(table: pd.DataFrame, collinear: Mapping[str, Collinear]) -> pd.DataFrame:
    """A table with the columns that follow from its others, where they are not given."""
    for name, rule in collinear.items():
        if set(rule.powers) <= set(table.columns):
            by_rule = pd.Series(rule(table), index=table.index)
            own = pd.to_numeric(table[name], errors="coerce") if name in table else by_rule
            table = table.assign(**{name: own.fillna(by_rule)})
    return table


def in_inputs(cost: Cost, collinear: Mapping[str, Collinear]) -> Cost:
    """A cost in terms of inputs alone: columns that follow from them need not be given."""
    used = {name: rule for name, rule in collinear.items() if name in cost.columns}
    if not used:
        return cost
    columns = [one for name in cost.columns for one in (used[name].powers if name in used else (name,))]
    return replace(cost, columns=tuple(dict.fromkeys(columns)), of=lambda table: cost.of(filled(table, used)))


def said_of_collinear(collinear: Mapping[str, Collinear]) -> list[str]:
    """A line on each column that follows from others."""
    return [
        f"{name} is {rule.words} in all runs, so the law is of {some(list(rule.powers))} alone, and a plan may leave "
        f"{name} out; add runs that break this rule to learn what {name} does"
        for name, rule in collinear.items()
    ]
