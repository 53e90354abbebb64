r"""The exact posterior of every curve of a batch: linear numbers and noise integrated out, the shape summed over nodes.

.. math:: z_i = \mathrm{level} + \sum_j \mathrm{gap}_j\, g_j(x_i; \theta) + e_i, \quad e_i \sim N(0, \sigma^2 / w_i)

Priors, with S the weighted sd of the curve: the level is flat. What each :math:`g_j` adds, over what was seen (as a
sd) or from there to ten times as far (as a difference), whichever is more, has a sd of Weak.gap S: it matters neither
in which units g is written nor how much of it has been seen. In the exponent of that prior the noise of the best node
stands for the noise, which keeps the integral exact: :math:`\lambda_j = \hat\sigma^2 / \mathrm{sd}_j^2`. The precision
:math:`1/\sigma^2` is gamma, worth Weak.strength points that scatter by Weak.noise S, so that an exact fit does not take
all. The shape has the weights of its nodes. With A = G'WG + diag(lambda) about the weighted mean, Q the sum of squares
left, n points and j gaps,

.. math:: p(z \mid \theta) \propto |A|^{-1/2} |\lambda|^{1/2} Q^{-\nu/2}, \quad \nu = n - 1 - j + \mathrm{strength},

and what is predicted at a node is Student-t with :math:`\nu` degrees of freedom (Gelman et al. 2013, ch. 14).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

from predictdyn.fitting.batched_cholesky import solve
from predictdyn.fitting.batches import by_form, in_batches
from predictdyn.fitting.linear import (
    CurveBatch,
    Sums,
    ahead_at,
    columns_at,
    columns_for,
    left_by,
    own_places,
    prepared_for,
    ridged,
    standardised,
    summed,
    sums_own,
)
from predictdyn.fitting.mixtures import Mixture, mean_sd, quantiles
from predictdyn.fitting.on_cpu import double
from predictdyn.forms import Form

Array = Any
SIZES = (1, 16, 32, 48, 64, 96, 128, 192, 256)  # numbers of nodes that grids are padded to


class Weak(NamedTuple):
    """In units of the sd of a curve's values: the prior sd of what a gap adds; the noise, worth ``strength`` points."""

    gap: float = 3.0
    noise: float = 1e-3
    strength: float = 1.0


WEAK = Weak()


class Posterior(NamedTuple):
    """Of n curves at m nodes with j gaps; what is the same for all nodes may have a one for m.

    ``nodes`` (m, k) or (n, m, k); ``weight`` (n, m) sums to one; ``gap`` (n, j, m) is its mean at the node. ``middle``
    (n, m) is the mean of z over the points and ``centre`` (n, j, m) that of g, about which ``total`` (n, m), the sum of
    precisions, and ``inverse`` (n, j, j, m) give the covariance of middle and gaps in units of ``variance`` (n, m): the
    squared scale of the noise of a point of precision one. ``df`` (n,); ``log_evidence`` (n,) is the log marginal
    density of z, up to the flat prior of the level.
    """

    nodes: Array
    weight: Array
    middle: Array
    gap: Array
    centre: Array
    inverse: Array
    variance: Array
    total: Array
    df: Array
    log_evidence: Array

    @property
    def level(self) -> Array:
        """Mean of the level at each node (n, m)."""
        return self.middle - (self.gap * self.centre).sum(1)


class Summary(NamedTuple):
    """What is predicted at s places: mean and sd (n, s), quantiles (n, s, q), log evidence (n,)."""

    mean: Array
    sd: Array
    quantiles: Array
    log_evidence: Array


class _Gaps(NamedTuple):
    """Given each node, in units of the curve's sd: gaps (n, j, m), their inverse, squares left (n, m) and what the
    prior of the gaps takes from the log evidence (n, m), and the noise (n, 1) of the best node."""

    gap: Array
    inverse: Array
    left: Array
    cost: Array
    noise: Array


def _given(sums: Sums, unit: Array) -> _Gaps:
    """There are no gaps, or the only one is one in the units of z."""
    n, j, m = sums.cross.shape
    gap, inverse = jnp.ones_like(sums.cross) / unit[:, None], jnp.zeros((n, j, j, m), unit.dtype)
    left = jnp.broadcast_to(sums.square, (n, m))
    for a in range(j):
        left = left - 2 * sums.cross[:, a] / unit + sums.gram[:, a, a] / unit**2
    return _Gaps(gap, inverse, left, jnp.zeros((), jnp.float32), jnp.ones_like(unit))


def _solved(sums: Sums, ahead: Array, floor: Array, df: Array, sd: Array) -> _Gaps:
    """Gaps integrated out under a prior sd of what they add."""
    n, j, m = sums.cross.shape
    scale = jnp.sqrt(jnp.maximum(jnp.maximum(sums.spread, ahead**2), 1e-12))
    both = scale[:, :, None] * scale[:, None]
    sums = sums._replace(cross=sums.cross / scale, gram=sums.gram / both)
    # The prior of the gaps as it is where the noise is at its floor finds the noise of the best node.
    best = left_by(sums, floor / df / sd**2)[1].min(1, keepdims=True)
    noise = (jnp.maximum(best, 0) + floor) / df
    ridge = noise / sd**2
    gap, left, pivots = left_by(sums, ridge)
    matrix, unity = ridged(sums.gram, ridge), jnp.ones((n, m), left.dtype)
    columns = [solve(matrix, [unity * (a == b) for a in range(j)])[0] for b in range(j)]
    inverse = jnp.stack([jnp.stack(column, 1) for column in columns], 1) / both
    cost = sum(jnp.log((pivot / ridge).astype(jnp.float32)) for pivot in pivots) / 2
    return _Gaps(jnp.stack(gap, 1) / scale, inverse, left, cost, noise)


def weighed(sums: Sums, ahead: Array, curves: CurveBatch, log_prior: Array, weak: Weak, fixed: bool) -> Posterior:
    """Weigh the nodes, and put everything back into the units of z; ``ahead`` (n, j, m) is g(10) - g(1)."""
    rows, unit, precision = (part[:, None] for part in (curves.rows, curves.unit, curves.precision))
    n, j, m = sums.cross.shape
    given = fixed or j == 0
    df = jnp.maximum(rows - 1 - (0 if given else j), 0) + weak.strength
    floor = weak.strength * weak.noise**2
    gap, inverse, left, cost, noise = _given(sums, unit) if given else _solved(sums, ahead, floor, df, weak.gap)
    left = jnp.maximum(left, 0) + floor
    least = left.min(1, keepdims=True)
    # Relative to the best node single precision is enough for what comes of logarithms, and twice as fast.
    low = jnp.float32
    fit = -(df / 2).astype(low) * jnp.log1p((left / least - 1).astype(low)) - cost + log_prior.astype(low)
    fit = jnp.where(jnp.isfinite(fit), fit, -jnp.inf)
    top = fit.max(1, keepdims=True)
    weight = jnp.exp(jnp.maximum(fit - top, -80.0)).astype(left.dtype)
    mass = weight.sum(1, keepdims=True)
    log_root = jnp.log(jnp.where(curves.white.own > 0, curves.white.own, 1.0)).sum(-1)
    known = log_root - jnp.log(sums.total[:, 0]) / 2 - (curves.rows - 1) * (jnp.log(jnp.pi) / 2 + jnp.log(curves.unit))
    known -= (rows - 1 + weak.strength - df)[:, 0] / 2 * jnp.log(2 * noise[:, 0])
    known += weak.strength / 2 * jnp.log(floor) - gammaln(weak.strength / 2) + gammaln(df[:, 0] / 2)
    return Posterior(
        nodes=None,
        weight=weight / mass,
        middle=curves.offset[:, None] + unit * sums.mean,
        gap=unit[:, None] * gap,
        centre=jnp.broadcast_to(sums.centre, (n, j, m)),
        inverse=inverse / precision[:, None, None],
        variance=left / df * unit**2 * precision,
        total=sums.total * precision,
        df=df[:, 0],
        log_evidence=(top.astype(left.dtype) + jnp.log(mass) - df / 2 * jnp.log(least))[:, 0] + known,
    )


def _at_places(posterior: Posterior, asked: Array, noise: Array) -> Mixture:
    """The mixture at columns ``asked`` (j, m, s) or (n, j, m, s), of values with noise times that of precision one."""
    asked = asked if asked.ndim == 4 else asked[None]
    apart = [asked[:, a].mT - posterior.centre[:, a, None] for a in range(asked.shape[1])]
    location = posterior.middle[:, None] + sum(posterior.gap[:, a, None] * h for a, h in enumerate(apart))
    share = 1 / posterior.total[:, None] + noise
    for a, one in enumerate(apart):
        for b, other in enumerate(apart):
            share = share + one * other * posterior.inverse[:, a, b, None]
    n, m = posterior.weight.shape
    shape = (n, asked.shape[-1], m)
    square = posterior.variance[:, None] * share
    return Mixture(posterior.weight, jnp.broadcast_to(location, shape), jnp.broadcast_to(square, shape), posterior.df)


_compiled_at_places = jax.jit(_at_places)


def _ended(posterior: Posterior, asked: Array | None, levels: Array | None) -> Posterior | Summary:
    """The posterior, or what it predicts where places are asked for."""
    if asked is None:
        return posterior
    # Without a barrier the compiler computes each component anew wherever it is summed.
    mixture = jax.lax.optimization_barrier(_at_places(posterior, asked, jnp.zeros(())))
    mean, sd = mean_sd(mixture)
    return Summary(mean, sd, quantiles(mixture, levels), posterior.log_evidence)


@partial(jax.jit, static_argnames=("fixed",))
def _with_shared_places(
    curves: CurveBatch, white: Any, prepared: Any, ahead: Array, log_prior: Array, weak: Weak, asked: Any, levels: Any,
    *, fixed: bool,
) -> Any:  # fmt: skip
    sums = summed(curves, white, prepared)
    curves = curves if white is None else curves._replace(white=white)
    return _ended(weighed(sums, ahead, curves, log_prior, weak, fixed), asked, levels)


@by_form
def _with_own_places(form: Form) -> Any:
    def solved(
        curves: CurveBatch, x: Array, at: Array | None, nodes: Array, log_prior: Array, weak: Weak, levels: Any
    ) -> Any:
        posterior = weighed(
            sums_own(curves.z, curves.white, columns_at(form, x, nodes)),
            ahead_at(form, nodes),
            curves,
            log_prior,
            weak,
            form.fixed,
        )
        return _ended(posterior, None if at is None else columns_at(form, at, nodes), levels)

    return solved


class _Call(NamedTuple):
    """What `posterior` and `forecast` have in common."""

    form: Form
    x: Array
    z: Array
    weight: Array | None
    nodes: Array
    log_prior: Array
    weak: Weak
    correlation: float
    dtype: Any
    at: Array | None = None
    levels: Sequence[float] | None = None

    def run(self) -> Any:
        """Batches through the path that fits: places shared by all curves, or not."""
        kind = self.dtype

        def cast(part: Any) -> Any:
            return part if getattr(part, "dtype", None) == np.int64 else np.asarray(part, dtype=kind)

        curves = jax.tree.map(cast, standardised(self.x, self.z, self.weight, self.correlation))
        x, nodes, log_prior = cast(self.x), cast(self.nodes), cast(self.log_prior)
        levels = None if self.levels is None else cast(self.levels)
        weak, at = jax.tree.map(cast, (self.weak, self.at))
        alike = x.ndim == 1 and curves.white.own.ndim == 1
        shared = x.ndim == 1 and (alike or self.correlation == 0) and (at is None or at.ndim == 1)
        if shared:
            # Forms whose numbers of nodes are alike share what is compiled.
            more = next((size - len(nodes) for size in SIZES if len(nodes) <= size), 0)
            nodes = np.pad(nodes, [(0, more), (0, 0)], mode="edge")
            log_prior = np.pad(log_prior, (0, more), constant_values=-np.inf)
            with double():
                prepared, ahead, asked = prepared_for(self.form, alike)(x, nodes, curves.white, at)
            white, batch = (curves.white, curves._replace(white=None)) if alike else (None, curves)
            function = partial(_with_shared_places, fixed=self.form.fixed)
            return in_batches(function, [batch], [white, prepared, ahead, log_prior, weak, asked, levels])
        curves, x = own_places(curves, x)
        at = None if at is None else np.broadcast_to(at, (len(x), at.shape[-1]))
        batch = [curves, x.astype(kind), at]
        return in_batches(_with_own_places(self.form), batch, [nodes, log_prior, weak, levels])


def _called(form: Form, x: Array, z: Array, weight: Any, nodes: Any, log_prior: Any, *rest: Any) -> _Call:
    nodes = form.nodes() if nodes is None else np.asarray(nodes)
    log_prior = np.zeros(len(nodes)) if log_prior is None else np.asarray(log_prior, dtype=np.float64)
    top = log_prior.max()
    normal = log_prior - top - np.log(np.exp(log_prior - top).sum())
    return _Call(form, np.asarray(x), np.asarray(z), weight, nodes, normal, *rest)


def posterior(
    form: Form,
    x: Array,
    z: Array,
    weight: Array | None = None,
    *,
    nodes: Array | None = None,
    log_prior: Array | None = None,
    weak: Weak = WEAK,
    correlation: float | Sequence[float] | np.ndarray = 0.0,
    dtype: Any = np.float64,
) -> Posterior:
    """The posterior of curves z (n, t) over places x (t,) or (n, t), both relative to the last step seen.

    ``weight`` (n, t) or (t,) are relative precisions, zero for padding; ``nodes`` (m, k) the grid of shapes, the form's
    own if none is given, with ``log_prior`` (m,); ``correlation`` that of neighbouring errors (see `noise.whitening`),
    or several, over which is averaged with equal prior weights. Where x, and the weights or none, are shared by all
    curves the work is one matrix product.

    >>> from predictdyn.forms import BY_NAME
    >>> x = np.linspace(0.02, 1, 50)
    >>> found = posterior(BY_NAME["pow3"], x, 1 + 0.5 * x[None] ** -0.7)
    >>> round(float(found.nodes[found.weight.argmax(), 0]), 2)
    0.71
    """
    if isinstance(correlation, Sequence | np.ndarray):
        rest = {"nodes": nodes, "log_prior": log_prior, "weak": weak, "dtype": dtype}
        return averaged([posterior(form, x, z, weight, correlation=one, **rest) for one in correlation])
    call = _called(form, x, z, weight, nodes, log_prior, weak, correlation, dtype)
    found, m = call.run(), len(call.nodes)
    return Posterior(*(part if part is None or part.shape[-1] <= m else part[..., :m] for part in found))._replace(
        nodes=call.nodes, df=found.df, log_evidence=found.log_evidence
    )


def forecast(
    form: Form,
    x: Array,
    z: Array,
    weight: Array | None = None,
    *,
    at: Array,
    levels: Sequence[float] = (0.05, 0.5, 0.95),
    nodes: Array | None = None,
    log_prior: Array | None = None,
    weak: Weak = WEAK,
    correlation: float = 0.0,
    dtype: Any = np.float64,
) -> Summary:
    """Mean, sd and quantiles of the curves, without noise, at places (s,) or (n, s), keeping no posterior in between.

    >>> from predictdyn.forms import BY_NAME
    >>> x = np.linspace(0.02, 1, 50)
    >>> forecast(BY_NAME["pow3"], x, 1 + 0.5 * x[None] ** -0.7, at=np.array([10.0])).mean.round(2).item()
    1.1
    """
    at = np.asarray(at, dtype=np.float64)
    return _called(form, x, z, weight, nodes, log_prior, weak, correlation, dtype, at, levels).run()


def predict(posterior: Posterior, form: Form, at: Array, *, noise: float = 0.0) -> Mixture:
    """What is predicted at places (s,) or (n, s): curves, or values with ``noise`` times the noise of precision one."""
    with double():
        asked = columns_for(form)(np.asarray(at), posterior.nodes)
        return jax.tree.map(np.asarray, _compiled_at_places(posterior, asked, np.asarray(noise)))


def averaged(posteriors: Sequence[Posterior]) -> Posterior:
    """One posterior over the nodes of several of one form, with equal prior weights: of correlations, say."""
    evidence = np.stack([one.log_evidence for one in posteriors], axis=1)
    top = evidence.max(1, keepdims=True)
    share = np.exp(evidence - top)
    mean = share.mean(1)
    share /= share.sum(1, keepdims=True)
    n, m = posteriors[0].weight.shape
    alike = [
        one._replace(middle=np.broadcast_to(one.middle, (n, m)), total=np.broadcast_to(one.total, (n, m)))
        for one in posteriors
    ]
    joined = {
        name: np.concatenate([getattr(one, name) for one in alike], axis=-1)
        for name in ("weight", "middle", "gap", "centre", "inverse", "variance", "total")
    }
    joined["weight"] *= np.repeat(share, m, axis=1)
    nodes = np.concatenate([one.nodes for one in posteriors], axis=-2)
    return Posterior(nodes=nodes, df=posteriors[0].df, log_evidence=top[:, 0] + np.log(mean), **joined)
