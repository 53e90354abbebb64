"""Frames as a user has them: six finished runs and two that go on, with an accuracy and a loss."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from predictdyn import Curves

matplotlib.use("Agg")
END = 200


def wide(runs: int = 8, seen: int = 6, points: int = 20) -> pd.DataFrame:
    """One row a step; the last two runs have ``seen`` of ``points`` points."""
    rng = np.random.default_rng(0)
    step = np.linspace(END / points, END, points).astype(int)
    frames = []
    for i in range(runs):
        n = points if i < runs - 2 else seen
        rise = 60 + 6 * rng.random()
        accuracy = 0.9 * (1 - np.exp(-step / rise)) + 0.01 * rng.standard_normal(points)
        loss = 0.3 + 2 * np.exp(-step / rise) + 0.01 * rng.standard_normal(points)
        frames.append(pd.DataFrame({"run": f"r{i}", "step": step, "val_acc": accuracy, "val_loss": loss})[:n])
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="session")
def curves() -> Curves:
    return Curves.from_frame(wide(), runs={"last_step": END})


@pytest.fixture(scope="session")
def whole() -> Curves:
    """The same runs once all have ended."""
    return Curves.from_frame(wide(seen=20), runs={"last_step": END})
