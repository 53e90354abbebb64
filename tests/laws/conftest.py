"""Tables of finished runs as a user has them, from a law that is known: E + A / N^a + B / D^b."""

import numpy as np
import pandas as pd
import pytest


class Known:
    """The law that made the tables."""

    E, A, a, B, b = 1.7, 400.0, 0.34, 410.0, 0.28

    def loss(self, params, tokens):
        return self.E + self.A / params**self.a + self.B / tokens**self.b

    def runs(self, n: int = 40, noise: float = 0.003, seed: int = 1) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        params = 10 ** rng.uniform(7.5, 9.5, n)
        tokens = params * 10 ** rng.uniform(0.7, 1.9, n)
        loss = self.loss(params, tokens) * np.exp(noise * rng.standard_normal(n))
        return pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})


@pytest.fixture(scope="session")
def known() -> Known:
    return Known()


@pytest.fixture(scope="session")
def runs(known) -> pd.DataFrame:
    return known.runs()
