"""What laws leave over: a Gaussian process over the inputs of runs, factorized once for all laws of a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from predictdyn.laws.inputs import Encoded

LENGTHS = (1.0, 3.0)  # in standard deviations of an input among the finished runs
RATIOS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)  # variance of the process in parts of that of the noise
OWN_GROUP = 0.5  # part of the variance that is a group's own
MOST_ROWS = 500  # beyond, the process rests on as many rows, chosen by pivoted Cholesky
RANK = 200


@dataclass(frozen=True)
class Kernel:
    """Half a sum over inputs, half a product, of Matern 5/2 correlations with one length in sds of the inputs."""

    length: float
    centre: np.ndarray  # (d + m,)
    spread: np.ndarray  # (d + m,)

    def scaled(self, encoded: Encoded) -> np.ndarray:
        """Inputs in standard deviations of the finished runs, (n, d + m)."""
        return np.asarray((encoded.numbers - self.centre) / self.spread)

    def __call__(self, first: Encoded, second: Encoded) -> np.ndarray:
        """Correlations (n, n')."""
        a, b = self.scaled(first), self.scaled(second)
        same = (first.group[:, None] == second.group[None, :]) & (first.group >= 0)[:, None]
        groups: np.ndarray = np.where(same, 1.0, 1.0 - OWN_GROUP)
        if not a.shape[1]:
            return groups
        total, product = np.zeros(groups.shape), np.ones(groups.shape)
        for j in range(a.shape[1]):
            apart = np.abs(a[:, None, j] - b[None, :, j]) * (np.sqrt(5.0) / self.length)
            each = (1.0 + apart + apart**2 / 3.0) * np.exp(-apart)
            total += each
            product *= each
        return np.asarray(groups * (0.5 * total / a.shape[1] + 0.5 * product))


class Crossing(NamedTuple):
    """Correlations of m rows with the finished runs, (m, n), and the same in the basis of a smoother, (r, m)."""

    cross: np.ndarray
    turned: np.ndarray


class Smoother(NamedTuple):
    """A kernel over the finished runs as U diag(s) U', (n, r) and (r,): exact where r = n."""

    kernel: Kernel
    basis: np.ndarray
    size: np.ndarray

    def whitened(self, columns: np.ndarray, ratio: float) -> np.ndarray:
        """C^(-1/2) columns for C = 1 + ratio K, in units of the noise; columns (n,) or (n, k)."""
        if ratio == 0:
            return columns
        shrink = 1.0 / np.sqrt(1.0 + ratio * self.size) - 1.0
        turned = self.basis.T @ columns
        return np.asarray(columns + self.basis @ (shrink[:, None] * turned if columns.ndim == 2 else shrink * turned))

    def gram(self, columns: np.ndarray, turned: np.ndarray, ratio: float) -> np.ndarray:
        """columns' C^(-1) columns, (k, k), for columns (n, k) and the same in the basis, (r, k)."""
        shrink = 1.0 / (1.0 + ratio * self.size) - 1.0
        return np.asarray(columns.T @ columns + turned.T @ (shrink[:, None] * turned))

    def predicted(self, crossing: Crossing, left: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean of the process at m rows for residuals (s, n): (s, m); its variance in units of the noise's, (m,)."""
        shrink = 1.0 / (1.0 + ratio * self.size) - 1.0
        mean = left @ crossing.cross.T + (left @ self.basis) @ (shrink[:, None] * crossing.turned)
        told = (crossing.cross**2).sum(axis=1) + (shrink[:, None] * crossing.turned**2).sum(axis=0)
        return np.asarray(ratio * mean), np.maximum(ratio - ratio**2 * told, 0.0)

    def log_determinant(self, ratio: float) -> float:
        return float(np.log1p(ratio * self.size).sum())


@dataclass(frozen=True)
class Discrepancy:
    """The smoothers of a table, one a length; runs (n rows) are those to learn from."""

    runs: Encoded

    @cached_property
    def smoothers(self) -> list[Smoother]:
        inputs = self.runs.numbers
        spread = np.maximum(inputs.std(axis=0), 1e-6) if inputs.size else np.ones(inputs.shape[1])
        kernels = [Kernel(length, inputs.mean(axis=0), spread) for length in LENGTHS]
        return [self._smoother(kernel) for kernel in kernels]

    def _smoother(self, kernel: Kernel) -> Smoother:
        if len(self.runs) <= MOST_ROWS:
            size, basis = np.linalg.eigh(kernel(self.runs, self.runs))
            keep = size > 1e-8 * size.max()
            return Smoother(kernel, basis[:, keep], size[keep])
        basis, root, _ = np.linalg.svd(_pivoted(kernel, self.runs, RANK), full_matrices=False)
        return Smoother(kernel, basis, root**2)

    def crossings(self, rows: Encoded) -> list[Crossing]:
        """What each smoother needs to forecast some rows, shared by all laws."""
        found = []
        for one in self.smoothers:
            cross = one.kernel(rows, self.runs)
            found.append(Crossing(cross, one.basis.T @ cross.T))
        return found

    def choices(self) -> Iterator[tuple[int, float]]:
        """Every smoother's place with every ratio; without a process the place does not matter."""
        yield 0, 0.0
        for place in range(len(LENGTHS)):
            for ratio in RATIOS[1:]:
                yield place, ratio


def _pivoted(kernel: Kernel, runs: Encoded, rank: int) -> np.ndarray:
    """A pivoted Cholesky factor of a kernel, (n, rank): the rows that explain most come first."""
    n = len(runs)
    factor = np.zeros((n, rank))
    left = np.diag(kernel(runs.rows(np.arange(1)), runs.rows(np.arange(1)))).repeat(n).astype(float)
    for j in range(rank):
        pivot = int(np.argmax(left))
        if left[pivot] < 1e-8:
            return factor[:, :j]
        column = kernel(runs, runs.rows(np.array([pivot])))[:, 0] - factor[:, :j] @ factor[pivot, :j]
        factor[:, j] = column / np.sqrt(left[pivot])
        left = np.maximum(left - factor[:, j] ** 2, 0.0)
    return factor
