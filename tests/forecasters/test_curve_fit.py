"""Curve fit: the true form is found and continued, and drift that cannot be told from noise is not forecast."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from predictdyn.curves import Metric, curves_from
from predictdyn.forecasters._averaged import Averaged
from predictdyn.forecasters._series import padded
from predictdyn.forecasters.curve_fit import FORECASTER, MaximumPosterior
from predictdyn.forms import BY_NAME
from predictdyn.lines import Line

MODEL = MaximumPosterior()
T, CURVES = 40, 16
SHARE = np.geomspace(0.001, 0.2, T)
AHEAD = np.log([2.0, 5.0])
LOT = np.array([0.5])


def truth(name: str, shape: list[float], share: np.ndarray, gap: float = 1.0) -> np.ndarray:
    """A curve of a form, x = 1 at the last step seen."""
    return 1 + gap * np.asarray(BY_NAME[name].columns(np.asarray(share) / SHARE[-1], np.array(shape)))[0]


def lines(curve: np.ndarray, noise: float) -> list[Line]:
    """The same curve with noise, many times."""
    rng = np.random.default_rng(2)
    seen = curve + noise * rng.standard_normal((CURVES, T))
    return [Line(f"r{i}", "f", SHARE, latent, np.full(T, np.nan)) for i, latent in enumerate(seen)]


def continued(name: str, made: list[Line]):
    """Latent locations, sd of what is known and of the next measurement (n, p) by one form, and its evidence."""
    batch = padded(made)
    (found,) = MODEL.sampled((name,), batch, np.tile(AHEAD, (len(made), 1)), LOT, None)
    location, known, whole = (part[..., 0] for part in found[:3])
    unit = batch.unit[:, None]
    return batch.zero[:, None] + unit * location, unit * np.sqrt(known), unit * np.sqrt(whole), found.log_evidence


TRUE = {"pow3": [0.4], "hill": [1.5, 1.5]}


@pytest.mark.parametrize("name", TRUE)
def test_a_curve_is_continued_within_its_noise(name):
    noise = 0.003 * np.ptp(truth(name, TRUE[name], SHARE))
    made = lines(truth(name, TRUE[name], SHARE), noise)
    location, known, whole, _ = continued(name, made)
    end = truth(name, TRUE[name], SHARE[-1] * np.exp(AHEAD))
    carried = np.array([line.latent[-1] for line in made])[:, None]
    off, still = np.abs(location - end), np.abs(carried - end)
    assert np.median(off[:, 1]) < 0.2 * np.median(still[:, 1]), "five times as near as the last value"
    assert np.median(off[:, 0]) < 8 * noise
    assert (known[:, 1] > known[:, 0]).all() and (whole > known).all()
    assert_allclose(np.median(np.sqrt(whole**2 - known**2)), noise, rtol=0.25)


@pytest.mark.parametrize("name", TRUE)
def test_the_evidence_is_for_the_true_form(name):
    curve = truth(name, TRUE[name], SHARE)
    made = lines(curve, 0.003 * np.ptp(curve))
    evidence = {one: continued(one, made)[3] for one in ("log_linear", "pow3", "hill")}
    others = np.max([value for one, value in evidence.items() if one != name], axis=0)
    assert (evidence[name] > others + 2).mean() > 0.9


def test_a_form_that_fits_no_better_pays_for_its_numbers():
    made = lines(truth("pow3", [0.4], SHARE), 0.05)
    one, two = (continued(name, made)[3] for name in ("pow3", "double_power"))
    # Two numbers more, a gap and a shape: half the logarithm of the points each, less what they fit of the noise.
    assert (one > two).mean() > 0.8 and 0 < np.median(one - two) < np.log(T) + 0.5


def test_two_forms_agree_on_what_both_can_follow():
    made = lines(truth("pow3", [0.5], SHARE, gap=0.7), 0.0)
    one, other = (continued(name, made[:2])[0] for name in ("pow3", "double_power"))
    end = truth("pow3", [0.5], SHARE[-1] * np.exp(AHEAD), gap=0.7)
    assert_allclose(one, np.tile(end, (2, 1)), atol=5e-3 * abs(end[1] - made[0].latent[-1]))
    assert_allclose(other, one, atol=2e-2 * abs(end[1] - made[0].latent[-1]))


def test_a_fixed_form_has_no_gap():
    made = lines(truth("floor", [0.5, 0.6], SHARE), 0.0)
    end = truth("floor", [0.5, 0.6], SHARE[-1] * np.exp(AHEAD))
    assert_allclose(continued("floor", made[:2])[0], np.tile(end, (2, 1)), atol=2e-3)


def test_graded_is_the_density_of_what_is_sampled():
    made = lines(truth("pow3", [0.4], SHARE), 0.1)
    batch, to = padded(made), np.tile(AHEAD, (CURVES, 1))
    y = np.random.default_rng(0).standard_normal((CURVES, 2))
    graded = MODEL.graded(("pow3", "hill"), batch, to, y)
    assert graded.sizes == [1, 1] and not graded.log_weight.any()
    for i, found in enumerate(MODEL.sampled(("pow3", "hill"), batch, to, LOT, None)):
        density = stats.t.logpdf(y, found.df[:, None], found.location[..., 0], np.sqrt(found.whole[..., 0]))
        assert_allclose(graded.log_density[:, i], density.mean(axis=1))


def test_a_learned_prior_is_the_mass_of_a_form():
    made = lines(truth("pow3", [0.4], SHARE), 0.1)
    prior = np.tile(np.log([0.2, 3.0]), (CURVES, 1))
    found = MODEL.sampled(("pow3", "hill"), padded(made), np.tile(AHEAD, (CURVES, 1)), LOT, prior)
    assert_allclose([one.log_mass for one in found], prior.T)


def test_pure_noise_is_not_extrapolated():
    rng = np.random.default_rng(0)
    step = np.arange(1, T + 1)
    frames = [
        pd.DataFrame({"run": f"r{i:02}", "metric": "m", "step": step, "value": rng.standard_normal(T)})
        for i in range(CURVES)
    ]
    runs = pd.DataFrame({"run": [f"r{i:02}" for i in range(CURVES)], "last_step": 5 * T})
    curves = curves_from(pd.concat(frames), runs, {"m": Metric("m", "signal")})
    target = pd.DataFrame({"run": runs["run"], "metric": "m", "step": 5 * T})

    def middle(shrink: float) -> np.ndarray:
        one = Averaged("few", MODEL, ("log_linear", "pow3", "hill"), shrink=shrink)
        draws = one.fit(curves.of_runs([]), seed=0).forecast(curves, target, seed=0).draws
        return np.median(draws, axis=1)

    kept, raw = middle(FORECASTER.shrink), middle(0.0)
    assert np.std(kept) < 0.85, "the last value errs by 1, the mean of the last three by 0.58"
    assert np.abs(kept).mean() < np.abs(raw).mean() + 1e-9
