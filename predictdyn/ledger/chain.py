"""Entries of a ledger: canonical JSON, each with the hash of the one before, so that no edit passes unseen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

FORMAT = 1
BEGIN = "0" * 64  # what the first entry names as the one before
SHORT = 12  # letters of a hash that are quoted: 48 bits, more than a chance meets
TIME = "%Y-%m-%dT%H:%M:%SZ"


class ChainEntry(NamedTuple):
    """One entry as it is stored: its number from 1 on, the sha256 of its text, and the text."""

    number: int
    hash: str
    text: str

    @property
    def content(self) -> dict[str, Any]:
        """The text as data."""
        found: dict[str, Any] = json.loads(self.text)
        return found


def canonical(content: dict[str, Any]) -> str:
    """The one text of some data: keys in order, no blanks, ASCII; NaN and infinity are refused.

    >>> canonical({"b": 1.5, "a": ["é", None]})
    '{"a":["\\\\u00e9",null],"b":1.5}'
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """The sha256 of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def following(content: dict[str, Any], last: ChainEntry | None, now: datetime) -> ChainEntry:
    """The next entry after ``last``, with its number, its time and the hash of the one before.

    Times never go back: where the clock has, the time of the last entry stands, and ``clock`` says what the clock said.
    """
    stamp = now.astimezone(UTC).strftime(TIME)
    before = "" if last is None else str(last.content["time"])
    told = {"clock": stamp} if stamp < before else {}
    number = 1 if last is None else last.number + 1
    text = canonical(
        {
            **content, **told, "format": FORMAT, "number": number, "time": max(stamp, before),
            "previous": BEGIN if last is None else last.hash,
        }
    )  # fmt: skip
    return ChainEntry(number, digest(text), text)


def faults(entries: Iterable[ChainEntry], head: str | None = None) -> list[str]:
    """What is wrong with a chain, as lines; none where every entry is as it was written, in the order of writing.

    ``head`` is the hash of some entry, or the first letters of it, as it was quoted once: without it nobody can see
    that the newest entries are gone, or that all was written anew.
    """
    found: list[str] = []
    before, time, expected, met = BEGIN, "", 1, False
    for number, stored, text in entries:
        where = f"entry {number}"
        if number != expected:
            found.append(f"{where} stands where entry {expected} was expected: entries are missing or reordered")
        actual = digest(text)
        if actual != stored:
            found.append(f"{where} was edited: its text does not have the hash that is stored with it")
        content = _read(text)
        if content is None or canonical(content) != text:
            found.append(f"{where} is not canonical JSON")
        content = content or {}
        if content.get("previous") != before:
            found.append(f"{where} does not follow the entry before it: something was edited, removed or reordered")
        if content.get("number") != number:
            found.append(f"{where} says that it is entry {content.get('number')!r}")
        if str(content.get("time", "")) < time:
            found.append(f"{where} is older than the entry before it")
        met = met or (head is not None and actual.startswith(head.lower()))
        before, time, expected = actual, str(content.get("time", "")), number + 1
    if head is not None and not met:
        found.append(f"no entry has the hash {head}: entries are missing from the end, or all was written anew")
    return found


def _read(text: str) -> dict[str, Any] | None:
    """The text of an entry as data; None where it is none."""
    try:
        content = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


def checked_head(head: str) -> str:
    """A hash that somebody quoted, or its first letters.

    >>> checked_head("9F2C")
    Traceback (most recent call last):
    ValueError: a head is at least 8 of the 64 hexadecimal digits of a hash, got '9F2C'
    """
    word = head.strip().lower()
    if not (8 <= len(word) <= 64 and set(word) <= set("0123456789abcdef")):
        raise ValueError(f"a head is at least 8 of the 64 hexadecimal digits of a hash, got {head!r}")
    return word
