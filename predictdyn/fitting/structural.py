r"""Structural time series around a curve form: a local level and a slope that dies away, by Kalman filter.

.. math::
    z(u) = \mathrm{level} + \sum_j \mathrm{gap}_j\, g_j(u; \theta) + d(u) + e, \quad
    dd = s\,du + q_l\,dW, \quad ds = -\kappa s\,du + q_s\,dW', \quad u = \ln x

The discrepancy d is what no form explains: without it posteriors of a form hold a third to a half of what they claim
on real losses. Its filter does not depend on the values, so every column (the curve, the level, each g at each node
of its shape) goes through the same gains, and level (flat prior) and gaps (normal) are then integrated out as in
universal kriging; so is the variance of the noise (inverse gamma), which makes the forecast of a node a Student-t.
Nodes, of the form's shape and of the process (q_l, q_s, kappa), are averaged with the weights of their evidence. See
Harvey 1989 (Forecasting, structural time series models and the Kalman filter, ch. 3 and 9).

Arrays only; axis letters n curves, t points, m nodes of the shape, h of the process, k = m h of both, p asked, s draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, logsumexp

from predictdyn.fitting.batched_cholesky import backward, cholesky, forward
from predictdyn.fitting.batches import in_batches
from predictdyn.forms import BY_NAME

Array = Any
SLICE = 8  # curves that go through the filter together
PLACES = 32  # places that are forecast together
GAP = 0.5  # prior sd of what one gap adds between the last step and `FAR` times it, in units of the sd of the curve
FAR = 8.0
FLOOR = 1e-3  # the noise that is worth one point of the prior, in the same units


def process(levels: int = 3, slopes: int = 3, decays: int = 2) -> np.ndarray:
    """Nodes (h, 3) of the process: diffusion of level and slope in units of the noise, decay a unit of ln x.

    >>> process().shape
    (18, 3)
    """
    axes = np.geomspace(0.05, 6.0, levels), np.geomspace(0.05, 15.0, slopes), np.geomspace(0.2, 2.5, decays)
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


class Series(NamedTuple):
    """Curves (n, t): ln x, rising to 0 at the last point; z over the sd of the curve; relative variance of the noise,
    infinite where there is no point; and, (n,), that sd in latent units."""

    u: Array
    z: Array
    variance: Array
    unit: Array


class Sampled(NamedTuple):
    """Nodes drawn by weight: location (n, p, s), variance of what is known about the curve there (n, p, s) and of the
    next measurement (n, p, s), degrees of freedom (n,), log mass of all nodes under the learned prior over that under
    the given one (n,), and log evidence of the form (n,), up to what is the same for all forms."""

    location: Array
    known: Array
    whole: Array
    df: Array
    log_mass: Array
    log_evidence: Array


class Graded(NamedTuple):
    """All nodes of all forms (n, k): log weight on what was seen, mean log density of what then happened; how many
    nodes each form has."""

    log_weight: Array
    log_density: Array
    sizes: list[int]


class _Filtered(NamedTuple):
    """State of all columns after the last point, and the regression on them; h process nodes, m shapes, c columns."""

    level: Array  # (h, m) of the curve less what the columns explain
    slope: Array
    column_level: Array  # (h, m, c) of the columns
    column_slope: Array
    covariance: tuple[Array, Array, Array]  # (h,) each
    coefficient: Array  # (h, m, c)
    root: list[list[Array]]  # Cholesky factor of the information (h, m)
    variance: Array  # (h, m) of the noise
    df: Array
    log_weight: Array  # (h, m)


def _step(d: Array, process: Array) -> tuple[Array, ...]:
    """Over a step d in ln x: decay a of the slope, its reach B, and the covariance of what is new: ll, ls, ss."""
    level, slope, kappa = process[:, 0], process[:, 1], process[:, 2]
    a = jnp.exp(-kappa * d)
    reach = -jnp.expm1(-kappa * d) / kappa
    q = slope**2
    ss = q * -jnp.expm1(-2 * kappa * d) / (2 * kappa)
    ls = q * reach**2 / 2
    # d - 2B + (1 - a^2)/(2 kappa) cancels to the third order in small steps.
    x = kappa * d
    exact = x + 2 * jnp.expm1(-x) - jnp.expm1(-2 * x) / 2
    series = x**3 / 3 - x**4 / 4 + 7 * x**5 / 60
    ll = q / kappa**3 * jnp.where(x < 0.02, series, exact) + level**2 * d
    return a, reach, ll, ls, ss


def _filtered(u: Array, z: Array, variance: Array, columns: Array, ridge: Array, process: Array) -> _Filtered:
    """One curve u (t,), z (1 or m, t) less what is fixed, columns (m, c, t), the first the level, ridge (m, c)."""
    m, c, t = columns.shape
    h, k = len(process), len(z)
    real = jnp.isfinite(variance)
    noise = jnp.where(real, variance, 1.0)
    values = jnp.concatenate([z, columns.reshape(m * c, t)])  # (k + mc, t)

    def move(state: Any, now: Any) -> Any:
        level, slope, (ll, ls, ss), log_f, (zz, zc, cc) = state
        d, ok, var, value = now
        a, b, qll, qls, qss = _step(d, process)
        ll, ls, ss = ll + 2 * b * ls + b**2 * ss + qll, a * (ls + b * ss) + qls, a**2 * ss + qss
        level, slope = level + b[:, None] * slope, a[:, None] * slope
        f = ll + var
        surprise = jnp.where(ok, value[None, :] - level, 0.0)
        level, slope = level + (ll / f)[:, None] * surprise, slope + (ls / f)[:, None] * surprise
        shrink = jnp.where(ok, 1 / f, 0.0)
        ll, ls, ss = ll - shrink * ll**2, ls - shrink * ls * ll, ss - shrink * ls**2
        white = surprise / jnp.sqrt(f)[:, None]
        own, of = white[:, :k], white[:, k:].reshape(h, m, c)
        cross = zz + own**2, zc + own[:, :, None] * of, cc + of[..., :, None] * of[..., None, :]
        return (level, slope, (ll, ls, ss), log_f + jnp.where(ok, jnp.log(f), 0.0), cross), None

    nothing, zero = jnp.zeros((h, k + m * c)), jnp.zeros(h)
    cross = jnp.zeros((h, k)), jnp.zeros((h, m, c)), jnp.zeros((h, m, c, c))
    start = nothing, nothing, (zero, zero, process[:, 1] ** 2 / (2 * process[:, 2])), zero, cross
    steps = jnp.diff(u, prepend=u[:1]), real, noise, values.T
    (level, slope, covariance, log_f, (zz, zc, cc)), _ = jax.lax.scan(move, start, steps)
    root = cholesky(jnp.moveaxis(cc + ridge[None, :, :, None] * jnp.eye(c), (2, 3), (0, 1)))
    half = forward(root, jnp.moveaxis(zc, -1, 0))
    coefficient = jnp.stack(backward(root, half), axis=-1)
    column_level, column_slope = (part[:, k:].reshape(h, m, c) for part in (level, slope))
    df = jnp.maximum(real.sum() - 1, 0) + 1.0
    left = jnp.maximum(zz - sum(part**2 for part in half), 0.0) + FLOOR**2
    log_det = sum(jnp.log(root[i][i]) for i in range(c)) - 0.5 * jnp.log(ridge[:, 1:]).sum(-1)
    return _Filtered(
        level[:, :k] - (column_level * coefficient).sum(-1),
        slope[:, :k] - (column_slope * coefficient).sum(-1),
        column_level,
        column_slope,
        covariance,
        coefficient,
        root,
        left / df,
        df,
        -0.5 * log_f[:, None] - log_det - 0.5 * df * jnp.log(left),
    )


def _ahead(found: _Filtered, d: Array, columns: Array, process: Array) -> tuple[Array, Array, Array]:
    """At d in ln x after the last point, columns there (h, m, c): location, known and whole variance, each (h, m)."""
    _, b, qll, _, _ = _step(d, process)
    ll, ls, ss = found.covariance
    rest = columns - found.column_level - b[:, None, None] * found.column_slope
    location = found.level + b[:, None] * found.slope + (columns * found.coefficient).sum(-1)
    unexplained = sum(part**2 for part in forward(found.root, jnp.moveaxis(rest, -1, 0)))
    known = (ll + 2 * b * ls + b**2 * ss)[:, None] + unexplained
    return location, known * found.variance, (known + qll[:, None] + 1.0) * found.variance


class Bundle(NamedTuple):
    """Forms whose nodes go through one filter together: names, and the nodes (m, k) of each."""

    names: tuple[str, ...]
    nodes: tuple[Array, ...]

    @property
    def sizes(self) -> list[int]:
        """Nodes of each form."""
        return [len(nodes) for nodes in self.nodes]


def bundle(names: Sequence[str], finer: float = 0.7) -> Bundle:
    """Forms by name, each with a grid ``finer`` times as fine as its own: the process makes up for what lies between.

    >>> bundle(["pow3", "pow4"]).sizes
    [17, 24]
    """
    return Bundle(tuple(names), tuple(BY_NAME[name].nodes(finer) for name in names))


def _columns(names: tuple[str, ...], nodes: Sequence[Array], u: Array, unit: Array) -> tuple[Array, Array]:
    """At u (t,), level and all gaps of all nodes (m, c, t), zeros where a form has fewer; and what is fixed (m, t)."""
    level_and_gaps, fixed = [], []
    most = max(0 if BY_NAME[name].fixed else BY_NAME[name].gaps for name in names)
    for name, shapes in zip(names, nodes, strict=True):
        form = BY_NAME[name]
        g = jax.vmap(lambda shape, form=form: form.columns(jnp.exp(u), shape))(shapes)  # (m, j, t)
        columns = jnp.zeros((len(shapes), 1 + most, len(u))).at[:, 0].set(1.0)
        level_and_gaps.append(columns if form.fixed else columns.at[:, 1 : 1 + g.shape[1]].set(g))
        fixed.append(g[:, 0] / unit if form.fixed else jnp.zeros((len(shapes), len(u))))
    return jnp.concatenate(level_and_gaps), jnp.concatenate(fixed)


def _prepared(names: tuple[str, ...], nodes: Sequence[Array], series: Any, process: Array) -> _Filtered:
    """One curve filtered with all nodes of all forms."""
    u, z, variance, unit = series
    here, fixed = _columns(names, nodes, u, unit)
    real = jnp.isfinite(variance)
    far = _columns(names, nodes, jnp.log(jnp.array([1.0, FAR])), unit)[0][:, 1:]
    spread = jnp.where(real, here[:, 1:] - here[:, 1:, -1:], 0.0)
    size = (far[..., 1] - far[..., 0]) ** 2 + (spread**2).sum(-1) / real.sum()
    # A gap that a form does not have is held at zero by a prior that has no say in the evidence.
    gap = jnp.where(size > 0, _jitter(z, real) ** 2 * size / GAP**2 + 1e-14, 1.0)
    ridge = jnp.concatenate([jnp.full((len(here), 1), 1e-12), gap], axis=1)
    less = fixed if any(BY_NAME[name].fixed for name in names) else 0.0
    return _filtered(u, z[None] - less, variance, here, ridge, process)


def _jitter(z: Array, real: Array) -> Array:
    """Noise of one curve (t,): root mean square of its second differences over sqrt 6, and at least `FLOOR`."""
    last = real.sum() - 1
    late = real[2:] & (jnp.arange(2, len(z)) >= jnp.where(last >= 7, last // 2, 0)) & (jnp.arange(2, len(z)) <= last)
    second = jnp.where(late, z[2:] - 2 * z[1:-1] + z[:-2], 0.0)
    return jnp.maximum(jnp.sqrt((second**2).sum() / jnp.maximum(late.sum(), 1) / 6), FLOOR)


@cache
def _grade(names: tuple[str, ...]) -> Any:
    def one(u: Array, z: Array, variance: Array, unit: Array, to: Array, truth: Array, nodes: Any, of: Array) -> Any:
        found = _prepared(names, nodes, (u, z, variance, unit), of)
        there, fixed = _columns(names, nodes, to, unit)

        def density(d: Array, column: Array, less: Array, y: Array) -> Array:
            location, _, whole = _ahead(found, d, column[None], of)
            df = found.df
            constant = gammaln((df + 1) / 2) - gammaln(df / 2) - 0.5 * jnp.log(df * jnp.pi * whole)
            return constant - (df + 1) / 2 * jnp.log1p((y - less - location) ** 2 / (whole * df))

        each = jax.vmap(density, in_axes=(0, 2, 1, 0))(to, there, fixed, truth)  # (p, h, m)
        return found.log_weight.T.ravel(), each.mean(0).T.ravel()

    return jax.jit(jax.vmap(one, in_axes=(0, 0, 0, 0, 0, 0, None, None)))


@cache
def _draw(names: tuple[str, ...]) -> Any:
    def one(
        u: Array, z: Array, variance: Array, unit: Array, log_prior: Array, lots: Array, nodes: Any, of: Array
    ) -> tuple[Any, Array]:
        found = _prepared(names, nodes, (u, z, variance, unit), of)
        weight = found.log_weight.T.ravel()
        chosen, mass, evidence, start = [], [], [], 0
        for shapes in nodes:
            part = slice(start, start := start + len(shapes) * len(of))
            evidence.append(logsumexp(weight[part]) - jnp.log(len(shapes) * len(of)))
            mine = jax.nn.log_softmax(weight[part])
            mass.append(logsumexp(mine + log_prior[part]))
            upto = jnp.cumsum(jnp.exp(mine + log_prior[part] - mass[-1]))
            at = jnp.clip(jnp.searchsorted(upto, lots * upto[-1]), 0, len(upto) - 1)
            chosen.append(part.start + at)
        all_ = jnp.concatenate(chosen)
        shape, hyper = all_ // len(of), all_ % len(of)

        def of_drawn(part: Array) -> Array:
            return part[hyper, shape][:, None]

        drawn = found._replace(
            level=of_drawn(found.level),
            slope=of_drawn(found.slope),
            column_level=of_drawn(found.column_level),
            column_slope=of_drawn(found.column_slope),
            covariance=tuple(part[hyper] for part in found.covariance),
            coefficient=of_drawn(found.coefficient),
            root=[[of_drawn(part) for part in row] for row in found.root],
            variance=of_drawn(found.variance),
            log_weight=jnp.stack([jnp.stack(mass), jnp.stack(evidence)]),
        )
        return drawn, all_

    return jax.jit(jax.vmap(one, in_axes=(0, 0, 0, 0, 0, None, None, None)))


@cache
def _reach(names: tuple[str, ...]) -> Any:
    def one(drawn: _Filtered, all_: Array, unit: Array, to: Array, nodes: Any, of: Array) -> Any:
        shape, hyper = all_ // len(of), all_ % len(of)
        there, fixed = _columns(names, nodes, to, unit)

        def ahead(d: Array, column: Array, shift: Array) -> tuple[Array, Array, Array]:
            location, known, whole = _ahead(drawn, d, column[shape][:, None], of[hyper])
            return location[:, 0] + shift[shape], known[:, 0], whole[:, 0]

        return jax.vmap(ahead, in_axes=(0, 2, 1))(to, there, fixed)

    return jax.jit(jax.vmap(one, in_axes=(0, 0, 0, 0, None, None)))


def graded(forms: Bundle, series: Series, to: Array, truth: Array, of: Array) -> Graded:
    """All nodes on what was seen and, at u = to (n, p), on truths (n, p).

    Truths in the units of z. Nodes are those of the forms by those of the process ``of`` (h, 3), the forms' first.
    """
    batched = [*series, to, truth]
    found = in_batches(_grade(forms.names), batched, [list(forms.nodes), of], least=SLICE, most=SLICE)
    return Graded(found[0], found[1], [size * len(of) for size in forms.sizes])


def sampled(
    forms: Bundle, series: Series, to: Array, lots: Array, of: Array, log_prior: Array | None = None
) -> list[Sampled]:
    """For each form, forecasts at u = to (n, p) by nodes drawn at ``lots`` (s,) in (0, 1) of their cumulated weight.

    ``log_prior`` (n, k) is added to the weights of all nodes, a learned prior over the uniform one. In the units of z.

    >>> u = np.linspace(-3, 0, 20)[None]
    >>> line = Series(u, -0.3 * u, np.ones_like(u), np.ones(1))
    >>> found = sampled(bundle(["log_linear"]), line, np.array([[1.0]]), np.array([0.5]), process())
    >>> round(float(found[0].location[0, 0, 0]), 2)
    -0.3
    """
    shared = [list(forms.nodes), of]
    if log_prior is None:
        log_prior = np.zeros((len(series.u), sum(forms.sizes) * len(of)))
    drawn, chosen = in_batches(_draw(forms.names), [*series, log_prior], [lots, *shared], least=SLICE, most=SLICE)
    parts = []
    for first in range(0, to.shape[1], PLACES):
        # Few widths, so that few are compiled.
        width = 2 if to.shape[1] <= 2 else PLACES
        some = np.pad(to[:, first : first + width], [(0, 0), (0, max(first + width - to.shape[1], 0))])
        batched = [drawn, chosen, series.unit, some]
        parts.append(in_batches(_reach(forms.names), batched, shared, least=SLICE, most=SLICE))
    whole = [np.concatenate(part, axis=1)[:, : to.shape[1]] for part in zip(*parts, strict=True)]
    found = []
    for i in range(len(forms.names)):
        location, known, square = (part[:, :, i * len(lots) : (i + 1) * len(lots)] for part in whole)
        mass, evidence = drawn.log_weight[:, :, i].T
        found.append(Sampled(location, known, square, drawn.df, mass, evidence))
    return found
