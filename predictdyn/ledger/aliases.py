"""Aliases: what private runs are called in a ledger, kept in a file beside it that nobody else is given."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from predictdyn.backtest.writing import locked
from predictdyn.redaction import Redaction

ALIAS = re.compile(r"run-[0-9a-f]{6}")  # what an alias of a run looks like


def aliases_file(ledger: Path) -> Path:
    """The file of aliases that belongs to a ledger: it stays at home."""
    return ledger.with_name(f"{ledger.name}.aliases.json")


def read_aliases(file: Path) -> dict[str, str]:
    """Names and their aliases; none where there is no file. Raises ValueError where it is no such table."""
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ValueError(f"{file} cannot be read as aliases: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(word, str) for pair in found.items() for word in pair):
        raise ValueError(f"{file} is no table of names and aliases")
    return found


def aliases_for(
    names: Iterable[str], file: Path, private: Iterable[str], redaction: Redaction, what: str = "run"
) -> dict[str, str]:
    """Aliases of those names that match a glob of ``private``, or that hold what must not leave; kept in ``file``.

    A name has one alias for good: what was called run-3f9a once is called so again. An alias is drawn by lot, so that
    it says nothing of the name, nor of how many there are.
    """
    globs = list(private)
    wanted = [
        name
        for name in dict.fromkeys(names)
        if any(fnmatchcase(name, glob) for glob in globs) or redaction.text(name) != name
    ]
    if not wanted:
        return {}
    with locked(file):
        known = read_aliases(file)
        taken = set(known.values())
        new = [name for name in wanted if name not in known]
        for name in new:
            while (alias := f"{what}-{secrets.token_hex(3)}") in taken:
                pass
            known[name] = alias
            taken.add(alias)
        if new:
            _write(known, file)
    return {name: known[name] for name in wanted}


def _write(known: dict[str, str], file: Path) -> None:
    """Whole or not at all: a lost alias would lose its run."""
    aside = file.with_name(f".{file.name}.partial")
    with aside.open("w", encoding="utf-8", errors="backslashreplace") as opened:
        opened.write(json.dumps(known, indent=1, sort_keys=True, ensure_ascii=True) + "\n")
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(aside, file)
