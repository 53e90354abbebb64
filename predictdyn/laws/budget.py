"""A budget over the inputs of a law: which inputs are free, what a plan costs, and the plans that cost just so much."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from predictdyn.laws.inputs import Encoded, Inputs

Cost = Callable[[pd.DataFrame], Sequence[float] | np.ndarray | pd.Series]  # of each row of a table of inputs
Value = float | str  # of an input; text names a group
FLOPS = 6.0  # a parameter and token
BEYOND = 7.0  # ln of how far beyond the finished runs an input is searched
WIDEST = 80.0  # ln of how far the input that closes the budget is looked for
STEPS = 60  # of the search for it; a handful is usual


@dataclass(frozen=True)
class Budget:
    """Free inputs (f), the fixed ones, bounds in units of the inputs, and the cost of a table of plans.

    ``costly`` are the places of free inputs that the cost depends on, among all logs; the last of them closes the
    budget: it is as large as the others leave room for.
    """

    how: Inputs
    cost: Cost
    fixed: Mapping[str, Value]
    bounds: Mapping[str, tuple[float, float]]
    free: list[str]
    costly: tuple[int, ...]
    ranges: Mapping[str, tuple[float, float]]  # logs among the finished runs
    largest: float  # cost of a finished run
    exponents: Mapping[str, float] | None = None  # of a cost that is factor x a product of powers
    factor: float = 1.0

    def table(self, logs: np.ndarray) -> pd.DataFrame:
        """Plans from the logarithms of their free inputs, (m, f)."""
        table = pd.DataFrame(np.exp(logs), columns=self.free)
        for name, value in self.fixed.items():
            table[name] = value
        return table

    def encode(self, logs: np.ndarray) -> Encoded:
        """The same as a law reads them."""
        return self.how.encode(self.table(logs))

    def unbounded(self, place: int) -> tuple[bool, bool]:
        """Whether the ends of the search of an input are ours, not the caller's."""
        low, high = self.bounds.get(list(self.how.logs)[place], (0.0, np.inf))
        return not low > 0, not np.isfinite(high)

    def searched(self, compute: float) -> tuple[list[int], np.ndarray, np.ndarray]:
        """Places (among all logs) of the free inputs but the closing one, and the ends of their search in logs."""
        names = list(self.how.logs)
        places = [i for i, name in enumerate(names) if name in self.free and i != self.costly[-1]]
        more = max(np.log(compute / self.largest), 0.0)
        low, high = [], []
        for i in places:
            a, b = self.ranges[names[i]]
            # What costs is searched far beyond; what does not, as far beyond the finished runs as they reach.
            apart = (BEYOND, BEYOND + more) if i in self.costly else (b - a, b - a)
            least, most = self.bounds.get(names[i], (0.0, np.inf))
            low.append(max(a - apart[0], np.log(least) if least > 0 else -np.inf))
            high.append(min(b + apart[1], np.log(most)))
        # Bounds beyond the search are searched at the bound.
        high = [max(a, b) for a, b in zip(low, high, strict=True)]
        low = [min(a, b) for a, b in zip(low, high, strict=True)]
        return places, np.array(low), np.array(high)

    def closed(self, searched: np.ndarray, places: list[int], compute: float) -> tuple[np.ndarray, np.ndarray]:
        """Logs of all free inputs (m, f) with the closing one as large as the budget allows, and whether they do."""
        names = list(self.how.logs)
        closing = names[self.costly[-1]]
        at = self.free.index(closing)
        logs = np.zeros((len(searched), len(self.free)))
        for j, i in enumerate(places):
            logs[:, self.free.index(names[i])] = searched[:, j]
        a, b = self.ranges[closing]
        least, most = self.bounds.get(closing, (0.0, np.inf))
        low = np.full(len(logs), np.log(least) if least > 0 else a - WIDEST)
        high = np.full(len(logs), np.log(most) if np.isfinite(most) else b + WIDEST)
        if self.exponents is not None:
            spent = np.full(len(logs), np.log(self.factor))
            for name, power in self.exponents.items():
                if name in self.free and name != closing:
                    spent += power * logs[:, self.free.index(name)]
                elif name in self.fixed:
                    spent += power * np.log(float(str(self.fixed[name])))
            room = (np.log(compute) - spent) / self.exponents[closing]
            logs[:, at] = np.clip(room, low, high)
            return logs, room >= low - 1e-9

        aim = np.log(compute)

        def over(x: np.ndarray) -> np.ndarray:
            """ln of the cost in parts of the budget."""
            logs[:, at] = x
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                dear = np.log(np.asarray(self.cost(self.table(logs)), dtype=float)) - aim
            return np.where(np.isnan(dear), np.inf, dear)

        possible, whole = over(low) <= 1e-9, over(high) <= 0.0
        end = high
        # The secant of ln cost in ln x is exact for powers; where it leaves the bracket, the middle is tried.
        x, slope = np.clip(np.full(len(logs), 0.5 * (a + b)), low, high), np.ones(len(logs))
        last, last_over = x, over(x)
        for _ in range(STEPS):
            low, high = np.where(last_over <= 0, last, low), np.where(last_over <= 0, high, last)
            with np.errstate(all="ignore"):
                x = last - last_over / slope
            x = np.where(np.isfinite(x) & (x > low) & (x < high), x, 0.5 * (low + high))
            now = over(x)
            if (whole | ~possible | (np.abs(now) < 1e-10) | (high - low < 1e-12)).all():
                break
            with np.errstate(all="ignore"):
                slope = (now - last_over) / (x - last)
            last, last_over = x, now
        logs[:, at] = np.where(whole, end, x)
        return logs, possible


def budget_for(
    how: Inputs,
    runs: pd.DataFrame,
    cost: Cost | Mapping[str, float] | None,
    fixed: Mapping[str, Value],
    bounds: Mapping[str, tuple[float, float]],
) -> Budget:
    """The budget over the inputs of a law; one clear line for what is missing or unknown."""
    names = list(how.logs)
    used = [*names, *how.proportions, *how.by]
    unknown = [name for name in (*fixed, *bounds) if name not in used and name not in how.dropped]
    if unknown:
        raise ValueError(f"the law has no input {', '.join(unknown)}; it has {', '.join(used)}")
    lacking = [name for name in (*how.proportions, *how.by) if name not in fixed]
    if lacking:
        raise ValueError(f"a plan has one value of {', '.join(lacking)}: give it in fixed")
    for name in names:
        if name in fixed and not (isinstance(fixed[name], int | float | np.number) and float(str(fixed[name])) > 0):
            raise ValueError(f"fixed {name} is a positive number, got {fixed[name]!r}")
    for name, (low, high) in bounds.items():
        if not 0 <= low < high:
            raise ValueError(f"bounds of {name} are (low, high) with 0 <= low < high, got ({low}, {high})")
    free = [name for name in names if name not in fixed]
    if not free:
        raise ValueError(f"every input of the law is fixed: {', '.join(names)}")
    priced: Cost
    exponents: dict[str, float] | None = None
    factor = 1.0
    if cost is None:
        if len(free) != 2:
            raise ValueError(
                f"the cost is 6 x the product of two inputs by default, but {len(free)} are free "
                f"({', '.join(free)}): give cost, or fix others"
            )
        exponents, factor = dict.fromkeys(free, 1.0), FLOPS
        priced = _powers(exponents, factor)
    elif callable(cost):
        priced = cost
    else:
        strange = [name for name in cost if name not in used]
        if strange or not cost:
            raise ValueError(f"cost has exponents of inputs ({', '.join(used)}), got {dict(cost)}")
        exponents = {str(name): float(power) for name, power in cost.items()}
        priced = _powers(exponents, factor)
    ranges = {
        name: (float(np.log(runs[name].clip(lower=1e-300)).min()), float(np.log(runs[name]).max())) for name in free
    }
    middle = pd.DataFrame({name: [np.exp(np.mean(ranges[name]))] for name in free})
    for name, value in fixed.items():
        middle[name] = value
    base = _number(priced, middle)
    costly = tuple(
        i
        for i, name in enumerate(names)
        if name in free and _number(priced, middle.assign(**{name: 2 * middle[name]})) > base * (1 + 1e-9)
    )
    if not costly:
        raise ValueError(f"the cost rises with none of the free inputs {', '.join(free)}")
    at = runs.copy()
    for name, value in fixed.items():
        at[name] = value
    largest = float(np.max(np.asarray(priced(at), dtype=float)))
    return Budget(how, priced, dict(fixed), dict(bounds), free, costly, ranges, largest, exponents, factor)


def training_cost(params: str = "params", tokens: str = "tokens", *, served: float = 0.0) -> Callable[..., pd.Series]:
    """6 N D for training, and 2 N for each token that the model will serve: a cost for `optimal`.

    >>> plan = pd.DataFrame({"params": [1e9], "tokens": [2e10]})
    >>> float(training_cost(served=1e12)(plan).iloc[0])
    2.12e+21
    """

    def cost(table: pd.DataFrame) -> pd.Series:
        total: pd.Series = FLOPS * table[params] * table[tokens] + 2.0 * table[params] * served
        return total

    return cost


def _powers(exponents: dict[str, float], factor: float) -> Callable[[pd.DataFrame], pd.Series]:
    def cost(table: pd.DataFrame) -> pd.Series:
        logs = sum((power * np.log(table[name].astype(float)) for name, power in exponents.items()), np.log(factor))
        return pd.Series(np.exp(np.asarray(logs)))

    return cost


def _number(cost: Cost, table: pd.DataFrame) -> float:
    value = np.asarray(cost(table), dtype=float)
    if value.shape != (len(table),) or not np.isfinite(value).all():
        raise ValueError(f"cost gives a number for each row of a table of inputs, got {value!r}")
    return float(value[0])
