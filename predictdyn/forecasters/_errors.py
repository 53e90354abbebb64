"""How wrong a rule was: on finished runs replayed from the same origin, or within what was seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictdyn.forecasters._rule import GRID, Peers, Rule
from predictdyn.lines import Line
from predictdyn.scales import LEAST_RISE, Scale

FEWEST_ERRORS = 4  # below this the errors of finished runs say less than the run's own past
MOST_ERRORS = 40  # two beyond a 5 % quantile; keeps the cost of a backtest linear in the number of runs
OWN_TARGETS = 8  # last points of each curve that serve as pseudo-targets
OWN_CURVES = 8
FEWEST_SEEN = 3  # points; fewer show no change that goes on
RATIOS = (1.25, 2.0, 4.0, 10.0)  # target / origin at which a run's own past is replayed


def past_errors(
    rule: Rule, lines: Sequence[Line], families: np.ndarray, peers: Peers, origin: float, share: np.ndarray, *,
    by_run: bool,
) -> np.ndarray:  # fmt: skip
    """Errors (k, m) of a rule on finished runs (n lines, as in peers), each replayed from the same origin.

    Each replay leaves out the run's family (only the run itself with ``by_run``). NaN where a run does not reach a
    share (m,) or the rule has no answer.
    """
    usable = np.flatnonzero(np.isfinite(peers.end).any(axis=1)) if len(lines) else np.zeros(0, dtype=int)
    if len(usable) > MOST_ERRORS:
        usable = usable[np.linspace(0, len(usable) - 1, MOST_ERRORS).round().astype(int)]
    errors = []
    for i in usable.tolist():
        begun = lines[i].upto(origin)
        if origin > 0 and not len(begun.share):
            continue
        keep = np.arange(len(lines)) != i if by_run else families != families[i]
        errors.append(peers.end[i] - rule(begun, share, peers.without(keep)))
    return np.array(errors).reshape(len(errors), len(share))


def own_spread(rule: Rule, lines: Sequence[Line], share: np.ndarray, origin: float, chance: float | None) -> np.ndarray:
    """Scale of the error (m,) of a rule from pseudo-origins within curves, the run's own first.

    The last points of each curve are forecast from 1/1.25 to 1/10 of their share; the root mean square error is
    interpolated in the log of that ratio, and grows in proportion to it beyond the largest that the curves allow. With
    fewer than two errors the spread of all known values serves.
    """
    nobody = Peers(np.zeros(0), np.zeros((0, 1)), np.zeros((0, len(GRID))), chance)
    at, rms = [], []
    for ratio in RATIOS:
        squares = []
        for one in lines[:OWN_CURVES]:
            n = len(one.share)
            for j in range(max(n - OWN_TARGETS, 2), n):
                begun = one.upto(float(one.share[j]) / ratio)
                if 2 <= len(begun.share) <= j:
                    error = float(one.latent[j] - rule(begun, one.share[j : j + 1], nobody)[0])
                    squares += [error**2] if np.isfinite(error) else []
            # A run's own errors, where there are enough, say more than those of other runs.
            if len(squares) >= FEWEST_ERRORS:
                break
        if len(squares) >= 2:
            at.append(np.log(ratio))
            rms.append(np.sqrt(np.mean(squares)))
    if not at:
        known = np.concatenate([one.latent for one in lines])
        spread = float(np.std(known)) if len(known) > 1 else 0.0
        return np.full(len(share), spread if spread > 0 else float(not len(known)))
    wanted = np.log(np.maximum(share, 1e-9) / max(origin, 1e-9))
    beyond = np.clip(wanted / at[-1], 1.0, 4.0)
    return np.interp(wanted, at, rms) * beyond


def barely_seen(lines: Sequence[Line]) -> bool:
    """Whether so little is known of a metric, by all lines together, that no spread can be learnt from it."""
    return sum(len(line.share) for line in lines) < FEWEST_SEEN


def unknown_spread(known: np.ndarray, scale: Scale) -> tuple[float, str]:
    """The latent spread of what almost nothing (t,) is known of, and the words for it.

    Between two bounds that of the whole range (the logit of a uniform number has it); beside one a factor of four;
    without any as much as the largest value.
    """
    if scale.lower is not None and scale.upper is not None:
        return float(np.pi / np.sqrt(3)), f"fewer than {FEWEST_SEEN} points and no finished run: spread of the range"
    largest = float(np.abs(known).max(initial=0.0)) or 1.0
    spread = LEAST_RISE if scale.bounded else largest
    return spread, f"fewer than {FEWEST_SEEN} points and no finished run: spread as large as the values"


def smallest_spread(known: np.ndarray, *, bounded: bool) -> float:
    """The smallest latent spread a forecast may have, so that a constant curve (t,) is not a point mass."""
    if not len(known):
        return 1e-3
    size = 1.0 if bounded else float(np.abs(known).max())
    return max(1e-3 * float(known.std()), 1e-6 * size, 1e-15)
