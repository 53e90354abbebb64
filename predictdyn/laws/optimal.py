"""The best plan at a cost: inputs that minimise the target under each joint draw of a law, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.laws.budget import Budget, Cost, Value, budget_for
from predictdyn.laws.member import Member
from predictdyn.laws.posterior import FREEDOM, mode_of
from predictdyn.laws.resampling import resamples, size_input, units
from predictdyn.laws.structures import Structure, untied

if TYPE_CHECKING:
    from predictdyn.laws.law import Law

UNCERTAINTIES = ("posterior", "bootstrap")
DRAWS = 400
GRID = 3000  # plans that all draws are compared on first
NEARER, ROUNDS = np.linspace(-1, 1, 7), 7  # then each draw looks around its best, ever nearer
OPEN = 0.1  # structures with more of their optima at an end of the search have no optimum
LEAST_WEIGHT = 0.02  # of all structures that have one; lighter ones are left out
TRIAL = 60  # draws that show whether a structure has an optimum
MOST_KNOWN = 0.9  # of what a size can be told to have told of a direction
FAR = 3.0  # an optimum this many times beyond the finished runs is told of
INTERVAL = (0.5, 0.05, 0.95)


@dataclass(frozen=True)
class Optimum:
    """The best plans at some budgets.

    ``table``: a row for each budget and each input, and for the target there: `estimate` (median), `low` and `high`
    (5 % and 95 %). ``exponents``: of each input in compute, where there are two budgets or more. ``draws``: one row a
    budget and draw. ``notes`` say which structures had a say, which bounds bind, and how far beyond the finished runs
    the plan lies.
    """

    table: pd.DataFrame
    exponents: pd.DataFrame
    draws: pd.DataFrame
    notes: tuple[str, ...]
    uncertainty: str

    def summary(self) -> pd.DataFrame:
        """The table and the exponents, one below the other."""
        return pd.concat([self.table, self.exponents], ignore_index=True)

    def __repr__(self) -> str:
        first = self.table[self.table["compute"] == self.table["compute"].iloc[0]]
        told = ", ".join(f"{r.quantity} {r.estimate:.3g} [{r.low:.3g}, {r.high:.3g}]" for r in first.itertuples())
        return f"Optimum at {first['compute'].iloc[0]:.3g}: {told}"


class _Runs(NamedTuple):
    """Finished runs: u (n,) and logs of the inputs (n, d)."""

    u: np.ndarray
    logs: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """Logs of the input whose values come in sizes, (n,)."""
        return np.asarray(self.logs[:, size_input(self.logs)])


class _Voice(NamedTuple):
    """Draws of the numbers (s, k) of one structure."""

    member: Member
    numbers: np.ndarray


def optimal(
    law: Law,
    compute: float | Sequence[float],
    *,
    cost: Cost | Mapping[str, float] | None = None,
    fixed: Mapping[str, Value] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    uncertainty: str = "posterior",
    n: int = DRAWS,
    seed: int = 0,
) -> Optimum:
    """The inputs with the best target at a cost of at most ``compute``, under n joint draws of a law.

    ``cost`` is a function of a table of inputs, or exponents of inputs (their product); by default 6 times the product
    of the two inputs that are not fixed. It must rise with the last input that it depends on. ``fixed`` inputs have one
    value, ``bounds`` limit others: ``{"tokens": (0, 1e12)}``. Only structures that have an optimum are asked: none with
    squares of inputs that cost, nor with ends at which an input is all.

    ``uncertainty``: "posterior" draws numbers with a covariance that lets runs of one size err together; "bootstrap"
    draws whole sizes again and fits each time. Raises ValueError for unknown inputs, and where no plan costs so little.

    >>> size, tokens = (10 ** grid.ravel() for grid in np.meshgrid([7, 7.5, 8, 8.5, 9.0], [9, 9.5, 10, 11.0]))
    >>> noise = np.exp(0.002 * np.random.default_rng(0).standard_normal(len(size)))
    >>> loss = (1.7 + 400 * size**-0.34 + 1100 * tokens**-0.34) * noise
    >>> from predictdyn.laws import law_of
    >>> law = law_of(pd.DataFrame({"params": size, "tokens": tokens, "loss": loss}), "loss")
    >>> best = optimal(law, 6e20).table
    >>> truth = (400 / 1100) ** (1 / 0.68) * 1e10
    >>> bool(best["low"][0] < truth < best["high"][0])
    True
    """
    budgets = np.atleast_1d(np.asarray(compute, dtype=float))
    if budgets.ndim != 1 or not len(budgets) or not (np.isfinite(budgets) & (budgets > 0)).all():
        raise ValueError(f"compute is one positive number or some, got {compute}")
    if uncertainty not in UNCERTAINTIES:
        raise ValueError(f"uncertainty is one of {', '.join(UNCERTAINTIES)}, got {uncertainty!r}")
    if n < 20:
        raise ValueError(f"intervals need 20 draws, got {n}")
    budget = budget_for(law.inputs, law.runs, cost, fixed or {}, bounds or {})
    voices, notes = _voices(law, budget, float(budgets.max()), uncertainty, n, seed)
    tables = []
    for at in budgets:
        found = [_optima(voice, budget, float(at)) for voice in voices]
        plans = pd.concat([budget.table(logs) for logs, _, _ in found], ignore_index=True)
        plans[law.target] = law.link.value(np.concatenate([u for _, u, _ in found]))
        plans.insert(0, "compute", at)
        plans.insert(1, "draw", np.arange(len(plans)))
        tables.append(plans)
        notes += _told(budget, plans, law.runs, float(at))
    draws = pd.concat(tables, ignore_index=True)
    names = [*budget.free, law.target]
    exponents = _exponents(draws, budget.free, budgets)
    return Optimum(_table(draws, names, budgets), exponents, draws, tuple(dict.fromkeys(notes)), uncertainty)


def _voices(
    law: Law, budget: Budget, compute: float, uncertainty: str, n: int, seed: int
) -> tuple[list[_Voice], list[str]]:
    """Draws of the numbers of the structures that have an optimum, in parts of their weights."""
    weights, notes = _untied(law)
    weight = {
        place: float(w)
        for place, (member, w) in enumerate(zip(law.mixture.members, weights, strict=True))
        if _closed(member.design.structure, budget.costly)
    }
    if sum(weight.values()) <= 0:
        notes.append("no structure with an optimum forecasts held-out runs well; the plan rests on all of them alike")
        weight = dict.fromkeys(weight, 1.0)
    runs = _Runs(law.link.latent(law.runs[law.target].to_numpy(dtype=float)), law.inputs.encode(law.runs).logs)
    # The heaviest first: what is too light to matter need not be looked at.
    kept: dict[int, float] = {}
    for place in sorted(weight, key=lambda place: -weight[place]):
        if weight[place] <= LEAST_WEIGHT * sum(kept.values()):
            break
        trial = _Voice(law.mixture.members[place], _numbers(law.mixture.members[place], runs, TRIAL, seed))
        if _optima(trial, budget, compute)[2].mean() <= OPEN:
            kept[place] = weight[place]
    if not kept:
        raise ValueError("no structure of this law has an optimum at this cost: the target only gains from one input")
    part = np.array(list(kept.values())) / sum(kept.values())
    counts = np.diff(np.r_[0, np.round(np.cumsum(part) * n).astype(int)])
    make = _again if uncertainty == "bootstrap" else _numbers
    voices, said = [], dict.fromkeys([law.mixture.members[place].design.structure.name for place in kept], 0.0)
    for place, share, count in zip(kept, part, counts, strict=True):
        member = law.mixture.members[place]
        said[member.design.structure.name] += share
        if count:
            voices.append(_Voice(member, make(member, runs, int(count), seed + place)))
    notes.append("structures with an optimum: " + ", ".join(f"{name} {share:.0%}" for name, share in said.items()))
    return voices, notes


def _untied(law: Law) -> tuple[np.ndarray, list[str]]:
    """Weights of members (k,), those of tied exponents given to the same structure with exponents of its own; a note.

    With one exponent for size and data the best size grows as the root of the budget, whatever the runs say.
    """
    weights = np.array(law.mixture.weights, dtype=float)
    structures = [member.design.structure for member in law.mixture.members]
    notes = []
    for structure in [one for one in dict.fromkeys(structures) if one.tied]:
        other = untied(structure, structures)
        tied, own = ([place for place, one in enumerate(structures) if one == which] for which in (structure, other))
        share = weights[tied].sum() / weights.sum()
        if share > LEAST_WEIGHT:
            notes.append(
                f"{other.name} speaks for {structure.name} ({share:.0%} of the law), whose best size grows as the root "
                "of compute whatever the runs say"
            )
        weights[own] += weights[tied]
        weights[tied] = 0.0
    return weights, notes


def _closed(structure: Structure, costly: Sequence[int]) -> bool:
    """Whether a structure can have an optimum for a reason: no tied exponents, squares or bends of inputs that cost."""
    if structure.tied:
        return False
    if structure.saturation is not None and structure.saturation.kind == "limit":
        return False
    bent = [one for one in structure.factor if one.what == "product"]
    products = [one for term in structure.terms for one in term.features if one.what == "product"]
    squares = any(one.of[0] == one.of[1] and one.of[0] in costly for one in (*products, *bent))
    bends = any(set(one.of) <= set(costly) for one in bent)
    return not (squares or bends)


def _numbers(member: Member, runs: _Runs, n: int, seed: int) -> np.ndarray:
    """Draws (n, k) with the curvature's covariance, made wider where whole sizes err together.

    Beside the curvature stands the jackknife over sizes: by how much the mode moves, to first order, when a size is
    left out. In the directions in which it is the wider, it counts. Few sizes make tails heavy: Student's, with one
    degree of freedom less than there are sizes.
    """
    value, jacobian = member.design.slopes(member.matrix, member.numbers[None])
    smoother = member.discrepancy.smoothers[member.place]
    solved = smoother.whitened(smoother.whitened(jacobian[0], member.ratio), member.ratio) / member.noise**2  # (n, k)
    told = (FREEDOM + 1) / (FREEDOM + 3) if member.ratio == 0 else 1.0
    size = units(runs.size)
    groups = int(size.max()) + 1
    root = _root(member.covariance)
    # All in units of the curvature's covariance, root root'. The values have outliers moved towards the law already.
    pull = np.zeros((groups, len(root)))
    np.add.at(pull, size, (solved @ root) * (member.value - value[0])[:, None])
    known = np.zeros((groups, len(root), len(root)))
    np.add.at(known, size, told * (jacobian[0] @ root)[:, :, None] * (solved @ root)[:, None, :])
    share, turn = np.linalg.eigh(0.5 * (known + known.transpose(0, 2, 1)))
    left = 1.0 / (1.0 - np.clip(share, 0.0, MOST_KNOWN))
    moved = np.einsum("gkj,gj,glj,gl->gk", turn, left, turn, pull)
    prior = root.T @ member.design.precision @ root
    widths, axes = np.linalg.eigh((groups - 1) / groups * moved.T @ moved + prior)
    wide = root @ axes * np.sqrt(np.maximum(widths, 1.0))
    random = np.random.default_rng((seed, 7))
    tails = np.sqrt((groups - 1) / random.chisquare(groups - 1, size=(n, 1)))
    return np.asarray(member.numbers + tails * (random.standard_normal((n, len(root))) @ wide.T))


def _again(member: Member, runs: _Runs, n: int, seed: int) -> np.ndarray:
    """The mode (n, k) for whole sizes drawn again."""
    out = []
    for counts in resamples(runs.size, n, seed):
        rows = np.repeat(np.arange(len(runs.u)), counts)
        found = mode_of(member.design, member.matrix[rows], runs.u[rows], seed=seed, starts=1, first=member.numbers)
        out.append(found.numbers)
    return np.array(out)


def _root(covariance: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.diag(covariance))
    size, basis = np.linalg.eigh(covariance / np.outer(scale, scale))
    return np.asarray(scale[:, None] * basis * np.sqrt(np.maximum(size, 1e-14)))


def _optima(voice: _Voice, budget: Budget, compute: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best free logs (s, f) of each draw, u there (s,), and whether it lies at an end of the search (s,)."""
    design, numbers = voice.member.design, voice.numbers
    searched, low, high = budget.searched(compute)
    q, s = len(searched), len(numbers)
    per = int(min(np.floor(GRID ** (1 / q)), 241)) if q else 1
    axes = [np.linspace(a, b, per) for a, b in zip(low, high, strict=True)]
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1) if q else np.zeros((1, 0))
    logs, possible = budget.closed(grid, searched, compute)
    if not possible.any():
        raise ValueError(f"no plan within the bounds costs {compute:.4g} or less")
    logs, grid = logs[possible], grid[possible]
    value = design.values(design.matrix(budget.encode(logs)), numbers)
    best = value.argmin(axis=1)
    place, u = grid[best], value[np.arange(s), best]
    radius = (high - low) / max(per - 1, 1)
    for _ in range(ROUNDS):
        for j in range(q):
            tried = np.repeat(place[:, None, :], len(NEARER), axis=1)
            tried[:, :, j] = np.clip(tried[:, :, j] + radius[j] * NEARER, low[j], high[j])
            flat = tried.reshape(-1, q)
            logs, possible = budget.closed(flat, searched, compute)
            matrix = design.matrix(budget.encode(logs)).reshape(s, len(NEARER), -1)
            there = np.where(possible.reshape(s, -1), paired(design.term, matrix, numbers), np.inf)
            first = there.argmin(axis=1)
            gained = there[np.arange(s), first] < u
            place = np.where(gained[:, None], tried[np.arange(s), first], place)
            u = np.where(gained, there[np.arange(s), first], u)
        radius = radius / 3
    ends = np.zeros(s, dtype=bool)
    for j, i in enumerate(searched):
        if i in budget.costly:
            slack = 0.01 * (high[j] - low[j])
            free_low, free_high = budget.unbounded(i)
            ends |= (free_low & (place[:, j] < low[j] + slack)) | (free_high & (place[:, j] > high[j] - slack))
    return budget.closed(place, searched, compute)[0], u, ends


def paired(term: np.ndarray, matrix: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """u (s, c) of c rows of its own for each set of numbers: features (s, c, k), numbers (s, k)."""
    parts = matrix * numbers[:, None, :]
    exponents = np.stack([parts[:, :, term == t].sum(axis=2) for t in range(int(term.max()) + 1)])
    return np.asarray(np.logaddexp.reduce(exponents, axis=0) + parts[:, :, term < 0].sum(axis=2))


def _told(budget: Budget, plans: pd.DataFrame, runs: pd.DataFrame, compute: float) -> list[str]:
    notes = []
    for name in budget.free:
        value = plans[name].to_numpy()
        for bound, what in zip(budget.bounds.get(name, ()), ("lower", "upper"), strict=False):
            share = float(np.isclose(value, bound, rtol=1e-2).mean()) if bound > 0 and np.isfinite(bound) else 0.0
            if share > 0.05:
                notes.append(f"at {compute:.3g}, {name} lies at its {what} bound {bound:.3g} in {share:.0%} of draws")
        middle, largest, smallest = float(np.median(value)), float(runs[name].max()), float(runs[name].min())
        if middle > FAR * largest:
            notes.append(f"at {compute:.3g}, {name} is {middle / largest:.0f} times the largest of the finished runs")
        elif middle * FAR < smallest:
            notes.append(f"at {compute:.3g}, {name} is {smallest / middle:.0f} times below the smallest finished run")
    return notes


def _table(draws: pd.DataFrame, names: list[str], budgets: np.ndarray) -> pd.DataFrame:
    rows = []
    for at in budgets:
        some = draws[draws["compute"] == at]
        for name in names:
            estimate, low, high = some[name].quantile(list(INTERVAL))
            rows.append({"compute": at, "quantity": name, "estimate": estimate, "low": low, "high": high})
    return pd.DataFrame(rows)


def _exponents(draws: pd.DataFrame, names: list[str], budgets: np.ndarray) -> pd.DataFrame:
    """Slopes of ln input in ln compute, over all budgets, one a draw."""
    columns = ["quantity", "estimate", "low", "high"]
    x = np.log(np.unique(budgets))
    if len(x) < 2:
        return pd.DataFrame(columns=columns)
    x = x - x.mean()
    rows = []
    for name in names:
        # Draws of all budgets are the same joint draws, in the same order.
        each = np.stack([np.log(draws.loc[draws["compute"] == at, name].to_numpy()) for at in np.unique(budgets)])
        slope = x @ each / (x @ x)
        estimate, low, high = np.quantile(slope, INTERVAL)
        rows.append({"quantity": f"exponent of {name}", "estimate": estimate, "low": low, "high": high})
    return pd.DataFrame(rows, columns=columns)
