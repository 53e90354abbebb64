"""The ladder: from plans to losses to outcomes, with what is not known carried all the way."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit

from predictdyn.laws.ability import ability_from
from predictdyn.laws.ladder import OutcomeFacts, ladder_of, widened_share
from predictdyn.laws.ladder_account import numbers_of, written

INPUTS = ["params", "tokens"]


def loss_of(runs: pd.DataFrame) -> np.ndarray:
    return (1.7 + 400 / runs["params"] ** 0.34 + 410 / runs["tokens"] ** 0.28).to_numpy()


def suite(n: int = 36, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    runs = pd.DataFrame({"params": 10 ** random.uniform(6, 8.5, n), "tokens": 10 ** random.uniform(8, 10, n)})
    runs["loss"] = loss_of(runs) * np.exp(0.01 * random.standard_normal(n))
    for name, half in (("easy", 3.6), ("hard", 3.0)):
        runs[name] = random.binomial(1000, 0.25 + 0.75 * expit(2.5 * (half - runs["loss"]))) / 1000
    return runs


OUTCOMES = [OutcomeFacts("easy", chance=0.25, items=1000.0), OutcomeFacts("hard", chance=0.25, items=1000.0)]


@pytest.fixture(scope="module")
def ladder():
    return ladder_of(suite(), OUTCOMES, ["loss"], INPUTS)


def test_larger_runs_are_forecast_through_both_steps(ladder):
    larger = pd.DataFrame({"params": [1e9, 1e9], "tokens": [2e10, 6e10]})
    low, high = np.quantile(ladder.draws(larger, seed=0, noise=False), (0.03, 0.97), axis=2)
    truth = np.stack([0.25 + 0.75 * expit(2.5 * (half - loss_of(larger))) for half in (3.6, 3.0)])
    assert ((low < truth) & (truth < high)).all()
    assert (high - low < 0.35).all()


def test_what_is_not_known_of_the_loss_is_not_known_of_the_outcome(ladder):
    """The spread through both steps is that of the second alone, plus what the first one adds."""
    plan = pd.DataFrame({"params": [1e9], "tokens": [3e10]})
    through = ladder.draws(plan, n=2000, seed=0)
    loss = np.exp(ladder.measures(plan, n=2000, seed=0)[0, 0])
    given = ladder.draws(pd.DataFrame({"loss": [float(np.median(loss))]}), n=2000, seed=0)
    assert (through.std(axis=2) > given.std(axis=2)).all()
    assert_allclose(np.median(through, axis=2), np.median(given, axis=2), atol=0.03)
    # A draw whose loss is lower has better outcomes, and both outcomes go together.
    ranks = pd.DataFrame({"loss": loss, "easy": through[0, 0], "hard": through[1, 0]}).corr("spearman")
    assert ranks.loc["loss", "easy"] < -0.1
    assert ranks.loc["easy", "hard"] > 0.03


def test_a_plan_that_gives_the_loss_needs_no_law():
    ladder = ladder_of(suite(), OUTCOMES, ["loss"], None)
    assert ladder.steps == ()
    table = pd.DataFrame({"loss": [3.0, np.nan]})
    assert ladder.status(table).tolist() == ["ok", "a measure is missing"]
    draws = ladder.draws(table, seed=0)
    assert np.isnan(draws[:, 1]).all()
    assert_allclose(np.median(draws[:, 0], axis=1), [0.25 + 0.75 * expit(1.5), 0.625], atol=0.025)


def test_a_group_shifts_ability_and_an_unknown_one_is_less_sure():
    runs = suite(40)
    runs["data"] = np.where(np.arange(40) % 2, "web", "code")
    shifted = runs["loss"] + np.where(runs["data"] == "web", -0.35, 0.35)
    runs["hard"] = np.random.default_rng(3).binomial(1000, 0.25 + 0.75 * expit(2.5 * (3.0 - shifted))) / 1000
    ladder = ladder_of(runs, OUTCOMES[1:], ["loss"], ["data", *INPUTS])
    asked = pd.DataFrame({"data": ["web", "code", "books"], "loss": [3.0, 3.0, 3.0]})
    draws = ladder.draws(asked, seed=0)[0]
    web, code, books = np.median(draws, axis=1)
    assert web > code + 0.15
    assert draws[2].std() > draws[:2].std(axis=1).max()
    assert code - 0.05 < books < web + 0.05


def test_several_losses_are_one_ability():
    runs = suite(40)
    random = np.random.default_rng(5)
    for name in ("web", "code"):
        runs[name] = runs["loss"] * (1.2 if name == "code" else 1.0) * np.exp(0.02 * random.standard_normal(40))
    one = ladder_of(runs, OUTCOMES, ["web"], INPUTS)
    two = ladder_of(runs, OUTCOMES, ["web", "code"], INPUTS)
    assert two.ability.n_parts >= 1
    good = -one.ability.components(runs)[0], -two.ability.components(runs)[0]
    truth = -np.log(runs["loss"])
    # A mean of two noisy measures is nearer to what both measure.
    assert np.corrcoef(good[1], truth)[0, 1] > np.corrcoef(good[0], truth)[0, 1]
    larger = pd.DataFrame({"params": [1e9], "tokens": [2e10]})
    low, high = np.quantile(two.draws(larger, seed=0), (0.03, 0.97), axis=2)
    truth = np.array([[0.25 + 0.75 * expit(2.5 * (half - loss_of(larger)[0]))] for half in (3.6, 3.0)])
    assert ((low < truth) & (truth < high)).all()


@pytest.mark.parametrize("turned", ["loss", "log-probability", "margin", "probability"])
def test_a_measure_of_any_sign_becomes_ability(turned):
    runs = suite()
    loss = runs["loss"].to_numpy()
    value = {
        "loss": loss, "log-probability": -loss, "margin": 3.0 - loss, "probability": np.exp(-loss),
    }[turned]  # fmt: skip
    table = pd.DataFrame({"x": value})
    ability = ability_from(table, ["x"], runs[["hard"]].to_numpy())
    rising = ability.on_scales(ability.components(table)[0])
    assert (np.argsort(rising, axis=1) == np.argsort(-loss)).all()
    assert_allclose(rising.mean(axis=1), 0, atol=1e-9)
    assert_allclose(rising.std(axis=1), 1)


def test_a_measure_that_does_not_vary_is_told():
    runs = suite().assign(loss=3.0)
    with pytest.raises(ValueError, match=r"measure 'loss' is 3 in all 36 rows, so it tells nothing"):
        ladder_of(runs, OUTCOMES, ["loss"], INPUTS)
    with pytest.raises(ValueError, match="need 5 rows with all of these and an outcome, got 4"):
        ladder_of(suite().head(4), OUTCOMES, ["loss"], INPUTS)


def test_checkpoints_teach_the_second_step_and_runs_differ():
    random = np.random.default_rng(0)
    frames = []
    for run in range(8):
        loss = np.linspace(4.2, 3.2 - 0.05 * run, 15)
        accuracy = 0.25 + 0.75 * expit(2.5 * (3.2 + 0.15 * random.standard_normal() - loss))
        frames.append(pd.DataFrame({"run": f"r{run}", "loss": loss, "hard": accuracy}))
    rows = pd.concat(frames, ignore_index=True)
    ends = rows.groupby("run").tail(1).reset_index(drop=True)
    ladder = ladder_of(ends, OUTCOMES[1:], ["loss"], None, rows=rows)
    low, middle, high = np.quantile(ladder.draws(pd.DataFrame({"loss": [3.0]}), seed=0)[0, 0], (0.05, 0.5, 0.95))
    assert abs(middle - (0.25 + 0.75 * expit(0.5))) < 0.06
    # Runs differ by .15 in loss: .07 in accuracy, which must be in the interval of a new run.
    assert 0.1 < high - low < 0.4


def test_an_outcome_without_relation_to_the_loss_promises_nothing():
    random = np.random.default_rng(0)
    runs = suite(30).assign(hard=0.25 + 0.5 * random.beta(2, 2, 30))
    larger = pd.DataFrame({"params": [1e9], "tokens": [1e11]})
    low, high = np.quantile(ladder_of(runs, OUTCOMES[1:], ["loss"], INPUTS).draws(larger, seed=0)[0, 0], (0.05, 0.95))
    assert high - low > 0.8 * np.ptp(runs["hard"].quantile([0.05, 0.95]))


def test_errors_are_outcomes_too():
    runs = suite()
    turned = runs.assign(error=1 - runs["hard"])
    plan = pd.DataFrame({"loss": [2.8]})
    accuracy = ladder_of(runs, OUTCOMES[1:], ["loss"], None).draws(plan, seed=0)[0, 0]
    error = ladder_of(
        turned, [OutcomeFacts("error", better="lower", chance=0.75, items=1000.0)], ["loss"], None
    ).draws(plan, seed=0)[0, 0]  # fmt: skip
    assert_allclose(np.quantile(error, (0.1, 0.5, 0.9)), 1 - np.quantile(accuracy, (0.9, 0.5, 0.1)), atol=1e-3)


def test_the_formula_is_that_of_the_runs(ladder):
    numbers = numbers_of(ladder, 1)
    median = {one.symbol: one.median for one in numbers}
    assert abs(median["F"] - 0.25) < 0.02
    assert abs(median["L"] - 3.0) < 0.25
    # The slope of the log odds by the logarithm of the loss, at the middle.
    assert 0.6 * 7.5 < median["k"] < 1.7 * 7.5
    symbols, filled = written(ladder, 1, numbers)
    assert symbols == "hard = F + (C - F) / (1 + (loss / L)^k)"
    assert filled.startswith("hard = 0.2")


def test_draws_are_widened_around_their_medians_within_their_range():
    draws = np.random.default_rng(0).uniform(0.2, 0.6, (2, 1001))
    wide = widened_share(draws, 1.5, bounded=True)
    assert_allclose(np.median(wide, axis=1), np.median(draws, axis=1))
    assert (wide.std(axis=1) > 1.3 * draws.std(axis=1)).all()
    assert ((wide > 0) & (wide < 1)).all()
    assert_allclose(np.log(widened_share(draws, 2.0, bounded=False)).std(), 2 * np.log(draws).std(), rtol=0.01)
