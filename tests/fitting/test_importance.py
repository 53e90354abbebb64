"""The cloud around a best fit: a brute-force grid by another road, evidence in one currency, breaks that are found."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictdyn.fitting.importance import cloud, sampled
from predictdyn.fitting.structural import FLOOR, Bundle, Series, bundle
from predictdyn.fitting.structural import sampled as structural_sampled
from predictdyn.forms import BY_NAME

FLOORED, BROKEN = BY_NAME["floor"], BY_NAME["broken"]
# A process too small to be seen; its nodes all say the same.
STILL = np.array([[1e-7, 1e-7, 1.0]])
T = 16
U = np.linspace(-3.0, 0.0, T)
TO = np.log([[2.0, 4.0]])
LOTS = (np.arange(400) + 0.5) / 400


def in_own_units(z: np.ndarray, u: np.ndarray = U, variance: np.ndarray | None = None) -> tuple[Series, float]:
    """One curve (t,) as a series, zero at its end, and its unit."""
    unit = float(z.std())
    variance = np.ones(len(z)) if variance is None else variance
    return Series(u[None], ((z - z[-1]) / unit)[None], variance[None], np.array([unit])), unit


def floored(seed: int, noise: float) -> np.ndarray:
    return np.log(0.5 + 0.5 * np.exp(-0.6 * U)) + noise * np.random.default_rng(seed).standard_normal(T)


def brute(one: Series, cells: int = 300):
    """Mean and sd of the curve at TO, and log evidence, on a dense grid of equal prior probability."""
    p = (np.arange(cells) + 0.5) / cells
    floor, alpha = (prior.at(p) for prior in FLOORED.shape.values())
    unit, weight = one.unit[0], 1 / one.variance[0]

    def curve(u):
        power = np.exp(-alpha[None, :, None] * u)
        return np.log(floor[:, None, None] + (1 - floor[:, None, None]) * power) / unit

    off = one.z[0] - curve(one.u[0])
    level = (off @ weight) / weight.sum()
    square = (weight * (off - level[..., None]) ** 2).sum(-1) + FLOOR**2
    log_likelihood = 0.5 * np.log(weight).sum() - 0.5 * np.log(weight.sum()) - 0.5 * T * np.log(square)
    most = log_likelihood.max()
    mass = np.exp(log_likelihood - most)
    evidence = np.log(mass.mean()) + most
    mass /= mass.sum()
    there = curve(TO[0]) + level[..., None]
    mean = (mass[..., None] * there).sum((0, 1))
    between = (mass[..., None] * (there - mean) ** 2).sum((0, 1))
    within = (mass * square / T / weight.sum()).sum()
    return mean, np.sqrt(between), np.sqrt(between + within), evidence


@pytest.mark.parametrize(("noise", "near", "ratio"), [(0.005, 0.1, 0.05), (0.01, 0.2, 0.1), (0.03, 0.35, 0.25)])
def test_the_posterior_is_that_of_a_dense_grid(noise, near, ratio):
    # A cloud is as good as a normal approximation: a wide posterior, bent by the bounds, it knows less well.
    variance = np.random.default_rng(9).uniform(0.5, 2.0, T)
    one, _ = in_own_units(floored(1, noise), variance=variance)
    found = cloud(FLOORED, one, TO)
    weight = np.exp(found.log_weight[0])
    mean = found.location[0] @ weight
    sd = np.sqrt((found.location[0] - mean[:, None]) ** 2 @ weight)
    known = np.sqrt(sd**2 + found.known[0] @ weight)
    true_mean, true_sd, true_known, evidence = brute(one)
    assert weight.sum() == pytest.approx(1)
    assert_allclose(mean, true_mean, atol=near * true_sd.max())
    assert_allclose(sd, true_sd, rtol=ratio)
    assert_allclose(known, true_known, rtol=ratio)
    assert found.log_evidence[0] == pytest.approx(evidence, abs=0.1)
    drawn = sampled(found, LOTS)
    assert_allclose(drawn.location[0].mean(axis=1), mean, atol=0.05 * true_sd.max())


def test_evidence_counts_in_the_terms_of_structural():
    one, _ = in_own_units(floored(2, 0.02))
    alone = cloud(FLOORED, one, TO)
    fine = Bundle(("floor",), (FLOORED.nodes(4),))
    (among,) = structural_sampled(fine, one, TO, LOTS, STILL)
    assert alone.log_evidence[0] == pytest.approx(among.log_evidence[0], abs=0.1)
    mine = sampled(alone, LOTS)
    assert_allclose(mine.location.mean(2), among.location.mean(2), atol=0.35 * among.location.std(2).max())


def broken(u: np.ndarray) -> np.ndarray:
    """A sharp break shortly before the end (Caballero et al. 2023)."""
    shape = np.array([0.43, 0.055, 5.7, -0.18, 0.06])
    return np.asarray(BROKEN.columns(np.exp(u), shape))[0]


@pytest.fixture(scope="module")
def sharp():
    """Three curves that break, six of their fourteen noisy points after the break, and what two ways make of them."""
    u = np.log(np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.76, 0.82, 0.87, 0.92, 0.96, 1.0]))
    z = broken(u) + 0.003 * np.random.default_rng(0).standard_normal((3, len(u)))
    unit, to = z.std(axis=1), np.tile(TO, (3, 1))
    # Padded, so that they have the length of the other curves here.
    rows = np.tile(u, (3, 1)), (z - z[:, -1:]) / unit[:, None], np.ones_like(z)
    made = Series(
        *(np.pad(a, [(0, 0), (0, T - len(u))], constant_values=b) for a, b in zip(rows, (0, 0, np.inf), strict=True)),
        unit,
    )
    found = sampled(cloud(BROKEN, made, to), LOTS)
    smooth = structural_sampled(bundle(["pow3"]), made, to, LOTS, STILL)

    def off(one):
        return z[:, -1] + unit * one.location[:, 0].mean(axis=1) - broken(TO[0])[0]

    return off(found), [off(one) for one in smooth], found, smooth


def test_a_sharp_break_is_recovered(sharp):
    off, others, *_ = sharp
    fall = -broken(TO[0])[0]  # at twice the last step, most of the way to the floor
    assert np.abs(off).max() < 0.45 * fall and np.abs(off).mean() < 0.3 * fall
    assert all(np.abs(other).min() > 3 * np.abs(off).mean() for other in others)


def test_the_evidence_is_for_the_break(sharp):
    *_, found, smooth = sharp
    assert all((found.log_evidence > form.log_evidence + 10).all() for form in smooth)


def test_without_a_break_the_evidence_is_for_the_smooth_form():
    several = [in_own_units(floored(seed, 0.02))[0] for seed in (4, 5, 6)]
    made = Series(*(np.concatenate(part) for part in zip(*several, strict=True)))
    smooth, sharp = (cloud(form, made, np.tile(TO, (3, 1))) for form in (FLOORED, BROKEN))
    assert (smooth.log_evidence > sharp.log_evidence).all()


def test_poor_curves_stay_finite():
    z = np.zeros((2, T))
    z[1, 0] = 1.0
    variance = np.ones((2, T))
    variance[1, 2:] = np.inf
    u = np.stack([U, np.r_[-1.0, np.zeros(T - 1)]])
    found = sampled(cloud(BROKEN, Series(u, z, variance, np.array([1e-9, 1.0])), np.tile(TO, (2, 1))), LOTS)
    assert all(np.isfinite(part).all() for part in found)
