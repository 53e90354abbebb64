"""A tree of lm-evaluation-harness result files (JSON), one or more a checkpoint."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from predictdyn.curves import KEY, Curves
from predictdyn.loaders.engine.companions import beside, metrics_beside, read_runs
from predictdyn.loaders.engine.facts import harness_metric
from predictdyn.loaders.engine.lengths import Length, last_steps
from predictdyn.loaders.engine.names import families_by, families_of, params_of
from predictdyn.loaders.engine.notes import some
from predictdyn.loaders.engine.options import FAMILY, LAST_STEP, METRICS_FILE, RUNS_FILE, Option
from predictdyn.loaders.engine.points import curves_at, fitted_to
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.folders import is_file
from predictdyn.loaders.files.tables import header
from predictdyn.loaders.lm_eval import result

ASKED = 20  # files of a folder that are opened to see whether they are results
RESULTS = re.compile(rb"\s*\{.*?\"(table_)?results\"\s*:\s*[{\[]", re.DOTALL)
FILES = Option("files", "the glob of the result files", "**/*.json")
STEP_FROM = Option(
    "step_from", "which is right where `config` and `name` state different steps", allowed=("config", "name")
)
RUN_KEYS = ("run", "model")
# Columns of a table of runs that say what was logged: not known before the run, so no covariates.
OF_THE_LOG = ["n_checkpoints", "first_step", "last_step"]


def load(
    path: Path | str,
    *,
    family: str | None = None,
    last_step: str | float | None = None,
    files: str = "**/*.json",
    step_from: str | None = None,
    metrics_file: Path | str | None = None,
    runs_file: Path | str | None = None,
) -> Curves:
    """Read every result file of a tree (only JSON: tables that lie between them are left alone).

    **Metrics** are called ``<task> <metric>`` (``lambada_openai acc``), aggregates of tasks ``group/<task> <metric>``;
    a filter other than ``none`` stays in the name (``gsm8k exact_match,strict-match``). Standard errors are kept,
    fractions stay fractions. What is known of a metric is in the tables of `facts`; a metrics.csv beside overrides it.

    **Run**: the last part of ``pretrained=`` in the model_args, else what the file name has before the step, else the
    nearest folder (steps are not part of a name: ``out/run1/checkpoint-500`` is run1). Where that gives two files
    the same (run, metric, step), the folders in which the files of that run differ are put in front of it:
    ``baseline/pythia-70m``. If they share the folder too, it is an error.

    **Step**: ``revision=step1000`` or a checkpoint in ``pretrained=``, else ``iteration`` of model_args, else
    ``step1000`` in the name of file or folder, else the number at the end of the file name. If both config and name
    state one and they differ, ``step_from="config"`` or ``"name"`` must say which is right.

    **Runs**: an optional runs.csv in the tree's folder or up to two above it (or ``runs_file``), with a column run or
    model, gives ``family``, the planned end (``train_steps``, else ``last_step``) and covariates; the run is then
    whichever of its possible names the table lists. Where it has several rows for a run, the one with the file's
    ``num_fewshot`` counts. Without it the end is ``last_step``, else that of the other models (`lengths.last_steps`).
    ``params`` is read from the name.

    **Family**: the run name without the parts that mark a near-copy (-deduped, -bf16, -v0, seeds, intervention, ...:
    `names.VARIANTS`); or ``family``, a regular expression with one group; or a column of runs.csv.

    ``files`` is the glob of the result files. Raises ValueError, one line with the file.
    """
    root = Path(path)
    STEP_FROM.checked(step_from)
    found = _files(root, files)
    table = _table(root, runs_file)
    points, origins = _read(root, found, table, step_from)
    folder = root if root.is_dir() else root.parent
    runs_of = _apart(points, found, folder)
    points["run"] = points["file"].map(runs_of)
    named = points[["metric", "task", "plain"]].drop_duplicates("metric")
    known = {name: harness_metric(name, task, plain) for name, task, plain in named.itertuples(index=False)}
    stated = metrics_beside(folder, metrics_file)
    known, lines = fitted_to(points, known, stated)
    for line in lines:
        warnings.warn(line, UserWarning, stacklevel=2)
    base = dict(zip(points["run"], points["base"], strict=True))
    shots = {run: origins[file].shots for file, run in runs_of.items()}
    runs, assumed = _runs(base, shots, table, family, last_step, root, _lengths(points))
    curves = curves_at(
        points[["run", "metric", "step", "value", "stderr", "file"]].assign(line=0),
        found,
        source=root,
        runs=runs,
        metrics=known,
        stated=stated,
    )
    for line in assumed:
        warnings.warn(line, UserWarning, stacklevel=2)
    return curves


def sniff(path: Path) -> str | None:
    """How many JSON files there are, in words, or None: one of the first must hold results, whole or cut short."""
    files = result_files(path) if path.is_dir() else [path] if path.suffix.lower() == ".json" else []
    if not any(_is_result(file) for file in files[:ASKED]):
        return None
    return f"lm-evaluation-harness: {len(files)} JSON file{'s'[: len(files) > 1]}"


def _is_result(file: Path) -> bool:
    """Whether a file holds results. One that is damaged does if they are named: the loader will say what is wrong."""
    if not is_file(file):
        return False
    try:
        raw = file.read_bytes()
        return result.is_result(json.loads(raw))
    except (ValueError, RecursionError):
        return RESULTS.match(raw) is not None
    except OSError:
        return False


def result_files(root: Path, files: str = "**/*.json") -> list[Path]:
    """The files of a tree that match, sorted; what lies in hidden folders is left out."""
    return sorted(
        file
        for file in root.glob(files)
        if is_file(file) and not any(part.startswith(".") for part in file.relative_to(root).parts)
    )


def _files(root: Path, files: str) -> list[Path]:
    if not root.exists():
        raise ValueError(f"{root}: no such file or folder")
    if not root.is_dir():
        return [root]
    found = result_files(root, files)
    if not found:
        raise ValueError(f"{root}: no result file ({files}) in this folder")
    return found


def _table(root: Path, runs_file: Path | str | None) -> pd.DataFrame | None:
    if runs_file is None:
        start = root.resolve()
        found = [beside(folder, "runs", RUN_KEYS) for folder in (start, *start.parents[:2]) if folder.is_dir()]
        runs_file = next((path for path in found if path), None)
        if runs_file is None:
            return None
        if runs_file.parent != start:
            line = f"{runs_file} states facts of runs (no data lost); name another table with runs_file=..."
            warnings.warn(line, UserWarning, stacklevel=3)
    path = Path(runs_file)
    table = read_runs(path, "model" if {"run", "model"} & set(header(path)) == {"model"} else "run")
    if "train_steps" in table:
        table["last_step"] = table["train_steps"]
    table.attrs["path"] = str(path)
    return table.drop(columns=[name for name in OF_THE_LOG if name in table and name != "last_step"])


def _read(
    root: Path, files: list[Path], table: pd.DataFrame | None, step_from: str | None
) -> tuple[pd.DataFrame, list[result.Origin]]:
    """Every value of every file: base (name of the run), task, plain (metric of the task), metric, step, value, ..."""
    rows: list[tuple[object, ...]] = []
    origins = []
    broken: list[ValueError] = []
    for i, file in enumerate(files):
        try:
            parsed = result.parsed(file)
        except ValueError as error:
            broken.append(error)
            origins.append(result.Origin([], None, None, None))
            continue
        content = result.results(parsed, file)
        origin = result.origin(content, file, root)
        step = _step(origin, file, step_from)
        base = _base(origin, file, table)
        for task, metric, value, stderr, group in result.values(content, file):
            rows.append((i, base, task, metric, f"{'group/' * group}{task} {metric}", step, value, stderr))
        origins.append(origin)
    if len(broken) == len(files):
        raise broken[0]
    if broken:
        line = f"{len(broken)} damaged file(s) left out, the others are read: {some([*map(str, broken)], 2)}"
        warnings.warn(line, UserWarning, stacklevel=4)
    return pd.DataFrame(rows, columns=["file", "base", "task", "plain", "metric", "step", "value", "stderr"]), origins


def _step(origin: result.Origin, file: Path, step_from: str | None) -> float:
    config, name = origin.config_step, origin.name_step
    if step_from is not None:
        step = config if step_from == "config" else name
    elif config is not None and name is not None and config != name:
        raise ValueError(
            f"{file}: its config says step {config:g}, its name {name:g}; say which is right with "
            "step_from='config' or step_from='name'"
        )
    else:
        step = name if config is None else config
    if step is None:
        raise ValueError(
            f"{file}: does not say its step; expected revision=step1000 or iteration in model_args, or a name such as "
            "model_step1000.json or results_1000.json"
        )
    return step


def _base(origin: result.Origin, file: Path, table: pd.DataFrame | None) -> str:
    if not origin.names:
        raise ValueError(f"{file}: does not say its run; expected pretrained=... in model_args, or a named folder")
    if table is None:
        return origin.names[0]
    listed = set(table.index)
    name = next((name for name in origin.names if name in listed), None)
    if name is None:
        raise ValueError(
            f"{file}: {table.attrs['path']} has no row for it: none of its possible names "
            f"({', '.join(dict.fromkeys(origin.names))}) is among its runs ({', '.join(sorted(listed)[:6])}, ...); "
            "name another table with runs_file=..."
        )
    return name


def _apart(points: pd.DataFrame, files: list[Path], root: Path) -> dict[int, str]:
    """The run of every file: its base name, with the folders that differ in front where names clash."""
    base = dict(zip(points["file"], points["base"], strict=True))
    clash = set(points.loc[points.duplicated(["base", *KEY[1:]]), "base"])
    run = {file: name for file, name in base.items() if name not in clash}
    for name in clash:
        parts = {file: files[file].relative_to(root).parent.parts for file in base if base[file] == name}
        first, last = _shared(parts.values()), _shared(part[::-1] for part in parts.values())
        for file, part in parts.items():
            run[file] = "/".join([*part[first : max(first, len(part) - last)], name])
    return run


def _shared(parts: Iterable[tuple[str, ...]]) -> int:
    """How many folders are the same at the beginning of all."""
    shared = 0
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared += 1
    return shared


def _runs(
    base: dict[str, str],
    shots: dict[str, int | None],
    table: pd.DataFrame | None,
    family: str | None,
    last_step: str | float | None,
    root: Path,
    lengths: dict[str, Length],
) -> tuple[pd.DataFrame, list[str]]:
    index = pd.Index(sorted(base), name="run", dtype="str")
    runs = pd.DataFrame(index=index)
    if table is not None:
        rows = [_row(table, run if run in table.index else base[run], shots[run]) for run in index]
        runs = table.iloc[rows].set_axis(index, axis=0).rename_axis("run")
    stems = families_by(family, index) if family is not None else families_of(set(base.values()))
    if family is not None or "family" not in runs:
        runs["family"] = [stems[run if family is not None else base[run]] for run in index]
    stated = runs["last_step"] if "last_step" in runs else pd.Series(dtype=float)
    families = dict(zip(index, runs["family"].astype("str"), strict=True))
    try:
        runs["last_step"], lines = last_steps({run: {} for run in index}, lengths, families, stated, last_step)
    except ValueError as error:
        raise ValueError(f"{root}: {error}") from None
    params = pd.Series([params_of(base[run]) for run in index], index=index)
    if "params" not in runs and params.notna().any():
        runs["params"] = params
    return runs, lines


def _lengths(points: pd.DataFrame) -> dict[str, Length]:
    """The last checkpoint of each run, and its metrics."""
    return {
        str(run): Length(None, float(own["step"].max()), metrics=tuple(sorted(set(own["metric"]))))
        for run, own in points.groupby("run")
    }


def _row(table: pd.DataFrame, name: str, shots: int | None) -> int:
    """Which row of the table of runs is meant."""
    rows = [row for row, run in enumerate(table.index) if run == name]
    if len(rows) > 1 and "num_fewshot" in table:
        rows = [row for row in rows if table["num_fewshot"].iloc[row] == shots]
    if len(rows) != 1:
        raise ValueError(
            f"{table.attrs['path']}: {len(rows)} rows for run {name!r} with num_fewshot {shots}, expected one"
        )
    return rows[0]


SOURCE = Source(
    "lm_eval",
    "a tree of lm-evaluation-harness results, one or more a checkpoint",
    sniff,
    load,
    load_options=(FAMILY, LAST_STEP, FILES, STEP_FROM, METRICS_FILE, RUNS_FILE),
)
