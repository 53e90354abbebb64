"""Downloads: a table of results as a CSV file inside the page, since a page is often sent without its folder."""

from __future__ import annotations

from urllib.parse import quote

import pandas as pd

from predictdyn.report.blocks import Download

LARGEST = 150_000  # letters; a larger table stays in the folder, where its caption says


def download(table: pd.DataFrame, name: str) -> Download | None:
    """All of a table, numbers to six digits, as a link; None where it is empty or would make the page large.

    >>> download(pd.DataFrame({"run": ["a b"], "skill": [1 / 3]}), "scores.csv").link
    'data:text/csv;charset=utf-8,run,skill%0Aa%20b,0.333333%0A'
    """
    text = table.to_csv(index=False, float_format="%.6g") if len(table) else ""
    if not text or len(text) > LARGEST:
        return None
    return Download(name, f"data:text/csv;charset=utf-8,{quote(text, safe=',-._~', errors='replace')}", len(table))
