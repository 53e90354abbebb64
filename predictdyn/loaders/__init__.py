"""Loaders: any log becomes `Curves`. One file a source, each with ``load(path, ...)``; the folder is the registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

from predictdyn.curves import Curves


def sources() -> list[str]:
    """The names of all sources, read off the folder: nothing is imported.

    >>> sources()
    ['json_lines', 'lm_eval', 'tidy', 'wide']
    """
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if not file.name.startswith("_"))


def load(path: Path | str, source: str | None = None, **options: object) -> Curves:
    """Read any log: with ``source``, or with the one that `detect` sees; ``options`` are those of the source's load.

    Raises ValueError, one line: what was expected, what was found and where, what is allowed.
    """
    name = detect(path) if source is None else source
    known = options_of(name)
    for option in options:
        if option not in known:
            raise ValueError(f"the source {name} has no option {option!r}; it has {', '.join(known)}")
    curves: Curves = _module(name).load(Path(path), **options)
    return curves


def options_of(source: str) -> Mapping[str, object]:
    """The options of a source, each with what holds if it is not given.

    >>> list(options_of("tidy"))
    ['runs_file', 'metrics_file', 'events_file']
    """
    return dict(_module(source).load.__kwdefaults__)


def detect(path: Path | str) -> str:
    """The source that a file or folder looks like.

    A folder with points.* is tidy; else one with harness results (JSON) below is lm_eval, with .jsonl or .ndjson
    json_lines, with CSV or parquet wide. A table with the columns run, metric, step and value is tidy, any other is
    wide. Raises ValueError for anything else.
    """
    from predictdyn.loaders import json_lines
    from predictdyn.loaders._tables import TABLES, header, is_table
    from predictdyn.loaders.tidy import NEEDED

    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    name = path.name.lower()
    if path.is_dir():
        if any((path / f"points{ending}").is_file() for ending in TABLES):
            return "tidy"
        if _has_results(path):
            return "lm_eval"
        for source, endings in (("json_lines", json_lines.ENDINGS), ("wide", TABLES)):
            if any(file.name.lower().endswith(endings) for file in path.rglob("*")):
                return source
    elif is_table(path):
        return "tidy" if set(NEEDED) <= set(header(path)) else "wide"
    elif name.endswith(json_lines.ENDINGS):
        return "json_lines"
    elif name.endswith(".json"):
        return "lm_eval"
    raise ValueError(
        f"{path}: cannot tell what this is; expected a folder with points.csv or points.parquet (tidy), a table "
        f"({', '.join(TABLES)}), a .jsonl or .ndjson log, or a folder of harness results (.json); "
        f"or name the source: {', '.join(sources())}"
    )


def _has_results(folder: Path) -> bool:
    """Whether a harness result is among the first JSON files (one that cannot be read counts: its loader will say)."""
    from predictdyn.loaders._harness import is_result
    from predictdyn.loaders.lm_eval import result_files

    for file in result_files(folder)[:20]:
        try:
            content = json.loads(file.read_bytes())
        except (ValueError, OSError):
            return True
        if is_result(content):
            return True
    return False


def _module(source: str) -> ModuleType:
    if source not in sources():
        raise ValueError(f"no source {source!r}; known are {', '.join(sources())}")
    return import_module(f"predictdyn.loaders.{source}")
