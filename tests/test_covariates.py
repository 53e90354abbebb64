"""Covariates: what is encoded, how, and that test runs teach nothing."""

import numpy as np
import pandas as pd

from predictdyn.covariates import Encoder, encoder_for

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


def test_other_runs_are_encoded_with_the_statistics_of_the_history():
    encoder = encoder_for(RUNS)
    other = pd.DataFrame({"params": [1e9, np.nan], "optimizer": ["lion", "sgd"]})
    codes = encoder.encode(other)
    np.testing.assert_allclose(codes[:, 0], [2 * 1.5**0.5, 0])
    assert (codes[:, 1] == 0).all() and codes[0, 2:].tolist() == [-0.5, -0.5]


def test_json_round_trip():
    encoder = encoder_for(RUNS)
    assert Encoder.from_json(encoder.to_json()) == encoder
