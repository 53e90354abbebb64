"""Runs of the Hugging Face Trainer: trainer_state.json, alone, in checkpoint-* folders, or under another name."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.contents import read_bytes, read_text
from predictdyn.loaders.files.folders import beginning, files_named
from predictdyn.loaders.files.json_rows import flat, json_number

STATE = "trainer_state.json"
CHECKPOINT = re.compile(r"checkpoint-(\d+)$")
# What of a state was known before the run; the rest (global_step, best_metric, total_flos, ...) is how it went.
PLAN = ("max_steps", "num_train_epochs", "train_batch_size", "logging_steps", "eval_steps", "save_steps")
BESIDE = ("config.json", "training_args.json")
ASKED = 1 << 16  # bytes of a file by another name that are looked at
HISTORY = re.compile(r'"log_history"\s*:\s*\[')
EARLY = "EarlyStoppingCallback"
CUT = "trainer_state.json cut short, read as far as it goes"
UNREAD = "trainer_state.json that could not be read"
NO_STEP = "row(s) of log_history without a step dropped"
NO_NUMBER = "value(s) of log_history that are no numbers dropped"


class TrainerLog(NamedTuple):
    """One trainer_state.json: the rows of its log_history, each a JSON text, and the plan of the run.

    ``stopped`` says that early stopping had run out of patience before max_steps.
    """

    rows: tuple[str, ...]
    plan: Mapping[str, object]
    cut: bool
    stopped: bool = False


def load(path: Path | str, **options: object) -> Curves:
    """Read a trainer_state.json, or all below a folder: a run is the folder that has one, or has checkpoint-* with one.

    A state under another name, and a log_history by itself (a JSON list), are runs called as their files are.
    A checkpoint holds the history of those before it, so the longest one counts. Where histories disagree (the run went
    back to a checkpoint and on from there), the branch that was written last (by the time of the file, then by step) is
    a new start of the run, and the rules of restarts apply. ``max_steps`` is the planned length; what was known before
    the run (batch size, epochs, config.json and training_args.json beside) is its configuration. Results that stand
    beside (all_results.json) are not: they are known only at the end. Options are those of `gather.gathered`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     history = [{"step": 5, "epoch": 0.5, "loss": 2.5}, {"step": 10, "epoch": 1.0, "eval_loss": 2.25}]
    ...     _ = Path(folder, "trainer_state.json").write_text(json.dumps({"log_history": history, "max_steps": 20}))
    ...     curves = load(folder)
    >>> curves.points[["metric", "step", "value"]].values.tolist(), curves.runs["last_step"].tolist()
    ([['eval_loss', 10, 2.25], ['loss', 5, 2.5]], [20])
    """
    return gathered(path, SOURCE, options)


def scan(path: Path) -> list[Item]:
    """The runs of a folder, each with all its states by step, the one outside of checkpoints last."""
    if not path.is_dir():
        if not path.is_file():
            raise ValueError(f"{path}: no such file or folder")
        return [Item(_name(_home(path), path) if path.name == STATE else path.stem, (path,))]
    files = files_named(path, lambda name: name == STATE or name.endswith(".json"))
    homes = {_home(file) for file in files if file.name == STATE}
    runs: dict[Path, list[Path]] = {}
    for file in files:
        if file.name == STATE:
            runs.setdefault(_home(file), []).append(file)
        elif _is_state(file):
            # Copies of the state of a run lie beside it; any other name is that of a run.
            copy = _home(file) in homes and file.name.startswith("trainer_state")
            runs.setdefault(_home(file) if copy else file.with_suffix(""), []).append(file)
    if not runs:
        raise ValueError(f"{path}: no {STATE} in this folder, and no .json file with a log_history")
    return [Item(_name(home, path), tuple(sorted(files, key=_number))) for home, files in runs.items()]


def read(item: Item) -> RunLog:
    """One run, its checkpoints merged; ValueError where none of its states can be read.

    Where not one row has a step, all are at step 0: a clock that does not move. Early stopping that ran out of patience
    before max_steps is said (``stopped``).
    """
    dropped: Counter[str] = Counter()
    states: list[tuple[Path, TrainerLog]] = []
    problem = ""
    for file in item.files:
        try:
            # A byte that is no text damages the rows from there on, not those before.
            states.append((file, state_of(read_bytes(file).decode("utf-8-sig", errors="replace"), file)))
            dropped[CUT] += states[-1][1].cut
        except ValueError as error:
            problem = str(error)
            dropped[UNREAD] += 1
    if not states:
        raise ValueError(problem)
    metric, step, value, segment = [], [], [], []
    branches = [[json.loads(row) for row in branch] for branch in _apart(_branches(states))]
    timeless = not any("step" in row for rows in branches for row in rows)
    for number, rows in enumerate(branches):
        for row in rows:
            at = _finite(row.pop("step", 0 if timeless else None))
            if at is None:
                dropped[NO_STEP] += 1
                continue
            for name, cell in row.items():
                logged = json_number(cell)
                if logged is None:
                    dropped[NO_NUMBER] += cell is not None
                    continue
                metric.append(name)
                step.append(at)
                value.append(logged)
                segment.append(number)
    config = {**_beside(item.files[-1]), **next(state.plan for _, state in reversed(states))}
    plans = [_finite(state.plan.get("max_steps")) for _, state in states]
    planned = next((plan for plan in reversed(plans) if plan), None)
    wall = np.full(len(metric), np.nan)
    columns = (np.array(metric, dtype=object), np.array(step, dtype=float), np.array(value, dtype=float), wall)
    log = RunLog(item.run, *columns, np.array(segment, dtype=int), config, planned, dropped=+dropped)
    return log._replace(stopped="early stopping" if states[-1][1].stopped else "")


def sniff(path: Path) -> str | None:
    """How many runs of the Trainer are here, in words, or None."""
    if path.is_file():
        if path.name == STATE or _is_state(path):
            return f"Hugging Face Trainer: one {STATE if path.name == STATE else 'log_history'}"
        return None
    try:
        items = scan(path)
    except ValueError:
        return None
    files = sum(len(item.files) for item in items)
    return f"Hugging Face Trainer: {len(items)} run{'s' * (len(items) > 1)}, {files} {STATE}"


def _is_state(file: Path) -> bool:
    """Whether a file by another name begins as a state, or is a log_history alone: rows with step and epoch."""
    text = beginning(file, ASKED).decode("utf-8-sig", errors="replace").lstrip()
    if not text.startswith("["):
        return text.startswith("{") and HISTORY.search(text) is not None
    row = next(_objects(text, 1), None)
    return isinstance(row, dict) and all(_finite(row.get(name)) is not None for name in ("step", "epoch"))


def state_of(text: str, file: Path) -> TrainerLog:
    """The content of a trainer_state.json, as far as it goes; ValueError where it has no log_history."""
    try:
        content, cut = json.loads(text), False
    except (ValueError, RecursionError):
        content, cut = _as_far_as_it_goes(text), True
    if isinstance(content, list) and any(isinstance(row, dict) for row in content):
        content = {"log_history": content}
    history = content.get("log_history") if isinstance(content, dict) else None
    if not isinstance(history, list):
        raise ValueError(f"{file}: expected an object with a list log_history (a trainer state), found {text[:40]!r}")
    rows = tuple(json.dumps(row, sort_keys=True) for row in history if isinstance(row, dict))
    plan = {key: content[key] for key in PLAN if _scalar(content.get(key))}
    return TrainerLog(rows, plan, cut, _out_of_patience(content))


def _out_of_patience(content: Mapping[str, Any]) -> bool:
    """Whether a state stands before max_steps, and a callback of early stopping (several are a list) wanted no more."""
    callbacks = content.get("stateful_callbacks")
    found = callbacks.get(EARLY) if isinstance(callbacks, dict) else None
    at, end = _finite(content.get("global_step")), _finite(content.get("max_steps"))
    if at is None or end is None or at >= end:
        return False
    for callback in found if isinstance(found, list) else [found]:
        said = dict(flat(callback)) if isinstance(callback, dict) else {}
        count = _finite(said.get("attributes/early_stopping_patience_counter"))
        most = _finite(said.get("args/early_stopping_patience"))
        if count is not None and most is not None and count >= most:
            return True
    return False


def _as_far_as_it_goes(text: str) -> dict[str, Any]:
    """What can be read of a state that is cut short: whole rows of the history, and the numbers of the plan."""
    found = HISTORY.search(text)
    if not found:
        alone = text.lstrip()
        return {"log_history": list(_objects(alone, 1))} if alone.startswith("[") and _is_row(alone) else {}
    content: dict[str, Any] = {"log_history": list(_objects(text, found.end()))}
    for key, number in re.findall(rf'"({"|".join(PLAN)})"\s*:\s*(-?\d+)\s*,', text):
        content[key] = int(number) if len(number) < 19 else float(number)
    return content


def _is_row(text: str) -> bool:
    return isinstance(next(_objects(text, 1), None), dict)


def _objects(text: str, start: int) -> Iterator[object]:
    """The objects of a list in a text, from ``start`` on, until one is not whole."""
    decoder = json.JSONDecoder()
    while found := re.compile(r"[\s,]*(?=\{)").match(text, start):
        try:
            row, start = decoder.raw_decode(text, found.end())
        except (ValueError, RecursionError):
            return
        yield row


def _branches(states: list[tuple[Path, TrainerLog]]) -> list[tuple[str, ...]]:
    """The histories that are not the beginning of another one, in the order in which they were written."""
    ordered = sorted(states, key=lambda pair: len(pair[1].rows), reverse=True)
    longest: list[tuple[Path, TrainerLog]] = []
    for file, state in ordered:
        if not any(_shared(state.rows, other.rows) == len(state.rows) for _, other in longest):
            longest.append((file, state))
    if len(longest) > 1:
        longest.sort(key=lambda pair: (pair[0].stat().st_mtime, _number(pair[0])))
    return [state.rows for _, state in longest]


def _apart(branches: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Of each history what the one before does not begin with."""
    before: tuple[str, ...] = ()
    for branch in branches:
        yield branch[_shared(before, branch) :]
        before = branch


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many rows two histories share from the beginning."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _home(file: Path) -> Path:
    """The folder of a run: that of the state, or the one above where it lies in a checkpoint."""
    return file.parent.parent if CHECKPOINT.match(file.parent.name) else file.parent


def _name(home: Path, root: Path) -> str:
    return home.relative_to(root).as_posix() if root in home.parents else home.resolve().name


def _number(file: Path) -> float:
    found = CHECKPOINT.match(file.parent.name)
    return float(found[1]) if found else float("inf")


def _beside(file: Path) -> dict[str, object]:
    """The settings that lie beside a state, or above its checkpoint, flat; what is no JSON is passed over."""
    config: dict[str, object] = {}
    for folder in dict.fromkeys((_home(file), file.parent)):
        for name in BESIDE:
            try:
                content = json.loads(read_text(folder / name))
            except (ValueError, RecursionError):
                continue
            if isinstance(content, dict):
                config.update((name, cell) for name, cell in flat(content) if _scalar(cell))
    return config


def _scalar(cell: object) -> bool:
    return isinstance(cell, str | bool | int | float)


def _finite(cell: object) -> float | None:
    found = json_number(cell)
    return found if found is not None and 0 <= found < float("inf") else None


SOURCE = Source(
    "huggingface",
    "`trainer_state.json`, in checkpoint folders or beside them, merged over resumes; also cut short, under "
    "another name, or only its `log_history`",
    sniff,
    load,
    scan,
    read,
)
