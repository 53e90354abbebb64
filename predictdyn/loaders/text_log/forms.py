r"""The form of a line of a text log: which of its numbers is the step, and what the others are called.

All lines with the same skeleton (the line without its numbers, `names.split`) have the same form, so that a
log of a million lines has a handful of forms to find out about.
"""

from __future__ import annotations

import re
from collections.abc import Container
from itertools import accumulate
from typing import NamedTuple

from predictdyn.loaders.text_log.names import (
    APART,
    EVALUATIONS,
    PHASES,
    SLOT,
    UNIT,
    UNITS,
    after_unit,
    in_phase,
    is_outcome,
    name_before,
    phase_of,
    says_phase,
    shortened,
)

_OF = r"(?:(?:train(?:ing|er)?|val(?:id(?:ation)?)?|eval|test|global|optimizer|current|at)[ _/])?"
STEPS = re.compile(rf"{_OF}(?:steps?|iters?|iterations?|it|updates?|num_updates|tokens|upd?\.)")
WHOLE_RUN = re.compile(r"(?:.*[ _/])?(?:global[ _]step|num_updates)")  # goes before any other step of a line
EPOCHS = re.compile(rf"{_OF}(?:epochs?|ep\.?)")
BATCHES = re.compile(rf"{_OF}(?:mini-?)?batch(?:es|_idx)?")
MOST_LIKE = 60  # characters of a skeleton that are said

_ENDS = re.compile(r"$|[\s,;|)\]}\"'>:<]|\.(?!\w)")
_PAIR = re.compile(r"\s*(?:/|of)\s*")
_BLOCK = re.compile(r"[ \t]+(?:\| > )?([A-Za-z_][^\0=:]*?) *[=:] *\0([A-Za-zµ%]*)\s*(?:\([^()]*\)\s*)?")
_CLOCKISH = re.compile(
    r"step|iter|it[:= ]|up|tokens|ep|batch|\0\s*(?:/|of)\s*\0|(?:^|\W)s:\0|\[\0(?:, *\0)?\]\s|^\s*\0:\s", re.IGNORECASE
)
_PHASE_IN_BRACKETS = re.compile(rf"\b(epoch|iter|iteration|step)\s*\(({'|'.join(PHASES)})\)", re.IGNORECASE)
_GLUED = re.compile(r"\b(epoch|iter|iteration|step|batch)\[", re.IGNORECASE)  # MXNet: Epoch[0] Batch [20]
_PHASE_NAME = re.compile(rf"\b(?:{'|'.join(PHASES)})\s*[:=]\s*$", re.IGNORECASE)
_BEHIND_BAR = re.compile(r"\s*(?:\[=*\]\s*)?(?:[-|,:]\s+)?(?:[A-Za-z_][\w ]*[:=]?\s*)?")
_HEAD = re.compile(r"\W*([A-Za-z][\w@]*) (?:of|on|over|for) [^:=]*([:=])\s*")
_TOTAL = re.compile(r"\b(?:total|num(?:ber)?)\b[^,;|]*$", re.IGNORECASE)  # how many there will be: no counter
_SPREADS = ("+", "±", "+/-", "+-")
_WORD_AS_VALUE = re.compile(r"(?<!\w)[A-Za-z_][\w/@]*\s*[:=]\s*[^\s:=]")
_TAIL = 40  # characters, more than the word for a phase that may stand there has
_LEVELS = ("INFO", "DEBUG", "WARNING", "WARN", "ERROR", "CRITICAL", "NOTICE")


class Field(NamedTuple):
    """A number that is a metric: its slot, the slot of what it is a share of (-1: none), the factor of its unit."""

    name: str
    slot: int
    over: int
    scale: str


class LineForm(NamedTuple):
    """Which slot holds what, -1 for none: the step, the last step, the epoch, the last epoch, and the fields.

    ``clock`` is the name before the step. ``kind`` says what counts: "step", "batch" (within an epoch), "pair" (a
    nameless i/N), "bar" (an i/N that begins its line), "epoch"; "block" and "result": nothing does, the line goes with
    one above. ``phase`` is that of the counter, ``like`` the skeleton in short, where lines may have to be left out.
    """

    clock: str
    kind: str
    step: int
    last: int
    epoch: int
    epochs: int
    fields: tuple[Field, ...]
    phase: str = ""
    like: str = ""


def form_of(skeleton: str, *, counting: bool = False) -> LineForm | None:
    r"""The form of a line without its numbers; None where it counts nothing and has no number with a name.

    With ``counting`` lines that count nothing have none.

    >>> form = form_of("step:\0/\0 val_loss:\0 train_time:\0ms")
    >>> form.clock, form.step, form.last, [(field.name, field.slot, field.scale) for field in form.fields]
    ('step:#', 0, 1, [('val_loss', 2, ''), ('train_time', 3, 'e-3')])
    >>> form_of(" * Acc@1 \0 Acc@5 \0").kind
    'result'
    """
    if skeleton.lstrip().startswith(("#", "//")):
        return None
    skeleton = shortened(skeleton)
    return _counting(skeleton) or (None if counting else _in_block(skeleton) or _result(skeleton))


def whole_run(clock: str) -> bool:
    """Whether the clock of a form counts the whole run by its name: ``global_step``."""
    return bool(WHOLE_RUN.fullmatch(clock.rstrip("#:=").lower()))


def like(skeleton: str) -> str:
    r"""A skeleton as it is shown: without the time in front, numbers as #, cut where it is long.

    >>> like("[\0-\0-\0 \0:\0:\0] Cost \0")
    'Cost #'
    """
    said = re.sub(r"^\W*\0[-/.]\0[-/.]\0[ T]\0:\0:\0(?:,\0)?\W*", "", skeleton)
    said = re.sub(r"([\[(]) ", r"\1", " ".join(said.replace(SLOT, "#").split()))
    return said if len(said) <= MOST_LIKE else f"{said[:MOST_LIKE].rstrip()} …"


def _in_block(skeleton: str) -> LineForm | None:
    """The form of an indented line with one name and one number, as stand below a line that counts steps."""
    found = _BLOCK.fullmatch(skeleton)
    if not found:
        return None
    first, _, rest = found[1].strip().partition(" ")
    said = rest if first.lower() in PHASES and "/" in rest else found[1].strip()  # Train metrics/train/loss
    field = Field(said.replace(" ", "_"), 0, -1, UNITS.get(found[2], ""))
    return LineForm("", "block", -1, -1, -1, -1, (field,), like=like(skeleton))


class _Slots(NamedTuple):
    """The numbers of a line: the ``pieces`` around them, the ``names`` before them, and what they are not."""

    pieces: list[str]
    names: list[str | None]
    over: dict[int, int]
    free: list[int]


def _slots(skeleton: str) -> _Slots:
    pieces = _GLUED.sub(r"\1 [", _PHASE_IN_BRACKETS.sub(r"\2 \1", skeleton)).split(SLOT)
    slots = range(len(pieces) - 1)
    names = [name_before(pieces[i] if i == 0 else after_unit(pieces[i]), first=i == 0) for i in slots]
    over = {i: i + 1 for i in slots[:-1] if _PAIR.fullmatch(pieces[i + 1])}
    # 2024/10/20, 2024-10-20 and 12:33:44 are no numbers to keep.
    joined = {j for i in slots[:-1] if pieces[i + 1] in ("-", ":", ".") for j in (i, i + 1)}
    # 1-100batch: is no date.
    joined -= {i + 1 for i in slots[:-1] if pieces[i + 1] == "-" and re.match(r"batch\b", pieces[i + 2])}
    for i in [i for i in over if i + 1 in over]:
        if STEPS.fullmatch((names[i] or "").lower()):  # Tesseract: iteration 100/200/300
            joined |= {i + 1, i + 2}
            del over[i], over[i + 1]
        else:
            joined |= {i, i + 1, i + 2}
    return _Slots(pieces, names, over, [i for i in slots if i not in joined and i - 1 not in over])


def _counting(skeleton: str) -> LineForm | None:
    if not _CLOCKISH.search(skeleton):
        return None
    pieces, names, over, free = slots = _slots(skeleton)
    plain = [(name or "").lower() for name in names]
    epoch = next((i for i in free if EPOCHS.fullmatch(plain[i])), -1)
    if epoch < 0:  # 3epoch:train:1-100batch
        epoch = next((i for i in free if re.match(r"epochs?\b", pieces[i + 1])), -1)
    step, kind = _counter(slots, plain, epoch)
    if kind == "pair" and epoch < 0 and step - 1 in free and plain[step - 1] in PHASES:
        epoch = step - 1  # timm: Train: 0 [  50/1251 (  4%)]
    if step < 0 and epoch < 0 and _is_pair_of_clocks(slots):
        epoch, step, kind = 0, 1, "batch"
    if step < 0 and epoch < 0:
        return None
    if step < 0:
        step, kind, epoch = epoch, "epoch", -1
    behind = over.get(step, step) + 1
    if behind < len(names) and names[behind] is None and re.fullmatch(r"[)\]]?\s*[:=]\s*", pieces[behind]):
        names[behind] = _named_before(pieces[step])
    used = {step, epoch}
    places = {i for i in free if i < step and _is_place(names[i] or "", pieces[i], pieces[i + 1])}
    totals = {
        i for i in free if _TOTAL.search(pieces[i]) and (STEPS.fullmatch(plain[i]) or BATCHES.fullmatch(plain[i]))
    }
    aside = used | places | totals
    fields = _fields(slots, [i for i in free if i not in aside])
    if (kind == "bar" or _is_nameless(slots, step)) and not fields:
        return None
    sign = next((sign for sign in "=:" if sign in pieces[step][-4:]), "")
    phase = phase_of("".join(pieces[: step + 1]))
    # A word where a number should stand: "step 5 loss: oops".
    lost = not fields and _WORD_AS_VALUE.search("".join(pieces[step + 1 :]))
    evaluates = fields and phase in EVALUATIONS
    said = like(skeleton) if lost else f"{like(SLOT.join(pieces[: step + 1]))}#…" if evaluates else ""
    last, epochs = over.get(step, -1), over.get(epoch, -1)
    return LineForm(f"{names[step] or ''}{sign}#", kind, step, last, epoch, epochs, fields, phase, said)


def _named_before(text: str) -> str | None:
    """The name of a number that stands behind the step: loss, in "Average loss at step 100: 2.5"."""
    found = re.search(r"((?:[A-Za-z_]\w* ){1,3})(?:at|after|for|in|of|on|@) [A-Za-z_ ]+\W*$", text)
    return _phase_first(found[1].strip()) if found and is_outcome(found[1]) else None


def _is_place(name: str, before: str, after: str) -> bool:
    """Whether a number before the step is a place in the code: [host:0], olmo.train:9, (trainer:650), train:9 INFO."""
    in_brackets = after[:1] in (":", "]") or (after[:1] == ")" and before.endswith(":"))
    return "." in name or in_brackets or after.split()[:1] in [[level] for level in _LEVELS]


def _counter(slots: _Slots, plain: list[str], epoch: int) -> tuple[int, str]:
    """The slot that counts steps and how: by its name, else a nameless i/N in brackets, or behind a progress bar."""
    pieces, names, over, free = slots
    for words, kind in ((WHOLE_RUN, "step"), (STEPS, "step"), (BATCHES, "batch")):
        named = next((i for i in free if words.fullmatch(plain[i]) and not _TOTAL.search(pieces[i])), -1)
        if named >= 0:
            return named, kind
    if free and free[0] == 0 and re.search(r"(?:^|\s)s:$", pieces[0]):  # llm.c: "s:100 trl:4.2"
        return 0, "step"
    batch = next((i for i in free if re.match(r"batch\b", pieces[i + 1])), -1)
    if batch >= 0 and epoch >= 0:
        return batch, "batch"
    dated = {*range(len(names))}.difference(free)
    for i in free:
        bare = i in over and (not plain[i] or plain[i] in PHASES) and not _is_date(slots, i, dated)
        if bare and re.search(r"[\[|]\s*$" if epoch < 0 else r"[\[|(,:]\s*$", pieces[i]):
            return i, "pair"
    begins = 0 in over and not pieces[0].strip() and not _is_date(slots, 0, dated)
    if epoch < 0 and begins and _BEHIND_BAR.fullmatch(pieces[2]):  # Keras
        return 0, "bar"
    first = next((i for i in free if names[i] is None), -1)
    if epoch < 0 and first >= 0 and _is_nameless(slots, first):
        return first, "step"
    return -1, ""


def _is_date(slots: _Slots, i: int, joined: Container[int]) -> bool:
    """Whether an i/N is the day of a time behind it, which is among the numbers that are ``joined``: 01/31 10:00:00."""
    return not slots.pieces[i + 2].strip() and i + 2 in joined


def _is_nameless(slots: _Slots, i: int) -> bool:
    """Whether a number counts by its place alone: "[10]" before the metrics (xgboost, LightGBM), "10:" (CatBoost)."""
    pieces, names, _, free = slots
    if names[i] is not None or i != next((j for j in free if names[j] is None), -1):
        return False
    if re.search(r"(?:^|\s)\[$", pieces[i]):
        return bool(re.match(r"\]\s+[A-Za-z_]", pieces[i + 1]))
    return i == 0 and not pieces[0].strip() and bool(re.match(r":\s+[A-Za-z_]", pieces[1]))


def _is_pair_of_clocks(slots: _Slots) -> bool:
    """Whether a line begins with its epoch and its batch, as in PyTorch's tutorial: [1,  2000] loss: 2.5."""
    pieces = slots.pieces
    if len(pieces) < 4 or pieces[0].strip() != "[" or pieces[1].strip() != ",":
        return False
    return bool(re.match(r"\]\s+[A-Za-z_]", pieces[2]))


def _fields(slots: _Slots, free: list[int]) -> tuple[Field, ...]:
    pieces, names, over, _ = slots
    phases = _phases(pieces, free)
    fields: list[Field] = []
    for i in free:
        after = pieces[over.get(i, i) + 1]
        unit = UNIT.match(after)[0]  # type: ignore[index]  # it matches nothing, at least
        spread = after[len(unit) :].strip() in _SPREADS and i + 2 < len(pieces)
        if not (spread or _ENDS.match(after[len(unit) :])) or after.startswith("%|"):
            continue
        name = names[i]
        if name is not None:
            plain = name.replace("'s ", "/").replace(" ", "_").rstrip(".")
            fields.append(Field(in_phase(plain, phases[i]), i, over.get(i, -1), _scale(unit, after)))
        elif fields and fields[-1].slot == i - 1 and after_unit(pieces[i]).strip() in _SPREADS:
            fields.append(Field(f"{fields[-1].name}_std", i, -1, _scale(unit, after)))
        elif fields and _is_average(pieces, i, fields[-1]):
            fields.append(Field(f"{fields[-1].name}_avg", i, -1, _scale(unit, after)))
    return tuple(fields)


def _phases(pieces: list[str], free: list[int]) -> dict[int, str]:
    """The phase that the text before each free number says last, by its slot; "" where it says none."""
    said, text, before = "", "", {}
    numbers = set(free)
    for i, piece in enumerate(pieces[:-1]):
        if i in numbers:
            before[i] = phase_of(text + piece) or said
            # What is or ends the name of a number (CatBoost: "test: 0.5 best: 0.4") is not the phase of the next.
            piece = _PHASE_NAME.sub("", piece)
        text += piece
        said = phase_of(text, whole=True) or said
        # Only what ends the text may go on; to read all of it before each number takes the square of the time.
        text = text if len(text) < _TAIL else f"_{text[1 - _TAIL :]}"
    return before


def _scale(unit: str, after: str) -> str:
    """The factor of the unit that is glued to a number, or stands behind it after a blank."""
    spaced = after.split(maxsplit=1)[0].rstrip(",;|)]}") if after[:1] == " " and after.strip() else ""
    return UNITS.get(unit.partition("/")[0], "") if unit else UNITS[spaced] if spaced in APART else ""


def _is_average(pieces: list[str], i: int, before: Field) -> bool:
    """Whether a number in brackets goes with the field before it: in loss 2.1 (2.3), but not in 9832/10000 (98%)."""
    return before.slot == i - 1 and before.over < 0 and after_unit(pieces[i]).strip() == "("


def _result(skeleton: str) -> LineForm | None:
    r"""The form of a line with names and numbers that counts nothing; its phase, if it says one, is in front.

    A word and a blank are a name only if it is one of a result: "saved 5 files" has none.

    >>> [field.name for field in _result("Validation perplexity: \0").fields]
    ['val/perplexity']
    """
    slots = _slots(skeleton)
    pieces, names, _, free = slots
    heads = _heads(pieces)
    kept = []
    for i in free:
        before, after = pieces[i] if i == 0 else after_unit(pieces[i]), pieces[i + 1]
        keyed = re.search(r"[:=>]\s*[\"'\[(#]?\s*$", before)
        place = before.endswith(":") and after[:1] in (")", "]")  # (trainer:650)
        if names[i] is None or is_outcome(names[i] or "") or (keyed and not place):
            kept.append(i)
    said = slots._replace(names=[name and _phase_first(heads.get(i, name)) for i, name in enumerate(names)])
    fields = _fields(said, kept)
    return LineForm("", "result", -1, -1, -1, -1, fields, like=like(skeleton)) if fields else None


def _heads(pieces: list[str]) -> dict[int, str]:
    """What a long name is about, by its slot: accuracy, in "Accuracy of the network on the 10000 test images: 62 %"."""
    text = " ".join(pieces)
    found = _HEAD.match(text)
    if not found or not is_outcome(found[1]):
        return {}
    ends = accumulate(len(piece) + 1 for piece in pieces)  # and the blank behind each
    return {i: found[1] for i, end in enumerate(ends) if found.end(2) < end <= found.end() + 1}


def _phase_first(name: str) -> str:
    """Validation perplexity as val/perplexity; other names as they are."""
    first, _, rest = name.partition(" ")
    return f"{PHASES[first.lower()]}/{rest}" if rest and first.lower() in PHASES and not says_phase(rest) else name
