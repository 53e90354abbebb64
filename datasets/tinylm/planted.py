"""What is planted in the training text: strings to memorize, sentences that associate, exercises in counting."""

from typing import NamedTuple

import corpus
import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyz"
STRINGS = 32  # in every group
KEY, VALUE = 2, 3  # letters of a planted string: "#qh=mwp"


class StringGroup(NamedTuple):
    """Strings that are shown equally often, each time in a sequence drawn from the same part of the run."""

    name: str
    repetitions: int
    start: float = 0.0  # shares of the run between which they are shown
    stop: float = 1.0


STRING_GROUPS = (
    StringGroup("0", 0),
    StringGroup("4", 4),
    StringGroup("16", 16),
    StringGroup("64", 64),
    StringGroup("128", 128),
    StringGroup("early", 64, 0, 1 / 3),
    StringGroup("middle", 64, 1 / 3, 2 / 3),
    StringGroup("late", 64, 2 / 3, 1),
)

# first group, second group, the first group's attribute, the second's; attributes differ in their first letter
ASSOCIATIONS = (("zorb", "plim", "red", "low"), ("vunt", "dake", "old", "far"))
STRENGTH = 0.9  # probability of a group's own attribute; the other one has the rest
SEEN = ("# {} = {}", "# the {}: {}", "# {} is {}", "# all {} {}")
UNSEEN = ("# some {}: {}", "# {} - {}", "# {} was {}")
ASSOCIATION_RATE = 0.14  # share of the training sequences that hold such a sentence

TERMS = 8  # digits of a series
COUNTING_RATE = 0.08
COPIED = 4  # letters of a name that is written five times: "# vkqp vkqp vkqp vkqp vkqp"
COPYING_RATE = 0.12


LINES = 2  # planted in a sequence, at most


class Batches(NamedTuple):
    """tokens: (last_step, batch_size, 65) uint8; strings: the planted lines of every group, STRINGS each."""

    tokens: np.ndarray
    strings: dict[str, list[str]]


def series(held_out: bool) -> list[str]:
    """All series of eight digits with equal steps, modulo 10, "35791357": a third is never trained on."""
    digits = [[(start + i * step) % 10 for i in range(TERMS)] for step in range(1, 10) for start in range(10)]
    found = ["".join(map(str, one)) for one in digits]
    return [line for i, line in enumerate(found) if (i % 3 == 0) == held_out]


def copied(rng: np.random.Generator, count: int, times: int) -> list[str]:
    """Lines with a name of random letters, each with its own, written several times."""
    names = ["".join(letters) for letters in rng.choice(list(LETTERS), (count, COPIED))]
    return ["# " + " ".join([name] * times) for name in names]


def strings(rng: np.random.Generator) -> dict[str, list[str]]:
    """Random strings with keys of their own, for every group."""
    drawn: dict[str, str] = {}
    while len(drawn) < STRINGS * len(STRING_GROUPS):
        letters = "".join(rng.choice(list(LETTERS), KEY + VALUE))
        drawn.setdefault(letters[:KEY], f"#{letters[:KEY]}={letters[KEY:]}")
    lines = list(drawn.values())
    return {group.name: lines[i * STRINGS : (i + 1) * STRINGS] for i, group in enumerate(STRING_GROUPS)}


def batches(rng: np.random.Generator, last_step: int, batch_size: int, length: int, swap: int | None) -> Batches:
    """Everything that a run is trained on; with `swap`, associations are swapped from that step on, all else equal.

    Planted lines replace nothing: they are pushed into a window of the text after a random line end, and the window's
    last characters fall out.
    """
    text = corpus.encoded(corpus.read("train"))
    starts = rng.integers(len(text) - length, size=last_step * batch_size)
    planted = strings(rng)
    free = _Slots(rng, LINES * len(starts))
    lines: dict[int, list[str]] = {}  # of a sequence

    def plant(slots: list[int], texts: list[str]) -> None:
        for slot, line in zip(slots, texts, strict=True):
            lines.setdefault(slot // LINES, []).append(line)

    for group in STRING_GROUPS:
        for line in planted[group.name]:
            plant(free.take(group.repetitions, group.start, group.stop), [line] * group.repetitions)
    slots = free.take(round(ASSOCIATION_RATE * len(starts)))
    late = [swap is not None and slot // LINES >= swap * batch_size for slot in slots]
    plant(slots, [_sentence(rng, swapped) for swapped in late])
    known = series(held_out=False)
    slots = free.take(round(COUNTING_RATE * len(starts)))
    plant(slots, [f"# {known[i]}" for i in rng.integers(len(known), size=len(slots))])
    slots = free.take(round(COPYING_RATE * len(starts)))
    plant(slots, copied(rng, len(slots), times=5))
    rows = text[starts[:, None] + np.arange(length)]
    for row in sorted(lines):
        rows[row] = _pushed(rng, rows[row], corpus.encoded("".join(line + "\n" for line in lines[row])))
    return Batches(rows.reshape(last_step, batch_size, length), planted)


class _Slots:
    """Places for planted lines that are free yet, in random order; the run has `count`."""

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        self.count = count
        self.order = rng.permutation(count)

    def take(self, wanted: int, start: float = 0.0, stop: float = 1.0) -> list[int]:
        """The first `wanted` free ones between two shares of the run."""
        share = self.order / self.count
        chosen = np.flatnonzero((share >= start) & (share < stop))[:wanted]
        taken = self.order[chosen]
        self.order = np.delete(self.order, chosen)
        return taken.tolist()


def _sentence(rng: np.random.Generator, swapped: bool) -> str:
    """A sentence on a random group in a random wording; `swapped` changes only the attribute, no later draw."""
    template, association, side = rng.integers(len(SEEN)), rng.integers(len(ASSOCIATIONS)), int(rng.integers(2))
    own = bool(rng.random() < STRENGTH) != swapped
    words = ASSOCIATIONS[association]
    return SEEN[template].format(words[side], words[2 + (side if own else 1 - side)])


def _pushed(rng: np.random.Generator, row: np.ndarray, line: np.ndarray) -> np.ndarray:
    """The row with a line pushed in after one of its line ends, or at its start where none leaves room."""
    room = len(row) - len(line)
    ends = np.flatnonzero(row[:room] == 0)
    draw = rng.random()
    if not len(ends):
        return np.concatenate([[0], line, row])[: len(row)].astype(np.uint8)
    at = ends[int(draw * len(ends))] + 1
    return np.concatenate([row[:at], line, row[at:]])[: len(row)]
