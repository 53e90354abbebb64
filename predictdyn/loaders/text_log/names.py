r"""Numbers and names in a line of a text log: where a number is a value, what it is called, and in which phase.

A line is looked at without its numbers: ``step:125/1490 val_loss:4.4`` is ``step:#/# val_loss:#`` with `SLOT` for #.
"""

from __future__ import annotations

import re

from predictdyn.curves import OUTCOMES
from predictdyn.loaders.engine.facts import log_metric, plain_name
from predictdyn.loaders.engine.log_metrics import LOG

SLOT = "\0"
# A number begins after a sign of no word (top1, top-1, acc@1, mAP50-95 and layer.3 hold none) and may have a unit glued
# to it. A comma before three digits is one of thousands.
NUMBER = re.compile(
    r"(?<![\w.@])(?<![A-Za-z]-)(?<![A-Za-z]\d-)(?<![A-Za-z]\d\d-)([-+]?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
    r"|[-+]?(?i:nan|inf(?:inity)?)(?=(?:[mun]?s|%)?(?!\w)))",
    re.ASCII,
)
# What a unit does to a number: shares are fractions, times are seconds, memory is bytes.
UNITS = {
    "%": "e-2", "ms": "e-3", "us": "e-6", "µs": "e-6", "ns": "e-9",
    "k": "e3", "K": "e3", "M": "e6", "B": "e9", "G": "e9", "T": "e12", "KB": "e3", "MB": "e6", "GB": "e9", "TB": "e12",
    "KiB": "*1024", "MiB": f"*{2**20}", "GiB": f"*{2**30}", "TiB": f"*{2**40}",
}  # fmt: skip
APART = {unit for unit in UNITS if len(unit) > 1} | {"%"}  # units that also count after a blank
UNIT = re.compile(r"[A-Za-zµ%²]{0,12}(?:/[A-Za-z]+)?")
PHASES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "validating": "val",
    "validate": "val", "dev": "val", "crossval": "val", "eval": "eval", "evaluation": "eval", "evaluating": "eval",
    "evaluate": "eval", "test": "test", "testing": "test",
}  # fmt: skip
EVALUATIONS = ("val", "eval", "test")

# A name stands in the last so many characters before its number: looking through more takes its square in time.
_FRONT = 300
_WORD = r"[A-Za-z_](?:[\w./@+-]|'s )*"
# A name before a number: up to four words and : or =, or one word and a blank; a unit or the like in brackets between.
_KEYED = re.compile(rf"((?:{_WORD} ){{0,3}}{_WORD})(?: \([\w/% ]+\))?[\"']?\s*(?:[:=]|->|=>)\s*[\"'\[(#]?\s*$")
_BARE = re.compile(rf"({_WORD})(?: \([\w/% ]+\))?[\"']?\s+[\[(#]?\s*$")
_LEVELS = {"INFO", "DEBUG", "WARNING", "WARN", "ERROR", "CRITICAL", "NOTICE"}
_PLACE = re.compile(r"\.(?:py|cc|cpp|cu|h|hpp|rs|go|java|lua|jl)$")  # train.py:12 is a place in the code
_JOINTS = {
    "of",
    "the",
    "a",
    "an",
    "at",
    "in",
    "on",
    "for",
    "to",
    "and",
    "or",
    "by",
    "from",
    "with",
    "than",
    "every",
    "is",
    "was",
}
_PHASE = re.compile(rf"(?<![\w./-])(?i:({'|'.join(PHASES)}))(?![\w./-])")
_LETTERS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NAMED_NEXT = re.compile(rf"\s+{_WORD}")
_SAID = re.compile(rf"({_WORD}) (?:is|was|of)\s+$")  # "accuracy of 0.5": what stands before it is the name
# Words that make a name one of a result, beside those of the tables.
_MORE = {"cost", "objective", "objf", "elbo", "likelihood"}


def split(line: str) -> tuple[str, list[str]]:
    r"""A line without its numbers, and these. NaN and infinity are some where a value stands, not inside a name.

    >>> split("loss: nan | number of nan iterations: 0")
    ('loss: \x00 | number of nan iterations: \x00', ['nan', '0'])
    """
    pieces, numbers, end = [], [], 0
    for found in NUMBER.finditer(line):
        if not found[0].lstrip("+-").isalpha() or _is_value(line, *found.span()):
            pieces.append(line[end : found.start()])
            numbers.append(found[0])
            end = found.end()
    return SLOT.join([*pieces, line[end:]]), numbers


def shortened(skeleton: str) -> str:
    r"""A skeleton with at most some hundreds of characters between numbers, in the place of the others an ellipsis.

    >>> len(shortened("a" * 5000 + "loss: \0"))
    604
    """
    if len(skeleton) <= 2 * _FRONT:
        return skeleton
    pieces = skeleton.split(SLOT)
    return SLOT.join(p if len(p) <= 2 * _FRONT else f"{p[:_FRONT]} … {p[-_FRONT:]}" for p in pieces)


def _is_value(line: str, start: int, end: int) -> bool:
    """Whether a word that spells a number stands for one: behind : or =, alone, or after the name of a metric."""
    before, after = line[max(0, start - _FRONT) : start], line[end : end + _FRONT]
    if before.rstrip().endswith((":", "=", "->", "=>")):
        return True
    if re.match(r"[-./]\w", after):
        return False
    last = _SAID.search(before) or _BARE.search(before)
    if last and (last[1].lower() in _JOINTS or (last.re is _SAID and not _is_known(last[1]))):
        return False
    return not _NAMED_NEXT.match(after) or bool(last and _is_known(last[1]))


def _is_known(name: str) -> bool:
    return plain_name(name) in LOG or is_outcome(name)


def is_outcome(name: str) -> bool:
    """Whether words of a name are those of a result: a loss, a capability, ...

    >>> [is_outcome(name) for name in ("avg_loss", "Acc@1", "valid_0's auc", "learning rate", "checkpoint")]
    [True, True, True, False, False]
    """
    words = plain_name(name).split("_")
    parts = range(len(words))
    runs = ("_".join(words[i : j + 1]) for i in parts for j in parts[i : i + 4])
    return log_metric(name).kind in OUTCOMES or any(run in _MORE or log_metric(run).kind in OUTCOMES for run in runs)


def after_unit(piece: str) -> str:
    """What stands between two numbers, without the unit that is glued to the first."""
    return piece[UNIT.match(piece).end() :]  # type: ignore[union-attr]  # it matches nothing, at least


def name_before(between: str, *, first: bool) -> str | None:
    """The name of a number by the text between it and the number before (``first``: the line's beginning), or None.

    >>> name_before(" tok/s grad norm: ", first=False), name_before("loss ", first=True), name_before(" - ", first=True)
    ('grad norm', 'loss', None)
    """
    if len(between) > _FRONT:
        between, first = between[-_FRONT:], True
    found = _KEYED.search(between)
    if found:
        words = [word for word in found[1].split() if word not in _LEVELS]
        if not words or _PLACE.search(words[-1]):
            return None
        if not first and not between[: found.start()].strip():  # the first word is a unit of the number before
            while len(words) > 1 and (words[0] in APART or "/" in words[0]):
                words = words[1:]
        return " ".join(words)
    bare = _SAID.search(between) or _BARE.search(between)
    return bare[1] if bare and bare[1] not in _LEVELS and bare[1].lower() not in _JOINTS else None


def phase_of(text: str, *, whole: bool = False) -> str:
    """The phase of the last word such as "train" or "validation" in a text, "" without one.

    With ``whole`` a word does not count that ends the text, since it may go on.

    >>> phase_of("Validating epoch"), phase_of("latest device of the trainer"), phase_of("val", whole=True)
    ('val', '', '')
    """
    phases = [found[1] for found in _PHASE.finditer(text) if not whole or found.end() < len(text)]
    return PHASES[phases[-1].lower()] if phases else ""


def says_phase(name: str) -> bool:
    """Whether a name has a word for a phase in it.

    >>> [says_phase(name) for name in ("val_loss", "trainLoss", "valloss", "lm_loss_value", "device", "latest")]
    [True, True, True, False, False, False]
    """
    words = [word.lower() for word in _LETTERS.findall(name)]
    return any(word in PHASES or _glued(word) for word in words)


def says_best(name: str) -> bool:
    """Whether a name is that of the best of several values.

    >>> [says_best(name) for name in ("bestTest", "Best val Acc", "best_epoch", "test")]
    [True, True, True, False]
    """
    return any(word.lower() == "best" for word in _LETTERS.findall(name))


def _glued(word: str) -> bool:
    return any(word.startswith(phase) and word != phase and is_outcome(word[len(phase) :]) for phase in PHASES)


def in_phase(name: str, before: str) -> str:
    """The name behind the phase that the text before it says last, unless it says one itself."""
    phase = phase_of(before)
    return name if not phase or says_phase(name) else f"{phase}/{name}"
