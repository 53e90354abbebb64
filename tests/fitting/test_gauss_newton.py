"""Gauss-Newton of many curves: each as one by SciPy, whatever it is padded with and whoever is fitted beside it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import least_squares

from predictdyn.fitting.gauss_newton import fit_curves, shape_at, slopes_at
from predictdyn.forms import BY_NAME

N, T = 6, 24
NAMES = ["log_quadratic", "pow3", "hill", "rise_and_fall", "floor", "broken"]


def curves_of(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, values and precisions (n, t) of curves of a form with a little noise."""
    form, rng = BY_NAME[name], np.random.default_rng(7)
    x = np.exp(np.append(np.sort(rng.uniform(-4, 0, (N, T - 1)), axis=1), np.zeros((N, 1)), axis=1))
    shapes = shape_at(form, rng.uniform(0.3, 0.7, (N, len(form.shape))))
    clean = np.array([form.on_grid(a, shape[None])[:, 0].sum(axis=0) for a, shape in zip(x, shapes, strict=True)])
    return x, 2 + clean + 0.01 * rng.standard_normal((N, T)), rng.uniform(0.5, 2.0, (N, T))


def squares_by_scipy(name: str, u: np.ndarray, x: np.ndarray, z: np.ndarray, weight: np.ndarray) -> float:
    """Squares left of one curve (t,) by another search, from u (k,), with level and gaps by lstsq."""
    form, root = BY_NAME[name], np.sqrt(weight)

    def residual(u: np.ndarray) -> np.ndarray:
        columns = form.on_grid(x, shape_at(form, u)[None])[:, 0]
        design = np.vstack([np.ones(T), columns[form.fixed :]]).T * root[:, None]
        y = root * (z - (columns[0] if form.fixed else 0.0))
        return y - design @ np.linalg.lstsq(design, y, rcond=None)[0]

    if not len(u):
        return float((residual(u) ** 2).sum())
    start = np.clip(u, 1e-6, 1 - 1e-6)
    return 2 * least_squares(residual, start, bounds=(0, 1), xtol=1e-12, ftol=1e-12).cost


@pytest.mark.parametrize("name", NAMES)
def test_nowhere_near_are_fewer_squares(name):
    x, z, weight = curves_of(name)
    found = fit_curves(BY_NAME[name], x, z, weight, steps=40)
    other = [squares_by_scipy(name, *one) for one in zip(found.u, x, z, weight, strict=True)]
    # Five numbers of a break lie in a valley that is long and flat.
    assert_allclose(found.misfit, other, rtol=0.03 if name == "broken" else 1e-4)
    columns = np.array([BY_NAME[name].on_grid(a, shape[None])[:, 0] for a, shape in zip(x, found.shape, strict=True)])
    values = found.level[:, None] + (found.gap[:, :, None] * columns).sum(axis=1)
    assert_allclose((weight * (z - values) ** 2).sum(axis=1), found.misfit, rtol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_other_curves_do_not_change_a_bit(name):
    x, z, weight = curves_of(name)
    z[1], z[2, 3] = 5.0, 1e200  # one that is constant, one that is huge
    with np.errstate(all="ignore"):
        together = fit_curves(BY_NAME[name], x, z, weight, pull=4.0, steps=6)
        for i in range(N):
            alone = fit_curves(BY_NAME[name], *(part[i : i + 1] for part in (x, z, weight)), pull=4.0, steps=6)
            assert all(np.array_equal(a[i], b[0], equal_nan=True) for a, b in zip(together, alone, strict=True))


def test_places_that_all_share_are_as_good_as_their_own():
    x, z, weight = curves_of("hill")
    shared = np.tile(x[:1], (N, 1))
    together = fit_curves(BY_NAME["hill"], shared, z, weight)
    alone = [fit_curves(BY_NAME["hill"], *(part[i : i + 1] for part in (shared, z, weight))) for i in range(N)]
    assert np.array_equal(together.u, np.concatenate([one.u for one in alone]))


@pytest.mark.parametrize("pull", [0.0, 4.0])
def test_padding_counts_for_nothing(pull):
    x, z, weight = curves_of("hill")
    longer = [np.append(part, np.full((N, 9), value), axis=1) for part, value in ((x, 0.7), (z, 1e3), (weight, 0.0))]
    one, other = (fit_curves(BY_NAME["hill"], *parts, pull=pull, steps=30) for parts in ((x, z, weight), longer))
    assert_allclose(other.u, one.u, atol=1e-6)
    assert_allclose(other.misfit, one.misfit, rtol=1e-9)


def test_slopes_are_those_of_the_formula():
    x, u = np.array([[0.5, 1.0], [2.0, 4.0]]), np.array([[0.2], [0.6]])
    g, slopes = slopes_at(BY_NAME["exponential"], x, u)
    prior = BY_NAME["exponential"].shape["scale"]
    scale = prior.at(u)
    assert_allclose(g[0], np.exp(-x / scale))
    assert_allclose(slopes[0, :, 0], g[0] * x / scale * np.log(prior.high / prior.low), rtol=1e-7)
