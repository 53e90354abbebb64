r"""Doubtful: runs that count as healthy, though they end so badly that they may have failed without an event.

How a run ends is the median of its last three values of a training loss. It is compared with the other runs that have
ended: those of its family where these are five, else all. With m their median and q their worse quartile, an end is
doubtful beyond :math:`m + 5 (q - m)`, if the run also kept less than three quarters of the progress that the
median run made from its first value. The quartile holds where up to a quarter of the runs have failed. Where more
end badly, that is usual, and nobody is named.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Curves, Metric, ended
from predictdyn.effects.pairs import arms
from predictdyn.naming import some
from predictdyn.watch.hazard import failed
from predictdyn.watch.losses import training_losses

FAR = 5.0  # distances from the median to the worse quartile
KEPT = 0.75  # of the progress of the median run
FEWEST = 5  # other runs
COUNTED = "runs that count as healthy"  # words of the note
LAST = 3  # values that tell how a run ends
COLUMNS = ["run", "metric", "end", "others", "limit", "since"]


class _Ends(NamedTuple):
    """How runs began and ended by one metric, turned so that higher is worse."""

    sign: float
    start: pd.Series
    end: pd.Series


def doubtful(curves: Curves, healthy: Collection[str]) -> pd.DataFrame:
    """The doubtful ones of some healthy runs, the worst first, and by which metric.

    ``end`` is how the run ended, ``others`` the median end of the runs that it is compared with, ``limit`` what is
    doubtful. Since the step ``since`` the metric was never better than that. Of several training losses, more than half
    must be so, and the first is told.
    """
    broken = {run for run, what in zip(curves.events["run"], curves.events["what"], strict=True) if failed(what)}
    out = broken | set(arms(curves.runs).index)
    compared = [run for run in ended(curves) if run not in out]
    metrics = {metric.name: _ends(curves, metric, compared) for metric in training_losses(curves)}
    family = curves.runs["family"]
    rows = []
    for run in healthy:
        judged = {name: _limit(ends, run, family) for name, ends in metrics.items() if run in ends.end.index}
        known = {name: limit for name, limit in judged.items() if limit is not None}
        far = {name: limit for name, limit in known.items() if metrics[name].end[run] > limit[1]}
        if 2 * len(far) > len(known):
            name, (others, limit) = next(iter(far.items()))
            sign = metrics[name].sign
            end = metrics[name].end[run]
            numbers = (sign * end, sign * others, sign * limit)
            worst = (others - end) / max(limit - others, 1e-300)
            rows.append((worst, run, name, *numbers, _since(curves, run, name, sign, limit)))
    return pd.DataFrame([row for _, *row in sorted(rows)], columns=COLUMNS)


def _ends(curves: Curves, metric: Metric, runs: Collection[str]) -> _Ends:
    sign = 1.0 if metric.better == "lower" else -1.0
    mine = {run: curves.series[run, metric.name].value for run in runs if (run, metric.name) in curves.series}
    start = pd.Series({run: sign * value[0] for run, value in mine.items()}, dtype=float)
    return _Ends(sign, start, pd.Series({run: sign * np.median(value[-LAST:]) for run, value in mine.items()}))


def _limit(ends: _Ends, run: str, family: pd.Series) -> tuple[float, float] | None:
    """The median end of the others, and what is doubtful; None where there are too few, or they learnt nothing."""
    others = ends.end.drop(run)
    own = others[family[others.index] == family[run]]
    others = own if len(own) >= FEWEST else others
    if len(others) < FEWEST:
        return None
    middle, quartile = np.quantile(others, [0.5, 0.75])
    gained = float(np.median(ends.start[others.index])) - middle
    if gained <= 0:
        return None
    return float(middle), float(max(middle + FAR * (quartile - middle), middle + (1 - KEPT) * gained))


def _since(curves: Curves, run: str, metric: str, sign: float, limit: float) -> float:
    """The first step after which the metric was never better than the limit."""
    curve = curves.series[run, metric]
    good = np.flatnonzero(sign * curve.value <= limit)
    return float(curve.step[min(good[-1] + 1, len(curve.step) - 1) if len(good) else 0])


def event_lines(found: pd.DataFrame) -> list[str]:
    """The lines of events.csv that would say so."""
    table = found[["run", "since"]].assign(since=[f"{step:g}" for step in found["since"]], what="diverged")
    return str(table.to_csv(index=False, header=False, lineterminator="\n")).splitlines()


def warnings_of(found: pd.DataFrame, healthy: int) -> list[str]:
    """The same as one line for a person; none where no run is doubtful."""
    if not len(found):
        return []
    first = next(found.itertuples(index=False))
    end, they = ("ends", "it") if len(found) == 1 else ("end", "they")
    return [
        f"{len(found)} of {healthy} {COUNTED} {end} far from the others: "
        f"{some(found['run'].tolist())}. {first.metric} of {first.run} ends at {first.end:.3g}, that of the median "
        f"other run at {first.others:.3g}. A failure that counts as healthy silences alarms. If {they} failed, say so "
        f"by lines such as {event_lines(found)[0]} in events.csv of a tidy folder (run,step,what)"
    ]
