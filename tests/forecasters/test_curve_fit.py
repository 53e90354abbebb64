"""Curve fit: the true form is found and continued, and change that cannot be told from noise is not forecast."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import curve_fit as scipy_curve_fit

from predictdyn.curves import Metric, curves_from
from predictdyn.fitting.gauss_newton import fit_curves
from predictdyn.fitting.stacks import stacks
from predictdyn.forecasters import fit
from predictdyn.forecasters._empirical import ReferenceRuns
from predictdyn.forecasters._series import standardised
from predictdyn.forecasters.curve_fit import AVERAGED, CURVE_FIT, average_fits, fit_form
from predictdyn.forms import BY_NAME
from predictdyn.problem import LatentCurve

T, CURVES = 40, 16
SHARE = np.geomspace(0.001, 0.2, T)
AHEAD = np.log([2.0, 5.0])
NOBODY = ReferenceRuns(np.zeros(0), np.zeros((0, 2)), np.zeros((0, 33)), None)


def truth(name: str, shape: list[float], share: np.ndarray, gap: float = 1.0) -> np.ndarray:
    """A curve of a form, x = 1 at the last step seen."""
    return 1 + gap * BY_NAME[name].on_grid(np.asarray(share) / SHARE[-1], np.array(shape)[None])[0, 0]


def curves_of(curve: np.ndarray, noise: float) -> list[LatentCurve]:
    """The same curve with noise, many times."""
    rng = np.random.default_rng(2)
    seen = curve + noise * rng.standard_normal((CURVES, T))
    return [LatentCurve(f"r{i}", "f", SHARE, latent, np.full(T, np.nan)) for i, latent in enumerate(seen)]


def continued(name: str, made: list[LatentCurve]):
    """Latent locations, sd of what is known and of the noise (n, p) by one form, and its evidence (n,)."""
    ready = [standardised(curve) for curve in made]
    ((places, stack),) = stacks([one.series for one in ready], len(made))
    assert places == list(range(len(made))), "all on the same points"
    fits = fit_form(BY_NAME[name], stack, np.tile(AHEAD, (len(made), 1)))
    unit = np.array([one.series.unit for one in ready])[:, None]
    location = np.array([one.zero for one in ready])[:, None] + unit * fits.location
    return location, unit * np.sqrt(fits.known), unit * np.sqrt(fits.noise[:, None]), fits.evidence


def answer_of(curve: LatentCurve, asked: np.ndarray) -> np.ndarray:
    """The rule for one curve (m,)."""
    return average_fits([curve], [asked], [NOBODY])[0]


TRUE = {"pow3": [0.4], "hill": [1.5, 1.5]}


@pytest.mark.parametrize("name", TRUE)
def test_a_curve_is_continued_within_its_noise(name):
    noise = 0.003 * np.ptp(truth(name, TRUE[name], SHARE))
    made = curves_of(truth(name, TRUE[name], SHARE), noise)
    location, known, scatter, _ = continued(name, made)
    end = truth(name, TRUE[name], SHARE[-1] * np.exp(AHEAD))
    carried = np.array([curve.latent[-1] for curve in made])[:, None]
    off, still = np.abs(location - end), np.abs(carried - end)
    assert np.median(off[:, 1]) < 0.2 * np.median(still[:, 1]), "five times as near as the last value"
    assert np.median(off[:, 0]) < 8 * noise
    assert (known[:, 1] > known[:, 0]).all()
    assert_allclose(np.median(scatter), noise, rtol=0.25)


@pytest.mark.parametrize("name", TRUE)
def test_the_evidence_is_for_the_true_form(name):
    curve = truth(name, TRUE[name], SHARE)
    made = curves_of(curve, 0.003 * np.ptp(curve))
    evidence = {one: continued(one, made)[3] for one in ("log_linear", "pow3", "hill")}
    others = np.max([value for one, value in evidence.items() if one != name], axis=0)
    assert (evidence[name] > others + 2).mean() > 0.9


def test_a_form_that_fits_no_better_pays_for_its_numbers():
    made = curves_of(truth("pow3", [0.4], SHARE), 0.05)
    one, two = (continued(name, made)[3] for name in ("pow3", "double_power"))
    # Two numbers more, a gap and a shape: half the logarithm of the points each, less what they fit of the noise.
    assert (one > two).mean() > 0.8 and 0 < np.median(one - two) < np.log(T) + 0.5


def test_two_forms_agree_on_what_both_can_follow():
    made = curves_of(truth("pow3", [0.5], SHARE, gap=0.7), 0.0)
    one, other = (continued(name, made[:2])[0] for name in ("pow3", "double_power"))
    end = truth("pow3", [0.5], SHARE[-1] * np.exp(AHEAD), gap=0.7)
    assert_allclose(one, np.tile(end, (2, 1)), atol=5e-3 * abs(end[1] - made[0].latent[-1]))
    assert_allclose(other, one, atol=2e-2 * abs(end[1] - made[0].latent[-1]))


def test_a_fixed_form_has_no_gap():
    made = curves_of(truth("floor", [0.5, 0.6], SHARE), 0.0)
    end = truth("floor", [0.5, 0.6], SHARE[-1] * np.exp(AHEAD))
    assert_allclose(continued("floor", made[:2])[0], np.tile(end, (2, 1)), atol=2e-3)


def test_least_squares_are_those_of_scipy():
    weight = np.random.default_rng(4).uniform(0.5, 2.0, T)
    x, z = SHARE / SHARE[-1], curves_of(truth("hill", [0.3, 1.5], SHARE), 0.01)[0].latent
    found = fit_curves(BY_NAME["hill"], x[None], z[None], weight[None], steps=30)

    def hill(x, level, gap, scale, power):
        return level + gap / (1 + (x / scale) ** power)

    bounds = [-9, -9, 0.03, 0.5], [9, 9, 20.0, 6.0]
    p, _ = scipy_curve_fit(hill, x, z, [1.0, 1.0, 0.5, 1.0], weight**-0.5, bounds=bounds, ftol=1e-14, xtol=1e-14)
    assert_allclose([found.level[0], found.gap[0, 0], *found.shape[0]], p, rtol=2e-3)
    assert found.misfit[0] == pytest.approx((weight * (z - hill(x, *p)) ** 2).sum(), rel=1e-6)


def test_the_answer_lies_among_those_of_the_forms():
    made = curves_of(truth("pow3", [0.4], SHARE), 0.02)[0]
    answer = answer_of(made, np.array([0.4, 1.0]))
    each = np.array([continued(name, [made])[0][0] for name in AVERAGED])
    last = made.latent[-1]
    assert ((min(each.min(), last) <= answer) & (answer <= max(each.max(), last))).all()
    assert np.array_equal(answer_of(made, np.array([1.0])), answer[1:]), "no place moves another"
    assert np.isnan(answer_of(made.truncate(SHARE[1]), np.array([1.0]))).all(), "two points"


def test_no_curve_changes_a_bit_of_another():
    made = curves_of(truth("pow3", [0.4], SHARE), 0.02)
    made = [made[0], made[1].truncate(SHARE[20]), made[2], made[3].truncate(SHARE[1]), made[4].truncate(SHARE[25])]
    made.append(LatentCurve("huge", "f", SHARE, np.where(np.arange(T) == 3, 1e200, made[0].latent), made[0].stderr))
    asked = [np.linspace(0.3, 1.0, 1 + i) for i in range(len(made))]
    together = average_fits(made, asked, [NOBODY] * len(made))
    assert [np.isfinite(one).all() for one in together[:5]] == [True, True, True, False, True]
    for curve, own, answer in zip(made, asked, together, strict=True):
        assert np.array_equal(answer_of(curve, own), answer, equal_nan=True)


def test_pure_noise_is_not_extrapolated():
    rng = np.random.default_rng(0)
    made = [
        LatentCurve(f"r{i}", "f", np.arange(1, T + 1) / (5 * T), rng.standard_normal(T), np.full(T, np.nan))
        for i in range(CURVES)
    ]
    answer = np.array([answer_of(curve, np.ones(1))[0] for curve in made])
    raw = np.mean([continued(name, made)[0][:, 1] for name in ("pow3", "hill")], axis=0)
    assert np.std(answer) < 0.85, "the last value errs by 1, the mean of the last three by 0.58"
    assert np.abs(answer).mean() < np.abs(raw).mean()


def power_laws(n: int, seed: int):
    """Runs that fall by power laws of many exponents, with noise that goes on for a few points."""
    rng, frames = np.random.default_rng(seed), []
    step = np.unique(np.geomspace(10, 10000, 60).round())
    for i in range(n):
        drift = np.cumsum(rng.standard_normal(len(step))) * 0.01
        value = 1 + rng.uniform(0.5, 2) * (step / 100) ** -rng.uniform(0.1, 0.8) + drift
        frames.append(pd.DataFrame({"run": f"{seed}-{i:02}", "metric": "m", "step": step, "value": value}))
    return curves_from(pd.concat(frames), None, {"m": Metric("m", "signal")})


def test_intervals_hold_what_they_claim():
    history, fresh = power_laws(40, 1), power_laws(60, 2)
    target = pd.DataFrame({"run": fresh.runs.index, "metric": "m", "step": 10000})
    truths = np.array([fresh.series[run, "m"].value[-1] for run in target["run"]])
    found = fit(CURVE_FIT, history).forecast(fresh.truncate(0.25), target)
    low, high = np.quantile(found.draws, [0.05, 0.95], axis=1)
    assert (found.status == "ok").all()
    assert 0.8 <= ((low < truths) & (truths < high)).mean() <= 0.98
    last = fit("last_value", history).forecast(fresh.truncate(0.25), target)
    assert (
        np.abs(np.median(found.draws, axis=1) - truths).mean()
        < 0.5 * np.abs(np.median(last.draws, axis=1) - truths).mean()
    )
