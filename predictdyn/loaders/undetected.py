"""Words for a path that no source knows: what was looked at, what came closest, why it failed, and what to say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from predictdyn.loaders.engine.notes import some
from predictdyn.loaders.files.folders import files_named
from predictdyn.loaders.files.tables import header, is_table
from predictdyn.loaders.json_lines.lines import keys_of
from predictdyn.loaders.tables.clock import STEP_NAMES, counts

ASKED = 20  # files of a kind that are opened
TEXT = (".txt", ".log", ".out", ".err", ".stdout", ".stderr")


def unknown(path: Path, sources: Sequence[str]) -> str:
    """One line on a file or folder that is of no known source."""
    files = files_named(path, lambda name: True)
    endings = Counter(file.suffix.lower() or "no ending" for file in files)
    seen = some([f"{count} {ending}" for ending, count in endings.most_common()], 6) or "nothing"
    close = next((words for words in (_table(files), _lines(files), _text(files)) if words), None)
    return (
        f"{path}: cannot tell what this is; looked at {len(files)} file(s) ({seen})"
        + (f"; closest: {close}" if close else "")
        + "; expected the files of one of the known tools, or a table with a column that counts steps "
        f"({', '.join(STEP_NAMES[:6])}, ...); or name the source: {', '.join(sources)}"
    )


def _table(files: Sequence[Path]) -> str | None:
    for file in [file for file in files if is_table(file)][:ASKED]:
        try:
            names = header(file)
        except ValueError as error:
            return str(error)
        if names and not any(counts(name) for name in names):
            return (
                f"{file.name} has the columns {some(names, 8)}, none of which counts steps; "
                "name the one that does: source='wide', step=NAME"
            )
    return None


def _lines(files: Sequence[Path]) -> str | None:
    for file in [file for file in files if file.suffix.lower() in (".json", ".jsonl", ".ndjson", *TEXT)][:ASKED]:
        keys = keys_of(file)
        if keys and not any(counts(name) for name in keys):
            return (
                f"{file.name} holds JSON objects with {some(keys, 8)}, none of which counts steps; "
                "name the one that does: source='json_lines', step=NAME"
            )
    return None


def _text(files: Sequence[Path]) -> str | None:
    from predictdyn.loaders.text_log.source import nearest_form

    for file in [file for file in files if file.suffix.lower() in TEXT][:ASKED]:
        words = nearest_form(file)
        if words:
            return words
    return None
