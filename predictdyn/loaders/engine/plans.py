"""What was known of runs before they began: family, planned end and covariates, from configurations and names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from predictdyn.loaders.engine.lengths import Length, last_steps
from predictdyn.loaders.engine.merge import matches
from predictdyn.loaders.engine.names import families_by, families_like, families_of, without_counter
from predictdyn.loaders.engine.notes import some
from predictdyn.loaders.engine.words import listed

# Keys of a configuration that tell copies of one recipe apart, and say nothing of what it does.
_LENGTH = re.compile(r"(?i)(epochs?|steps?|batch_?size)$")
_RATE = re.compile(r"(?i)(learning_?rate|(^|[/_.])lr($|[/_.]))")
_COPY = re.compile(
    r"(^|[/_.])(seed|rng|random_state|run_?(id|name)|(exp|experiment|trial|project|job)_?(id|name)?|names?|notes|tags?|group|host(name)?|"
    r"user|(output|logging|log|save|checkpoint|ckpt|work|cache|hub)_?(dir|path|folder|root|model_id|token)|resume_from\w*|.*_?seed|"
    r"dir|path|device|local_rank|world_rank|pid|git|commit|date|time(stamp)?|start_?time|created)($|[/.])",
    re.IGNORECASE,
)


def planned_runs(
    configs: Mapping[str, Mapping[str, object]],
    lengths: Mapping[str, Length],
    table: pd.DataFrame | None,
    *,
    family: str | None = None,
    covariates: str | Sequence[str] | None = None,
    last_step: str | float | None = None,
    highest: Mapping[str, Mapping[str, float]] | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """The table of runs (index run: family, last_step, covariates) and lines on what had to be assumed.

    ``table`` is the user's own, whose columns win. ``highest`` is the highest value of each metric of a run, of which
    those of learning rates are looked at. The other arguments are options of `gather.gathered`.
    """
    index = pd.Index(sorted(configs), name="run", dtype="str")
    if table is not None and not index.isin(table.index).any():  # a table that somebody padded with blanks
        table = table.set_axis(table.index.str.strip())
    runs = pd.DataFrame(index=index)
    lines = []
    stated = pd.DataFrame(index=index) if table is None else table.reindex(index)
    if table is not None and (missing := [run for run in index if run not in table.index]):
        lines.append(f"{len(missing)} run(s) have no row in the table of runs: {some(missing)}")
    runs["family"] = pd.Series(_families(configs, family, _settings(stated), highest or {}), dtype="str")
    if "family" in stated:
        runs["family"] = stated["family"].where(stated["family"].notna(), runs["family"])
    said = stated["last_step"] if "last_step" in stated else pd.Series(dtype=float)
    runs["last_step"], more = last_steps(
        configs, lengths, dict(zip(index, runs["family"], strict=True)), said, last_step
    )
    own = _covariates(configs, covariates)
    for name, cells in own.items():
        runs[name if name not in ("run", "family", "last_step") else f"config/{name}"] = cells
    for column in stated.columns.difference(["family", "last_step"], sort=False):
        runs[column] = stated[column]
    return runs, [*lines, *more]


def tells_copies_apart(key: str) -> bool:
    """Whether a setting tells copies of one recipe apart, and says nothing of what it does.

    >>> tells_copies_apart("run_id"), tells_copies_apart("optimizer")
    (True, False)
    """
    return _COPY.search(key) is not None


def _settings(stated: pd.DataFrame) -> dict[str, dict[str, object]]:
    """What a table of runs (index run) says of every run, but for its family, its end, blank cells and names."""
    # A word that is another in every run is a name.
    names = [c for c in stated if stated[c].nunique() == len(stated) and not pd.api.types.is_numeric_dtype(stated[c])]
    cells = stated.drop(columns=["family", "last_step", *names], errors="ignore")
    return {str(run): {str(key): cell for key, cell in row.items() if pd.notna(cell)} for run, row in cells.iterrows()}


def _families(
    configs: Mapping[str, Mapping[str, object]],
    family: str | None,
    stated: Mapping[str, Mapping[str, object]],
    highest: Mapping[str, Mapping[str, float]],
) -> dict[str, str]:
    if family is None:
        # Some tools say themselves which runs belong together: nested ones, say.
        said = {run: str(configs[run].get("family", name)) for run, name in families_of(configs).items()}
        return _together(said, configs, stated, highest)
    if "{family}" in family:
        return families_like(family, configs)
    keys = listed(family)
    if any(key in config for key in keys for config in configs.values()):
        one = [f"{config.get(keys[0])}" for config in configs.values()]
        many = [", ".join(f"{key}={config.get(key)}" for key in keys) for config in configs.values()]
        return dict(zip(configs, one if len(keys) == 1 else many, strict=True))
    if "(" not in family:
        known = sorted({key for config in configs.values() for key in config})
        raise ValueError(
            f"family={family!r} is no pattern with {{family}}, no regular expression with one group, and no key of "
            f"the configuration; keys are {some(known, 12) or 'none'}"
        )
    return families_by(family, configs)


def _together(
    family: dict[str, str],
    configs: Mapping[str, Mapping[str, object]],
    stated: Mapping[str, Mapping[str, object]],
    highest: Mapping[str, Mapping[str, float]],
) -> dict[str, str]:
    """Families by name, joined where two configurations say the same of the recipe, and nothing ``stated`` differs."""
    recipes: dict[tuple[str, ...], str] = {}
    joined: dict[str, str] = {}

    def first(name: str) -> str:
        while name in joined:
            name = joined[name]
        return name

    for run, config in configs.items():
        of_recipe = {key: value for key, value in config.items() if not tells_copies_apart(key)}
        # Length and size of batches alone, as a trainer's state has them, are no recipe, nor are words alone, as a
        # table has them beside its numbers: rates may differ unseen. A seed says that all else is there.
        seeded = any("seed" in key.lower() for key in config)
        if not all(_LENGTH.search(key) or (isinstance(value, str) and not seeded) for key, value in of_recipe.items()):
            said = [f"{key}={value}" for key, value in stated[run].items() if not tells_copies_apart(key)]
            name = ""
            # Settings of a model alone (config.json) are equal in all runs of a sweep: names and logs say the rest.
            if not seeded and not any(map(_RATE.search, config)):
                name = without_counter(family[run])
                said += [f"{key}={value:.3g}" for key, value in highest.get(run, {}).items() if _RATE.search(key)]
            recipe = (name, *sorted([*said, *(f"{key}={value}" for key, value in of_recipe.items())]))
            twin, own = first(recipes.setdefault(recipe, family[run])), first(family[run])
            if twin != own:
                joined[own] = twin
    return {run: first(name) for run, name in family.items()}


def _covariates(
    configs: Mapping[str, Mapping[str, object]], chosen: str | Sequence[str] | None
) -> dict[str, pd.Series]:
    """Columns of the configuration: those chosen, else the scalars that vary and are no mark of a copy."""
    keys = sorted({key for config in configs.values() for key in config})
    patterns = listed(chosen)
    for pattern in patterns:
        if not any(matches(key, [pattern]) for key in keys):
            raise ValueError(f"covariates={pattern!r} matches no key of the configuration; keys are {some(keys, 12)}")
    columns = {}
    for key in keys:
        cells = {run: config.get(key) for run, config in configs.items()}
        if chosen is not None:
            if matches(key, patterns):
                columns[key] = _column(cells.values(), list(cells))
        elif not tells_copies_apart(key) and len(set(map(str, cells.values()))) > 1:
            scalar = all(value is None or isinstance(value, bool | int | float | str) for value in cells.values())
            # A word that is another in every run is a name.
            name = (
                any(isinstance(v, str) for v in cells.values()) and len(set(map(str, cells.values()))) == len(cells) > 2
            )
            if scalar and not name:
                columns[key] = _column(cells.values(), list(cells))
    return columns


def _column(cells: Iterable[object], runs: Sequence[str]) -> pd.Series:
    """Truth values or numbers where all cells are (None: blank), else text."""
    values = list(cells)
    index = pd.Index(list(runs), name="run", dtype="str")
    if all(isinstance(value, bool) for value in values):
        return pd.Series(values, index=index, dtype=bool)
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        column = pd.Series([np.nan if value is None else float(str(value)) for value in values], index=index)
        column = column.where(np.isfinite(column))
        return column.astype("int64") if (column % 1 == 0).all() and (column.abs() < 2**53).all() else column
    return pd.Series([None if value is None else str(value) for value in values], index=index, dtype="str")
