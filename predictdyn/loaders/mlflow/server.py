"""A tracking server of MLflow, asked through the client that MLflow brings (the extra ``mlflow``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.mlflow.parts import PARENT, Cells, StoredRun, as_run_log

PAGE = 1000  # runs, or experiments, asked for at once


def address(path: Path | str) -> str | None:
    """The address of a server, None for files. A Path has lost one of two slashes.

    >>> address(Path("http://localhost:5000")), address("mlruns")
    ('http://localhost:5000', None)
    """
    found = re.match(r"(https?|databricks):/+(.*)", str(path))
    return f"{found[1]}://{found[2]}" if found else None


def client(uri: str) -> Any:
    """The client for an address; ValueError where MLflow is not installed."""
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise ValueError(f"{uri}: a server is asked through MLflow's client; pip install mlflow-skinny") from None
    return MlflowClient(uri)


def found(asked: Any, uri: str) -> list[StoredRun]:
    """All runs of all experiments that are not deleted."""
    runs = []
    for experiment in _pages(asked.search_experiments, uri):
        for run in _pages(asked.search_runs, uri, experiment_ids=[experiment.experiment_id]):
            runs.append(StoredRun(run.info.run_id, run.info.run_name or run.info.run_id, experiment.name, (Path(uri),)))
    return runs


def logged(asked: Any, uri: str, run: str, name: str) -> RunLog:
    """What one run logged, one question a metric: metric after metric, each by time."""
    try:
        about = asked.get_run(run)
        history = {key: asked.get_metric_history(run, key) for key in sorted(about.data.metrics)}
        parents, above, tags = [], {run}, about.data.tags
        while (parent := tags.get(PARENT)) and parent not in above:
            above.add(parent)
            outer = asked.get_run(parent)
            parents.append(outer.info.run_name or parent)
            tags = outer.data.tags
    except Exception as error:  # the client raises errors of its own, and those of the network below it
        raise ValueError(_said(uri, error)) from None
    points = [(key, point.step, point.value, point.timestamp) for key, rows in history.items() for point in rows]
    return as_run_log(
        name,
        Cells(*zip(*points, strict=True)) if points else Cells((), (), (), ()),
        status=str(about.info.status),
        deleted=about.info.lifecycle_stage == "deleted",
        params=about.data.params,
        parents=parents,
    )


def _pages(search: Any, uri: str, **arguments: Any) -> list[Any]:
    rows: list[Any] = []
    token = None
    while token or not rows:
        try:
            page = search(**arguments, max_results=PAGE, page_token=token)
        except Exception as error:  # as above
            raise ValueError(_said(uri, error)) from None
        rows += page
        token = page.token
        if not token:
            break
    return rows


def _said(uri: str, error: Exception) -> str:
    return f"{uri}: the server gave no answer ({' '.join(str(error).split())[:200] or type(error).__name__})"
