"""What the commands print: names that others wrote are escaped, notes of loaders are plain lines, options are typed."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pandas as pd
import pytest

import predictdyn
from predictdyn.console import as_options, printable
from predictdyn.curves import Metric, curves_from
from predictdyn.datasets import fetching
from predictdyn.loaders import tidy

EVIL = "loss\x1b[2J\x1b]0;owned\x07"
RUN = "run\r\u202eoff\x9b1m"


@pytest.fixture
def evil(tmp_path):
    """Finished runs and one that goes on, with names that clear a screen, turn text round and go back in a line."""
    rows = [(run, EVIL, step, 2.0 / step + i) for i, run in enumerate((RUN, "b", "c", "d")) for step in range(1, 31)]
    points = pd.DataFrame(rows, columns=["run", "metric", "step", "value"])
    points = points[(points["run"] != RUN) | (points["step"] < 12)]
    names = points["run"].unique()
    runs = pd.DataFrame({"run": names, "family": names, "last_step": 30})
    folder = tmp_path / "evil"
    tidy.save(curves_from(points, runs, {EVIL: Metric(EVIL, "loss", 0.0)}), folder)
    return folder


def check_tame(*said: str) -> None:
    for text in said:
        assert not [letter for letter in text if letter != "\n" and printable(letter) != letter]


def test_no_command_prints_a_name_that_acts_on_the_terminal(call, evil, tmp_path):
    told = []
    for words in (
        ("load", evil, "--out", tmp_path / "tidy"),
        ("forecast", evil, "--forecaster", "mean_change", "--out", tmp_path / "page", "--event", f"'{EVIL}' < 3"),
        ("backtest", evil, "--forecasters", "mean_change", "--cutoffs", "0.5", "--out", tmp_path / "test"),
    ):
        status, out, err = call(*words, *(() if words[0] == "load" else ("--quiet",)))
        assert status == 0, err
        check_tame(out, err)
        told.append(out + err)
    assert "run\\r\\u202eoff\\x9b1m  loss\\x1b[2J\\x1b]0;owned\\x07 at 30:" in told[1]
    for words in (
        ("backtest", evil, "--metrics", f"{EVIL}x", "--out", tmp_path / "no"),
        ("forecast", evil, "--runs", f"{RUN}x", "--out", tmp_path / "no"),
        ("load", f"source{EVIL}", evil, "--out", tmp_path / "no"),
        ("backtest", evil, "--targets", EVIL, "--out", tmp_path / "no"),
        ("datasets", "fetch", EVIL),
    ):
        status, out, err = call(*words)
        assert status == 2
        check_tame(out, err)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 👩\u200d💻 a\u00a0b", "plain é 日本 👩\u200d💻 a\u00a0b"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31mred\x9b", "\\x1b[31mred\\x9b"),
        ("\u202eabc\u2066\u2028", "\\u202eabc\\u2066\\u2028"),
        ("half \udc80", "half \\udc80"),
        ("\ufeff\u00ad\u200b", "\\ufeff\\xad\\u200b"),
    ],
)
def test_what_shows_nothing_is_escaped(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("give upto= or cutoff=, not both", "give --upto or --cutoff, not both"),
        (
            "DIR exists; choose another out=, or remove it",
            "DIR exists; choose another --out, or remove it",
        ),
        ("type hold_out='run' to hold out one", "type --hold-out run to hold out one"),
        ("or forecast it with cutoff=F", "or forecast it with --cutoff F"),
        ("a mirror with mirror=", "a mirror with --from"),
        ("log: JSON lines (source='json_lines')", "log: JSON lines (--source json_lines)"),
        ("more than one; name one with source=NAME", "more than one; name one with --source NAME"),
        ("http://host/?test=1 and about=cutoff", "http://host/?test=1 and about=cutoff"),
        ("settings lr=0.1; say last_step='logged'", "settings lr=0.1; say --set last_step=logged"),
        ("lost; merge='runs' keeps each, or clock=... or", "lost; --set merge=runs keeps each, or --set clock=... or"),
        ("name it: source='wide', step=NAME", "name it: --source wide --set step=NAME"),
        (r"pattern='(?P<step>\\d+) it\'s' finds", r"""--set 'pattern=(?P<step>\d+) it'"'"'s' finds"""),
        ('family="it\'s" finds nothing', """--set 'family=it'"'"'s' finds nothing"""),
        (
            "run run=3,step=5 and lr='x' and https://host/a?step=...",
            "run run=3,step=5 and lr='x' and https://host/a?step=...",
        ),
        ("state it (metrics_file=FILE), step == 5", "state it (--set metrics_file=FILE), step == 5"),
    ],
)
def test_keywords_of_the_library_are_options_of_the_command(line, typed):
    assert as_options(line) == typed
    assert as_options(typed) == typed


LITERAL = re.compile(r"(?<![\w-])--[a-z][\w-]+")


def test_no_message_of_the_library_speaks_of_an_option():
    """Literals of text, docstrings aside, in all that Python users reach."""
    package = Path(predictdyn.__file__).parent
    found = []
    for file in sorted(package.rglob("*.py")):
        if file.name.startswith("cli") or file.name == "console.py":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        words = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in words
            if text and LITERAL.search(node.value):
                found.append((file.name, node.value))
    # Variables of a style sheet begin so too, and options of git; a page of the documentation names both ways.
    assert [
        one for one in found if one[0] not in ("style.py", "option_page.py", "commit.py", "strips.py", "branch.py")
    ] == []


@pytest.fixture
def log(tmp_path):
    rows = [{"step": step, "loss": 3 / step + i, "run": run} for i, run in enumerate("abc") for step in range(1, 30)]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path / "log.jsonl"


def test_lines_on_data_say_what_to_type(call, log, tmp_path):
    status, _, err = call("load", log, "--out", tmp_path / "out")
    assert status == 0 and "warning: the planned length of 3 of 3 run(s) is not known" in err
    assert "--set last_step=NUMBER" in err and not err.startswith("warning: "), "a line that loses nothing is none"
    assert call("load", log, "--set", "last_step=29", "--out", tmp_path / "again")[2].count("last_step") == 0


def test_an_error_of_loading_says_what_to_type_and_in_python_which_keyword(call, tmp_path):
    rows = "step,loss\n1,3\n2,2\n1,4\n2,5\n"
    (tmp_path / "log.csv").write_text(rows, encoding="utf-8")
    status, out, err = call("load", "wide", tmp_path / "log.csv", "--set", "merge=no", "--out", tmp_path / "out")
    assert (status, out) == (2, "")
    assert err.startswith("predictdyn: ") and err.count("\n") == 1
    assert "merged with --set merge=yes (the later" in err and err.endswith("tell runs apart with --set run=...\n")
    with pytest.raises(ValueError, match=r"merged with merge='yes' .* tell runs apart with run=\.\.\.$"):
        predictdyn.load(tmp_path / "log.csv", source="wide", merge="no")


def test_fetch_prints_what_loaders_say_as_plain_lines(call, monkeypatch):
    import warnings

    real = fetching.loaders.load

    def loud(*words, **named):
        warnings.warn("2 run(s) end early; say last_step='logged'", UserWarning, stacklevel=2)
        return real(*words, **named)

    monkeypatch.setattr(fetching.loaders, "load", loud)
    monkeypatch.setattr(fetching, "fetch", lambda name, **_: fetching.bundled(name))
    status, out, err = call("datasets", "fetch", "digits", "--quiet")
    assert status == 0 and out.startswith("840 runs")
    assert err.splitlines() == ["warning: 2 run(s) end early; say --set last_step=logged"]


def test_no_message_of_the_library_names_the_tables_of_a_tidy_folder():
    """Rooms that curves of any origin reach: a frame has no runs.csv. Loaders and files of results are about files."""
    package = Path(predictdyn.__file__).parent
    files = [*(package / "backtest").glob("*.py"), package / "curves.py", package / "covariates.py"]
    found = []
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            # A name alone is that of a file of results.
            if isinstance(node, ast.Constant) and re.search(r"[ (](runs|metrics)\.csv", str(node.value)):
                found.append((file.name, node.value))
    assert found == []


def test_where_facts_are_stated_is_said_as_each_user_types_it(call, small, tmp_path):
    points = small.points[small.points["metric"] == "loss"]
    lone = curves_from(points, small.runs.assign(family=small.runs.index), {"loss": small.metrics["loss"]})
    (tmp_path / "lone").mkdir()
    tidy.save(lone, tmp_path / "lone")
    notes = predictdyn.backtest(lone, "last_value", cutoffs=0.5).notes
    assert any(line.endswith("name it as their family by runs= of from_frame, or runs_file= of load") for line in notes)
    words = ("backtest", tmp_path / "lone", "--forecasters", "last_value", "--cutoffs", "0.5", "--quiet")
    assert call(*words, "--out", tmp_path / "out")[0] == 0
    for page in ("index.html", "report.md"):
        text = (tmp_path / "out" / page).read_text().replace("\\_", "_")  # as markdown has it
        assert "family in runs.csv (of a tidy folder, or by --set runs_file=FILE)" in text and "from_frame" not in text
