"""One curve described: its features as a dictionary."""

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import Metric, curves_from
from predictdyn.features import table


@pytest.fixture(scope="session")
def described():
    """A function: (values, steps, metric, share, last_step) -> the features of the curve, without a prefix."""

    def describe(value, step=None, metric=None, share=1.0, last_step=None):
        metric = metric or Metric("m", "signal")
        step = np.geomspace(1, 2 ** (len(value) - 1), len(value)) if step is None else np.asarray(step)
        points = pd.DataFrame({"run": "a", "metric": metric.name, "step": step, "value": value})
        runs = pd.DataFrame({"run": ["a"], "last_step": [last_step or float(np.max(step))]})
        row = table(curves_from(points, runs, {metric.name: metric}), share).iloc[0]
        return {name.removeprefix(f"{metric.name}:"): number for name, number in row.items() if ":" in name}

    return describe
