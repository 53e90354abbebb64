"""Two metrics against each other, and which pairs are looked at."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import linregress, norm

from predictdyn.curves import Metric, curves_from
from predictdyn.features import table
from predictdyn.features.relations import pairs

CLEAN = Metric("clean", "capability", 0.0, 1.0, "higher")
NOISY = Metric("noisy", "robustness", 0.0, 1.0, "higher")
LOSS = Metric("test_loss", "loss", 0.0, None, "lower")


def curves(of, metrics):
    """Curves of one run from metric -> (steps, values)."""
    parts = [
        pd.DataFrame({"run": "a", "metric": name, "step": step, "value": value}) for name, (step, value) in of.items()
    ]
    return curves_from(pd.concat(parts), None, {metric.name: metric for metric in metrics})


def test_accuracy_on_the_line_of_probits():
    step = np.geomspace(1, 512, 10)
    x = np.log(step)
    left, right = -0.3 + 0.1 * x + 0.05 * np.sin(3 * x), -1.0 + 0.4 * x
    found = table(curves({"clean": (step, norm.cdf(right)), "noisy": (step, norm.cdf(left))}, [CLEAN, NOISY]), 1.0)
    row = {name.removeprefix("noisy/clean:"): value for name, value in found.iloc[0].items()}
    line = linregress(right, left)

    def level(z):
        return np.sort(z[-5:])[1:4].mean()

    assert_allclose(row["difference"], level(left - right))
    assert_allclose(row["line_slope"], line.slope)
    assert_allclose(row["line_residual"], level(left) - line.intercept - line.slope * level(right))
    assert_allclose(row["ratio"], np.log(norm.cdf(left[-5:]).mean() / norm.cdf(right[-5:]).mean()))
    weight = np.sqrt(np.arange(1, 6) / 5)
    assert_allclose(row["difference_slope"], np.polyfit(x[-5:], (left - right)[-5:], 1, w=weight)[0])


@pytest.mark.parametrize("swap", [False, True])
def test_only_steps_that_both_have_count(swap):
    step = np.arange(1.0, 13.0)
    rng = np.random.default_rng(0)
    noisy, clean = rng.uniform(0.2, 0.8, (2, 12))
    both = np.isin(step, (2, 3, 5, 8, 9, 11))
    other = both | np.isin(step, (1, 12))
    of_noisy, of_clean = (other, both) if swap else (both, other)
    metrics = [CLEAN, NOISY]
    sparse = curves({"noisy": (step[of_noisy], noisy[of_noisy]), "clean": (step[of_clean], clean[of_clean])}, metrics)
    whole = curves({"noisy": (step[both], noisy[both]), "clean": (step[both], clean[both])}, metrics)
    names = [f"noisy/clean:{name}" for name in ("difference", "ratio", "line_slope", "line_residual")]
    assert_allclose(table(sparse, 1.0)[names], table(whole, 1.0)[names])


def test_metrics_that_never_meet_have_no_relation():
    apart = curves({"noisy": ([1, 3, 5], [0.2, 0.3, 0.4]), "clean": ([2, 4, 6], [0.2, 0.3, 0.4])}, [CLEAN, NOISY])
    assert table(apart, 1.0).filter(like="noisy/clean:").isna().all(axis=None)
    alone = curves({"noisy": ([1, 3, 5], [0.2, 0.3, 0.4])}, [CLEAN, NOISY])
    assert table(alone, 1.0).filter(like="noisy/clean:").isna().all(axis=None)


def test_pairs_follow_kinds_and_directions():
    metrics = [
        Metric("train_loss", "loss", 0.0, None, "lower"),
        LOSS,
        CLEAN,
        Metric("second", "capability", 0.0, 1.0, "higher"),
        Metric("worst_group", "bias", 0.0, 1.0, "higher"),
        Metric("gap", "bias", -1.0, 1.0, "zero"),
        NOISY,
        Metric("shifted_loss", "robustness", 0.0, None, "lower"),
        Metric("train-accuracy", "signal", 0.0, 1.0),
        Metric("test-accuracy", "capability", 0.0, 1.0, "higher"),
    ]
    assert pairs({metric.name: metric for metric in metrics}) == [
        ("test_loss", "clean"),
        ("worst_group", "clean"),
        ("noisy", "clean"),
        ("shifted_loss", "test_loss"),
        ("train_loss", "test_loss"),
        ("train-accuracy", "test-accuracy"),
    ]
    assert pairs({"g": Metric("g", "signal")}) == []
