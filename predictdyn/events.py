"""Joint events: a sentence about how a run ends, read into bounds on metrics; its probability is a mean over draws."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.forecast import Prediction

_BOUND = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([^\s<>="']+))\s*(<=|>=|<|>)\s*([^\s<>="']+)\s*""")
_AND = re.compile(r"and\s", re.IGNORECASE)
COMPARED = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


class Bound(NamedTuple):
    """A metric, one of < <= > >=, and a number in the metric's units."""

    metric: str
    sign: str
    number: float


class JointEvent(NamedTuple):
    """Bounds that hold all at once, and the words they were read from."""

    text: str
    bounds: tuple[Bound, ...]

    def held(self, values: dict[str, np.ndarray]) -> np.ndarray:
        """Whether all bounds hold, (s,), for values of the metrics, each (s,)."""
        return np.logical_and.reduce([COMPARED[sign](values[name], number) for name, sign, number in self.bounds])


def parse(text: str, metrics: Collection[str]) -> JointEvent:
    """Read a joint event: bounds joined by and; a metric with spaces or signs in its name is put in quotes.

    Raises ValueError in one line where the text is no such sentence, or names none of ``metrics``.

    >>> parse("acc > 0.9 and 'the gap' < 0.05", ["acc", "the gap"]).bounds[1]
    Bound(metric='the gap', sign='<', number=0.05)
    """
    bounds, at = [], 0
    while True:
        found = _BOUND.match(text, at)
        if found is None:
            raise _wrong(text, f"found {text[at:].strip()[:40]!r} where a bound was expected")
        *names, sign, word = found.groups()
        name = next(one for one in names if one)
        if name not in metrics:
            raise ValueError(f"event {text!r} names metric {name!r}; forecast are {', '.join(sorted(metrics)[:20])}")
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise _wrong(text, f"{word!r} is not a number")
        bounds.append(Bound(name, sign, number))
        at = found.end()
        if at == len(text):
            return JointEvent(text, tuple(bounds))
        joined = _AND.match(text, at)
        if joined is None:
            raise _wrong(text, f"found {text[at:].strip()[:40]!r} where 'and' was expected")
        at = joined.end()


def probabilities(forecast: Prediction, events: Sequence[JointEvent]) -> pd.DataFrame:
    """The probability of each event for each run: the share of draws in which all its bounds hold.

    Columns run, event, probability, status; the rows of a run at its last step that is asked count. Where a run has no
    row for a metric the probability is blank; the status says so, or why a row of the forecast fell back. Of s draws
    the standard error is at most 1 / (2 sqrt(s)). Raises ValueError where an event needs several metrics and the
    forecast is not joint.
    """
    target = forecast.target.reset_index(drop=True)
    last = target.sort_values("step", kind="stable").groupby(["run", "metric"], sort=False).tail(1)
    row_of = {(run, metric): row for row, run, metric in zip(last.index, last["run"], last["metric"], strict=True)}
    found = []
    for event in events:
        names = list(dict.fromkeys(bound.metric for bound in event.bounds))
        if len(names) > 1 and not forecast.joint:
            raise ValueError(f"event {event.text!r} needs joint draws, which this forecast has not")
        for run in dict.fromkeys(target["run"]):
            missing = [name for name in names if (run, name) not in row_of]
            if missing:
                found.append((run, event.text, np.nan, f"no forecast of {', '.join(missing)}"))
                continue
            rows = {name: row_of[run, name] for name in names}
            held = event.held({name: forecast.draws[row] for name, row in rows.items()})
            fell = [str(forecast.status[row]) for row in rows.values() if forecast.status[row] != "ok"]
            found.append((run, event.text, float(held.mean()), fell[0] if fell else "ok"))
    return pd.DataFrame(found, columns=["run", "event", "probability", "status"])


def _wrong(text: str, why: str) -> ValueError:
    return ValueError(f"event {text!r}: {why}; write 'metric > number and \"other metric\" <= number'")
