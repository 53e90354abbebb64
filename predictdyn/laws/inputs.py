"""Inputs of a law: columns of a table as centred logarithms, proportions and groups; their names do not matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

MOST_INPUTS = 5  # logarithms in a law
MOST_GROUPS = 64  # a column of text with more values names runs, not groups
SUM_SLACK = 0.02  # how far proportions may be from a constant sum
NONE_OF_IT = 0.02  # a proportion of zero has a logarithm, too: ln(p + this)


@dataclass(frozen=True)
class Encoded:
    """Rows of a table as numbers: centred logarithms (n, d), proportions (n, m), group of each row (n,), -1 unknown."""

    logs: np.ndarray
    proportions: np.ndarray
    group: np.ndarray

    @property
    def numbers(self) -> np.ndarray:
        """Logarithms and proportions side by side, (n, d + m)."""
        return np.concatenate([self.logs, self.proportions], axis=1)

    def rows(self, which: np.ndarray) -> Encoded:
        """Some rows, by place or by truth value."""
        return Encoded(self.logs[which], self.proportions[which], self.group[which])

    def __len__(self) -> int:
        return len(self.group)


@dataclass(frozen=True)
class Inputs:
    """How to read the inputs of any run, learnt from the table of finished runs alone.

    ``logs``: column -> (what is added before the logarithm, mean logarithm); ``proportions``: columns that sum to a
    constant; ``groups``: the values that the columns ``by`` have together.
    """

    logs: dict[str, tuple[float, float]]
    proportions: tuple[str, ...]
    by: tuple[str, ...]
    groups: tuple[str, ...]
    dropped: dict[str, str]  # column -> why it is not an input

    @property
    def names(self) -> list[str]:
        """All columns that are used."""
        return [*self.logs, *self.proportions, *self.by]

    def encode(self, table: pd.DataFrame) -> Encoded:
        """Rows of a table as numbers; NaN where a value is missing or has no logarithm."""
        n = len(table)
        columns = []
        for name, (offset, centre) in self.logs.items():
            value = _numbers(table, name) + offset
            columns.append(np.log(np.where(value > 0, value, np.nan)) - centre)
        logs = np.stack(columns, axis=1) if columns else np.zeros((n, 0))
        shares = [_numbers(table, name) for name in self.proportions]
        proportions = np.stack(shares, axis=1) if shares else np.zeros((n, 0))
        known = {name: place for place, name in enumerate(self.groups)}
        group = np.array([known.get(name, -1) for name in _groups(table, self.by)], dtype=int)
        return Encoded(logs, proportions, group)


def inputs_from(table: pd.DataFrame, names: list[str] | None = None) -> Inputs:
    """Learn how to read inputs from the finished runs (one row a run).

    Numbers that are positive are taken in logarithms; where some are zero, the smallest positive one is added first.
    Two or more columns in [0, 1] whose sum is constant are proportions. Text with few values is a group. A column that
    does not vary, or is a product of others, is no input.

    >>> table = pd.DataFrame({"params": [1e6, 1e8, 1e7], "tokens": [1e9, 1e9, 1e10], "layers": [2, 2, 2]})
    >>> found = inputs_from(table)
    >>> list(found.logs), found.dropped
    (['params', 'tokens'], {'layers': 'has one value'})
    """
    names = list(map(str, table.columns)) if names is None else names
    dropped: dict[str, str] = {}
    numbers: dict[str, np.ndarray] = {}
    by: list[str] = []
    for name in names:
        column = table[name]
        if _is_text(column):
            levels = column.dropna().astype(str).nunique()
            if levels < 2:
                dropped[name] = "has one value"
            elif levels > min(MOST_GROUPS, len(table) // 2):
                dropped[name] = f"is text with {levels} values"
            else:
                by.append(name)
            continue
        value = _numbers(table, name)
        finite = value[np.isfinite(value)]
        if len(finite) < len(value):
            dropped[name] = f"has no number in {len(value) - len(finite)} of {len(value)} rows"
        elif np.ptp(finite) <= 1e-9 * max(1e-300, float(np.abs(finite).max())):
            dropped[name] = "has one value"
        else:
            numbers[name] = value
    proportions = proportions_among(numbers)
    logs: dict[str, tuple[float, float]] = {}
    kept: list[np.ndarray] = [np.ones(len(table))]
    for name, value in numbers.items():
        if name in proportions:
            continue
        offset = _offset(value)
        z = np.log(value + offset)
        if _explained(np.stack(kept, axis=1), z):
            dropped[name] = "is a product of powers of other inputs"
            continue
        kept.append(z)
        logs[name] = (offset, float(z.mean()))
    return Inputs(logs, tuple(proportions), tuple(by), tuple(sorted(set(_groups(table, tuple(by))))), dropped)


def most_telling(inputs: Inputs, table: pd.DataFrame, u: np.ndarray) -> Inputs:
    """The same inputs, but for those that add least where there are more than a law can use.

    Columns are taken one after the other, each time the one that with its square, or with a level a value, leaves the
    smallest squares of u; at most five numbers, and text columns with at most 64 values together, four runs to each.
    """
    most_groups = max(min(MOST_GROUPS, len(table) // 4), 1)
    if len(inputs.logs) <= MOST_INPUTS and len(inputs.groups) <= most_groups:
        return inputs
    encoded = inputs.encode(table)
    columns = {name: np.stack([z, z**2], axis=1) for name, z in zip(inputs.logs, encoded.logs.T, strict=True)}
    columns |= {name: pd.get_dummies(table[name].astype(str)).to_numpy(dtype=float) for name in inputs.by}
    known = np.concatenate([np.ones((len(u), 1)), encoded.proportions], axis=1)
    logs: list[str] = []
    by: list[str] = []
    left = dict(columns)
    while left:
        squares = {name: _squares_left(np.concatenate([known, some], axis=1), u) for name, some in left.items()}
        best = min(squares, key=lambda name: squares[name])
        known = np.concatenate([known, left.pop(best)], axis=1)
        if best in inputs.logs and len(logs) < MOST_INPUTS:
            logs.append(best)
        elif best in inputs.by and len(set(_groups(table, (*by, best)))) <= most_groups:
            by.append(best)
        if len(logs) == MOST_INPUTS and not any(name in inputs.by for name in left):
            break
    gone = {name: "tells less than others" for name in (*inputs.logs, *inputs.by) if name not in (*logs, *by)}
    kept = {name: inputs.logs[name] for name in inputs.logs if name in logs}
    some = tuple(name for name in inputs.by if name in by)
    return Inputs(kept, inputs.proportions, some, tuple(sorted(set(_groups(table, some)))), inputs.dropped | gone)


def _squares_left(columns: np.ndarray, u: np.ndarray) -> float:
    penalty = 1e-6 * len(u) * np.eye(columns.shape[1])
    return float(((u - columns @ np.linalg.solve(columns.T @ columns + penalty, columns.T @ u)) ** 2).sum())


def _offset(value: np.ndarray) -> float:
    """What is added so that all values have a logarithm."""
    low = float(value.min())
    if low > 0:
        return 0.0
    if low == 0:
        return float(value[value > 0].min())
    return float(np.ptp(value) - low)


def _explained(columns: np.ndarray, z: np.ndarray) -> bool:
    """Whether a column is a linear combination of others, but for rounding."""
    left = z - columns @ np.linalg.lstsq(columns, z, rcond=None)[0]
    return bool(left.std() <= 1e-3 * z.std())


def proportions_among(numbers: dict[str, np.ndarray]) -> list[str]:
    """Columns in [0, 1] whose sum is constant."""
    shares = [name for name, value in numbers.items() if value.min() >= 0 and value.max() <= 1]
    if len(shares) < 2:
        return []
    total = np.sum([numbers[name] for name in shares], axis=0)
    return shares if np.ptp(total) <= SUM_SLACK * total.mean() else []


def _groups(table: pd.DataFrame, by: tuple[str, ...]) -> list[str]:
    if not by:
        return [""] * len(table)
    missing = [name for name in by if name not in table]
    if missing:
        return ["?"] * len(table)
    return [" / ".join(row) for row in zip(*(table[name].astype(str) for name in by), strict=True)]


def _is_text(column: pd.Series) -> bool:
    return not (pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))


def _numbers(table: pd.DataFrame, name: str) -> np.ndarray:
    if name not in table:
        return np.full(len(table), np.nan)
    return pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float)
