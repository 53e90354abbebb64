"""Any log becomes `Curves`: by the source that is named, else by the one that is detected."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from predictdyn.loaders.catalogue import source as source_of
from predictdyn.loaders.detection import detect

if TYPE_CHECKING:
    from predictdyn.curves import Curves


def load(path: Path | str, source: str | None = None, **options: object) -> Curves:
    """Read any log: with ``source``, or with the one that `detect` sees; ``options`` are those that it declares.

    What was merged, dropped or assumed is said in a UserWarning each. Raises ValueError, one line: what was expected,
    what was found and where, what is allowed.
    """
    one = source_of(detect(path).source if source is None else source)
    one.checked(options)
    return one.load(Path(path), **options)


@contextmanager
def heard() -> Iterator[list[str]]:
    """Warnings of loaders, inside, are the lines of a list that is full once it is left, not warnings of Python."""
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield lines
    lines += [str(warning.message) for warning in caught]
