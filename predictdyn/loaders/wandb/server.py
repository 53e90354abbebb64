"""Runs of a W&B server, asked through the client that W&B brings (the extra ``wandb``)."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.wandb.values import OWN, leaves, logged, row_of, run_log_of

# States of a run that has not come to its end; they are words of W&B.
UNFINISHED = ("pending", "running", "crashed", "failed", "killed", "preempting", "preempted")


def parts(path: Path | str) -> list[str]:
    """Entity, project and (if it is in the address) run; nothing for files. A Path has lost one of two slashes.

    >>> parts(Path("wandb://me/speedruns")), parts("wandb/run-1")
    (['me', 'speedruns'], [])
    """
    found = re.fullmatch(r"wandb:/+([^/]+/[^/]+(?:/[^/]+)?)/?", str(path))
    return found[1].split("/") if found else []


def scan(path: Path) -> list[Item]:
    """The runs of a project, or the one that the address names."""
    entity, project, *run = parts(path)
    asked = client()
    try:
        found = [asked.run(f"{entity}/{project}/{run[0]}")] if run else list(asked.runs(f"{entity}/{project}"))
    except Exception as error:  # the client raises errors of many kinds: of its own, of requests, of the network
        raise ValueError(_line(path, error)) from None
    if not found:
        raise ValueError(f"{path}: this project has no runs")
    times = Counter(one.name for one in found)
    return [
        Item(one.name if times[one.name] == 1 else f"{one.name} {one.id}", (), f"{entity}/{project}/{one.id}")
        for one in found
    ]


def read(item: Item) -> RunLog:
    """All rows of a run that the server keeps (``scan_history``), its settings, its state, and its sweep as study."""
    dropped: Counter[str] = Counter()
    try:
        run = client().run(item.key)
        rows = [row_of(logged(row), dropped) for row in run.scan_history()]
        settings = dict(run.config)
        state = str(run.state)
        study = str(getattr(run, "sweep_name", None) or "")
    except Exception as error:
        raise ValueError(_line(item.key, error)) from None
    config = {key: part for name, value in settings.items() if name != OWN for key, part in leaves(name, value)}
    events = [(rows[-1].step, state)] if rows and state in ("crashed", "failed", "killed") else []
    log = run_log_of(item.run, [rows], config, events, dropped)
    return log._replace(stopped=state if state in UNFINISHED else "", study=study)


def client() -> Any:
    """The client; ValueError where W&B is not installed."""
    try:
        import wandb
    except ImportError:
        raise ValueError("a W&B server is asked through its client; pip install wandb") from None
    return wandb.Api()


def _line(what: object, error: Exception) -> str:
    return f"{what}: {' '.join(str(error).split()) or type(error).__name__}"
