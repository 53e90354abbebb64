"""The tables of docs/logs.md that list all options, made from their declarations."""

from __future__ import annotations

from collections.abc import Sequence

from predictdyn.loaders.engine.options import SHARED, Option
from predictdyn.loaders.engine.source import Source


def documented(sources: Sequence[Source]) -> str:
    """Two tables: the options of all sources that are read run by run, and those of one or a few."""
    whole = [source for source in sources if not source.by_run]
    own: list[tuple[Option, list[str]]] = []
    for source in sources:
        for option in (option for option in source.options if option not in SHARED):
            of = next((names for known, names in own if known == option), None)
            if of is None:
                own.append((option, [source.name]))
            else:
                of.append(source.name)
    rows = [(_quoted([option.name]), _quoted(names), option.says) for option, names in own]
    rows += [
        (_quoted([option.name for option in source.options if option in SHARED]), _quoted([source.name]), "as above")
        for source in whole
    ]
    rows.sort(key=lambda row: row[0].replace("`", ""))
    return "\n".join(
        [
            f"For all sources but {' and '.join(_quoted([source.name]) for source in whole)} "
            "(`--set NAME=VALUE`, or keyword arguments of `predictdyn.loaders.load`):",
            "",
            "| option | what it says |",
            "| --- | --- |",
            *(f"| {_quoted([option.name])} | {option.says} |" for option in SHARED),
            "",
            "Options of one or a few sources:",
            "",
            "| option | of | what it says |",
            "| --- | --- | --- |",
            *(f"| {option} | {names} | {says} |" for option, names, says in rows),
        ]
    )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
