"""Covariates: what is encoded, how, and that test runs teach nothing."""

import numpy as np
import pandas as pd
import pytest

from predictdyn.covariates import FAR, Encoder, encoder_for, known_before
from predictdyn.curves import Metric, curves_from

RUNS = pd.DataFrame(
    {
        "family": ["a", "b", "c"],
        "last_step": [10, 10, 10],
        "seed": [1, 2, 3],
        "params": [1e6, 1e7, 1e8],
        "rate": [0.1, 0.2, 0.3],
        "optimizer": ["sgd", "adamw", "sgd"],
    }
)


def test_logs_indicators_and_what_is_left_out():
    encoder = encoder_for(RUNS)
    assert encoder.names == ["params", "rate", "optimizer=adamw", "optimizer=sgd"]
    codes = encoder.encode(RUNS)
    np.testing.assert_allclose(codes[:, 0], [-(1.5**0.5), 0, 1.5**0.5])
    np.testing.assert_allclose(codes[:, :2].mean(0), 0, atol=1e-12)
    assert codes[:, 3].tolist() == [0.5, -0.5, 0.5]


def test_ends_that_are_alike_to_two_percent_are_one_length():
    """A spread of a few steps as the unit made an end of 12,000 an extrapolation over 200 units."""
    assert "last_step" not in encoder_for(RUNS.assign(last_step=[11729, 11732, 11730])).names
    assert "last_step" in encoder_for(RUNS.assign(last_step=[11729, 11732, 12000])).names


def test_a_run_lies_no_further_than_a_line_can_be_trusted():
    """Sizes that differ by parts in a million put a run of twice the size at 5e-131 to 12.6, with a median of 1.4."""
    encoder = encoder_for(RUNS[["family", "last_step"]].assign(params=[11_173_962, 11_173_970, 11_174_475]))
    assert encoder.encode(pd.DataFrame({"params": [21_300_000, 11_000_000]}))[:, 0].tolist() == [FAR, -FAR]
    sizes = encoder_for(RUNS)
    np.testing.assert_allclose(sizes.encode(pd.DataFrame({"params": [1e10]}))[0, 0], 3 * 1.5**0.5)


def test_other_runs_are_encoded_with_the_statistics_of_the_history():
    encoder = encoder_for(RUNS)
    other = pd.DataFrame({"params": [1e9, np.nan], "optimizer": ["lion", "sgd"]})
    codes = encoder.encode(other)
    np.testing.assert_allclose(codes[:, 0], [2 * 1.5**0.5, 0])
    assert (codes[:, 1] == 0).all() and codes[0, 2:].tolist() == [-0.5, -0.5]


def test_json_round_trip():
    encoder = encoder_for(RUNS)
    assert Encoder.from_json(encoder.to_json()) == encoder


def ended(**columns) -> tuple[set[str], list[str]]:
    """The columns of ten ended runs (final accuracies 0.1 to 1.0) that are left out, and what is said."""
    final = np.arange(1, 11) / 10
    rows = [{"run": f"r{i}", "metric": "Val/Accuracy", "step": s, "value": final[i]} for i in range(10) for s in (1, 9)]
    runs = pd.DataFrame({"run": [f"r{i}" for i in range(10)], "last_step": 9, **columns})
    curves = curves_from(pd.DataFrame(rows), runs, {"Val/Accuracy": Metric("Val/Accuracy", "capability", 0.0, 1.0)})
    kept, lines = known_before(curves)
    return set(curves.runs.columns) - set(kept.runs.columns), lines


@pytest.mark.parametrize(
    "name",
    ["final_accuracy", "best_val_loss", "last_f1", "test_acc", "val/mIoU", "top1_accuracy", "loss", "val_accuracy",
     "Best Epoch", "train-loss"],
)  # fmt: skip
def test_a_column_that_has_the_name_of_an_outcome_is_not_used_and_said(name):
    out, lines = ended(**{name: np.random.default_rng(0).random(10)})
    assert out == {name} and len(lines) == 1
    assert f"column {name} of runs has the name of an outcome" in lines[0] and f"call it planned_{name}" in lines[0]


@pytest.mark.parametrize(
    "name",
    ["final_lr", "last_layer_lr", "best_of_scale", "test_size", "val_fraction", "loss_weight", "label_smoothing",
     "planned_final_sparsity", "peak_learning_rate", "params"],
)  # fmt: skip
def test_a_column_that_was_decided_beforehand_is_used_without_a_word(name):
    assert ended(**{name: np.random.default_rng(0).random(10)}) == (set(), [])


def test_words_are_settings_whatever_they_are_called():
    assert ended(loss=["mse", "huber"] * 5, final_accuracy=[None] * 10) == (set(), [])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.arange(10.0) ** 2, True),
        (-np.arange(10.0), True),
        (np.array([0, 1, 2, 3, 4, 5, 6, 9, 7, 8.0]), False),
        (np.repeat([0.0, 1.0], 5), False),
        (np.where(np.arange(10) < 7, np.arange(10.0), np.nan), False),
    ],
    ids=["the order", "the reverse", "nearly", "two levels", "seven runs"],
)
def test_a_column_that_ranks_runs_as_an_outcome_does_is_told(values, told):
    out, lines = ended(elo=values, steps_done=np.arange(10.0))
    assert out == set() and len(lines) == int(told)
    assert not told or "column elo of runs ranks the ended runs as their final Val/Accuracy does" in lines[0]
