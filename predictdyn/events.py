"""Joint events: a sentence about how a run ends, read into bounds on metrics; its probability is a mean over draws."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Metric
from predictdyn.forecast import Prediction
from predictdyn.naming import meant, some

_BOUND = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([^\s<>="']+))\s*(<=|>=|<|>)\s*([^\s<>="']+)\s*""")
_AND = re.compile(r"and(?:\s|$)", re.IGNORECASE)
_SPECIAL = re.compile(r"""[\s<>="']""")  # in a name, which is then put in quotes
_PERCENT = " (no percent sign: of a metric from 0 to 1, 90 % is 0.9)"
TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
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


class UnknownMetric(ValueError):
    """A sentence that can be read, about a metric that is not there."""


def parse(text: str, metrics: Collection[str]) -> JointEvent:
    """Read a joint event: bounds joined by and; a metric with spaces or signs in its name is put in quotes.

    Raises ValueError in one line where the text is no such sentence, or names none of ``metrics``.

    >>> parse("acc > 0.9 and 'the gap' < 0.05", ["acc", "the gap"]).bounds[1]
    Bound(metric='the gap', sign='<', number=0.05)
    """
    if not isinstance(text, str):
        raise ValueError(f"an event is a sentence such as 'metric > number', got {text!r}")
    bounds, at = [], 0
    while True:
        found = _BOUND.match(text, at)
        if found is None:
            raise _wrong(text, f"found {text[at:].strip()[:40]!r} where a bound was expected{_why(text[at:], metrics)}")
        *names, sign, word = found.groups()
        name = next(one for one in names if one)
        if name not in metrics and name[0] == "(":
            raise _wrong(text, f"found {name!r}{_why(name, metrics)}")
        if name not in metrics:
            hint = meant(name, metrics)
            if _is_number(name):
                hint = f"the metric comes first: write 'metric {TURNED[sign]} {name}'; "
            known = f"an event here can name {some(sorted(metrics), 20)}"
            raise UnknownMetric(f"event {text!r} names metric {name!r}; {hint}{known}")
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise _wrong(
                text, f"{word!r} is not a number{_why(word.lstrip('.,-+0123456789'), metrics) or _comma(word)}"
            )
        bounds.append(Bound(name, sign, number))
        at = found.end()
        if at == len(text):
            return JointEvent(text, tuple(bounds))
        joined = _AND.match(text, at)
        if joined is None:
            raise _wrong(text, f"found {text[at:].strip()[:40]!r} where 'and' was expected{_why(text[at:], metrics)}")
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


def settled(bound: Bound, metric: Metric) -> bool | None:
    """Whether a bound holds for all values that its metric can have (True), for none (False), or for some (None)."""
    low, high = metric.lower, metric.upper
    above, open_ = bound.sign[0] == ">", len(bound.sign) == 1
    for end, holds in ((high, not above), (low, above)):
        if end is not None and (bound.number > end if end == high else bound.number < end):
            return holds
    # At an end of the range itself, the sign decides.
    if bound.number == high and above == open_:
        return not above
    if bound.number == low and above != open_:
        return above
    return None


def impossible(event: JointEvent) -> str | None:
    """The metric of which an event asks for more than one number can be; None where there is none.

    >>> impossible(parse("acc > 0.9 and acc < 0.5", ["acc"]))
    'acc'
    """
    for name in dict.fromkeys(bound.metric for bound in event.bounds):
        ends: dict[str, list[tuple[float, bool]]] = {"<": [(math.inf, False)], ">": [(-math.inf, False)]}
        for _, sign, number in (bound for bound in event.bounds if bound.metric == name):
            ends[sign[0]].append((number, len(sign) == 1))
        (high, below), (low, over) = min(ends["<"], key=lambda end: (end[0], not end[1])), max(ends[">"])
        if low > high or (low == high and (below or over)):
            return name
    return None


def outside(event: JointEvent, metrics: Mapping[str, Metric]) -> list[str]:
    """Lines on bounds that hold for all values that their metric can have, or for none, and on bounds at odds.

    A share that is logged from 0 to 1 and asked in percent is one, and the other way round.

    >>> outside(parse("acc > 80", ["acc"]), {"acc": Metric("acc", "capability", 0, 1)})
    ["event 'acc > 80': 80 lies outside 0 to 1, the range of acc; did you mean 0.8?"]
    """
    torn = impossible(event)
    lines = [f"event {event.text!r} never holds: its bounds on {torn} rule each other out"] if torn else []
    for bound in event.bounds:
        name, sign, number = bound
        lower, upper = (None, None) if name not in metrics else (metrics[name].lower, metrics[name].upper)
        low, high = -math.inf if lower is None else lower, math.inf if upper is None else upper
        where = f"event {event.text!r}: {number:g} lies"
        sure = settled(bound, metrics[name]) if name in metrics else None
        if sure is not None:
            span = (
                f"{low:g} to {high:g}" if upper is not None and lower is not None
                else f"the values from {low:g}" if lower is not None else f"the values up to {high:g}"
            )  # fmt: skip
            hint = f"; did you mean {number / 100:g}?" if high == 1 and 1 < number <= 100 else ""
            lines.append(
                f"event {event.text!r}: {'every' if sure else 'no'} value of {name} is {sign} {number:g}, since its "
                f"range is {span}" if low <= number <= high
                else f"{where} outside {span}, the range of {name}{hint}"
            )  # fmt: skip
        elif low == 0 and high == 100 and 0 < number < 1:
            lines.append(f"{where} below 1 % of 0 to 100, the range of {name}; did you mean {number * 100:g}?")
    return lines


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _why(rest: str, metrics: Collection[str]) -> str:
    """What the rest of a sentence has that no sentence may have, and what to write for it."""
    rest = rest.strip()
    quoted = next(
        (name for name in sorted(metrics, key=len, reverse=True) if _SPECIAL.search(name) and rest.startswith(name)), ""
    )
    if quoted:
        return f" (a name with {'spaces' if ' ' in quoted else 'signs'} is put in quotes: {quoted!r})"
    if re.match(r"[\u2018-\u201f]", rest):
        return " (quotes are ' or \")"
    if rest[:1] == "%":
        return _PERCENT
    if rest[:1] in ("(", ")"):
        return " (parentheses are not allowed; bounds are joined by 'and' alone)"
    if re.match(r"(or|not)\b|[|&!]", rest, re.IGNORECASE):
        return " ('or', 'not' and signs for them are not allowed; ask for each event by itself)"
    if re.match(r"[<>]", rest):
        return " (a bound has one sign; write 'metric > low and metric < high')"
    if re.search(r"[\u2264\u2265\u2a7d\u2a7e]|=[<>]", rest) or re.search(r"^[^<>]*(?<![<>])=[^<>]*$", rest):
        return " (signs are <, <=, > and >=)"
    return ""


def _comma(word: str) -> str:
    """What to write for a word that would be a number but for its commas."""
    if word.endswith(",") and _is_number(word[:-1]):
        return " (bounds are joined by 'and', not by a comma)"
    if word.count(",") == 1 and "." not in word and _is_number(word.replace(",", ".")):
        return f" (the decimal sign is a point: {word.replace(',', '.')})"
    return ""


def _wrong(text: str, why: str) -> ValueError:
    return ValueError(f"event {text!r}: {why}; write 'metric > number and \"other metric\" <= number'")
