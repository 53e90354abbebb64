"""Finished runs are the prior: nodes weigh more, the better they would have forecast other curves of the metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictdyn.forecasters._node_model import NodeModel
from predictdyn.forecasters._series import standardised, usable
from predictdyn.problem import LatentCurve

FEWEST_CURVES = 3
MOST_CURVES = 16
HORIZONS = 3  # knots between the origin and the end of each replayed curve
STEPS = 60


def learned_prior(
    model: NodeModel, forms: Sequence[str], context: Sequence[LatentCurve], origin: float, worth: float
) -> np.ndarray | None:
    r"""Log of the learned over the given prior of every node of every form (k,), forms equal at first.

    Every curve is truncated at ``origin``, a progress of the run, or where it does not go on beyond it, at half of what
    it has, and forecast by every node. With :math:`p_r(i)` the density that node i gave to what then happened in run r
    and :math:`w_r(i)` its weight by what had been seen, the prior :math:`\pi` maximises

    .. math:: \sum_r \ln \sum_i \frac{\pi_i}{\pi^0_i} w_r(i)\, p_r(i) + \mathrm{worth} \sum_i \pi^0_i \ln \pi_i,

    by expectation maximisation: empirical Bayes in which the given prior counts like ``worth`` runs. None where there
    are too few curves to learn from.
    """
    cut = [begun for curve in context if (begun := _truncated(curve, origin)) is not None]
    if len(cut) < FEWEST_CURVES:
        return None
    cut = [cut[i] for i in np.unique(np.linspace(0, len(cut) - 1, MOST_CURVES).round().astype(int))]
    made = [standardised(begun) for begun, _, _ in cut]
    knots = np.array([to for _, to, _ in cut])
    truth = np.array([(latent - one.zero) / one.series.unit for one, (_, _, latent) in zip(made, cut, strict=True)])
    found = model.score_nodes(forms, [one.series for one in made], knots, truth)
    edges = np.cumsum(found.sizes)[:-1]
    weight = np.concatenate([_normal(part) for part in np.split(found.log_weight, edges, axis=1)], axis=1)
    share = weight + found.log_density
    share = np.where(np.isfinite(share), share, -np.inf)
    known = np.isfinite(share).any(axis=1)
    if known.sum() < FEWEST_CURVES:
        return None
    share = np.exp(share[known] - share[known].max(axis=1, keepdims=True))
    given = np.concatenate([np.full(size, 1 / (size * len(forms))) for size in found.sizes])
    prior = given.copy()
    for _ in range(STEPS):
        of = share * (prior / given)
        of /= of.sum(axis=1, keepdims=True)
        prior = (of.sum(axis=0) + worth * given) / (len(of) + worth)
    return np.asarray(np.log(prior / given))


def _normal(log_weight: np.ndarray) -> np.ndarray:
    """Log weights (n, k) less the log of their sum."""
    top = log_weight.max(axis=1, keepdims=True)
    return np.asarray(log_weight - top - np.log(np.exp(log_weight - top).sum(axis=1, keepdims=True)))


def _truncated(curve: LatentCurve, origin: float) -> tuple[LatentCurve, np.ndarray, np.ndarray] | None:
    """The beginning of a curve, the knots (ln x after its last point) and values that follow; None if it is too
    short."""
    if not usable(curve):
        return None
    end = float(curve.progress[-1])
    begun = curve.truncate(origin if origin < 0.8 * end else 0.5 * end)
    if not usable(begun):
        return None
    n, now = len(begun.progress), float(begun.progress[-1])
    first = 1.01 * curve.progress[n] if n < len(curve.progress) else end
    at = np.searchsorted(curve.progress, np.geomspace(first, end, HORIZONS))
    at = np.clip(at, n, len(curve.progress) - 1)
    return begun, np.log(curve.progress[at] / now), curve.latent[at]
