"""Sizes drawn again: what counts as one size, and that whole sizes come or go."""

import numpy as np

from predictdyn.laws.resampling import resamples, size_input, sizes_of


def test_near_values_are_one_size():
    logs = np.log([1e8, 1.005e8, 2e8, 1e8, 5e9])
    assert sizes_of(logs).tolist() == [0, 0, 1, 0, 2]


def test_the_input_that_repeats_is_the_size():
    size = np.repeat(np.log([1e7, 1e8, 1e9, 1e10]), 5)
    tokens = np.random.default_rng(0).uniform(0, 30, 20)  # a wider spread, and no value twice
    assert size_input(np.stack([tokens, size], axis=1)) == 1
    assert size_input(np.stack([tokens, 0.1 * tokens], axis=1)) == 0  # none repeats: the widest


def test_a_resample_takes_whole_sizes():
    logs = np.repeat(np.log([1e7, 3e7, 1e8, 3e8, 1e9, 3e9]), [1, 2, 3, 4, 5, 6])
    counts = resamples(logs, 200, 0)
    for size in np.unique(logs):
        assert (counts[:, logs == size] == counts[:, logs == size][:, :1]).all()
    per_size = counts[:, np.unique(logs, return_index=True)[1]]
    assert (per_size.sum(axis=1) == 6).all()
    assert abs(per_size.mean() - 1) < 1e-12


def test_few_sizes_are_runs():
    counts = resamples(np.repeat(np.log([1e7, 1e9]), 10), 50, 0)
    assert (counts.sum(axis=1) == 20).all()
    assert (counts[:, :10].std(axis=1) > 0).all()
