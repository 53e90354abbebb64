"""The command line: files and columns of the contract, one line and status 2 on bad input, nothing half-written."""

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from predictdyn import cli_words
from predictdyn.api import reading
from predictdyn.curves import curves_from
from predictdyn.loaders import tidy

FORECAST_COLUMNS = [
    *("forecaster", "fold", "cutoff", "run", "metric", "kind", "step", "status", "truth", "mean", "sd"),
    *("q0.025", "q0.05", "q0.1", "q0.25", "q0.5", "q0.75", "q0.9", "q0.95", "q0.975"),
]
SCORE_COLUMNS = [
    "n_runs",
    "n",
    "crps",
    "log_score",
    "ae",
    "rmsle",
    "coverage_50",
    "coverage_90",
    "width_90",
    "skill",
    "skill_lo",
    "skill_hi",
    "fallback_share",
]


def check_one_line(status: int, out: str, err: str, words: str) -> None:
    assert status == 2, err
    assert out == "" and err.count("\n") == 1 and words in err and "Traceback" not in err


def test_help_answers_at_once():
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "predictdyn", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "backtest" in done.stdout
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"numpy", "pandas", "scipy", "jax", "matplotlib", "sklearn"}
    assert time.perf_counter() - began < 30, "a hang, not a speed"


def test_backtest_writes_the_files_of_the_contract(call, data, tmp_path):
    out = tmp_path / "result"
    status, printed, err = call(
        "backtest", data, "--out", out, "--forecasters", "curve_fit", "--cutoffs", "0.1,0.4", "--quiet", "--seed", 4
    )
    assert status == 0 and err == ""
    assert printed.strip().endswith(str(out / "index.html"))
    forecasts = pd.read_parquet(out / "forecasts.parquet")
    assert list(forecasts.columns)[: len(FORECAST_COLUMNS)] == FORECAST_COLUMNS
    assert set(forecasts["cutoff"]) == {0.1, 0.4} and forecasts["truth"].notna().all()
    scores = pd.read_csv(out / "scores.csv")
    assert list(scores.columns)[:4] == ["forecaster", "kind", "metric", "cutoff"]
    assert list(scores.columns)[4:17] == SCORE_COLUMNS
    board = pd.read_csv(out / "leaderboard.csv")
    assert board["forecaster"].is_unique and set(board["forecaster"]) == set(scores["forecaster"])
    about = json.loads((out / "provenance.json").read_text())
    assert about["seed"] == 4 and "backtest" in about["command"] and "points.parquet" in about["sha256"]
    assert "<html" in (out / "index.html").read_text() and (out / "report.md").stat().st_size > 500
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"], "nothing else is left behind"


def test_the_board_shows_who_was_asked_for_however_bad(call, data, tmp_path):
    words = ("--metrics", "loss", "--cutoffs", "0.4", "--quiet")
    status, printed, err = call("backtest", data, "--out", tmp_path / "a", "--forecasters", "chance", *words)
    board = pd.read_csv(tmp_path / "a" / "leaderboard.csv")["forecaster"].tolist()
    assert status == 0, err
    assert board.index("chance") >= 5, "else this shows nothing"
    shown = [line.split()[0] for line in printed.splitlines()]
    wanted = [name for place, name in enumerate(board) if place < 5 or name == "chance"]
    assert shown[: len(wanted) + 1] == ["forecaster", *wanted]
    about = json.loads((tmp_path / "a" / "provenance.json").read_text(encoding="utf-8"))
    assert about["primary_forecaster"] == "chance", "the page speaks for the first that was asked for"
    left = len(board) - len(wanted)
    assert (f"... and {left} more in {tmp_path / 'a' / 'leaderboard.csv'}" in printed) == (left > 0)


def test_a_baseline_that_was_asked_for_and_answered_nothing_is_told_of(call, small, tmp_path):
    (tmp_path / "two").mkdir()
    # Of two runs one has not ended, so no finished run says how the other changes.
    two = small.select(runs=["f0-s0", "f1-s0"], metrics=["accuracy"])
    two = two.where(((two.points["run"] == "f0-s0") | (two.points["step"] < 500)).to_numpy())
    tidy.save(two, tmp_path / "two")
    words = ("--forecasters", "mean_change", "--cutoffs", "0.3", "--quiet")
    status, printed, err = call("backtest", tmp_path / "two", "--out", tmp_path / "out", *words)
    assert status == 0 and "mean_change answered 0 of 1 forecasts (0 %); the rest are the last value" in err
    assert "mean_change did not answer" in (tmp_path / "out" / "index.html").read_text()
    row = next(line for line in printed.splitlines() if line.startswith("mean_change"))
    assert "nan" not in printed and row.split()[2] == "-"


def test_the_board_counts_what_each_can_forecast_where_the_terminal_is_wide(call, small, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    tidy.save(curves_from(small.points, small.runs.assign(family=small.runs.index), small.metrics), tmp_path / "in")
    words = ("backtest", tmp_path / "in", "--forecasters", "last_value", "--cutoffs", "0.1,0.4", "--quiet")
    monkeypatch.setenv("COLUMNS", "70")
    board = call(*words, "--out", tmp_path / "wide")[1].splitlines()
    verdicts = pd.read_csv(tmp_path / "wide" / "verdicts.csv")
    assert board[0].endswith("90 % held  predictable")
    rows = [line for line in board[1:] if line.endswith(" of 10")]
    assert len(rows) >= 5 and max(map(len, rows)) <= 70
    for name, *_, sure, _, known in map(str.split, rows):
        own = verdicts.loc[verdicts["forecaster"] == name, "verdict"]
        assert int(sure) == (own == "predictable here").sum() and int(known) == len(own) == 10
    assert f"skill surely above 0; {tmp_path / 'wide' / 'verdicts.csv'} has each" in board[-2]
    monkeypatch.setenv("COLUMNS", "60")
    narrow = call(*words, "--out", tmp_path / "narrow")[1].splitlines()
    assert narrow[0] == board[0].removesuffix("  predictable")
    assert not any(line.startswith("predictable:") for line in narrow)


@pytest.mark.parametrize(("clock", "workers", "told"), [(61, 1, True), (59, 1, False), (61, 2, False)])
def test_a_long_backtest_of_one_process_says_that_there_can_be_several(
    call, data, tmp_path, monkeypatch, clock, workers, told
):
    times = iter([0, clock])
    monkeypatch.setattr("predictdyn.cli.time", SimpleNamespace(monotonic=lambda: next(times)))
    monkeypatch.setattr("predictdyn.cli._backtest", lambda *_, **__: None)
    monkeypatch.setattr("predictdyn.cli_words.os.cpu_count", lambda: 3)
    status, _, err = call("backtest", data, "--out", tmp_path / "out", "--workers", workers)
    said = "one process took 61 s; next time --workers 3 spreads the work over 3\n"
    assert status == 0 and err == (said if told else "")


def test_a_forecaster_with_too_few_runs_has_no_count():
    few = pd.DataFrame({"forecaster": ["a", "a", "b"], "verdict": ["too few runs to say"] * 2 + ["predictable here"]})
    assert [cli_words.verdict(few, name) for name in "ab"] == ["too few runs to say", "1 of 1"]


def test_one_family_is_refused_before_any_work(call, small, tmp_path):
    (tmp_path / "in").mkdir()
    tidy.save(curves_from(small.points, small.runs.assign(family="all"), small.metrics), tmp_path / "in")
    words = (
        "backtest",
        tmp_path / "in",
        "--forecasters",
        "mean_change",
        "--metrics",
        "loss",
        "--cutoffs",
        "0.4",
        "--quiet",
    )
    check_one_line(*call(*words, "--out", tmp_path / "out"), "type --hold-out run to hold out one run at a time")
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]
    assert call(*words, "--hold-out", "run", "--out", tmp_path / "out")[0] == 0


def test_outcomes_among_settings_and_guessed_schedules_are_told_on_every_page(call, small, tmp_path):
    """A column that holds the end of each run, a rate that is a schedule by its name: neither moves a forecast."""
    end = small.points[(small.points["metric"] == "loss") & (small.points["step"] == 1000)].set_index("run")["value"]
    points = small.points[small.points["metric"].isin(["loss", "rate"])].replace({"metric": {"rate": "lr"}})
    points["value"] += np.where(points["metric"] == "lr", points["run"].map(end) * (points["step"] > 500), 0.0)
    for name, runs in (("plain", small.runs), ("leaky", small.runs.assign(final_loss=end))):
        (tmp_path / name).mkdir()
        points.to_csv(tmp_path / name / "points.csv", index=False)
        runs.to_csv(tmp_path / name / "runs.csv")
    words = ("--metrics", "loss", "--quiet")
    made = {
        "backtest": ("--forecasters", "mean_change", "--cutoffs", "0.4"),
        "forecast": ("--forecaster", "last_value", "--runs", "f0-s0", "--cutoff", 0.4),
    }
    for command, more in made.items():
        for name in ("plain", "leaky"):
            out = tmp_path / f"{command}-{name}"
            status, _, err = call(command, tmp_path / name, "--out", out, *words, *more)
            assert status == 0, err
            for page in (err, (out / "index.html").read_text(), (out / "report.md").read_text().replace("\\", "")):
                assert "lr is a schedule by its name alone, and runs of equal plans differ in it" in page
                assert ("column final_loss of runs has the name of an outcome" in page) == (name == "leaky")
        tables = [pd.read_parquet(tmp_path / f"{command}-{n}" / "forecasts.parquet") for n in ("plain", "leaky")]
        pd.testing.assert_frame_equal(*tables)


def test_a_fixed_split_with_hidden_targets(call, small, tmp_path):
    points = small.points.assign(seen=(small.points["step"] <= 200).astype(int))
    (tmp_path / "in").mkdir()
    points.to_csv(tmp_path / "in" / "points.csv", index=False)
    words = ("--split", "seen", "--targets", "hidden", "--forecasters", "last_value", "--metrics", "loss", "--quiet")
    status, _, err = call("backtest", tmp_path / "in", "--out", tmp_path / "out", *words)
    assert status == 0, err
    forecasts = pd.read_parquet(tmp_path / "out" / "forecasts.parquet")
    hidden = points[(points["metric"] == "loss") & (points["seen"] == 0)]
    assert len(forecasts[forecasts["forecaster"] == "last_value"]) == len(hidden)
    assert forecasts["cutoff"].isna().all() and len(pd.read_csv(tmp_path / "out" / "scores.csv")) == 7


def test_only_the_named_runs_take_part(call, small, data, tmp_path):
    words = ("--runs", "f[01]-*", "--forecasters", "last_value", "--metrics", "loss", "--cutoffs", "0.4", "--quiet")
    status, _, err = call("backtest", data, "--out", tmp_path / "part", *words)
    assert status == 0, err
    rows = pd.read_parquet(tmp_path / "part" / "forecasts.parquet")
    assert set(rows["run"]) == {"f0-s0", "f0-s1", "f1-s0", "f1-s1"} and set(rows["fold"]) == {"f0", "f1"}
    alone = small.select(runs=set(rows["run"]))
    (tmp_path / "alone").mkdir()
    tidy.save(alone, tmp_path / "alone")
    assert call("backtest", tmp_path / "alone", "--out", tmp_path / "same", *words[2:])[0] == 0
    pd.testing.assert_frame_equal(rows, pd.read_parquet(tmp_path / "same" / "forecasts.parquet"))


def test_load_fit_forecast_report(call, small, data, tmp_path):
    status, printed, _ = call("load", "tidy", data, "--out", tmp_path / "tidy")
    assert status == 0 and "8 runs, 7 metrics" in printed
    assert call("fit", tmp_path / "tidy", "--forecaster", "last_value", "--out", tmp_path / "model", "--quiet")[0] == 0
    growing = small.select(runs=["f1-s0"]).truncate(0.3)
    (tmp_path / "live").mkdir()
    tidy.save(growing.select(metrics={"loss", "accuracy", "gap"}), tmp_path / "live")
    words = ("--model", tmp_path / "model", "--out", tmp_path / "page", "--quiet")
    status, printed, err = call("forecast", tmp_path / "live", *words)
    assert status == 0, err
    rows = pd.read_parquet(tmp_path / "page" / "forecasts.parquet")
    assert list(rows.columns)[: len(FORECAST_COLUMNS)] == FORECAST_COLUMNS
    assert (rows["forecaster"] == "last_value").all() and rows["truth"].isna().all() and (rows["step"] == 1000).all()
    assert set(rows["metric"]) == {"loss", "accuracy", "gap"} and (rows["status"] == "ok").all()
    assert "f1-s0  loss at 1000:" in printed
    before = (tmp_path / "page" / "index.html").read_text()
    assert call("report", tmp_path / "page")[0] == 0
    assert (tmp_path / "page" / "index.html").read_text() == before


@pytest.mark.parametrize("command", ["fit", "forecast", "backtest"])
def test_every_command_prepares_its_curves_once(call, data, tmp_path, monkeypatch, command):
    counted = []
    real = reading.known_before
    monkeypatch.setattr(reading, "known_before", lambda curves: counted.append(1) or real(curves))
    more = {
        "fit": ["--forecaster", "last_value"],
        "forecast": ["--forecaster", "last_value", "--metrics", "loss", "--runs", "f0-s0", "--cutoff", 0.3],
        "backtest": ["--forecasters", "last_value", "--metrics", "loss", "--cutoffs", 0.4],
    }
    assert call(command, data, "--out", tmp_path / "out", "--quiet", *more[command])[0] == 0
    assert len(counted) == 1


def test_a_model_that_knows_the_run_says_so_and_forgets_it(call, data, tmp_path):
    assert call("fit", data, "--forecaster", "last_value", "--out", tmp_path / "model", "--quiet")[0] == 0
    words = ("--runs", "f0-s0", "--cutoff", 0.3, "--metrics", "loss", "--quiet", "--seed", 0)
    status, printed, err = call("forecast", data, "--model", tmp_path / "model", "--out", tmp_path / "page", *words)
    assert status == 0 and err.count("\n") == 1 and "fitted again without them, on 7 run(s)" in err
    # The same as if it had been fitted on the others at once.
    assert (
        call("forecast", data, "--forecaster", "last_value", "--out", tmp_path / "plain", *words)[1].splitlines()[0]
        == (printed.splitlines()[0])
    )
    about = json.loads((tmp_path / "page" / "provenance.json").read_text())
    assert len(about["warnings"]) == 1 and about["warnings"][0] in err
    for page in ("index.html", "report.md"):
        assert "fitted again without them" in (tmp_path / "page" / page).read_text()


def test_joint_events_get_probabilities(call, data, tmp_path):
    words = (
        "--forecaster",
        "mean_change",
        "--runs",
        "f0-*",
        "--cutoff",
        0.3,
        "--metrics",
        "loss,accuracy,gap",
        "--quiet",
    )
    texts = ("accuracy > 0.2 and 'gap' < 0.5", "loss < 0")
    events = [word for text in texts for word in ("--event", text)]
    status, printed, err = call("forecast", data, "--out", tmp_path / "page", *words, *events)
    assert status == 0, err
    table = pd.read_csv(tmp_path / "page" / "probabilities.csv")
    assert list(table.columns) == ["run", "event", "probability", "status"]
    assert list(zip(table["event"], table["run"], strict=True)) == [(e, r) for e in texts for r in ("f0-s0", "f0-s1")]
    assert (table["probability"][:2] > 0.2).all() and (table["probability"][2:] == 0).all()
    assert f"f0-s1  P(loss < 0) = {0:.3f}  ok" in printed
    page = (tmp_path / "page" / "index.html").read_text()
    assert "How likely it is" in page and "accuracy &gt; 0.2" in page
    status, _, err = call("forecast", data, "--out", tmp_path / "none", *words, "--event", "acuracy > 0.2")
    wrong = "names metric 'acuracy'; did you mean 'accuracy'? an event here can name accuracy, gap, loss"
    assert (status, err) == (2, f"predictdyn: event 'acuracy > 0.2' {wrong}\n")
    assert not (tmp_path / "none").exists()


def test_forecast_at_a_step_from_a_cutoff(call, data, tmp_path):
    words = (
        "--forecaster",
        "last_value",
        "--runs",
        "f0-s0",
        "--upto",
        100,
        "--at",
        500,
        "--metrics",
        "loss",
        "--quiet",
    )
    assert call("forecast", data, "--out", tmp_path / "page", *words)[0] == 0
    (row,) = pd.read_parquet(tmp_path / "page" / "forecasts.parquet").to_dict("records")
    assert row["step"] == 500 and row["run"] == "f0-s0" and np.isfinite(row["q0.5"])


@pytest.fixture(scope="module")
def changed(small, tmp_path_factory):
    """A tidy folder with the small curves and, for each run but one, an arm that loses its gap after half of it."""
    plain = small.runs.assign(intervention="none", intervention_step=np.nan, baseline=small.runs.index)
    bases = [run for run in small.runs.index if run != "f0-s0"]
    arms = plain.loc[bases].assign(intervention="balanced", intervention_step=500).rename(index="{}-arm".format)
    points = small.points[small.points["run"].isin(bases)].assign(run=lambda table: table["run"] + "-arm")
    late = (points["step"] > 500) & (points["metric"] == "gap")
    points["value"] = points["value"].where(~late, 0.1 * points["value"])
    curves = curves_from(pd.concat([small.points, points]), pd.concat([plain, arms]), small.metrics)
    folder = tmp_path_factory.mktemp("data") / "changed"
    folder.mkdir()
    tidy.save(curves.select(metrics={"gap", "accuracy", "rate"}), folder)
    return folder


def test_forecast_with_an_intervention(call, changed, tmp_path):
    words = ("--forecaster", "last_value", "--runs", "f0-s0", "--cutoff", 0.4, "--quiet", "--seed", 1)
    asked = ("--intervene", "balanced@500", "--intervene", "balanced@600")
    status, printed, err = call("forecast", changed, "--out", tmp_path / "page", *words, *asked)
    assert status == 0, err
    table = pd.read_csv(tmp_path / "page" / "effects.csv")
    assert len(table) == 4 and set(table["intervention_step"]) == {500, 600}
    gap = table[table["metric"] == "gap"].iloc[0]
    assert gap["effect_q0.95"] < 0 and gap["mean_high"] < 0 and gap["n_pairs"] == 7 and gap["n_families"] == 4
    assert gap["with_q0.5"] < gap["without_q0.5"]
    assert gap["words"] == "paired runs support it: 7 pairs in 4 families, interval excludes zero"
    assert (table.loc[table["metric"] == "accuracy", "effect_q0.5"].abs() < 0.02).all()
    assert "balanced after 500:" in printed and "paired runs support it" in printed
    page = (tmp_path / "page" / "index.html").read_text()
    assert "If the training is changed" in page and "predicted, not causal" in page
    # The usual forecast is the one without.
    assert call("forecast", changed, "--out", tmp_path / "plain", *words)[0] == 0
    pd.testing.assert_frame_equal(*(pd.read_parquet(tmp_path / n / "forecasts.parquet") for n in ("page", "plain")))
    assert "If the training is changed" not in (tmp_path / "plain" / "index.html").read_text()


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("balanced", "--intervene takes NAME@STEP, a step from 0 on, got 'balanced'"),
        ("@500", "--intervene takes NAME@STEP"),
        ("balanced@late", "--intervene takes NAME@STEP"),
        ("balanced@nan", "--intervene takes NAME@STEP"),
        ("swapped@500", "no finished run has the intervention 'swapped'; there are balanced"),
        ("balanced@100", "beyond the intervention at 100"),
        ("balanced@5000", "ends at step 1000, before the intervention at 5000"),
    ],
)
def test_a_wrong_intervention_is_one_line(call, changed, tmp_path, plan, said):
    words = ("--forecaster", "last_value", "--runs", "f0-s0", "--cutoff", 0.4, "--quiet", "--intervene", plan)
    check_one_line(*call("forecast", changed, "--out", tmp_path / "page", *words), said)
    assert not list(tmp_path.iterdir())


def test_an_intervention_that_no_run_knows(call, data, tmp_path):
    words = (
        "--forecaster",
        "mean_change",
        "--runs",
        "f0-s0",
        "--cutoff",
        0.4,
        "--quiet",
        "--intervene",
        "balanced@500",
    )
    status, out, err = call("forecast", data, "--out", tmp_path / "page", *words)
    check_one_line(status, out, err, "runs need the columns intervention, intervention_step, baseline")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("backtest", "DATA", "--out", "OUT", "--forecasters", "oracle"),
            "no forecaster 'oracle'; known are last_value",
        ),
        (("backtest", "DATA", "--out", "OUT", "--source", "tape"), "no source 'tape'; known are huggingface"),
        (("backtest", "DATA", "--out", "OUT", "--cutoffs", "0.1,2"), "got 0.1, 2.0; write 0.02 for 2 %"),
        (("backtest", "DATA", "--out", "OUT", "--cutoffs", "half"), "cutoffs are shares in [0, 1), got 'half'"),
        (("backtest", "DATA", "--out", "OUT", "--test", "z*"), "no run matches 'z*'"),
        (("backtest", "DATA", "--out", "OUT", "--runs", "z*"), "no run matches 'z*'"),
        (("backtest", "DATA", "--out", "OUT", "--metrics", "z*"), "no metric matches 'z*'"),
        (("backtest", "DATA", "--out", "OUT", "--hold-out", "colour"), "hold-out column 'colour' is not in runs"),
        (("backtest", "DATA", "--out", "OUT", "--split", "seen"), "needs a column seen"),
        (("backtest", "DATA", "--out", "OUT", "--workers", "0"), "--workers is at least 1, got 0"),
        (("backtest", "NOWHERE", "--out", "OUT"), "no such file or folder"),
        (("backtest", "EMPTY", "--out", "OUT"), "cannot tell what this is"),
        (("backtest", "DATA", "--out", "TAKEN"), "exists already; choose another --out"),
        (("backtest", "DATA", "--out", "OUT", "--set", "runs_file"), "--set takes NAME=VALUE, got 'runs_file'"),
        (("backtest", "DATA", "--out", "OUT", "--set", "colour=red"), "has no option 'colour'"),
        (("forecast", "DATA", "--out", "OUT"), "nothing is left to forecast"),
        (("forecast", "DATA", "--out", "OUT", "--upto", "5", "--cutoff", "0.1"), "give --upto or --cutoff, not both"),
        (
            ("forecast", "DATA", "--out", "OUT", "--cutoff", "30"),
            "--cutoff is a share in [0, 1), got 30; write 0.3 for 30 %",
        ),
        # Nothing is read before.
        (("forecast", "NOWHERE", "--out", "OUT", "--cutoff", "-1"), "--cutoff is a share in [0, 1), got -1\n"),
        (("forecast", "NOWHERE", "--out", "OUT", "--upto", "5", "--cutoff", "0.1"), "--upto or --cutoff, not both"),
        (("forecast", "DATA", "--out", "OUT", "--at", "soon"), "--at is a step or final, got 'soon'"),
        (("forecast", "DATA", "--out", "OUT", "--model", "EMPTY"), "not a fitted forecaster"),
        (
            ("forecast", "DATA", "--out", "OUT", "--model", "EMPTY", "--forecaster", "auto"),
            "--model or --forecaster, not both",
        ),
        (("fit", "DATA", "--out", "TAKEN"), "exists already"),
        (("load", "tape", "DATA", "--out", "OUT"), "no source 'tape'"),
        (("report", "EMPTY"), "provenance.json"),
    ],
    ids=lambda words: " ".join(words[:1] + words[4:]) if isinstance(words, tuple) else "",
)
def test_a_wrong_call_ends_in_one_clear_line(call, data, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("keep")
    place = {"DATA": data, "OUT": tmp_path / "out", "EMPTY": tmp_path / "empty", "TAKEN": tmp_path / "taken"}
    status, out, err = call(*(place.get(word, word) for word in words))
    check_one_line(status, out, err, said)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["empty", "taken"], "nothing half-written"
    assert (tmp_path / "taken" / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ("run,metric,step\na,loss,1\n", "missing column"),
        ("run,metric,step,value\na,loss,1,2\na,loss,1,3\n", "must be unique"),
        ("run,metric,step,value\na,loss,1,nan\n", "line 2: found nan"),
        ("run,metric,step,value\na,loss,1,inf\n", "line 2: found inf"),
        ("run,metric,step,value\na,loss,1,low\n", "must be a number, found 'low'"),
        ("run,metric,step,value\na,accuracy,1,1.5\n", "line 2: found 1.5 for run 'a'"),
        ("", "points.csv"),
    ],
    ids=["column", "duplicate", "nan", "inf", "text", "range", "empty"],
)
def test_bad_data_ends_in_one_clear_line(call, tmp_path, points, said):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "points.csv").write_text(points)
    (tmp_path / "in" / "metrics.csv").write_text(
        "metric,kind,lower,upper,better,chance\naccuracy,capability,0,1,higher,0.1\n"
    )
    status, out, err = call("backtest", tmp_path / "in", "--out", tmp_path / "out", "--quiet")
    check_one_line(status, out, err, said)
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


def test_truncated_json_ends_in_one_clear_line(call, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "m_step10.json").write_text('{"results": {"piqa": {"acc": 0.5')
    check_one_line(*call("backtest", tmp_path / "in", "--out", tmp_path / "out", "--quiet"), "m_step10.json")


def test_runs_with_fewer_points_than_a_form_has_parameters_get_a_status(call, small, tmp_path):
    few = small.points[(small.points["step"] <= 2) | (small.points["step"] == 1000)]
    (tmp_path / "in").mkdir()
    few.to_csv(tmp_path / "in" / "points.csv", index=False)
    words = ("--forecasters", "curve_fit", "--cutoffs", "0.5,0.0005", "--metrics", "loss", "--quiet")
    status, _, err = call("backtest", tmp_path / "in", "--out", tmp_path / "out", *words)
    assert status == 0, err
    rows = pd.read_parquet(tmp_path / "out" / "forecasts.parquet").query("forecaster == 'curve_fit'")
    assert set(rows[rows["cutoff"] == 0.5]["status"]) == {"rule has no answer: last value"}
    assert set(rows[rows["cutoff"] == 0.0005]["status"]) == {"nothing seen: mean of finished runs"}
    assert np.isfinite(rows["crps"]).all()


def test_a_bar_on_stderr_and_results_on_stdout(call, data, tmp_path):
    words = ("--forecasters", "last_value", "--cutoffs", "0.4", "--metrics", "loss")
    status, out, err = call("backtest", data, "--out", tmp_path / "out", *words)
    assert status == 0 and "backtest" in err and "forecaster" in out and "backtest" not in out


def test_without_a_command_it_says_where_to_begin() -> None:
    for words, expected in (([], "predictdyn demo"), (["datasets"], "fetch")):
        done = subprocess.run([sys.executable, "-m", "predictdyn", *words], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and "\\n" not in done.stdout and not done.stderr
        assert any(line.strip().startswith(expected) for line in done.stdout.splitlines())
