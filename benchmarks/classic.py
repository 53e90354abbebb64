"""Ways to extrapolate one curve that others have published, as references: (x, y, x_new) -> y_new.

x (t,) rising and positive, y (t,) positive, x_new (n,) -> (n,). M1 to M4 are those of Alabdulmohsin, Neyshabur and Zhai
2022 (arXiv:2209.06640), the broken power law that of Caballero et al. 2023 (arXiv:2210.14891). All are fitted by least
squares on ln y from several starts, the best of which is kept.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit
from scipy.stats import qmc

Law = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (parameters, ln x) -> ln y
Extrapolator = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

STARTS = 16
STEEPEST = 5.0  # largest exponent of M1 to M4
SHARPEST = 0.05  # a break is at least this wide, else it sits on the last points
DAMPING = 0.6


def last_value(x: np.ndarray, y: np.ndarray, x_new: np.ndarray) -> np.ndarray:
    """The last value, for ever."""
    return np.full(len(x_new), y[-1])


def log_log_tail(x: np.ndarray, y: np.ndarray, x_new: np.ndarray) -> np.ndarray:
    """The straight line in ln x and ln y through the last half of the points."""
    slope, level = _tail(x, y)
    return np.exp(level + slope * np.log(x_new))


def damped(x: np.ndarray, y: np.ndarray, x_new: np.ndarray) -> np.ndarray:
    """The slope of `log_log_tail` times 0.6, from the mean of the last three points, each moved to the last x by it."""
    slope, _ = _tail(x, y)
    level = np.mean(np.log(y[-3:]) - slope * np.log(x[-3:] / x[-1]))
    return np.exp(level + DAMPING * slope * np.log(x_new / x[-1]))


def m1(x: np.ndarray, y: np.ndarray, x_new: np.ndarray) -> np.ndarray:
    """y = b x^c: a straight line through all points in ln x and ln y."""
    slope, level = np.polyfit(np.log(x), np.log(y), 1)
    return np.exp(level + slope * np.log(x_new))


def m2(x: np.ndarray, y: np.ndarray, x_new: np.ndarray) -> np.ndarray:
    """y = b x^-c + limit with c and limit at least 0."""

    def law(p: np.ndarray, log_x: np.ndarray) -> np.ndarray:
        return np.log(np.exp(p[0] - p[1] * log_x) + p[2])

    low, high = np.log(y.min()) - 10, np.log(y.max()) + 3
    return _fitted(law, x, y, x_new, [(low, high), (0, STEEPEST), (0, float(y.min()))])


def m3(x: np.ndarray, y: np.ndarray, x_new: np.ndarray) -> np.ndarray:
    """y = b (1/x + g)^c with c and g at least 0; g is the inverse of the x at which the curve levels off."""

    def law(p: np.ndarray, log_x: np.ndarray) -> np.ndarray:
        return p[0] + p[1] * np.logaddexp(-log_x, p[2])

    span = float(np.log(x[-1] / x[0]))
    bounds = [(np.log(y.min()) - 30, np.log(y.max()) + 30), (0, STEEPEST), (-span - 15, span + 3)]
    return _fitted(law, x, y, x_new, bounds)


def m4(
    x: np.ndarray, y: np.ndarray, x_new: np.ndarray, *, err_0: float = 1.0, upper: float | None = None
) -> np.ndarray:
    """(y - limit) / (err_0 - y)^a = b x^-c with a, c and limit at least 0, solved for y; nothing above ``upper``.

    err_0 is the error of a model that knows nothing. Raises ValueError where a value reaches it.
    """
    if y.max() >= err_0:
        raise ValueError(f"values must be below err_0 = {err_0:g}, found {y.max():g}")

    def law(p: np.ndarray, log_x: np.ndarray) -> np.ndarray:
        return np.log(p[3] + (err_0 - p[3]) * _share(p[0] - p[1] * log_x - (1 - p[2]) * np.log(err_0 - p[3]), p[2]))

    # Rising from a = 0, M4 leaves the power law y - limit = b x^-c; 5 is a curve that hangs at err_0 for decades.
    bounds = [(-15, 15), (0, STEEPEST), (1e-3, 5), (0, float(y.min()) * (1 - 1e-6))]
    answer = _fitted(law, x, y, x_new, bounds)
    return answer if upper is None else np.minimum(answer, upper)


def broken(x: np.ndarray, y: np.ndarray, x_new: np.ndarray) -> np.ndarray:
    """y = limit + b x^-c0 (1 + (x/d)^(1/f))^(-c1 f) with one break d among the points, not sharper than f = 0.05."""

    def law(p: np.ndarray, log_x: np.ndarray) -> np.ndarray:
        drop = p[3] * p[5] * np.logaddexp(0, (log_x - p[4]) / p[5])
        return np.log(p[0] + np.exp(p[1] - p[2] * log_x - drop))

    span = float(np.log(x[-1] / x[0]))
    low, high = np.log(y.min()) - 10, np.log(y.max()) + 3
    bounds = [(0, float(y.min())), (low, high), (-1, STEEPEST), (-1, 10), (-span, 0), (SHARPEST, 2)]
    return _fitted(law, x, y, x_new, bounds)


def _tail(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and level of ln y on ln x over the last half of the points, at least two."""
    half = max(len(x) // 2, 2)
    slope, level = np.polyfit(np.log(x[-half:]), np.log(y[-half:]), 1)
    return float(slope), float(level)


def _share(target: np.ndarray, a: float) -> np.ndarray:
    """The share s in (0, 1) with ln s - a ln(1 - s) = target (t,), for a > 0, by Newton's method on the logit of s.

    The left side rises in the logit u and is concave or convex throughout, so that every step but the first comes
    nearer from one side.
    """
    u = np.where(target < 0, target, target / max(a, 0.02))
    for _ in range(60):
        share = expit(u)
        gap = -np.logaddexp(0, -u) + a * np.logaddexp(0, u) - target
        step = gap / (1 - share + a * share)
        u = np.clip(u - step, -500, 500)
        if np.abs(step).max() < 1e-10:
            break
    return expit(u)


def _fitted(law: Law, x: np.ndarray, y: np.ndarray, x_new: np.ndarray, bounds: list[tuple[float, float]]) -> np.ndarray:
    """The law with the least squares on ln y inside a box, from starts spread evenly over it.

    x is counted from its last value, which keeps level and exponents from moving together.
    """
    log_x, log_y = np.log(x / x[-1]), np.log(y)
    low, high = np.array(bounds, dtype=float).T
    spread = qmc.Sobol(len(bounds), scramble=False).random(STARTS)
    best = None
    for start in low + (high - low) * (0.02 + 0.96 * spread):
        found = least_squares(
            lambda p: law(p, log_x) - log_y, start, bounds=(low, high), x_scale=high - low, xtol=1e-10, ftol=1e-10
        )
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    return np.exp(law(best.x, np.log(x_new / x[-1])))


EXTRAPOLATORS: dict[str, Extrapolator] = {
    "last value": last_value,
    "log-log tail": log_log_tail,
    "M1": m1,
    "M2": m2,
    "M3": m3,
    "M4": m4,
    "broken power law": broken,
    "damped slope": damped,
}
