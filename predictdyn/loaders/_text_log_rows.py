"""The lines of a text log, grouped by their form, as arrays of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from predictdyn.loaders._text_log_forms import NUMBER, SLOT, Form, form_of

CHUNK = 1 << 22  # characters that are split at a time: what is held beside the text stays small
MOST_KNOWN = 100_000  # lines without numbers that are remembered, for logs in which no two are alike
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BAR = re.compile(r"(?<=%)\|[^|\n]*\|")  # what tqdm draws between its percent and its i/N


class Rows(NamedTuple):
    """All lines of one form: ``line`` (n,) from 0, ``numbers`` of step, last, epoch, epochs, fields (n, 4 + fields).

    NaN stands for what the form does not have.
    """

    form: Form
    line: np.ndarray
    numbers: np.ndarray


def rows_of(text: str) -> tuple[list[Rows], int]:
    r"""The lines of a text that count steps, by form, and how many were left out because the text ends within one.

    A last line without an end is read only if another has its form and it is not cut short within a number: that is,
    it ends with a unit, or with as many decimals as the line of its form before it.

    >>> [(rows.line.tolist(), rows.numbers[:, [0, 4]].tolist()) for rows in rows_of("s:0 trl:9.5\ns:1 trl:8.5\n")[0]]
    [([0, 1], [[0.0, 9.5], [1.0, 8.5]])]
    """
    found: dict[Form, list[tuple[np.ndarray, np.ndarray]]] = {}
    known: dict[str, Form | None] = {}
    first, cut = 0, 0
    for chunk, ends in _chunks(_plain(text)):
        parts = NUMBER.split(chunk)
        numbers = parts[1::2]
        skeletons = SLOT.join(parts[::2]).split("\n")
        slots = np.fromiter((line.count(SLOT) for line in skeletons), int, len(skeletons))
        starts = np.cumsum(slots) - slots
        if ends and skeletons[-1] and _is_cut(skeletons, numbers, starts):
            skeletons[-1] = ""
            cut = 1
        for form, lines in _by_form(skeletons, known).items():
            found.setdefault(form, []).append((lines + first, _numbers(form, starts[lines], numbers)))
        first += chunk.count("\n")
    return [Rows(form, *map(np.concatenate, zip(*parts, strict=True))) for form, parts in found.items()], cut


def number(text: str, scale: str = "") -> float:
    """A number as it is written, times the factor of its unit, rounded once: 12.3 of "e-3" is 0.0123 to the last bit.

    >>> number("12.3", "e-3"), number("1,000"), number("nan")
    (0.0123, 1000.0, nan)
    """
    text = text.replace(",", "")
    if scale.startswith("*"):
        return float(text) * float(scale[1:])
    try:
        return float(text + scale)
    except ValueError:  # 1e5 or nan, with a unit
        return float(text) * float(f"1{scale}")


def _plain(text: str) -> str:
    """The text without colours and progress bars; every stroke of a bar is a line of its own."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace(SLOT, " ")
    text = _COLOUR.sub("", text) if "\x1b" in text else text
    return _BAR.sub("| ", text) if "%|" in text else text


def _chunks(text: str) -> Iterator[tuple[str, bool]]:
    """Pieces of whole lines, and whether a piece is the last; the last is never a small rest."""
    start = 0
    while len(text) - start > 2 * CHUNK and (end := text.rfind("\n", start, start + CHUNK) + 1):
        yield text[start:end], False
        start = end
    yield text[start:], True


def _is_cut(skeletons: list[str], numbers: list[str], starts: np.ndarray) -> bool:
    last = skeletons[-1]
    if form_of(last) is None:
        return False
    before = next((i for i in range(len(skeletons) - 2, -1, -1) if skeletons[i] == last), -1)
    if before < 0:
        return True
    twin = starts[before] + last.count(SLOT) - 1
    return last.endswith(SLOT) and len(numbers[-1].partition(".")[2]) < len(numbers[twin].partition(".")[2])


def _by_form(skeletons: list[str], known: dict[str, Form | None]) -> dict[Form, np.ndarray]:
    """The lines (n,) of each form in a chunk."""
    lines: dict[str, list[int]] = {}
    for i, skeleton in enumerate(skeletons):
        lines.setdefault(skeleton, []).append(i)
    by_form: dict[Form, list[int]] = {}
    if len(known) > MOST_KNOWN:
        known.clear()
    for skeleton, found in lines.items():
        if SLOT not in skeleton:
            continue
        if skeleton not in known:
            known[skeleton] = form_of(skeleton)
        form = known[skeleton]
        if form is not None:
            by_form.setdefault(form, []).extend(found)
    return {form: np.sort(np.array(found)) for form, found in by_form.items()}


def _numbers(form: Form, starts: np.ndarray, numbers: list[str]) -> np.ndarray:
    """The numbers of the lines of one form (n, 4 + fields); ``starts`` (n,) are the places of their first ones."""
    table = np.full((len(starts), 4 + len(form.fields)), np.nan)
    clocks = [(slot, "") for slot in (form.step, form.last, form.epoch, form.epochs)]
    for column, (slot, scale) in enumerate([*clocks, *((field.slot, field.scale) for field in form.fields)]):
        if slot >= 0:
            table[:, column] = _column(starts + slot, numbers, scale)
    for column, field in enumerate(form.fields, 4):
        if field.over >= 0:
            with np.errstate(divide="ignore", invalid="ignore"):
                table[:, column] /= _column(starts + field.over, numbers, "")
    return table


def _column(places: np.ndarray, numbers: list[str], scale: str) -> np.ndarray:
    chosen = [numbers[place] for place in places.tolist()]
    try:
        if not scale.startswith("*"):
            return np.fromiter((float(text + scale) for text in chosen) if scale else map(float, chosen), float)
    except ValueError:
        pass  # one has commas, or an exponent and a unit: slowly, then
    return np.fromiter((number(text, scale) for text in chosen), float, len(chosen))
