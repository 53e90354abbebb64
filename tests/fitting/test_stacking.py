"""Stacking: the CRPS that is minimised is the CRPS of the mixture, good members win, and the factor calibrates."""

import numpy as np
import pytest

from predictdyn.curves import Metric
from predictdyn.fitting.stacking import mixed, resolved, scaled, spread, stack, widened
from predictdyn.scales import Scale
from predictdyn.scores import crps

FREE = Metric("m", "signal")
SHARE = Metric("share", "memorization", 0.0, 1.0)


def rows(n, spreads, biases, seed=0, s=60):
    """n resolved forecasts by members with a given error and spread; the truth has unit sd around zero."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        truth = rng.normal()
        draws = [
            bias + truth * (1 - wide) + wide * rng.normal() + wide * rng.standard_normal(s)
            for wide, bias in zip(spreads, biases, strict=True)
        ]
        made.append(resolved(np.array(draws), truth, FREE))
    return made


def test_the_best_member_gets_the_weight():
    weight = stack(rows(150, (0.2, 1.0, 1.0), (0.0, 0.0, 4.0)), prior=1.0)
    assert weight.sum() == pytest.approx(1) and weight[0] > 0.9 and weight[2] < 0.02


def test_a_strong_prior_gives_equal_weights():
    assert stack(rows(20, (0.2, 1.0, 1.0), (0.0, 0.0, 4.0)), prior=1e6) == pytest.approx(np.full(3, 1 / 3), abs=1e-3)


def test_no_other_weights_have_a_lower_crps():
    made = rows(60, (0.5, 0.5), (0.7, -0.7))
    truth = np.zeros(len(made))
    off = scaled(made)

    def score(weight):
        draws = np.stack(
            [
                np.concatenate([np.repeat(one[0], round(100 * weight)), np.repeat(one[1], 100 - round(100 * weight))])
                for one in off
            ]
        )
        # Repeated draws make the plain, not the fair, CRPS of a weighted sample.
        pairs = np.abs(draws[:, :, None] - draws[:, None, :]).mean((1, 2)) / 2 if draws.shape[1] < 500 else None
        if pairs is None:
            ordered = np.sort(draws, axis=1)
            s = ordered.shape[1]
            pairs = ordered @ (2.0 * np.arange(1, s + 1) - s - 1) / s**2
        return float(np.mean(np.abs(draws - truth[:, None]).mean(1) - pairs))

    best = stack(made, prior=0.0)[0]
    assert score(best) <= min(score(best - 0.15), score(best + 0.15)) + 1e-3
    assert score(0.5) < min(score(0.0), score(1.0)), "biased to both sides, the mixture beats either"


def test_a_mixture_takes_each_share_of_draws():
    sample = mixed(np.array([0.25, 0.75]), np.stack([np.zeros(100), np.ones(100)]))
    assert len(sample) == 100 and sample.sum() == 75


@pytest.mark.parametrize(("claimed", "factor"), [(0.5, 2.0), (1.0, 1.0), (1.6, 0.625)])
def test_the_factor_restores_coverage(claimed, factor):
    rng = np.random.default_rng(1)
    made = [resolved(claimed * rng.standard_normal((1, 200)), rng.normal(), FREE) for _ in range(400)]
    assert spread(made, np.ones(1), prior=0.0) == pytest.approx(factor, rel=0.15)


def test_a_factor_moves_no_draw_off_a_bound():
    draws = np.array([0.2, 0.4, 0.6, 1.0, 1.0])
    out = widened(draws, Scale(0.0, 1.0, 0.004, at_upper=True), 0.5)
    assert out[3:].tolist() == [1.0, 1.0] and np.ptp(out[:3]) < np.ptp(draws[:3]) and out[1] == pytest.approx(0.4)


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
