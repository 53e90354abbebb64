r"""Structural time series around a curve form: a local level and a slope that dies away, as generalised least squares.

.. math::
    z(u) = \mathrm{level} + \sum_j \mathrm{gap}_j\, g_j(u; \theta) + d(u) + e, \quad
    dd = s\,du + q_l\,dW, \quad ds = -\kappa s\,du + q_s\,dW', \quad u = \ln x

The discrepancy d is what no form explains: without it posteriors of a form hold a third to a half of what they claim
on real losses. Level (flat prior) and gaps (normal) are integrated out as in universal kriging; so is the variance of
the noise (inverse gamma), which makes the forecast of a node a Student-t. Nodes, of the form's shape and of the process
(q_l, q_s, kappa), are averaged with the weights of their evidence. See Harvey 1989 (Forecasting, structural time series
models and the Kalman filter, ch. 3 and 9).

What hangs on the points alone is in `structural_grid`.

Arrays of NumPy only; axis letters n curves, t points, m nodes of the shape, h of the process, k = m h of both, p knots,
s draws. No curve changes a bit of another's answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from predictdyn.fitting.batched_cholesky import Rows, backward, cholesky, forward
from predictdyn.fitting.stacks import Stack, blocks, padded
from predictdyn.fitting.structural_grid import Bundle, Grids, Kind, KindColumns, grids_for, kinds_of

GAP = 0.5  # prior sd of what one gap adds from the last step to `FAR` times it, in units of the sd of the curve
FLOOR = 1e-3  # the noise that is worth one point of the prior, in the same units


class SampledNodes(NamedTuple):
    """Nodes of one form drawn by weight, for one curve: location (p, s), variance of what is known about the curve
    there (p, s) and of the next measurement (p, s), degrees of freedom, log mass of all nodes under the learned prior
    over that under the given one, and log evidence of the form, up to what is the same for all forms."""

    location: np.ndarray
    known: np.ndarray
    whole: np.ndarray
    df: float
    log_mass: float
    log_evidence: float


class NodeScores(NamedTuple):
    """All nodes of all forms (n, k): log weight on what was seen, mean log density of what then happened; how many
    nodes each form has."""

    log_weight: np.ndarray
    log_density: np.ndarray
    sizes: list[int]


class _Values(NamedTuple):
    """Curves on their grids: z' V^-1 z (n, h), z' V^-1 (n, h, t), z with the rows of `Grids` (n, h, 3), noise (n,)."""

    square: np.ndarray
    back: np.ndarray
    dot: np.ndarray
    noise: np.ndarray


class _Posterior(NamedTuple):
    """Curves given each node of one kind, (n, h, m) or what broadcasts to it: state less what the columns explain,
    coefficients of level and gaps, the root of their information, squared scale of the noise, log weight."""

    level: np.ndarray
    slope: np.ndarray
    coefficient: list[np.ndarray]
    root: Rows
    variance: np.ndarray
    log_weight: np.ndarray


class _Horizon(NamedTuple):
    """The process at p knots (n, p, h): reach of the slope, the level less what it has explained, variance of what the
    state will have become, and of what is added to it."""

    reach: np.ndarray
    one: np.ndarray
    state: np.ndarray
    added: np.ndarray


class _States(NamedTuple):
    """Level and slope of each of j columns, (n, h, m) or of what is drawn of it, that the process carries on."""

    level: list[np.ndarray]
    slope: list[np.ndarray]


def score_nodes(
    forms: Bundle, of: np.ndarray, curves: Stack, knots: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log weights of all nodes on what was seen, and their mean log densities of truths (n, p), in the units of z, at
    u = knots (n, p): (n, k) each. ``of`` (h, 3) are the nodes of the process."""
    kinds = kinds_of(forms)
    grids, h = grids_for(kinds, curves, of), len(of)
    weight, density = np.empty((2, len(knots), sum(forms.sizes) * h))
    edges, widest = np.cumsum([0, *forms.sizes]) * h, max(kind.spans[-1].stop for kind in kinds)
    for rows in blocks(len(knots), widest * h):
        (grid, of_kinds), some = grids.of(rows), curves.only(rows)
        values, horizon = _values(grid, some), _horizon(grid, of, knots[rows])
        for kind, columns in zip(kinds, of_kinds, strict=True):
            given, states = _posterior(kind, grid, columns, some, values), _states(kind, columns)
            there = kind.columns(np.exp(knots[rows]))  # (n, j, m, p)
            each = np.zeros(given.log_weight.shape)
            for i in range(knots.shape[1]):
                at, fixed = _split(kind, there[:, :, None, :, i], some.unit[:, None, None])
                location, _, whole = _ahead(_Horizon(*(part[:, i, :, None] for part in horizon)), states, given, at)
                off = truth[rows, i, None, None] - fixed - location
                each += log_density(off, whole, some.points[:, None, None].astype(float))
            each /= knots.shape[1]
            for place, span in zip(kind.places, kind.spans, strict=True):
                here = slice(edges[place], edges[place + 1])
                for to, part in ((weight, given.log_weight), (density, each)):
                    to[rows, here] = part[:, :, span].swapaxes(1, 2).reshape(len(some.z), -1)
    return weight, density


def sample_nodes(
    forms: Bundle,
    of: np.ndarray,
    curves: Stack,
    knots: Sequence[np.ndarray],
    uniforms: np.ndarray,
    log_priors: Sequence[np.ndarray | None] | None = None,
) -> Iterator[list[SampledNodes]]:
    """For each curve and form, forecasts at u = its knots (p,) by nodes drawn at ``uniforms`` (s,) of their weight.

    ``log_priors`` (k,) are added to the weights of all nodes, a learned prior over the uniform one. In the units of z.

    >>> from predictdyn.fitting.stacks import Series, stacks
    >>> from predictdyn.fitting.structural_grid import bundle, process
    >>> u = np.linspace(-3, 0, 20)
    >>> ((_, line),) = stacks([Series(u, -0.3 * u, np.ones_like(u), 1.0)])
    >>> (found,) = sample_nodes(bundle(["log_linear"]), process(), line, [np.array([1.0])], np.array([0.5]))
    >>> round(float(found[0].location[0, 0]), 2)
    -0.3
    """
    kinds = kinds_of(forms)
    grids, edges = grids_for(kinds, curves, of), np.cumsum([0, *forms.sizes]) * len(of)
    most = max(len(one) for one in knots) * len(uniforms)
    width = max(max(most * len(kind.names), len(of) * kind.spans[-1].stop) for kind in kinds)
    for rows in blocks(len(knots), width):
        (grid, of_kinds), some, ahead = grids.of(rows), curves.only(rows), padded(knots[rows])
        values, horizon = _values(grid, some), _horizon(grid, of, ahead)
        found: list[dict[int, SampledNodes]] = [{} for _ in some.z]
        priors = [None] * len(some.z) if log_priors is None else log_priors[rows]
        for kind, columns in zip(kinds, of_kinds, strict=True):
            given, states = _posterior(kind, grid, columns, some, values), _states(kind, columns)
            there = kind.columns(np.exp(ahead))
            drawn = [
                [
                    drawn_at(
                        one[:, span].T.ravel(),
                        uniforms,
                        0.0 if prior is None else prior[edges[place] : edges[place + 1]],
                    )
                    for place, span in zip(kind.places, kind.spans, strict=True)
                ]
                for one, prior in zip(given.log_weight, priors, strict=True)
            ]
            node = np.array([[one[0] for one in each] for each in drawn])  # (n, forms, s)
            shape = node // len(of) + np.array([span.start for span in kind.spans])[:, None]
            picked = _Picked((node % len(of)).reshape(len(node), -1), shape.reshape(len(node), -1))
            at, fixed = _split(kind, picked.at(there), some.unit[:, None, None])
            then = _Horizon(*(picked.ahead(part) for part in horizon))
            some_states = _States(*([picked.of(part, given.log_weight) for part in each] for each in states))
            location, *variances = _ahead(then, some_states, picked.posterior(given), at)
            location = location + fixed
            s = len(uniforms)
            for i, each in enumerate(drawn):
                p, df = len(knots[rows][i]), float(some.points[i])
                for f, (_, mass, evidence) in enumerate(each):
                    # Rows one after the other: a sum along one does not depend on how many others there are.
                    parts = [part[i, :p, f * s : (f + 1) * s].copy() for part in (location, *variances)]
                    found[i][kind.places[f]] = SampledNodes(parts[0], parts[1], parts[2], df, mass, evidence)
        for one in found:
            yield [one[i] for i in range(len(forms.names))]


def drawn_at(
    log_weight: np.ndarray, uniforms: np.ndarray, log_prior: np.ndarray | float
) -> tuple[np.ndarray, float, float]:
    """Nodes (s,) at uniforms (s,) of the cumulated weight (k,) times prior, its log mass, and the log mean weight.

    A weight that is no number counts as none; where no node has any, all have the same.

    >>> drawn_at(np.array([0.0, -np.inf, 1.0]), np.array([0.1, 0.5, 0.9]), 0.0)[0].tolist()
    [0, 2, 2]
    """
    weight = np.where(np.isnan(log_weight), -np.inf, log_weight)
    total = _log_sum(weight)
    if not np.isfinite(total):
        weight, total = np.zeros(len(weight)), np.log(len(weight))
    evidence = float(total - np.log(len(weight)))
    tilted = weight - total + log_prior
    mass = _log_sum(tilted)
    upto = np.cumsum(np.exp(tilted - mass))
    return np.searchsorted(upto, uniforms * upto[-1]).clip(0, len(upto) - 1), mass, evidence


def _log_sum(log_weight: np.ndarray) -> float:
    """ln of the sum of weights; NaN where none is a number."""
    top = float(log_weight.max())
    return top + float(np.log(np.exp(log_weight - top).sum())) if np.isfinite(top) else np.nan


def log_density(off: np.ndarray, square: np.ndarray, df: float | np.ndarray) -> np.ndarray:
    """Log density of Student-t, ``off`` from its location, with squared scale ``square``; all broadcast.

    >>> log_density(np.array(0.0), np.array(1.0), 1e9).round(3).item()
    -0.919
    """
    constant = gammaln((df + 1) / 2) - gammaln(df / 2)
    with np.errstate(over="ignore"):
        return constant - 0.5 * np.log(df * np.pi * square) - (df + 1) / 2 * np.log1p(off**2 / (square * df))


def noise_of(z: np.ndarray) -> float:
    """Noise of one curve (t,): root mean square of its later second differences over sqrt 6, and at least `FLOOR`."""
    last = len(z) - 1
    second = np.diff(z, 2)[max(last // 2 - 2, 0) if last >= 7 else 0 :]
    return max(float(np.sqrt((second**2).sum() / max(len(second), 1) / 6)), FLOOR)


class _Picked(NamedTuple):
    """Nodes of the process and of the shape that each curve has drawn, (n, s) each."""

    process: np.ndarray
    shape: np.ndarray

    def of(self, part: np.ndarray, like: np.ndarray) -> np.ndarray:
        """(n, 1, s) of what broadcasts to ``like`` (n, h, m)."""
        rows = np.arange(len(self.shape))[:, None]
        return np.asarray(np.broadcast_to(part, like.shape)[rows, self.process, self.shape][:, None])

    def at(self, columns: np.ndarray) -> np.ndarray:
        """(n, j, p, s) of (n, j, m, p)."""
        rows = np.arange(len(self.shape))[:, None]
        return np.ascontiguousarray(np.moveaxis(columns.swapaxes(1, 2)[rows, self.shape], 1, 3))

    def ahead(self, part: np.ndarray) -> np.ndarray:
        """(n, p, s) of (n, p, h)."""
        rows = np.arange(len(self.shape))[:, None]
        return np.ascontiguousarray(part.swapaxes(1, 2)[rows, self.process].swapaxes(1, 2))

    def posterior(self, given: _Posterior) -> _Posterior:
        """The posterior at these nodes."""
        like = given.log_weight
        return given._replace(
            level=self.of(given.level, like),
            slope=self.of(given.slope, like),
            coefficient=[self.of(part, like) for part in given.coefficient],
            root=[[self.of(part, like) for part in row] for row in given.root],
            variance=self.of(given.variance, like),
        )


def _values(grid: Grids, curves: Stack) -> _Values:
    """What all kinds need of curves on their own grids."""
    white = (grid.whiten @ curves.z[:, None, :, None])[..., 0]
    back = (white[:, :, None] @ grid.whiten)[:, :, 0]
    noise = [noise_of(z[:points]) for z, points in zip(curves.z, curves.points, strict=True)]
    return _Values((white**2).sum(axis=-1), back, (white[:, :, None] * grid.rows).sum(axis=-1), np.array(noise))


def _posterior(kind: Kind, grid: Grids, columns: KindColumns, curves: Stack, values: _Values) -> _Posterior:
    """Curves at all nodes of one kind: generalised least squares on level and gaps."""
    t, one = curves.points[:, None, None], grid.dot[..., 0, None]
    square, dot = values.square[..., None], [values.dot[..., i, None] for i in range(3)]
    cross = [values.back @ columns.g[:, i].swapaxes(1, 2) for i in range(columns.g.shape[1])]  # (n, h, m)
    if kind.fixed:
        unit, with_rows = curves.unit[:, None, None], columns.dot[:, 0]
        square = square - 2 * cross[0] / unit + columns.gram[:, 0, 0] / unit**2
        dot = [part - with_rows[:, :, i] / unit for i, part in enumerate(dot)]
        cross, gram, ridge = [dot[0]], [[one]], [np.array(1e-12)]
    else:
        cross = [dot[0], *cross]
        gram = [[one]]
        for a in range(len(cross) - 1):
            gram.append([columns.dot[:, a, :, 0], *(columns.gram[:, a, b] for b in range(a + 1))])
        # A column that does nothing is held at zero by a prior that has no say in the evidence.
        prior = (values.noise**2 / GAP**2)[:, None, None] * columns.size + 1e-14
        prior = np.where(columns.size > 0, prior, 1.0)  # (n, j, m)
        ridge = [np.array(1e-12), *prior.swapaxes(0, 1)[:, :, None]]
    c = len(cross)
    root = cholesky(_symmetric([[gram[i][j] + ridge[i] * (i == j) for j in range(i + 1)] for i in range(c)]))
    half = forward(root, cross)
    coefficient = backward(root, half)
    level, slope = (dot[i] - grid.dot[..., i, None] * coefficient[0] for i in (1, 2))
    for i in range(1, c):
        level = level - columns.dot[:, i - 1, :, 1] * coefficient[i]
        slope = slope - columns.dot[:, i - 1, :, 2] * coefficient[i]
    left_over = np.maximum(square - sum(part**2 for part in half), 0.0) + FLOOR**2
    log_det = sum(np.log(root[i][i]) for i in range(c)) - 0.5 * sum(np.log(one) for one in ridge[1:])
    log_weight = -0.5 * grid.log_det[..., None] - log_det - 0.5 * t * np.log(left_over)
    return _Posterior(level, slope, coefficient, root, left_over / t, log_weight)


def _symmetric(rows: Rows) -> Rows:
    """All of a matrix whose lower half is given."""
    return [[rows[max(i, j)][min(i, j)] for j in range(len(rows))] for i in range(len(rows))]


def _split(kind: Kind, g: np.ndarray, unit: np.ndarray) -> tuple[list[np.ndarray], np.ndarray | float]:
    """Columns of gaps, and what is fixed, in the units of the curve, of all g (n, j, ...)."""
    return ([], g[:, 0] / unit) if kind.fixed else (list(g.swapaxes(0, 1)), 0.0)


def _states(kind: Kind, columns: KindColumns) -> _States:
    """Of columns with a gap."""
    places = [] if kind.fixed else range(columns.g.shape[1])
    return _States(*([columns.dot[:, i, :, part] for i in places] for part in (1, 2)))


def _horizon(grid: Grids, process: np.ndarray, d: np.ndarray) -> _Horizon:
    """The process at d (n, p) in ln x after the last point."""
    diffusion, speed, kappa = process.T
    ll, ls, ss = (grid.covariance[:, None, :, i] for i in range(3))
    x = kappa * d[..., None]
    reach = -np.expm1(-x) / kappa
    # d - 2B + (1 - a^2)/(2 kappa) cancels to the third order in small steps.
    exact = x + 2 * np.expm1(-x) - np.expm1(-2 * x) / 2
    series = x**3 / 3 - x**4 / 4 + 7 * x**5 / 60
    added = speed**2 / kappa**3 * np.where(x < 0.02, series, exact) + diffusion**2 * d[..., None]
    one = 1.0 - grid.dot[:, None, :, 1] - reach * grid.dot[:, None, :, 2]
    return _Horizon(reach, one, ll + 2 * reach * ls + reach**2 * ss, added)


def _ahead(
    horizon: _Horizon, states: _States, given: _Posterior, at: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the columns are ``at``: location, known and whole variance; all arguments broadcast."""
    location = given.level + horizon.reach * given.slope + given.coefficient[0]
    rest = [horizon.one]
    for i, column in enumerate(at):
        location = location + column * given.coefficient[i + 1]
        rest.append(column - states.level[i] - horizon.reach * states.slope[i])
    known = horizon.state + sum(part**2 for part in forward(given.root, rest))
    return location, known * given.variance, (known + horizon.added + 1.0) * given.variance
