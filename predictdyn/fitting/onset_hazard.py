r"""Time to an event that may never come: a hazard in discrete time, log-linear in what is known of a run.

.. math:: P(T_i \in \text{bin } k \mid T_i > \text{bin } k - 1) = 1 - \exp(-e^{\eta_{ik}}), \qquad
    \eta_{ik} = a + s\, t_k + d_k + x_i' b + u_{f(i)}

The bins are even in logarithmic progress, so this is a proportional-hazards model in grouped time (Prentice and
Gloeckler 1978, doi:10.2307/2529588), an accelerated failure time in all but name. A run that ends without the event is
censored: it counts in the bins that it was logged through. The level a leans on an even chance of the event, deviations
d, effects b and families' effects u on zero, each group with a standard deviation of its own, half-normal a priori. So
a group that says nothing may have none at all (Gelman 2006, doi:10.1214/06-BA117A). Weights and deviations are drawn
together from their posterior (`hamiltonian`), each draw of weights with its own spread of families. A family that is
not in the history has an effect drawn with that spread. The chance of a new run is a mean over all of these: at the
most probable weights, with effects that look larger than they are, it would lie too high.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from predictdyn.fitting.chains import UNSAMPLED, Mixing, mixing
from predictdyn.fitting.hamiltonian import Chains, moved

BINS = 12
LEVEL_SD, SLOPE_SD = 1.5, 1.0
DEVIATION, EFFECTS, FAMILIES = 0.1, 1.0, 0.5  # mean variances a priori; that of effects is of all columns of a group
CHAINS, WARM, KEPT = 32, 40, 24  # chains, paths to warm up each of three times, draws of each chain
BETWEEN = (12, 24, 48)  # paths from draw to draw: more where chains have not met, which then go on from where they are
CURVED = 16  # chains whose mean curvature makes the posterior about round
STEPS = 30
HIGHEST = 4.0  # of the log hazard: what has a hazard of 50 a bin is sure


class RunsAtRisk(NamedTuple):
    """Finished runs without the event at an origin: when it came (inf: it did not), how far they were logged, and x.

    Times are log progress; ``group`` (p,) numbers the groups of columns from 0.
    """

    onset: Float[np.ndarray, " n"]
    last: Float[np.ndarray, " n"]
    family: Shaped[np.ndarray, " n"]
    x: Float[np.ndarray, "n p"]
    group: Int[np.ndarray, " p"]


class HazardModel(NamedTuple):
    """Draws of weights (k, s): level, slope, K deviations, p effects, families' effects; of families' spread (s,).

    ``mixing`` is the worst of all weights and of the standard deviations of their groups.
    """

    edges: Float[np.ndarray, " e"]
    families: Shaped[np.ndarray, " f"]
    weights: Float[np.ndarray, "k s"]
    spread: Float[np.ndarray, " s"]
    mixing: Mixing = UNSAMPLED


class _Data(NamedTuple):
    """What the likelihood needs of runs (n), with bins (b), columns and families (p + f) beside each other."""

    x: Float[np.ndarray, "n c"]
    time: Float[np.ndarray, " b"]
    open: Float[np.ndarray, "b n"]  # whether the run went through the bin without the event
    came: Float[np.ndarray, "b n"]  # whether the event came in the bin
    scale: Float[np.ndarray, " k"]  # of weights, a priori
    group: Int[np.ndarray, " g"]  # of all weights but the first two


def fitted(runs: RunsAtRisk, origin: float, rng: np.random.Generator, bins: int = BINS) -> HazardModel:
    """The hazard from an origin (log progress) to the end, learnt from the runs at risk there."""
    edges = np.linspace(origin, 1.0, bins + 1)
    families, family = np.unique(runs.family.astype(str), return_inverse=True)
    data = _data(runs, family, len(families), edges)
    spreads = int(data.group.max()) + 1
    weights, spread, found = _drawn(data, spreads, rng)
    return HazardModel(edges, families, weights, data.scale[-1] * spread[-1], found)


def _data(runs: RunsAtRisk, family: np.ndarray, n_families: int, edges: np.ndarray) -> _Data:
    bins, n, n_groups = len(edges) - 1, len(runs.onset), int(runs.group.max(initial=-1)) + 1
    row, at, event = periods(runs.onset, runs.last, edges)
    state = np.zeros((2, bins, n))
    state[event.astype(int), at, row] = 1
    size = np.bincount(runs.group, minlength=n_groups)
    variance = np.concatenate([[DEVIATION], EFFECTS / np.maximum(size, 1), [FAMILIES]])
    group = np.concatenate([np.zeros(bins), 1 + runs.group, np.full(n_families, 1 + n_groups)]).astype(int)
    scale = np.concatenate([[LEVEL_SD, SLOPE_SD], np.sqrt(variance[group])])
    x = np.hstack([runs.x, np.eye(n_families)[family]])
    return _Data(x, time_of(np.arange(bins), bins), state[0], state[1], scale, group)


def even_level(bins: int) -> float:
    """The log hazard a bin with which the event comes before the end in one of two runs."""
    return float(np.log(np.log(2.0) / bins))


def time_of(at: Int[np.ndarray, " n"], bins: int) -> Float[np.ndarray, " n"]:
    """Bins (n,) as numbers from -1 to 1."""
    return np.asarray((2.0 * at - (bins - 1)) / max(bins - 1, 1))


def periods(
    onset: Float[np.ndarray, " n"], last: Float[np.ndarray, " n"], edges: Float[np.ndarray, " e"]
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """Rows of runs and bins: run, bin, whether the event came in it; none after it came, or that the log left open.

    >>> run, at, event = periods(np.array([0.6, np.inf]), np.array([1.0, 0.6]), np.array([0.0, 0.5, 1.0]))
    >>> run.tolist(), at.tolist(), event.tolist()
    ([0, 0, 1], [0, 1, 0], [False, True, False])
    """
    bins = len(edges) - 1
    of = np.clip(np.searchsorted(edges, onset, side="left") - 1, 0, bins)
    # A bin counts where the log goes through it, or the event came in it.
    logged = np.searchsorted(edges, last + 1e-9, side="right") - 1
    through = np.where(np.isfinite(onset), of + 1, np.minimum(logged, bins))
    row, at = np.nonzero(np.arange(bins) < np.minimum(through, bins)[:, None])
    return row, at, np.isfinite(onset)[row] & (at == of[row])


def sampled(
    model: HazardModel,
    x: Float[np.ndarray, "m p"],
    family: Shaped[np.ndarray, " m"],
    uniforms: Float[np.ndarray, "m s"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "m s"]:
    """Draws (m, s) of the log progress of the event, inf where it does not come, for runs at risk (m) with x (m, p)."""
    eta = log_hazard(model, x, family, uniforms.shape[1], rng)
    survived = np.exp(-np.cumsum(np.exp(eta), axis=2))  # (m, s, bins)
    before = (survived > uniforms[..., None]).sum(axis=2)  # bins without the event
    bins = eta.shape[2]
    inside = np.minimum(before, bins - 1)
    above = np.where(inside > 0, np.take_along_axis(survived, np.maximum(inside - 1, 0)[..., None], 2)[..., 0], 1.0)
    below = np.take_along_axis(survived, inside[..., None], 2)[..., 0]
    part = np.clip((above - uniforms) / np.maximum(above - below, 1e-300), 0.0, 1.0)
    time = model.edges[inside] + part * np.diff(model.edges)[inside]
    return np.where(before < bins, time, np.inf)


def log_hazard(
    model: HazardModel,
    x: Float[np.ndarray, "m p"],
    family: Shaped[np.ndarray, " m"],
    draws: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "m {draws} b"]:
    """Draws of the log hazard of runs (m) in each bin (b)."""
    bins, p = len(model.edges) - 1, x.shape[1]
    pick = rng.permutation(np.arange(draws) % model.weights.shape[1])
    weights, spread = model.weights[:, pick], model.spread[pick]
    time = weights[0] + time_of(np.arange(bins), bins)[:, None] * weights[1] + weights[2 : 2 + bins]
    place = {name: 2 + bins + p + i for i, name in enumerate(model.families.tolist())}
    # Of one run, so that no run's draws depend on who else is asked for.
    unknown = spread * rng.standard_normal(draws)
    shift = x @ weights[2 + bins : 2 + bins + p]
    for i, name in enumerate(family.astype(str).tolist()):
        shift[i] += weights[place[name]] if name in place else unknown
    return np.minimum(time.T[None] + shift[:, :, None], HIGHEST)


def _drawn(data: _Data, spreads: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Mixing]:
    """Draws of weights (k, s) and of standard deviations of their groups, as shares of their scales (v, s).

    Weights are scale times share times a standard normal number, so that a share of nought is a place like any other.
    The sign of a share says nothing, so chains are compared by its size.
    """
    k, members = len(data.scale), np.equal.outer(np.arange(spreads), data.group).astype(float)

    def likelihood(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gain, slope = _gain(data, _weights(data, at))
        share = at[k:][data.group]
        slope = data.scale[:, None] * slope
        return gain, np.concatenate([slope[:2], share * slope[2:], members @ (at[2:k] * slope[2:])])

    def rounded(chains: Chains) -> tuple[Chains, np.ndarray]:
        # Rates are exponentials: where they are high the posterior bends far more than at its mode.
        some = [_curvature(data, numbers[:k], numbers[k:]) for numbers in chains.at.T[:CURVED]]
        root = _rounded(np.mean(some, axis=0))
        return moved(likelihood, chains, root, WARM, rng, learn=True), root

    share = np.full(spreads, 0.5)
    centre = _mode(data, share)
    root = _rounded(_curvature(data, centre, share))
    near = root @ rng.standard_normal((k + spreads, CHAINS)) / 2
    chains = moved(
        likelihood, Chains(np.concatenate([centre, share])[:, None] + near, 0.4), root, WARM, rng, learn=True
    )
    chains, _ = rounded(chains)
    for between in BETWEEN:
        chains, root = rounded(chains)
        kept, divergent = [], 0.0
        for _ in range(KEPT):
            chains = moved(likelihood, chains, root, between, rng)
            kept.append(chains.at)
            divergent += chains.divergent / KEPT
        every = np.hstack(kept)
        weights, shares = _weights(data, every), np.abs(every[k:])
        by_chain = np.concatenate([weights, shares]).reshape(-1, KEPT, CHAINS).transpose(2, 1, 0)
        found = mixing(by_chain, divergent)
        if found.converged:
            break
    return weights, shares, found


def _rounded(curvature: np.ndarray) -> np.ndarray:
    """The map (d, d) that makes a posterior of this curvature round."""
    return np.asarray(solve_triangular(np.linalg.cholesky(curvature).T, np.eye(len(curvature))))


def _weights(data: _Data, at: np.ndarray) -> np.ndarray:
    """Weights (k, c) of standard normal numbers and shares (k + v, c)."""
    k = len(data.scale)
    weights = data.scale[:, None] * np.concatenate([at[:2], at[2:k] * at[k:][data.group]])
    weights[0] += even_level(len(data.time))
    return np.asarray(weights)


def _gain(data: _Data, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihood (c,) and its slope (k, c) at weights (k, c).

    The hazard is a product of one of the bin and one of the run, so no exponential is taken of both.
    """
    bins = len(data.time)
    with np.errstate(over="ignore", invalid="ignore"):
        of_bin = np.exp(np.clip(weights[0] + np.outer(data.time, weights[1]) + weights[2 : 2 + bins], -50, 50))
        of_run = np.exp(np.clip(data.x @ weights[2 + bins :], -50, 50))
        passed = (data.open.T @ of_bin) * of_run
        event = data.came.any(axis=0)
        rate = np.maximum((data.came.T[event] @ of_bin) * of_run[event], 1e-300)
        gain = np.log(-np.expm1(-rate)).sum(axis=0) - passed.sum(axis=0)
        came = rate / np.expm1(np.minimum(rate, 700.0))
    by_run = -passed
    by_run[event] += came
    by_bin = data.came[:, event] @ came - of_bin * (data.open @ of_run)
    return gain, np.concatenate([by_bin.sum(axis=0)[None], data.time[None] @ by_bin, by_bin, data.x.T @ by_run])


def _design(data: _Data, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of rows of runs and bins: what each standard normal number adds to the log hazard (m, k), and whether it came."""
    at, row = np.nonzero(data.open + data.came)
    design = np.hstack([np.ones((len(at), 1)), data.time[at, None], np.eye(len(data.time))[at], data.x[row]])
    design *= data.scale
    design[:, 2:] *= share[data.group]
    return design, data.came[at, row]


def _rates(data: _Data, design: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hazard of rows (m,), and the chance that it comes."""
    rate = np.exp(np.minimum(design @ numbers + even_level(len(data.time)), HIGHEST))
    return rate, np.maximum(-np.expm1(-rate), 1e-300)


def _curvature(data: _Data, numbers: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Minus the expected second derivative by numbers (k,) and shares (v,)."""
    design, _ = _design(data, np.ones(len(share)))
    by_share = (design[:, 2:] * numbers[2:]) @ np.equal.outer(data.group, np.arange(len(share))).astype(float)
    design[:, 2:] *= share[data.group]
    rate, chance = _rates(data, design, numbers)
    both = np.hstack([design, by_share])
    return np.asarray((both.T * (rate**2 * np.exp(-rate) / chance)) @ both + np.eye(both.shape[1]))


def _mode(data: _Data, share: np.ndarray) -> np.ndarray:
    """Most probable standard normal numbers (k,) at shares (v,)."""
    design, came = _design(data, share)

    def value(numbers: np.ndarray) -> float:
        whole = np.concatenate([numbers, share])[:, None]
        return float(_gain(data, _weights(data, whole))[0][0] - (numbers**2).sum() / 2)

    numbers = np.zeros(len(data.scale))
    now = value(numbers)
    for _ in range(STEPS):
        rate, chance = _rates(data, design, numbers)
        slope = design.T @ (rate * (came / chance - 1)) - numbers
        curvature = (design.T * (rate**2 * np.exp(-rate) / chance)) @ design + np.eye(len(numbers))
        step = cho_solve(cho_factor(curvature), slope)
        length = 1.0
        while (then := value(numbers + length * step)) < now and length > 1e-6:
            length /= 2
        numbers = numbers + length * step
        gain, now = then - now, then
        if gain < 1e-2:
            break
    return numbers
