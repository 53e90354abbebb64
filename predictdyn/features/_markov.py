"""A hidden Markov model with Gaussian states of diagonal covariance: arrays only, in logarithms, by EM."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEAST_SD = 0.05  # of the spread of all values: a state of one repeated value would have infinite density
PRIOR = 1.0  # counts added to every start and every move, so that none is impossible
MOST_ROUNDS = 50
ENOUGH = 1e-4  # gain in log likelihood, per observation


class Markov(NamedTuple):
    """k states over d numbers: logarithms of start (k,) and move (k, k), mean (k, d), sd (k, d)."""

    start: np.ndarray
    move: np.ndarray
    mean: np.ndarray
    sd: np.ndarray


class Smoothed(NamedTuple):
    """Posterior of the states (n, t, k), expected moves (k, k), and log likelihood of each sequence (n,)."""

    posterior: np.ndarray
    moves: np.ndarray
    likelihood: np.ndarray


def density(model: Markov, values: np.ndarray) -> np.ndarray:
    """Log density of values (n, t, d) in each state, missing numbers left out: (n, t, k)."""
    known = np.isfinite(values)
    filled, precision = np.where(known, values, 0.0), model.sd**-2.0
    square = filled**2 @ precision.T - 2 * filled @ (model.mean * precision).T + known @ (model.mean**2 * precision).T
    return -0.5 * square - known @ (np.log(model.sd) + 0.5 * np.log(2 * np.pi)).T


def smooth(model: Markov, values: np.ndarray, here: np.ndarray) -> Smoothed:
    """Forward and backward passes over sequences (n, t, d) that begin at column 0; ``here`` (n, t) says how long."""
    n, t, _ = values.shape
    k = len(model.start)
    log = np.where(here[:, :, None], density(model, values), 0.0)
    forward, backward = np.empty((n, t, k)), np.zeros((n, t, k))
    forward[:, 0] = model.start + log[:, 0]
    for i in range(1, t):
        moved = np.logaddexp.reduce(forward[:, i - 1, :, None] + model.move, axis=1)
        # Beyond its end a sequence stays as it was.
        forward[:, i] = np.where(here[:, i, None], moved + log[:, i], forward[:, i - 1])
    for i in range(t - 1, 0, -1):
        ahead = np.logaddexp.reduce(model.move + (log[:, i] + backward[:, i])[:, None], axis=2)
        backward[:, i - 1] = np.where(here[:, i, None], ahead, 0.0)
    likelihood = np.logaddexp.reduce(forward[:, -1], axis=1)
    posterior = np.exp(forward + backward - likelihood[:, None, None])
    joint = forward[:, :-1, :, None] + model.move + (log[:, 1:] + backward[:, 1:])[:, :, None]
    moves = np.exp(joint - likelihood[:, None, None, None])[here[:, 1:]].sum(axis=0)
    return Smoothed(posterior * here[:, :, None], moves, likelihood)


def fit(values: np.ndarray, here: np.ndarray, first: np.ndarray) -> tuple[Markov, float]:
    """Maximise the likelihood from a first guess of the posterior (n, t, k): the model and its log likelihood."""
    k = first.shape[2]
    model = _improved(values, first, np.ones((k, k)) + 10 * np.eye(k))
    before = -np.inf
    for _ in range(MOST_ROUNDS):
        found = smooth(model, values, here)
        now = float(found.likelihood.sum())
        if now - before < ENOUGH * here.sum():
            break
        before, model = now, _improved(values, found.posterior, found.moves)
    return model, now


def _improved(values: np.ndarray, posterior: np.ndarray, moves: np.ndarray) -> Markov:
    """The best model given a posterior of the states; a number that no state has seen stays at 0 and 1."""
    known = np.isfinite(values)
    filled, k = np.where(known, values, 0.0).reshape(-1, values.shape[2]), posterior.shape[2]
    weight = posterior.reshape(-1, k).T
    total = weight @ known.reshape(filled.shape)
    seen = total > 1e-6
    centre = np.where(seen, weight @ filled / np.where(seen, total, 1.0), 0.0)
    square = np.where(seen, weight @ filled**2 / np.where(seen, total, 1.0) - centre**2, 1.0)
    start, move = posterior[:, 0].sum(axis=0) + PRIOR, moves + PRIOR
    return Markov(
        np.log(start / start.sum()),
        np.log(move / move.sum(axis=1, keepdims=True)),
        centre,
        np.sqrt(np.maximum(square, LEAST_SD**2)),
    )
