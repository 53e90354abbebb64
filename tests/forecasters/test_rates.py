"""The planned rate of a run: from a schedule that is known ahead, else from its settings, else none and why."""

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from predictdyn.curves import Metric, curves_from
from predictdyn.forecasters._rates import NO_RATE, planned_rate, rate_metrics, rates_of

STEP = np.array([5.0, 10.0, 40.0, 90.0, 100.0])


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"lr": 0.2, "scheduler": "constant", "warmup_steps": 10}, [0.1, 0.2, 0.2, 0.2, 0.2]),
        ({"Learning Rate": 0.2, "lr_scheduler_type": "linear", "warmup_ratio": 0.1}, [0.1, 0.2, 0.4 / 3, 0.2 / 9, 0]),
        ({"peak_lr": 1.0, "schedule": "cosine", "warmup_steps": 10, "min_lr": 0.1},
         [0.5, 1.0, 0.1 + 0.45 * (1 + np.cos(np.pi / 3)), 0.1 + 0.45 * (1 + np.cos(np.pi * 8 / 9)), 0.1]),
        ({"lr": 1.0, "lr_schedule": "WSD", "decay_start": 80, "end_lr": 0.2}, [1, 1, 1, 0.6, 0.2]),
        ({"shape": "wsd", "cooldown_fraction": 0.5, "min_lr_ratio": 0.5}, [1, 1, 1, 0.6, 0.5]),
        ({"lr": 3.0, "schedule": "warmup_stable_decay", "warmup_steps": 10}, [1.5, 3, 3, 1.5, 0]),
        # A cosine that ends after the run, as where training was planned longer than it is asked of.
        ({"lr": 1.0, "lr_schedule": "linear", "total_steps": 200}, [0.975, 0.95, 0.8, 0.55, 0.5]),
    ],
)  # fmt: skip
def test_settings_say_the_rate(settings, wanted):
    assert_allclose(planned_rate(settings, 100.0).at(STEP), wanted, atol=2e-3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr": 0.1}, NO_RATE),
        ({"lr": 0.1, "schedule": float("nan")}, NO_RATE),
        ({"lr": 0.1, "schedule": "two_stage"}, "the settings say 'two_stage'; known shapes are constant, cosine"),
        ({"lr": 0.1, "schedule": "cosine", "warmup_steps": 100}, "found 100 of 100 steps"),
        ({"lr": -0.1, "schedule": "cosine"}, "found peak -0.1 and end 0"),
        ({"lr": 0.1, "schedule": "cosine", "min_lr": 0.2}, "found peak 0.1 and end 0.2"),
        ({"lr": 0.1, "schedule": "wsd", "warmup_steps": 50, "decay_start": 20}, "found step 20"),
    ],
)
def test_settings_that_are_no_schedule_are_told_in_one_line(settings, words):
    with pytest.raises(ValueError, match=re.escape(words)) as told:
        planned_rate(settings, 100.0)
    assert "\n" not in str(told.value)


def test_a_logged_schedule_counts_before_settings():
    points = pd.DataFrame(
        {"run": ["a"] * 4 + ["b"] * 2 + ["c"] * 2, "metric": ["lr", "lr", "loss", "loss"] + ["loss"] * 4}
    ).assign(step=[0, 100, 1, 2, 1, 2, 1, 2], value=[0.4, 0.0, 3.0, 2.0, 3.0, 2.0, 3.0, 2.0])
    runs = pd.DataFrame({"last_step": 100, "schedule": ["constant", "linear", None]}, index=pd.Index(list("abc")))
    metrics = {"lr": Metric("lr", "schedule"), "loss": Metric("loss", "loss", 0.0)}
    rates, why = rates_of(curves_from(points, runs, metrics))
    assert_allclose(rates["a"].at(STEP), 0.4 * (1 - STEP / 100))
    assert_allclose(rates["b"].at(STEP), 1 - STEP / 100)
    assert why == {"c": NO_RATE}


def test_a_rate_that_may_have_reacted_is_no_plan():
    names = ("lr", "train/lr", "lr-Adam/pg1", "optimizer.learning_rate", "batch_size", "lrs", "dropout")
    known = {name: Metric(name, "schedule") for name in names}
    assert rate_metrics(known) == ["lr", "train/lr", "lr-Adam/pg1", "optimizer.learning_rate"]
    assert rate_metrics({"lr": Metric("lr", "schedule", guessed=True), "learning_rate": Metric("lr", "signal")}) == []
