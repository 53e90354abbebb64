"""The page says what the files say, in words, and needs nothing but itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictdyn.report import publish, trust
from predictdyn.report.results import read
from predictdyn.report.words import between, less_error, percent, percents, value

Write = Callable[..., Path]
CALLED = {"capability": "accuracy", "bias": "bias gap", "memorization": "exact recall", "loss": "valid loss"}
HOSTILE = "<script>alert(1)</script>\"'&|$x_1$`*"


def text(folder: Path, name: str = "index.html") -> str:
    return (folder / name).read_text(encoding="utf-8").replace("\u00a0", " ")


def headline(page: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", page, re.DOTALL)
    assert found
    return found.group(1)


class Elements(HTMLParser):
    """All tags with their attributes, and whether each that opens is closed."""

    VOID = frozenset({"meta", "link", "br", "img", "rect", "path", "use"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_headline_of_a_useful_forecaster_holds_the_numbers_of_the_verdicts(useful: Path) -> None:
    verdicts = pd.read_csv(useful / "verdicts.csv").query("forecaster == 'auto'")
    good = verdicts[verdicts["verdict"] == "predictable here"]
    first = good[good["cutoff"] == good["cutoff"].min()]
    assert len(first) > 1  # else the case does not test what it should
    page = text(useful)
    said = headline(page)
    share, gain = percent(first["cutoff"].iloc[0]), percents(first["skill"].min(), first["skill"].max())
    assert said == (
        f"After {share} of a run, predictdyn forecasts {len(first)} of 4 outcomes with {gain} less error than the best "
        "simple guess."
    ).replace("\u00a0", " ")
    for row in first.itertuples():
        proof = f"{CALLED[row.kind]} {percent(row.skill)} ({percents(row.skill_lo, row.skill_hi)})"
        assert proof.replace("\u00a0", " ") in page
    assert re.search(r"Not predictable here: [^.]*exact recall at 10 %", page)
    assert "That means not reliably better than the best simple guess." in page


@pytest.mark.parametrize("kept", [1, 2])
def test_a_headline_names_one_outcome_or_two(kept: int, copied: Path) -> None:
    table = pd.read_csv(copied / "verdicts.csv")
    own = table[(table["forecaster"] == "auto") & (table["cutoff"] == 0.1)].nlargest(3, "skill")
    table["verdict"] = "not predictable here"
    table.loc[own.index[:kept], "verdict"] = "predictable here"
    table.to_csv(copied / "verdicts.csv", index=False)
    said = trust.answer(read(copied)).headline
    first, second = (f"final {CALLED[row.kind]} with {percent(row.skill)}" for row in own[:2].itertuples())
    than = "less error than the best simple guess"
    what = f"{first} {than}" if kept == 1 else f"{first} {than}, and {second} less"
    assert said == f"After {percent(0.1)} of a run, predictdyn forecasts {what}."


def test_coverage_in_the_words_is_that_of_the_forecasts(useful: Path) -> None:
    rows = pd.read_parquet(useful / "forecasts.parquet").query("forecaster == 'auto' and truth == truth")
    share = ((rows["truth"] >= rows["q0.05"]) & (rows["truth"] <= rows["q0.95"])).mean()
    said = f"The 90 % intervals contain the outcome in {percent(share)} of cases"
    assert said.replace("\u00a0", " ") in text(useful)


def test_headline_where_nothing_is_predictable(useless: Path) -> None:
    verdicts = pd.read_csv(useless / "verdicts.csv").query("forecaster == 'auto'")
    assert set(verdicts["verdict"]) == {"not predictable here"}
    said = headline(text(useless))
    assert (
        said
        == "Not predictable here: accuracy, bias gap, exact recall and valid loss, at 10 %, 25 % and 50 % of a run."
    )
    assert "better" not in said
    best = verdicts.nlargest(1, "skill").iloc[0]
    nearest = f"{CALLED[best['kind']]} at {percent(best['cutoff'])} of the run, {less_error(best['skill'])} (90 % "
    assert nearest.replace("\u00a0", " ") in text(useless)


def test_headline_where_runs_are_too_few(write_backtest: Write, tmp_path: Path) -> None:
    page = publish(write_backtest(tmp_path, runs=4)).read_text(encoding="utf-8")
    assert headline(page).startswith("Too few runs to say whether predictdyn")
    assert page.count("too few runs<small>") == 12
    assert "; a verdict takes 5 families of runs, or as many runs of one." in page


def test_every_verdict_stands_on_the_page_as_a_word_and_a_number(useful: Path) -> None:
    page, verdicts = text(useful), pd.read_csv(useful / "verdicts.csv").query("forecaster == 'auto'")
    for row in verdicts.itertuples():
        word = row.verdict.removesuffix(" here")
        span = percents(row.skill_lo, row.skill_hi)
        number = f"{'+' if row.skill > 0 else ''}{percent(row.skill)} ({span}), {row.n_runs} runs"
        assert f"{word}<small>{number}</small>".replace("\u00a0", " ") in page


def test_intervals_that_are_too_narrow_are_called_so(copied: Path) -> None:
    rows = pd.read_parquet(copied / "forecasts.parquet")
    for name in [c for c in rows if c.startswith("q0")]:
        rows[name] = rows["mean"] + (rows[name] - rows["mean"]) / 5
    rows.to_parquet(copied / "forecasts.parquet")
    assert "They are too narrow: be less sure than they say." in " ".join(trust.answer(read(copied)).sentences)


def test_forecast_says_median_and_interval_and_how_to_learn_how_far_to_trust_it(forecast: Path) -> None:
    page = text(forecast)
    rows = pd.read_parquet(forecast / "forecasts.parquet")
    for row in rows[rows["metric"] == "accuracy"].sort_values("q0.5").iloc[[0, -1]].to_dict("records"):
        width = row["q0.95"] - row["q0.05"]
        assert f"{value(row['q0.5'], width)} (" in headline(page)
        assert f"{between(row['q0.05'], row['q0.95'])}) for {row['run']}" in headline(page)
    assert "No finished runs were replayed for this page" in page
    assert "A backtest of your finished runs at the cutoff 0.25 says how far to trust these numbers" in page
    assert "not known" not in page
    assert "1 of 12 forecasts fell back" in page
    assert "Leaderboard" not in page and "Calibration" not in page


def test_one_run_is_named_in_the_headline(write_forecast: Write, tmp_path: Path) -> None:
    said = headline(publish(write_forecast(tmp_path, runs=1)).read_text(encoding="utf-8"))
    assert said.startswith("olmo-1b-1 is forecast to end with accuracy ")


def test_fixed_split_has_no_cutoff(write_backtest: Write, tmp_path: Path) -> None:
    publish(write_backtest(tmp_path, fixed=True))
    page = text(tmp_path)
    assert headline(page).startswith("From what is seen of each run, predictdyn forecasts ")
    assert "Skill by outcome" in page
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)


@pytest.mark.parametrize("writer", ["write_backtest", "write_forecast"])
def test_hostile_names_are_shown_and_not_run(writer: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    write: Write = request.getfixturevalue(writer)
    folder = write(tmp_path, runs=6, names=(HOSTILE, "\x00\x1b[31m", "名前 🚂"))
    provenance = json.loads((folder / "provenance.json").read_text())
    provenance |= {
        "title": HOSTILE,
        "command": HOSTILE,
        "warnings": [HOSTILE],
        "plan": {HOSTILE: HOSTILE, "rules": {HOSTILE: [HOSTILE]}},
    }
    (folder / "provenance.json").write_text(json.dumps(provenance))
    page = publish(folder).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not Elements(page).open
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert "<script" not in re.sub(r"^    .*$", "", report, flags=re.MULTILINE)  # but in the indented command
    for figure in (folder / "figures").glob("*.svg"):
        _parsed(figure)


def test_page_loads_nothing_and_runs_nothing(useful: Path, forecast: Path) -> None:
    for page in (text(useful), text(forecast)):
        elements = Elements(page)
        assert not elements.open
        assert not {"script", "iframe", "img", "object", "embed"} & {tag for tag, _ in elements.tags}
        assert not re.search(r"https?:|@import|url\((?!#)", page)
        links = [attrs[name] for _, attrs in elements.tags for name in ("href", "src") if name in attrs]
        ids = {attrs["id"] for _, attrs in elements.tags if "id" in attrs}
        inside = [link for link in links if link != "data:,"]
        assert {link for link in inside if not link.startswith("data:text/csv;")} <= {f"#{name}" for name in ids}
        assert not any(name.startswith("on") for _, attrs in elements.tags for name in attrs)
        named = [attrs["id"] for _, attrs in elements.tags if "id" in attrs]
        assert len(named) == len(set(named))
        assert set(re.findall(r"url\(#([^)]*)\)", page)) <= ids


def test_figures_have_words_and_tables_have_heads(useful: Path) -> None:
    elements = Elements(text(useful))
    drawn = [attrs for tag, attrs in elements.tags if attrs.get("role") == "img"]
    assert drawn and all(len(attrs["aria-label"] or "") > 30 for attrs in drawn)
    assert {attrs.get("scope") for tag, attrs in elements.tags if tag == "th"} == {"row", "col"}
    assert sum(tag == "figcaption" for tag, _ in elements.tags) == sum(tag == "figure" for tag, _ in elements.tags)


def test_figures_are_small_and_follow_the_readers_light(useful: Path) -> None:
    assert (useful / "index.html").stat().st_size < 2_000_000
    figures = sorted((useful / "figures").glob("*.svg"))
    assert len(figures) > 10
    for figure in figures:
        assert figure.stat().st_size < 60_000
        _parsed(figure)
        assert "prefers-color-scheme:dark" in figure.read_text()
    drawn = "".join(re.findall(r"<svg.*?</svg>", text(useful), re.DOTALL))
    assert not set(re.findall(r"#[0-9a-f]{6}\b", drawn))  # all colours are variables


def test_markdown_has_the_same_answer_and_its_figures_exist(useful: Path, forecast: Path) -> None:
    for folder in (useful, forecast):
        report = text(folder, "report.md")
        assert report.startswith(f"# {headline(text(folder))}".replace("_", r"\_"))
        linked = re.findall(r"!\[[^\n]*\]\((figures/[^)]*)\)", report)
        assert linked and all((folder / name).is_file() for name in linked)
        for lines in re.findall(r"(?:^\|.*\n)+", report, re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines.splitlines()}) == 1


def test_same_files_same_page_and_nothing_else_is_left(useful: Path, tmp_path: Path) -> None:
    page = publish(useful, tmp_path / "deep" / "er")
    assert page.read_bytes() == (useful / "index.html").read_bytes()
    assert {p.name for p in page.parent.iterdir()} == {"index.html", "report.md", "figures"}
    assert not list(useful.rglob("*.partial"))


def test_a_page_is_made_again_where_it_was_and_replaces_no_other(useful: Path, useless: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    before = publish(useful, own).read_bytes()
    (own / "index.html").write_bytes(before + b"<!-- of an older version -->")
    (own / "figures" / "old.svg").write_text("<svg/>")
    assert publish(useful, own).read_bytes() == before
    assert publish(useful, useful / ".." / useful.name).read_bytes() == before
    (own / "CNAME").write_text("example.org")
    for target in (own, useless):
        files = {file: file.read_bytes() for file in target.rglob("*") if file.is_file()}
        with pytest.raises(ValueError, match=rf"{target} holds .*, and not only the page of .*; choose another out="):
            publish(useful, target)
        assert files == {file: file.read_bytes() for file in target.rglob("*") if file.is_file()}
    (own / "CNAME").unlink()
    later = Path(shutil.copytree(useful, tmp_path / "later"))
    about = json.loads((later / "provenance.json").read_text())
    (later / "provenance.json").write_text(json.dumps(about | {"created": "2026-11-21T12:00:00+00:00"}))
    with pytest.raises(ValueError, match="not only the page of"):
        publish(later, own)
    with pytest.raises(ValueError, match="not only the page of"):
        publish(useful, own / "index.html")


def test_failures_are_counted(useful: Path) -> None:
    rows = pd.read_parquet(useful / "forecasts.parquet")
    fell = int((rows.query("forecaster == 'power'")["status"] == "not converged").sum())
    assert fell > 0
    page = text(useful)
    assert (
        f'scope="row" class="name ">power</th>\n<td class="name ">not converged</td>\n<td class="">{fell}</td>' in page
    )
    assert "1 run ended before what was to be forecast" in page


def test_a_backtest_without_examples_has_no_fans_but_all_else(copied: Path, tmp_path: Path) -> None:
    for name in ("paths.parquet", "examples.parquet"):
        pd.read_parquet(copied / name).head(0).to_parquet(copied / name)
    page = publish(copied, tmp_path / "out").read_text(encoding="utf-8")
    assert "Example forecasts" not in page and "Leaderboard" in page
    assert 'class="hero"' not in page


def test_a_large_backtest_stays_readable(write_backtest: Write, tmp_path: Path) -> None:
    many = {"auto": 0.6, "last": 1.0, "mean_outcome": 1.3, "power": 0.9}
    page = publish(write_backtest(tmp_path, runs=5, metrics=20, forecasters=many))
    assert page.stat().st_size < 3_000_000
    assert "The first 40 of 240 rows; all are in scores.csv." in page.read_text(encoding="utf-8")
    assert len(re.findall("<figure", page.read_text(encoding="utf-8"))) < 30


def test_import_does_not_wait_for_drawing() -> None:
    code = "import sys, predictdyn.report; print({'matplotlib', 'jinja2', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_percentages_and_values_round_as_one_reads_them() -> None:
    assert percent(np.nan) == "–"
    assert percent(-0.004) == "−0.4\u00a0%"
    assert percent(0.995) == "100\u00a0%" and percent(-0.0001) == "0\u00a0%"
    assert value(1e-7) == "1e−07" and value(0.0) == "0" and value(0.5, 0.0) == "0.5000"
    assert value(-0.001, 0.4) == "0.00"
    assert between(0.61, 0.79) == "0.61 to 0.79"


def _parsed(figure: Path) -> None:
    """An SVG file must be well-formed by itself."""
    from xml.etree import ElementTree

    assert ElementTree.parse(figure).getroot().tag.endswith("svg")
