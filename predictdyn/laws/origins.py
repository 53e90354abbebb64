"""Rolling origins: finished runs that lie towards the runs in question are held out, farthest first, and forecast."""

from __future__ import annotations

import numpy as np

from predictdyn.laws.inputs import Encoded

HELD_OUT = (0.12, 0.22, 0.35, 0.5)  # parts of the finished runs
FEWEST_LEFT = 5


def places(runs: Encoded, towards: Encoded | None, u: np.ndarray) -> np.ndarray:
    """How far each finished run lies towards the runs in question, (n,): its coordinate along the line between means.

    Inputs are in standard deviations of the finished runs. Without runs in question the line goes along the inputs that
    u falls with: those are the ones that cost.
    """
    inputs = runs.numbers
    if not inputs.shape[1]:
        return np.arange(len(u), dtype=float)
    centre, spread = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-9)
    scaled = (inputs - centre) / spread
    if towards is not None:
        direction = ((towards.numbers - centre) / spread).mean(axis=0)
    else:
        design = np.concatenate([np.ones((len(u), 1)), scaled], axis=1)
        slopes = np.linalg.solve(design.T @ design + np.eye(design.shape[1]), design.T @ u)[1:]
        direction = np.maximum(-slopes, 0.0)
    length = float(np.linalg.norm(direction))
    return scaled @ (direction / length) if length > 1e-9 else np.zeros(len(u))


def origins(place: np.ndarray) -> list[np.ndarray]:
    """Which runs are held out at each origin, (n,) true or false each; runs at one place are never parted.

    >>> [int(out.sum()) for out in origins(np.arange(20.0))]
    [3, 5, 7, 10]
    """
    n = len(place)
    rounded = np.round(place, 6)
    found: list[np.ndarray] = []
    for part in HELD_OUT:
        edge = np.sort(rounded)[::-1][max(int(np.ceil(part * n - 1e-9)) - 1, 0)]
        for out in (rounded >= edge, rounded > edge):
            # A tie at the edge goes wholly with whichever side leaves the part nearer to what was asked.
            if out.sum() >= 1 and n - out.sum() >= FEWEST_LEFT and out.sum() <= max(2 * part, 0.6) * n:
                if not any((out == other).all() for other in found):
                    found.append(out)
                break
    return found
