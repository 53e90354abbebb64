"""JSON objects at the end of lines of a text log, as rows with a step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import numpy as np

from predictdyn.loaders._json_rows import flat, json_number
from predictdyn.loaders._text_log_forms import BATCHES, EPOCHS, STEPS, WHOLE_RUN, Field, Form, like
from predictdyn.loaders._text_log_names import EVALUATIONS, in_phase, phase_of

_NUMBER = re.compile(r"[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|(?i:nan|inf(?:inity)?))", re.ASCII)
_MODES = ("mode", "phase", "split", "stage")  # keys whose word is the phase of a row: {"mode": "val", ...}
_CLOCKS = ((WHOLE_RUN, "step"), (re.compile("step"), "step"), (STEPS, "step"), (BATCHES, "batch"))


def is_json_lines(text: str) -> bool:
    r"""Whether every line that ends, but for empty ones, is a JSON object, and there is one at least.

    >>> is_json_lines('{"a": 1}\n\n{"a": 2}\n{"a'), is_json_lines('begin\n{"a": 1}\n')
    (True, False)
    """
    lines = [line for line in text.split("\n")[:-1] if line.strip()] or [text.strip()]
    return lines[0].lstrip().startswith("{") and all(_object(line.strip()) is not None for line in lines)


def json_rows(lines: list[str]) -> Iterator[tuple[Form, list[int], np.ndarray]]:
    """The lines (n,) that end in a JSON object, by form, with their numbers (n, 4 + fields); they are blanked.

    The step is ``num_updates`` or ``global_step``, else ``step``, else what `_text_log_forms.STEPS` names; text that is
    a number is one (fairseq writes all numbers so). The phase is that of the words in front, or of ``mode``.

    >>> lines = ['| valid | {"loss": "5.2", "num_updates": "100"}']
    >>> [(form.fields[0].name, places, numbers[0, [0, 4]].tolist()) for form, places, numbers in json_rows(lines)]
    [('val/loss', [0], [100.0, 5.2])]
    """
    found: dict[Form, tuple[list[int], list[list[float]]]] = {}
    for place, line in enumerate(lines):
        at = line.find('{"')
        record = _object(line[at:].rstrip()) if at >= 0 else None
        if record is not None:
            form, numbers = _row(line[:at], record)
            places, rows = found.setdefault(form, ([], []))
            places.append(place)
            rows.append(numbers)
            lines[place] = ""
    for form, (places, rows) in found.items():
        yield form, places, np.array(rows, dtype=float).reshape(len(places), 4 + len(form.fields))


def _object(text: str) -> Mapping[str, object] | None:
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        return dict(flat(json.loads(text)))
    except (ValueError, RecursionError):
        return None


def _row(before: str, record: Mapping[str, object]) -> tuple[Form, list[float]]:
    cells = {name: cell for name, value in record.items() if (cell := _cell(value)) is not None}
    before += "".join(f" {record[mode]} " for mode in _MODES if isinstance(record.get(mode), str))
    plain = {name: name.lower() for name in cells}
    kind, step = "", None
    for words, counted in _CLOCKS:
        step = next((name for name in cells if words.fullmatch(plain[name]) and cells[name] % 1 == 0), None)
        if step is not None:
            kind = counted
            break
    epoch = next((name for name in cells if EPOCHS.fullmatch(plain[name])), None)
    if step is None and epoch is not None:
        kind, step, epoch = "epoch", epoch, None
    fields = tuple(Field(in_phase(name, before), -1, -1, "") for name in cells if name not in (step, epoch))
    phase = phase_of(f"{before} {step or ''}".replace("_", " "))
    said = like(f'{before}{{"{next(iter(record), "")}": …}}') if not kind or phase in EVALUATIONS else ""
    clock = "" if step is None else f"{step.rpartition('_')[2] if WHOLE_RUN.fullmatch(plain[step]) else step}:#"
    form = Form(clock, kind or "result", 0 if kind else -1, -1, -1 if epoch is None else 1, -1, fields, phase, said)
    clocks = [cells[step] if step else np.nan, np.nan, cells[epoch] if epoch else np.nan, np.nan]
    return form, [*clocks, *(cells[name] for name in cells if name not in (step, epoch))]


def _cell(value: object) -> float | None:
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    return json_number(value)
