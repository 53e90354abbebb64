"""Options as a command line or a caller gives them: lists between commas, and whole numbers."""

from __future__ import annotations

from collections.abc import Sequence


def listed(chosen: object) -> list[str]:
    """Names as a list; a string holds them between commas.

    >>> listed("a, b"), listed(["c"]), listed(None)
    (['a', 'b'], ['c'], [])
    """
    names: Sequence[object] = chosen.split(",") if isinstance(chosen, str) else list(chosen or [])  # type: ignore[call-overload]
    return [str(name).strip() for name in names if str(name).strip()]


def counted(said: object, name: str, least: int) -> int:
    """A whole number of at least ``least``; ValueError where an option (``name``) is none."""
    try:
        number = int(str(said))
    except ValueError:
        number = least - 1
    if number < least:
        raise ValueError(f"{name} must be a whole number >= {least}, found {said!r}")
    return number


def planned_end(last_step: object, source: str = "") -> float:
    """``last_step`` as a number of steps; ValueError where it is none."""
    try:
        number = float(last_step)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError):
        number = float("nan")
    if not 0 < number < float("inf"):
        raise ValueError(f"{source}last_step must be a number > 0 (or name a column of it), found {last_step!r}")
    return number
