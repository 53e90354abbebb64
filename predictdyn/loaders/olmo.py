"""JSON lines with the metric names of OLMo, LLM-foundry and Composer: {"step": 10, "train/CrossEntropyLoss": 2.5}."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.contents import read_bytes
from predictdyn.loaders.files.folders import beginning
from predictdyn.loaders.files.json_rows import CUT, flat, json_number
from predictdyn.loaders.files.logs import log_files, run_names

ENDINGS = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
# The first that a file has is its clock; those of OLMo first, then Composer's and LLM-foundry's, which count batches.
CLOCKS = ("step", "_step", "global_step", "trainer/global_step", "time/batch", "trainer/batches", "time/step")
NAMES = re.compile(
    r"(train|eval)/.*(CrossEntropyLoss|Perplexity|CE loss|PPL)$|(optim|throughput|time|trainer)/|metrics/(train|eval)/|"
    r"loss/train/|lr-\w+/group\d+$|eval/downstream"
)
ASKED = 20  # lines of a file that are looked at
NO_OBJECT = "line(s) that are no JSON object dropped"
NO_STEP = "line(s) without a step dropped"


def load(path: Path | str, **options: object) -> Curves:
    """Read a .jsonl or .ndjson file (or .gz), or all of a folder that have such names: each is a run.

    Nested objects are flattened with ``/``. The clock is ``step``, else what else `CLOCKS` knows; text, lists, true,
    false and null are no metrics. A first line without a step is the configuration, if it has one under ``config``. Any
    other line without a step, or that is no JSON object, is dropped and counted. Options are those of
    `gather.gathered`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lines = ['{"step": 1, "train/CrossEntropyLoss": 11.25}', '{"step": 2, "train/CrossEntropyLoss": NaN}']
    ...     _ = Path(folder, "run.jsonl").write_text("\\n".join([*lines, '{"step": 3, "train/Cros']))
    ...     log = read(scan(Path(folder))[0])
    >>> log.step.tolist(), log.value.tolist(), log.dropped
    ([1.0, 2.0], [11.25, nan], {'last line(s) cut short, dropped': 1})
    """
    return gathered(path, SOURCE, options)


def scan(path: Path) -> list[Item]:
    """One run a file; in a folder only those with such names."""
    files = [file for file in log_files(path, ENDINGS) if path.is_file() or _is_log(file)]
    if not files:
        raise ValueError(f"{path}: no JSON lines with names such as train/CrossEntropyLoss or metrics/eval/... here")
    return [Item(name, (file,)) for file, name in zip(files, run_names(path, files), strict=True)]


def read(item: Item) -> RunLog:
    """One run, in the order in which it was written."""
    dropped: Counter[str] = Counter()
    config: dict[str, object] = {}
    metric: list[str] = []
    step, value = [], []
    lines = read_bytes(item.files[0]).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        record = _object(line)
        if record is None:
            dropped[CUT if number == len(lines) - 1 else NO_OBJECT] += 1
            continue
        cells = dict(flat(record))
        clock = next((name for name in CLOCKS if json_number(cells.get(name)) is not None), None)
        if clock is None:
            settings = record.get("config")
            if isinstance(settings, dict) and not metric:
                config.update(flat(settings))
            else:
                dropped[NO_STEP] += 1
            continue
        at = json_number(cells.pop(clock))
        for name, cell in cells.items():
            logged = json_number(cell)
            if logged is not None:
                metric.append(name)
                step.append(at)
                value.append(logged)
    wall, segment = np.full(len(metric), np.nan), np.zeros(len(metric), dtype=int)
    names = np.array(metric, dtype=object)
    columns = (names, np.array(step, dtype=float), np.array(value, dtype=float), wall, segment)
    return RunLog(item.run, *columns, config, _planned(config), dropped=dict(dropped))


def sniff(path: Path) -> str | None:
    """How many such files are here, in words, or None."""
    if path.is_file() and not (path.name.lower().endswith(ENDINGS) and _is_log(path)):
        return None
    try:
        items = scan(path)
    except ValueError:
        return None
    return f"JSON lines of OLMo, LLM-foundry or Composer: {len(items)} run{'s' * (len(items) > 1)}"


def _is_log(file: Path) -> bool:
    """Whether one of the first lines has a metric of these trainers, and a clock."""
    lines = beginning(file, 1 << 20).split(b"\n")[:ASKED]
    records = [dict(flat(record)) for line in lines if (record := _object(line)) is not None]
    return any(
        set(CLOCKS) & set(record) and any(NAMES.match(name) for name in record if name not in CLOCKS)
        for record in records
    )


def _object(line: bytes) -> dict[str, object] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _planned(config: Mapping[str, object]) -> float | None:
    """max_steps, or the n of LLM-foundry's max_duration: "4800ba" (batches)."""
    for key, cell in config.items():
        name = key.rpartition("/")[2]
        if name == "max_steps" and (steps := json_number(cell)) is not None and 0 < steps < float("inf"):
            return steps
        if name == "max_duration" and isinstance(cell, str) and (batches := re.fullmatch(r"(\d+)ba", cell)):
            return float(batches[1])
    return None


SOURCE = Source(
    "olmo",
    "JSON lines of OLMo, LLM-foundry and Composer",
    sniff,
    load,
    scan,
    read,
)
