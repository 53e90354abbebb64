"""The cloud around a best fit: a brute-force grid by another road, evidence in one currency, breaks that are found."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictdyn.fitting.importance import Cloud, clouds, sample_cloud, start_for
from predictdyn.fitting.stacks import Series, stacks
from predictdyn.fitting.structural import FLOOR, SampledNodes, sample_nodes
from predictdyn.fitting.structural_grid import Bundle, bundle
from predictdyn.forms import BY_NAME

FLOORED, BROKEN = BY_NAME["floor"], BY_NAME["broken"]
# A process too small to be seen; its nodes all say the same.
STILL = np.array([[1e-7, 1e-7, 1.0]])
T = 16
U = np.linspace(-3.0, 0.0, T)
TO = np.log([2.0, 4.0])
UNIFORMS = (np.arange(400) + 0.5) / 400


def in_own_units(z: np.ndarray, u: np.ndarray = U, variance: np.ndarray | None = None) -> Series:
    """One curve (t,) as a series, zero at its end."""
    unit = float(z.std())
    return Series(u, (z - z[-1]) / unit, np.ones(len(z)) if variance is None else variance, unit)


def cloud_of(form, one: Series) -> Cloud:
    return clouds_of(form, [one], [TO])[0]


def clouds_of(form, curves: list[Series], knots: list[np.ndarray], most: int = 32) -> list[Cloud]:
    """The clouds of curves, so many together, in their order."""
    found = {}
    for places, stack in stacks(curves, most):
        found |= zip(places, clouds(form, start_for(form), stack, [knots[i] for i in places]), strict=True)
    return [found[i] for i in range(len(curves))]


def by_process(forms: Bundle, one: Series) -> list[SampledNodes]:
    """The same curve by nodes of forms with a process too small to be seen."""
    ((_, stack),) = stacks([one])
    return next(sample_nodes(forms, STILL, stack, [TO], UNIFORMS))


def floored(seed: int, noise: float) -> np.ndarray:
    return np.log(0.5 + 0.5 * np.exp(-0.6 * U)) + noise * np.random.default_rng(seed).standard_normal(T)


def brute(one: Series, cells: int = 300):
    """Mean and sd of the curve at TO, and log evidence, on a dense grid of equal prior probability."""
    p = (np.arange(cells) + 0.5) / cells
    floor, alpha = (prior.at(p) for prior in FLOORED.shape.values())
    unit, weight = one.unit, 1 / one.variance

    def curve(u):
        power = np.exp(-alpha[None, :, None] * u)
        return np.log(floor[:, None, None] + (1 - floor[:, None, None]) * power) / unit

    off = one.z - curve(one.u)
    level = (off @ weight) / weight.sum()
    square = (weight * (off - level[..., None]) ** 2).sum(-1) + FLOOR**2
    log_likelihood = 0.5 * np.log(weight).sum() - 0.5 * np.log(weight.sum()) - 0.5 * T * np.log(square)
    most = log_likelihood.max()
    mass = np.exp(log_likelihood - most)
    evidence = np.log(mass.mean()) + most
    mass /= mass.sum()
    there = curve(TO) + level[..., None]
    mean = (mass[..., None] * there).sum((0, 1))
    between = (mass[..., None] * (there - mean) ** 2).sum((0, 1))
    within = (mass * square / T / weight.sum()).sum()
    return mean, np.sqrt(between), np.sqrt(between + within), evidence


@pytest.mark.parametrize(("noise", "near", "ratio"), [(0.005, 0.1, 0.05), (0.01, 0.2, 0.1), (0.03, 0.35, 0.25)])
def test_the_posterior_is_that_of_a_dense_grid(noise, near, ratio):
    # A cloud is as good as a normal approximation: a wide posterior, bent by the bounds, it knows less well.
    variance = np.random.default_rng(9).uniform(0.5, 2.0, T)
    one = in_own_units(floored(1, noise), variance=variance)
    found = cloud_of(FLOORED, one)
    weight = np.exp(found.log_weight)
    mean = found.location @ weight
    sd = np.sqrt((found.location - mean[:, None]) ** 2 @ weight)
    known = np.sqrt(sd**2 + found.known @ weight)
    true_mean, true_sd, true_known, evidence = brute(one)
    assert weight.sum() == pytest.approx(1)
    assert_allclose(mean, true_mean, atol=near * true_sd.max())
    assert_allclose(sd, true_sd, rtol=ratio)
    assert_allclose(known, true_known, rtol=ratio)
    assert found.log_evidence == pytest.approx(evidence, abs=0.1)
    drawn = sample_cloud(found, UNIFORMS)
    assert_allclose(drawn.location.mean(axis=1), mean, atol=0.05 * true_sd.max())


def test_evidence_counts_in_the_terms_of_structural():
    one = in_own_units(floored(2, 0.02))
    alone = cloud_of(FLOORED, one)
    (among,) = by_process(Bundle(("floor",), (FLOORED.nodes(4),)), one)
    assert alone.log_evidence == pytest.approx(among.log_evidence, abs=0.1)
    mine = sample_cloud(alone, UNIFORMS)
    assert_allclose(
        mine.location.mean(axis=1), among.location.mean(axis=1), atol=0.35 * among.location.std(axis=1).max()
    )


def broken(u: np.ndarray) -> np.ndarray:
    """A sharp break shortly before the end (Caballero et al. 2023)."""
    shape = np.array([0.43, 0.055, 5.7, -0.18, 0.06])
    return BROKEN.on_grid(np.exp(u), shape[None])[0, 0]


@pytest.fixture(scope="module")
def sharp():
    """Three curves that break, six of their fourteen noisy points after the break, and what two ways make of them.

    Errors at twice the last step (3,) of either, and their log evidences (3,).
    """
    u = np.log(np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.76, 0.82, 0.87, 0.92, 0.96, 1.0]))
    z = broken(u) + 0.003 * np.random.default_rng(0).standard_normal((3, len(u)))
    made = [in_own_units(row, u) for row in z]
    found = [sample_cloud(cloud_of(BROKEN, one), UNIFORMS) for one in made]
    smooth = [by_process(bundle(["pow3"]), one)[0] for one in made]

    def off(some: list[SampledNodes]) -> np.ndarray:
        middle = np.array([one.location[0].mean() for one in some])
        return z[:, -1] + np.array([one.unit for one in made]) * middle - broken(TO)[0]

    evidences = (np.array([one.log_evidence for one in some]) for some in (found, smooth))
    return off(found), off(smooth), *evidences


def test_a_sharp_break_is_recovered(sharp):
    off, smooth, *_ = sharp
    fall = -broken(TO)[0]  # at twice the last step, most of the way to the floor
    assert np.abs(off).max() < 0.45 * fall and np.abs(off).mean() < 0.3 * fall
    assert np.abs(smooth).min() > 3 * np.abs(off).mean()


def test_the_evidence_is_for_the_break(sharp):
    *_, break_, smooth = sharp
    assert (break_ > smooth + 10).all()


def test_without_a_break_the_evidence_is_for_the_smooth_form():
    for seed in (4, 5, 6):
        one = in_own_units(floored(seed, 0.02))
        assert cloud_of(FLOORED, one).log_evidence > cloud_of(BROKEN, one).log_evidence


@pytest.mark.parametrize(
    "one",
    [
        Series(U, np.zeros(T), np.ones(T), 1e-9),
        Series(np.array([-1.0, 0.0]), np.array([1.0, 0.0]), np.ones(2), 1.0),
        Series(U, np.where(np.arange(T) == 3, 1e200, 0.0), np.ones(T), 1.0),
    ],
    ids=["constant", "two", "huge"],
)
def test_poor_curves_stay_finite(one):
    with np.errstate(over="ignore", invalid="ignore"):
        found = sample_cloud(cloud_of(BROKEN, one), UNIFORMS)
    assert np.isfinite(found.location).all()


def test_neither_other_curves_nor_other_knots_change_a_bit():
    rng = np.random.default_rng(3)
    made = []
    for t in (5, 13, 16, 16, 11):
        u = np.append(np.sort(rng.uniform(-4, 0, t - 1)), 0.0)
        made.append(in_own_units(broken(u) + 0.01 * rng.standard_normal(t), u, rng.uniform(0.3, 3.0, t)))
    made.append(Series(U, np.zeros(T), np.ones(T), 1e-9))
    knots = [np.linspace(0.0, 1.0, 1 + i) for i in range(len(made))]
    together, alone = (clouds_of(BROKEN, made, knots, most) for most in (32, 1))
    for one, other in zip(together, alone, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
