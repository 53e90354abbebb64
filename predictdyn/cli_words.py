"""What the words of a command line mean; ValueError, one line, where they mean nothing."""

from __future__ import annotations

import math
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from predictdyn.secrets import HIDDEN, hidden, is_secret, path_shown, without

if TYPE_CHECKING:
    import pandas as pd

    from predictdyn.effects import Intervention


def options(settings: tuple[str, ...]) -> dict[str, str]:
    """Options of a loader, NAME=VALUE each."""
    found = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE, got {setting!r}")
        found[key] = value
    return found


def listed(words: str) -> tuple[str, ...]:
    """The words between commas."""
    return tuple(word.strip() for word in words.split(",") if word.strip())


def cores(workers: int | None) -> int:
    """Processes to use: as many as asked for, or one per core, at most 4."""
    if workers is not None and workers < 1:
        raise ValueError(f"--workers is at least 1, got {workers}")
    return workers or min(os.cpu_count() or 1, 4)


def share(word: str) -> float:
    """A share of a run."""
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"cutoffs are shares in [0, 1), got {word!r}") from None


def step(word: str) -> float:
    """The step of --at."""
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"--at is a step or final, got {word!r}") from None


def plan(word: str) -> dict[str, str]:
    """NAME=VALUE,NAME=VALUE of --predict.

    >>> plan("params=7e9, tokens=2T")
    {'params': '7e9', 'tokens': '2T'}
    """
    found: dict[str, str] = {}
    for part in listed(word):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (equals and name and value):
            raise ValueError(f"--predict takes NAME=VALUE,NAME=VALUE, got {word!r}")
        if name in found:
            raise ValueError(f"--predict names {name!r} twice, got {word!r}; give --predict again for another plan")
        found[name] = value
    if not found:
        raise ValueError(f"--predict takes NAME=VALUE,NAME=VALUE, got {word!r}")
    return found


def budget(word: str) -> float:
    """A budget of --compute."""
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"--compute takes positive numbers such as 1e23, got {word!r}")
    return number


def rates(word: str) -> float | tuple[float, float]:
    """One learning rate of --peak, or two.

    >>> rates("3e-4"), rates("1e-4, 1e-3")
    (0.0003, (0.0001, 0.001))
    """
    try:
        numbers = [float(part) for part in listed(word)]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        return numbers[0]
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    raise ValueError(f"--peak takes a rate such as 3e-4, or two, LOW,HIGH, got {word!r}")


def intervention(word: str) -> Intervention:
    """NAME@STEP."""
    from predictdyn.effects import Intervention

    name, at, step = word.rpartition("@")
    try:
        number = float(step)
    except ValueError:
        number = math.nan
    if not (name and at and 0 <= number < math.inf):
        raise ValueError(f"--intervene takes NAME@STEP, a step from 0 on, got {word!r}")
    return Intervention(name, number)


def verdict(verdicts: pd.DataFrame, forecaster: str) -> str:
    """How many pairs of a kind and a cutoff a forecaster can forecast, of those with enough runs to say."""
    from predictdyn.backtest.compare import PREDICTABLE, TOO_FEW

    own = verdicts.loc[verdicts["forecaster"] == forecaster, "verdict"]
    told = own[own != TOO_FEW]
    return f"{int((told == PREDICTABLE).sum())} of {len(told)}" if len(told) else TOO_FEW


def title(data: Path) -> str:
    """What data are called on a page: their folder, or the one it is in where that says only "data"."""
    # User and password of an address are only seen beside its beginning.
    place = Path(hidden(str(data))).resolve()
    return place.name if place.name != "data" else place.parent.name


def command() -> str:
    """The command as it was typed, without secrets, and with absolute paths by their last two parts."""
    return " ".join(["predictdyn", *(shlex.quote(word) for word in map(_shown, without(sys.argv[1:])))])


def _shown(word: str) -> str:
    name, equals, value = word.partition("=")
    if not equals or "/" in name or "?" in name:
        return path_shown(word)
    return f"{name}={HIDDEN if is_secret(name, value) else path_shown(value)}"
