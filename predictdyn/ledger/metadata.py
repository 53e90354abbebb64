"""What machines read of a page: schema.org as JSON-LD, and a citation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from predictdyn import __version__

CONTEXT = "https://schema.org"


def json_ld(data: Mapping[str, Any]) -> Markup:
    r"""Data as the text of a script element, which nothing in them can end.

    >>> json_ld({"name": "</script>"})
    Markup('{"@context": "https://schema.org", "name": "\\u003c/script>"}')
    """
    text = json.dumps({"@context": CONTEXT, **data}, ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def dataset(
    name: str,
    description: str,
    *,
    created: str,
    modified: str,
    authors: Sequence[str],
    files: Mapping[str, str],
    measured: Sequence[str],
    identifier: str,
) -> dict[str, Any]:
    """A schema.org Dataset: ``files`` are addresses and their media types, ``measured`` the metrics."""
    return {
        "@type": "Dataset", "name": name, "description": description, "identifier": identifier,
        "dateCreated": created, "dateModified": modified, "isAccessibleForFree": True,
        "creator": people(authors), "variableMeasured": list(measured),
        "distribution": [
            {"@type": "DataDownload", "contentUrl": file, "encodingFormat": kind} for file, kind in files.items()
        ],
    }  # fmt: skip


def a_report(
    name: str, description: str, *, created: str, authors: Sequence[str], identifier: str, about: Sequence[str]
) -> dict[str, Any]:
    """A schema.org Report: what one page says."""
    return {
        "@type": "Report", "name": name, "description": description, "identifier": identifier, "datePublished": created,
        "creator": people(authors), "about": list(about),
    }  # fmt: skip


def people(authors: Sequence[str]) -> list[dict[str, str]]:
    """Authors as schema.org has them; without one, the program."""
    named = [{"@type": "Person", "name": name} for name in authors if name]
    return named or [{"@type": "SoftwareApplication", "name": f"predictdyn {__version__}"}]


def citation(title: str, *, authors: Sequence[str], released: str, address: str) -> str:
    """A CITATION.cff (1.2.0) for a record or a page."""
    names = [name for name in authors if name] or ["predictdyn"]
    lines = [
        "cff-version: 1.2.0",
        "message: If you use these forecasts, please cite them as below.",
        "type: dataset",
        f"title: {json.dumps(title)}",
        "authors:",
        *(f"  - name: {json.dumps(name)}" for name in names),
        f"date-released: {released[:10]}",
        *([f"url: {json.dumps(address)}"] if address else []),
    ]
    return "\n".join([*lines, ""])
