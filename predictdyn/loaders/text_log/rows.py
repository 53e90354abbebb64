"""The lines of a text log, grouped by their form, as arrays of numbers."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from predictdyn.loaders.text_log.forms import LineForm, form_of
from predictdyn.loaders.text_log.json_rows import json_rows
from predictdyn.loaders.text_log.names import SLOT, is_outcome, phase_of, says_phase, split
from predictdyn.loaders.text_log.tables import may_hold_tables, without_tables

CHUNK = 1 << 22  # characters that are split at a time: what is held beside the text stays small
MOST_EXACT = 8  # lines that differ in digits of words (acc1, acc5) only; more than these are file names and the like
MOST_KNOWN = 100_000  # lines without numbers that are remembered, for logs in which no two are alike
MOST_ALONE = 2_000  # forms of lines like no other: more of them are no log
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_RANGE = re.compile(r"(?i)\b(batch(?:es)? ?\[)\d+-(\d+)\]")  # a span of batches counts its last (MXNet)
# What TensorFlow's Estimator calls the result of an evaluation.
_RESULT, _EVAL = "Saving dict for global step", "eval: global step"
_BAR = re.compile(r"(?<=%)\|[^|\n]*\|")  # what tqdm draws between its percent and its i/N
_COCO = re.compile(
    r"Average (?:Precision|Recall) +\((AP|AR)\) @"
    r"\[ IoU=([\d.]+)(:[\d.]+)? *\| area= *(\w+) *\| maxDets= *(\d+) *\] *= *"
)
_KERAS_BAR = re.compile(r"\[[=>.]{2,}\]")

_NUMBER = r"(?>[-+]?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)"


class Matcher(NamedTuple):
    """What finds the numbers of a form in a line: ``column`` says in which group of ``regex`` a slot is."""

    regex: re.Pattern[str]
    form: LineForm
    column: dict[int, int]


class FormRows(NamedTuple):
    """All lines of one form: ``line`` (n,) from 0, ``numbers`` of step, last, epoch, epochs, fields (n, 4 + fields).

    NaN stands for what the form does not have.
    """

    form: LineForm
    line: np.ndarray
    numbers: np.ndarray


class TextRows(NamedTuple):
    """All rows of a text, by form, and the ``phases``: word by word the lines (n,), sorted, that say it.

    ``titles`` are the lines (n,) of those that have no digits. ``cut`` is 1 where the text ends within a line, which
    was left out; ``over`` counts rows of tables that were written over by the next stroke of a progress bar, ``unread``
    lines that were not looked at (`_one_by_one`).
    """

    rows: list[FormRows]
    phases: dict[str, np.ndarray]
    titles: np.ndarray
    cut: int
    over: int
    unread: int


def only(rows: FormRows, chosen: np.ndarray) -> FormRows:
    """Some rows of a form, by their places or a mask (n,)."""
    return FormRows(rows.form, rows.line[chosen], rows.numbers[chosen])


def rows_of(text: str) -> TextRows:
    r"""The lines of a text that count steps or have a number with a name, by form.

    A last line without an end is read only if another has its form and it is not cut short within a number: that is,
    it ends with a unit, or with as many decimals as the line of its form before it.

    >>> [(rows.line.tolist(), rows.numbers[:, [0, 4]].tolist()) for rows in rows_of("s:0 trl:9.5\ns:1 trl:8.5\n").rows]
    [([0, 1], [[0.0, 9.5], [1.0, 8.5]])]
    """
    found: dict[LineForm, list[tuple[np.ndarray, np.ndarray]]] = {}
    phases: dict[str, list[np.ndarray]] = {}
    titles: list[np.ndarray] = [np.empty(0, dtype=int)]
    known: dict[bytes, list[Matcher] | None] = {}
    forms: dict[tuple[object, ...], LineForm] = {}
    first, cut, over, unread = 0, 0, 0, 0
    for chunk, ends in _chunks(plain(text)):
        lines = chunk.split("\n")
        if '{"' in chunk:
            for form, places, numbers in json_rows(lines):
                found.setdefault(form, []).append((np.array(places) + first, numbers))
        if ends and lines[-1] and _is_cut(lines):
            lines[-1] = ""
            cut = 1
        groups = _alike(lines)
        if may_hold_tables(groups):
            lines, strokes = without_tables(lines)
            groups, over = _alike(lines), over + strokes
        for key, places in groups.items():
            if phase := phase_of(lines[places[0]]):
                phases.setdefault(phase, []).append(np.array(places) + first)
                if len(key) == len(lines[places[0]].encode()):
                    titles.append(np.array(places) + first)
        if len(known) > MOST_KNOWN:
            known.clear()
        alone = [key for key, places in groups.items() if len(places) == 1 and key not in known]
        parts, count = _one_by_one(lines, [groups.pop(key)[0] for key in alone], forms)
        unread += count
        for form, where, numbers in [*parts, *_matched(lines, groups, known)]:
            found.setdefault(form, []).append((where + first, numbers))
        first += chunk.count("\n")
    said = {phase: np.sort(np.concatenate(places)) for phase, places in phases.items()}
    return TextRows(
        [_in_order(form, parts) for form, parts in found.items()], said, np.concatenate(titles), cut, over, unread
    )


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


def plain(text: str) -> str:
    """The text without colours and progress bars; every stroke of a bar is a line of its own."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace(SLOT, " ")
    text = _COLOUR.sub("", text) if "\x1b" in text else text
    text = re.sub("\b+", "\n", text) if "\b" in text else text
    text = _KERAS_BAR.sub("[=]", text) if "[=" in text else text
    text = re.sub("━+", " ", text) if "━" in text else text
    text = _COCO.sub(_coco_name, text) if "@[ IoU=" in text else text
    text = _RANGE.sub(r"\1\2]", text) if "atch" in text else text
    text = text.replace(_RESULT, _EVAL)
    return _BAR.sub("| ", text) if "%|" in text else text


def _coco_name(found: re.Match[str]) -> str:
    """A line of the COCO evaluation by the short name of its number: AP, AP50, APs, AR100, ..."""
    kind, low, high, area, most = found.groups()
    if area != "all":
        return f"{kind}{area[0]}: "
    return f"{kind}{most}: " if kind == "AR" else f"AP{'' if high else low[2:]}: "


def _chunks(text: str) -> Iterator[tuple[str, bool]]:
    """Pieces of whole lines, and whether a piece is the last; the last is never a small rest."""
    start = 0
    while len(text) - start > 2 * CHUNK and (end := text.rfind("\n", start, start + CHUNK) + 1):
        yield text[start:end], False
        start = end
    yield text[start:], True


def _in_order(form: LineForm, parts: list[tuple[np.ndarray, np.ndarray]]) -> FormRows:
    line, numbers = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(line, kind="stable")
    return FormRows(form, line[order], numbers[order])


def _is_cut(lines: list[str]) -> bool:
    """Whether the last line, which has no end, may lack something."""
    skeleton, numbers = split(lines[-1])
    form = form_of(skeleton)
    if form is None:
        return False
    if form.kind == "result" and not any(is_outcome(field.name) or says_phase(field.name) for field in form.fields):
        return False
    last = _key(lines[-1])
    before = (split(line) for line in reversed(lines[:-1]) if _key(line) == last)
    twin = next((other for rest, other in before if rest == skeleton), None)
    if twin is None:
        return True
    return skeleton.endswith(SLOT) and len(numbers[-1].partition(".")[2]) < len(twin[-1].partition(".")[2])


def _key(text: str) -> bytes:
    return text.encode().translate(None, b"0123456789")


def _alike(lines: list[str]) -> dict[bytes, list[int]]:
    """The places of lines that differ in digits only."""
    groups: dict[bytes, list[int]] = {}
    for i, key in enumerate(_key("\n".join(lines)).split(b"\n")):
        groups.setdefault(key, []).append(i)
    return groups


def _matched(
    lines: list[str], groups: Mapping[bytes, list[int]], known: dict[bytes, list[Matcher] | None]
) -> Iterator[tuple[LineForm, np.ndarray, np.ndarray]]:
    """The lines of each form (n,) and their numbers (n, 4 + fields).

    Lines without their digits are compared first, since that is quick: those that are the same then have the same form,
    but for digits in words (acc1, acc5), which the expression of the form tells apart.
    """
    for key, rest in groups.items():
        matchers = known.setdefault(key, [])
        while rest and matchers is not None:
            for matcher in matchers:
                rest = yield from _by_matcher(matcher, lines, rest)
            if rest:
                new = _matcher(lines[rest[0]], exact=len(matchers) < MOST_EXACT)
                # What has the form of no log has none with other digits, either.
                known[key] = matchers = None if new is None else [*matchers, new]


def _one_by_one(
    lines: list[str], places: Sequence[int], forms: dict[tuple[object, ...], LineForm]
) -> tuple[list[tuple[LineForm, np.ndarray, np.ndarray]], int]:
    """Lines like no other, those with the same names as one form, and how many of them were not looked at for results.

    An expression for each would take longer. ``forms`` are those of the text so far; beyond `MOST_ALONE` only lines
    that count are read.
    """
    found: dict[LineForm, tuple[list[int], list[list[float]]]] = {}
    unread = 0
    for place in places:
        skeleton, numbers = split(lines[place])
        full = len(forms) > MOST_ALONE
        own = form_of(skeleton, counting=full) if numbers else None
        if own is None:
            unread += bool(numbers) and full
            continue
        names = tuple(field.name for field in own.fields)
        form = forms.setdefault((own.kind, own.clock, own.phase, own.epoch < 0, names), own)
        cells = [np.nan if slot < 0 else number(numbers[slot]) for slot in (own.step, own.last, own.epoch, own.epochs)]
        for field in own.fields:
            share = number(numbers[field.over]) if field.over >= 0 else 1.0
            cells.append(number(numbers[field.slot], field.scale) / share if share else np.nan)
        at, rows = found.setdefault(form, ([], []))
        at.append(place)
        rows.append(cells)
    return [(form, np.array(at), np.array(rows, dtype=float)) for form, (at, rows) in found.items()], unread


def _by_matcher(
    matcher: Matcher, lines: list[str], places: list[int]
) -> Generator[tuple[LineForm, np.ndarray, np.ndarray], None, list[int]]:
    """Gives the lines that an expression matches, if any, and returns the others."""
    chosen = [lines[place] for place in places]
    cells = matcher.regex.findall("\n".join(chosen))
    rest: list[int] = []
    if len(cells) < len(places):
        fits = [matcher.regex.match(line) is not None for line in chosen]
        rest = [place for place, fit in zip(places, fits, strict=True) if not fit]
        places = [place for place, fit in zip(places, fits, strict=True) if fit]
    if places:
        columns = list(zip(*cells, strict=True))
        yield matcher.form, np.array(places), _numbers(matcher, columns)
    return rest


def _matcher(line: str, *, exact: bool) -> Matcher | None:
    """What finds the numbers of a line and its like; ``exact``: digits within words are the same, too."""
    skeleton, numbers = split(line)
    form = form_of(skeleton) if numbers else None
    if form is None:
        return None
    clocks = [form.step, form.last, form.epoch, form.epochs]
    wanted = sorted({slot for slot in (*clocks, *(i for f in form.fields for i in (f.slot, f.over))) if slot >= 0})
    pieces = [re.escape(piece) for piece in skeleton.split(SLOT)]
    if not exact:
        pieces = [re.sub(r"\d+", r"\\d+", piece) for piece in pieces]
    expression = pieces[0]
    for slot, text in enumerate(numbers):
        # nan and inf are letters, so all lines alike have them here. Atomic: a number is taken whole or not at all.
        number = re.escape(text) if text.lstrip("+-").isalpha() else _NUMBER
        expression += (f"({number})" if slot in wanted else number) + pieces[slot + 1]
    # An empty group at the end: with two groups or more, findall gives tuples.
    regex = re.compile(f"^{expression}()$", re.MULTILINE | re.ASCII)
    return Matcher(regex, form, {slot: i for i, slot in enumerate(wanted)}) if regex.match(line) else None


def _numbers(matcher: Matcher, columns: list[tuple[str, ...]]) -> np.ndarray:
    """The numbers of the lines of one form (n, 4 + fields) from the texts of its slots, each (n,)."""
    form, column = matcher.form, matcher.column
    table = np.full((len(columns[0]), 4 + len(form.fields)), np.nan)
    clocks = [(slot, "") for slot in (form.step, form.last, form.epoch, form.epochs)]
    for i, (slot, scale) in enumerate([*clocks, *((field.slot, field.scale) for field in form.fields)]):
        if slot >= 0:
            table[:, i] = _column(columns[column[slot]], scale)
    for i, field in enumerate(form.fields, 4):
        if field.over >= 0:
            with np.errstate(divide="ignore", invalid="ignore"):
                table[:, i] /= _column(columns[column[field.over]], "")
    return table


def _column(texts: tuple[str, ...], scale: str) -> np.ndarray:
    try:
        if not scale.startswith("*"):
            return np.fromiter((float(text + scale) for text in texts) if scale else map(float, texts), float)
    except ValueError:
        pass  # one has commas, or an exponent and a unit: slowly, then
    return np.fromiter((number(text, scale) for text in texts), float, len(texts))
