"""MLflow: the SQLite store and the text file store read directly, a tracking server through MLflow's own client."""

from __future__ import annotations

from pathlib import Path

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.sqlite import Stores, is_sqlite, stores
from predictdyn.loaders.mlflow import files, server, sqlite
from predictdyn.loaders.mlflow.parts import StoredRun, names


def load(path: Path | str, **options: object) -> Curves:
    """Runs of MLflow become curves: a store as `scan` finds it, each run as `read` says.

    Options are those of `gather.gathered`. Raises ValueError, one line, where there is no run with points.
    """
    return gathered(path, SOURCE, options)


def scan(path: Path) -> list[Item]:
    """The runs of a store: a database, a folder with one, a folder of runs (mlruns, or the one it is in), or a server.

    A run is called what it is called in MLflow; runs of one name have their experiment in front or, where that is the
    same, the beginning of their id behind. Deleted runs are listed under their ids, and `read` counts them. A folder
    with a database and a file store has the runs of both; a damaged database beside them is a run that cannot be read,
    called as its file is. ValueError where there is no run.
    """
    runs, broken = _found(path)
    if not runs:
        if broken:
            raise next(iter(broken.values()))
        raise ValueError(
            f"{path}: no run of MLflow here; expected mlflow.db, mlruns/<experiment>/<run>/meta.yaml or http://"
        )
    listed = [Item(name, run.files, run.id) for name, run in zip(names(runs), runs, strict=True)]
    return [*listed, *(Item(file.name, (file,)) for file in broken)]


def read(item: Item) -> RunLog:
    """One run: metrics at their steps with their times, parameters as settings, FAILED and KILLED as events.

    These and RUNNING say that it was ``stopped``, or goes on. Values that were logged without a step have step 0.
    A nested run has the outermost of its parents as ``family`` in its settings. What was logged twice at a step is
    there twice, in order. Tags are no settings: many are set when the outcome is known. SQLite has no infinity: the
    largest number, which MLflow puts in its place, is read as infinity.
    """
    place = item.files[0]
    uri = server.address(place)
    if uri is not None:
        return server.logged(server.client(uri), uri, item.key, item.run)
    if is_sqlite(place):
        return sqlite.logged(place, item.key, item.run)
    return files.logged(place.parent, item.run)


def sniff(path: Path) -> str | None:
    """What of MLflow is here, in words, or None; a server is not asked."""
    if server.address(path) is not None:
        return "MLflow: a tracking server"
    runs, _ = _found(path)
    if not runs:
        return None
    kinds = sorted({"SQLite" if is_sqlite(run.files[0]) else "files" for run in runs})
    return f"MLflow: {len(runs)} runs in {len({run.experiment for run in runs})} experiments ({' and '.join(kinds)})"


def _found(path: Path) -> Stores[StoredRun]:
    uri = server.address(path)
    if uri is not None:
        return Stores(server.found(server.client(uri), uri), {})
    runs, broken = stores(path, sqlite.TABLES, sqlite.found)
    known = {run.id for run in runs}
    # A store that was moved into a database leaves its files behind.
    return Stores(runs + [run for run in files.found(path) if run.id not in known], broken)


SOURCE = Source(
    "mlflow",
    "`mlflow.db`, `mlruns/`, nested runs; a server by `http://...`",
    sniff,
    load,
    scan,
    read,
)
