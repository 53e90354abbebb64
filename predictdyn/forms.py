"""Curve forms: latent value z(x) = level + gap * g(x; shape) of one curve over the share x of its planned run.

Level and gap are linear, so they are solved for exactly; the shape lies on a grid that is at once the prior, the bounds
and the starts. To add a form: one entry in `FORMS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np


class Form(NamedTuple):
    """``g`` maps shares x (t,) and one shape (k,) to (t,), elementwise, so that arrays broadcast; ``axes`` are the k
    geometric axes of the grid of shapes, x relative to the last share seen, so that one grid serves every curve."""

    name: str
    g: Callable[[np.ndarray, np.ndarray], np.ndarray]
    axes: tuple[np.ndarray, ...]

    @property
    def shapes(self) -> np.ndarray:
        """All nodes of the grid, (m, k)."""
        return _nodes_of(self.name)

    def around(self, shape: np.ndarray, reach: float) -> np.ndarray:
        """A finer grid that reaches ``reach`` steps of the coarse one to every side of a shape (k,): (m, k)."""
        fine = reach * np.linspace(-1, 1, 5)
        return _product(tuple(at * (axis[1] / axis[0]) ** fine for at, axis in zip(shape, self.axes, strict=True)))


def _product(axes: tuple[np.ndarray, ...]) -> np.ndarray:
    # A form without a shape has one node with no numbers.
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1) if axes else np.zeros((1, 0))


@cache
def _nodes_of(name: str) -> np.ndarray:
    return _product(next(form.axes for form in FORMS if form.name == name))


# x = 1 is the last share seen. Sources: Domhan et al. 2015 (IJCAI) for all but the first two.
FORMS: tuple[Form, ...] = (
    Form("constant", lambda x, shape: np.zeros_like(x), ()),
    Form("log_linear", lambda x, shape: np.log(x), ()),
    # z = c - a x^-alpha
    Form("pow3", lambda x, shape: x ** -shape[0], (np.geomspace(0.05, 3.0, 24),)),
    # z = c - a (x + b)^-alpha: a power law after a slow start
    Form(
        "pow4",
        lambda x, shape: (x + shape[1]) ** -shape[0],
        (np.geomspace(0.1, 3.0, 8), np.geomspace(0.03, 3.0, 6)),
    ),
    # z = c - a exp(-(x / tau)^delta)
    Form(
        "janoschek",
        lambda x, shape: np.exp(-((x / shape[0]) ** shape[1])),
        (np.geomspace(0.03, 20.0, 13), np.geomspace(0.4, 2.5, 5)),
    ),
    # z = c - a / (1 + (x / kappa)^eta): logistic in ln x, for a rise that has begun or is to come
    Form(
        "hill",
        lambda x, shape: 1.0 / (1.0 + (x / shape[0]) ** shape[1]),
        (np.geomspace(0.03, 20.0, 13), np.geomspace(0.5, 4.0, 5)),
    ),
    # z = c - a / ln(x / b + e)
    Form("ilog", lambda x, shape: 1.0 / np.log(x / shape[0] + np.e), (np.geomspace(1e-3, 1.0, 8),)),
)


def basis(form: Form, share: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """g at shares (t,) for every shape (m, k): (m, t).

    >>> basis(FORMS[2], np.array([1.0, 1.0]), FORMS[2].shapes).shape
    (24, 2)
    """
    return np.broadcast_to(form.g(share[None, :], shapes.T[:, :, None]), (len(shapes), len(share)))
