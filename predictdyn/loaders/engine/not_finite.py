"""Events of numbers that are not finite: how they are written, and read again."""

from __future__ import annotations

import math

WORDS = ("NaN", "infinite", "minus infinity")


def broke(metric: str, number: float) -> str:
    """The event of a number that is not finite.

    >>> broke("loss", float("nan")), broke("loss", -math.inf)
    ('loss is NaN', 'loss is minus infinity')
    """
    return f"{metric} is {WORDS[0 if math.isnan(number) else 1 if number > 0 else 2]}"


def broken(what: str) -> str | None:
    """The metric of such an event; None of any other event.

    >>> broken("loss is infinite"), broken("restart")
    ('loss', None)
    """
    ending = next((f" is {word}" for word in WORDS if what.endswith(f" is {word}")), None)
    return None if ending is None else what.removesuffix(ending)
