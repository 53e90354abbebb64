"""Weights & Biases: the `.wandb` files that a run leaves, offline or not, and runs of a server (``wandb://...``).

A server is asked where the path is ``wandb://entity/project`` or ``wandb://entity/project/run``.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.contents import read_bytes
from predictdyn.loaders.files.folders import beginning, files_named, is_file
from predictdyn.loaders.wandb import server
from predictdyn.loaders.wandb.file import Run, read_file, run_in
from predictdyn.loaders.wandb.values import run_log_of

ENDING = ".wandb"
NO_EXIT = "crashed or running"
BEGINNING = 1 << 18  # bytes of a file that are read to know the run


def load(path: Path | str, **options: object) -> Curves:
    """All runs at a path, or of a project on a server; options and rules are those of `gather.gathered`."""
    return gathered(path, SOURCE, options)


def scan(path: Path) -> list[Item]:
    """The runs at a path, by name; by name and id where two have one name. Files of one id are one run, resumed."""
    if server.parts(path):
        return server.scan(path)
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    runs: dict[tuple[str, str], list[tuple[Run, Path]]] = {}
    for file in _files(path):
        run = run_in(beginning(file, BEGINNING))  # blank where it cannot be read: `read` will say why
        name = run.id or file.stem.removeprefix("run-")
        runs.setdefault((run.project, name), []).append((run, file))
    if not runs:
        raise ValueError(f"{path}: no file of W&B ({ENDING})")
    named = []
    for (_, key), found in runs.items():
        found.sort(key=lambda one: (one[0].started, one[1].name))
        named.append((found[-1][0].name or key, key, tuple(file for _, file in found)))
    times = Counter(name for name, _, _ in named)
    return sorted(Item(name if times[name] == 1 else f"{name} {key}", files, key) for name, key, files in named)


def _files(path: Path) -> list[Path]:
    files = files_named(path, lambda name: name.endswith(ENDING), hidden=True) if path.is_dir() else [path]
    # `latest-run` is a link to the folder of another run.
    return [file for file in dict.fromkeys(file.resolve() for file in files) if is_file(file)]


def sniff(path: Path) -> str | None:
    """What a path holds, in words; None if no file there is one of W&B."""
    if server.parts(path):
        return f"runs of a W&B server: {'/'.join(server.parts(path))}"
    if path.is_file() and path.suffix != ENDING:
        return None
    files = _files(path)
    return f"W&B: {len(files)} {ENDING} file{'s'[: len(files) > 1]}" if files else None


def read(item: Item) -> RunLog:
    """All of a run. Each file is a segment, in the order in which they were begun; settings of later ones count.

    A run that ended with an exit code other than zero has an event that says so. It was ``stopped``, and so was, or
    goes on, one whose last file has no record of its exit.
    """
    if not item.files:
        return server.read(item)
    files = []
    for path in item.files:
        try:
            files.append(read_file(read_bytes(path)))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    dropped = sum((file.dropped for file in files), Counter[str]())
    config = {name: value for file in files for name, value in file.config.items()}
    log = run_log_of(item.run, [file.rows for file in files], config, [], dropped)
    ends = [(file, file.rows[-1].step) for file in files if file.rows and np.isfinite(file.rows[-1].step)]
    events = [(step, f"ended with exit code {file.code}") for file, step in ends if file.code]
    code = files[-1].code
    return log._replace(events=events, stopped=NO_EXIT if code is None else f"exit code {code}" if code else "")


SOURCE = Source(
    "wandb",
    "`run-*.wandb` files, synced or not; runs of a server by `wandb://entity/project`",
    sniff,
    load,
    scan,
    read,
)
