"""Trust: what replays of one's own finished runs say of a forecast, kept with what is learnt of them."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import predictdyn as pdyn
from predictdyn.backtest.compare import macro_mean, skill
from predictdyn.backtest.trust import NOT_REPLAYED, TRUST_COLUMNS, ReplayedAt, _row
from predictdyn.curves import Metric
from predictdyn.fitting.stacking import resolved
from predictdyn.forecasters._replay_scores import COMPARED, ReplayScores, read_scores, scores_of
from predictdyn.scores import crps


@pytest.fixture(scope="module")
def found(curves):
    return pdyn.forecast(curves, forecaster="curve_ensemble")


def test_a_forecast_knows_how_its_replays_went(found):
    table = found.trust()
    assert list(table.columns) == TRUST_COLUMNS
    assert table["metric"].tolist() == ["val_acc", "val_loss"] and table["rests_on"].tolist() == ["val_acc", "val_loss"]
    assert (table["progress"] == 0.25).all(), "the origin that is nearest to the 30 % that are seen"
    assert (table["n_runs"] == 6).all() and (table["n_families"] == 6).all()
    assert table["coverage_90"].between(0, 1).all() and set(table["baseline"]) <= set(COMPARED)
    assert (table["skill_lo"] <= table["skill"]).all() and (table["skill"] <= table["skill_hi"]).all()


def test_it_is_saved_with_the_model(curves, found, tmp_path):
    model = pdyn.fit(curves, "curve_ensemble")
    model.save(tmp_path / "model")
    again = pdyn.load_model(tmp_path / "model").forecast(curves)
    pd.testing.assert_frame_equal(again.trust(), found.trust())


def test_where_nothing_was_replayed_it_says_so(curves):
    plain = pdyn.forecast(curves, forecaster="mean_change").trust()
    assert plain["note"].tolist() == [NOT_REPLAYED] * 2 and plain["skill"].isna().all()
    alone = pdyn.forecast(curves.select(runs=["r6", "r7"]), forecaster="curve_ensemble").trust()
    assert alone["note"].tolist() == [NOT_REPLAYED] * 2


def test_scores_of_replays_are_those_of_the_mixture_and_of_each_baseline():
    rng = np.random.default_rng(0)
    metric = Metric("gap", "bias")
    draws = rng.standard_normal((4, 3, 200))
    rows = [resolved(one, float(truth), metric, family, np.ones(3, dtype=bool))
            for one, truth, family in zip(draws, (0.0, 1.0, 9.0, -0.5), "abca", strict=True)]  # fmt: skip
    learnt = {"bias/gap": np.array([0.0, 1.0, 0.0, 1.0])}
    kept = scores_of(rows, ("structural", "last_value", "nearest_run"), learnt, ("a", "b", "c"), ("",))
    (one,) = read_scores({**learnt, **kept}).values()
    truth = np.array([0.0, 1.0, 9.0, -0.5])
    last = crps(truth, np.sort(draws[:, 1], axis=1))
    assert_allclose(one.compared[:, COMPARED.index("last_value")], last)
    assert_allclose(one.compared[:, COMPARED.index("nearest_run")], crps(truth, np.sort(draws[:, 2], axis=1)))
    assert np.isnan(one.compared[:, COMPARED.index("mean_change")]).all()
    assert_allclose(one.crps, last), "all weight on one member is that member"
    assert one.held.tolist() == [1, 1, 0, 1] and one.family.tolist() == [0, 1, 2, 0]


def test_a_metric_that_was_not_replayed_rests_on_its_kind_in_units_of_each():
    rng = np.random.default_rng(1)

    def scores(unit: float) -> ReplayScores:
        compared = unit * rng.uniform(1, 2, (8, 5))
        return ReplayScores(np.repeat(np.arange(4.0), 2), np.ones(8), 0.5 * compared[:, 0], compared, np.arange(8.0))

    small, large = scores(1.0), scores(1000.0)
    at = ReplayedAt(0.25, False, {("loss", "a"): small, ("loss", "b"): large, ("bias", "c"): small})
    from predictdyn.backtest.compare import Lots

    row = _row(at, "loss", "new", Lots(), 0)
    assert row["rests_on"] == "a, b" and row["n_runs"] == 8 and row["verdict"] == "too few runs to say"
    assert row["note"] == "4 families of finished runs; a verdict takes 5"
    compared = np.concatenate([one.compared / np.median(one.compared.mean(axis=0)) for one in (small, large)])
    own = np.concatenate([one.crps / np.median(one.compared.mean(axis=0)) for one in (small, large)])
    family, run = np.r_[small.family, large.family], np.arange(16)
    best = int(np.argmin([macro_mean(column, run, family) for column in compared.T]))
    assert row["baseline"] == COMPARED[best]
    assert row["skill"] == pytest.approx(skill(own, compared[:, best], run, family, seed=0).skill)
    assert _row(at, "capability", "acc", Lots(), 0)["note"] == NOT_REPLAYED


def test_an_outcome_on_a_bound_lies_inside_an_interval_that_ends_there():
    metric = Metric("share", "memorization", 0.0, 1.0)
    draws = np.r_[np.linspace(0.2, 0.9, 700), np.ones(300)][None]
    row = resolved(draws, 1.0, metric, "f", np.ones(1, dtype=bool))
    learnt = {"memorization/share": np.array([1.0, 1.2])}
    (table,) = scores_of([row], ["last_value"], learnt, ["f"], [""]).values()
    assert table[0, 1] == 1.0


def test_a_run_that_was_replayed_more_than_once_is_one_run():
    """The largest runs are left out in nested sets, so some come twice: 10 finished runs were told as 12."""
    rng = np.random.default_rng(2)
    compared = rng.uniform(1, 2, (12, 5))
    twice = np.r_[np.arange(8.0), np.arange(4.0)]
    one = ReplayScores(twice // 2, np.ones(12), 0.5 * compared[:, 0], compared, twice)
    from predictdyn.backtest.compare import Lots

    row = _row(ReplayedAt(0.25, True, {("loss", "a"): one}), "loss", "a", Lots(), 0)
    assert (row["n_runs"], row["n_families"]) == (8, 4)
