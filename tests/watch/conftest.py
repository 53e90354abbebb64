"""Made-up runs: recipes whose loss, accuracy and gradient norm follow laws of their own, and some that break."""

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import Curves, Metric, curves_from

METRICS = {
    "loss": Metric("loss", "loss", 0.0, None, "lower"),
    "accuracy": Metric("accuracy", "capability", 0.0, 1.0, "higher"),
    "gradient_norm": Metric("gradient_norm", "signal", 0.0),
    "learning_rate": Metric("learning_rate", "schedule", 0.0),
}
LAST = 1000
STEPS = np.unique(np.r_[0, np.geomspace(5, 100, 10).astype(int), np.arange(120, LAST + 1, 20)])


def made_run(name: str, rng: np.random.Generator, law: tuple[float, float], broken: float | None) -> list[tuple]:
    """Rows of one run; from ``broken`` on (a share) its loss is half as large again."""
    speed, floor = law
    x = STEPS / LAST
    loss = floor + 2.0 * (1 + 30 * x) ** -speed
    if broken is not None:
        loss = np.where(x > broken, 1.5 * loss, loss)
    ragged = np.exp(0.02 * rng.standard_normal((3, len(x))))
    values = {
        "loss": loss * ragged[0],
        "accuracy": np.clip(np.exp(-loss) * ragged[1], 0.001, 0.999),
        "gradient_norm": loss * ragged[2] ** 3,
        "learning_rate": 0.1 * (1 + np.cos(np.pi * x)) / 2,
    }
    return [
        (name, metric, int(step), float(v)) for metric in values for step, v in zip(STEPS, values[metric], strict=True)
    ]


def made(families: int, seeds: int, *, broken: int = 0, start: int = 0, seed: int = 0) -> Curves:
    """Healthy runs of some families, and one more run that breaks in each of the first ``broken`` of them."""
    rng = np.random.default_rng([seed, start])
    rows, runs, events = [], [], []
    for number in range(start, start + families):
        law = (rng.uniform(0.4, 1.2), rng.uniform(0.2, 0.6))
        for one in range(seeds + (number - start < broken)):
            breaks = float(rng.uniform(0.3, 0.8)) if one == seeds else None
            name = f"f{number}-s{one}"
            rows += made_run(name, rng, law, breaks)
            runs.append((name, f"f{number}", LAST))
            if breaks is not None:
                events.append((name, breaks * LAST, "labels lost"))
    return curves_from(
        pd.DataFrame(rows, columns=["run", "metric", "step", "value"]),
        pd.DataFrame(runs, columns=["run", "family", "last_step"]),
        METRICS,
        pd.DataFrame(events, columns=["run", "step", "what"]),
    )


@pytest.fixture(scope="session")
def five_seeds() -> Curves:
    """Twelve families of five healthy runs."""
    return made(12, 5)


@pytest.fixture(scope="session")
def history() -> Curves:
    return made(30, 2)


@pytest.fixture(scope="session")
def fresh() -> Curves:
    return made(20, 2, broken=20, start=100)
