"""The record as a site: valid, without a request, readable on a phone and by machines, and the same after a kill."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

import predictdyn as pdyn

VOID = {"meta", "link", "br", "hr", "img", "input"}
WIDTHS = (390, 1300)
FRAME = """<iframe src="{page}" style="border:0;color-scheme:{scheme};width:{width}px;height:900px" onload="
const page = this.contentDocument, root = page.documentElement;
this.title = [root.scrollWidth, root.clientWidth, page.querySelectorAll('svg').length].join(' ')"></iframe>"""


@pytest.fixture
def site(season, ledger, tmp_path) -> Path:
    pdyn.resolve(ledger, season.after, ended="f3-s0")
    out = tmp_path / "site"
    pdyn.record(ledger, out, title="A <small> record & more")
    return out


class Structure(HTMLParser):
    """Elements that do not nest, ids that are met twice, and all that a page links to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_pages_are_well_formed_and_every_link_leads_somewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) == 2 + 6
    for page in pages:
        text = page.read_text(encoding="utf-8")
        found = Structure()
        found.feed(text)
        assert not found.wrong and not found.open and len(set(found.ids)) == len(found.ids), page
        for link in found.links:
            if link.startswith("#"):
                assert link[1:] in found.ids, link
            elif not link.startswith("data:"):
                assert (page.parent / link).is_file(), (page, link)
        assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text)
        (data,) = re.findall(r'<script type="application/ld\+json">(.*?)</script>', text)
        assert json.loads(data)["@context"] == "https://schema.org"
        assert '<meta property="og:title"' in text and "<script" not in text.replace('<script type="application/ld', "")


def test_the_front_page_says_its_coverage_and_no_interval_of_one_run(site):
    front = (site / "index.html").read_text(encoding="utf-8")
    assert re.search(r"<h1>Coverage of 90\s% intervals: \d+\s% of \d+ forecasts</h1>", front)
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", front.split('id="skill"')[1].split("</table>")[0], flags=re.S)
    cells = [
        [re.sub("<[^>]*>", "", one) for one in re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.S)] for row in rows
    ]
    told = [(int(row[3]), row[5]) for row in cells if row]  # the first cell is a head
    assert told and all((interval == "fewer than 3 runs") == (runs < 3) for runs, interval in told)


def test_html_by_the_parser_of_the_standard(site):
    html5lib = pytest.importorskip("html5lib")
    for page in site.rglob("*.html"):
        html5lib.HTMLParser(strict=True).parse(page.read_text(encoding="utf-8"))


def test_feeds_and_badge(site):
    atom = ElementTree.parse(site / "feed.atom").getroot()
    space = {"a": "http://www.w3.org/2005/Atom"}
    entries = atom.findall("a:entry", space)
    ids = [entry.findtext("a:id", namespaces=space) for entry in entries]
    assert atom.findtext("a:title", namespaces=space) == "A <small> record & more"
    assert len(entries) == len(set(ids)) == 12 and all(one.startswith("urn:uuid:") for one in ids)
    for entry in (atom, *entries):
        for name in ("title", "id", "updated"):
            assert len(entry.findall(f"a:{name}", space)) == 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry.findtext("a:updated", namespaces=space))
    feed = json.loads((site / "feed.json").read_text(encoding="utf-8"))
    assert feed["version"] == "https://jsonfeed.org/version/1.1" and len(feed["items"]) == 12
    assert [one["id"] for one in feed["items"]] == ids
    assert all((site / one["url"]).is_file() for one in feed["items"])
    assert ElementTree.parse(site / "badge.svg").getroot().get("aria-label") == "90 % intervals held: 75\u00a0% of 4"


def test_feeds_by_a_reader(site):
    feedparser = pytest.importorskip("feedparser")
    found = feedparser.parse((site / "feed.atom").read_bytes())
    assert not found.bozo and found.version == "atom10" and len(found.entries) == 12


def test_what_the_page_and_the_files_say(site, ledger):
    front = (site / "index.html").read_text(encoding="utf-8")
    summary = json.loads((site / "record.json").read_text(encoding="utf-8"))
    assert (
        summary["states"] == {"resolved": 6}
        and summary["head"] == pdyn.Ledger(ledger).head
        and summary["head"] in front
    )
    assert "These are too few forecasts to judge by." in front and "A &lt;small&gt; record &amp; more" in front
    found = pdyn.Ledger(ledger).standing()
    one = json.loads((site / summary["questions"][0]).read_text(encoding="utf-8"))
    row = found.forecasts.iloc[0]
    assert one["truth"] == row["truth"] and one["forecasts"][0]["quantiles"]["0.5"] == row["q0.5"]
    assert one["forecasts"][0]["crps"] == row["crps"] and one["forecasts"][0]["baselines"] == row["baselines"]


def test_the_site_is_written_anew_and_nothing_else_is(site, season, ledger, tmp_path):
    before = {file.relative_to(site): file.read_bytes() for file in site.rglob("*") if file.is_file()}
    pdyn.record(ledger, site, title="A <small> record & more")
    assert before == {file.relative_to(site): file.read_bytes() for file in site.rglob("*") if file.is_file()}
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is no folder that record wrote"):
        pdyn.record(ledger, other)
    assert (other / "mine.txt").read_text() == "mine"
    with pytest.raises(ValueError, match="address= is where the site will be"):
        pdyn.record(ledger, site, address="javascript:alert(1)")


def test_no_record_of_a_ledger_that_was_edited(ledger, tmp_path):
    bad = tmp_path / "bad.ledger"
    shutil.copy(ledger, bad)
    raw = bad.read_bytes()
    place = raw.index(b"Ada")
    bad.write_bytes(raw[:place] + b"Eva" + raw[place + 3 :])
    with pytest.raises(ValueError, match="is not as it was written, so no record is made of it"):
        pdyn.record(bad, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_browser_opens_it_on_a_phone_and_a_desktop_in_light_and_dark(site, browser, tmp_path):
    pages = [site / "index.html", site / "all-1.html", next((site / "q").glob("*.html"))]
    frames = [
        FRAME.format(page=page.as_uri(), width=width, scheme=scheme)
        for page in pages for width in WIDTHS for scheme in ("light", "dark")
    ]  # fmt: skip
    shown, asked = browser.opened(f'<!DOCTYPE html><link rel="icon" href="data:,">{"".join(frames)}', tmp_path)
    found = re.findall(r'title="(\d+) (\d+) (\d+)"', shown.stdout)
    assert len(found) == len(frames), shown.stdout
    for scrolled, inner, _ in found:
        assert int(scrolled) <= int(inner)
    assert [int(drawings) for *_, drawings in found][:4] == [4] * 4
    assert "CONSOLE" not in shown.stderr
    assert not asked
