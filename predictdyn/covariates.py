"""Covariates: the plan of a run (size, rate, schedule, ...) as standardised numbers for a regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

MOST_LEVELS = 6  # a text column with more values is a label (a name, a path), not a setting
LABELS = ("family", "seed", "baseline")  # they identify a run; their numbers or letters mean nothing


@dataclass(frozen=True)
class Encoder:
    """How to encode the covariates of any run, learnt from the runs of the history alone.

    ``numbers``: column -> (whether its logarithm is taken, mean, sd); ``levels``: text column -> its known values.
    """

    numbers: dict[str, tuple[bool, float, float]]
    levels: dict[str, tuple[str, ...]]

    @property
    def names(self) -> list[str]:
        """A name for each of the p encoded columns."""
        return [*self.numbers, *(f"{column}={level}" for column, levels in self.levels.items() for level in levels)]

    def encode(self, runs: pd.DataFrame) -> np.ndarray:
        """Runs (n rows) to numbers (n, p) of about unit size; a missing value counts as the mean of the history."""
        columns = []
        for name, (log, mean, sd) in self.numbers.items():
            number = _number(runs[name]) if name in runs else np.full(len(runs), np.nan)
            if log:
                number = np.log(np.where(number > 0, number, np.nan))
            columns.append(np.nan_to_num((number - mean) / sd, nan=0.0))
        for name, levels in self.levels.items():
            text = runs[name].astype("str").to_numpy() if name in runs else np.full(len(runs), "")
            columns.extend((text == level).astype(float) - 1 / len(levels) for level in levels)
        return np.stack(columns, axis=1) if columns else np.zeros((len(runs), 0))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "numbers": {k: list(v) for k, v in self.numbers.items()},
            "levels": {k: list(v) for k, v in self.levels.items()},
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Encoder:
        """Back from `to_json`."""
        numbers = {k: (bool(v[0]), float(v[1]), float(v[2])) for k, v in data["numbers"].items()}
        return Encoder(numbers, {k: tuple(v) for k, v in data["levels"].items()})


def encoder_for(runs: pd.DataFrame) -> Encoder:
    """Learn the encoding from the runs table of a history (index run; family, last_step, covariates).

    Columns that do not vary are left out; a positive column that spans more than a factor of three is taken in logs.

    >>> runs = pd.DataFrame({"family": ["a", "b"], "last_step": [10, 10], "params": [1e6, 1e8]})
    >>> encoder_for(runs).encode(runs).round(3).tolist()
    [[-1.0], [1.0]]
    """
    numbers: dict[str, tuple[bool, float, float]] = {}
    levels: dict[str, tuple[str, ...]] = {}
    for name in runs.columns:
        if name in LABELS:
            continue
        number = _number(runs[name])
        finite = number[np.isfinite(number)]
        if len(finite) and len(finite) == int(runs[name].notna().sum()):
            log = bool(finite.min() > 0 and finite.max() > 3 * finite.min())
            finite = np.log(finite) if log else finite
            if finite.std() > 1e-12 * max(1.0, float(np.abs(finite).max())):
                numbers[str(name)] = (log, float(finite.mean()), float(finite.std()))
            continue
        values = sorted(set(runs[name].dropna().astype("str")))
        if 1 < len(values) <= MOST_LEVELS:
            levels[str(name)] = tuple(values)
    return Encoder(numbers, levels)


def _number(column: pd.Series) -> np.ndarray:
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
