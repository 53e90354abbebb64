"""Median regression: a column that says nothing of the rows learnt from says nothing of other rows either."""

import numpy as np

from predictdyn.fitting.median_regression import MedianRegression


def test_a_column_that_never_varied_moves_no_answer():
    """The sd of 20 times 0.1 is 1e-17, by rounding: a row with 0.2 there lay 1e16 units away, and so did its answer."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.standard_normal(20), np.full(20, 0.1)])
    assert x[:, 1].std() > 0
    learnt = MedianRegression(directions=2, rows_each=8).fit(x, 1 + 2 * x[:, 0])
    there, elsewhere = learnt.predict(np.array([[1.0, 0.1], [1.0, 0.2]]))
    np.testing.assert_allclose([there, elsewhere], 3.0, atol=1e-6)
