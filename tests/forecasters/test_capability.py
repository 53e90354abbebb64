"""capability_from_loss: accuracies by way of the loss; the run's own offset; statuses where it has no answer."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.forecasters import fit
from predictdyn.forecasters.capability import NO_MEASURE, NOT_BOUNDED

STEP = np.array([2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100])
METRICS = {
    "loss": Metric("loss", "loss", 0.0, None, "lower"),
    "perplexity": Metric("perplexity", "capability", 1.0, None, "lower"),
    "accuracy": Metric("accuracy", "capability", 0.0, 1.0, "higher", 0.25),
    "unrelated": Metric("unrelated", "capability", 0.0, 1.0, "higher", 0.5),
    "gap": Metric("gap", "bias", -1.0, 1.0, "zero", 0.0),
}


def suite(n: int = 12, seed: int = 0, offset: float = 0.0, metrics: tuple[str, ...] = tuple(METRICS)) -> Curves:
    """Runs whose accuracy is that of their loss, and which is their own offset away; accuracy rises late and fast."""
    random = np.random.default_rng(seed)
    frames, runs = [], []
    for i in range(n):
        size = 10 ** random.uniform(6, 8)
        loss = 1.8 + 300 * size**-0.34 + 1.6 * (STEP / 5) ** -0.55
        loss = loss * np.exp(0.004 * random.standard_normal() + 0.001 * random.standard_normal(len(STEP)))
        own = offset if i == 0 else 0.05 * random.standard_normal()
        p = 0.25 + 0.75 * expit(4.0 * (3.1 + own - loss))
        values = {
            "loss": loss, "perplexity": np.exp(loss), "accuracy": random.binomial(2000, p) / 2000,
            "unrelated": 0.5 + 0.05 * random.standard_normal(len(STEP)),
            "gap": 0.1 * random.standard_normal(len(STEP)),
        }  # fmt: skip
        frames += [
            pd.DataFrame({"run": f"r{i:02}", "metric": name, "step": STEP, "value": values[name]}) for name in metrics
        ]
        runs.append((f"r{i:02}", f"r{i:02}", 100, size))
    table = pd.DataFrame(runs, columns=["run", "family", "last_step", "params"]).set_index("run")
    return curves_from(pd.concat(frames), table, {name: METRICS[name] for name in metrics})


def asked(curves: Curves, run: str = "r00", cutoff: float = 0.3, metrics=("accuracy",), step=(100,), name=None, seed=0):
    others = curves.select(runs=curves.runs.index.difference([run]))
    rows = [(run, metric, one) for metric in metrics for one in step]
    target = pd.DataFrame(rows, columns=["run", "metric", "step"])
    model = fit(name or "capability_from_loss", others)
    return model.forecast(curves.select(runs=[run]).truncate(cutoff), target, seed=seed)


def end(curves: Curves, metric: str = "accuracy", run: str = "r00") -> float:
    return float(curves.series[run, metric].value[-1])


def test_an_accuracy_that_has_hardly_begun_is_forecast_from_the_loss():
    errors, inside = [], []
    for seed in range(4):
        curves = suite(seed=seed)
        found = asked(curves, cutoff=0.11)
        low, middle, high = np.quantile(found.draws[0], (0.05, 0.5, 0.95))
        assert found.status.tolist() == ["ok"]
        errors.append(abs(middle - end(curves)))
        inside.append(low < end(curves) < high)
    assert np.mean(errors) < 0.04
    assert sum(inside) >= 3


def test_a_run_that_is_better_than_its_loss_says_so_early():
    with_offset, without = suite(offset=0.35), suite(offset=0.0)
    better, usual = (np.median(asked(one, cutoff=0.3).draws[0]) for one in (with_offset, without))
    assert end(with_offset) > end(without) + 0.08
    assert better > usual + 0.05
    # Without checkpoints of the accuracy the offset cannot be known.
    points = with_offset.points
    hidden = with_offset.points[~((points["run"] == "r00") & (points["metric"] == "accuracy") & (points["step"] < 100))]
    blind = Curves(hidden, with_offset.runs, with_offset.metrics, with_offset.events)
    assert np.median(asked(blind, cutoff=0.3).draws[0]) < better - 0.03


def test_a_run_of_which_nothing_is_seen_is_forecast_from_its_plan():
    curves = suite(16)
    found = asked(curves, cutoff=0.0)
    low, high = np.quantile(found.draws[0], (0.03, 0.97))
    assert found.status.tolist() == ["ok"]
    assert low < end(curves) < high
    assert high - low < 0.6


def test_an_outcome_without_relation_to_the_loss_keeps_its_spread():
    curves = suite()
    low, high = np.quantile(asked(curves, metrics=["unrelated"]).draws[0], (0.05, 0.95))
    assert 0.1 < high - low < 0.35
    assert low < 0.5 < high


def test_draws_at_several_steps_rise_with_training():
    found = asked(suite(), step=(50, 80, 100))
    assert (np.diff(np.median(found.draws, axis=1)) > 0).all()


def test_a_perplexity_will_do():
    curves = suite(metrics=("perplexity", "accuracy"))
    found = asked(curves)
    assert found.status.tolist() == ["ok"]
    assert abs(np.median(found.draws[0]) - end(curves)) < 0.08


def test_where_it_has_no_answer_it_says_why():
    curves = suite()
    found = asked(curves, metrics=("loss", "gap"))
    assert found.status.tolist() == [NOT_BOUNDED, NOT_BOUNDED]
    assert asked(suite(metrics=("accuracy", "gap"))).status.tolist() == [NO_MEASURE]
    few = curves.select(runs=["r00", "r01", "r02"])
    assert asked(few).status.tolist() == [NO_MEASURE]
    assert np.isfinite(asked(few).draws).all()
    no_plan = suite()
    bare = Curves(no_plan.points, no_plan.runs.drop(columns="params"), no_plan.metrics, no_plan.events)
    (status,) = asked(bare, cutoff=0.0).status
    assert status == "nothing seen: mean of finished runs"


def test_no_answer_depends_on_other_questions_and_equal_seeds_agree():
    curves = suite()
    alone = asked(curves)
    among = asked(curves, metrics=("accuracy", "unrelated"))
    assert_array_equal(np.sort(alone.draws[0]), np.sort(among.draws[0]))
    other = asked(curves, seed=1)
    assert (np.sort(alone.draws[0]) != np.sort(other.draws[0])).any()
    assert_allclose(np.median(alone.draws[0]), np.median(other.draws[0]), atol=0.02)


def test_the_future_of_the_run_is_not_looked_at():
    curves = suite()
    changed = curves.points.copy()
    later = (changed["run"] == "r00") & (changed["step"] > 30)
    changed.loc[later, "value"] = changed.loc[later, "value"] * 0.5
    other = Curves(changed, curves.runs, curves.metrics, curves.events)
    assert_array_equal(asked(curves).draws, asked(other).draws)


@pytest.mark.parametrize("cutoff", [0.0, 0.3])
def test_draws_stay_in_their_range(cutoff):
    draws = asked(suite(), cutoff=cutoff).draws
    assert ((draws >= 0) & (draws <= 1)).all()
