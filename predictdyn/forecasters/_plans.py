"""What is planned of runs, as numbers for a Gaussian process over runs; and which finished runs to learn from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.covariates import Encoder, encoder_for
from predictdyn.fitting.change_gp import REACH, PlannedRuns

FARTHEST = 2.0  # sds of size beyond the largest that its linear effect may go on
PER_SIZE = 0.5  # of them for each size by which it is known: two points make any line


class PlanView(NamedTuple):
    """How finished runs (r) see a plan, and their own plans.

    The size is the number that spans the most, in logs, over the history; among the settings of training runs that is
    how large they are, or how much compute they take. All else is taken as what the size does not explain: widths and
    rates mostly follow it, and a kernel of each would count it again.
    """

    encoder: Encoder
    column: int | None  # of the size among the encoded columns
    spread: float  # of the size, in ln
    usual: np.ndarray  # (k,) mean of each other setting
    line: np.ndarray  # (2, k) of other settings by size: at size 0, and per size
    families: dict[str, int]
    finished: PlannedRuns

    def planned(self, runs: pd.DataFrame, *, damped: bool) -> PlannedRuns:
        """The plans of new runs.

        ``damped``: beyond the largest finished size the linear effect of size dies away, the sooner the fewer sizes
        there are.
        """
        encoded = self.encoder.encode(runs)
        size, others = _split(encoded, self.column)
        first = len(self.usual) - sum(len(values) for values in self.encoder.levels.values())
        for values in self.encoder.levels.values():
            block = slice(first, first + len(values))
            # A setting that no finished run had says nothing.
            unknown = ~(others[:, block] > 0).any(axis=1)
            others[unknown, block] = self.usual[block]
            first += len(values)
        family = np.array([self.families.get(str(one), -1) for one in runs["family"]], dtype=int)
        bent = size
        if damped and self.column is not None:
            sizes = np.unique(self.finished.size.round(6))
            largest, reach = float(self.finished.size.max()), min(FARTHEST, PER_SIZE * (len(sizes) - 1))
            beyond = np.maximum(size - largest, 0.0)
            bent = np.where(beyond > 0, largest + reach * -np.expm1(-beyond / max(reach, 1e-9)), size)
        return PlannedRuns(bent, size * self.spread, self._rest(others, size), family)

    def _rest(self, others: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Other settings (r, k) less what the size explains; together of about unit length."""
        explained = self.line[0] + size[:, None] * self.line[1]
        return np.asarray((others - explained) / max(others.shape[1], 1) ** 0.5)


def plan_view(runs: pd.DataFrame) -> PlanView:
    """The view of finished runs (rows: family, last_step, covariates)."""
    encoder = encoder_for(runs)
    logs = [(spread, i) for i, (log, _, spread) in enumerate(encoder.numbers.values()) if log]
    spread, column = max(logs) if logs else (REACH, 0 if encoder.numbers else None)
    size, others = _split(encoder.encode(runs), column)
    families = {family: i for i, family in enumerate(dict.fromkeys(runs["family"].astype("str")))}
    line = np.linalg.lstsq(np.stack([np.ones(len(size)), size], axis=1), others, rcond=None)[0]
    nobody = PlannedRuns(np.zeros(0), np.zeros(0), others[:0], np.zeros(0, dtype=int))
    view = PlanView(encoder, column, spread, others.mean(axis=0), line, families, nobody)
    return view._replace(finished=view.planned(runs, damped=False))


def _split(encoded: np.ndarray, column: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The size (r,), zero where there is none, and the other columns (r, k)."""
    if column is None:
        return np.zeros(len(encoded)), encoded.copy()
    return encoded[:, column], np.delete(encoded, column, axis=1)


def spread_over(family: np.ndarray, most: int) -> np.ndarray:
    """Places of at most so many runs (r,), one of each family in turn, families evenly.

    >>> spread_over(np.array([0, 0, 1, 1, 2]), 3).tolist()
    [0, 2, 4]
    """
    return in_turn(np.arange(len(family)), family, most, evenly=True)


def in_turn(order: np.ndarray, family: np.ndarray, most: int, *, evenly: bool = False) -> np.ndarray:
    """Places of at most so many runs, in an order of preference, one of each family in turn; sorted."""
    if len(order) <= most:
        return np.sort(order)
    turns = _turns(family[order])
    ranked = order[np.argsort(turns, kind="stable")]
    first = int((turns == 0).sum())
    if evenly and first > most:
        return np.sort(ranked[np.linspace(0, first - 1, most).round().astype(int)])
    return np.sort(ranked[:most])


def plans_apart(runs: PlannedRuns, others: PlannedRuns) -> np.ndarray:
    """How far the plans of runs are from those of others, (r, s)."""
    rest = runs.rest[:, None] - others.rest
    return np.asarray(np.abs(runs.size[:, None] - others.size) + np.sqrt((rest**2).sum(axis=2)))


def _turns(family: np.ndarray) -> np.ndarray:
    """How many runs of its family stand before each run (r,)."""
    met: dict[object, int] = {}
    turns = np.empty(len(family), dtype=int)
    for i, one in enumerate(family):
        turns[i] = met[one] = met.get(one, -1) + 1
    return turns
