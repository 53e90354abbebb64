"""JSON objects at the end of lines of a text log, as rows with a step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from predictdyn.loaders.files.json_rows import flat, json_number
from predictdyn.loaders.text_log.forms import BATCHES, EPOCHS, STEPS, WHOLE_RUN, Field, LineForm, like
from predictdyn.loaders.text_log.names import EVALUATIONS, in_phase, phase_of

_NUMBER = re.compile(r"[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|(?i:nan|inf(?:inity)?))", re.ASCII)
_MODES = ("mode", "phase", "split", "stage")  # keys whose word is the phase of a row: {"mode": "val", ...}
_DIGITS = str.maketrans("", "", "0123456789")
_CLOCKS = ((WHOLE_RUN, "step"), (re.compile("step"), "step"), (STEPS, "step"), (BATCHES, "batch"))


def is_json_lines(text: str) -> bool:
    r"""Whether every line that ends, but for empty ones, is a JSON object, and there is one at least.

    >>> is_json_lines('{"a": 1}\n\n{"a": 2}\n{"a'), is_json_lines('begin\n{"a": 1}\n')
    (True, False)
    """
    lines = [line for line in text.split("\n")[:-1] if line.strip()] or [text.strip()]
    return lines[0].lstrip().startswith("{") and all(_object(line.strip()) is not None for line in lines)


def json_rows(lines: list[str]) -> Iterator[tuple[LineForm, list[int], np.ndarray]]:
    """The lines (n,) that end in a JSON object, by form, with their numbers (n, 4 + fields); they are blanked.

    The step is ``num_updates`` or ``global_step``, else ``step``, else what `forms.STEPS` names; text that is
    a number is one (fairseq writes all numbers so). The phase is that of the words in front, or of ``mode``.

    >>> lines = ['| valid | {"loss": "5.2", "num_updates": "100"}']
    >>> [(form.fields[0].name, places, numbers[0, [0, 4]].tolist()) for form, places, numbers in json_rows(lines)]
    [('val/loss', [0], [100.0, 5.2])]
    """
    found: dict[LineForm, tuple[list[int], list[list[float]]]] = {}
    layouts: dict[tuple[str, ...], _Layout] = {}
    for place, line in enumerate(lines):
        at = line.find('{"')
        record = _object(line[at:].rstrip()) if at >= 0 else None
        if record is not None:
            cells = {name: cell for name, value in record.items() if (cell := _cell(value)) is not None}
            step = next((name for name in cells if cells[name] % 1 and STEPS.fullmatch(name.lower())), "")
            before = line[:at].translate(_DIGITS)
            before += "".join(f" {record[mode]} " for mode in _MODES if isinstance(record.get(mode), str))
            layout = layouts.get((before, step, *cells))
            if layout is None:
                layout = layouts[(before, step, *cells)] = _layout(before, record, cells)
            places, rows = found.setdefault(layout.form, ([], []))
            places.append(place)
            clocks = [cells.get(name, np.nan) for name in (layout.step, layout.epoch)]
            rows.append([clocks[0], np.nan, clocks[1], np.nan, *(cells[name] for name in layout.names)])
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


class _Layout(NamedTuple):
    """Where the numbers of a record go: the keys of its step and its epoch ("": none), and those of its metrics."""

    form: LineForm
    step: str
    epoch: str
    names: list[str]


def _layout(before: str, record: Mapping[str, object], cells: Mapping[str, float]) -> _Layout:
    plain = {name: name.lower() for name in cells}
    found = [
        (name, kind)
        for words, kind in _CLOCKS
        for name in cells
        if words.fullmatch(plain[name]) and cells[name] % 1 == 0
    ]
    step, kind = found[0] if found else ("", "")
    epoch = next((name for name in cells if EPOCHS.fullmatch(plain[name])), "")
    if not step and epoch:
        kind, step, epoch = "epoch", epoch, ""
    names = [name for name in cells if name not in (step, epoch)]
    fields = tuple(Field(in_phase(name, before), -1, -1, "") for name in names)
    phase = phase_of(f"{before} {step}".replace("_", " "))
    said = like(f'{before}{{"{next(iter(record), "")}": …}}') if not kind or phase in EVALUATIONS else ""
    clock = f"{step.rpartition('_')[2] if WHOLE_RUN.fullmatch(step.lower()) else step}:#" if step else ""
    form = LineForm(clock, kind or "result", 0 if kind else -1, -1, 1 if epoch else -1, -1, fields, phase, said)
    return _Layout(form, step, epoch, names)


def _cell(value: object) -> float | None:
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    return json_number(value)
