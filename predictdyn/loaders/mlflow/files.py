"""The text file store of MLflow: <experiment>/<run>/metrics/<name>, one line "milliseconds value step" a value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.files.folders import files_named, is_file
from predictdyn.loaders.files.json_rows import CUT
from predictdyn.loaders.mlflow.parts import PARENT, RUN_NAME, Cells, StoredRun, as_run_log

META = "meta.yaml"
TRASH = ".trash"
STATES = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}
LINE = "line(s) of metrics dropped, expected milliseconds, value and step"


def found(path: Path) -> list[StoredRun]:
    """All runs of a store, deleted ones too: ``path`` is the store, the folder it is in, an experiment or a run."""
    if _is_run(path):
        return [_found(path)]
    for folder in (path, path / "mlruns"):
        experiments = [folder] if _is_experiment(folder) else [f for f in _folders(folder) if _is_experiment(f)]
        runs = [run for experiment in experiments for run in _folders(experiment) if _is_run(run)]
        if runs:
            return [_found(run) for run in runs]
    return []


def logged(run: Path, name: str) -> RunLog:
    """What one run (its folder) logged: metric after metric, each in the order in which it was written."""
    metric: list[str] = []
    rows: list[list[bytes]] = []
    dropped = dict.fromkeys((CUT, LINE), 0)
    for key, file in _entries(run / "metrics"):
        lines = _bytes(file).split(b"\n")
        dropped[CUT] += bool(lines[-1].strip())
        for line in lines[:-1]:
            cells = line.split(b" ")
            if len(cells) >= 2:
                # The step was added to the format later; what follows it names a data set.
                rows.append(cells[:3] if len(cells) > 2 else [*cells, b"0"])
                metric.append(key)
            else:
                dropped[LINE] += bool(line.strip())
    time, value, step = zip(*rows, strict=True) if rows else ((),) * 3
    return as_run_log(
        name,
        Cells(metric, step, value, time),
        status=STATES.get(status := _about(run).get("status", ""), status),
        deleted=_deleted(run),
        params={key: _text(file) for key, file in _entries(run / "params")},
        parents=_parents(run),
        dropped={reason: count for reason, count in dropped.items() if count},
    )


def flat_yaml(text: str) -> dict[str, str]:
    """The mapping of names to single values that MLflow writes: plain, 'quoted' or "quoted", folded over lines or not.

    >>> flat_yaml("name: 'it''s'\\nstatus: 3\\nlong: one\\n  two\\ntags: []\\n")
    {'name': "it's", 'status': '3', 'long': 'one two', 'tags': '[]'}
    """
    # A folded line goes on with spaces in front; a backslash at its end says that there was no space.
    text = re.sub(r"\\\n +\\?", "", text.replace("\r\n", "\n"))
    text = re.sub(r"\n[ \t]+", " ", text)
    pairs = (line.partition(": ") for line in text.split("\n") if re.match(r"\w+: ", line))
    return {name: _unquoted(value.strip()) for name, _, value in pairs}


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1].replace("''", "'")
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r"\\(x..|u.{4}|U.{8}|.)", _escaped, value[1:-1])
    return "" if value in ("null", "~") else value


def _escaped(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1:
        try:
            return chr(int(code[1:], 16))
        except (ValueError, OverflowError):
            return match[0]
    return {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "e": "\x1b", "N": "\x85", "_": "\xa0"}.get(code, code)


def _found(run: Path) -> StoredRun:
    experiment = _about(run.parent).get("name") or run.parent.name
    files = (run / META, *(file for _, file in _entries(run / "metrics")))
    return StoredRun(run.name, run.name if _deleted(run) else _name(run), experiment, files)


def _deleted(run: Path) -> bool:
    stages = {_about(folder).get("lifecycle_stage") for folder in (run, run.parent)}
    return "deleted" in stages or run.parent.parent.name == TRASH


def _name(run: Path) -> str:
    tag = run / "tags" / RUN_NAME
    return (_text(tag) if is_file(tag) else _about(run).get("run_name")) or run.name


def _parents(run: Path) -> list[str]:
    """Names of the runs that a run is nested in, the innermost first; they are in any experiment of the store."""
    names: list[str] = []
    above = {run.name}
    while (tag := run / "tags" / PARENT).is_file() and (parent := _text(tag).strip()) not in above:
        if not re.fullmatch(r"\w{1,100}", parent):  # no name of a folder
            break
        run = next((folder for folder in run.parent.parent.glob(f"*/{parent}") if _is_run(folder)), run.parent / parent)
        above.add(parent)
        names.append(_name(run))
    return names


def _is_run(folder: Path) -> bool:
    return not {"run_id", "run_uuid"}.isdisjoint(_about(folder))


def _is_experiment(folder: Path) -> bool:
    return "artifact_location" in _about(folder)


def _about(folder: Path) -> dict[str, str]:
    file = folder / META
    try:
        return flat_yaml(_text(file)) if is_file(file) else {}
    except ValueError:  # what cannot be read is no run
        return {}


def _folders(path: Path) -> list[Path]:
    """The folders of a folder, sorted, those in its trash behind."""
    try:
        folders = sorted(child for child in path.iterdir() if child.is_dir())
    except OSError:  # not there, no folder, or one that must not be read
        return []
    return [*folders, *(child for folder in folders if folder.name == TRASH for child in _folders(folder))]


def _entries(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder with its name; a / in the name of a metric or parameter is a folder."""
    for file in files_named(folder, lambda _: True, hidden=True):
        yield file.relative_to(folder).as_posix(), file


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from None


def _text(file: Path) -> str:
    return _bytes(file).decode("utf-8", errors="replace")
