"""Finished runs are the prior: nodes weigh more, the better they would have forecast other curves like this one."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from predictdyn.forecasters._node_model import NodeModel
from predictdyn.forecasters._series import standardised, usable
from predictdyn.problem import LatentCurve

FEWEST_CURVES = 3
MOST_CURVES = 24
HORIZONS = 3  # knots between the origin and the end of each replayed curve
STEPS = 60

Name = tuple[str, str]  # of a curve: metric, run


class NodeShares(NamedTuple):
    """What each node of each form explains of one curve, the best one (k,): one; how many nodes each form has."""

    share: np.ndarray
    sizes: list[int]


def learned_prior(
    model: NodeModel,
    forms: Sequence[str],
    context: Mapping[Name, LatentCurve],
    origin: float,
    worth: float,
    shares: dict[Name, NodeShares] | None = None,
    kept: Collection[Name] | None = None,
) -> np.ndarray | None:
    r"""Log of the learned over the given prior of every node of every form (k,), forms equal at first.

    Every curve is truncated at ``origin``, a progress of the run, or where it does not go on beyond it, at half of what
    it has, and forecast by every node. With :math:`p_r(i)` the density that node i gave to what then happened in curve
    r and :math:`w_r(i)` its weight by what had been seen, the prior :math:`\pi` maximises

    .. math:: \sum_r \ln \sum_i \frac{\pi_i}{\pi^0_i} w_r(i)\, p_r(i) + \mathrm{worth} \sum_i \pi^0_i \ln \pi_i,

    by expectation maximisation: empirical Bayes in which the given prior counts like ``worth`` curves. None where there
    are too few curves to learn from. ``shares`` holds what is known of curves already, and takes up the rest.
    At most `MOST_CURVES` are learnt from, by lot; of these only those that are ``kept``.
    """
    shares = {} if shares is None else shares
    begun = ((name, _truncated(context[name], origin)) for name in sorted(context, key=_lot))
    cut = dict(islice(((name, one) for name, one in begun if one is not None), MOST_CURVES))
    if len(cut) < FEWEST_CURVES:
        return None
    cut = {name: one for name, one in cut.items() if kept is None or name in kept}
    _add_shares(shares, model, forms, {name: one for name, one in cut.items() if name not in shares})
    known = [shares[name] for name in cut if len(shares[name].share)]
    if len(known) < FEWEST_CURVES:
        return None
    share = np.stack([one.share for one in known]).astype(float)
    given = np.concatenate([np.full(size, 1 / (size * len(forms))) for size in known[0].sizes])
    prior = given
    for _ in range(STEPS):
        ratio = prior / given
        prior = (ratio * (share.T @ (1 / (share @ ratio))) + worth * given) / (len(known) + worth)
    return np.asarray(np.log(prior / given))


def _lot(name: Name) -> bytes:
    return hashlib.sha256("\x1f".join(name).encode()).digest()


def _add_shares(
    shares: dict[Name, NodeShares], model: NodeModel, forms: Sequence[str], cut: Mapping[Name, _Truncated]
) -> None:
    """Score the nodes on curves; one on which no node has a finite score gets an empty share."""
    if not cut:
        return
    made = [standardised(one.begun) for one in cut.values()]
    truth = np.array([(one.latent - to.zero) / to.series.unit for to, one in zip(made, cut.values(), strict=True)])
    found = model.score_nodes(forms, [one.series for one in made], np.array([one.knots for one in cut.values()]), truth)
    edges = np.cumsum(found.sizes)[:-1]
    weight = np.concatenate([_normal(part) for part in np.split(found.log_weight, edges, axis=1)], axis=1)
    for name, log_share in zip(cut, weight + found.log_density, strict=True):
        log_share = np.where(np.isfinite(log_share), log_share, -np.inf)
        top = log_share.max()
        share = np.exp(log_share - top) if np.isfinite(top) else np.zeros(0)
        # Single precision: there may be very many.
        shares[name] = NodeShares(share.astype(np.float32), found.sizes)


def _normal(log_weight: np.ndarray) -> np.ndarray:
    """Log weights (n, k) less the log of their sum."""
    top = log_weight.max(axis=1, keepdims=True)
    return np.asarray(log_weight - top - np.log(np.exp(log_weight - top).sum(axis=1, keepdims=True)))


class _Truncated(NamedTuple):
    """The beginning of a curve, knots (p,), ln x after its last point, and the values (p,) that follow there."""

    begun: LatentCurve
    knots: np.ndarray
    latent: np.ndarray


def _truncated(curve: LatentCurve, origin: float) -> _Truncated | None:
    """The beginning and what follows; None if either is too short."""
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
    return _Truncated(begun, np.log(curve.progress[at] / now), curve.latent[at])
