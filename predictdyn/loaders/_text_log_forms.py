r"""The form of a line of a text log: which of its numbers is the step, and what the others are called.

A line is looked at without its numbers: ``step:125/1490 val_loss:4.4`` is ``step:#/# val_loss:#`` with `SLOT` for #.
All lines with the same rest have the same form, so that a log of a million lines has a handful of forms to find out
about.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SLOT = "\0"
# A number begins after a sign of no word (top1, top-1, acc@1 and layer.3 hold none) and may have a unit glued to it. A
# comma before three digits is one of thousands.
NUMBER = re.compile(
    r"(?<![\w.@])(?<![A-Za-z]-)([-+]?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
    r"|[-+]?(?i:nan|inf(?:inity)?)(?=(?:[mun]?s|%)?(?!\w)))",
    re.ASCII,
)
_OF = r"(?:(?:train(?:ing|er)?|val(?:id(?:ation)?)?|eval|test|global|optimizer|current|at)[ _/])?"
STEPS = re.compile(rf"{_OF}(?:steps?|iters?|iterations?|it|updates?|num_updates|tokens)")
EPOCHS = re.compile(rf"{_OF}(?:epochs?|ep)")
BATCHES = re.compile(rf"{_OF}(?:mini-?)?batch(?:es|_idx)?")
# What a unit does to a number: shares are fractions, times are seconds, memory is bytes.
UNITS = {
    "%": "e-2", "ms": "e-3", "us": "e-6", "µs": "e-6", "ns": "e-9",
    "k": "e3", "K": "e3", "M": "e6", "B": "e9", "G": "e9", "T": "e12", "KB": "e3", "MB": "e6", "GB": "e9", "TB": "e12",
    "KiB": "*1024", "MiB": f"*{2**20}", "GiB": f"*{2**30}", "TiB": f"*{2**40}",
}  # fmt: skip
APART = {unit for unit in UNITS if len(unit) > 1} | {"%"}  # units that also count after a blank
PHASES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "eval": "eval", "evaluation": "eval", "test": "test",
}  # fmt: skip

_WORD = r"[A-Za-z_][\w./@+-]*"
# A name before a number: up to four words and : or =, or one word and a blank.
_KEYED = re.compile(rf"((?:{_WORD} ){{0,3}}{_WORD})(?: \([\w/%]+\))?[\"']?\s*(?:[:=]|->|=>)\s*[\"'\[(#]?\s*$")
_BARE = re.compile(rf"({_WORD})[\"']?\s+[\[(#]?\s*$")
_UNIT = re.compile(r"[A-Za-zµ%²]{0,12}(?:/[A-Za-z]+)?")
_ENDS = re.compile(r"$|[\s,;|)\]}\"'>:<]|\.(?!\w)")
_PAIR = re.compile(r"\s*(?:/|of)\s*")
_LEVELS = {"INFO", "DEBUG", "WARNING", "WARN", "ERROR", "CRITICAL", "NOTICE"}
_PHASE = re.compile(rf"(?<![\w./-])(?i:({'|'.join(PHASES)}))(?![\w./-])")
_BLOCK = re.compile(r"[ \t]+([A-Za-z_][^\0=:]*?) *[=:] *\0([A-Za-zµ%]*)\s*")
_CLOCKISH = re.compile(r"step|iter|it[:= ]|update|tokens|ep|batch|\0\s*(?:/|of)\s*\0|(?:^|\W)s:\0", re.IGNORECASE)


class Field(NamedTuple):
    """A number that is a metric: its slot, the slot of what it is a share of (-1: none), the factor of its unit."""

    name: str
    slot: int
    over: int
    scale: str


class Form(NamedTuple):
    """Which slot holds what, -1 for none: the step, the last step, the epoch, the last epoch, and the fields.

    ``clock`` is the name before the step, ``kind`` what counts: "step", "batch" (within an epoch), "pair" (a nameless
    i/N), "epoch", or "block": nothing does, the line goes with the one above.
    """

    clock: str
    kind: str
    step: int
    last: int
    epoch: int
    epochs: int
    fields: tuple[Field, ...]


def form_of(skeleton: str) -> Form | None:
    r"""The form of a line without its numbers; None where it counts no step, batch or epoch, and is not in a block.

    >>> form = form_of("step:\0/\0 val_loss:\0 train_time:\0ms")
    >>> form.clock, form.step, form.last, [(field.name, field.slot, field.scale) for field in form.fields]
    ('step:#', 0, 1, [('val_loss', 2, ''), ('train_time', 3, 'e-3')])
    """
    if skeleton.lstrip().startswith(("#", "//")):
        return None
    return _counting(skeleton) or _in_block(skeleton)


def _in_block(skeleton: str) -> Form | None:
    """The form of an indented line with one name and one number, as stand below a line that counts steps."""
    found = _BLOCK.fullmatch(skeleton)
    if not found:
        return None
    first, _, rest = found[1].strip().partition(" ")
    said = rest if first.lower() in PHASES and "/" in rest else found[1].strip()  # Train metrics/train/loss
    return Form("", "block", -1, -1, -1, -1, (Field(said.replace(" ", "_"), 0, -1, UNITS.get(found[2], "")),))


def _counting(skeleton: str) -> Form | None:
    if not _CLOCKISH.search(skeleton):
        return None
    pieces = skeleton.split(SLOT)
    slots = range(len(pieces) - 1)
    names = [_name(pieces[i] if i == 0 else _after_unit(pieces[i])) for i in slots]
    plain = [(name or "").lower() for name in names]
    over = {i: i + 1 for i in slots[:-1] if _PAIR.fullmatch(pieces[i + 1])}
    # 2024/10/20, 2024-10-20 and 12:33:44 are no numbers to keep.
    joined = {j for i in slots[:-1] if pieces[i + 1] in ("-", ":", ".") for j in (i, i + 1)}
    joined |= {j for i in over if i + 1 in over for j in (i, i + 1, i + 2)}
    free = [i for i in slots if i not in joined and i - 1 not in over]
    epoch = next((i for i in free if EPOCHS.fullmatch(plain[i])), -1)
    step, kind = _counter(pieces, plain, free, over, epoch)
    if step < 0 and epoch < 0:
        return None
    if step < 0:
        step, kind, epoch = epoch, "epoch", -1
    used = {step, epoch}
    places = {i for i in free if i < step and _is_place(names[i] or "", pieces[i + 1])}
    fields = _fields(pieces, names, [i for i in free if i not in used | places], over)
    sign = next((sign for sign in "=:" if sign in pieces[step][-4:]), "")
    clock = f"{names[step] or ''}{sign}#"
    return Form(clock, kind, step, over.get(step, -1), epoch, over.get(epoch, -1), fields)


def _is_place(name: str, after: str) -> bool:
    """Whether a number before the step is a place in the code: [host:0], olmo.train:967, train:967 INFO."""
    return "." in name or after[:1] in (":", "]") or after.split()[:1] in [[level] for level in _LEVELS]


def _counter(pieces: list[str], plain: list[str], free: list[int], over: dict[int, int], epoch: int) -> tuple[int, str]:
    """The slot that counts steps and how: by its name, else a nameless i/N in brackets, or behind a progress bar."""
    for words, kind in ((STEPS, "step"), (BATCHES, "batch")):
        named = next((i for i in free if words.fullmatch(plain[i])), -1)
        if named >= 0:
            return named, kind
    if free and free[0] == 0 and re.search(r"(?:^|\s)s:$", pieces[0]):  # llm.c: "s:100 trl:4.2"
        return 0, "step"
    for i in free:
        if i in over and not plain[i] and re.search(r"[\[|]\s*$" if epoch < 0 else r"[\[|(,:]\s*$", pieces[i]):
            return i, "pair"
    return -1, ""


def _after_unit(piece: str) -> str:
    """What stands between two numbers, without the unit that is glued to the first."""
    return piece[_UNIT.match(piece).end() :]  # type: ignore[union-attr]  # it matches nothing, at least


def _name(before: str) -> str | None:
    found = _KEYED.search(before)
    if found:
        words = [word for word in found[1].split() if word not in _LEVELS]
        if not words or words[-1].endswith(".py"):  # train.py:12 is a place
            return None
        units = {word for word in words[:-1] if word in APART or "/" in word}  # of the number before
        return " ".join(word for word in words if word not in units)
    bare = _BARE.search(before)
    return bare[1] if bare and bare[1] not in _LEVELS else None


def _fields(pieces: list[str], names: list[str | None], free: list[int], over: dict[int, int]) -> tuple[Field, ...]:
    fields: list[Field] = []
    for i in free:
        after = pieces[over.get(i, i) + 1]
        unit = _UNIT.match(after)[0]  # type: ignore[index]  # it matches nothing, at least
        if not _ENDS.match(after[len(unit) :]) or after.startswith("%|"):
            continue
        spaced = after.split(maxsplit=1)[0] if after[:1] == " " and after.strip() else ""
        spaced = spaced.rstrip(",;|)]}")
        scale = UNITS.get(unit.partition("/")[0], "") if unit else UNITS[spaced] if spaced in APART else ""
        name = names[i]
        if name is not None:
            said = name.replace(" ", "_")
            fields.append(Field(_in_phase(said, "".join(pieces[: i + 1])), i, over.get(i, -1), scale))
        elif fields and _is_average(pieces, i, fields[-1]):
            fields.append(Field(f"{fields[-1].name}_avg", i, -1, scale))
    return tuple(fields)


def _is_average(pieces: list[str], i: int, before: Field) -> bool:
    """Whether a number in brackets goes with the field before it: in loss 2.1 (2.3), but not in 9832/10000 (98%)."""
    return before.slot == i - 1 and before.over < 0 and _after_unit(pieces[i]).strip() == "("


def _in_phase(name: str, before: str) -> str:
    """The name behind the last word such as "train" or "validation" of the line, unless it says so itself."""
    phases = _PHASE.findall(before)
    if not phases or re.search(r"(?:^|[^a-z])(?:train|val|eval|test|dev)", name.lower()):
        return name
    return f"{PHASES[phases[-1].lower()]}/{name}"
