"""Structural: the factors of a grid are a Kalman filter by another road, and its mixture holds what it claims."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from predictdyn.fitting.stacks import Series, stacks
from predictdyn.fitting.structural import (
    FLOOR,
    GAP,
    SampledNodes,
    drawn_at,
    log_density,
    sample_nodes,
    score_nodes,
)
from predictdyn.fitting.structural_grid import FAR, Bundle, bundle, grids_for, kinds_of, process
from predictdyn.forms import BY_NAME

# Nodes of the shape and of the process, few enough to be compared one by one.
FEW = Bundle(
    ("pow3", "double_power", "floor"),
    (np.array([[0.3], [1.7]]), np.array([[2.0, 0.1], [1.0, 0.5]]), np.array([[0.4, 0.5], [0.8, 2.0]])),
)
NAMES = ("pow3", "pow3", "double_power", "double_power", "floor", "floor")
SHAPES = [shape for nodes in FEW.nodes for shape in nodes]
OF = np.array([[0.05, 0.05, 0.2], [1.0, 3.0, 1.3], [1e-7, 1e-7, 1.0]])
T = 14
AHEAD = np.log([1.5, 8.0])
UNIFORMS = np.array([0.1, 0.5, 0.9])
RNG = np.random.default_rng(0)
U = np.append(np.sort(-4.5 * RNG.random(T - 1)), 0.0)
VARIANCE = RNG.uniform(0.3, 3.0, T)


def series(z: np.ndarray, u: np.ndarray = U, variance: np.ndarray = VARIANCE, unit: float = 1.0) -> Series:
    return Series(u[-len(z) :], z, variance[-len(z) :], unit)


def sampled(
    forms: Bundle,
    curves: list[Series],
    knots: list[np.ndarray],
    uniforms: np.ndarray = UNIFORMS,
    log_prior: np.ndarray | None = None,
    *,
    of: np.ndarray = OF,
) -> list[list[SampledNodes]]:
    """Drawn nodes of each form, for curves in their order."""
    found = {}
    for places, stack in stacks(curves):
        priors = [log_prior] * len(places)
        of_curves = sample_nodes(forms, of, stack, [knots[i] for i in places], uniforms, priors)
        found |= zip(places, of_curves, strict=True)
    return [found[i] for i in range(len(curves))]


def scored(curves: list[Series], knots: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log weights and densities (n, k) of the few nodes, for curves of one length."""
    ((_, stack),) = stacks(curves, len(curves))
    return score_nodes(FEW, OF, stack, knots, truth)


def wavy(seed: int = 1) -> np.ndarray:
    """One curve (t,), of unit sd and zero at the end, that no form explains."""
    noise = 0.1 * np.random.default_rng(seed).standard_normal(T)
    z = -0.6 * U + 0.5 * np.sin(2 * U) + noise
    return (z - z[-1]) / z.std()


def each_node(one: Series, *, to: np.ndarray = AHEAD) -> list[list[np.ndarray]]:
    """Location, known and whole variance (p,) of every node of the process of every shape, drawn one at a time."""
    k = len(SHAPES) * len(OF)
    answers = []
    for node in range(k):
        only = np.full(k, -1e5)
        only[node] = 0.0
        form = sampled(FEW, [one], [to], UNIFORMS, only)[0][node // (2 * len(OF))]
        answers.append([part[:, 0] for part in form[:3]])
    return answers


def gap_ridge(name: str, shape: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Prior precision (j,) of each gap in units of the noise, which second differences of the later half tell."""
    form = BY_NAME[name]
    here, far = (form.on_grid(np.exp(u), shape[None])[:, 0] for u in (U, np.log([1.0, FAR])))
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
    here, there = (form.on_grid(np.exp(u), shape[None])[:, 0] for u in (U, to))
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
    """Nodes by the factors of a grid, their log weights, and both by plain algebra; a curve whose unit is not one."""
    z, unit = wavy(), 0.7
    one = series(z, unit=unit)
    weight = scored([one], np.array([[0.5]]), np.array([[0.1]]))[0][0]
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


def filtered(y: np.ndarray, u: np.ndarray, variance: np.ndarray, of: np.ndarray):
    """Innovations over their sd, log determinant, state and its covariance after the last point: a Kalman filter."""
    diffusion, speed, kappa = of
    state, cov = np.zeros(2), np.diag([0.0, speed**2 / (2 * kappa)])
    innovations, log_det, before = [], 0.0, u[0]
    for now, noise, value in zip(u, variance, y, strict=True):
        d, before = now - before, now
        a, reach = np.exp(-kappa * d), -np.expm1(-kappa * d) / kappa
        move = np.array([[1.0, reach], [0.0, a]])
        level = speed**2 / kappa**2 * (d - 2 * reach + (1 - a**2) / (2 * kappa)) + diffusion**2 * d
        added = np.array(
            [[level, speed**2 * reach**2 / 2], [speed**2 * reach**2 / 2, speed**2 * (1 - a**2) / (2 * kappa)]]
        )
        state, cov = move @ state, move @ cov @ move.T + added
        f = cov[0, 0] + noise
        gain, surprise = cov[:, 0] / f, value - state[0]
        state, cov = state + gain * surprise, cov - np.outer(gain, cov[0])
        innovations.append(surprise / np.sqrt(f))
        log_det += np.log(f)
    return np.array(innovations), log_det, state, cov


def test_the_factors_of_a_grid_are_those_of_a_kalman_filter():
    y = wavy()
    ((_, stack),) = stacks([series(y)])
    grid, t = grids_for(kinds_of(FEW), stack, OF).grids, stack.z.shape[1]
    assert t > T, "padded"
    for i, of in enumerate(OF[:2]):
        innovations, log_det, state, cov = filtered(y, U, VARIANCE, of)
        white = grid.whiten[0, i] @ stack.z[0]
        assert_allclose(white[:T], innovations, rtol=1e-8, atol=1e-9)
        assert not white[T:].any() and not grid.rows[0, :, :, T:].any()
        assert grid.log_det[0, i] == pytest.approx(log_det, abs=1e-8)
        assert_allclose(grid.rows[0, i, 1:] @ white, state, rtol=1e-8)
        assert_allclose(grid.covariance[0, i], [cov[0, 0], cov[0, 1], cov[1, 1]], rtol=1e-7)


def test_curves_on_the_same_points_share_a_grid():
    curves = [series(wavy(0)), series(wavy(1)[1:]), series(wavy(2))]
    ((places, stack),) = stacks(curves)
    made = grids_for(kinds_of(FEW), stack, OF)
    assert places == [0, 2, 1] and made.which.tolist() == [0, 0, 1] and len(made.grids.whiten) == 2


def test_neither_other_curves_nor_other_knots_change_a_bit():
    # Two share a grid, three have their own, one is of another length.
    curves = [series(wavy(0)), series(wavy(1)), series(wavy(2), variance=VARIANCE[::-1]), series(wavy(3)[1:])]
    curves += [series(wavy(4)[3:]), series(wavy(5)[-5:])]
    forms = bundle(["pow3", "weibull", "rise_and_fall", "floor", "double_power"])
    rng = np.random.default_rng(8)
    knots = [np.append(0.0, np.sort(rng.uniform(0, 2, size))) for size in (1, 2, 9, 37, 1, 2)]
    prior = rng.standard_normal(sum(forms.sizes) * len(process()))
    found = sampled(forms, curves, knots, UNIFORMS, prior, of=process())
    for curve, own, together in zip(curves, knots, found, strict=True):
        ends = own[[0, -1]]
        (alone,) = sampled(forms, [curve], [ends], UNIFORMS, prior, of=process())
        for one, other in zip(together, alone, strict=True):
            assert all(np.array_equal(a[[0, -1]], b) for a, b in zip(one[:3], other[:3], strict=True))
            assert one[3:] == other[3:]


def test_scores_do_not_hang_on_other_curves():
    curves = [series(wavy(0)), series(wavy(1)), series(wavy(2), variance=VARIANCE[::-1]), series(wavy(3)[1:])]
    knots = np.random.default_rng(9).uniform(0, 2, (4, 3))
    truth = np.random.default_rng(10).standard_normal((4, 3))
    together = scored(curves, knots, truth)
    for i, curve in enumerate(curves):
        alone = scored([curve], knots[i : i + 1], truth[i : i + 1])
        assert all(np.array_equal(one[i], other[0]) for one, other in zip(together, alone, strict=True))


def test_weights_that_are_no_numbers_draw_nothing():
    assert drawn_at(np.array([np.nan, 0.0, -np.inf]), UNIFORMS, 0.0)[0].tolist() == [1, 1, 1]
    chosen, mass, evidence = drawn_at(np.full(4, np.nan), np.array([0.1, 0.9]), 0.0)
    assert chosen.tolist() == [0, 3] and mass == pytest.approx(0) and np.isfinite(evidence)


def test_the_density_is_that_of_student():
    off, square = np.array([-3.0, 0.0, 0.4]), np.array([0.5, 2.0, 9.0])
    assert_allclose(log_density(off, square, 3.0), stats.t.logpdf(off, 3.0, scale=np.sqrt(square)))


def test_with_next_to_no_process_it_is_weighted_regression():
    g = BY_NAME["pow3"].on_grid(np.exp(U), SHAPES[1][None])[0, 0]
    z = 2 * g + 1e-3 * np.sqrt(VARIANCE) * np.random.default_rng(3).standard_normal(T)
    z = (z - z[-1]) / z.std()
    # The prior of the gap is one more observation of it.
    design = np.vstack([np.stack([np.ones(T), g], axis=1), [0.0, 1.0]])
    weight = np.append(1 / VARIANCE, gap_ridge("pow3", SHAPES[1], z))
    beta = np.linalg.lstsq(design * np.sqrt(weight)[:, None], np.append(z, 0) * np.sqrt(weight), rcond=None)[0]
    ahead = np.stack([np.ones(2), BY_NAME["pow3"].on_grid(np.exp(AHEAD), SHAPES[1][None])[0, 0]], axis=1)
    variance = ((np.append(z, 0) - design @ beta) ** 2 * weight).sum() + FLOOR**2
    inverse = np.linalg.inv((design * weight[:, None]).T @ design)
    location, known, whole = each_node(series(z))[1 * len(OF) + 2]
    assert_allclose(location, ahead @ beta, atol=1e-6)
    assert_allclose(known, variance / T * (ahead @ inverse * ahead).sum(1), rtol=1e-4)
    assert_allclose(whole - known, variance / T, rtol=1e-4)
    assert abs(each_node(series(z))[1 * len(OF) + 1][0][1] - location[1]) > 1e-4, "with a process it is not"


def test_a_fixed_form_is_an_offset_in_the_units_of_the_curve():
    def curve(u):
        return np.log(0.4 + 0.6 * np.exp(-0.5 * u))

    unit = curve(U).std()
    location, _, whole = each_node(series(curve(U) / unit, unit=unit))[4 * len(OF) + 2]
    assert_allclose(location, curve(AHEAD) / unit, atol=1e-5)
    other = each_node(series(curve(U) / unit, unit=unit))[5 * len(OF) + 2]
    assert abs(other[0][1] - location[1]) > 0.1 and other[2][0] > 100 * whole[0], "another shape does not fit"


def test_densities_integrate_to_one():
    truth = np.linspace(-60.0, 60.0, 1601)
    _, density = scored([series(wavy())] * len(truth), np.full((len(truth), 1), 0.5), truth[:, None])
    total = np.exp(density).sum(axis=0) * (truth[1] - truth[0])
    assert_allclose(total, 1, atol=2e-3)


@pytest.mark.parametrize("values", [np.zeros(T), np.zeros(2), np.array([1.0, 0.0])], ids=["constant", "two", "step"])
def test_poor_curves_stay_finite(values):
    for form in sampled(FEW, [series(values)], [AHEAD])[0]:
        assert all(np.isfinite(part).all() for part in form)
        assert (form.whole > form.known).all() and (form.known >= 0).all()


def simulated(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Bundle, np.ndarray]:
    """Curves of the form pow3 with a process of the grid, and what they come to at twice the last step."""
    forms, of = bundle(["pow3"], 0.25), process(2, 2, 1)
    u = np.append(np.linspace(-4, 0, 20), np.log(2.0))
    z = np.empty((n, len(u)))
    for row in z:
        alpha, (diffusion, speed, kappa) = rng.choice(forms.nodes[0]), rng.choice(of)
        column, far = (BY_NAME["pow3"].on_grid(np.exp(x), alpha[None])[0, 0] for x in (u, np.log([1.0, FAR])))
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
    return u, z, forms, of


def test_the_mixture_holds_what_it_claims():
    n, s = 200, 200
    u, z, forms, of = simulated(n, np.random.default_rng(5))
    uniforms, truth = (np.arange(s) + 0.5) / s, z[:, -1]
    curves = [Series(u[:-1], row[:-1], np.ones(20), 1.0) for row in z]
    found = [one for (one,) in sampled(forms, curves, [np.log([2.0])] * n, uniforms, of=of)]
    location, whole = (np.stack([form[part][0] for form in found]) for part in (0, 2))
    even = stats.t.ppf((np.random.default_rng(6).permutation(s) + 0.5) / s, found[0].df)
    low, high = np.quantile(location + np.sqrt(whole) * even, [0.05, 0.95], axis=1)
    held = ((low < truth) & (truth < high)).mean()
    assert 0.84 < held < 0.96
    thin_low, thin_high = np.quantile(location, [0.05, 0.95], axis=1)
    assert ((thin_low < truth) & (truth < thin_high)).mean() < 0.7, "without the process ahead it would claim too much"
