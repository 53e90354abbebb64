"""What the documentation says to type: every command parses, and those that are cheap run on small logs."""

import itertools
import re
import shlex
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from predictdyn.cli import cli
from predictdyn.forecasters import names

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.S | re.M)


def commands(page: Path) -> list[list[str]]:
    """The words behind ``predictdyn`` of each command in the blocks of a page."""
    found = []
    for _, block in FENCE.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            for piece in re.split(r"&&|;(?= python)", line):
                typed = re.match(r"\s*(?:\.venv/bin/)?predictdyn (?=[a-z-])(.*)", piece)
                if typed:
                    found.append(shlex.split(typed[1], comments=True))
    return found


def parsed(words: list[str]) -> click.Context:
    """The context of a command; raises what click raises for a word or an option that it does not know."""
    context = click.Context(cli, info_name="predictdyn")
    group: click.Group = cli
    while True:
        name, command, rest = group.resolve_command(context, words)
        assert command is not None  # an unknown one raises
        if not isinstance(command, click.Group):
            return command.make_context(name, rest, parent=context)
        group, words = command, rest


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_parses(page):
    for words in commands(page):
        try:
            parsed(words)
        except click.ClickException as error:
            raise AssertionError(f"{page.name}: predictdyn {shlex.join(words)}: {error.format_message()}") from error


def test_commands_are_found_and_wrong_ones_are_not_taken():
    typed = commands(ROOT / "README.md")
    assert [words[0] for words in typed] == ["demo", "forecast", "backtest"]
    assert sum(len(commands(page)) for page in PAGES) > 40
    for wrong in (["forecast", "logs", "--oout", "x"], ["forcast", "logs"], ["backtest", "logs"]):
        with pytest.raises(click.ClickException):
            parsed(wrong)


def test_forecasters_and_metrics_of_the_commands_are_known():
    asked = {
        name
        for page in PAGES
        for words in commands(page)
        for option, value in itertools.pairwise(words)
        if option in ("--forecasters", "--forecaster")
        for name in value.split(",")
    }
    assert "auto" in asked and asked <= {*names(), "all", "A", "median_change"}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with the files that the pages speak of: logs of eight runs (one goes on), a table, a printed log."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "logs").mkdir()
    rows = []
    for run in range(8):
        step = np.arange(100, (1100 if run else 600), 100)
        loss = 1 + 2 * np.exp(-step / (300 + 20 * run)) + rng.normal(0, 0.01, len(step))
        table = pd.DataFrame({"step": step, "val_loss": loss, "my_loss": loss, "val_acc": 1 - loss / 4})
        table.to_csv(tmp_path / "logs" / f"run{run}.csv", index=False)
        rows.append(f"run{run},family{run},1000,{1000 * (run + 1)}\n")
    Path("runs.csv").write_text("run,family,last_step,parameters\n" + "".join(rows))
    Path("metrics.csv").write_text(
        "metric,kind,lower,upper,better,chance\nmy_loss,loss,0,,lower,\nval_acc,capability,0,1,higher,0.1\n"
    )
    Path("results.csv").write_text("iteration,val_loss\n1,2.0\n2,1.5\n3,1.25\n")
    Path("train.log").write_text("Up. 100 : Sen. 6400 : Cost 5.5\nUp. 200 : Sen. 12800 : Cost 4.5\n")
    return tmp_path


@pytest.mark.parametrize("page", ["how-to/refused-log.md", "how-to/kinds-and-ends.md"])
def test_the_commands_of_a_page_run(page, desk):
    typed = [words for words in commands(DOCS / page) if "trial" not in " ".join(words)]
    assert typed
    for words in typed:
        out = desk / words[words.index("--out") + 1]
        # The same words with a baseline instead of `auto`: what is tried here is the page.
        quick = ["--forecaster", "mean_change"] if words[0] == "forecast" else []
        ran = CliRunner().invoke(cli, [*words[:-1], str(out.with_name(f"{out.name}-{typed.index(words)}")), *quick])
        assert ran.exit_code == 0, (words, ran.output, ran.exception)


def test_a_model_is_saved_and_a_page_made_again_as_the_pages_say(desk):
    fit, forecast = commands(DOCS / "how-to" / "save-a-model.md")
    again, elsewhere = (words for words in commands(DOCS / "how-to" / "publish.md") if words[0] == "report")
    backtest = [
        "backtest",
        "logs",
        "--cutoffs",
        "0.3",
        "--forecasters",
        "mean_change",
        "--metrics",
        "val_loss",
        "--out",
        "backtest",
    ]
    runs = ["--set", "runs_file=runs.csv"]
    for words in (
        [*fit, "--forecaster", "mean_change", *runs],
        [*forecast, *runs],
        [*backtest, *runs],
        again,
        elsewhere,
    ):
        ran = CliRunner().invoke(cli, words)
        assert ran.exit_code == 0, (words, ran.output, ran.exception)
    assert "run0" in (desk / "forecast" / "index.html").read_text(encoding="utf-8")
    assert (desk / "page" / "index.html").read_bytes() == (desk / "backtest" / "index.html").read_bytes()


def test_the_page_of_forecasters_lists_them_all():
    page = (DOCS / "reference" / "forecasters.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, flags=re.M) == list(
        dict.fromkeys(re.findall(r"^\| `(\w+)` \|", page, flags=re.M))
    )
    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.M)) == set(names())
