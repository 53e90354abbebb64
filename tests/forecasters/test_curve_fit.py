"""Curve fit: the right form is found, and drift that cannot be told from noise is not forecast."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictdyn.fitting.projection import project
from predictdyn.forecasters._rule import GRID, Peers
from predictdyn.forecasters.curve_fit import curve_fit
from predictdyn.forms import FORMS, basis
from predictdyn.lines import Line

NOBODY = Peers(np.zeros(0), np.zeros((0, 1)), np.zeros((0, len(GRID))), None)
SHARE = np.geomspace(0.001, 0.2, 40)


def line(latent, share=SHARE):
    return Line("r", "f", share, latent, np.full(len(share), np.nan))


def test_projection_is_weighted_least_squares():
    rng = np.random.default_rng(1)
    x, z, weight = rng.random((3, 9)), rng.random(9), rng.random(9) + 0.1
    fit = project(x, z, weight, noise=1e-6)
    for i in range(3):
        design = np.stack([np.ones(9), x[i]], axis=1) * np.sqrt(weight)[:, None]
        level, gap = np.linalg.lstsq(design, z * np.sqrt(weight), rcond=None)[0]
        assert_allclose([fit.level[i], fit.gap[i]], [level, gap], rtol=1e-8)
        assert_allclose(fit.misfit[i], (weight * (z - level - gap * x[i]) ** 2).sum(), rtol=1e-8)
    assert_allclose(fit.weight.sum(), 1)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_form_is_finite_from_the_first_step_to_far_beyond(form):
    values = basis(form, np.array([1e-9, 1e-3, 1.0, 1e3]), form.shapes)
    assert values.shape == (len(form.shapes), 4) and np.isfinite(values).all()


@pytest.mark.parametrize(
    "truth",
    [lambda x: 1 + 0.5 * x**-0.3, lambda x: 2 - 0.4 * np.log(x), lambda x: 3 / (1 + (x / 0.1) ** 2)],
    ids=["power", "log", "hill"],
)
def test_a_clean_curve_is_continued(truth):
    off, carried = [], []
    for seed in range(6):
        seen = truth(SHARE) + 0.005 * np.random.default_rng(seed).standard_normal(len(SHARE))
        off.append(abs(curve_fit(line(seen), np.array([1.0]), NOBODY)[0] - truth(1.0)))
        carried.append(abs(seen[-1] - truth(1.0)))
    assert np.median(off) < 0.5 * np.median(carried), "at least twice as near as the last value"


def test_pure_noise_is_not_extrapolated():
    seen = [np.random.default_rng(seed).standard_normal(len(SHARE)) for seed in range(30)]
    found = [curve_fit(line(noise), np.array([1.0]), NOBODY)[0] for noise in seen]
    assert np.std(found) < 0.85, "the last value errs by 1, the mean of the last three by 0.58"


def test_three_points_are_too_few():
    assert np.isnan(curve_fit(line(np.ones(3), SHARE[:3]), np.array([1.0]), NOBODY)).all()
