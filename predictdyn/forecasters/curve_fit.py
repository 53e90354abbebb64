"""Curve fit: several forms on the latent scale, averaged with weights from rolling origins inside what was seen."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from predictdyn.fitting.projection import project
from predictdyn.forecasters._empirical import Empirical
from predictdyn.forecasters._rule import Peers
from predictdyn.forms import FORMS, Form, basis
from predictdyn.lines import Line

FEWEST = 4  # points a form needs: two linear parameters, a shape, and one to spare
BINS = 32
ZOOMS = (1.0, 0.4)  # reach of each refinement of the grid, in steps of the coarse one
ORIGINS = (0.5, 0.7, 0.85)  # inner origins, as shares of what was seen


def curve_fit(line: Line, share: np.ndarray, peers: Peers) -> np.ndarray:
    r"""Average over forms f of the fitted z_f(x), shrunk towards the last level where the forms disagree; latent (m,).

    Each form is fitted with its linear parameters solved for and its shape averaged over a grid (`fitting.projection`).
    Weights of forms are :math:`w_f \propto (e_f^2 + m_f^2 + s^2)^{-2}`: e_f^2 is the mean squared error at the points
    still hidden when the form was fitted up to 50, 70 and 85 % of the seen part, m_f^2 its misfit of the last quarter
    when fitted to all, and s the noise of the curve.
    The change d from the last level is multiplied by :math:`d^2 / (d^2 + 2 V)`, V the variance of the forecasts between
    forms and nodes: drift that the data cannot tell from none is not forecast. No answer with fewer than 4 points.
    """
    begun = line.share > 0
    x, z = line.share[begun], line.latent[begun]
    if len(x) < FEWEST:
        return np.full(len(share), np.nan)
    return _point(x.tobytes(), z.tobytes(), np.maximum(share, 1e-12).tobytes())


@lru_cache(maxsize=200_000)
def _point(share: bytes, latent: bytes, asked: bytes) -> np.ndarray:
    # A fit depends on these arrays alone; a backtest replays the same curve at the same cutoff in every fold.
    x, z, to = np.frombuffer(share), np.frombuffer(latent), np.frombuffer(asked)
    noise = _noise(z)
    x, z = _binned(x, z)
    errors, used = np.zeros(len(FORMS)), 0
    for origin in ORIGINS:
        n = int(np.searchsorted(x, origin * x[-1], side="right"))
        if n < FEWEST or n > len(x) - 1:
            continue
        used += 1
        errors += [np.mean((_fit(form, x[:n], z[:n], x[n:], noise)[0] - z[n:]) ** 2) for form in FORMS]
    tail = max(len(x) // 4, 3)
    fits = [_fit(form, x, z, np.concatenate([x[-tail:], to]), noise) for form in FORMS]
    misfit = np.array([np.mean((fit[0][:tail] - z[-tail:]) ** 2) for fit in fits])
    tiny = 1e-12 * float(np.abs(z).max()) ** 2 + 1e-150
    weight = (errors / max(used, 1) + misfit + noise**2 + tiny) ** -2
    weight /= weight.sum()
    mean, within = np.array([fit[0][tail:] for fit in fits]), np.array([fit[1][tail:] for fit in fits])
    level = float(z[-min(3, len(z)) :].mean()) if noise > 0 else float(z[-1])
    centre = weight @ mean
    variance = weight @ (within + (mean - centre) ** 2)
    change = centre - level
    shrunk = level + change * change**2 / (change**2 + 2 * variance + 1e-300)
    shrunk.flags.writeable = False  # it is shared by all who ask for the same fit
    return shrunk


def _fit(form: Form, x: np.ndarray, z: np.ndarray, to: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance over the nodes of one form at shares ``to`` (m,); the grid is refined around its best node."""
    # Late points weigh up to ten times the first (Domhan et al. 2015): the tail is what is extrapolated.
    weight = 10.0 ** (np.arange(len(x)) / len(x))
    weight *= len(x) / weight.sum()
    shapes = form.shapes
    seen = basis(form, x / x[-1], shapes)
    fit = project(seen, z, weight, noise=noise)
    for reach in ZOOMS if form.axes else ():
        finer = form.around(shapes[int(np.argmax(fit.weight))], reach)
        shapes, seen = np.concatenate([shapes, finer]), np.concatenate([seen, basis(form, x / x[-1], finer)])
        fit = project(seen, z, weight, noise=noise)
    # Nodes without weight need not be carried on.
    good = fit.weight > 1e-6 * fit.weight.max()
    ahead = basis(form, to / x[-1], shapes[good])
    answer = fit.level[good, None] + fit.gap[good, None] * ahead
    # A node may run away beyond the data; nothing in a latent scale changes by more than four times its seen range.
    reach = 4 * (z.max() - z.min()) + noise
    answer = np.clip(answer, z.min() - reach, z.max() + reach)
    share = fit.weight[good] / fit.weight[good].sum()
    mean = share @ answer
    return mean, share @ (answer - mean) ** 2


def _binned(x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most ``BINS`` points: the last four as they are, those before averaged in bins of the log of the share."""
    if len(x) <= BINS:
        return x, z
    body = len(x) - 4
    position = np.log(x[:body])
    cell = np.minimum((position - position[0]) / (position[-1] - position[0]) * (BINS - 4), BINS - 5).astype(int)
    count = np.bincount(cell, minlength=BINS - 4)
    full = count > 0
    mean = [np.bincount(cell, weights=one[:body], minlength=BINS - 4)[full] / count[full] for one in (x, z)]
    return np.concatenate([mean[0], x[body:]]), np.concatenate([mean[1], z[body:]])


def _noise(z: np.ndarray) -> float:
    """Noise of a measurement (t,) -> (): root mean square second difference of the later half over sqrt 6."""
    late = z[len(z) // 2 :] if len(z) >= 8 else z
    second = late[2:] - 2 * late[1:-1] + late[:-2]
    return float(np.sqrt(np.mean(second**2) / 6)) if len(second) else 0.0


FORECASTER = Empirical("curve_fit", curve_fit)
