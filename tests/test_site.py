"""The documentation site, built and opened: nothing wider than the window, words that stand out, no requests."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
WIDTHS = (390, 1300, 1900)
SCHEMES = ("default", "slate")  # light and dark

# Of a page: how wide it is, and words whose contrast with the ground is below that of WCAG 2.2 AA, in each scheme.
MEASURE = r"""
const channels = text => {
  const found = /^rgba?\(([^)]*)\)$/.exec(text);
  if (!found) throw new Error("a colour that is not read: " + text);
  const [r, g, b, a = 1] = found[1].split(/[\s,/]+/).map(Number);
  return [r, g, b, a];
};
const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
const luminance = colour => {
  const [r, g, b] = colour.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (one, other) => {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};
const parents = node => node ? [node, ...parents(node.parentElement)] : [];
function faint(page) {
  const view = page.defaultView, style = node => view.getComputedStyle(node), found = [];
  const walk = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  let words = 0;
  while (walk.nextNode()) {
    const text = walk.currentNode, own = text.parentElement, range = page.createRange();
    range.selectNodeContents(text);
    if (!text.data.trim() || !range.getClientRects().length || style(own).visibility !== "visible") continue;
    if (own.closest("script, style, svg, noscript")) continue;
    const line = parents(own), opacity = line.reduce((all, node) => all * Number(style(node).opacity), 1);
    if (opacity === 0) continue;
    const grounds = line.map(node => channels(style(node).backgroundColor)).reverse();
    const ground = grounds.reduce((below, top) => over(top, below), [255, 255, 255, 1]);
    const ink = channels(style(own).color);
    const size = parseFloat(style(own).fontSize), bold = Number(style(own).fontWeight) >= 700;
    const needed = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
    const ratio = contrast(over([...ink.slice(0, 3), ink[3] * opacity], ground), ground);
    words += 1;
    const named = `${own.tagName}.${own.className}: ${text.data.trim().slice(0, 40)}`;
    if (ratio < needed) found.push(`${ratio.toFixed(2)} ${named}`);
  }
  return {words, faint: found};
}
function measured(frame, width) {
  const page = frame.contentDocument, root = page.documentElement, answer = {width, page: frame.getAttribute("src")};
  // A colour that is on its way from one scheme to the other is neither.
  page.head.insertAdjacentHTML("beforeend", "<style>*,::before,::after{transition:none!important}</style>");
  answer.inner = root.clientWidth;
  answer.scrolled = root.scrollWidth;
  for (const scheme of SCHEMES) {
    page.body.setAttribute("data-md-color-scheme", scheme);
    answer[scheme] = faint(page);
  }
  frame.dataset.measured = JSON.stringify(answer);
}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as CI builds it; without mkdocs the test is skipped."""
    for module in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        if find_spec(module) is None:
            pytest.skip(f"needs {module}, which the extra docs installs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "--strict", "-d", str(folder)]
    built = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return folder


def measures(pages: list[Path], width: int, browser: Any, folder: Path) -> tuple[list[dict[str, Any]], set[str]]:
    """Of each page in a frame of some width what `MEASURE` says, and what all of them asked of the network."""
    frames = "".join(
        f'<iframe src="{page.as_uri()}" style="border:0;width:{width}px;height:900px"'
        f' onload="measured(this, {width})"></iframe>'
        for page in pages
    )
    script = f"<script>const SCHEMES = {json.dumps(SCHEMES)};{MEASURE}</script>"
    shown, asked = browser.opened(f'<!DOCTYPE html><link rel="icon" href="data:,">{script}{frames}', folder)
    found = re.findall(r'data-measured="([^"]*)"', shown.stdout)
    return [json.loads(html.unescape(one)) for one in found], asked


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_its_window_and_can_be_read_in_light_and_dark(
    width: int, site: Path, browser: Any, tmp_path: Path
) -> None:
    pages = sorted(site.rglob("index.html"))
    assert len(pages) > 40
    found, asked = measures(pages, width, browser, tmp_path)
    assert len(found) == len(pages)
    assert {one["inner"] for one in found} <= {width, width - 15}  # less a scroll bar
    assert not {one["page"]: one["scrolled"] for one in found if one["scrolled"] > one["inner"]}
    for scheme in SCHEMES:
        assert min(one[scheme]["words"] for one in found) > 20
        assert not {one["page"]: one[scheme]["faint"] for one in found if one[scheme]["faint"]}
    assert not {url for url in asked if not url.startswith("file:")}


def test_the_check_sees_what_is_too_wide_and_what_is_too_faint(browser: Any, tmp_path: Path) -> None:
    """The control: by each of the ways in which a word can be faint, beside words that are not."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<body style='background:#fff'><style>[data-md-color-scheme=slate]{background:#000!important}</style>"
        "<p style='width:900px;color:#777'>by a hair</p><p style='color:#767676'>enough</p>"
        "<p style='opacity:.5;color:#000'>behind a veil</p><p style='color:rgba(0,0,0,.4)'>clear</p>"
        "<div style='background:#333'><p style='color:#444'>dark on dark</p></div>"
        "<h1 style='font-size:30px;color:#888'>large</h1><p style='visibility:hidden;color:#fff'>hidden</p>"
        "<p style='opacity:0;color:#fff'>gone</p>"
    )
    (found,), _ = measures([page], 390, browser, tmp_path)
    assert found["scrolled"] > found["inner"]
    said = [line.split(": ")[1] for line in found["default"]["faint"]]
    assert said == ["by a hair", "behind a veil", "clear", "dark on dark"]
    assert "behind a veil" in str(found["slate"]["faint"]) and "enough" not in str(found["slate"]["faint"])
