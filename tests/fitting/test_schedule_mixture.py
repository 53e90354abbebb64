"""Fitted schedule laws: the numbers that made curves are found, and other schedules are forecast."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from predictdyn.fitting.schedule_laws import LAWS, MOMENTUM, RateCurve, Reference, rate_curve, terms
from predictdyn.fitting.schedule_mixture import LossCurve, blocks, fit_schedules
from predictdyn.fitting.schedule_runs import begun, fit_runs, said, warned

STEP = np.arange(100.0, 4001.0, 20.0)
NOISE = 5e-4


def schedule(name: str) -> RateCurve:
    end = {"constant": 1.0, "cosine": 0.1, "decay": 0.1, "two_stage": 0.3}[name]
    if name == "cosine":
        way = np.linspace(0, 1, 101)
        return rate_curve(100 + 3900 * way, end + (1 - end) * (1 + np.cos(np.pi * way)) / 2)
    knots = {
        "constant": [100.0, 4000.0],
        "decay": [100.0, 3200.0, 4000.0],
        "two_stage": [100.0, 2000.0, 2001.0, 4000.0],
    }
    rates = {"constant": [1, 1], "decay": [1, 1, end], "two_stage": [1, 1, end, end]}
    return rate_curve(np.array(knots[name]), np.array(rates[name], dtype=float))


def made(law, numbers: dict[str, float], name: str, seed: int) -> LossCurve:
    """A curve that follows a law, with noise."""
    rate = schedule(name)
    unit = Reference(1.0, float(schedule("constant").area(np.array([4000.0]))[0]), 4000.0)
    fitted = np.array([[numbers[number.name] for number in law.numbers]])
    exact = np.log(3.0) + law.values(fitted, terms(rate, STEP, unit, warm_up=law.warm_up))[0]
    return LossCurve(rate, STEP, exact + NOISE * np.random.default_rng(seed).standard_normal(len(STEP)))


TRUE = {
    "level": 0.0, "share": -2.2, "alpha": np.log(0.4), "drop": np.log(0.06), "bend": 0.2, "memory": np.log(0.05),
    "speed": 6.0, "beta": np.log(0.55), "gamma": 0.4, "ratio": 0.3,
}  # fmt: skip


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_law_that_made_curves_is_found(law):
    curves = [made(law, TRUE, name, i) for i, name in enumerate(("constant", "cosine", "two_stage"))]
    fit = fit_schedules(curves, laws=[law])
    numbers, sd = fit.members[0].mode.numbers, np.sqrt(np.diag(fit.members[0].mode.covariance))
    wanted = np.array([TRUE[number.name] for number in law.numbers])
    # The reference level is the median of the ends, so the first number is its own.
    assert (np.abs(numbers - wanted)[1:] < 4.5 * sd[1:] + 0.02).all()
    asked = made(law, TRUE, "decay", 9)
    draws = fit.draws(asked.rate, STEP, STEP[-1], seed=0)
    assert_allclose(np.median(draws, axis=1)[20:], asked.log_loss[20:], atol=6 * NOISE)
    low, high = np.quantile(draws, [0.05, 0.95], axis=1)
    assert np.mean((low <= asked.log_loss) & (asked.log_loss <= high)) > 0.8
    assert np.mean(high - low) < 20 * NOISE


def test_a_blind_forecast_would_miss_the_decay():
    """The control: as if the rate stayed, the end of a decay is far outside."""
    curves = [made(MOMENTUM, TRUE, name, i) for i, name in enumerate(("constant", "cosine", "two_stage"))]
    fit = fit_schedules(curves)
    end = np.array([4000.0])
    truth = made(MOMENTUM, TRUE, "decay", 9).log_loss[-1]
    seeing, blind = (fit.draws(schedule(name), end, 4000.0, seed=0)[0] for name in ("decay", "constant"))
    assert abs(np.median(seeing) - truth) < 0.004
    assert np.median(blind) - truth > 0.03
    assert np.quantile(blind, 0.01) > truth


def test_the_beginning_of_a_run_goes_on_under_its_own_schedule():
    whole = made(LAWS[1], TRUE, "decay", 3)
    begun = LossCurve(whole.rate, STEP[:70], whole.log_loss[:70])
    fit = fit_schedules([begun], reach=whole.rate, until=4000.0, own=True)
    low, middle, high = np.quantile(fit.draws(whole.rate, STEP[-1:], 4000.0, seed=0)[0], [0.05, 0.5, 0.95])
    assert low < whole.log_loss[-1] < high
    assert abs(middle - whole.log_loss[-1]) < abs(whole.log_loss[69] - whole.log_loss[-1])
    # Nothing has shown what decay brings: the interval is wider than where three runs have.
    curves = [made(LAWS[1], TRUE, name, i) for i, name in enumerate(("constant", "cosine", "two_stage"))]
    sure = np.quantile(fit_schedules(curves).draws(whole.rate, STEP[-1:], 4000.0, seed=0)[0], [0.05, 0.95])
    assert high - low > 2 * (sure[1] - sure[0])


def test_other_runs_are_the_prior_and_the_curve_the_likelihood():
    curves = [made(LAWS[2], TRUE, name, i) for i, name in enumerate(("constant", "cosine", "two_stage"))]
    others = fit_schedules(curves)
    higher = made(LAWS[2], TRUE, "decay", 3)
    higher = LossCurve(higher.rate, STEP[:90], higher.log_loss[:90] + 0.004)
    both = begun(others, higher)
    end = np.array([4000.0])
    before, after = (np.median(fit.draws(higher.rate, end, 4000.0, seed=0)[0]) for fit in (others, both))
    assert 0.0005 < after - before < 0.006


def test_a_part_of_the_run_makes_its_forecast_no_vaguer():
    curves = [made(LAWS[2], TRUE, name, i) for i, name in enumerate(("constant", "cosine", "two_stage"))]
    others, whole, end = fit_schedules(curves), made(LAWS[2], TRUE, "decay", 3), np.array([4000.0])
    width = []
    for seen in (0, 66, 150):
        fit = begun(others, LossCurve(whole.rate, STEP[:seen], whole.log_loss[:seen]))
        draws = fit.draws(whole.rate, end, 4000.0, seed=0)[0]
        width.append(np.ptp(np.quantile(draws, [0.05, 0.95])))
    assert width[1] < 1.3 * width[0] and width[2] < 1.1 * width[0]
    # The others have been farther than the run: laws are held to be known until there.
    assert fit.known == others.known


def test_laws_that_leave_less_over_weigh_more_and_keep_their_weights_for_the_next_run():
    curves = [made(LAWS[2], {**TRUE, "ratio": -3.0}, name, i) for i, name in enumerate(("constant", "cosine", "decay"))]
    others = fit_schedules(curves)
    noise = [member.mode.noise for member in others.members]
    assert np.argmax(others.weights) == np.argmin(noise) == 2
    assert_allclose(others.weights.sum(), 1.0)
    assert_allclose(others.weights[0] / others.weights[2], (noise[2] / noise[0]) ** 4)
    young = made(LAWS[2], {**TRUE, "ratio": -3.0}, "two_stage", 3)
    # One value tells nothing between laws.
    one = LossCurve(young.rate, STEP[4:5], young.log_loss[4:5])
    assert_allclose(begun(others, one).weights, others.weights, atol=0.02)


def apart(sd: float) -> list[LossCurve]:
    """Runs with levels of their own, which no schedule explains."""
    curves = [made(MOMENTUM, TRUE, name, i) for i, name in enumerate(("constant", "cosine", "two_stage"))]
    return [one._replace(log_loss=one.log_loss + off) for one, off in zip(curves, (-sd, 0.0, sd), strict=True)]


def test_runs_that_differ_make_intervals_as_wide_as_held_out_ends_were_missed():
    alike, differ = fit_runs(apart(0.0)), fit_runs(apart(0.1))
    assert alike.differ < 2 * NOISE and not warned(alike)
    assert 0.05 < differ.differ < 0.5 and f"{differ.differ:.2g} of the loss" in warned(differ)[0]
    assert "laws weigh momentum" in said(alike)[0] and "count at least" in said(alike)[0]
    end = np.array([4000.0])
    draws = differ.draws(schedule("decay"), end, 4000.0, seed=0)[0]
    low, high = np.quantile(draws, [0.05, 0.95])
    # Student's t with three degrees of freedom: 2.35 sds to each side.
    assert high - low > 2 * 2.35 * differ.differ
    assert high - low < 2 * 2.35 * differ.differ + 0.4
    # One more run is not tied to them more than they are to each other.
    next_run = made(MOMENTUM, TRUE, "decay", 9)
    next_run = LossCurve(next_run.rate, STEP[:60], next_run.log_loss[:60] + 0.1)
    tied = begun(differ._replace(differ=0.0), next_run)
    assert begun(differ, next_run).members[0].mode.noise < tied.members[0].mode.noise


def test_one_run_that_died_widens_intervals_by_its_miss_and_no_more():
    died = made(MOMENTUM, TRUE, "constant", 5)._replace(log_loss=np.full(len(STEP), np.log(10.8)))
    fit = fit_runs([*apart(0.0), died])
    assert 0.3 < fit.differ < 1.3
    low, high = np.quantile(fit.draws(schedule("decay"), np.array([4000.0]), 4000.0, seed=0)[0], [0.05, 0.95])
    assert high - low < 8.0 and warned(fit)


def test_neither_names_nor_order_of_runs_change_what_is_held_out():
    curves = [made(MOMENTUM, TRUE, "cosine", i) for i in range(8)]
    curves[3] = curves[3]._replace(log_loss=curves[3].log_loss + 0.03)
    found = [
        fit_runs([curves[i] for i in order]).differ for order in (range(8), range(7, -1, -1), (3, 0, 1, 2, 7, 6, 5, 4))
    ]
    assert_allclose(found, found[0], rtol=0.05)
    assert found[0] > 0.005


def test_steps_do_not_depend_on_what_else_is_asked_nor_order_of_draws():
    fit = fit_schedules([made(MOMENTUM, TRUE, name, i) for i, name in enumerate(("constant", "cosine"))])
    rate = schedule("decay")
    alone = fit.draws(rate, np.array([4000.0]), 4000.0, seed=4)[0]
    together = fit.draws(rate, np.array([3000.0, 3500.0, 4000.0]), 4000.0, seed=4)
    assert_allclose(together[-1], alone, rtol=1e-12)
    # One draw is one path: neighbours go together.
    assert np.corrcoef(together[1], together[2])[0, 1] > 0.5
    many = np.linspace(200.0, 4000.0, 400)
    assert_allclose(fit.draws(rate, many, 4000.0, seed=4)[-1], alone, rtol=1e-9)


def test_blocks_are_means_without_the_warm_up():
    rate = rate_curve(np.array([0.0, 500.0, 4000.0]), np.array([0.0, 1.0, 1.0]))
    curve = LossCurve(rate, STEP, np.log(STEP))
    thin = blocks(curve)
    assert len(thin.step) <= 40 and thin.step[0] >= 500
    assert np.all(np.diff(thin.step) > 0)
    assert_allclose(thin.log_loss, np.log(thin.step), atol=5e-3)
    nothing = blocks(LossCurve(rate, STEP[:0], STEP[:0]))
    assert not len(nothing.step) and fit_schedules([nothing]) is None
    assert_array_equal(blocks(LossCurve(rate, STEP[-9:], STEP[-9:])).step, STEP[-9:])


def test_a_law_without_a_loss_above_zero_is_left_out(monkeypatch):
    """Where draws of a law have no loss by the end, the others speak; where none has one, draws are no numbers."""
    curves = [made(LAWS[1], TRUE, name, i) for i, name in enumerate(("constant", "cosine", "two_stage"))]
    fit, end = fit_schedules(curves), np.array([4000.0])
    assert len(fit.members) > 1
    silent, real = fit.members[0].law, type(fit.members[0].law).values

    def values(self, numbers, given):
        found = real(self, numbers, given)
        return np.full_like(found, np.nan) if self == silent or silent is None else found

    monkeypatch.setattr(type(silent), "values", values)
    rest = fit.weights[1:] / fit.weights[1:].sum()
    others = fit._replace(members=fit.members[1:], weights=rest)
    rate = schedule("decay")
    assert_allclose(fit.draws(rate, end, 4000.0, seed=0), others.draws(rate, end, 4000.0, seed=0))
    silent = None
    assert np.isnan(fit.draws(rate, end, 4000.0, seed=0)).all()
