"""How wide a forecast must be at least, from the size and scatter of all that is known of a metric."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from predictdyn.problem import History, Panel
from predictdyn.scales import LEAST_RISE, Scale

FEWEST_ERRORS = 4  # below this the errors of finished runs say less than the run's own past
FEWEST_SEEN = 3  # points; fewer show no change that goes on


class Moments(NamedTuple):
    """Number, mean, sum of squares about it, and largest size of latent values."""

    n: int
    mean: float
    squares: float
    largest: float

    @property
    def sd(self) -> float:
        """Standard deviation, zero without values."""
        return float(np.sqrt(self.squares / self.n)) if self.n else 0.0

    def joined(self, other: Moments) -> Moments:
        """Those of both together (Chan et al. 1983, doi:10.1080/00031305.1983.10483115).

        >>> moments_of(np.array([1.0, 2.0])).joined(moments_of(np.array([6.0]))).mean
        3.0
        """
        n = self.n + other.n
        if not n:
            return self
        apart = other.mean - self.mean
        squares = self.squares + other.squares + apart**2 * self.n * other.n / n
        return Moments(n, self.mean + apart * other.n / n, squares, max(self.largest, other.largest))


def moments_of(values: np.ndarray) -> Moments:
    """Moments of values (t,)."""
    if not len(values):
        return Moments(0, 0.0, 0.0, 0.0)
    mean = float(values.mean())
    return Moments(len(values), mean, float(((values - mean) ** 2).sum()), float(np.abs(values).max()))


def smallest_spread(known: Moments, *, bounded: bool) -> float:
    """The smallest latent spread a forecast may have, so that a constant curve is not a point mass."""
    if not known.n:
        return 1e-3
    return max(1e-3 * known.sd, 1e-6 * (1.0 if bounded else known.largest), 1e-15)


def unknown_spread(largest: float, scale: Scale) -> tuple[float, str]:
    """The latent spread of what almost nothing is known of, and the words for it.

    Between two bounds that of the whole range (the logit of a uniform number has it); beside one a factor of four;
    without any as much as the ``largest`` value.
    """
    if scale.lower is not None and scale.upper is not None:
        return float(np.pi / np.sqrt(3)), f"fewer than {FEWEST_SEEN} points and no finished run: spread of the range"
    spread = LEAST_RISE if scale.bounded else (largest or 1.0)
    return spread, f"fewer than {FEWEST_SEEN} points and no finished run: spread as large as the values"


def spread_of(history: History, panel: Panel) -> Moments:
    """Moments of all finished values of a metric, once per history: that of the problem whose panel it is."""
    key = ("moments", panel.metric, panel.scale.floor, panel.scale.unit)
    values = panel.context.values()
    return history.once(key, lambda: moments_of(np.concatenate([np.zeros(0), *(one.latent for one in values)])))
