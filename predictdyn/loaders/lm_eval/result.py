"""One result file of the lm-evaluation-harness: its values, whatever the version, and what it says of run and step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from predictdyn.loaders.files.contents import read_text
from predictdyn.loaders.files.json_rows import json_number


class Value(NamedTuple):
    """One metric of one task at one checkpoint; ``group`` says that the task is an aggregate of others."""

    task: str
    metric: str
    value: float
    stderr: float
    group: bool


class Origin(NamedTuple):
    """What a file says of where its values come from."""

    names: list[str]  # what the run may be called, the best first
    config_step: float | None
    name_step: float | None
    shots: int | None


# step1000, global_step1000, checkpoint-1000, iter_1000, but neither step10k nor step0.5.
STEP = re.compile(
    r"(?:^|(?<=[-_.= ]))(?:global[-_]?)?(?:steps?|iter(?:ation)?|checkpoint|ckpt)[-_=]?(\d+)(?![A-Za-z\d]|\.\d)",
    re.IGNORECASE,
)
TRAILING = re.compile(r"(?:^|_)(\d+)$")
FRONT = re.compile(r"^(?:(?:eval_)?results?|eval)(?:[-_.]|$)", re.IGNORECASE)
# Neither metrics nor errors: what newer versions write between them.
PASSED = {"alias", "name", "task_name", "prompt_name", "sample_len", "sample_count", " ", ""}


def parsed(file: Path) -> object:
    """The content of a file; ValueError if it is no JSON."""
    text = read_text(file)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON ({error}); is it truncated?") from None


def results(content: object, file: Path) -> dict[str, Any]:
    """The JSON object of a result file; ValueError if it holds no results."""
    if not is_result(content):
        keys = ", ".join(list(content)[:6]) if isinstance(content, dict) else ""
        found = f"the keys {keys or 'none'}" if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{file}: expected a harness result, an object with 'results' or 'table_results', found {found}; "
            "choose the result files with files='**/*.json'"
        )
    return cast(dict[str, Any], content)


def is_result(content: object) -> bool:
    """Whether JSON content has the shape of a harness result."""
    return isinstance(content, dict) and any(
        isinstance(content.get(name), dict | list) for name in ("results", "table_results")
    )


def values(content: Mapping[str, Any], file: Path) -> Iterator[Value]:
    """Every value of a result file.

    Three shapes: ``results`` as task -> metric -> value (old: acc, acc_stderr; new: "acc,none", "acc_stderr,none"),
    ``table_results`` and ``results`` as a list, both with a task_name and a prompt_name in every row; the task is
    then ``task_name/prompt_name``. In the new style what ``groups`` or ``group_subtasks`` names is an aggregate.
    """
    in_table = isinstance(content.get("table_results"), dict | list)
    rows = content["table_results" if in_table else "results"]
    if in_table or isinstance(rows, list):
        for row in rows.values() if isinstance(rows, dict) else rows:
            if not isinstance(row, dict) or not isinstance(row.get("task_name"), str):
                raise ValueError(f"{file}: expected rows with a task_name in the results, found {_begin(row)}")
            prompt = row.get("prompt_name")
            task = f"{row['task_name']}/{prompt}" if prompt else row["task_name"]
            # Such rows carry the text of the prompt and its settings beside the metrics.
            measured = {name: cell for name, cell in row.items() if not isinstance(cell, str | bool | list | dict)}
            yield from _of_task(task, measured, file, group=False)
        return
    groups, subtasks = (
        found if isinstance(found := content.get(name), dict) else {} for name in ("groups", "group_subtasks")
    )
    for task, row in rows.items():
        if not isinstance(row, dict):
            raise ValueError(f"{file}: expected metrics for the task {task!r}, found {_begin(row)}")
        yield from _of_task(task, row, file, group=task in groups or bool(subtasks.get(task)))
    for task in groups:
        if task not in rows and isinstance(groups[task], dict):
            yield from _of_task(task, groups[task], file, group=True)


def _of_task(task: str, row: Mapping[str, Any], file: Path, *, group: bool) -> Iterator[Value]:
    new = any("," in name for name in row)
    for name, cell in row.items():
        metric, _, chosen = name.partition(",")
        if metric.strip() in PASSED or metric.endswith("_stderr") or (new and not chosen):
            continue
        value = _number(cell, f"{file}: {task} {name}")
        if value is None:
            continue
        error = f"{metric}_stderr,{chosen}" if chosen else f"{metric}_stderr"
        stderr = _number(row.get(error), f"{file}: {task} {error}")
        shown = metric if chosen in ("", "none") else name
        yield Value(task, shown, value, float("nan") if stderr is None else stderr, group)


def _number(cell: object, said: str) -> float | None:
    """A cell as a number, None where nothing was measured; ValueError for other text."""
    if cell is None or (isinstance(cell, str) and cell.strip() in ("", "N/A")):
        return None
    number = json_number(cell)
    if number is None:
        raise ValueError(f"{said} must be a number, found {_begin(cell)}")
    return number


def _begin(said: object) -> str:
    """The beginning of what a file says; of a number with very many digits only that it is one."""
    try:
        return repr(str(said)[:60])
    except ValueError:
        return "a whole number of thousands of digits"


def origin(content: Mapping[str, Any], file: Path, root: Path) -> Origin:
    """What content, file name and folders (below ``root``, and root itself) say of run and step."""
    config = content.get("config")
    config = config if isinstance(config, dict) else content
    arguments = _arguments(config.get("model_args"))
    names: list[str] = []
    step: float | None = None
    revision = arguments.get("revision")
    if isinstance(revision, str) and (found := STEP.search(revision)):
        step = float(found[1])
    for said in (arguments.get("pretrained"), content.get("model_name")):
        if isinstance(said, str):
            name, of_path = _split_path(said)
            step = of_path if step is None else step
            names.append(name)
    step = json_number(arguments.get("iteration")) if step is None else step
    name, name_step = _split_file(file)
    top = root.resolve() if file != root else root.resolve().parent
    below = file.relative_to(root).parent.parts if file != root else ()
    split = [_split_path(folder) for folder in reversed([top.name, *below])]
    if name_step is None or not STEP.search(file.stem):
        name_step = next((found for _, found in split if found is not None), name_step)
    names += [name, *(folder for folder, _ in split)]
    shots = config.get("num_fewshot")
    return Origin([name for name in names if name], step, name_step, shots if isinstance(shots, int) else None)


def _arguments(said: object) -> Mapping[str, Any]:
    if isinstance(said, dict):
        return said
    pairs = (part.partition("=") for part in said.split(",")) if isinstance(said, str) else ()
    return {name.strip(): value.strip() for name, _, value in pairs}


def _split_path(said: str) -> tuple[str, float | None]:
    """Name and step of the path of a model: out/run1/checkpoint-500 is run1 at 500, step1000 is nothing at 1000."""
    step: float | None = None
    for part in reversed(said.rstrip("/").split("/")):
        found = STEP.search(part)
        if found is None:
            return part, step
        step = float(found[1]) if step is None else step
        front = part[: found.start()].rstrip("-_. ")
        if front:
            return front, step
    return "", step


def _split_file(file: Path) -> tuple[str, float | None]:
    """Name and step of a file: eval_results_70m-long_1000.json is 70m-long at 1000; without a step there is no name."""
    found = STEP.search(file.stem) or TRAILING.search(file.stem)
    if found is None:
        return "", None
    return FRONT.sub("", file.stem[: found.start()].rstrip("-_. ")), float(found[1])
