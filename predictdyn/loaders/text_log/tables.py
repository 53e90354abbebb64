"""Tables that are printed into a text log, as lines of ``name: number``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CELL = r"[A-Za-z_#%][\w/@.%+()#-]*"
# What is between cells can be read in one way only: two ways each would be a million ways for 20 cells.
_HEADER = re.compile(
    rf"[ \t|]*{_CELL}(?: {_CELL})?(?:(?: [ \t]+|\t[ \t]*|[ ]*\|[ ]*){_CELL}(?: {_CELL})?){{2,}}[ \t|]*"
)
_ONE_BLANK = re.compile(rf"[ \t]*(?i:class|epoch|step|iter|iteration)(?: {_CELL}){{2,}}[ \t]*")  # names without blanks
_BAR = re.compile(r":\s*(?:\d+)?%\|.*$")  # tqdm puts the bar of an epoch behind its row (YOLO)
_RULE = re.compile(r"[-+=|_ \t:]*")
_NUMBER = re.compile(r"[-+]?(?:\d|\.\d|nan\b|inf\b)\S*", re.IGNORECASE)
_CLOCK = re.compile(r"epochs?|e|steps?|global_step|iter|iteration|#", re.IGNORECASE)
_SAID = {"#": "step", "E": "epoch", "e": "epoch"}  # what spaCy calls them
_WHOLE = {"all", "total", "overall", "mean", "avg", "average"}  # rows that are no part of the others
_BOX_CLOCKS = (
    "total_timesteps",
    "totalenvinteracts",
    "global_step",
    "timesteps",
    "step",
    "steps",
    "iteration",
    "epoch",
)


def may_hold_tables(keys: Iterable[bytes]) -> bool:
    """Whether one of the lines, given without digits, may be the header of a table, or in a box."""
    return any(_is_header(key) or _box(key.decode()) for key in keys if key)


def _is_header(key: bytes) -> bool:
    text = _BAR.sub("", key.decode())
    return bool(_HEADER.fullmatch(text) or _ONE_BLANK.fullmatch(text))


def without_tables(lines: list[str]) -> tuple[list[str], int]:
    r"""The lines with each row of a table as names and numbers, and how many rows were written over by the next.

    Below a line of three names or more, apart by blanks, tabs or bars, a row has as many cells, and all but the first
    are numbers. A first cell that is a word goes in front of the names, unless it is "all" or the like. Of rows that
    begin alike one after the other (strokes of a progress bar) the last counts. Boxes of ``| name | number |`` become
    one line, in the place of their last, if one of their names counts steps.

    >>> without_tables(["Epoch  loss  mAP", " 1/9   2.5   0.25", "Class  n  mAP", "all   9  0.5", "cat  4  0.3"])[0]
    ['', 'Epoch: 1/9 | loss: 2.5 | mAP: 0.25', '', 'n: 9 | mAP: 0.5', 'cat/n: 4 | cat/mAP: 0.3']
    >>> without_tables(["| time/     |   |", "|    fps   | 9 |", "|    steps | 5 |"])[0]
    ['', '', 'steps: 5 | time/fps: 9']
    """
    done, over, names = list(lines), 0, None
    previous: int | None = None
    for i, line in enumerate(lines):
        text = _BAR.sub("", line)
        if names is not None:
            row = _row(names, _cells(text, len(names)))
            if row is not None:
                if previous is not None and row.split("|")[0] == done[previous].split("|")[0] and _BAR.search(line):
                    done[previous], over = "", over + 1
                done[i], previous = row, i
                continue
            if text.strip() and not _RULE.fullmatch(text):
                names = None
        header = _header(text)
        if header is not None:
            names, previous = header, None
            done[i] = ""
    return _without_boxes(done), over


def _header(text: str) -> list[str] | None:
    if not text or not (_HEADER.fullmatch(text) or _ONE_BLANK.fullmatch(text)):
        return None
    cells = _split(text) if _HEADER.fullmatch(text) else text.split()
    # Ultralytics writes the boxes' own as Box(P ... mAP50-95).
    names = [re.sub(r"^\w+\(", "", cell) if cell.count("(") > cell.count(")") else cell for cell in cells]
    names = [name.rstrip(")") if name.count(")") > name.count("(") else name for name in names]
    return [_SAID.get(name, name).replace(" ", "_") for name in names]


def _split(text: str) -> list[str]:
    return [cell for cell in re.split(r"[ ]*\|[ ]*|\t+|[ ]{2,}", text.strip(" \t|")) if cell]


def _cells(text: str, count: int) -> list[str]:
    cells = _split(text)
    return cells if len(cells) == count else text.replace("|", " ").split()


def _row(names: Sequence[str], cells: Sequence[str]) -> str | None:
    """A row as a line of names and numbers; None where it is none."""
    if len(cells) != len(names) or not all(_NUMBER.fullmatch(cell) for cell in cells[1:]):
        return None
    if _NUMBER.fullmatch(cells[0]):
        front, first = "", [f"{names[0]}: {cells[0]}"]
        if not any(_CLOCK.fullmatch(name) for name in names[:2]):
            return None
    elif re.fullmatch(r"[A-Za-z_][\w .-]*", cells[0]) and not _CLOCK.fullmatch(names[0]):
        front, first = "" if cells[0].lower() in _WHOLE else f"{cells[0].replace(' ', '_')}/", []
    else:
        return None
    return " | ".join([*first, *(f"{front}{name}: {cell}" for name, cell in zip(names[1:], cells[1:], strict=True))])


def _without_boxes(lines: list[str]) -> list[str]:
    block: list[int] = []
    for i in range(len(lines) + 1):
        if i < len(lines) and _box(lines[i]):
            block.append(i)
        elif block:
            joined = _joined([lines[j] for j in block]) if len(block) > 1 else None
            if joined is not None:
                for j in block:
                    lines[j] = ""
                lines[block[-1]] = joined
            block = []
    return lines


def _box(line: str) -> tuple[str, str] | None:
    """The name and what may be its number in a line of a box, ``| name | number |``; None where it is none."""
    text = line.strip()
    if not text.startswith("|") or not text.endswith("|"):
        return None
    name, bar, value = text[1:-1].partition("|")
    name, value = name.strip(), value.strip()
    return (name, value) if bar and name and not name.endswith(":") and len(value.split()) < 2 else None


def _joined(block: Sequence[str]) -> str | None:
    """A box as one line that begins with what counts its steps; None where nothing does."""
    section, cells = "", {}
    for name, value in filter(None, map(_box, block)):
        if not value:
            section = name if name.endswith("/") else ""
        elif _NUMBER.fullmatch(value):
            cells[f"{section}{name}".replace(" ", "_")] = value
    last = {name.rpartition("/")[2].lower(): name for name in cells}
    clock = next((last[word] for word in _BOX_CLOCKS if word in last), None)
    if clock is None or len(cells) < 2:
        return None
    rest = " | ".join(f"{name}: {value}" for name, value in cells.items() if name != clock)
    word = "epoch" if clock.lower().endswith("epoch") else "steps"
    return f"{word}: {cells[clock]} | {rest}"
