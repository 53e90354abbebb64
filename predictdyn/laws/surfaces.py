"""A law over ranges of its inputs: along one, over two, and along budgets, for figures and their tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from predictdyn.laws.finished import Finished
from predictdyn.laws.law import Law

AHEAD = 10.0  # times the dearest finished run, that figures go
LINE, SIDE, BUDGETS, ALONG = 40, 25, 8, 33
DRAWS = 200
QUANTILES = {"median": 0.5, "q0.05": 0.05, "q0.95": 0.95}


def middle(finished: Finished) -> pd.DataFrame:
    """One plan in the middle of the finished runs: geometric means of inputs, the commonest group, mean proportions."""
    row = {}
    for name in finished.inputs:
        cells = finished.table[name]
        if name in finished.reading.text:
            row[name] = cells.mode().iloc[0]
        else:
            positive = (cells > 0).all() and cells.max() > 1
            row[name] = float(np.exp(np.log(cells).mean())) if positive else float(cells.mean())
    return pd.DataFrame([row])


def main_inputs(finished: Finished) -> list[str]:
    """The two inputs that figures show: those that make the cost, else those whose values span most."""
    numbers = [
        name for name in finished.inputs
        if name not in finished.reading.text and finished.table[name].min() > 0 and finished.table[name].max() > 1
    ]  # fmt: skip
    cost = [name for name in (finished.cost.columns if finished.cost else ()) if name in numbers]
    span = {name: float(np.ptp(np.log(finished.table[name]))) for name in numbers}
    rest = sorted((name for name in numbers if name not in cost), key=lambda name: -span[name])
    return [*cost, *rest][:2] if len(cost) > 1 else [*rest[:1], *cost, *rest[1:]][:2]


def along(law: Law, finished: Finished, name: str) -> pd.DataFrame:
    """The target over one input, all others in their middle: from the smallest to ten times the largest value."""
    low, high = float(finished.table[name].min()), float(finished.table[name].max())
    grid = np.geomspace(low, AHEAD * high, LINE)
    return forecasts(law, _spread(middle(finished), {name: grid}))


def over(law: Law, finished: Finished, x: str, y: str) -> pd.DataFrame:
    """The target over two inputs, all others in their middle: rows of a grid, three times beyond the runs."""
    sides = []
    for name in (x, y):
        low, high = float(finished.table[name].min()), float(finished.table[name].max())
        sides.append(np.geomspace(low / 1.5, np.sqrt(AHEAD) * high, SIDE))
    a, b = (one.ravel() for one in np.meshgrid(*sides, indexing="ij"))
    return forecasts(law, _spread(middle(finished), {x: a, y: b}), noise=False)


def budgets(law: Law, finished: Finished, x: str, y: str, levels: Sequence[float] | None = None) -> pd.DataFrame:
    """The target along plans of equal cost: ``budget`` and rows of x, with the y that the budget leaves.

    By default from the cheapest finished run to ten times the dearest. Empty where the cost cannot be solved for
    y: it must rise with y as a power. A cost without x leaves x free.
    ``best`` marks the row with the lowest (or highest) median of each budget.
    """
    if (
        finished.cost is None
        or y not in finished.cost.columns
        or not set(finished.cost.columns) <= set(finished.inputs)
    ):
        return pd.DataFrame()
    both = x in finished.cost.columns
    costs = finished.cost(finished.table)
    asked = np.geomspace(costs.min(), AHEAD * costs.max(), BUDGETS) if levels is None else np.array(levels)
    start = middle(finished)
    ratio = np.log(finished.table[x] / finished.table[y])
    rows = []
    for budget in asked.tolist():
        # As far from the middle in the ratio of x to y as finished runs are, and a little farther.
        if both:
            spread = np.linspace(ratio.min() - 1.0, ratio.max() + 1.0, ALONG)
            plans = _spread(start, {x: np.exp(spread / 2), y: np.exp(-spread / 2)})
        else:
            plans = _spread(start, {x: np.geomspace(finished.table[x].min() / 2, 3 * finished.table[x].max(), ALONG)})
        moved = [x, y] if both else [y]
        doubled = plans.assign(**{name: 2 * plans[name] for name in moved})
        power = np.log2(finished.cost(doubled) / finished.cost(plans))
        if not (np.isfinite(power).all() and (power > 0.1).all()):
            return pd.DataFrame()
        factor = (budget / finished.cost(plans)) ** (1 / power)
        plans = plans.assign(**{name: factor * plans[name] for name in moved})
        reached = finished.cost(plans) / budget
        if not np.allclose(reached, 1.0, rtol=1e-6):
            return pd.DataFrame()
        found = forecasts(law, plans, noise=False).assign(budget=budget)
        goal = -law.link.sign * found["median"].to_numpy()
        at = int(np.nanargmax(goal)) if np.isfinite(goal).any() else 0
        rows.append(found.assign(best=np.arange(len(found)) == at, edge=at in (0, len(found) - 1)))
    return pd.concat(rows, ignore_index=True)


def larger(finished: Finished, order: np.ndarray, times: float = AHEAD) -> tuple[pd.DataFrame, str] | None:
    """The dearest finished run (by order, (n,)) made so many times larger, and what it is called.

    It costs so much more by equal factors of what the cost is made of; where no cost is known, or it is a budget that
    does not say what the other inputs are, its main input grows. None where no input can grow.
    The name says of which groups it is.
    """
    cost, main = finished.cost, main_inputs(finished)
    numbers = [name for name in finished.inputs if name not in finished.reading.text]
    dear = finished.table[finished.inputs].iloc[[int(np.argmax(order))]].reset_index(drop=True)
    groups = [f"{name} {dear[name].iloc[0]}" for name in finished.inputs if name in finished.reading.text]
    of = f" ({', '.join(groups)})" if groups else ""
    if cost is not None and set(cost.columns) <= set(finished.inputs) and not len(cost.columns) == 1 < len(numbers):
        one = cost(dear)[0]
        powers = np.log2(cost(dear.assign(**{name: 2 * dear[name] for name in cost.columns}))[0] / one)
        if powers > 0.1:
            plan = dear.assign(**{name: dear[name] * times ** (1 / powers) for name in cost.columns})
            if np.isclose(cost(plan)[0] / one, times, rtol=1e-3):
                return plan, f"a run {times:g} times as dear as the dearest{of}"
    if not main:
        return None
    return dear.assign(**{main[0]: times * dear[main[0]]}), f"the dearest run with {times:g} times its {main[0]}{of}"


def forecasts(law: Law, plans: pd.DataFrame, *, noise: bool = True, seed: int = 0, n: int = DRAWS) -> pd.DataFrame:
    """The plans with median and 90 % interval of the target."""
    draws = law.draws(plans, n=n, seed=seed, noise=noise)
    found = np.full((len(QUANTILES), len(plans)), np.nan)
    good = np.isfinite(draws).all(axis=1)
    if good.any():
        found[:, good] = np.quantile(draws[good], list(QUANTILES.values()), axis=1)
    return plans.assign(**dict(zip(QUANTILES, found, strict=True)))


def _spread(start: pd.DataFrame, values: dict[str, np.ndarray]) -> pd.DataFrame:
    n = len(next(iter(values.values())))
    return start.loc[start.index.repeat(n)].reset_index(drop=True).assign(**values)
