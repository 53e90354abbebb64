r"""Structural time series around a curve form: a local level and a slope that dies away, as generalised least squares.

.. math::
    z(u) = \mathrm{level} + \sum_j \mathrm{gap}_j\, g_j(u; \theta) + d(u) + e, \quad
    dd = s\,du + q_l\,dW, \quad ds = -\kappa s\,du + q_s\,dW', \quad u = \ln x

The discrepancy d is what no form explains: without it posteriors of a form hold a third to a half of what they claim
on real losses. Level (flat prior) and gaps (normal) are integrated out as in universal kriging; so is the variance of
the noise (inverse gamma), which makes the forecast of a node a Student-t. Nodes, of the form's shape and of the process
(q_l, q_s, kappa), are averaged with the weights of their evidence. See Harvey 1989 (Forecasting, structural time series
models and the Kalman filter, ch. 3 and 9).

The covariance of the points depends on where they lie, not on their values. So each distinct grid of points has one
`Grid`: the inverse Cholesky factors of all nodes of the process, and all columns g of all shapes whitened by them.
A curve on it then costs a few products of vectors.

Arrays of NumPy only; axis letters t points, m nodes of the shape, h of the process, k = m h of both, p knots, s draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dtrtri
from scipy.special import gammaln

from predictdyn.fitting.batched_cholesky import Rows, backward, cholesky, forward
from predictdyn.forms import BY_NAME

GAP = 0.5  # prior sd of what one gap adds between the last step and `FAR` times it, in units of the sd of the curve
FAR = 8.0
MULTIPLE = 8  # lengths of curves that are worked on together are rounded up to one of it
FLOOR = 1e-3  # the noise that is worth one point of the prior, in the same units


def process(levels: int = 3, slopes: int = 3, decays: int = 2) -> np.ndarray:
    """Nodes (h, 3) of the process: diffusion of level and slope in units of the noise, decay a unit of ln x.

    >>> process().shape
    (18, 3)
    """
    axes = np.geomspace(0.05, 6.0, levels), np.geomspace(0.05, 15.0, slopes), np.geomspace(0.2, 2.5, decays)
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


class Bundle(NamedTuple):
    """Forms that are weighed together: names, and the nodes (m, k) of each."""

    names: tuple[str, ...]
    nodes: tuple[np.ndarray, ...]

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


class Series(NamedTuple):
    """One curve (t,): ln x, rising to 0 at the last point; z over the sd of the curve; relative variance of the noise;
    and that sd in latent units."""

    u: np.ndarray
    z: np.ndarray
    variance: np.ndarray
    unit: float


class Stack(NamedTuple):
    """Curves of like length, padded by their last point without weight: u, z, weight (n, t), points and unit (n,)."""

    u: np.ndarray
    z: np.ndarray
    weight: np.ndarray
    points: np.ndarray
    unit: np.ndarray

    def only(self, rows: slice) -> Stack:
        """Some of the curves."""
        return Stack(*(part[rows] for part in self))


def stacks(curves: Sequence[Series], most: int) -> Iterator[tuple[list[int], Stack]]:
    """Places of at most so many curves, and their stack.

    The length hangs on the curve alone, so that its sums are the same to the last bit whatever it is stacked with.

    >>> curves = [Series(np.linspace(-1, 0, n), np.zeros(n), np.ones(n), 1.0) for n in (3, 9, 8)]
    >>> [(places, stack.z.shape) for places, stack in stacks(curves, 32)]
    [([0, 2], (2, 8)), ([1], (1, 16))]
    """
    lengths = np.array([-(-len(curve.z) // MULTIPLE) * MULTIPLE for curve in curves], dtype=int)
    for t in np.unique(lengths):
        alike = np.flatnonzero(lengths == t)
        for i in range(0, len(alike), most):
            places = alike[i : i + most].tolist()
            points = np.array([len(curves[place].z) for place in places])
            u, z, weight = np.empty((3, len(places), t))
            for row, place in enumerate(places):
                curve, n = curves[place], points[row]
                u[row, :n], z[row, :n], weight[row, :n] = curve.u, curve.z, 1 / curve.variance
                u[row, n:], z[row, n:], weight[row, n:] = curve.u[-1], curve.z[-1], 0.0
            yield places, Stack(u, z, weight, points, np.array([curves[place].unit for place in places]))


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


class FormColumns(NamedTuple):
    """One form on a grid. ``white`` (h, m, t) of each g (or of the curve, where the form is fixed), whitened; ``level``
    and ``slope`` (h, m) of each, that the process carries on after the last point; ``gram`` of the level and all g."""

    white: list[np.ndarray]
    level: list[np.ndarray]
    slope: list[np.ndarray]
    gram: Rows
    size: np.ndarray  # (j, m), the square of what each g does over the points and beyond


class Grid(NamedTuple):
    """What all curves share whose points lie at the same u (t,) with the same noise; ``process`` (h, 3)."""

    process: np.ndarray
    whiten: np.ndarray  # (h, t, t), the inverse of the root of the covariance of all points
    state: np.ndarray  # (2, h, t), level and slope after the last point, of whitened values
    covariance: tuple[np.ndarray, np.ndarray, np.ndarray]  # (h,) of that level and slope: ll, ls, ss
    log_det: np.ndarray  # (h,)
    one: np.ndarray  # (h, t), the level, whitened
    one_state: tuple[np.ndarray, np.ndarray]  # (h, 1) each
    forms: list[FormColumns]


class _Posterior(NamedTuple):
    """One curve given each node of one form, (h, m) or what broadcasts to it: state less what the columns explain,
    coefficients of level and gaps, the root of their information, squared scale of the noise, log weight."""

    level: np.ndarray
    slope: np.ndarray
    coefficient: list[np.ndarray]
    root: Rows
    variance: np.ndarray
    df: float
    log_weight: np.ndarray


class _Horizon(NamedTuple):
    """The process at p knots (p, h): reach of the slope, the level less what it has explained, variance of what the
    state will have become, and of what is added to it."""

    reach: np.ndarray
    one: np.ndarray
    state: np.ndarray
    added: np.ndarray


def grid_for(forms: Bundle, u: np.ndarray, variance: np.ndarray, process: np.ndarray) -> Grid:
    """Everything that does not depend on values: points at u (t,) with relative variances (t,)."""
    points, level, slope, own = _covariances(u - u[0], process)
    root = np.linalg.cholesky(points + np.diag(variance))
    whiten = np.stack([dtrtri(one, lower=1)[0] for one in root])
    state = np.einsum("hst,aht->ahs", whiten, np.stack([level, slope]))
    covariance = tuple(
        part - np.einsum("ht,ht->h", state[a], state[b]) for part, (a, b) in zip(own, _PAIRS, strict=True)
    )
    log_det = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    one = whiten.sum(axis=2)
    one_state = tuple((state[a] * one).sum(axis=1)[:, None] for a in range(2))
    made = [_columns(name, nodes, u, whiten, state, one) for name, nodes in zip(forms.names, forms.nodes, strict=True)]
    return Grid(process, whiten, state, covariance, log_det, one, one_state, made)


_PAIRS = ((0, 0), (0, 1), (1, 1))


def by_grid(curves: Sequence[Series]) -> Iterator[list[int]]:
    """Places of curves that lie on one grid."""
    groups: dict[tuple[bytes, bytes], list[int]] = {}
    for i, curve in enumerate(curves):
        groups.setdefault((curve.u.tobytes(), curve.variance.tobytes()), []).append(i)
    yield from groups.values()


def score_nodes(forms: Bundle, grid: Grid, curve: Series, knots: np.ndarray, truth: np.ndarray) -> NodeScores:
    """All nodes on what was seen and, at u = knots (p,), on truths (p,) in the units of z: (k,) each."""
    weight, density, horizon = [], [], _horizon(grid, knots)
    for (name, nodes), columns in zip(zip(*forms, strict=True), grid.forms, strict=True):
        given = _posterior(name, grid, columns, curve)
        there = BY_NAME[name].on_grid(np.exp(knots), nodes)  # (j, m, p)
        each = []
        for i in range(len(knots)):
            at, fixed = _split(name, there[:, None, :, i], curve.unit)
            location, _, whole = _ahead(_Horizon(*(part[i][:, None] for part in horizon)), columns, given, at)
            each.append(log_density(truth[i] - fixed - location, whole, given.df))
        density.append(np.mean(each, axis=0).T.ravel())
        weight.append(given.log_weight.T.ravel())
    return NodeScores(
        np.concatenate(weight), np.concatenate(density), [size * len(grid.process) for size in forms.sizes]
    )


def sample_nodes(
    forms: Bundle,
    grid: Grid,
    curve: Series,
    knots: np.ndarray,
    uniforms: np.ndarray,
    log_prior: np.ndarray | None = None,
) -> list[SampledNodes]:
    """For each form, forecasts at u = knots (p,) by nodes drawn at ``uniforms`` (s,) of their cumulated weight.

    ``log_prior`` (k,) is added to the weights of all nodes, a learned prior over the uniform one. In the units of z.

    >>> u = np.linspace(-3, 0, 20)
    >>> line, forms = Series(u, -0.3 * u, np.ones_like(u), 1.0), bundle(["log_linear"])
    >>> grid = grid_for(forms, line.u, line.variance, process())
    >>> found = sample_nodes(forms, grid, line, np.array([1.0]), np.array([0.5]))
    >>> round(float(found[0].location[0, 0]), 2)
    -0.3
    """
    h, start, found, horizon = len(grid.process), 0, [], _horizon(grid, knots)
    for (name, nodes), columns in zip(zip(*forms, strict=True), grid.forms, strict=True):
        given = _posterior(name, grid, columns, curve)
        prior = 0.0 if log_prior is None else log_prior[start : (start := start + h * len(nodes))]
        chosen, mass, evidence = drawn_at(given.log_weight.T.ravel(), uniforms, prior)
        node = chosen % h, chosen // h
        used, place = np.unique(node[1], return_inverse=True)
        there = BY_NAME[name].on_grid(np.exp(knots), nodes[used])[:, place].swapaxes(1, 2)  # (j, p, s)
        at, fixed = _split(name, np.ascontiguousarray(there), curve.unit)
        drawn = _at_nodes(given, node, (h, len(nodes)))
        # Rows one after the other: a sum along one does not depend on how many others there are.
        then = _Horizon(*(np.ascontiguousarray(part[:, node[0]]) for part in horizon))
        location, known, whole = _ahead(then, _of_nodes(columns, node), drawn, at)
        found.append(SampledNodes(location + fixed, known, whole, given.df, mass, evidence))
    return found


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


def _covariances(
    since: np.ndarray, process: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Of the process at points that lie ``since`` (t,) after the first, where it is zero and its slope is stationary.

    All points (h, t, t); points with the last level (h, t) and the last slope (h, t); the last state ll, ls, ss (h,).
    """
    diffusion, speed, kappa = process[:, 0], process[:, 1], process[:, 2]
    decay, end = np.exp(-kappa[:, None] * since), since[-1]
    apart = np.exp(-kappa[:, None, None] * np.abs(since[:, None] - since))
    low = np.minimum(since[:, None], since)
    bent = 2 * kappa[:, None, None] * low - 1 + decay[:, :, None] + decay[:, None, :] - apart
    points = (diffusion**2)[:, None, None] * low + (speed**2 / (2 * kappa**3))[:, None, None] * bent
    stationary = speed**2 / (2 * kappa)
    slope = (stationary / kappa)[:, None] * (np.exp(-kappa[:, None] * (end - since)) - decay[:, -1:])
    return points, points[:, :, -1], slope, (points[:, -1, -1], slope[:, -1], stationary)


def _columns(
    name: str, nodes: np.ndarray, u: np.ndarray, whiten: np.ndarray, state: np.ndarray, one: np.ndarray
) -> FormColumns:
    """One form at all its nodes on the points u (t,)."""
    g = BY_NAME[name].on_grid(np.exp(u), nodes)  # (j, m, t)
    white = [part @ whiten.swapaxes(1, 2) for part in g]
    level, slope = ([np.einsum("hmt,ht->hm", part, of) for part in white] for of in state)
    rows: list[list[np.ndarray]] = [[np.einsum("ht,ht->h", one, one)[:, None]]]
    for i, part in enumerate(white):
        cross = np.einsum("hmt,ht->hm", part, one)
        rows.append([cross, *(np.einsum("hmt,hmt->hm", part, other) for other in white[: i + 1])])
    far = BY_NAME[name].on_grid(np.array([1.0, FAR]), nodes)
    size = (far[..., 1] - far[..., 0]) ** 2 + ((g - g[..., -1:]) ** 2).sum(axis=-1) / len(u)
    return FormColumns(white, level, slope, rows, size)


def _posterior(name: str, grid: Grid, columns: FormColumns, curve: Series) -> _Posterior:
    """One curve at all nodes of one form: generalised least squares on level and gaps."""
    t, fixed = len(curve.z), BY_NAME[name].fixed
    white = np.einsum("hst,t->hs", grid.whiten, curve.z)
    if fixed:
        left = white[:, None] - columns.white[0] / curve.unit  # (h, m, t)
        square = np.einsum("hmt,hmt->hm", left, left)
        cross = [np.einsum("hmt,ht->hm", left, grid.one)]
        level, slope = (np.einsum("hmt,ht->hm", left, of) for of in grid.state)
        gram, ridge = [columns.gram[0]], [np.array(1e-12)]
    else:
        square = np.einsum("ht,ht->h", white, white)[:, None]
        cross = [np.einsum("ht,ht->h", white, grid.one)[:, None]]
        cross += [np.einsum("hmt,ht->hm", part, white) for part in columns.white]
        level, slope = (np.einsum("ht,ht->h", white, of)[:, None] for of in grid.state)
        gram = columns.gram
        # A column that does nothing is held at zero by a prior that has no say in the evidence.
        noise = noise_of(curve.z) ** 2
        ridge = [np.array(1e-12), *np.where(columns.size > 0, noise * columns.size / GAP**2 + 1e-14, 1.0)]
    c = len(cross)
    root = cholesky(_symmetric([[gram[i][j] + ridge[i] * (i == j) for j in range(i + 1)] for i in range(c)]))
    half = forward(root, cross)
    coefficient = backward(root, half)
    level = level - grid.one_state[0] * coefficient[0]
    slope = slope - grid.one_state[1] * coefficient[0]
    for i in range(1, c):
        level = level - columns.level[i - 1] * coefficient[i]
        slope = slope - columns.slope[i - 1] * coefficient[i]
    df = float(t)
    left_over = np.maximum(square - sum(part**2 for part in half), 0.0) + FLOOR**2
    log_det = sum(np.log(root[i][i]) for i in range(c)) - 0.5 * sum(np.log(one) for one in ridge[1:])
    log_weight = -0.5 * grid.log_det[:, None] - log_det - 0.5 * df * np.log(left_over)
    return _Posterior(level, slope, coefficient, root, left_over / df, df, log_weight)


def _symmetric(rows: Rows) -> Rows:
    """All of a matrix whose lower half is given."""
    return [[rows[max(i, j)][min(i, j)] for j in range(len(rows))] for i in range(len(rows))]


def _split(name: str, g: np.ndarray, unit: float) -> tuple[list[np.ndarray], np.ndarray | float]:
    """FormColumns of gaps, and what is fixed, in the units of the curve, of all g (j, ...)."""
    return ([], g[0] / unit) if BY_NAME[name].fixed else (list(g), 0.0)


def _of_nodes(columns: FormColumns, node: tuple[np.ndarray, np.ndarray]) -> FormColumns:
    """The states of some nodes (s,) of the process and the shape."""
    return columns._replace(level=[one[node] for one in columns.level], slope=[one[node] for one in columns.slope])


def _at_nodes(given: _Posterior, node: tuple[np.ndarray, np.ndarray], size: tuple[int, int]) -> _Posterior:
    """The posterior at some nodes (s,)."""

    def of(part: np.ndarray) -> np.ndarray:
        return np.broadcast_to(part, size)[node]

    return given._replace(
        level=of(given.level),
        slope=of(given.slope),
        coefficient=[of(part) for part in given.coefficient],
        root=[[of(part) for part in row] for row in given.root],
        variance=of(given.variance),
    )


def _horizon(grid: Grid, d: np.ndarray) -> _Horizon:
    """The process at d (p,) in ln x after the last point."""
    diffusion, speed, kappa = grid.process.T
    ll, ls, ss = grid.covariance
    x = kappa * d[:, None]
    reach = -np.expm1(-x) / kappa
    # d - 2B + (1 - a^2)/(2 kappa) cancels to the third order in small steps.
    exact = x + 2 * np.expm1(-x) - np.expm1(-2 * x) / 2
    series = x**3 / 3 - x**4 / 4 + 7 * x**5 / 60
    added = speed**2 / kappa**3 * np.where(x < 0.02, series, exact) + diffusion**2 * d[:, None]
    one = 1.0 - grid.one_state[0][:, 0] - reach * grid.one_state[1][:, 0]
    return _Horizon(reach, one, ll + 2 * reach * ls + reach**2 * ss, added)


def _ahead(
    horizon: _Horizon, columns: FormColumns, given: _Posterior, at: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the columns are ``at``: location, known and whole variance; all arguments broadcast."""
    location = given.level + horizon.reach * given.slope + given.coefficient[0]
    rest = [horizon.one]
    for i, column in enumerate(at):
        location = location + column * given.coefficient[i + 1]
        rest.append(column - columns.level[i] - horizon.reach * columns.slope[i])
    known = horizon.state + sum(part**2 for part in forward(given.root, rest))
    return location, known * given.variance, (known + horizon.added + 1.0) * given.variance
