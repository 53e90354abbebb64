r"""What curves share that lie on the same points: covariance of the process, and forms under it, for `structural`.

The covariance of the points depends on where they lie, not on their values. So each distinct grid of points has the
inverse Cholesky factors W of all nodes of the process, and what they make of all columns g of all shapes. A curve on it
then costs a few products of vectors. Forms with equally many gaps are one long form, with all their nodes.

Axis letters n curves, q grids, t points, m nodes of the shape, h of the process, j gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dtrtri

from predictdyn.fitting.stacks import Stack, blocks
from predictdyn.forms import BY_NAME

FAR = 8.0  # times the last step: how far ahead a gap is told what it may add


def process(levels: int = 3, slopes: int = 3, decays: int = 2) -> np.ndarray:
    """Nodes (h, 3) of the process: diffusion of level and slope in units of the noise, decay a unit of ln x.

    >>> process().shape
    (18, 3)
    """
    axes = np.geomspace(0.05, 6.0, levels), np.geomspace(0.05, 15.0, slopes), np.geomspace(0.2, 2.5, decays)
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


class Bundle(NamedTuple):
    """Forms that are weighed together: names, and the nodes (m, k) of each."""

    names: tuple[str, ...]
    nodes: tuple[np.ndarray, ...]

    @property
    def sizes(self) -> list[int]:
        """Nodes of each form."""
        return [len(nodes) for nodes in self.nodes]


def bundle(names: Sequence[str], finer: float = 0.7) -> Bundle:
    """Forms by name, each with a grid ``finer`` times as fine as its own: the process makes up for what lies between.

    >>> bundle(["pow3", "pow4"]).sizes
    [17, 24]
    """
    return Bundle(tuple(names), tuple(BY_NAME[name].nodes(finer) for name in names))


class Kind(NamedTuple):
    """Forms of a bundle with equally many gaps: their places in it, names, nodes, and where (in m) each has its own."""

    fixed: bool
    places: list[int]
    names: list[str]
    nodes: list[np.ndarray]
    spans: list[slice]

    def columns(self, x: np.ndarray) -> np.ndarray:
        """All g of all nodes at x (n, t): (n, j, m, t)."""
        each = [BY_NAME[name].on_grid(x, nodes) for name, nodes in zip(self.names, self.nodes, strict=True)]
        return np.ascontiguousarray(np.concatenate(each, axis=2).swapaxes(0, 1))


def kinds_of(forms: Bundle) -> list[Kind]:
    """The kinds of a bundle.

    >>> [kind.names for kind in kinds_of(bundle(["pow3", "double_power", "hill", "floor"]))]
    [['pow3', 'hill'], ['double_power'], ['floor']]
    """
    gaps = [(BY_NAME[name].fixed, BY_NAME[name].gaps) for name in forms.names]
    found = []
    for key in dict.fromkeys(gaps):
        places = [i for i, own in enumerate(gaps) if own == key]
        ends = np.cumsum([0, *(forms.sizes[i] for i in places)]).tolist()
        nodes, spans = [forms.nodes[i] for i in places], [slice(*ends[f : f + 2]) for f in range(len(places))]
        found.append(Kind(key[0], places, [forms.names[i] for i in places], nodes, spans))
    return found


class KindColumns(NamedTuple):
    """One kind on grids: ``g`` (q, j, m, t); ``dot`` (q, j, h, 3, m) with the three rows of `Grids.rows`, both
    whitened; ``gram`` (q, j, j, h, m) of whitened g, its lower half; ``size`` (q, j, m), the square of what each g does
    over the points and beyond."""

    g: np.ndarray
    dot: np.ndarray
    gram: np.ndarray
    size: np.ndarray


class Grids(NamedTuple):
    """Points of q grids under h nodes of the process."""

    whiten: np.ndarray  # (q, h, t, t), W, the inverse of the root of the covariance of all points; zero for padding
    rows: np.ndarray  # (q, h, 3, t): the constant, and the level and slope after the last point, all whitened
    dot: np.ndarray  # (q, h, 3), the constant with these three
    covariance: np.ndarray  # (q, h, 3), of that level and slope: ll, ls, ss
    log_det: np.ndarray  # (q, h)


class Gridded(NamedTuple):
    """All that does not depend on values: grids, each kind on them, and which grid each curve (n,) lies on."""

    grids: Grids
    kinds: list[KindColumns]
    which: np.ndarray

    def of(self, curves: slice) -> tuple[Grids, list[KindColumns]]:
        """The grid of each curve of a slice; one that all share stays one."""
        q = len(self.grids.whiten)
        rows = slice(0, 1) if q == 1 else curves if q == len(self.which) else self.which[curves]
        return Grids(*(part[rows] for part in self.grids)), [
            KindColumns(*(part[rows] for part in kind)) for kind in self.kinds
        ]


def grids_for(kinds: Sequence[Kind], curves: Stack, process: np.ndarray) -> Gridded:
    """The distinct grids of curves under nodes of the process (h, 3)."""
    keys = [u.tobytes() + weight.tobytes() for u, weight in zip(curves.u, curves.weight, strict=True)]
    number = {key: q for q, key in enumerate(dict.fromkeys(keys))}
    first = np.array([keys.index(key) for key in number])
    distinct, t = curves.only(first), curves.u.shape[1]
    far = [kind.columns(np.array([[1.0, FAR]])) for kind in kinds]
    made = [_made(kinds, far, distinct.only(rows), process) for rows in blocks(len(first), len(process) * t * t)]
    return Gridded(
        Grids(*map(np.concatenate, zip(*(grids for grids, _ in made), strict=True))),
        [
            KindColumns(*map(np.concatenate, zip(*of_kind, strict=True)))
            for of_kind in zip(*(columns for _, columns in made), strict=True)
        ],
        np.array([number[key] for key in keys]),
    )


def _made(
    kinds: Sequence[Kind], far: Sequence[np.ndarray], curves: Stack, process: np.ndarray
) -> tuple[Grids, list[KindColumns]]:
    """The grid of each curve; ``far`` (1, j, m, 2) are the columns of each kind at the last point and far ahead."""
    there = curves.weight > 0
    points, level, slope, own = _covariances(curves.u - curves.u[:, :1], process)
    points *= (there[:, :, None] & there[:, None])[:, None]
    diagonal = np.arange(points.shape[-1])
    points[..., diagonal, diagonal] += np.where(there, 1 / np.where(there, curves.weight, 1.0), 1.0)[:, None]
    root = np.linalg.cholesky(points)
    whiten = np.empty(root.shape)
    for one, inverse in zip(root.reshape(-1, *root.shape[2:]), whiten.reshape(-1, *root.shape[2:]), strict=True):
        inverse[:] = dtrtri(one, lower=1)[0]
    whiten *= there[:, None, :, None]
    rows = np.stack([np.ones(level.shape), level, slope], axis=2) @ whiten.swapaxes(2, 3)
    dot = (rows[:, :, :1] * rows).sum(axis=-1)
    covariance = own - np.stack([(rows[:, :, a] * rows[:, :, b]).sum(axis=-1) for a, b in ((1, 1), (1, 2), (2, 2))], -1)
    log_det = 2 * np.log(np.diagonal(root, axis1=2, axis2=3)).sum(axis=2)
    back = rows @ whiten
    columns = [_columns(kind, one, curves, whiten, back) for kind, one in zip(kinds, far, strict=True)]
    return Grids(whiten, rows, dot, covariance, log_det), columns


def _columns(kind: Kind, far: np.ndarray, curves: Stack, whiten: np.ndarray, back: np.ndarray) -> KindColumns:
    """A kind on the grid of each curve; ``back`` (q, h, 3, t) gives the dot products with whitened rows."""
    g = kind.columns(np.exp(curves.u))
    q, j, m, t = g.shape
    h = whiten.shape[1]
    dot = (back.reshape(q, 1, 3 * h, t) @ g.swapaxes(2, 3)).reshape(q, j, h, 3, m)
    gram = np.zeros((q, j, j, h, m))
    for i in range(q):  # one by one: the cache holds no more
        white = [one @ whiten[i].swapaxes(1, 2) for one in g[i]]
        for a in range(j):
            for b in range(a + 1):
                gram[i, a, b] = np.einsum("hmt,hmt->hm", white[a], white[b])
    size = (far[..., 1] - far[..., 0]) ** 2 + ((g - g[..., -1:]) ** 2).sum(axis=-1) / curves.points[:, None, None]
    return KindColumns(g, dot, gram, size)


def _covariances(since: np.ndarray, process: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of the process at points that lie ``since`` (q, t) after the first, where it is zero and its slope is stationary.

    All points (q, h, t, t); points with the last level (q, h, t) and the last slope (q, h, t); the last state (q, h, 3)
    as ll, ls, ss.
    """
    diffusion, speed, kappa = process.T[:, :, None]
    since = since[:, None]  # (q, 1, t)
    decay, end = np.exp(-kappa * since), since[..., -1:]
    low = np.minimum(since[..., :, None], since[..., None, :])
    rate = kappa[..., None]
    bent = 2 * rate * low - 1 + decay[..., :, None] + decay[..., None, :]
    bent -= np.exp(-rate * np.abs(since[..., :, None] - since[..., None, :]))
    points = (diffusion**2)[..., None] * low + (speed**2 / (2 * kappa**3))[..., None] * bent
    stationary = speed**2 / (2 * kappa)
    slope = stationary / kappa * (np.exp(-kappa * (end - since)) - decay[..., -1:])
    own = [points[..., -1, -1], slope[..., -1], np.broadcast_to(stationary[:, 0], slope.shape[:2])]
    return points, points[..., -1].copy(), slope, np.stack(own, axis=-1)
