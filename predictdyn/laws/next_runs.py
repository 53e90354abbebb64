"""Which pilot runs to buy next, so that the forecast of dear runs gets sharpest for the money."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from predictdyn.covariates import LABELS
from predictdyn.laws.budget import Cost
from predictdyn.laws.collinear import EXACT, collinear_of
from predictdyn.laws.cost import cost_guessed, is_size_or_data
from predictdyn.laws.finished import RUN_NAMES
from predictdyn.laws.inputs import Encoded, Inputs, inputs_from
from predictdyn.laws.link import link_for
from predictdyn.laws.pilot import Pilot, pilot_of

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)  # plans are made with gain / cost ** power, and the best of them is kept
BATCHES = 4
LEAST_GAIN = 0.002


@dataclass(frozen=True)
class NextRuns:
    """Runs to buy, in order, and what they are expected to do for the forecast of the targets.

    ``table`` has a row a run: `candidate` (its label), the inputs, `cost`, `spent` (up to it), `batch`, and `sd`, the
    root mean square over the targets of the standard deviation on the log scale after it (.02 is 2 % of a loss).
    ``start`` is that number before the first run. ``finished`` are all runs with values after the last batch that was
    run; ``notes`` say why it stopped.
    """

    table: pd.DataFrame
    start: float
    left: float
    finished: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def candidates(self) -> list[Hashable]:
        """Labels of the chosen rows, in order."""
        return list(self.table["candidate"])

    def summary(self) -> pd.DataFrame:
        """One row a batch: runs, cost, and the expected standard deviation at the targets after it."""
        by = self.table.groupby("batch")
        return pd.DataFrame({"runs": by.size(), "cost": by["cost"].sum(), "sd": by["sd"].last()}).reset_index()

    def __repr__(self) -> str:
        end = self.table["sd"].iloc[-1] if len(self.table) else self.start
        cost = self.table["cost"].sum()
        return f"NextRuns: {len(self.table)} runs for {cost:.4g}; sd at targets {self.start:.3g} -> {end:.3g}"


def next_runs(
    candidates: pd.DataFrame,
    cost: str | Sequence[float] | Cost,
    budget: float,
    target: pd.DataFrame,
    *,
    value: str = "loss",
    finished: pd.DataFrame | None = None,
    inputs: Sequence[str] | None = None,
    run: Cost | None = None,
    batches: int = BATCHES,
    least_gain: float = LEAST_GAIN,
    seed: int = 0,
) -> NextRuns:
    """Choose pilot runs among candidates, so that the forecast of the target runs gets sharpest within a budget.

    ``candidates`` and ``target`` have one row a run with the inputs as columns; ``cost`` is a column of candidates, a
    number a row, or a function of the table. ``finished`` are runs that have ended, with the column ``value``; without
    any, the priors of all structures stand alone. A run's worth is by how much it lowers the variance of the targets,
    under all structures and numbers together: runs count that tell structures apart, and runs far from the targets
    count for less.

    With ``run``, a function from chosen rows to their values, runs are bought in ``batches``, and laws are fitted again
    after each. Without it the whole plan is made from what is known now; call again when some runs have ended.
    It stops when the budget is spent, or when the best next run would lower the targets' standard deviation by less
    than ``least_gain`` of it. Raises ValueError where a cost or a size is no positive number, or an input is missing.

    >>> sizes = pd.DataFrame({"params": [1e6, 3e6, 1e7, 3e7, 1e8, 3e8]})
    >>> bought = next_runs(sizes, "params", 2e8, pd.DataFrame({"params": [1e10]}))
    >>> bool(bought.table["cost"].sum() <= 2e8), bool(bought.start > bought.table["sd"].iloc[-1])
    (True, True)
    """
    price, pool = _checked(candidates, cost, budget, target, inputs, finished, value, batches)
    labels, names = list(candidates.index), pool.names
    ended = _ended(finished, names, value)
    taken = np.zeros(len(candidates), dtype=bool)
    rows: list[dict[str, object]] = []
    spent, start, notes = 0.0, np.nan, []
    for batch in range(1, batches + 1 if run is not None else 2):
        state = pool.state(ended, value, seed)
        plan = _best_plan(state, price, taken, budget - spent, least_gain, seed)
        start = plan.start if batch == 1 else start
        if not plan.order:
            notes.append(_why(price, taken, budget - spent, least_gain))
            break
        # A batch is its part of what is left, and one run at least; the last one is all of it.
        part = (budget - spent) / (batches + 1 - batch) if run is not None else np.inf
        now = [j for j, at in enumerate(np.cumsum(price[plan.order])) if at <= part * (1 + 1e-9)] or [0]
        for j in now:
            i = plan.order[j]
            taken[i] = True
            spent += float(price[i])
            inputs_of = {name: candidates[name].iloc[i] for name in names}
            rows.append(
                {
                    "candidate": labels[i],
                    **inputs_of,
                    "cost": price[i],
                    "spent": spent,
                    "batch": batch,
                    "sd": plan.sd[j],
                }
            )
        if run is not None:
            chosen = candidates.iloc[[plan.order[j] for j in now]]
            measured = np.asarray(run(chosen), dtype=float)
            if measured.shape != (len(chosen),):
                raise ValueError(f"run gave values of shape {measured.shape} for {len(chosen)} runs")
            told = chosen[names].assign(**{value: measured})
            ended = pd.concat([ended, told], ignore_index=True) if len(ended) else told.reset_index(drop=True)
    else:
        notes.append(_why(price, taken, budget - spent, least_gain))
    columns = ["candidate", *names, "cost", "spent", "batch", "sd"]
    return NextRuns(pd.DataFrame(rows, columns=columns), float(start), budget - spent, ended, tuple(notes))


@dataclass(frozen=True)
class _Pool:
    """Candidates and targets as numbers."""

    how: Inputs
    names: list[str]
    rows: Encoded
    n_candidates: int

    def state(self, ended: pd.DataFrame, value: str, seed: int) -> Pilot:
        known = ended[np.isfinite(ended[value].to_numpy(dtype=float))]
        y = known[value].to_numpy(dtype=float)
        u = link_for(y).latent(y) if len(y) else np.zeros(0)
        centres = np.array([centre for _, centre in self.how.logs.values()])
        return pilot_of(self.rows, self.how.encode(known), u, centres=centres, groups=len(self.how.groups), seed=seed)


@dataclass(frozen=True)
class _Plan:
    """Places of candidates in order, the expected sd at the targets after each, and before the first."""

    order: list[int]
    sd: list[float]
    start: float


def _best_plan(
    state: Pilot, price: np.ndarray, taken: np.ndarray, budget: float, least_gain: float, seed: int
) -> _Plan:
    """The best of the greedy plans, one a power of the cost: none is best for all budgets."""
    weights, covariances = state.covariances()
    plans = [
        _greedy(weights, covariances, price, taken, budget, state.noise, power, least_gain, seed) for power in POWERS
    ]
    return min(plans, key=lambda plan: plan.sd[-1] if plan.sd else plan.start)


def _greedy(
    weights: np.ndarray,
    covariances: np.ndarray,
    price: np.ndarray,
    taken: np.ndarray,
    budget: float,
    noise: float,
    power: float,
    least_gain: float,
    seed: int,
) -> _Plan:
    """Runs one by one, each the one that most lowers the mean log sd at the targets for its cost to a power.

    Structures are followed each with its own covariance (j, m, m). Logarithms weigh them alike: one that knows little
    does not take all the money. Runs that are worth alike (repeats of one plan) are told apart by lot.
    """
    m = len(price)
    left = covariances.copy()
    free = ~taken
    lot = 1.0 + 1e-6 * np.random.default_rng(seed).random(m)
    variance = np.einsum("jii->ji", left)[:, m:].mean(axis=1)
    start = float(np.exp(weights @ np.log(variance) / 2))
    order: list[int] = []
    sd: list[float] = []
    while True:
        can = free & (price <= budget * (1 + 1e-9))
        if not can.any():
            break
        own = np.einsum("jii->ji", left)[:, :m] + noise**2
        told = (left[:, :m, m:] ** 2).mean(axis=2) / own  # (j, m) of the variance
        gain = -0.5 * weights @ np.log1p(-np.minimum(told / variance[:, None], 1 - 1e-9))
        worth = can & (gain >= least_gain)
        if not worth.any():
            break
        best = int(np.argmax(np.where(worth, gain * lot / price**power, -np.inf)))
        column = left[:, :, best]
        left = left - column[:, :, None] * (column / own[:, best, None])[:, None, :]
        variance = np.maximum(np.einsum("jii->ji", left)[:, m:].mean(axis=1), 1e-18)
        order.append(best)
        sd.append(float(np.exp(weights @ np.log(variance) / 2)))
        free[best] = False
        budget -= float(price[best])
    return _Plan(order, sd, start)


def _why(price: np.ndarray, taken: np.ndarray, left: float, least_gain: float) -> str:
    if taken.all():
        return "every candidate is bought"
    cheapest = float(price[~taken].min())
    if cheapest > left:
        return f"the budget is spent: {left:.4g} is left, and the cheapest run costs {cheapest:.4g}"
    return f"no further run lowers the standard deviation at the targets by {least_gain:.2%}; {left:.4g} is left"


def _checked(
    candidates: pd.DataFrame,
    cost: str | Sequence[float] | Cost,
    budget: float,
    target: pd.DataFrame,
    inputs: Sequence[str] | None,
    finished: pd.DataFrame | None,
    value: str,
    batches: int,
) -> tuple[np.ndarray, _Pool]:
    if not len(candidates) or not len(target):
        raise ValueError(f"choosing runs needs candidates and targets, got {len(candidates)} and {len(target)}")
    if isinstance(cost, str) and cost not in candidates:
        raise ValueError(f"candidates have no column {cost!r}; they have {', '.join(map(str, candidates.columns))}")
    given = candidates[cost] if isinstance(cost, str) else cost(candidates) if callable(cost) else cost
    price = pd.to_numeric(pd.Series(np.asarray(given)), errors="coerce").to_numpy(dtype=float)
    if price.shape != (len(candidates),):
        raise ValueError(f"cost has {len(price)} numbers for {len(candidates)} candidates")
    bad = ~(np.isfinite(price) & (price > 0))
    if bad.any():
        raise ValueError(
            f"costs are positive numbers; {bad.sum()} of {len(price)} are not, first in row {bad.argmax()}"
        )
    is_number = isinstance(budget, int | float | np.number) and not isinstance(budget, bool)
    if not (is_number and np.isfinite(budget) and budget > 0):
        raise ValueError(f"the budget is a positive number, got {budget!r}")
    if batches < 1:
        raise ValueError(f"there is one batch at least, got {batches}")
    both = [str(name) for name in candidates.columns if name in target.columns and name != value]
    names = both if inputs is None else [str(name) for name in inputs]
    lacking = [name for name in names if name not in candidates or name not in target]
    if lacking or not names:
        raise ValueError(f"inputs must be columns of candidates and of targets; missing: {', '.join(lacking) or 'all'}")
    if inputs is None:
        _check_shared(candidates, target, names, {value, cost} if isinstance(cost, str) else {value})
    for what, rows_of in (("candidates", candidates), ("targets", target)):
        for name in names:
            if rows_of[name].isna().any():
                raise ValueError(f"{what} lack {name} in {rows_of[name].isna().sum()} of {len(rows_of)} rows")
            if is_size_or_data(name) and pd.api.types.is_numeric_dtype(rows_of[name]) and (rows_of[name] <= 0).any():
                wrong = (rows_of[name] <= 0).to_numpy()
                raise ValueError(
                    f"{what} have {name} {rows_of[name].iloc[wrong.argmax()]:g} in row {wrong.argmax() + 1}; it is a "
                    "positive number"
                )
    known = _ended(finished, names, value)
    tables = [candidates[names], target[names], known[names]]
    pool = pd.concat([table for table in tables if len(table)], ignore_index=True)
    how = inputs_from(pool, names)
    if not how.names:
        why = "; ".join(f"{name} {said}" for name, said in how.dropped.items())
        raise ValueError(f"choosing runs needs an input that varies: {why}")
    rows = how.encode(pool.iloc[: len(candidates) + len(target)])
    return price, _Pool(how, names, rows, len(candidates))


def _check_shared(candidates: pd.DataFrame, target: pd.DataFrame, names: list[str], apart: set[str]) -> None:
    """Raise ValueError, one line, for what looks like an input of candidates or of targets alone."""
    for table, what, other in ((candidates, "candidates", "targets"), (target, "targets", "candidates")):
        numbers = {
            str(name): table[name].to_numpy(dtype=float) for name in table if pd.api.types.is_numeric_dtype(table[name])
        }
        for name in numbers:
            label = name.lower() in (*LABELS, *RUN_NAMES) or name in (*names, *apart)
            # What a run costs, and products of its inputs, say nothing more of it.
            if (
                label
                or cost_guessed([name])
                or collinear_of(name, [one for one in names if one in numbers], numbers, EXACT)
            ):
                continue
            if what == "targets" or np.ptp(numbers[name]) > 0:
                raise ValueError(
                    f"{what} have {name}, and {other} do not; add it there, or name the inputs with inputs="
                )


def _ended(finished: pd.DataFrame | None, names: list[str], value: str) -> pd.DataFrame:
    if finished is None:
        return pd.DataFrame(columns=[*names, value]).astype({value: float})
    lacking = [name for name in (*names, value) if name not in finished]
    if lacking:
        raise ValueError(f"finished runs lack {', '.join(lacking)}")
    return finished[[*names, value]].reset_index(drop=True)


def pilot_draws(
    finished: pd.DataFrame, target: pd.DataFrame, *, value: str, pool: pd.DataFrame, n: int = 400, seed: int = 0
) -> np.ndarray:
    """Draws of the value of the targets, (m, n), from runs too few for a law: every structure under its priors.

    ``finished`` have the inputs and the value, ``target`` the inputs; ``pool`` are all runs that could be had.
    """
    names = [str(name) for name in target.columns]
    _, at = _checked(pool, [1.0] * len(pool), 1.0, target, names, finished, value, 1)
    link = link_for(finished[value].to_numpy(dtype=float))
    return link.value(
        at.state(_ended(finished, names, value), value, seed).forecast(at.how.encode(target), n=n, seed=seed)
    )
