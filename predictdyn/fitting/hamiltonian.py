r"""Draws of many numbers that a priori are independent and standard normal, given data, by Hamiltonian Monte Carlo.

.. math:: \log p(q \mid \text{data}) = \ell(q) - |q|^2 / 2 + \text{const}

Chains run side by side as columns, so one product of matrices moves them all. They share a linear map that makes the
posterior about round, and one length of step, which is learnt while they warm up. Neal 2011, arXiv:1206.1901.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Likelihood = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

STEPS = 12  # of a path
ACCEPTED = 0.9  # share of paths that the length of a step is learnt for
DIVERGED = 1000.0  # loss of log density along a path, from which on steps were too long to follow it


class Chains(NamedTuple):
    """Where chains are (d, c), the length of a step, and the share of the last paths that diverged."""

    at: Float[np.ndarray, "d c"]
    length: float
    divergent: float = 0.0


def moved(
    likelihood: Likelihood,
    chains: Chains,
    root: Float[np.ndarray, "d d"],
    paths: int,
    rng: np.random.Generator,
    *,
    learn: bool = False,
) -> Chains:
    """Chains (d, c) after some paths, by a log-likelihood (c,) and its slope (d, c), with the covariance root root'.

    ``learn`` fits the length of a step on the way: such chains are only near their target, not at it.
    """

    def value(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gain, slope = likelihood(at)
        return gain - (at**2).sum(axis=0) / 2, root.T @ (slope - at)

    at, length, lost = chains.at, chains.length, 0
    now, slope = value(at)
    for path in range(paths):
        # Steps of uneven length: no path comes back to where it began, and no chain is stuck where steps must be short.
        step = length * rng.uniform(0.2, 1.2, at.shape[1])
        push = rng.standard_normal(at.shape)
        energy = now - (push**2).sum(axis=0) / 2
        there, gain, pull = at, now, slope
        # A path that leaves the numbers is turned down.
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(STEPS):
                push = push + step / 2 * pull
                there = there + root @ (step * push)
                gain, pull = value(there)
                push = push + step / 2 * pull
            won = gain - (push**2).sum(axis=0) / 2 - energy
        won = np.nan_to_num(won, nan=-np.inf)
        lost += int((won < -DIVERGED).sum())
        chance = np.exp(np.minimum(won, 0.0))
        taken = rng.random(at.shape[1]) < chance
        at, now, slope = np.where(taken, there, at), np.where(taken, gain, now), np.where(taken, pull, slope)
        if learn:
            length *= float(np.exp((chance.mean() - ACCEPTED) / (1 + path) ** 0.5))
    return Chains(at, length, lost / (paths * at.shape[1]))
