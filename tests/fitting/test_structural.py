"""Structural: the filter is generalised least squares by another road, and its mixture holds what it claims."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from predictdyn.fitting.structural import (
    FAR,
    FLOOR,
    GAP,
    Bundle,
    Sampled,
    Series,
    bundle,
    graded,
    process,
    sampled,
)
from predictdyn.forms import BY_NAME

# Nodes of the shape and of the process, few enough to be compared one by one.
FEW = Bundle(
    ("pow3", "double_power", "floor"),
    (np.array([[0.3], [1.7]]), np.array([[2.0, 0.1], [1.0, 0.5]]), np.array([[0.4, 0.5], [0.8, 2.0]])),
)
NAMES = ("pow3", "pow3", "double_power", "double_power", "floor", "floor")
SHAPES = [shape for nodes in FEW.nodes for shape in nodes]
OF = np.array([[0.05, 0.05, 0.2], [1.0, 3.0, 1.3], [1e-7, 1e-7, 1.0]])
T, PADDED = 14, 20
AHEAD = np.log([1.5, 8.0])
LOTS = np.array([0.1, 0.5, 0.9])
RNG = np.random.default_rng(0)
U = np.append(np.sort(-4.5 * RNG.random(T - 1)), 0.0)
VARIANCE = RNG.uniform(0.3, 3.0, T)


def series(z: np.ndarray, u: np.ndarray = U, variance: np.ndarray = VARIANCE, length: int = PADDED, unit: float = 1.0):
    """Curves z (n, t) as a `Series` that is padded to one length."""
    n, t = z.shape
    rows = [np.zeros((n, length)), np.zeros((n, length)), np.full((n, length), np.inf)]
    for row, part in zip(rows, (u, z, variance), strict=True):
        row[:, :t] = part
    return Series(*rows, np.full(n, unit))


def wavy(seed: int = 1) -> np.ndarray:
    """One curve (t,), of unit sd and zero at the end, that no form explains."""
    noise = 0.1 * np.random.default_rng(seed).standard_normal(T)
    z = -0.6 * U + 0.5 * np.sin(2 * U) + noise
    return (z - z[-1]) / z.std()


def each_node(one: Series, *, to: np.ndarray = AHEAD) -> list[list[np.ndarray]]:
    """Location, known and whole variance (p,) of every node of the process of every shape, drawn one at a time."""
    k = len(SHAPES) * len(OF)
    many = Series(*(np.repeat(part, k, axis=0) for part in one))
    only = np.full((k, k), -1e5)
    only[np.diag_indices(k)] = 0.0
    found = sampled(FEW, many, np.tile(to, (k, 1)), LOTS, OF, only)
    form = np.repeat([0, 1, 2], 2 * len(OF))
    return [[found[form[i]][part][i, :, 0] for part in range(3)] for i in range(k)]


def gap_ridge(name: str, shape: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Prior precision (j,) of each gap in units of the noise, which second differences of the later half tell."""
    form = BY_NAME[name]
    here, far = (np.asarray(form.columns(np.exp(u), shape)) for u in (U, np.log([1.0, FAR])))
    noise = max(np.sqrt((np.diff(z, 2)[(T - 1) // 2 - 2 :] ** 2).mean() / 6), FLOOR)
    return noise**2 / GAP**2 * ((far[:, 1] - far[:, 0]) ** 2 + ((here - here[:, -1:]) ** 2).mean(axis=1))


def dense(name: str, shape: np.ndarray, of: np.ndarray, z: np.ndarray, unit: float, to: np.ndarray):
    """Log weight, then location, known and whole variance at each of to, by the covariance of points in closed form."""
    diffusion, speed, kappa = of
    since = U - U[0]
    end = since[-1]

    def covariance(a, b):
        low = np.minimum(a, b)
        slope = 2 * kappa * low - 1 + np.exp(-kappa * a) + np.exp(-kappa * b) - np.exp(-kappa * np.abs(a - b))
        return diffusion**2 * low + speed**2 / (2 * kappa**3) * slope

    form = BY_NAME[name]
    here, there = (np.asarray(form.columns(np.exp(u), shape)) for u in (U, to))
    offset, offset_there, ridge = np.zeros(T), np.zeros(len(to)), gap_ridge(name, shape, z)
    if form.fixed:
        offset, offset_there = here[0] / unit, there[0] / unit
        here, there, ridge = here[1:], there[1:], ridge[1:]
    design, ahead = np.vstack([np.ones(T), here]).T, np.vstack([np.ones(len(to)), there]).T
    v = covariance(since[:, None], since[None]) + np.diag(VARIANCE)
    inverse = np.linalg.inv(v)
    left = z - offset
    information = design.T @ inverse @ design + np.diag(np.r_[0.0, ridge])
    coefficient = np.linalg.solve(information, design.T @ inverse @ left)
    square = left @ inverse @ (left - design @ coefficient) + FLOOR**2
    log_weight = -0.5 * (
        np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1] - np.log(ridge).sum() + T * np.log(square)
    )
    cross = covariance(since[:, None], end + to[None])
    rest = ahead - cross.T @ inverse @ design
    location = offset_there + ahead @ coefficient + cross.T @ inverse @ (left - design @ coefficient)
    doubt = (rest * np.linalg.solve(information, rest.T).T).sum(axis=1)
    whole = covariance(end + to, end + to) - (cross * (inverse @ cross)).sum(axis=0) + doubt + 1
    # Known is the doubt of what the state at the last point, level and slope there, will have become.
    reach = -np.expm1(-kappa * to) / kappa
    with_slope = speed**2 / (2 * kappa**2) * (np.exp(-kappa * (end - since)) - np.exp(-kappa * end))
    state = covariance(since, end)[:, None] + reach * with_slope[:, None]
    slope_end = speed**2 / (2 * kappa**2) * -np.expm1(-kappa * end)
    own = covariance(end, end) + 2 * reach * slope_end + reach**2 * speed**2 / (2 * kappa)
    known = own - (state * (inverse @ state)).sum(axis=0) + doubt
    return log_weight, location, known * square / T, whole * square / T


@pytest.fixture(scope="module")
def roads():
    """The nodes by the filter, their log weights, and the same by dense algebra; a curve whose unit is not one."""
    z, unit = wavy(), 0.7
    one = series(z[None], unit=unit)
    weight = graded(FEW, one, np.array([[0.5]]), np.array([[0.1]]), OF).log_weight[0]
    other = [dense(name, shape, of, z, unit, AHEAD) for name, shape in zip(NAMES, SHAPES, strict=True) for of in OF]
    return each_node(one), weight, other


def test_log_weights_are_those_of_the_dense_covariance(roads):
    _, weight, other = roads
    naive = np.array([found[0] for found in other])
    assert np.ptp(naive) > 3, "nodes differ"
    assert_allclose(weight - weight[0], naive - naive[0], atol=1e-6)


def test_forecasts_of_every_node_are_generalised_least_squares(roads):
    nodes, _, other = roads
    for found, (_, location, known, whole) in zip(nodes, other, strict=True):
        assert_allclose(found[0], location, atol=1e-6)
        assert_allclose(found[1], known, rtol=1e-6)
        assert_allclose(found[2], whole, rtol=1e-6)


def test_padding_and_neighbours_change_nothing():
    z = np.stack([wavy(seed) for seed in range(3)])
    to = np.tile(AHEAD, (3, 1))
    together = sampled(FEW, series(z), to, LOTS, OF)
    alone = sampled(FEW, series(z[1:2]), to[:1], LOTS, OF)
    bare = sampled(FEW, series(z, length=T), to, LOTS, OF)
    for many, one, short in zip(together, alone, bare, strict=True):
        for field in range(len(Sampled._fields)):
            assert_allclose(many[field], short[field], rtol=1e-9, atol=1e-9)
            assert np.array_equal(many[field][1:2], one[field])


def test_with_next_to_no_process_it_is_weighted_regression():
    g = np.asarray(BY_NAME["pow3"].columns(np.exp(U), SHAPES[1]))[0]
    z = 2 * g + 1e-3 * np.sqrt(VARIANCE) * np.random.default_rng(3).standard_normal(T)
    z = (z - z[-1]) / z.std()
    # The prior of the gap is one more observation of it.
    design = np.vstack([np.stack([np.ones(T), g], axis=1), [0.0, 1.0]])
    weight = np.append(1 / VARIANCE, gap_ridge("pow3", SHAPES[1], z))
    beta = np.linalg.lstsq(design * np.sqrt(weight)[:, None], np.append(z, 0) * np.sqrt(weight), rcond=None)[0]
    ahead = np.stack([np.ones(2), np.asarray(BY_NAME["pow3"].columns(np.exp(AHEAD), SHAPES[1]))[0]], axis=1)
    variance = ((np.append(z, 0) - design @ beta) ** 2 * weight).sum() + FLOOR**2
    inverse = np.linalg.inv((design * weight[:, None]).T @ design)
    location, known, whole = each_node(series(z[None]))[1 * len(OF) + 2]
    assert_allclose(location, ahead @ beta, atol=1e-6)
    assert_allclose(known, variance / T * (ahead @ inverse * ahead).sum(1), rtol=1e-4)
    assert_allclose(whole - known, variance / T, rtol=1e-4)
    assert abs(each_node(series(z[None]))[1 * len(OF) + 1][0][1] - location[1]) > 1e-4, "with a process it is not"


def test_a_fixed_form_is_an_offset_in_the_units_of_the_curve():
    def curve(u):
        return np.log(0.4 + 0.6 * np.exp(-0.5 * u))

    unit = curve(U).std()
    location, _, whole = each_node(series(curve(U)[None] / unit, unit=unit))[4 * len(OF) + 2]
    assert_allclose(location, curve(AHEAD) / unit, atol=1e-5)
    other = each_node(series(curve(U)[None] / unit, unit=unit))[5 * len(OF) + 2]
    assert abs(other[0][1] - location[1]) > 0.1 and other[2][0] > 100 * whole[0], "another shape does not fit"


def test_graded_densities_integrate_to_one():
    truth = np.linspace(-60.0, 60.0, 1601)
    n = len(truth)
    found = graded(FEW, series(np.tile(wavy(), (n, 1))), np.full((n, 1), 0.5), truth[:, None], OF)
    assert found.sizes == [6, 6, 6]
    total = np.exp(found.log_density).sum(axis=0) * (truth[1] - truth[0])
    assert_allclose(total, 1, atol=2e-3)


@pytest.mark.parametrize("values", [np.zeros(T), np.zeros(2), np.array([1.0, 0.0])], ids=["constant", "two", "step"])
def test_poor_curves_stay_finite(values):
    z, t = values[None], len(values)
    for found in sampled(FEW, series(z, U[-t:], VARIANCE[-t:]), AHEAD[None], LOTS, OF):
        assert all(np.isfinite(part).all() for part in found)
        assert (found.whole > found.known).all() and (found.known >= 0).all()


def simulated(n: int, rng: np.random.Generator) -> tuple[Series, np.ndarray, Bundle, np.ndarray]:
    """Curves of the form pow3 with a process of the grid, and what they come to at twice the last step."""
    forms, of = bundle(["pow3"], 0.25), process(2, 2, 1)
    u = np.append(np.linspace(-4, 0, PADDED), np.log(2.0))
    z = np.empty((n, len(u)))
    for row in z:
        alpha, (diffusion, speed, kappa) = rng.choice(forms.nodes[0]), rng.choice(of)
        column, far = (np.asarray(BY_NAME["pow3"].columns(np.exp(x), alpha))[0] for x in (u, np.log([1.0, FAR])))
        level, slope = 0.0, rng.normal() * speed / np.sqrt(2 * kappa)
        walk, fine = [level], 20
        for length in np.diff(u):  # by small steps of the stochastic differential equation
            for _ in range(fine):
                h = length / fine
                level += slope * h + diffusion * np.sqrt(h) * rng.normal()
                slope += -kappa * slope * h + speed * np.sqrt(h) * rng.normal()
            walk.append(level)
        gap = GAP * rng.normal() / np.sqrt((far[1] - far[0]) ** 2 + ((column[:-1] - column[-2]) ** 2).mean())
        noise = 10 ** rng.uniform(-2, -0.5)
        row[:] = gap * column + noise * (np.array(walk) + rng.standard_normal(len(u)))
    z = (z - z[:, -2:-1]) / z[:, :-1].std(axis=1, keepdims=True)
    made = Series(np.tile(u[:-1], (n, 1)), z[:, :-1], np.ones((n, PADDED)), np.ones(n))
    return made, z[:, -1], forms, of


def test_the_mixture_holds_what_it_claims():
    n, s = 200, 200
    made, truth, forms, of = simulated(n, np.random.default_rng(5))
    lots = (np.arange(s) + 0.5) / s
    (found,) = sampled(forms, made, np.full((n, 1), np.log(2.0)), lots, of)
    even = stats.t.ppf((np.random.default_rng(6).permutation(s) + 0.5) / s, found.df[0])
    draws = found.location[:, 0] + np.sqrt(found.whole[:, 0]) * even
    low, high = np.quantile(draws, [0.05, 0.95], axis=1)
    held = ((low < truth) & (truth < high)).mean()
    assert 0.84 < held < 0.96
    thin_low, thin_high = np.quantile(found.location[:, 0], [0.05, 0.95], axis=1)
    assert ((thin_low < truth) & (truth < thin_high)).mean() < 0.7, "without the process ahead it would claim too much"
