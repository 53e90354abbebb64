"""Everybody can read the page: contrast in both themes, headings in order, words for figures, short sentences."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from predictdyn.report.downloads import LARGEST, download
from predictdyn.report.style import DARK, LIGHT, variables

PAGES = ["useful", "useless", "forecast"]
WORDS = ("ink", "quiet", "blue", "vermillion", "green")  # colours in which something is written
LINES = ("blue", "vermillion", "green", "purple", "orange", "ink", "quiet")  # colours in which something is drawn
LONGEST = 25


class Page(HTMLParser):
    """Headings, sentences, figures and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.lines: list[str] = []
        self.links: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._in: list[str] = []
        self._text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag == "a" and "download" in found:
            self.links[str(found["download"])] = str(found["href"])
        if tag in ("p", "caption", "figcaption", "h1"):
            self._text = ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("p", "caption", "figcaption", "h1"):
            self.lines.append(" ".join(self._text.split()))


@pytest.fixture(params=PAGES)
def folder(request: pytest.FixtureRequest) -> Path:
    """A folder with a page."""
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def page(folder: Path) -> Page:
    """Its page, taken apart."""
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # known to fail by a hair


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "panel"])
def test_words_stand_out_from_the_ground(theme: dict[str, str], ground: str) -> None:
    for word in WORDS:
        assert contrast(theme[word], theme[ground]) >= 4.5, (word, ground)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_stand_out_from_the_paper(theme: dict[str, str]) -> None:
    for word in LINES:
        assert contrast(theme[word], theme["paper"]) >= 3, word


def test_the_page_sets_the_colours_that_were_checked_and_writes_in_no_other(folder: Path) -> None:
    text = (folder / "index.html").read_text(encoding="utf-8")
    style = text.split("<style>")[1].split("</style>")[0]
    assert variables(":root") in style
    rest = style.replace(variables(":root"), "")
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsl", rest)
    assert set(re.findall(r"(?<![-\w])color:var\(--(\w+)\)", rest)) <= set(WORDS)
    written = set(re.findall(r"<text[^>]*fill: var\(--(\w+)\)", text))
    assert written and written <= set(WORDS)


def test_headings_go_down_one_level_at_a_time(page: Page) -> None:
    assert page.levels[0] == 1 and page.levels.count(1) == 1
    steps = [b - a for a, b in zip(page.levels, page.levels[1:], strict=False)]
    assert max(steps) == 1


def test_the_page_has_a_language_a_title_and_words_for_each_figure(folder: Path, page: Page) -> None:
    first = dict(page.tags)
    assert first["html"] == {"lang": "en"}
    title = re.search("<title>(.*?)</title>", (folder / "index.html").read_text(encoding="utf-8"))
    assert title and len(title[1]) > 5
    drawn = sum(tag == "svg" for tag, _ in page.tags)
    assert drawn == sum(attrs.get("aria-hidden") == "true" for tag, attrs in page.tags if tag == "svg")
    named = [str(attrs["aria-label"]) for _, attrs in page.tags if attrs.get("role") == "img"]
    assert len(named) == drawn - ("hero" in str(page.tags))  # the hero is drawn for a wide and for a narrow screen
    assert all(len(name) > 30 for name in named)
    assert not any(tag == "img" for tag, _ in page.tags)


def test_sentences_are_short(page: Page) -> None:
    for line in page.lines:
        for sentence in re.split(r"(?<=[.:;?!])\s", line):
            assert len(re.findall(r"\w[\w\u2019'.-]*", sentence)) <= LONGEST, sentence


def test_no_word_of_the_house_stands_unexplained(folder: Path) -> None:
    text = (folder / "index.html").read_text(encoding="utf-8")
    seen = re.sub(r"<[^>]*>", " ", re.sub(r"<(style|svg).*?</\1>", " ", text, flags=re.DOTALL))
    assert "baseline" not in seen
    if "CRPS" in seen:
        assert "CRPS is the error of a whole forecast" in seen
    if "skill" in seen:
        assert "share of the best simple guess&#39;s error" in seen


def test_tables_can_be_taken_along(folder: Path, page: Page) -> None:
    wanted = {"forecasts.csv"} if (folder / "verdicts.csv").exists() is False else {"verdicts.csv", "leaderboard.csv"}
    assert wanted <= set(page.links)
    for name, link in page.links.items():
        kind, text = link.split(",", 1)
        assert kind == "data:text/csv;charset=utf-8"
        taken = pd.read_csv(io.StringIO(unquote(text)))
        if (folder / name).exists():
            pd.testing.assert_frame_equal(taken, pd.read_csv(folder / name), check_dtype=False, rtol=1e-5)
        else:
            assert len(taken) == len(pd.read_parquet(folder / "forecasts.parquet"))


def test_a_table_that_would_make_the_page_large_stays_in_the_folder() -> None:
    rows = LARGEST // 10
    assert download(pd.DataFrame({"run": ["x" * 12] * rows}), "scores.csv") is None
    assert download(pd.DataFrame({"run": []}), "scores.csv") is None
    small = download(pd.DataFrame({"run": ['a,b\n<"#%']}), "scores.csv")
    assert small and pd.read_csv(io.StringIO(unquote(small.link.split(",", 1)[1])))["run"].tolist() == ['a,b\n<"#%']
    assert not set('<>"#\n ') & set(small.link)
