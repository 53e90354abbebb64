"""The folder of a watch: new, empty, or written by a watch before, so that no other result loses its page."""

from __future__ import annotations

from pathlib import Path

from predictdyn.naming import some
from predictdyn.watch.kept import ALARMS
from predictdyn.watch.state import NAME

PAGE, RESULT = "index.html", "provenance.json"  # RESULT: every folder of another verb has it


def check_own(folder: Path, *, shared: bool = False) -> None:
    """Raises ValueError for a folder that something else has written.

    Where the first look was broken off, there are only the alarms that were learnt. ``shared`` allows other files, but
    no page that a watch has not made.
    """
    if not folder.is_dir():
        return
    held = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    free = PAGE not in held if shared else set(held) <= {ALARMS}
    if RESULT in held or not (free or NAME in held):
        raise ValueError(
            f"{folder} was not written by a watch (it holds {some(held)}); choose another out=, or remove it first"
        )
