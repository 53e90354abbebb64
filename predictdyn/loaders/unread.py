"""Tables of logs beside the runs of a tool: only the tool's runs are read, so the tables are named."""

from __future__ import annotations

from pathlib import Path

from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.folders import is_file
from predictdyn.loaders.files.tables import is_table
from predictdyn.loaders.tables.clock import counts
from predictdyn.loaders.tables.kinds import COMPANIONS, names_in
from predictdyn.naming import some

OF_A_RUN = ("progress.csv", "metrics.csv", "monitor.csv")  # what tools write of a run, in a second form or of its parts


def unread(path: Path, source: Source) -> str:
    """Words on the tables with a column for the step that lie in a folder and are of none of its runs, else nothing."""
    tables = [file for file in sorted(path.iterdir()) if is_file(file) and is_table(file) and _is_log(file)]
    if not tables:
        return ""
    items = source.scan(path) if source.scan is not None else ()
    read = {file.resolve() for item in items for file in item.files}
    left = [file.name for file in tables if file.resolve() not in read]
    return f"; also here, but not read: {some(left)} (load each by its own path)" if left else ""


def _is_log(file: Path) -> bool:
    return file.name not in COMPANIONS and not file.name.endswith(OF_A_RUN) and any(map(counts, names_in(file)))
