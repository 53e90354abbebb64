"""Publish: read a folder of results, and write its page beside it."""

from __future__ import annotations

import os
from pathlib import Path


def publish(folder: Path, out: Path | None = None) -> Path:
    """Write index.html, report.md and figures/*.svg from the result files in ``folder``; return the page's path.

    Where alarms were replayed into the folder, their page alarms.html is written as well.

    ``out`` is the folder to write to, ``folder`` itself if None. A pure function of the files. Raises ValueError in one
    line where they are missing or malformed, and then writes nothing.
    """
    # drawing is slow to import, so nobody pays for it who only asks for help
    from predictdyn.report.alarms_page import render_alarms
    from predictdyn.report.alarms_results import ABOUT, PAGE, read_alarms
    from predictdyn.report.law_page import render_law
    from predictdyn.report.law_results import read_law
    from predictdyn.report.render import render
    from predictdyn.report.results import provenance_of, read

    folder = Path(folder)
    made = provenance_of(folder)["made"]
    alarms = {PAGE: render_alarms(read_alarms(folder))} if (folder / ABOUT).is_file() else {}
    files = {**alarms, **(render_law(read_law(folder)) if made == "law" else render(read(folder)))}
    target = folder if out is None else Path(out)
    for name, text in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.partial")
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    return target / "index.html"
