"""Features of one curve: level, trend, noise, plateau, growth; vectorised over the runs."""

from __future__ import annotations

import numpy as np

from predictdyn.features.seen import QuadraticFit, Seen, fitted, mean, median, ratio, rising, trimmed

KNOTS = 8
LEAST_NOISE = 1e-3  # of the range seen: a curve that repeats itself has no noise, but no step of it is infinite
FEW = 5  # points


def basics(points: Seen) -> dict[str, np.ndarray]:
    """Groups level and trend."""
    count = points.counts
    last = np.where(count > 0, points.latent[:, -1], np.nan)
    first, level = points.at_first(points.latent), trimmed(points.latent, points.latest(FEW))
    late = fitted(points.x, points.latent, rising(points.later()))
    recent = recent_line(points)
    return {
        "points": count.astype(float),
        "first": first,
        "last": last,
        "level": level,
        "change": np.where(count > 1, level - first, np.nan),
        "slope": late.slope,
        "curvature": late.curvature,
        "recent_slope": recent.slope,
        "end": recent.at(0.0),
    }


def recent_line(points: Seen) -> QuadraticFit:
    """The line through the last four points, or the last eighth of them."""
    return fitted(points.x, points.latent, points.latest(np.maximum(4, points.counts // 8)).astype(float))


def deviations(points: Seen) -> tuple[np.ndarray, np.ndarray]:
    """How far each inner point lies from the line between its neighbours, and which points are inner: (n, t) twice.

    Divided so that independent noise keeps its sd; with equal distances this is a second difference over sqrt 6.
    """
    d, inner = np.zeros(points.here.shape), np.zeros(points.here.shape, dtype=bool)
    if points.here.shape[1] < 3:
        return d, inner
    x, z, here = points.x, points.latent, points.here
    inner[:, 1:-1] = here[:, :-2]
    share = np.nan_to_num(ratio(x[:, 2:] - x[:, 1:-1], x[:, 2:] - x[:, :-2]))
    off = z[:, 1:-1] - share * z[:, :-2] - (1 - share) * z[:, 2:]
    d[:, 1:-1] = off / np.sqrt(1 + share**2 + (1 - share) ** 2)
    return d * inner, inner


def least_noise(points: Seen) -> np.ndarray:
    """The smallest noise that a curve is given, (n,)."""
    high = np.max(points.latent, axis=1, where=points.here, initial=-np.inf)
    low = np.min(points.latent, axis=1, where=points.here, initial=np.inf)
    return LEAST_NOISE * np.maximum(np.where(points.counts > 0, high, 0) - np.where(points.counts > 0, low, 0), 1e-9)


def scatter(points: Seen, change: np.ndarray) -> dict[str, np.ndarray]:
    """Group noise."""
    d, inner = deviations(points)
    size = np.sqrt(6.0) * np.abs(d).sum(axis=1)
    whole = size + np.abs(change)
    return {
        "noise": np.sqrt(mean(d**2, inner & points.later())),
        "roughness": np.where(inner.any(axis=1), np.where(whole > 0, np.nan_to_num(ratio(size, whole)), 0.0), np.nan),
    }


def typical_noise(points: Seen) -> np.ndarray:
    """Noise by the median of the deviations, which a few spikes do not move, and at least `least_noise`: (n,)."""
    d, inner = deviations(points)
    return np.maximum(1.4826 * median(np.abs(d), inner), least_noise(points))


def plateau(points: Seen, level: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
    """Length of the plateau."""
    width = 2 * np.maximum(noise, least_noise(points))
    off = points.here & (np.abs(points.latent - level[:, None]) > width[:, None])
    since = np.where(off.any(axis=1), _last_x(points, off), points.at_first(points.x))
    return {"plateau": np.where(np.isnan(width), np.nan, points.now - since)}


def broken(points: Seen) -> dict[str, np.ndarray]:
    """Gain and place of the best of eight two-piece lines over one line, for five points or more.

    A hinge h at a knot lowers the residual sum of squares of the line by (h'r)^2 / h~'h~, with r the residuals of the
    line and h~ the hinge with constant and slope taken out.
    """
    here, line = points.here, fitted(points.x, points.latent, points.here.astype(float))
    u = np.where(here, points.x - line.centre[:, None], 0.0)
    rest = np.where(here, points.latent - line.height[:, None] - np.nan_to_num(line.slope)[:, None] * u, 0.0)
    total = np.sum((points.latent - line.height[:, None]) ** 2, axis=1, where=here)
    left, spread, count = (rest**2).sum(axis=1), (u**2).sum(axis=1), points.counts
    low, high = points.at_first(u), u[:, -1]
    best, at = np.zeros(len(u)), np.full(len(u), np.nan)
    for part in np.arange(1, KNOTS + 1) / (KNOTS + 1):
        knot = low + part * (high - low)
        hinge = np.where(here, np.maximum(u - knot[:, None], 0.0), 0.0)
        own = (hinge**2).sum(axis=1) - ratio(hinge.sum(axis=1) ** 2, count)
        own -= ratio((hinge * u).sum(axis=1) ** 2, spread)
        # A hinge with one point on a side is hardly more than the line: its remainder would be rounding.
        fall = np.where(own > 1e-9 * spread, ratio((hinge * rest).sum(axis=1) ** 2, own), 0.0)
        better = fall > best
        best, at = np.where(better, fall, best), np.where(better, knot + line.centre, at)
    curved = left > 1e-12 * total + 1e-24
    gain = np.where(curved, np.clip(np.nan_to_num(ratio(best, left)), 0.0, 1.0), 0.0)
    enough = count >= FEW
    return {
        "break_gain": np.where(enough, gain, np.nan),
        "break_at": np.where(enough & curved, at, np.nan),
    }


def growth(points: Seen) -> dict[str, np.ndarray]:
    """Log-log slopes of the value where it is positive, for three points or more."""
    positive = points.here & (points.value > 0)
    log = np.log(np.where(positive, points.value, 1.0))
    found = {}
    for name, which in (("growth", positive), ("late_growth", positive & points.later())):
        slope = fitted(points.x, log, which.astype(float)).slope
        found[name] = np.where(which.sum(axis=1) > 2, slope, np.nan)
    return found


def _last_x(points: Seen, which: np.ndarray) -> np.ndarray:
    """x of the last of the chosen points of each row; of any point where none is chosen."""
    place = which.shape[1] - 1 - np.argmax(which[:, ::-1], axis=1)
    return np.take_along_axis(points.x, place[:, None], axis=1)[:, 0]


def gaps(points: Seen, reference: float | None) -> dict[str, np.ndarray]:
    """Side and size of a gap between groups; NaN where the metric has no value that means no gap."""
    blank = np.full(len(points.here), np.nan)
    if reference is None:
        return {"mean_gap": blank, "sign_share": blank, "sign_since": blank}
    gap = np.where(points.here, points.value - reference, 0.0)
    other = points.here & (np.sign(gap) * np.sign(gap[:, -1:]) < 0)
    since = np.where(other.any(axis=1), _last_x(points, other), points.at_first(points.x))
    return {
        "mean_gap": mean(gap, points.here),
        "sign_share": 1 - mean(other.astype(float), points.here),
        "sign_since": points.now - since,
    }


def surges(points: Seen) -> dict[str, np.ndarray]:
    """Group signals."""
    z, here, count = points.latent, points.here, points.counts
    third = np.maximum(count // 3, 1)
    early = here & ~points.latest(count - third)
    some = count > 1
    high = np.max(z, axis=1, where=here, initial=-np.inf)
    return {
        "surge": np.where(some, np.where(some, high, 0) - median(z, here), np.nan),
        "late_early": np.where(some, mean(z, points.latest(third)) - mean(z, early), np.nan),
    }
