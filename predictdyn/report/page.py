"""Publish: read a folder of results, and write its page beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from markupsafe import escape

from predictdyn.naming import some


def publish(folder: Path, out: Path | None = None) -> Path:
    """Write index.html, report.md and figures/*.svg from the result files in ``folder``; return the page's path.

    Where alarms were replayed into the folder, their page alarms.html is written as well.

    ``out`` is the folder to write to, ``folder`` itself if None: else new, empty, or with the page of these results
    from before. A pure function of the files. Raises ValueError in one line where they are missing or malformed, or
    ``out`` holds anything else, and then writes nothing.
    """
    # drawing is slow to import, so nobody pays for it who only asks for help
    from predictdyn.report.alarms_results import ABOUT, PAGE, read_alarms
    from predictdyn.report.law_page import render_law
    from predictdyn.report.law_results import read_law
    from predictdyn.report.render import render
    from predictdyn.report.results import provenance_of, read

    folder = Path(folder)
    target = folder if out is None else Path(out)
    provenance = provenance_of(folder)
    if target.resolve() != folder.resolve():
        _check_free(target, folder, provenance)
    made = provenance["made"]
    files = render_law(read_law(folder)) if made == "law" else render(read(folder))
    if (folder / ABOUT).is_file():
        from predictdyn.report.alarms_page import render_alarms

        files = {PAGE: render_alarms(read_alarms(folder)), **files}
    for name, text in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.partial")
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    return target / "index.html"


def _check_free(target: Path, folder: Path, provenance: dict[str, Any]) -> None:
    """Raises ValueError for a place that holds more than the page of ``folder``, or another page."""
    from predictdyn.report.alarms_results import PAGE
    from predictdyn.report.render import NOT_TEXT

    if not target.exists():
        return
    held = sorted(file.name for file in target.iterdir() if file.name[0] != ".") if target.is_dir() else [target.name]
    page = target / "index.html"
    # The page names the command and the moment of its results; tables beside it would be those of others.
    created, command = str(provenance.get("created") or ""), str(provenance.get("command") or "")
    text = page.read_text(encoding="utf-8", errors="replace") if page.is_file() else ""
    same = bool(created) and all(NOT_TEXT.sub("\ufffd", str(escape(mark))) in text for mark in (created, command))
    if held and not (same and set(held) <= {page.name, PAGE, "report.md", "figures"}):
        raise ValueError(
            f"{target} holds {some(held)}, and not only the page of {folder}; choose another out=, or remove it first"
        )
