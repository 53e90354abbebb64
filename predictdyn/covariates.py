"""Covariates: the plan of a run (size, rate, schedule, ...) as standardised numbers for a regression."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.curves import ENDED, OUTCOMES, Curves
from predictdyn.naming import BY_RUNS

MOST_LEVELS = 6  # a text column with more values is a label (a name, a path), not a setting
LABELS = ("family", "seed", "baseline")  # they identify a run; their numbers or letters mean nothing

# What a run has reached, by its name; and words that say that a number was decided beforehand, whatever else is said.
_REACHED = re.compile(
    r"(final|best|last|test|val|valid|validation|eval)_.+"
    r"|(.+_)?(accuracy|acc|loss|perplexity|ppl|error|f1|auc|bleu|score|top1|top5|reward|return)(_(final|best|last|at_end|end))?"
)
_PLANNED = re.compile(
    r"(^|_)(planned|plan|lr|rate|batch|bs|seed|steps|tokens|params|parameters|flops|size|width|depth|layers?|heads|dim|"
    r"hidden|epochs|warmup|decay|weight|coef|scale|factor|fraction|frac|ratio|split|samples|every|interval|freq|of|shots?|"
    r"temperature|noise|patience|threshold|tolerance|dropout|workers|prompt|dataset|dir|path|top_k|topk)(_|\d|$)"
)
ALIKE = 0.98  # rank correlation with what runs reached, from which a column is held to be measured on it
FEWEST_ENDED = 8
# Units from the mean of the history that a run is held to lie at most. Sizes that differ by a few parts in a million
# would else put a run of twice the size 10,000 units away, and a line through them out of all bounds.
FAR = 10.0


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
        """Runs (n rows) to numbers (n, p) of about unit size, `FAR` at most; a missing value counts as the mean."""
        columns = []
        for name, (log, mean, sd) in self.numbers.items():
            number = _number(runs[name]) if name in runs else np.full(len(runs), np.nan)
            if log:
                number = np.log(np.where(number > 0, number, np.nan))
            columns.append(np.clip(np.nan_to_num((number - mean) / sd, nan=0.0), -FAR, FAR))
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

    Columns that do not vary are left out, and so are planned ends that are alike to 2 % (`ENDED`). A positive column
    that spans more than a factor of three is taken in logs.

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
        # Ends a few steps apart are one length. Their tiny spread as the unit would make any other end an extrapolation
        # over hundreds of units.
        if name == "last_step" and len(finite) and finite.min() >= ENDED * finite.max():
            continue
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


def known_before(curves: Curves) -> tuple[Curves, list[str]]:
    """The same curves without the columns of runs that are outcomes by their name, and lines on these and on others.

    A column of numbers is one by its name where it is called as a logged outcome, or like ``final_accuracy`` or
    ``best_loss``, but not like ``final_lr``. One that ranks the ended runs as a final outcome does is only told of.

    >>> points = pd.DataFrame({"run": ["a", "b"], "metric": "loss", "step": 1, "value": [2.0, 1.0]})
    >>> from predictdyn.curves import curves_from
    >>> runs = pd.DataFrame({"run": ["a", "b"], "final_loss": [2.0, 1.0], "lr": [0.1, 0.2]})
    >>> list(known_before(curves_from(points, runs))[0].runs.columns)
    ['family', 'last_step', 'lr']
    """
    outcomes = {_plain(name) for name, metric in curves.metrics.items() if metric.kind in OUTCOMES}
    columns = [str(name) for name in curves.runs.columns if name not in (*LABELS, "last_step")]
    numbers = [name for name in columns if _is_number(curves.runs[name]) and not _PLANNED.search(_plain(name))]
    reached = [name for name in numbers if _plain(name) in outcomes or named_as_reached(name)]
    lines = [
        f"column {name} of runs has the name of an outcome, so no forecast uses it; if it was known before the run, "
        f"call it planned_{name} {BY_RUNS}"
        for name in reached
    ]
    final = _finals(curves) if len(numbers) > len(reached) else {}
    for name in numbers:
        metric = None if name in reached else _ranks_alike(final, curves.runs[name].astype(float))
        if metric is not None:
            lines.append(
                f"column {name} of runs ranks the ended runs as their final {metric} does, and forecasts use it: if it "
                "was measured at the end, they are flattered; state the runs without it " + BY_RUNS
            )
    return Curves(curves.points, curves.runs.drop(columns=reached), curves.metrics, curves.events), lines


def named_as_reached(name: str) -> bool:
    """Whether a column is called as what a run has reached, and not as what was planned.

    >>> [named_as_reached(name) for name in ("val_loss", "final_accuracy", "final_lr", "params")]
    [True, True, False, False]
    """
    return bool(_REACHED.fullmatch(_plain(name)) and not planned(name))


def planned(name: str) -> bool:
    """Whether a column is called as what was decided before a run: a rate, a size, a weight."""
    return bool(_PLANNED.search(_plain(name)))


def _finals(curves: Curves) -> dict[str, pd.Series]:
    """The final values of each outcome, by ended run."""
    end = curves.runs["last_step"].astype(float).to_dict()
    outcomes = {name for name, metric in curves.metrics.items() if metric.kind in OUTCOMES}
    found: dict[str, dict[str, float]] = {}
    for (run, name), curve in curves.series.items():
        if name in outcomes and curve.step[-1] >= ENDED * end[run]:
            found.setdefault(name, {})[run] = curve.value[-1]
    return {name: pd.Series(of_run) for name, of_run in found.items()}


def _ranks_alike(final: Mapping[str, pd.Series], column: pd.Series) -> str | None:
    """The first outcome whose final values have (nearly) the order of a column of runs, or the reverse."""
    for name, value in final.items():
        number = column.reindex(value.index)
        number = number[np.isfinite(number)]
        # A setting of few levels orders nothing by chance alone, but it orders little.
        if len(number) >= FEWEST_ENDED and min(number.nunique(), value[number.index].nunique()) > MOST_LEVELS:
            x, y = number.rank(), value[number.index].rank()
            if abs(np.corrcoef(x, y)[0, 1]) >= ALIKE:  # Spearman's
                return name
    return None


def _is_number(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))


def _plain(name: object) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name))
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def _number(column: pd.Series) -> np.ndarray:
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
