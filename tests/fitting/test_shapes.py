"""While tests run, arrays of fitting have the shapes that annotations say; `conftest` sees to it."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from predictdyn.fitting.change_gp import PlannedRuns
from predictdyn.fitting.copula import coupled, residuals
from predictdyn.fitting.multitask_gp import DenseLoading, factorize


def test_a_wrong_shape_is_seen_in_a_call():
    with pytest.raises(TypeCheckError, match="change"):
        residuals(np.zeros(3), np.zeros(4))
    with pytest.raises(TypeCheckError, match="ranks"):
        coupled(np.zeros((2, 3)), np.zeros((2, 3)))
    one = np.ones((2, 1, 1))
    with pytest.raises(TypeCheckError, match="prior"):
        factorize(np.ones((2, 1)), one, DenseLoading(one), np.ones((1, 2)))


def test_a_wrong_shape_is_seen_in_a_named_tuple():
    two = np.zeros(2)
    assert PlannedRuns(two, two, np.zeros((2, 5)), two).rows(np.array([0])).rest.shape == (1, 5)
    with pytest.raises(TypeCheckError, match="log_size"):
        PlannedRuns(two, np.zeros(3), np.zeros((2, 5)), two)
