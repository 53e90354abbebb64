"""What a path is: something there, or the address of a server."""

from __future__ import annotations

import re
from pathlib import Path


def is_there(path: Path) -> bool:
    """Whether there is something at a path; ValueError, one line, where that cannot be said, as of a name too long."""
    try:
        return path.exists()
    except OSError as error:
        raise ValueError(f"{str(path)[:200]}: cannot be read ({error.strerror or error})") from None


def is_address(path: Path | str) -> bool:
    """Whether a path is the address of a server (of which a Path has lost one of two slashes).

    >>> is_address("https://mlflow.example.org"), is_address("runs/a")
    (True, False)
    """
    return re.match(r"[a-z]+:/", str(path)) is not None
