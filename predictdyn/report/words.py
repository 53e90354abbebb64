"""Numbers and names as words: shares in per cent, values to the digits that their uncertainty allows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

SPACE = "\u00a0"
UNKNOWN = "–"


# What a certificate of alarms says of a rate that few families ask for, in plain words.
TAIL = "An exponential tail is an assumption: so rarely do healthy runs go further than any that was seen."


def percent(share: float) -> str:
    """A share as a whole number of per cent, with a tenth where it is small.

    >>> percent(0.342).replace(SPACE, " "), percent(-0.05).replace(SPACE, " "), percent(0.004).replace(SPACE, " ")
    ('34 %', '−5 %', '0.4 %')
    """
    return f"{_hundredths(share)}{SPACE}%" if math.isfinite(share) else UNKNOWN


def less_error(skill: float) -> str:
    """A skill in words: how much less error, or how many times the error.

    >>> less_error(0.3).replace(SPACE, " "), less_error(-0.05).replace(SPACE, " "), less_error(-2.51)
    ('30 % less error', '5 % more error', '3.5 times the error')
    """
    if not math.isfinite(skill):
        return UNKNOWN
    if skill <= -1:
        return f"{1 - skill:,.{1 if skill > -9 else 0}f} times the error"
    return f"{percent(abs(skill))} {'more' if skill < 0 else 'less'} error"


def percents(low: float, high: float) -> str:
    """An interval of shares.

    >>> percents(0.21, 0.45).replace(SPACE, " ")
    '21 to 45 %'
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return UNKNOWN
    return f"{_hundredths(low)} to {_hundredths(high)}{SPACE}%"


def _hundredths(share: float) -> str:
    number = 100 * share
    text = f"{number:.1g}" if 0.05 <= abs(number) < 0.95 else f"{number:,.0f}"
    return "0" if text in ("-0", "0") else text.replace("-", "−")


def value(number: float, width: float = math.nan) -> str:
    """A value with two digits of ``width`` (of its interval), or four digits of its own where no width is known.

    >>> value(0.71234, 0.09), value(12345.6, 800.0), value(-3.14159)
    ('0.712', '12,350', '−3.142')
    """
    if not math.isfinite(number):
        return UNKNOWN
    size = width if math.isfinite(width) and width > 0 else abs(number) / 100
    digits = 1 - math.floor(math.log10(size)) if size > 0 else 0
    if digits > 7 or abs(number) >= 1e9:
        return f"{number:.3g}".replace("-", "−")
    text = f"{round(number, digits):,.{max(digits, 0)}f}"
    return text.removeprefix("-" if float(text.replace(",", "")) == 0 else "").replace("-", "−")


def width_of(low: float, high: float) -> float:
    """The width that the digits of values go by; NaN where they span powers of ten, and have digits of their own.

    >>> width_of(0.2, 0.5), width_of(1e-7, 0.5)
    (0.3, nan)
    """
    return math.nan if 0 < 100 * low < high else high - low


def both_modes(row: pd.Series) -> str:
    """Where a forecast with two modes ends, and how likely in each; blank where it has one.

    >>> row = {"upper": 0.62, "low_q0.05": 0.2, "low_q0.5": 0.312, "low_q0.95": 0.4}
    >>> row |= {"high_q0.05": 0.95, "high_q0.5": 0.98, "high_q0.95": 0.99}
    >>> both_modes(pd.Series(row)).replace(SPACE, " ")
    '62 %: ends near 0.980; 38 %: ends near 0.31'
    """
    upper = float(row.get("upper", math.nan))
    if not math.isfinite(upper):
        return ""
    high, low = (
        value(float(row[f"{mode}_q0.5"]), width_of(float(row[f"{mode}_q0.05"]), float(row[f"{mode}_q0.95"])))
        for mode in ("high", "low")
    )
    return f"{percent(upper)}: ends near {high}; {percent(1 - upper)}: ends near {low}"


def between(low: float, high: float, width: float = math.nan) -> str:
    """An interval of values, to the digits of its own width or of ``width``."""
    size = width if math.isfinite(width) else width_of(low, high)
    return f"{value(low, size)} to {value(high, size)}"


def readable(name: str) -> str:
    """A metric's name as words.

    >>> readable("test_accuracy"), readable("val/exact__match")
    ('test accuracy', 'val/exact match')
    """
    return " ".join(name.replace("_", " ").split()) or name


def count(n: float, one: str, many: str = "") -> str:
    """A number of things.

    >>> count(1, "run"), count(1200, "family", "families")
    ('1 run', '1,200 families')
    """
    return f"{n:,.0f} {one if n == 1 else many or one + 's'}"


def listed(items: Sequence[str], longest: int = 6) -> str:
    """Items in a row with "and", the rest counted.

    >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], longest=2)
    ('a, b and c', 'a, b and 1 more')
    """
    shown = list(items[:longest])
    if len(items) > longest:
        shown.append(f"{len(items) - longest:,} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def at_cutoff(cutoff: float) -> str:
    """A cutoff as a column's head: a share of the run, or the fixed split where there is none."""
    return percent(cutoff) if math.isfinite(cutoff) else "fixed split"


def beginning(cutoff: float) -> str:
    """A cutoff as the beginning of a sentence."""
    return f"After {percent(cutoff)} of a run" if math.isfinite(cutoff) else "From what is seen of each run"


def step_word(step: float, _position: object = None) -> str:
    """A step as an axis shows it.

    >>> step_word(1500), step_word(143000), step_word(2e6), step_word(8)
    ('1.5k', '143k', '2M', '8')
    """
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(step) >= size:
            return f"{step / size:.3g}{letter}"
    return f"{step:.3g}" if step else "0"


def short_number(number: float, _position: object = None) -> str:
    """A number of any size in few letters, as an axis or a plan shows it.

    >>> short_number(3e20), short_number(1.5), short_number(250.0), short_number(1.25e10), short_number(0.0002)
    ('3e20', '1.5', '250', '1.25e10', '2e-4')
    """
    if number == 0 or 0.001 <= abs(number) < 1e4:
        return f"{number:.4g}"
    digits, _, power = f"{number:.3e}".partition("e")
    return f"{float(digits):g}e{int(power)}"


def cutoffs_of(column: pd.Series) -> list[float]:
    """The cutoffs of a table in order; one NaN stands for a fixed split."""
    known = np.unique(column.dropna().to_numpy(dtype=float)).tolist()
    return [*known, math.nan] if column.isna().any() else known


def same_cutoff(column: pd.Series, cutoff: float) -> pd.Series:
    """Which rows are of this cutoff (NaN is of NaN)."""
    return (column - cutoff).abs() < 1e-9 if math.isfinite(cutoff) else column.isna()


def in_order(kinds: Iterable[str], order: Sequence[str]) -> list[str]:
    """Kinds in the order of the glossary, unknown ones last."""
    return sorted(set(kinds), key=lambda kind: (order.index(kind) if kind in order else len(order), kind))
