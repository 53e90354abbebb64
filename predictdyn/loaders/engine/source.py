"""A source: what a tool (or a kind of table) is called, how it is known, which runs are there, what each logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from predictdyn.loaders.engine.options import SHARED, Option, checked

if TYPE_CHECKING:
    from predictdyn.curves import Curves
    from predictdyn.loaders.engine.runlog import Item, RunLog


@dataclass(frozen=True)
class Source:
    """One source, as a value: its name, and what it reads, in words.

    * ``sniff(path)``: what of this source lies at a path, in words, or None.
    * ``load(path, **options)``: the curves of a path.
    * ``scan(path, **options)``: the runs at a path; ``read(item, **options)``: what one of them logged. A source
      without these two loads whole; all others leave every rule to the engine.
    * ``scan_options``, ``read_options``, ``load_options``: what each of the three takes.
    """

    name: str
    reads: str
    sniff: Callable[[Path], str | None]
    load: Callable[..., Curves]
    scan: Callable[..., Iterable[Item]] | None = None
    read: Callable[..., RunLog] | None = None
    scan_options: tuple[Option, ...] = ()
    read_options: tuple[Option, ...] = ()
    load_options: tuple[Option, ...] = SHARED

    @property
    def by_run(self) -> bool:
        """Whether runs are read one by one, and the engine does the rest."""
        return self.scan is not None

    @property
    def options(self) -> tuple[Option, ...]:
        """All options, its own first, each once."""
        own = (*self.scan_options, *self.read_options, *self.load_options)
        return tuple({option.name: option for option in own}.values())

    def checked(self, given: Mapping[str, object]) -> dict[str, object]:
        """All options, as given or by default; ValueError, one line, for one that is unknown or not allowed."""
        return checked(given, self.options, self.name)
