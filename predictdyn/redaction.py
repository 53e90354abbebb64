"""What must not leave a machine: secrets, paths, addresses, hosts and users in text, each replaced by a word."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any, NamedTuple

from predictdyn.secrets import HIDDEN, hidden, is_secret, without

PATH, ADDRESS, HOST, USER, CUT = "[path]", "[address]", "[host]", "[user]", "[redacted]"
# Names of users and hosts that many machines share say nothing, and are words of sentences.
COMMON = {"root", "user", "admin", "runner", "ubuntu", "localhost", "nobody", "test", "work", "data", "model", "worker"}
SHORTEST = 3  # letters of a user's name that is looked for
# Addresses that pages link to on purpose; whoever reads them learns nothing of a machine.
OPEN_HOSTS = (
    "schema.org", "w3.org", "doi.org", "arxiv.org", "creativecommons.org", "spdx.org", "jsonfeed.org", "github.com",
    "huggingface.co", "example.org", "example.com",
)  # fmt: skip
_OPEN = "|".join(re.escape(host) for host in OPEN_HOSTS)
_END = r"""[^\s"'<>|`]"""
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_PART = r"""[^\s/\\"'<>|`:;,()\[\]{}*?]+"""
_AT = r"(?:\d+(?:\.\d+)?(?::\d+(?:\.\d+)?)?|[kKnN])(?![A-Za-z0-9\-]|\.\w|:[/~\w])"

# kind, what it looks like, what stands in its place; in this order.
PATTERNS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("secret", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*KEY-----|\Z)", re.S), HIDDEN),
    ("secret", re.compile(r"\bssh-(?:rsa|ed25519|dss)\s+AAAA[A-Za-z0-9+/=]{20,}(?:\s+\S+@\S+)?"), HIDDEN),
    # Words that their makers chose for tokens, also inside a longer name.
    (
        "secret",
        re.compile(
            r"(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_\-]{20,}|gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_\w{30,}"
            r"|glpat-[\w\-]{20,}|xox[abeprs]-[A-Za-z0-9\-]{10,}|A[KS]IA[0-9A-Z]{16}|AIza[\w\-]{35}"
            r"|eyJ[\w\-]{8,}\.eyJ[\w\-]{8,}\.[\w\-]+|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_\-]{20,}|dop_v1_[0-9a-f]{60,}"
            r"|SG\.[\w\-]{20,}\.[\w\-]{20,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|ya29\.[\w\-]{20,}|nvapi-[\w\-]{20,}"
            r"|gsk_[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{30,}|dckr_pat_[\w\-]{20,}|lin_api_\w{20,})"
        ),
        HIDDEN,
    ),
    ("address", re.compile(rf"\bhttps?://(?!(?:[\w.\-]+\.)?(?:{_OPEN})(?![\w.\-])){_END}+", re.I), ADDRESS),
    ("address", re.compile(rf"\b(?!https?:|data:)[a-z][a-z0-9+.\-]{{1,20}}://{_END}+", re.I), ADDRESS),
    # Metrics such as pass@1, recall@k and mAP@0.5:0.95 are no logins.
    ("user", re.compile(rf"(?<![\w.+\-])[\w.+\-]+@(?!{_AT})[\w\-]+(?:\.[\w\-]+)*(?::~?[\w./\-]+)?"), USER),
    # In quotes a path may hold blanks.
    *(("path", re.compile(rf"(?<={q})(?:[A-Za-z]:[\\/]|/|~/)[^{q}\n<>]*[\\/][^{q}\n<>]*(?={q})"), PATH) for q in "\"'"),
    # Blanks belong to a folder's name where another backslash follows.
    ("path", re.compile(rf"(?<![\w./\\])[A-Za-z]:\\+(?:[^\\/:\n\"'<>|*?]+\\+)+{_PART}"), PATH),
    ("path", re.compile(rf"(?<![\w./\\])[A-Za-z]:[\\/]+{_PART}(?:[\\/]+{_PART})*"), PATH),
    ("path", re.compile(r"(?<![\w%])%2F(?:[\w.~\-]+%2F)+[\w.~\-]+", re.I), PATH),
    ("path", re.compile(rf"(?<![\w\\])\\\\{_PART}(?:\\+{_PART})+"), PATH),
    ("path", re.compile(rf"(?<![\w.…/\])*\-])~[\w\-]*(?:/{_PART})+"), PATH),
    ("path", re.compile(rf"(?<![\w.…/\\~\])*<])/{_PART}(?:/{_PART})+/?"), PATH),
    ("path", re.compile(rf"(?<![\w./])(?:\.\./)+(?:{_PART}/)*{_PART}"), PATH),
    ("path", re.compile(rf"…/{_PART}(?:/{_PART})*"), PATH),
    (
        "host",
        re.compile(
            r"(?<![\w.\-])(?:[A-Za-z0-9](?:[\w\-]*[A-Za-z0-9])?\.)+"
            r"(?:internal|local|lan|corp|intra|intranet|private|cluster|home|localdomain|svc|arpa)(?![\w\-])(?::\d+)?",
            re.I,
        ),
        HOST,
    ),
    ("host", re.compile(rf"(?<![\w.])(?:{_BYTE}\.){{3}}{_BYTE}(?![\w.])(?::\d+)?"), HOST),
    ("host", re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:])", re.I), HOST),
    ("host", re.compile(r"(?<![\w:])(?=[a-f:]*\d)(?:[0-9a-f]{1,4}:){1,6}:[0-9a-f:]{1,30}", re.I), HOST),
    ("host", re.compile(r"\blocalhost:\d+"), HOST),
)  # fmt: skip
# A value that is a path and nothing else may hold blanks.
WHOLE = re.compile(r"(?:[A-Za-z]:[\\/]|/|~/|\\\\)[^\n:]*[\\/][^\n:]*$")
# Settings that name a user, a machine or an organisation, whatever their value looks like.
NAMED = re.compile(
    r"(?:^|[_.\-/])(?:user(?:name)?|login|owner|host(?:name)?|node(?:name|list)?|entity|organi[sz]ation|org|email|e_mail|"
    r"machine|account|home|cwd|workdir|master_addr)$",
    re.I,
)


class Finding(NamedTuple):
    """Something that was replaced: what kind of thing, where, and the text around it as others will see it."""

    kind: str
    where: str
    shown: str


@dataclass(frozen=True)
class Redaction:
    """Rules by which text is made fit for others: those of this module, patterns of one's own, and names.

    ``patterns`` are regular expressions whose matches are cut; ``aliases`` are names and what stands in their place,
    the longest first. ``own`` are the user's and the machine's names, by default those of this process. Raises
    ValueError for a pattern that is no regular expression, or that matches nothing at all (the empty text).
    """

    patterns: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    own: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            try:
                empty = re.compile(pattern).search("")
            except re.error as error:
                raise ValueError(f"redact= takes regular expressions, got {pattern!r}: {error}") from None
            if empty:
                raise ValueError(f"redact= takes regular expressions that match some text, got {pattern!r}")

    @cached_property
    def _rules(self) -> tuple[tuple[str, re.Pattern[str] | None, str], ...]:
        # Names first: whole, before another rule cuts something out of them.
        longest = sorted(((name, alias) for name, alias in self.aliases if name), key=lambda pair: -len(pair[0]))
        rules: list[tuple[str, re.Pattern[str] | None, str]] = [
            ("alias", re.compile(rf"(?<!\w){re.escape(name)}(?!\w)"), alias) for name, alias in longest
        ]
        rules.append(("secret", None, ""))
        rules += [("pattern", re.compile(pattern), CUT) for pattern in self.patterns]
        rules += PATTERNS
        names = own_names() if self.own is None else self.own
        return (
            *rules,
            *(("user", re.compile(rf"(?<![A-Za-z0-9]){re.escape(one)}(?![A-Za-z0-9])", re.I), USER) for one in names),
        )

    def text(self, text: str, where: str = "", found: list[Finding] | None = None) -> str:
        """The text as others may see it; what was replaced is added to ``found``."""
        new, kinds = text, []
        for kind, pattern, instead in self._rules:
            if pattern is None:
                after = hidden(new)
                kinds += [kind] if after != new else []
            else:
                after, hits = pattern.subn(instead.replace("\\", r"\\"), new)
                kinds += [kind] * hits
            new = after
        if found is not None and kinds:
            # It is shown as it will be: what it was must not stand on a screen that others see.
            found += [Finding(kind, where, _around(new)) for kind in kinds]
        return new

    def data(self, data: Any, where: str = "", found: list[Finding] | None = None) -> Any:
        """The same for data as JSON has them: keys, values, and settings whose names say that they are secrets."""
        if isinstance(data, Mapping):
            new: dict[str, Any] = {}
            for name, value in data.items():
                place = f"{where}.{name}" if where else str(name)
                if isinstance(value, str) and (is_secret(str(name), value) or NAMED.search(str(name))) and value:
                    new[self.text(str(name))] = HIDDEN
                    if value != HIDDEN and found is not None:
                        found.append(Finding("secret", where, f"{name}: {HIDDEN}"))
                elif isinstance(value, int | float) and is_secret(str(name), value):
                    new[self.text(str(name))] = HIDDEN
                    if found is not None:
                        found.append(Finding("secret", where, f"{name}: {HIDDEN}"))
                elif _secret_list(str(name), value):
                    new[self.text(str(name))] = [HIDDEN] * len(value)
                    if found is not None:
                        found.append(Finding("secret", where, f"{name}: {HIDDEN}"))
                else:
                    new[_free(self.text(str(name), where, found), new)] = self.data(value, place, found)
            return new
        if isinstance(data, list | tuple):
            kept = without(data) if all(isinstance(one, str) for one in data) else data
            return [self.data(one, where, found) for one in kept]
        if isinstance(data, str) and WHOLE.match(data):
            if found is not None:
                found.append(Finding("path", where, PATH))
            return PATH
        return self.text(data, where, found) if isinstance(data, str) else data


def _secret_list(name: str, value: Any) -> bool:
    """Whether a setting is a list of secrets, such as ``api_keys``."""
    return isinstance(value, list | tuple) and any(isinstance(one, str) and is_secret(name, one) for one in value)


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """The name, with a number where another became the same: two paths are one word, and each has its own value."""
    numbered = (f"{name} {number}" for number in count(2))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def own_names() -> tuple[str, ...]:
    """The names of this user and this machine, without those that say nothing."""
    names = []
    with suppress(KeyError, OSError):
        names.append(getpass.getuser())
    host = socket.gethostname()
    names += [host, host.partition(".")[0], os.path.basename(os.path.expanduser("~"))]
    return tuple(dict.fromkeys(name for name in names if len(name) >= SHORTEST and name.lower() not in COMMON))


def summary(found: Sequence[Finding], most: int = 12) -> list[str]:
    """What was replaced, as lines: each kind with its count, and where, as others will see it.

    >>> summary([Finding("path", "index.html", "read [path]"), Finding("path", "index.html", "read [path]")])
    ['2 paths: index.html: read [path]']
    """
    lines = []
    for kind in dict.fromkeys(one.kind for one in found):
        own = [one for one in found if one.kind == kind]
        shown = list(dict.fromkeys(f"{one.where}: {one.shown}" if one.where else one.shown for one in own))
        more = f" and {len(shown) - most} more places" if len(shown) > most else ""
        lines.append(f"{len(own)} {_plural(kind, len(own))}: {'; '.join(shown[:most])}{more}")
    return lines


def _plural(kind: str, n: int) -> str:
    return kind if n == 1 else {"address": "addresses", "alias": "aliases"}.get(kind, f"{kind}s")


def _around(text: str, most: int = 70) -> str:
    marks = [place for mark in (HIDDEN, PATH, ADDRESS, HOST, USER, CUT) if (place := text.find(mark)) >= 0]
    first = max(0, min(marks, default=0) - most // 3)
    piece = " ".join(text[first : first + most].split())
    return f"{'…' if first else ''}{piece}{'…' if first + most < len(text) else ''}"
