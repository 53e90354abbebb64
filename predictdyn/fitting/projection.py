"""Variable projection on a grid: the linear parameters exactly, the shape by weights over the nodes of its grid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Projection(NamedTuple):
    """Level and gap (m,) at each node, the weighted misfit (m,), and the weight of each node (m,), which sum to one."""

    level: np.ndarray
    gap: np.ndarray
    misfit: np.ndarray
    weight: np.ndarray


def project(basis: np.ndarray, latent: np.ndarray, weight: np.ndarray, *, noise: float) -> Projection:
    r"""Least squares of latent (t,) on [1, g] for every row g of basis (m, t), weights (t,) of the points.

    With :math:`S_j` the weighted sum of squares left at node j and n the number of points, nodes weigh
    :math:`w_j \propto (S_j + n\,\mathrm{noise}^2)^{-(n-2)/2}`: the marginal likelihood under a flat prior on level and
    gap and a scale-free prior on the variance, floored at ``noise`` so that an exact fit does not take all. A node
    whose g does not vary (the constant form) has gap zero.

    >>> x = np.array([1.0, 2.0, 3.0])
    >>> project(x[None], 1 + 2 * x, np.ones(3), noise=1e-3).gap.round(6).tolist()
    [2.0]
    """
    total = weight.sum()
    mean_basis, mean_latent = basis @ weight / total, latent @ weight / total
    centred, left = basis - mean_basis[:, None], latent - mean_latent
    size = (centred**2) @ weight
    flat = size <= 1e-14 * np.maximum((basis**2) @ weight, 1e-300)
    gap = np.where(flat, 0.0, (centred * weight) @ left / np.where(flat, 1.0, size))
    misfit = ((left - gap[:, None] * centred) ** 2) @ weight
    n = len(latent)
    log_weight = -0.5 * max(n - 2, 1) * np.log(misfit + n * noise**2 + 1e-300)
    raised = np.exp(log_weight - log_weight.max())
    return Projection(mean_latent - gap * mean_basis, gap, misfit, raised / raised.sum())
