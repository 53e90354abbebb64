"""What a run costs, from its plan: 6 x parameters x tokens, a column, or a product that the user names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from predictdyn.naming import meant, some

_SIZE = re.compile(r"(.+_)?(params?|parameters?|nparams|model_size|n)(_.+)?|size")
_TOKENS = re.compile(r"(.+_)?(tokens?|ntokens)(_.+)?|d|data_size")
_COUNTER = re.compile(r"(.+_)?(tokens|samples|examples|sequences)(_seen|_consumed|_processed)?")
_FLOPS = re.compile(r"(.+_)?(flops?|compute)(_.+)?|c|cost")
FLOPS_A_TOKEN = 6.0  # a parameter, forward and backward (Kaplan et al. 2020, arXiv:2001.08361)


@dataclass(frozen=True)
class Cost:
    """The cost of each run of a table (n,): ``words`` say how, ``columns`` which it is made of."""

    words: str
    columns: tuple[str, ...]
    of: Callable[[pd.DataFrame], np.ndarray]
    unit: str = ""

    def sequence(self, table: pd.DataFrame) -> list[float]:
        """The same as plain numbers."""
        return [float(one) for one in self(table)]

    def __call__(self, table: pd.DataFrame) -> np.ndarray:
        # The cost of an absurd plan may be beyond any number: it is infinite then.
        with np.errstate(all="ignore"):
            return np.asarray(self.of(table), dtype=float)


def cost_guessed(columns: Sequence[str]) -> Cost | None:
    """A column of FLOPs, or 6 x parameters x tokens, by the names of columns; None where no names say so.

    >>> cost_guessed(["params", "tokens"]).words, cost_guessed(["N", "Training FLOP"]).words, cost_guessed(["width"])
    ('6 x params x tokens', 'Training FLOP', None)
    """
    flops = [name for name in columns if _FLOPS.fullmatch(plain(name))]
    if flops:
        return _product(flops[0], {flops[0]: 1.0}, 1.0, "FLOP")
    size, tokens = size_columns(columns), [name for name in columns if _TOKENS.fullmatch(plain(name))]
    if size and tokens:
        words = f"{FLOPS_A_TOKEN:g} x {size[0]} x {tokens[0]}"
        return _product(words, {size[0]: 1.0, tokens[0]: 1.0}, FLOPS_A_TOKEN, "FLOP")
    return None


def size_columns(columns: Sequence[str]) -> list[str]:
    """Columns that count parameters, by their names; those that are active for a token first."""
    found = [name for name in columns if _SIZE.fullmatch(plain(name))]
    return sorted(found, key=lambda name: "active" not in plain(name))


def is_size_or_data(name: str) -> bool:
    """Whether a column is called as one that counts parameters or tokens."""
    return bool(_SIZE.fullmatch(plain(name)) or _TOKENS.fullmatch(plain(name)))


def counts_data(name: str) -> bool:
    """Whether a logged metric is called as a counter of the data that a run has seen.

    >>> [counts_data(name) for name in ("tokens", "train/tokens_seen", "consumed_samples", "tokens_per_s", "epoch")]
    [True, True, True, False, False]
    """
    return bool(_COUNTER.fullmatch(plain(name)))


def cost_named(cost: str | Callable[[pd.DataFrame], np.ndarray], columns: Sequence[str]) -> Cost:
    """The cost that a user names: a column, a product such as ``6*params*tokens``, or a function of a table.

    Raises ValueError for a word that is neither a number nor a column.

    >>> table = pd.DataFrame({"params": [1e6], "tokens": [2e7]})
    >>> cost_named("6*params*tokens^1", list(table))(table).tolist()
    [120000000000000.0]
    """
    if callable(cost):
        return Cost(getattr(cost, "__name__", "a function"), tuple(columns), cost)
    if cost in columns:
        return _product(cost, {cost: 1.0}, 1.0, "FLOP" if _FLOPS.fullmatch(plain(cost)) else "")
    scale, powers = 1.0, dict[str, float]()
    for factor in cost.split("*"):
        word, _, power = (part.strip() for part in factor.partition("^"))
        try:
            exponent = float(power) if power else 1.0
            if word in columns:
                powers[word] = powers.get(word, 0.0) + exponent
            else:
                scale *= float(word) ** exponent
        except ValueError:
            raise ValueError(
                f"cost={cost!r}: {word!r} is no column and no number; {meant(word, columns)}there are "
                f"{some(list(columns), 12)}; write a column, or a product such as 6*params*tokens"
            ) from None
    if not powers:
        raise ValueError(f"cost={cost!r} names no column; there are {some(list(columns), 12)}")
    return _product(cost, powers, scale, "")


def cost_fault(cost: Cost, table: pd.DataFrame) -> str:
    """What is wrong with the costs of finished runs (n rows): not a positive number each; blank where nothing is.

    >>> cost_fault(cost_named("params", ["params"]), pd.DataFrame({"params": [1e6, 0.0]}))
    'not positive in 1 of 2 rows, first row 2'
    """
    try:
        price = cost(table)
    except Exception as error:  # whatever a function of the user raises
        return f"not computable ({type(error).__name__}: {' '.join(str(error).split())[:100]})"
    if price.shape != (len(table),):
        return f"no array with a number for each of {len(table)} rows, but of shape {price.shape}"
    for good, what in ((np.isfinite(price), "not finite"), (price > 0, "not positive")):
        if not good.all():
            return f"{what} in {int((~good).sum())} of {len(table)} rows, first row {int(np.argmin(good)) + 1}"
    return ""


def _product(words: str, powers: dict[str, float], scale: float, unit: str) -> Cost:
    def of(table: pd.DataFrame) -> np.ndarray:
        total = np.full(len(table), scale)
        for name, power in powers.items():
            total = total * pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float) ** power
        return total

    return Cost(words, tuple(powers), of, unit)


def plain(name: str) -> str:
    """A name in lower case, words joined by one underscore."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
