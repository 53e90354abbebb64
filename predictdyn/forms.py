r"""Curve forms: latent value z(x) of one curve over x, its step relative to the last one seen.

.. math:: z(x) = \mathrm{level} + \sum_j \mathrm{gap}_j \, g_j(x; \mathrm{shape})

Level and gaps are linear, so they are solved for or integrated out exactly; a form marked ``fixed`` has one g whose
gap is one. Each number of the shape has a `Prior` that is also its bounds and its starts. Since x = 1 is the last
step seen, one set of shapes serves every curve. To add a form: one entry in `FORMS`.

Forms that differ only in how level and gap are written are one form here: exp4 and Janoschek are ``weibull``; MMF,
log power and the emergence step are ``hill``; exp3 and Bertalanffy are ``exponential``; pow2 and M1 on a logarithmic
scale are ``log_linear``; M2 is ``pow3`` where values are modelled as they are, and ``floor`` where their logarithms
are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import expit

Array = Any  # of NumPy, or a number


class Prior(NamedTuple):
    """Uniform between two bounds, in the logarithm or (``log=False``) as it is; ``nodes`` is the size of a coarse
    grid."""

    low: float
    high: float
    nodes: int
    log: bool = True

    def at(self, probability: np.ndarray) -> np.ndarray:
        """Quantiles of probabilities (...): (...).

        >>> Prior(0.1, 10.0, 3).at(np.array([0.0, 0.5, 1.0])).round(3).tolist()
        [0.1, 1.0, 10.0]
        """
        if self.log:
            return self.low * (self.high / self.low) ** np.asarray(probability)
        return self.low + (self.high - self.low) * np.asarray(probability)


class Form(NamedTuple):
    """``g`` maps x (t,) and the numbers of one shape to (t,), or to a tuple of such arrays, one a gap.

    ``end`` is what z does for x to infinity: it comes to a level, goes on with ln x, or with a power of x.
    """

    name: str
    g: Callable[..., Any]
    shape: Mapping[str, Prior]
    end: Literal["level", "logarithm", "power"]
    fixed: bool = False

    def on_grid(self, x: np.ndarray, shapes: np.ndarray) -> np.ndarray:
        """All g_j of many shapes (..., m, k) at x (..., t): (j, ..., m, t). Leading axes broadcast.

        >>> BY_NAME["pow3"].on_grid(np.array([1.0, 2.0]), np.array([[1.0], [2.0]])).round(3).tolist()
        [[[0.0, 0.5], [0.0, 0.375]]]
        """
        # As columns over rows of x: what hangs on one of the two alone is worked out once, not for every pair.
        numbers = [shapes[..., i].copy()[..., None] for i in range(len(self.shape))]
        with np.errstate(all="ignore"):
            found = self.g(x[..., None, :], *numbers)
        several = found if isinstance(found, tuple) else (found,)
        lead = np.broadcast_shapes(shapes.shape[:-2], x.shape[:-1])
        columns = np.empty((len(several), *lead, shapes.shape[-2], x.shape[-1]))
        for i, one in enumerate(several):
            columns[i] = one
        return columns

    @property
    def gaps(self) -> int:
        """The number of g_j."""
        return len(self.on_grid(np.ones(1), np.ones((1, len(self.shape)))))

    def nodes(self, finer: float = 1.0) -> np.ndarray:
        """A grid of shapes (m, k), each axis cut into parts of equal prior probability, ``finer`` times as many.

        >>> BY_NAME["pow4"].nodes().shape
        (48, 2)
        """
        axes = []
        for prior in self.shape.values():
            n = max(round(prior.nodes * finer), 1)
            axes.append(prior.at((np.arange(n) + 0.5) / n))
        # A form without a shape has one node with no numbers.
        return np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1) if axes else np.zeros((1, 0))


def _logaddexp(a: Array, b: Array) -> Array:
    """ln(e^a + e^b)."""
    # That of NumPy itself takes five times as long.
    return np.maximum(a, b) + np.log1p(np.exp(-np.abs(a - b)))


def _softplus(x: Array) -> Array:
    """ln(1 + e^x)."""
    return _logaddexp(x, 0.0)


def _power(x: Array, a: Array) -> Array:
    """(1 - x^-a)/a, which is ln x for a = 0 and -> 1/a at infinity: a power law, or a local slope that decays."""
    u = np.log(x)
    return -np.expm1(-a * u) / a


def _broken(u: Array, slope: Array, change: Array, at: Array, width: Array) -> Array:
    """A smooth break of slope in log-log, zero at u = 0: slope before, slope + change after (Caballero et al. 2023)."""
    return -slope * u - change * width * (_softplus((u - at) / width) - _softplus(-at / width))


def _floored(log_power: Array, floor: Array) -> Array:
    """ln(floor + (1 - floor) e^log_power): a falling power of which a share ``floor`` of the last value never goes
    away."""
    return _logaddexp(np.log(floor), np.log1p(-floor) + log_power)


def _m4(x: Array, alpha: Array, rate: Array, power: Array) -> Array:
    """w with w / (1 - w)^alpha = rate x^-power, 0 < w < 1; in v = ln(w / (1 - w)) a convex equation, by Newton
    steps."""
    wanted = np.log(rate) - power * np.log(x)
    # ln w - alpha ln(1 - w) = -_softplus(-v) + alpha _softplus(v) rises in v with a slope between alpha and one.
    v = np.where(wanted > 0, wanted / np.maximum(alpha, 0.1), wanted)
    for _ in range(8):
        v = v - (alpha * _softplus(v) - _softplus(-v) - wanted) / (expit(-v) + alpha * expit(v))
    return expit(v)


FORMS: tuple[Form, ...] = (
    Form("constant", lambda x: (), {}, "level"),
    # A straight line in ln x. On the logarithm of a loss: M1, y = b x^c.
    Form("log_linear", lambda x: np.log(x), {}, "logarithm"),
    Form("log_quadratic", lambda x: (np.log(x), np.log(x) ** 2), {}, "power"),
    # vap of Domhan et al. 2015 (IJCAI): b / x + c ln x
    Form("vapour", lambda x: (1 / x, np.log(x)), {}, "logarithm"),
    Form("log_shift", lambda x, shift: np.log(x + shift), {"shift": Prior(1e-3, 10.0, 12)}, "logarithm"),
    # c - a x^-alpha; alpha -> 0 is log_linear, and a large alpha a slope that dies away at once
    Form("pow3", lambda x, alpha: _power(x, alpha), {"alpha": Prior(0.05, 4.0, 24)}, "level"),
    # c - a (x + shift)^-alpha: a power law after a slow start
    Form(
        "pow4",
        lambda x, alpha, shift: _power((x + shift) / (1 + shift), alpha),
        {"alpha": Prior(0.1, 4.0, 8), "shift": Prior(0.01, 3.0, 6)},
        "level",
    ),
    # c - a exp(-x / scale)
    Form("exponential", lambda x, scale: np.exp(-x / scale), {"scale": Prior(0.03, 20.0, 20)}, "level"),
    # c - a exp(-(x / scale)^power)
    Form(
        "weibull",
        lambda x, scale, power: np.exp(-np.exp(power * (np.log(x) - np.log(scale)))),
        {"scale": Prior(0.03, 20.0, 13), "power": Prior(0.4, 2.5, 5)},
        "level",
    ),
    # c - a / (1 + (x / scale)^power): logistic in ln x; a step that has been, or is to come
    Form(
        "hill",
        lambda x, scale, power: expit(power * (np.log(scale) - np.log(x))),
        {"scale": Prior(0.03, 20.0, 13), "power": Prior(0.5, 6.0, 6)},
        "level",
    ),
    # A logistic in x itself: 1 / (1 + exp(-(x - middle) / width))
    Form(
        "logistic",
        lambda x, middle, width: expit((x - middle) / width),
        {"middle": Prior(0.05, 4.0, 9), "width": Prior(0.05, 2.0, 5)},
        "level",
    ),
    # exp(-delay exp(-x / scale))
    Form(
        "gompertz",
        lambda x, delay, scale: np.exp(-delay * np.exp(-x / scale)),
        {"delay": Prior(0.5, 20.0, 6), "scale": Prior(0.05, 10.0, 9)},
        "level",
    ),
    # x / (scale^power + x^power)^(1/power): saturates sooner or later after a linear start
    Form(
        "algebraic",
        lambda x, scale, power: np.exp(-_softplus(power * (np.log(scale) - np.log(x))) / power),
        {"scale": Prior(0.03, 20.0, 10), "power": Prior(0.5, 6.0, 5)},
        "level",
    ),
    # ilog2 of Domhan et al.: c - a / ln(x / scale + e)
    Form("ilog", lambda x, scale: 1 / np.log(x / scale + np.e), {"scale": Prior(1e-3, 1.0, 8)}, "level"),
    # loglog_linear of Domhan et al.: ln(a ln x + b)
    Form(
        "loglog",
        lambda x, scale: np.log(np.log(x / scale + np.e)),
        {"scale": Prior(1e-4, 1.0, 8)},
        "logarithm",
    ),
    # M2 on a logarithmic scale: ln(floor + (1 - floor) x^-alpha), y = y_inf + b x^-alpha
    Form(
        "floor",
        lambda x, floor, alpha: _floored(-alpha * np.log(x), floor),
        {"floor": Prior(0.02, 0.98, 12, log=False), "alpha": Prior(0.03, 3.0, 12)},
        "level",
        fixed=True,
    ),
    # M3 on a logarithmic scale: c ln(1/x + gamma), y = b (1/x + gamma)^c (Alabdulmohsin et al. 2022, arXiv:2209.06640)
    Form("m3", lambda x, gamma: np.log(1 / x + gamma), {"gamma": Prior(1e-3, 30.0, 16)}, "level"),
    # M4 (the same): (y - y_inf) / (y_0 - y)^alpha = b x^-c, with y_inf the level and y_0 - y_inf the gap
    Form(
        "m4",
        _m4,
        {"alpha": Prior(0.1, 2.0, 4), "rate": Prior(0.03, 30.0, 8), "power": Prior(0.1, 3.0, 7)},
        "level",
    ),
    # A broken power law with a floor on a logarithmic scale (Caballero et al. 2023, arXiv:2210.14891), one break ...
    Form(
        "broken",
        lambda x, floor, slope, change, at, width: _floored(_broken(np.log(x), slope, change, at, width), floor),
        {
            "floor": Prior(0.01, 0.97, 4, log=False),
            "slope": Prior(0.01, 1.0, 4),
            "change": Prior(0.03, 8.0, 5),
            "at": Prior(-3.0, 0.0, 5, log=False),
            "width": Prior(0.03, 1.0, 3),
        },
        "level",
        fixed=True,
    ),
    # ... and two breaks without one, the slopes linear, so that a curve may fall, rise and fall
    Form(
        "broken_twice",
        lambda x, first, second, width: (
            np.log(x),
            width * _softplus((np.log(x) - first) / width),
            width * _softplus((np.log(x) - second) / width),
        ),
        {
            "first": Prior(-4.0, -1.0, 5, log=False),
            "second": Prior(-1.0, -0.1, 4, log=False),
            "width": Prior(0.05, 0.5, 2),
        },
        "logarithm",
    ),
    # Two power laws: a fast one and a slow one, of either sign
    Form(
        "double_power",
        lambda x, fast, slow: (_power(x, fast), _power(x, slow)),
        {"fast": Prior(0.8, 4.0, 6), "slow": Prior(0.05, 0.7, 5)},
        "level",
    ),
    # A power law with a drift: what goes on when the curve seems to have come to its level
    Form("power_drift", lambda x, alpha: (_power(x, alpha), x), {"alpha": Prior(0.1, 4.0, 10)}, "power"),
    Form(
        "exponential_drift",
        lambda x, scale: (np.exp(-x / scale), np.log(x)),
        {"scale": Prior(0.03, 3.0, 10)},
        "logarithm",
    ),
    # A step, and after or within it a decline (or the reverse): rise and fall
    Form(
        "rise_and_fall",
        lambda x, scale, power, turn: (
            expit(power * (np.log(x) - np.log(scale))),
            _softplus(np.log(x / turn) * 3) / 3,
        ),
        {"scale": Prior(0.003, 1.0, 7), "power": Prior(0.7, 4.0, 3), "turn": Prior(0.05, 2.0, 5)},
        "logarithm",
    ),
    # Emergence: a step on a trend, the step perhaps still to come
    Form(
        "step",
        lambda x, scale, power: (expit(power * (np.log(x) - np.log(scale))), np.log(x)),
        {"scale": Prior(0.05, 10.0, 10), "power": Prior(2.0, 10.0, 3)},
        "logarithm",
    ),
    # The slope (in ln x) since ``since``, dying away after the last step with rate ``decay``; another slope before
    Form(
        "local_slope",
        lambda x, since, decay: (
            np.minimum(np.log(x / since), 0.0),
            np.where(x > 1, _power(np.maximum(x, 1.0), decay), np.maximum(np.log(x), np.log(since))),
        ),
        {"since": Prior(0.1, 0.8, 5), "decay": Prior(0.1, 5.0, 6)},
        "level",
    ),
)
BY_NAME: Mapping[str, Form] = {form.name: form for form in FORMS}
