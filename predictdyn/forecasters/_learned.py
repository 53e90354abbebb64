"""Your past runs are your prior: nodes weigh more, the better they would have forecast other curves of the metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictdyn.forecasters._model import Model, graded
from predictdyn.forecasters._series import padded, usable
from predictdyn.lines import Line

FEWEST_CURVES = 3
MOST_CURVES = 16
HORIZONS = 3  # places between the origin and the end of each replayed curve
STEPS = 60


def learned(model: Model, forms: Sequence[str], past: Sequence[Line], origin: float, worth: float) -> np.ndarray | None:
    r"""Log of the learned over the given prior of every node of every form (k,), forms equal at first.

    Every curve is cut at ``origin``, a share of the run, or where it does not go on beyond it, at half of what it
    has, and forecast by every node. With :math:`p_r(i)` the density that node i gave to what then happened in run r
    and :math:`w_r(i)` its weight by what had been seen, the prior :math:`\pi` maximises

    .. math:: \sum_r \ln \sum_i \frac{\pi_i}{\pi^0_i} w_r(i)\, p_r(i) + \mathrm{worth} \sum_i \pi^0_i \ln \pi_i,

    by expectation maximisation: empirical Bayes in which the given prior counts like ``worth`` runs. None where there
    are too few curves to learn from.
    """
    cut = [one for line in past if (one := _cut(line, origin)) is not None]
    if len(cut) < FEWEST_CURVES:
        return None
    cut = [cut[i] for i in np.unique(np.linspace(0, len(cut) - 1, MOST_CURVES).round().astype(int))]
    batch = padded([begun for begun, _, _ in cut])
    to, latent = np.array([to for _, to, _ in cut]), np.array([truth for _, _, truth in cut])
    truth = (latent - batch.zero[:, None]) / batch.unit[:, None]
    found = graded(model, forms, batch, to, truth)
    edges = np.cumsum(found.sizes)[:-1]
    weight = np.concatenate([_normal(part) for part in np.split(found.log_weight, edges, axis=1)], axis=1)
    share = weight + found.log_density
    share = np.exp(share - share.max(axis=1, keepdims=True))
    given = np.concatenate([np.full(size, 1 / (size * len(forms))) for size in found.sizes])
    prior = given.copy()
    for _ in range(STEPS):
        of = share * (prior / given)
        of /= of.sum(axis=1, keepdims=True)
        prior = (of.sum(axis=0) + worth * given) / (len(cut) + worth)
    return np.log(prior / given)


def _normal(log_weight: np.ndarray) -> np.ndarray:
    """Log weights (n, k) less the log of their sum."""
    top = log_weight.max(axis=1, keepdims=True)
    return log_weight - top - np.log(np.exp(log_weight - top).sum(axis=1, keepdims=True))


def _cut(line: Line, origin: float) -> tuple[Line, np.ndarray, np.ndarray] | None:
    """The beginning of a curve, the places (ln x after its last point) and values that follow; None if it is too
    short."""
    if not usable(line):
        return None
    end = float(line.share[-1])
    begun = line.upto(origin if origin < 0.8 * end else 0.5 * end)
    if not usable(begun):
        return None
    n, now = len(begun.share), float(begun.share[-1])
    at = np.searchsorted(line.share, np.geomspace(1.01 * line.share[n] if n < len(line.share) else end, end, HORIZONS))
    at = np.clip(at, n, len(line.share) - 1)
    return begun, np.log(line.share[at] / now), line.latent[at]
