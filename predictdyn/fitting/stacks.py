"""Curves of different lengths as arrays: padded without weight, so many at a time that their work stays in a cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

TOGETHER = 32  # curves of a stack
MULTIPLE = 8  # lengths are rounded up to one of it
IN_CACHE = 2**15  # numbers of an array that stays in the cache, with those that are worked out of it


class Series(NamedTuple):
    """One curve (t,): ln x, rising to 0 at the last point; z over the sd of the curve; relative variance of the noise;
    and that sd in latent units."""

    u: np.ndarray
    z: np.ndarray
    variance: np.ndarray
    unit: float


class Stack(NamedTuple):
    """Curves of like length, padded by their last point without weight: u, z, weight (n, t), points and unit (n,)."""

    u: np.ndarray
    z: np.ndarray
    weight: np.ndarray
    points: np.ndarray
    unit: np.ndarray

    def only(self, rows: slice | np.ndarray) -> Stack:
        """Some of the curves."""
        return Stack(*(part[rows] for part in self))


def stacks(curves: Sequence[Series], most: int = TOGETHER) -> Iterator[tuple[list[int], Stack]]:
    """Places of at most so many curves, and their stack; curves on the same points stand one after the other.

    The length hangs on the curve alone, so that its sums are the same to the last bit whatever it is stacked with.

    >>> curves = [Series(np.linspace(-1, 0, n), np.zeros(n), np.ones(n), 1.0) for n in (3, 9, 8)]
    >>> [(places, stack.z.shape) for places, stack in stacks(curves)]
    [([0, 2], (2, 8)), ([1], (1, 16))]
    """
    alike: dict[int, dict[tuple[bytes, bytes], list[int]]] = {}
    for i, curve in enumerate(curves):
        t = -(-len(curve.z) // MULTIPLE) * MULTIPLE
        alike.setdefault(t, {}).setdefault((curve.u.tobytes(), curve.variance.tobytes()), []).append(i)
    for t, by_points in alike.items():
        every = [i for places in by_points.values() for i in places]
        for start in range(0, len(every), most):
            places = every[start : start + most]
            yield places, _stack([curves[i] for i in places], t)


def _stack(curves: Sequence[Series], t: int) -> Stack:
    u, z, weight = np.zeros((3, len(curves), t))
    for i, curve in enumerate(curves):
        n = len(curve.z)
        u[i, :n], z[i, :n], weight[i, :n] = curve.u, curve.z, 1 / curve.variance
        u[i, n:], z[i, n:] = curve.u[-1], curve.z[-1]
    return Stack(u, z, weight, np.array([len(one.z) for one in curves]), np.array([one.unit for one in curves]))


def padded(knots: Sequence[np.ndarray]) -> np.ndarray:
    """Knots (p,) of each curve, with zeros after them: (n, p). They stand one by one, so that no other moves them."""
    found = np.zeros((len(knots), max(len(one) for one in knots)))
    for row, one in zip(found, knots, strict=True):
        row[: len(one)] = one
    return found


def blocks(n: int, size: int) -> Iterator[slice]:
    """Slices of n curves, each with about so many that arrays of ``size`` numbers a curve stay in the cache.

    >>> list(blocks(3, IN_CACHE // 2))
    [slice(0, 2, None), slice(2, 4, None)]
    """
    step = max(IN_CACHE // size, 1)
    return (slice(i, i + step) for i in range(0, n, step))
