"""A law as people write it: L = E + A / N^a + B / D^b, with the user's columns, in the units of the inputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from predictdyn.laws.design import FACTOR_TERM, Design
from predictdyn.laws.inputs import NONE_OF_IT, Inputs
from predictdyn.laws.link import Link
from predictdyn.laws.structures import FLOOR, Monomial, Structure

CAPITALS = "ABCDFGHJKMPQRSTUVWXYZ"  # E is the floor


class Number(NamedTuple):
    """A number of a law: its symbol, what it is in words, and draws of it (s,); one draw where it is given."""

    symbol: str
    meaning: str
    draws: np.ndarray

    @property
    def median(self) -> float:
        """The middle of the draws."""
        return float(np.median(self.draws))


class Piece(NamedTuple):
    """A term: a level times powers of inputs times exp of a sum; ``powers`` and ``sum`` pair words with numbers."""

    role: str
    level: Number | None
    powers: list[tuple[str, Number]]
    sum: list[tuple[str, Number]]


class Formula(NamedTuple):
    """A structure with its numbers: terms that are added, a factor of all, lines that say what letters stand for."""

    left: str
    pieces: list[Piece]
    factor: Piece | None
    where: list[str]
    given: list[Number]
    tied: bool = False  # its exponents are alike by assumption

    @property
    def numbers(self) -> list[Number]:
        """All numbers in the order of the formula."""
        pieces = [*self.pieces, *([self.factor] if self.factor else [])]
        return [
            one
            for piece in pieces
            for one in (*([piece.level] if piece.level else []), *(n for _, n in (*piece.powers, *piece.sum)))
        ] + self.given

    @property
    def symbols(self) -> str:
        """With symbols in place of numbers."""
        return self._written(lambda one: one.symbol, negative=False)

    @property
    def filled(self) -> str:
        """With the medians of its numbers."""
        return self._written(lambda one: figure(abs(one.median)), negative=True)

    def _written(self, word: Callable[[Number], str], *, negative: bool) -> str:
        body = " + ".join(_piece(piece, word, negative) for piece in self.pieces)
        if self.factor:
            factor = _piece(self.factor, word, negative)
            body = f"({body}) · {factor}" if len(self.pieces) > 1 else f"{body} · {factor}"
        where = f", where {', '.join(self.where)}" if self.where else ""
        return f"{self.left} = {body}{where}"


class _Symbols:
    """Symbols of a formula, each with one meaning: none is called like a column, or like another symbol.

    ``letters`` stand for logarithms of inputs: the first letter of each, where all of these are free, else x1, x2, ...
    """

    def __init__(self, columns: set[str], inputs: list[str], terms: int) -> None:
        # A number of a term A is called a, a1 or a_n.
        taken = {re.sub(r"_.*|\d+$", "", name) for name in columns} | columns | {name.lower() for name in columns}

        def free(some: Iterable[str]) -> Iterator[str]:
            return (one for one in some if not {one, one.lower()} & taken)

        self.floor = next(free(["E", *(f"E{i}" for i in range(len(columns) + 1))]))
        self.capitals = list(islice(free(CAPITALS), terms))
        taken |= {one.lower() for one in (self.floor, "E", *self.capitals)}
        self.factor = next(free("hgkqvw"))
        taken |= {self.factor}
        self.strength = next(free("RSTUVWXYZ"))
        taken |= {self.strength.lower()}
        first = [next((letter for letter in name.lower() if letter.isalpha()), "x") for name in inputs]
        own = len(set(first)) == len(first) and not {*first} & taken
        stem = next(free("xyzuvw"))
        self.letters = first if own else [f"{stem}{i + 1}" for i in range(len(inputs))]


def formula_of(design: Design, raw: np.ndarray, inputs: Inputs, link: Link, target: str, *, group: int = -1) -> Formula:
    """The formula of a structure with draws (s, k) of its numbers, for one of the groups (-1: of all).

    A term of powers alone is written for the inputs as they are; one with products of logarithms, and a factor, for
    inputs divided by their geometric means, since far from the runs its numbers would mean nothing.
    """
    structure = design.structure
    names = [_offset(name, offset) for name, (offset, _) in inputs.logs.items()]
    centres = np.array([centre for _, centre in inputs.logs.values()])
    words = _Symbols({target, *inputs.names}, list(inputs.logs), len(structure.terms))
    shown, where, given = _saturated(structure, design, names, centres, words.strength)
    letters, used = words.letters, set[int]()
    capitals = iter(words.capitals)
    pieces = []
    for place, term in enumerate(structure.terms):
        values = _values(design, raw, place, group)
        capital = words.floor if term.role == FLOOR else next(capitals)
        pieces.append(_term(capital, term.role, values, shown, centres, letters, inputs.proportions, used))
    factor = None
    if structure.factor:
        values = _values(design, raw, FACTOR_TERM, group)
        factor = Piece("factor", None, [], _sum(words.factor, values, letters, inputs.proportions, used))
    if structure.tied:
        where.append(" ≈ ".join(power.symbol for piece in pieces for _, power in piece.powers))
    where += [f"{letters[i]} = ln({shown[i]} / {figure(float(np.exp(centres[i])))})" for i in sorted(used)]
    return Formula(left_of(link, target), pieces, factor, where, given, structure.tied)


def left_of(link: Link, target: str) -> str:
    """What the law is a sum of: the target itself, or its distance from a bound, or odds between two bounds."""
    low = link.sign * link.lower
    if np.isinf(link.upper):
        if link.lower == 0 and link.sign > 0:
            return target
        return _less(target, low) if link.sign > 0 else f"{figure(low)} − {target}"
    high = link.sign * link.upper
    near, far = _less(target, low), f"({figure(high)} − {target})"
    if link.sign < 0:
        near, far = f"({figure(low)} − {target})", _less(target, high)
    return " / ".join(f"({one})" if " " in one and one[0] != "(" else one for one in (near, far))


def _less(target: str, number: float) -> str:
    if number == 0:
        return target
    return f"{target} − {figure(number)}" if number > 0 else f"{target} + {figure(-number)}"


def words_of(structure: Structure, inputs: Inputs) -> str:
    """The name of a structure with the user's columns in place of their numbers.

    >>> some = Inputs({"params": (0, 0), "tokens": (0, 0)}, (), (), (), {})
    >>> words_of(Structure("floor + power of 1 + moved exponents", ()), some)
    'floor + power of tokens + moved exponents'
    """
    names = list(inputs.logs)

    def name(found: re.Match[str]) -> str:
        place = int(found[2])
        return f"{found[1]}{names[place]}" if place < len(names) else found[0]

    words = re.sub(r"(power of |bowl in |bowl in \S+ and |repeats )(\d+)\b", name, structure.name)
    words = re.sub(r"(, )(\d+)(?= (?:saturates|repeats))", name, words)
    words = re.sub(r"(saturates at [\d.]+)$", r"\1 times its largest value", words)
    return re.sub(r"(bowl in .+ and )(\d+)\b", name, words)


def figure(number: float) -> str:
    """Three digits of a number, without a long exponent.

    >>> figure(406.4), figure(0.0001), figure(12345678.0), figure(1.693)
    ('406', '0.0001', '1.23e7', '1.69')
    """
    text = f"{number:.3g}"
    if "e" in text:
        digits, _, power = text.partition("e")
        return f"{digits}e{int(power)}".replace("-", "−")
    return text.replace("-", "−")


def _values(design: Design, raw: np.ndarray, term: int, group: int) -> dict[Monomial, np.ndarray]:
    """Draws (s,) of the number of each feature of a term: that of all groups, and what one adds."""
    found: dict[Monomial, np.ndarray] = {}
    for place, (feature, of) in enumerate(design.columns):
        if design.term[place] == term and of in (-1, group):
            found[feature] = found.get(feature, 0.0) + raw[:, place]
    return found


def _term(
    capital: str, role: str, values: dict[Monomial, np.ndarray], names: list[str], centres: np.ndarray,
    letters: list[str], proportions: tuple[str, ...], used: set[int],
) -> Piece:  # fmt: skip
    level = values.pop(Monomial("one"))
    logs = {feature.of[0]: number for feature, number in values.items() if feature.what == "log"}
    what = "irreducible part" if role == FLOOR else "level"
    if len(logs) == len(values):
        powers = []
        for i, number in logs.items():
            level = level - number * centres[i]
            symbol = capital.lower() + (f"_{letters[i]}" if len(logs) > 1 else "")
            powers.append((names[i], Number(symbol, f"exponent of {names[i]}", -number)))
        if logs:
            what = f"coefficient of {' and '.join(names[i] for i in logs)}"
        return Piece(role, Number(capital, what, np.exp(np.minimum(level, 700.0))), powers, [])
    if any(feature.what in ("log", "product") for feature in values):
        what = "level at the geometric means of the inputs"
    return Piece(
        role, Number(capital, what, np.exp(np.minimum(level, 700.0))), [],
        _sum(capital.lower(), values, letters, proportions, used),
    )  # fmt: skip


def _sum(
    small: str, values: dict[Monomial, np.ndarray], letters: list[str], proportions: tuple[str, ...], used: set[int]
) -> list[tuple[str, Number]]:
    found: list[tuple[str, Number]] = []
    for feature, number in values.items():
        if feature.what in ("log", "product"):
            used |= set(feature.of)
            own = [letters[i] for i in feature.of]
            square = len(own) == 2 and own[0] == own[1]
            shown = f"{own[0]}²" if square else " ".join(own)
            meaning = "slope in" if len(own) == 1 else "curvature in" if square else "interaction of"
        else:
            own = [proportions[i] for i in feature.of]
            square = len(own) == 2 and own[0] == own[1]
            shown = {
                "share": own[0], "root": f"√{own[0]}", "log_share": f"ln({own[0]} + {NONE_OF_IT:g})",
                "shares": f"{own[0]}²" if square else " ".join(own),
            }[feature.what]  # fmt: skip
            meaning = "weight of"
        symbol = f"{small}{len(found) + 1}"
        found.append((shown, Number(symbol, f"{meaning} {shown}", number)))
    return found


def _piece(piece: Piece, word: Callable[[Number], str], negative: bool) -> str:
    """A term in words: powers that fall stand below a line, as people write them."""
    below = [(name, one) for name, one in piece.powers if not negative or one.median >= 0]
    above = [(name, one) for name, one in piece.powers if (name, one) not in below]
    text = word(piece.level) if piece.level else ""
    for name, one in above:
        text += f" · {_named(name)}^{word(one)}"
    if below:
        inside = " · ".join(f"{_named(name)}^{word(one)}" for name, one in below)
        text += f" / ({inside})" if len(below) > 1 else f" / {inside}"
    if piece.sum:
        total = ""
        for name, one in piece.sum:
            sign = "−" if negative and one.median < 0 else "+"
            total += f" {sign} {word(one)} {name}" if total else f"{'−' if sign == '−' else ''}{word(one)} {name}"
        text += f"{' · ' if text else ''}exp({total})"
    return text


def _named(name: str) -> str:
    return name if re.fullmatch(r"[^\W\d]\w*|\(.*\)|\w+\(.*\)", name) else f"[{name}]"


def _offset(name: str, offset: float) -> str:
    return name if offset == 0 else f"({name} + {figure(offset)})"


def _saturated(
    structure: Structure, design: Design, names: list[str], centres: np.ndarray, strength: str
) -> tuple[list[str], list[str], list[Number]]:
    """Names of inputs with the one that saturates as what it counts for, what that is, and its strength."""
    how, shown = structure.saturation, list(names)
    if how is None:
        return shown, [], []
    i = how.of[0]
    shown[i] = f"effective{names[i]}" if names[i].startswith("(") else f"effective({names[i]})"
    if how.kind == "limit":
        most = how.strength * float(np.exp(design.scene.largest[i] + centres[i]))
        given = Number(strength, f"most that {names[i]} can count for", np.array([most]))
        said = f"{shown[i]} = 1 / (1 / {names[i]} + 1 / {strength})"
        return shown, [f"{strength} = {figure(most)}", said], [given]
    unique = names[how.of[1]]
    given = Number(strength, f"repeats of {unique} after which {names[i]} counts for little", np.array([how.strength]))
    repeats = f"({names[i]} / {unique} − 1) / {strength}"
    said = f"{shown[i]} = {unique} · (1 + {strength} (1 − exp(−{repeats})))"
    return shown, [f"{strength} = {how.strength:g}", said], [given]
