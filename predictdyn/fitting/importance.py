r"""The posterior of forms with too many numbers for a grid: importance sampling around the best fit of each curve.

With v the logits of the prior probabilities u of the shape, which have no bounds, nodes lie on a low-discrepancy
normal cloud about the least-squares fit, with the covariance of its Gauss-Newton approximation, and weigh by
posterior over cloud density. Only for forms whose gap is fixed; the level (flat) and the variance of independent
noise are integrated out. Meant for sharp breaks, which no grid would hit; the evidence says whether there is one.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_sigmoid, sigmoid
from jax.scipy.special import logsumexp

from predictdyn.fitting import least_squares
from predictdyn.fitting.batches import by_form, in_batches
from predictdyn.fitting.linear import probability_of, shape_at
from predictdyn.fitting.mixtures import chosen
from predictdyn.fitting.structural import FLOOR, SLICE, Sampled, Series
from predictdyn.forms import Form

Array = Any
CLOUD = 512
WIDER = 1.6  # the cloud has heavier tails than the approximation, so that no weight is far above the others
WIDEST = 2.0  # sd of the cloud in v


class Cloud(NamedTuple):
    """Forecasts of all nodes at p places: location and the variances of `structural.Sampled`, each (n, p, k), degrees
    of freedom (n,), log weight (n, k), and log evidence (n,) in the terms of `structural`."""

    location: Array
    known: Array
    whole: Array
    df: Array
    log_weight: Array
    log_evidence: Array


def cloud(form: Form, series: Series, to: Array) -> Cloud:
    """The posterior of each curve, and what it says of ln x = to (n, p), in the units of z.

    >>> from predictdyn.forms import BY_NAME
    >>> u = np.linspace(-3, 0, 30)[None]
    >>> line = Series(u, np.log(0.2 + 0.8 * np.exp(-0.5 * u)), np.ones_like(u), np.ones(1))
    >>> found = cloud(BY_NAME["floor"], line, np.array([[1.0]]))
    >>> best = int(found.log_weight[0].argmax())
    >>> round(float(np.exp(found.location[0, 0, best])), 2)
    0.69
    """
    weight = np.where(np.isfinite(series.variance), 1 / series.variance, 0.0)
    coarse = form.nodes(0.7)
    best = least_squares.fit(form, np.exp(series.u), series.z * series.unit[:, None], weight, nodes=coarse)
    u = np.clip(probability_of(form, best.shape), 1e-3, 1 - 1e-3)
    batched = [series.u, series.z, weight, series.unit, np.log(u / (1 - u)), to]
    return Cloud(*in_batches(_around(form), batched, [_normal(len(form.shape))], least=SLICE, most=SLICE))


def sampled(found: Cloud, lots: np.ndarray) -> Sampled:
    """Nodes drawn at lots (s,) in (0, 1) of their cumulated weight."""
    drawn = chosen(np.exp(found.log_weight), lots)[:, None]
    location, known, whole = (np.take_along_axis(part, drawn, axis=2) for part in found[:3])
    return Sampled(location, known, whole, found.df, np.zeros(len(drawn)), found.log_evidence)


@cache
def _normal(k: int) -> np.ndarray:
    """A low-discrepancy sample of a standard normal (m, k)."""
    from scipy.stats import norm, qmc

    points = qmc.Sobol(k, scramble=False).random(CLOUD)
    return norm.ppf(np.clip((points + 0.5 / CLOUD) % 1.0, 1e-6, 1 - 1e-6))


@by_form
def _around(form: Form) -> Any:
    k = len(form.shape)

    def one(u: Array, z: Array, weight: Array, unit: Array, start: Array, to: Array, normal: Array) -> Cloud:
        x, at, total, n = jnp.exp(u), jnp.exp(to), weight.sum(), (weight > 0).sum()

        def residual(v: Array) -> tuple[Array, Array]:
            off = z - form.columns(x, shape_at(form, sigmoid(v)))[0] / unit
            level = (weight * off).sum() / total
            return jnp.sqrt(weight) * (off - level), level

        slope = jax.jacfwd(lambda v: residual(v)[0])(start)
        noise = ((residual(start)[0] ** 2).sum() + FLOOR**2) / jnp.maximum(n - 1.0, 1.0)
        prior = 2 * sigmoid(start) * sigmoid(-start)
        information = slope.T @ slope / noise + jnp.diag(prior) + jnp.eye(k) / WIDEST**2
        root = WIDER * jnp.linalg.cholesky(jnp.linalg.inv(information))
        nodes = start + normal @ root.T
        off, level = jax.vmap(residual)(nodes)
        left = (off**2).sum(-1) + FLOOR**2
        density = (log_sigmoid(nodes) + log_sigmoid(-nodes)).sum(-1) + (normal**2).sum(-1) / 2
        volume = jnp.log(jnp.diagonal(root)).sum() + k / 2 * jnp.log(2 * jnp.pi)
        scale = 0.5 * jnp.log(jnp.where(weight > 0, weight, 1.0)).sum() - 0.5 * jnp.log(total)
        log_weight = jnp.nan_to_num(density - 0.5 * n * jnp.log(left), nan=-jnp.inf, neginf=-jnp.inf)
        mass = logsumexp(log_weight)
        there = jax.vmap(lambda v: form.columns(at, shape_at(form, sigmoid(v)))[0])(nodes) / unit
        variance = left / n
        known = jnp.broadcast_to(variance / total, there.T.shape)
        evidence = mass - jnp.log(len(nodes)) + volume + scale
        return Cloud(there.T + level, known, known + variance, n.astype(z.dtype), log_weight - mass, evidence)

    return jax.vmap(one, in_axes=(0, 0, 0, 0, 0, 0, None))
