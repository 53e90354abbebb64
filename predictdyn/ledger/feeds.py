"""Feeds and a badge: what is new in a ledger as Atom and as JSON Feed, and its record as a small picture."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

NEWEST = 50  # things that a feed tells


class FeedItem(NamedTuple):
    """One thing that happened: the entry that says so, its page, when, and in words."""

    entry: int
    page: str
    time: str
    title: str
    words: str


def identity(ledger: str, entry: int | str) -> str:
    """The name of an entry that no other thing in the world has.

    >>> identity("ab", 1) == identity("ab", 1), identity("ab", 1) == identity("ab", 2), identity("ab", 1)[:9]
    (True, False, 'urn:uuid:')
    """
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'predictdyn:{ledger}:{entry}')}"


def atom(title: str, ledger: str, news: Sequence[FeedItem], *, address: str, updated: str, author: str) -> str:
    """An Atom feed (RFC 4287) of the newest things, the newest first; ``address`` is "" where none is known."""
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<feed xmlns="http://www.w3.org/2005/Atom"{f" xml:base={quoteattr(address)}" if address else ""}>',
        f"<title>{escape(title)}</title>",
        f"<id>{identity(ledger, 'feed')}</id>",
        f"<updated>{updated}</updated>",
        f"<author><name>{escape(author)}</name></author>",
        '<link rel="self" type="application/atom+xml" href="feed.atom"/>',
        '<link rel="alternate" type="text/html" href="index.html"/>',
        "<generator>predictdyn</generator>",
    ]
    for one in news[:NEWEST]:
        lines += [
            "<entry>",
            f"<title>{escape(one.title)}</title>",
            f"<id>{identity(ledger, one.entry)}</id>",
            f"<updated>{one.time}</updated>",
            f'<link rel="alternate" type="text/html" href={quoteattr(one.page)}/>',
            f'<summary type="text">{escape(one.words)}</summary>',
            "</entry>",
        ]
    return "\n".join([*lines, "</feed>", ""])


def json_feed(title: str, ledger: str, news: Sequence[FeedItem], *, address: str, author: str) -> str:
    """The same as JSON Feed 1.1."""
    feed: dict[str, Any] = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": title,
        "authors": [{"name": author}],
        "items": [
            {
                "id": identity(ledger, one.entry), "url": f"{address}{one.page}", "title": one.title,
                "content_text": one.words, "date_published": one.time,
            }
            for one in news[:NEWEST]
        ],
    }  # fmt: skip
    if address:
        feed |= {"home_page_url": address, "feed_url": f"{address}feed.json"}
    return json.dumps(feed, indent=1, ensure_ascii=False) + "\n"


def badge(label: str, value: str, *, good: bool | None) -> str:
    """A badge (SVG) of two words, green, orange or, where it is too early to say, grey."""
    colour = {True: "#00785a", False: "#bf4d00", None: "#5a646e"}[good]
    left, right = (14 + 6.6 * len(word) for word in (label, value))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right:.0f}" height="20" role="img" '
        f"aria-label={quoteattr(f'{label}: {value}')}><title>{escape(f'{label}: {value}')}</title>"
        f'<rect width="{left:.0f}" height="20" fill="#3a424b"/>'
        f'<rect x="{left:.0f}" width="{right:.0f}" height="20" fill="{colour}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{left / 2:.0f}" y="14">{escape(label)}</text>'
        f'<text x="{left + right / 2:.0f}" y="14">{escape(value)}</text></g></svg>\n'
    )
