"""Ray Tune: trial folders with result.json (a JSON object a line) or progress.csv, and params.json."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.rows import number_of, run_log
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.contents import read_bytes
from predictdyn.loaders.files.csv_rows import csv_rows
from predictdyn.loaders.files.folders import files_named, first_line, is_file, run_names
from predictdyn.loaders.files.json_rows import flat, json_rows
from predictdyn.loaders.ray_tune.state import ending, ending_in, trial_states

CLOCKS = ("training_iteration", "timesteps_total")
LOGS = ("result.json", "progress.csv")  # the first holds all, the second only what the first report had
PARAMS = "params.json"
WITHOUT_TUNE = (None, "", "default")  # trial_id of what RLlib trains by itself
RESTORED = "iterations_since_restore"
# What Ray writes about itself in every row, which is no metric.
OWN = {
    "timestamp", "pid", "done", "date", "hostname", "node_ip", "trial_id", "experiment_id", "experiment_tag",
    "warmup_time", "should_checkpoint", "checkpoint_dir_name", "time_since_restore", "timesteps_since_restore",
    RESTORED,
}  # fmt: skip
NOT_ONE = "value(s) dropped that are lists or text"
NO_STEP = f"row(s) dropped without {' or '.join(CLOCKS)}"


def load(path: Path | str, **options: object) -> Curves:
    """Trials of Ray Tune become curves: folders as `scan` finds them, each trial as `read` says.

    Options are those of `gather.gathered`; ``clock="timesteps_total"`` puts points at environment steps or samples.
    Raises ValueError, one line, where there is no trial with points.
    """
    return gathered(path, SOURCE, options)


def scan(path: Path) -> list[Item]:
    """The trials at or below a path, called as their folders are. ValueError where there is none."""
    found: dict[Path, list[Path]] = {}
    for file in files_named(path, LOGS.__contains__):
        if _is_log(file):
            found.setdefault(file.parent, []).append(file)
    if not found:
        raise ValueError(f"{path}: no trial of Ray Tune here; expected folders with result.json or progress.csv")
    names = run_names(path, found)
    states = {above: trial_states(above) for above in {folder.parent for folder in found}}
    items = []
    for folder, files in found.items():
        log = min(files, key=lambda file: LOGS.index(file.name))
        items.append(Item(names[folder], (log, *_params(folder)), ending(log, states[folder.parent]).key()))
    return items


def read(item: Item) -> RunLog:
    """One trial: numbers of each report at its training_iteration (timesteps_total where there is none at all).

    timesteps_total is kept as a metric, for it may be asked for as the clock. Nested names are joined by /. A trial
    that was restored begins a new segment. Settings are params.json, else the ``config`` of the reports. All trials of
    an experiment (the folder above) are one ``study``, meant to be equally long: a scheduler such as ASHA ends some of
    them early, and calls them TERMINATED like the others. The state of the experiment says which failed or still run
    (``stopped``), and where all should stop; without it a trial failed that left an error and no last report.
    """
    log, *params = item.files
    rows, dropped = (json_rows if log.name == LOGS[0] else csv_rows)(read_bytes(log))
    clock = next((name for name in CLOCKS if any(name in row for row in rows)), CLOCKS[0])
    metric: list[str] = []
    step: list[object] = []
    value: list[object] = []
    wall: list[object] = []
    segment: list[int] = []
    counts = Counter(dropped)
    starts, last = 0, 0.0
    for row in rows:
        if clock not in row:
            counts[NO_STEP] += 1
            continue
        since = _number(row.get(RESTORED, row[clock]))
        starts += since is not None and since <= last
        last = last if since is None else since
        for name, cell in row.items():
            if name in OWN or name == clock or name.startswith("config/") or cell is None:
                continue
            number = _number(cell)
            if number is None:
                counts[NOT_ONE] += not isinstance(cell, bool) and cell not in ("True", "False")
                continue
            metric.append(name)
            step.append(row[clock])
            value.append(number)
            wall.append(row.get("timestamp", "nan"))
            segment.append(starts)
    end = rows[-1] if rows else {}
    config, known = _config(params, end), ending_in(item.key)
    found = run_log(item.run, metric, step, value, wall=wall, segment=segment, config=config, dropped=+counts)
    return found._replace(
        stopped=known.stopped(str(end.get("done")) == "True"),
        planned=known.limits.get(clock),
        study="" if end.get("trial_id") in WITHOUT_TUNE else log.parent.resolve().parent.name,
    )


def sniff(path: Path) -> str | None:
    """What of Ray Tune is here, in words, or None."""
    try:
        return f"Ray Tune: {len(scan(path))} trials"
    except ValueError:
        return None


def _is_log(file: Path) -> bool:
    """Whether the first line names a clock of Ray."""
    return any(name.encode() in first_line(file) for name in CLOCKS)


def _params(folder: Path) -> tuple[Path, ...]:
    return (folder / PARAMS,) if is_file(folder / PARAMS) else ()


def _config(params: list[Path], row: dict[str, object]) -> dict[str, object]:
    for file in params:
        try:
            return dict(flat(json.loads(read_bytes(file))))
        except (ValueError, AttributeError, RecursionError):
            continue  # cut short: the reports have them too
    return {name.removeprefix("config/"): cell for name, cell in row.items() if name.startswith("config/")}


def _number(cell: object) -> float | None:
    """A cell as a number, if it is one (in JSON) or reads as one (in CSV)."""
    if isinstance(cell, bool | list):
        return None
    return number_of(cell)


SOURCE = Source(
    "ray_tune",
    "trial folders: `result.json`, `progress.csv`, `params.json`",
    sniff,
    load,
    scan,
    read,
)
