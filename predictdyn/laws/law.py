"""Law: how a target depends on the plan of a run, learnt from finished runs; draws of it for any other plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from predictdyn.laws.budget import Cost, Value
from predictdyn.laws.collinear import Collinear
from predictdyn.laws.inputs import SUM_SLACK, Encoded, Inputs, inputs_from, most_telling
from predictdyn.laws.link import Link, link_for
from predictdyn.laws.mixture import Mixture, mixture_of
from predictdyn.laws.optimal import Optimum, optimal
from predictdyn.laws.sampling import importance_sample, nuts_sample

FEWEST = 5  # finished runs
DRAWS = 400
NEVER_VARIED = 0.1  # sd of the exponent of an input that never varied
MOST_MISSING = 0.2  # a column that more of the finished runs lack is no input; else those runs are left out


@dataclass(frozen=True)
class Law:
    """A mixture of structures, each with the posterior of its numbers, for one target.

    ``runs`` are the finished runs that it was learnt from, with columns of inputs and the target. ``fixed`` are numbers
    that all of them had, ``collinear`` columns that follow from inputs in all of them: what another value would do is
    not known, and makes intervals wider.
    """

    target: str
    inputs: Inputs
    link: Link
    mixture: Mixture
    runs: pd.DataFrame
    fixed: dict[str, float] = field(default_factory=dict)
    collinear: dict[str, Collinear] = field(default_factory=dict)

    def draws(self, table: pd.DataFrame, *, n: int = DRAWS, seed: int = 0, noise: bool = True) -> np.ndarray:
        """Joint draws of the target for the runs of a table (m rows with the inputs): (m, n), in units of the target.

        A draw is one structure with one set of its numbers, the same in all rows; ``noise=False`` leaves out what
        differs between equal runs. Rows that `status` does not call "ok" are NaN.
        """
        encoded = self.inputs.encode(table)
        good = self._status(encoded) == "ok"
        out = np.full((len(table), n), np.nan)
        if good.any():
            u = self.mixture.draws(encoded.rows(good), n=n, seed=seed, noise=noise)
            random = np.random.default_rng((seed, len(self.fixed)))
            off = [self._farther(name, value, table) for name, value in self.fixed.items()]
            off += [
                rule.farther(_numbers(table, name), table) for name, rule in self.collinear.items() if name in table
            ]
            for farther in off:
                exponent = NEVER_VARIED * random.standard_normal(n)
                u = u + farther[good][:, None] * exponent
            out[good] = self.link.value(u)
        return out

    def _farther(self, name: str, value: float, table: pd.DataFrame) -> np.ndarray:
        """How many times, in logarithms, an input that never varied is another in each row, (m,)."""
        if name not in table:
            return np.zeros(len(table))
        other = _numbers(table, name)
        return np.nan_to_num(np.log(np.where(other > 0, other, np.nan) / value))

    def status(self, table: pd.DataFrame) -> np.ndarray:
        """For each row (m,) "ok", or why there is no answer."""
        return self._status(self.inputs.encode(table))

    def optimal(
        self,
        compute: float | Sequence[float],
        *,
        cost: Cost | Mapping[str, float] | None = None,
        fixed: Mapping[str, Value] | None = None,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        uncertainty: str = "posterior",
        n: int = DRAWS,
        seed: int = 0,
    ) -> Optimum:
        """The inputs with the best target at a cost of at most ``compute``: see `optimal`."""
        return optimal(self, compute, cost=cost, fixed=fixed, bounds=bounds, uncertainty=uncertainty, n=n, seed=seed)

    def _status(self, encoded: Encoded) -> np.ndarray:
        missing = ~(np.isfinite(encoded.logs).all(axis=1) & np.isfinite(encoded.proportions).all(axis=1))
        found = np.where(missing, "an input is missing", "ok").astype(object)
        if self.inputs.proportions:
            total, learnt = (x.sum(axis=1) for x in (encoded.proportions, self.inputs.encode(self.runs).proportions))
            off = ~missing & (np.abs(total - learnt.mean()) > 2 * SUM_SLACK * learnt.mean())
            names = " + ".join(self.inputs.proportions)
            for row in np.flatnonzero(off):
                found[row] = f"{names} is {total[row]:.3g}, but {learnt.mean():.3g} in the finished runs"
            found[~missing & (encoded.proportions < 0).any(axis=1)] = "a proportion is negative"
        return found


def law_of(
    table: pd.DataFrame,
    target: str,
    inputs: Sequence[str] | None = None,
    *,
    lower: float = np.nan,
    upper: float = np.nan,
    better: str = "lower",
    chance: float | None = None,
    towards: pd.DataFrame | None = None,
    nuts: bool = False,
    seed: int = 0,
) -> Law:
    """Learn a law from finished runs, one row each.

    ``inputs`` are columns, by default all but the target. ``towards`` are runs in question: structures are weighed by
    how well they forecast held-out runs that lie towards them, by default those that cost more. ``lower`` and ``upper``
    bound the target, ``chance`` is the value of a model without skill. ``nuts`` samples the posteriors by NUTS (slow).
    Raises ValueError where fewer than five rows are complete, or where no input varies. Of more than five numbers those
    that tell least are left out.

    >>> rng = np.random.default_rng(0)
    >>> runs = pd.DataFrame({"params": 10 ** rng.uniform(6, 8, 30)})
    >>> runs["loss"] = 2.0 + 50.0 * runs["params"] ** -0.3
    >>> law = law_of(runs, "loss")
    >>> round(float(np.median(law.draws(pd.DataFrame({"params": [1e9]})))), 2)
    2.1
    """
    how, whole, link = _read(table, target, inputs, lower, upper, better, chance)
    asked = None if towards is None else how.encode(towards)
    if asked is not None:
        asked = asked.rows(np.isfinite(asked.logs).all(axis=1) & np.isfinite(asked.proportions).all(axis=1))
        asked = asked if len(asked) else None
    centres = np.array([centre for _, centre in how.logs.values()])
    mixture = mixture_of(
        how.encode(whole),
        link.latent(whole[target].to_numpy(dtype=float)),
        centres=centres,
        groups=len(how.groups),
        towards=asked,
        seed=seed,
        sampler=nuts_sample if nuts else importance_sample,
    )
    columns = [name for name in whole.columns if name != target]
    one_value = {name: float(whole[name].iloc[0]) for name in columns if _one_positive(whole[name])}
    return Law(target, how, link, mixture, whole, one_value)


def inputs_of(
    table: pd.DataFrame, target: str, inputs: Sequence[str], *, lower: float = np.nan, upper: float = np.nan,
    better: str = "lower", chance: float | None = None,
) -> Inputs:  # fmt: skip
    """The inputs that a law of these runs will have, without fitting it; raises ValueError as `law_of` does."""
    return _read(table, target, inputs, lower, upper, better, chance)[0]


def _read(
    table: pd.DataFrame, target: str, inputs: Sequence[str] | None, lower: float, upper: float, better: str,
    chance: float | None,
) -> tuple[Inputs, pd.DataFrame, Link]:  # fmt: skip
    """The inputs, the rows that have them all, and the link of the target."""
    names = [str(name) for name in table.columns if name != target] if inputs is None else list(inputs)
    value = pd.to_numeric(table[target], errors="coerce").to_numpy(dtype=float)
    finished = table[np.isfinite(value)]
    missing = finished[names].isna().mean()
    used = [name for name in names if missing[name] <= MOST_MISSING]
    whole = finished.loc[finished[used].notna().all(axis=1), [*used, target]].reset_index(drop=True)
    if len(whole) < FEWEST:
        raise ValueError(f"a law of {target!r} needs {FEWEST} finished runs with all inputs, got {len(whole)}")
    how = inputs_from(whole, used)
    empty = {name: f"is missing in {missing[name]:.0%} of the finished runs" for name in names if name not in used}
    how = replace(how, dropped=empty | how.dropped)
    if not how.names:
        why = "; ".join(f"{name} {said}" for name, said in how.dropped.items())
        raise ValueError(f"a law of {target!r} needs an input that varies: {why}")
    y = whole[target].to_numpy(dtype=float)
    link = link_for(y, lower=lower, upper=upper, better=better, chance=chance)
    if not np.ptp(link.latent(y)) > 1e-9:
        raise ValueError(
            f"a law of {target!r} needs outcomes that differ, got {y.min():g} to {y.max():g} in {len(y)} runs; write "
            "very small numbers in another unit"
        )
    return most_telling(how, whole, link.latent(y)), whole, link


def _numbers(table: pd.DataFrame, name: str) -> np.ndarray:
    return pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float)


def _one_positive(column: pd.Series) -> bool:
    return (
        pd.api.types.is_numeric_dtype(column) and float(column.iloc[0]) > 0 and bool((column == column.iloc[0]).all())
    )
