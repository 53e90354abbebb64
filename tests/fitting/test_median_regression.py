"""Median regression: a column that says nothing of the rows learnt from says nothing of other rows either."""

import numpy as np

from predictdyn.fitting.median_regression import MedianRegression


def test_a_column_that_differs_by_rounding_alone_moves_no_answer():
    """With its sd as the unit, about 1e-17, a row with 0.2 there lay 1e16 units away, and its answer with it."""
    rng = np.random.default_rng(0)
    column = np.where(rng.random(20) < 0.5, 0.1, np.nextafter(0.1, 1.0))
    assert 0 < np.ptp(column) < 1e-16
    x = np.column_stack([rng.standard_normal(20), column])
    learnt = MedianRegression(directions=2, rows_each=8).fit(x, 1 + 2 * x[:, 0])
    there, elsewhere = learnt.predict(np.array([[1.0, 0.1], [1.0, 0.2]]))
    np.testing.assert_allclose([there, elsewhere], 3.0, atol=1e-6)
