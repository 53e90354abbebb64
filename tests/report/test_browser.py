"""A browser opens the page without an error, without a request, and without anything wider than its window."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from predictdyn.backtest.decay import AHEAD
from predictdyn.report import publish

WIDTHS = (390, 1300, 1900)
# a window cannot be as narrow as a phone, a frame can
FRAME = """<iframe src="{page}" style="border:0;width:{width}px;height:900px" onload="
const page = this.contentDocument, root = page.documentElement;
this.title = [root.scrollWidth, root.clientWidth, page.querySelectorAll('svg').length].join(' ')"></iframe>"""


@pytest.mark.parametrize("which", ["useful", "useless", "forecast"])
def test_page_opens_clean_on_a_phone_a_laptop_and_a_projector(
    which: str, request: pytest.FixtureRequest, browser: Any, tmp_path: Path
) -> None:
    page = (request.getfixturevalue(which) / "index.html").as_uri()
    frames = "".join(FRAME.format(page=page, width=width) for width in WIDTHS)
    shown, asked = browser.opened(f'<!DOCTYPE html><link rel="icon" href="data:,">{frames}', tmp_path)
    found = re.findall(r'title="(\d+) (\d+) (\d+)"', shown.stdout)
    assert len(found) == len(WIDTHS), shown.stdout
    for width, numbers in zip(WIDTHS, found, strict=True):
        scrolled, inner, drawings = map(int, numbers)
        assert inner in (width, width - 15)  # less a scroll bar
        assert scrolled <= inner
        assert drawings > 5
    assert "CONSOLE" not in shown.stderr
    assert not asked


@pytest.mark.parametrize("which", ["useful", "forecast"])
def test_page_prints_on_two_sheets(which: str, request: pytest.FixtureRequest, browser: Any, tmp_path: Path) -> None:
    page, paper = request.getfixturevalue(which) / "index.html", tmp_path / "page.pdf"
    browser.run(page, tmp_path, f"--print-to-pdf={paper}")
    assert len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) == 2


def test_a_long_status_wraps_inside_its_column(forecast: Path, browser: Any, tmp_path: Path) -> None:
    """At the width of a laptop, where the table would else scroll sideways and hide the head of the column."""
    folder = Path(shutil.copytree(forecast, tmp_path / "unsure"))
    rows = pd.read_parquet(folder / "forecasts.parquet").assign(status=AHEAD)
    rows.to_parquet(folder / "forecasts.parquet")
    frame = FRAME.replace("root.scrollWidth, root.clientWidth", "table.scrollWidth, table.clientWidth").replace(
        "root = page.documentElement", "root = page.documentElement, table = page.querySelector('.outlook .scroll')"
    )
    shown, _ = browser.opened(frame.format(page=publish(folder).as_uri(), width=1200), tmp_path)
    found = re.search(r'title="(\d+) (\d+) \d+"', shown.stdout)
    assert found and int(found[1]) == int(found[2])


def test_the_check_sees_errors_requests_and_what_is_too_wide(browser: Any, tmp_path: Path) -> None:
    """The control: a page that does all three must be noticed by what the test above looks at."""
    wide = tmp_path / "wide.html"
    wide.write_text('<div style="width:900px">wide</div>')
    bad = '<img src="http://localhost:9/x.png"><script>console.error("oh")</script>'
    shown, asked = browser.opened(bad + FRAME.format(page=wide.as_uri(), width=375), tmp_path)
    assert "CONSOLE" in shown.stderr
    assert asked == {"http://localhost:9/x.png"}
    found = re.search(r'title="(\d+) (\d+) 0"', shown.stdout)
    assert found and int(found[1]) > int(found[2])
