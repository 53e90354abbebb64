"""The held-out text that every run is measured on, and where in it the questions stand."""

import keyword
import re
from functools import cache
from typing import NamedTuple

import corpus
import numpy as np
from nets import CONTEXT
from planted import LETTERS, copied, series

SEED = 1991  # the same questions for every run
LOSS_ROWS = 96  # windows of validation text
OTHER_ROWS = 48  # windows of each other text
CLOSING = {"(": ")", "[": "]", "{": "}"}
BRACKETS_EACH, INDENTS_EACH, REPEATED = 60, 80, 90
EARLIEST = 12  # a question needs some text before it
COLUMNS = (4, 8)  # of the line that ends with a colon
BLOCK = re.compile(r"^( +)(?:if|for|while|elif|else|try|with|except|def|class|finally)\b[^\n]*:\n( +)\S", re.MULTILINE)
NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]{3,}")
PREFIX = "pass\n"  # stands before short lines
SHORT = 22  # tokens read of a short line


class Questions(NamedTuple):
    """Windows (n, 65) and questions in them; `at` is the place of the character asked for, within its row."""

    windows: np.ndarray  # validation text, of which the first LOSS_ROWS are a random sample
    brackets: np.ndarray  # (n, 3): row, at, which of )]}
    indents: np.ndarray  # (n, 3): row, first place of the line, right column
    headers: np.ndarray  # (OTHER_ROWS, 65) as the next two
    prose: np.ndarray
    shuffled: np.ndarray  # the first windows with names exchanged
    repeated: np.ndarray  # (n, SHORT + 1), names written twice
    repeated_questions: np.ndarray  # (n, 6): row, at, right token, three wrong tokens
    counting: np.ndarray  # (n, SHORT + 1)
    counting_questions: np.ndarray  # (n, 3): row, at, right digit


@cache
def questions() -> Questions:
    """All questions, drawn once."""
    rng = np.random.default_rng(SEED)
    text = corpus.read("validation")
    starts = rng.integers(len(text) - CONTEXT - 1, size=60_000)
    windows = [text[start : start + CONTEXT + 1] for start in starts[:LOSS_ROWS]]
    brackets, indents = _found(text, starts, windows)
    shuffled = _shuffled_names(rng, text)
    counting = [PREFIX + "# " + line for line in series(held_out=True)]
    digits = [[row, len(line) - back, int(line[-back])] for row, line in enumerate(counting) for back in range(1, 6)]
    repeated = [PREFIX + line for line in copied(rng, REPEATED, times=2)]
    letters = [[row, len(line) - back, line[-back]] for row, line in enumerate(repeated) for back in (1, 2, 3)]
    return Questions(
        windows=_rows(windows),
        brackets=np.array(brackets),
        indents=np.array(indents),
        headers=_sample(rng, corpus.read("headers")),
        prose=_sample(rng, corpus.read("prose")),
        shuffled=_rows([shuffled[start : start + CONTEXT + 1] for start in starts[:OTHER_ROWS]]),
        repeated=short_rows(repeated),
        repeated_questions=np.array([[row, at, *_options(rng, right)] for row, at, right in letters]),
        counting=short_rows(counting),
        counting_questions=np.array(digits),
    )


def short_rows(lines: list[str]) -> np.ndarray:
    """Tokens of short lines, (n, SHORT + 1), filled with line ends; what follows is never read."""
    return np.stack([corpus.encoded(line.ljust(SHORT + 1, "\n")) for line in lines])


def _shuffled_names(rng: np.random.Generator, text: str) -> str:
    """The text with names exchanged among those of equal length, each consistently; keywords stay."""
    names = sorted({name for name in NAME.findall(text) if not keyword.iskeyword(name)})
    other: dict[str, str] = {}
    for length in sorted({len(name) for name in names}):
        same = [name for name in names if len(name) == length]
        other |= dict(zip(same, (same[i] for i in rng.permutation(len(same))), strict=True))
    return NAME.sub(lambda match: other.get(match[0], match[0]), text)


def _rows(lines: list[str]) -> np.ndarray:
    return np.stack([corpus.encoded(line) for line in lines])


def _sample(rng: np.random.Generator, text: str) -> np.ndarray:
    starts = rng.integers(len(text) - CONTEXT - 1, size=OTHER_ROWS)
    return _rows([text[start : start + CONTEXT + 1] for start in starts])


def _found(text: str, starts: np.ndarray, windows: list[str]) -> tuple[list[list[int]], list[list[int]]]:
    """Closing brackets and first lines of blocks, equally many of each sort; windows that hold one are appended."""
    wanted = dict.fromkeys(CLOSING.values(), BRACKETS_EACH) | dict.fromkeys(COLUMNS, INDENTS_EACH)
    brackets, indents = [], []
    for number, start in enumerate(starts):
        window = text[start : start + CONTEXT + 1]
        row = number if number < LOSS_ROWS else len(windows)
        found = [(window[at], at) for at in _closings(window)]
        found += [(column, at) for column, at in _blocks(window)]
        found = [(sort, at) for sort, at in found if wanted[sort] > 0]
        if found and number >= LOSS_ROWS:
            windows.append(window)
        for sort, at in found:
            if wanted[sort] > 0:
                wanted[sort] -= 1
                if isinstance(sort, str):
                    brackets.append([row, at, ")]}".index(sort)])
                else:
                    indents.append([row, at, sort + 4])
        if not any(wanted.values()):
            break
    return brackets, indents


def _closings(window: str) -> list[int]:
    """Places of closing brackets whose opening bracket stands in the window and is the last one open."""
    opened: list[str] = []
    places = []
    for at, character in enumerate(window):
        if character in CLOSING:
            opened.append(CLOSING[character])
        elif character in CLOSING.values():
            if opened and opened.pop() == character:
                if at >= EARLIEST:
                    places.append(at)
            else:
                opened = []
    return places


def _blocks(window: str) -> list[tuple[int, int]]:
    """(column of a line that ends with a colon, where the next line starts) where that line is one level deeper."""
    return [
        (len(match[1]), match.start(2))
        for match in BLOCK.finditer(window)
        # a match at the very start may be the rest of a longer line
        if match.start() > 0 and len(match[1]) in COLUMNS and len(match[2]) == len(match[1]) + 4
    ]


def _options(rng: np.random.Generator, right: str) -> list[int]:
    """Tokens of the right letter and of three others."""
    wrong = rng.choice([letter for letter in LETTERS if letter != right], 3, replace=False)
    return corpus.encoded("".join([right, *wrong])).tolist()
