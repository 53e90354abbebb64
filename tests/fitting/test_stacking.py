"""Stacking: the CRPS that is minimised is the CRPS of the mixture, good members win, and the factor calibrates."""

import numpy as np
import pytest

from predictdyn.curves import Metric
from predictdyn.fitting.stacking import FACTORS, mixed, resolved, scaled, spread, stack, wanted, widened
from predictdyn.scales import LEAST_RISE, Scale
from predictdyn.scores import crps

FREE = Metric("m", "signal")
EVEN = np.full(3, 1 / 3)


def rows(n, spreads, biases, seed=0, s=60):
    """n resolved forecasts by members with a given error and spread; the truth has unit sd around zero."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        truth = rng.normal()
        draws = [
            bias + truth * (1 - wide) + wide * rng.normal() + wide * rng.standard_normal(s)
            for wide, bias in zip(spreads, biases, strict=True)
        ]
        made.append(resolved(np.array(draws), truth, FREE, str(i), np.ones(len(draws), dtype=bool)))
    return made


def test_the_best_member_gets_the_weight():
    weight = stack(rows(150, (0.2, 1.0, 1.0), (0.0, 0.0, 4.0)), EVEN, prior=1.0)
    assert weight.sum() == pytest.approx(1) and weight[0] > 0.9 and weight[2] < 0.02


@pytest.mark.parametrize("lean", [EVEN, np.array([0.1, 0.9, 0.0])], ids=["even", "uneven"])
def test_a_strong_prior_gives_the_weights_it_leans_to(lean):
    assert stack(rows(20, (0.2, 1.0, 1.0), (0.0, 0.0, 4.0)), lean, prior=1e6) == pytest.approx(lean, abs=1e-3)


def test_rows_outweigh_the_prior_as_they_grow_in_number():
    lean = np.array([0.0, 1.0])
    few, many = (stack(rows(n, (0.3, 1.0), (0.0, 0.0)), lean, prior=20.0)[0] for n in (4, 400))
    assert few < 0.3 < 0.8 < many


def test_among_many_families_a_mixture_must_be_surely_better_than_a_member_with_most_of_the_weight():
    # The second member adds little to the first; what its weight gains on forty families is luck.
    made = rows(40, (0.3, 0.8), (0.0, 0.0))
    assert stack(made, EVEN[:2] * 1.5, prior=8.0).tolist() == [1, 0]
    few = [row._replace(family=str(i % 10)) for i, row in enumerate(made)]
    assert 0 < stack(few, EVEN[:2] * 1.5, prior=8.0)[0] < 1
    # Where the weights leave no member with half, none of them takes all.
    some = [0.4, 0.3, 0.3]
    assert stack(rows(40, (0.3, 0.8, 0.8), (0.0,) * 3), np.array(some), prior=1e6) == pytest.approx(some, abs=1e-3)
    # Biased to both sides, the mixture is surely better.
    assert 0.2 < stack(rows(200, (0.3, 0.3), (0.7, -0.7)), EVEN[:2] * 1.5, prior=0.01)[0] < 0.8


def test_families_are_counted_not_rows():
    lean = np.array([0.0, 1.0])
    made = rows(400, (0.3, 1.0), (0.0, 0.0))
    four = [row._replace(family=str(i % 4)) for i, row in enumerate(made)]
    assert stack(four, lean, prior=20.0)[0] < 0.5 < 0.8 < stack(made, lean, prior=20.0)[0]
    # One family of many runs has no more to say than one of few.
    loud = rows(30, (0.3, 1.0), (0.0, 0.0)) + [row._replace(family="a") for row in rows(300, (1.0, 0.3), (0.0, 0.0))]
    assert stack(loud, EVEN[:2] * 1.5, prior=0.0)[0] > 0.9
    few = [str(i % 4) for i in range(100)]
    assert 1 < spread([1.5] * 100, few, prior=8.0) < 1.2 < spread([1.5] * 100, list(map(str, range(100))), prior=8.0)


def test_a_member_without_answers_gets_no_weight():
    made = [row._replace(good=np.array([False, True, True])) for row in rows(150, (0.2, 1.0, 1.0), (0.0, 0.0, 4.0))]
    weight = stack(made, EVEN, prior=1.0)
    assert weight[0] == 0 and weight.sum() == pytest.approx(1) and weight[1] > 0.9


def test_no_other_weights_have_a_lower_crps():
    off = scaled(made := rows(60, (0.5, 0.5), (0.7, -0.7)))

    def score(weight):
        # Repeated draws make the plain, not the fair, CRPS of a weighted sample.
        count = round(100 * weight)
        draws = np.stack([np.concatenate([np.repeat(a, count), np.repeat(b, 100 - count)]) for a, b in off])
        s = draws.shape[1]
        pairs = np.sort(draws, axis=1) @ (2.0 * np.arange(1, s + 1) - s - 1) / s**2
        return float(np.mean(np.abs(draws).mean(1) - pairs))

    best = stack(made, np.full(2, 0.5), prior=0.0)[0]
    assert score(best) <= min(score(best - 0.15), score(best + 0.15)) + 1e-3
    assert score(0.5) < min(score(0.0), score(1.0)), "biased to both sides, the mixture beats either"


def test_a_mixture_takes_each_share_of_draws():
    sample = mixed(np.array([0.25, 0.75]), np.stack([np.zeros(100), np.ones(100)]))
    assert len(sample) == 100 and sample.sum() == 75


def claims(claimed, n=400):
    """Forecasts whose spread is that of the truth times ``claimed``."""
    rng = np.random.default_rng(1)
    return [
        resolved(claimed * rng.standard_normal((1, 200)), rng.normal(), FREE, str(i), np.ones(1, dtype=bool))
        for i in range(n)
    ]


def factor_for(rows, prior=0.0, **rest):
    return spread([wanted(row, np.ones(1)) for row in rows], [row.family for row in rows], prior=prior, **rest)


@pytest.mark.parametrize(("claimed", "factor"), [(0.6, 1 / 0.6), (1.0, 1.0), (1.6, 0.625)])
def test_the_factor_restores_coverage(claimed, factor):
    assert factor_for(claims(claimed)) == pytest.approx(factor, rel=0.15)


@pytest.mark.parametrize(("claimed", "factor"), [(0.1, FACTORS[1]), (20.0, FACTORS[0])])
def test_the_factor_has_bounds(claimed, factor):
    assert factor_for(claims(claimed)) == pytest.approx(factor)


@pytest.mark.parametrize("n", [5, 40, 101])
def test_the_factor_is_the_least_that_holds_its_rank_of_truths(n):
    made = claims(1.0, n)
    factor = factor_for(made)

    def held(f):
        low, middle, high = np.array([np.quantile(row.draws, [0.05, 0.5, 0.95]) for row in made]).T
        truth = np.array([row.truth for row in made])
        return int(((middle + f * (low - middle) <= truth) & (truth <= middle + f * (high - middle))).sum())

    rank = min(int(np.ceil(0.9 * (n + 1))), n)
    assert held(factor * 1.0001) == rank and held(factor * 0.9999) < rank


def test_few_rows_leave_the_factor_where_it_is_pulled():
    made = claims(1.6, 3)
    alone, pulled, held = (factor_for(made, prior=prior, towards=1.8) for prior in (0.0, 3.0, 1e9))
    assert pulled == pytest.approx(np.sqrt(alone * 1.8)) and held == pytest.approx(1.8)


def test_a_factor_moves_no_draw_off_a_bound():
    scale, draws = Scale(0.0, 1.0, 0.004, at_upper=True), np.array([0.2, 0.4, 0.6, 1.0, 1.0])
    latent = scale.latent(draws) + np.array([0.0, 0.0, 0.0, 1.0, 2.0])  # two lie beyond the floor: on the bound
    out = scale.value(widened(latent, scale, 0.5))
    assert out[3:].tolist() == [1.0, 1.0] and np.ptp(out[:3]) < np.ptp(draws[:3]) and out[1] == pytest.approx(0.4)
    loss = widened(np.array([0.0, 1.0, 2.0]), Scale(0.0, None, 1e-6), 100.0)
    assert loss[2] <= 2 + LEAST_RISE and loss[0] < -50, "no higher above the highest than any run may rise"


def test_one_absurd_member_neither_sets_the_unit_nor_counts_without_end():
    made = rows(30, (0.2, 1.0, 1.0), (0.0, 0.0, 0.0))
    absurd = [one._replace(draws=np.concatenate([one.draws, np.full((1, 60), 1e12)])) for one in made]
    before, after = scaled(made), scaled(absurd)
    assert after[:, 3].max() == 50.0
    assert 0.4 < np.median(np.abs(after[:, :3])) / np.median(np.abs(before)) < 2.5


def test_crps_of_one_member_is_the_score():
    made = rows(30, (0.7,), (0.3,))
    each = np.array([crps(np.array([one.truth]), one.draws)[0] for one in made])
    off = scaled(made)
    s = off.shape[2]
    again = np.abs(off[:, 0]).mean(1) - off[:, 0] @ (2.0 * np.arange(1, s + 1) - s - 1) / (s * (s - 1))
    assert again == pytest.approx(each / each.mean())
