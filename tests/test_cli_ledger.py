"""The commands of ledgers, as a new user types them: register today, resolve when the run ends, publish the record."""

import re
import shlex
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from predictdyn.cli import cli
from predictdyn.cli_ledger import _absent
from predictdyn.cli_words import listed
from predictdyn.ledger.resolving import Absent
from predictdyn.loaders import tidy
from tests.ledger.conftest import begun


@pytest.fixture
def typed(small, tmp_path, monkeypatch):
    """A desk with the logs of today and of later; a function that types a command."""
    monkeypatch.chdir(tmp_path)
    after = small.select(metrics=["accuracy", "loss"])
    for name, curves in (("today", begun(after, 0.2)), ("later", after)):
        (tmp_path / name).mkdir()
        tidy.save(curves, tmp_path / name)

    def run(words, fails=False):
        done = CliRunner().invoke(cli, words.split())
        assert (done.exception is not None) == fails, done.output
        return str(done.exception) if fails else done.output

    run("forecast today --forecaster mean_change --out forecast --quiet")
    return run


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("2020-01-01", "got 2020-01-01; today is 20"),
        (
            "600",
            "resolve_by=600 is too early for accuracy of f3-s0 at step 1000: only values from step 980 on answer it",
        ),
    ],
)
def test_a_deadline_that_is_too_early_registers_nothing(typed, tmp_path, by, words):
    assert words in typed(f"register forecast --ledger runs.ledger --private f3-s0 --resolve-by {by}", fails=True)
    assert not list(tmp_path.glob("runs.ledger*"))


def test_register_resolve_record_publish(typed, tmp_path):
    said = typed("register forecast --ledger runs.ledger --author Ada --resolve-by 2030-01-01")
    assert "4 forecast(s) registered -> runs.ledger" in said and "replay" not in said
    assert "0 forecast(s) registered, 4 were there already" in typed(
        "register forecast --ledger runs.ledger --author Ada --resolve-by 2030-01-01"
    )
    assert "0 answered now; in all 4 open" in typed("resolve runs.ledger today")
    said = typed("resolve runs.ledger later")
    assert "4 answered now; in all 4 resolved" in said and "accuracy of f3-s0 at step 1000: resolved, 0." in said
    head = typed("ledger head runs.ledger").strip()
    assert f"head: {head}" in said and len(head) == 12
    assert typed(f"ledger verify runs.ledger --head {head}") == f"whole: 9 entries\nhead: {head}\n"
    assert "record/index.html" in typed("record runs.ledger --out record")
    said = typed("publish record --to public")
    assert "nothing is written yet" in said and not (tmp_path / "public").exists()
    assert "public/index.html" in typed("publish record --to public --yes")
    for name in ("git", "out.jsonl"):
        typed(f"ledger export runs.ledger --out {name}")
        assert f"head: {head}" in typed(f"ledger verify {name} --head {head}")
    typed("ledger import git --out again.ledger")
    assert typed("ledger head again.ledger").strip() == head


def test_a_question_whose_run_is_not_in_the_logs_is_named_and_can_be_closed(typed, small, tmp_path):
    typed("register forecast --ledger runs.ledger --private f3-s0")
    (tmp_path / "other").mkdir()
    tidy.save(small.select(runs=["f3-s1"], metrics=["accuracy", "loss"]), tmp_path / "other")
    said = typed("resolve runs.ledger other")
    assert "in all 2 open, 2 resolved" in said and "2 open question(s) have no run in these logs" in said
    assert "read logs that call the run f3-s0, or type --ended f3-s0 if it has stopped for good\n" in said
    (tmp_path / "runs.ledger.aliases.json").unlink()
    said = typed("resolve runs.ledger other")
    (alias,) = re.findall(r"--ended (run-[0-9a-f]{6}) if", said)
    assert f"accuracy of {alias} at step 1000" in said
    assert f"if {alias} is an alias, put runs.ledger.aliases.json back" in said
    said = typed(f"resolve runs.ledger other --ended {alias}")
    assert "2 censored" in said and "censored, the logs do not have the run" in said
    assert "no run in these logs" not in typed("resolve runs.ledger other")


def test_answers_whose_evaluation_nobody_checked_are_counted(typed, tmp_path):
    typed("register forecast --ledger runs.ledger --evaluation v2")
    said = typed("resolve runs.ledger later")
    assert "4 answer(s) count although the logs name no version of the evaluation, and the rule does" in said
    assert "name it as evaluation in runs.csv" in said and "4 resolved" in said
    typed("register forecast --ledger b.ledger")
    assert "no version" not in typed("resolve b.ledger later")
    runs = pd.read_csv(tmp_path / "later" / "runs.csv").assign(evaluation="v2")
    runs.to_csv(tmp_path / "later" / "runs.csv", index=False)
    typed("register forecast --ledger c.ledger --evaluation v2")
    said = typed("resolve c.ledger later")
    assert "no version" not in said and "4 resolved" in said


def test_a_name_with_letters_of_globs_can_be_typed_as_it_is_printed():
    said = _absent([Absent("loss", "a,[b] c")], Path("runs.ledger"))
    (typed,) = listed(shlex.split(said.split("type ")[1])[1])
    assert fnmatchcase("a,[b] c", typed)


def test_faults_are_one_line(typed, tmp_path):
    assert "is a backtest" not in typed("register today --ledger a.ledger", fails=True)
    assert "there is no ledger" in typed("resolve a.ledger later", fails=True)
    typed("register forecast --ledger a.ledger")
    raw = (tmp_path / "a.ledger").read_bytes()
    place = raw.index(b'"author":""')
    (tmp_path / "a.ledger").write_bytes(raw[:place] + b'"author":"x"'[:11] + raw[place + 11 :])
    assert "is not as it was written" in typed("ledger verify a.ledger", fails=True)
    assert "has no index.html" in typed("publish today --to public", fails=True)
    assert "void_if= has reasons out of" in typed("register forecast --ledger b.ledger --void-if luck", fails=True)


def test_a_replay_is_said(typed):
    typed("forecast later --forecaster mean_change --out replay --cutoff 0.2 --runs f3-s0 --quiet")
    assert "marked as replays, and do not count" in typed("register replay --ledger a.ledger")
