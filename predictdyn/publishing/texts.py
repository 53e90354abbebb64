"""Redaction of files: each kind of text is taken apart as its readers do, so that nothing hides in an escape."""

from __future__ import annotations

import csv
import io
import json
import re
from html import escape, unescape
from urllib.parse import quote, unquote

from predictdyn.redaction import Finding, Redaction
from predictdyn.report.render import markdown

# What may leave, by its ending; all else (parquet, draws, code) stays at home.
MARKUP, TABLES, DATA, WORDS = (".html", ".svg", ".xml", ".atom"), (".csv",), (".json",), (".md", ".txt", ".css", ".cff")
TEXTS = (*MARKUP, *TABLES, *DATA, *WORDS)
PLAIN = ("CNAME", ".nojekyll", "robots.txt")
_PART = re.compile(
    r"(?P<style><style\b.*?</style>)|(?P<data><script type=\"application/ld\+json\">(?P<json>.*?)</script>)"
    r"|(?P<tag><[^>]*>)|(?P<words>[^<]+)",
    re.S | re.I,
)
_ATTRIBUTE = re.compile(r"""(?P<name>[\w:\-]+)=(?P<quote>["'])(?P<value>.*?)(?P=quote)""", re.S)
_BAR = re.compile(r"(?<!\\)\|")
_ESCAPED = re.compile(r"\\([\\`*_\[\]|#!~$])")
_UP = re.compile(r"(?:\.\./)*")
_TABLE_LINK = "data:text/csv;charset=utf-8,"
# Drawings hold numbers and addresses of namespaces there, and no words.
_DRAWN = {"d", "viewbox", "transform", "style", "points", "xmlns", "xmlns:xlink", "class", "id"}


def redacted(name: str, text: str, redaction: Redaction, found: list[Finding]) -> str:
    """The text of a file as others may see it."""
    ending = name[name.rfind(".") :].lower() if "." in name else ""
    if ending in MARKUP:
        return _markup(name, text, redaction, found)
    if ending in DATA:
        return _json(name, text, redaction, found)
    if ending in TABLES:
        return _csv(name, text, redaction, found)
    of = _markdown if ending == ".md" else _line
    return "\n".join(of(name, line, redaction, found) for line in text.split("\n"))


def _line(name: str, line: str, redaction: Redaction, found: list[Finding]) -> str:
    return redaction.text(line, name, found)


def _markdown(name: str, line: str, redaction: Redaction, found: list[Finding]) -> str:
    """A line of Markdown, cell by cell of a table: as it is read, and with its escapes again where it was changed."""
    cells = _BAR.split(line)
    for place, cell in enumerate(cells):
        plain = unescape(_ESCAPED.sub(r"\1", cell))
        new = redaction.text(plain, name, found)
        cells[place] = cell if new == plain else markdown(new)
    return "|".join(cells)


def _markup(name: str, text: str, redaction: Redaction, found: list[Finding]) -> str:
    def part(match: re.Match[str]) -> str:
        if match["style"]:
            return match[0]
        if match["data"]:
            said = redaction.data(json.loads(match["json"]), name, found)
            inner = json.dumps(said, ensure_ascii=False).replace("<", "\\u003c")
            return f'<script type="application/ld+json">{inner}</script>'
        if match["tag"]:
            return _ATTRIBUTE.sub(attribute, match[0])
        return _escaped(match[0], name, redaction, found)

    def attribute(match: re.Match[str]) -> str:
        value, mark = match["value"], match["quote"]
        if match["name"].lower() in _DRAWN:
            return match[0]
        if value.startswith(_TABLE_LINK):
            table = unquote(value.removeprefix(_TABLE_LINK), errors="surrogateescape")
            new = _csv(name, table, redaction, found)
            return match[0] if new == table else f"{match['name']}={mark}{_TABLE_LINK}{quote(new, safe=',-._~')}{mark}"
        # A link to a page of the same site begins with the way up to it, which says nothing of a machine.
        up = _way_up(value) if match["name"].lower() in ("href", "src") else ""
        return f"{match['name']}={mark}{up}{_escaped(value[len(up) :], name, redaction, found, quotes=True)}{mark}"

    return _PART.sub(part, text)


def _way_up(link: str) -> str:
    """The ``../`` that a link begins with."""
    found = _UP.match(link)
    return found[0] if found else ""


def _escaped(text: str, name: str, redaction: Redaction, found: list[Finding], *, quotes: bool = False) -> str:
    plain = unescape(text)
    new = redaction.text(plain, name, found)
    return text if new == plain else escape(new, quote=quotes)


def _json(name: str, text: str, redaction: Redaction, found: list[Finding]) -> str:
    try:
        data = json.loads(text)
    except ValueError:
        return redaction.text(text, name, found)
    new = redaction.data(data, name, found)
    return text if new == data else json.dumps(new, indent=1, ensure_ascii=False) + "\n"


def _csv(name: str, text: str, redaction: Redaction, found: list[Finding]) -> str:
    """Cell by cell; a column whose name says that it holds secrets is hidden whole."""
    rows = list(csv.reader(io.StringIO(text)))
    if not rows:
        return text
    head = rows[0]
    new = [[redaction.text(cell, name, found) for cell in head]]
    for row in rows[1:]:
        cells = [redaction.data({key: cell}, name, found) for key, cell in zip(head, row, strict=False)]
        new.append(
            [str(next(iter(cell.values()))) for cell in cells]
            + [redaction.text(cell, name, found) for cell in row[len(head) :]]
        )
    if new == rows:
        return text
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(new)
    return out.getvalue()
