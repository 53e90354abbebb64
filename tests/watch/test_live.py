"""The live loop: reads what is new, tells each alarm once over kill -9 and restart, and draws a page."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from tensorboardX import SummaryWriter

import predictdyn as pdyn
from predictdyn.cli import cli
from predictdyn.curves import Curves, no_curves
from predictdyn.forecasters import fit
from predictdyn.watch.alarm import Alarm, Look
from predictdyn.watch.follow import Follower
from predictdyn.watch.hooks import HookError, command_hook
from predictdyn.watch.own_folder import check_own
from predictdyn.watch.plain import Plain
from predictdyn.watch.state import TRACK, alarm_id, durable, read_state, thinned
from predictdyn.watch.watcher import Watcher, table_of

MADE = {"path": "/logs", "targets": []}


def log(folder: Path, run: str, steps: range, value, name: str = "val_loss") -> None:
    """Rows of one run, as a training script appends them."""
    file = folder / f"{run}.csv"
    begun = file.exists()
    with file.open("a") as opened:
        opened.write("" if begun else f"step,{name}\n")
        opened.writelines(f"{step},{value(step)}\n" for step in steps)


def follower(folder: Path, last_step: int = 10) -> Follower:
    return Follower.of(folder, "wide", {"last_step": str(last_step)})


class Rings:
    """Rings once a run, at the first value above 5: what has rung is in the state alone."""

    def look(self, curves: Curves, state: dict) -> Look:
        rang = list(state.get("rang", []))
        alarms = []
        for (run, metric), curve in curves.series.items():
            high = curve.step[curve.value > 5]
            if len(high) and run not in rang:
                rang.append(run)
                alarms.append(Alarm(run, "off path", metric, high[0], high[0], 40.0, "above 5"))
        table = pd.DataFrame({"run": list(curves.runs.index), "e_value": 1.0})
        return Look(tuple(alarms), {"rang": rang}, table)

    def save(self, folder: Path) -> None:
        raise AssertionError("nobody saves it")


def watcher(folder: Path, out: Path | None, hook=None, say=lambda line: None, **more) -> Watcher:
    return Watcher(follower(folder), MADE, Rings(), None, out=out, hook=hook, say=say, silent=0.0, **more)


def test_only_runs_whose_files_changed_are_read_again(tmp_path, monkeypatch):
    for run in "abc":
        log(tmp_path, run, range(3), lambda step: 1.0)
    follow = Follower.of(tmp_path, "wide", {"last_step": "10"})
    first = follow.news()
    assert first.grown == {"a", "b", "c"} and len(first.curves.points) == 9
    assert follow.news() is not None, "news that nobody accepted are told again"
    follow.accept(first)
    assert follow.news() is None
    log(tmp_path, "b", range(3, 10), lambda step: 2.0)
    second = follow.news()
    assert second.grown == {"b"} and len(second.curves.points) == 16 and not second.ended
    follow.accept(second)
    log(tmp_path, "b", range(10, 11), lambda step: 2.0)
    third = follow.news()
    assert third.ended == {"b"}
    follow.accept(third)
    log(tmp_path, "a", range(3, 4), lambda step: 2.0)
    assert set(follow.news().curves.runs.index) == {"a", "c"}, "a run whose end was told is in question no more"


def test_a_run_with_only_its_header_keeps_no_other_from_being_watched(tmp_path):
    log(tmp_path, "a", range(3), lambda step: 1.0)
    log(tmp_path, "b", range(0), lambda step: 1.0)
    follow = Follower.of(tmp_path, "wide", {"last_step": "10"})
    first = follow.news()
    assert first.grown == {"a"}
    assert any("b.csv: no rows, only names of columns" in note for note in first.notes)
    follow.accept(first)
    log(tmp_path, "b", range(1), lambda step: 1.0)
    assert follow.news().grown == {"b"}


def test_unchanged_logs_are_not_read(tmp_path, monkeypatch):
    for run in "ab":
        writer = SummaryWriter(str(tmp_path / run))
        writer.add_scalar("val_loss", 1.0, 1)
        writer.close()
    follow = Follower.of(tmp_path, "tensorboard", {"last_step": "10"})
    follow.accept(follow.news())
    read = []
    from dataclasses import replace

    inner = follow.source.read
    follow.source = replace(follow.source, read=lambda item, **own: read.append(item.run) or inner(item, **own))
    assert follow.news() is None and read == []
    writer = SummaryWriter(str(tmp_path / "b"))
    writer.add_scalar("val_loss", 0.5, 2)
    writer.close()
    assert follow.news().grown == {"b"} and read == ["b"]


def test_a_half_written_line_waits(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text('{"step": 1, "val_loss": 2.0}\n{"step": 2, "val_loss": 1.5}\n')
    follow = Follower.of(tmp_path, "json_lines", {"last_step": "10"})
    follow.accept(follow.news())
    with file.open("a") as opened:
        opened.write('{"step": 3, "val_loss": 1')
    assert follow.news() is None
    with file.open("a") as opened:
        opened.write(".25}\n")
    news = follow.news()
    assert news.curves.points["value"].tolist() == [2.0, 1.5, 1.25]


def test_runs_that_ended_before_the_first_look_are_the_past(tmp_path):
    log(tmp_path, "old", range(11), lambda step: 1.0)
    log(tmp_path, "new", range(3), lambda step: 1.0)
    news = follower(tmp_path).news()
    assert list(news.curves.runs.index) == ["new"] and news.total == 2


def test_the_usual_end_counts_where_nothing_else_says_one(tmp_path):
    log(tmp_path, "new", range(3), lambda step: 1.0)
    assert Follower.of(tmp_path, "wide", {}).news().curves is None
    news = Follower.of(tmp_path, "wide", {}, usual=50.0).news()
    assert news.curves.runs.loc["new", "last_step"] == 50


def test_a_run_that_ended_while_nobody_watched_is_told(tmp_path):
    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    out.mkdir()
    log(logs, "a", range(3), lambda step: 1.0)
    watcher(logs, out).look()
    log(logs, "a", range(3, 11), lambda step: 9.0)
    log(logs, "b", range(11), lambda step: 9.0)  # begun and ended in the meantime
    again = watcher(logs, out)
    assert {rung.alarm.run for rung in again.look()} == {"a", "b"}
    assert again.finished


def test_an_alarm_is_told_once_over_restarts(tmp_path):
    logs, out, called = tmp_path / "logs", tmp_path / "out", []
    logs.mkdir()
    out.mkdir()
    log(logs, "a", range(4), lambda step: 1.0 if step < 3 else 9.0)
    lines = []
    first = watcher(logs, out, called.append, lines.append)
    assert [rung.alarm.step for rung in first.look()] == [3.0]
    assert first.look() == [] and len(called) == 1
    again = watcher(logs, out, called.append, lines.append)
    assert again.look() == [] and len(called) == 1
    assert sum("ALARM" in line for line in lines) == 1
    assert called[0]["id"] == alarm_id(first.state.alarms[0].alarm) and called[0]["attempt"] == 1


def test_a_hook_that_was_broken_off_is_called_again_with_the_same_id(tmp_path):
    logs, out, called = tmp_path / "logs", tmp_path / "out", []
    logs.mkdir()
    out.mkdir()
    log(logs, "a", range(4), lambda step: 9.0)

    def killed(said):
        called.append(said)
        raise KeyboardInterrupt  # as a signal does: nothing after it is done

    with pytest.raises(KeyboardInterrupt):
        watcher(logs, out, killed).look()
    watcher(logs, out, called.append).look()
    assert [said["attempt"] for said in called] == [1, 2] and len({said["id"] for said in called}) == 1
    watcher(logs, out, called.append).look()
    assert len(called) == 2


def test_a_look_that_fails_before_its_state_is_kept_loses_no_alarm(tmp_path, monkeypatch):
    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    out.mkdir()
    log(logs, "a", range(4), lambda step: 9.0)
    watch = watcher(logs, out)
    monkeypatch.setattr(watch.detector, "look", lambda *_: (_ for _ in ()).throw(MemoryError), raising=False)
    with pytest.raises(MemoryError):
        watch.look()
    monkeypatch.undo()
    assert watch.state.runs == {} and len(watch.look()) == 1


def test_a_hook_that_fails_is_tried_three_times(tmp_path):
    log(tmp_path, "a", range(4), lambda step: 9.0)
    tries, lines = [], []

    def hook(said):
        tries.append(said["attempt"])
        raise HookError("no network")

    watch = watcher(tmp_path, None, hook, lines.append)
    for _ in range(5):
        watch.look()
    assert tries == [1, 2, 3] and watch.state.alarms[0].hook == "failed"
    assert sum("given up" in line for line in lines) == 1


def test_silence_rings_once_and_again_after_more_steps(tmp_path):
    log(tmp_path, "a", range(4), lambda step: 1.0)
    clock = [time.time()]
    watch = watcher(tmp_path, None, now=lambda: clock[0])
    watch.silent = 60.0
    assert watch.look() == []
    clock[0] += 61
    assert [rung.alarm.kind for rung in watch.look()] == ["clock stopped"]
    clock[0] += 1000
    assert watch.look() == []
    log(tmp_path, "a", range(4, 5), lambda step: 1.0)
    os.utime(tmp_path / "a.csv", (clock[0], clock[0]))
    assert watch.look() == []
    clock[0] += 5000  # less than five times the longest pause, 1061 s
    assert watch.look() == []
    clock[0] += 500
    assert [rung.alarm.step for rung in watch.look()] == [4.0]


def test_a_state_of_another_path_is_refused_and_of_other_targets_kept(tmp_path):
    log(tmp_path, "a", range(4), lambda step: 9.0)
    out = tmp_path / "out"
    out.mkdir()
    watcher(tmp_path, out).look()
    with pytest.raises(ValueError, match="holds the watch of /logs, not of /other"):
        read_state(out, {**MADE, "path": "/other"})
    other = read_state(out, {**MADE, "targets": ["val_loss < 1"]})
    assert other.detector == {} and len(other.alarms) == 1
    (out / "state.json").write_text("{")
    with pytest.raises(ValueError, match="is no state of a watch"):
        read_state(out, MADE)


@pytest.mark.parametrize("other", ["index.html", "provenance.json", "notes.txt"])
def test_a_watch_replaces_no_other_page(tmp_path, other):
    log(tmp_path, "a", range(4), lambda step: 9.0)
    out = tmp_path / "out"
    out.mkdir()
    (out / other).write_text("of somebody else")
    with pytest.raises(ValueError, match=rf"out was not written by a watch \(it holds {other}\); choose another out="):
        pdyn.watch(tmp_path / "logs", once=True, out=out, say=lambda _: None)
    assert [file.name for file in out.iterdir()] == [other] and (out / other).read_text() == "of somebody else"
    if other == "notes.txt":
        pdyn.Monitor(last_step=9, out=out)
    else:
        with pytest.raises(ValueError, match="was not written by a watch"):
            pdyn.Monitor(last_step=9, out=out)


def test_a_watch_goes_on_where_one_was(tmp_path):
    check_own(tmp_path / "new")
    for left in ([], [".gitkeep"], ["alarms"], ["alarms", "index.html", "state.json", "watch.log"]):
        folder = tmp_path / str(len(left))
        folder.mkdir(exist_ok=True)
        for name in left:
            (folder / name).touch()
        check_own(folder)
    (folder / "provenance.json").touch()
    with pytest.raises(ValueError, match=r"it holds alarms, index.html, provenance.json, state.json and 1 more"):
        check_own(folder)


def test_a_file_is_whole_at_any_moment(tmp_path, monkeypatch):
    durable(tmp_path / "f", b"old")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        durable(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"


def test_the_track_stays_small_and_keeps_its_ends():
    track = []
    for step in range(1000):
        track = thinned([*track, {"step": step}])
    assert len(track) <= TRACK and track[0]["step"] == 0 and track[-1]["step"] == 999
    assert [one["step"] for one in track[-10:]] == list(range(990, 1000))


@pytest.fixture(scope="module")
def board(tmp_path_factory) -> Path:
    """TensorBoard files of eight finished runs, and of three that have begun: one good, one low, one with a NaN."""
    folder = tmp_path_factory.mktemp("board")
    rng = np.random.default_rng(0)
    limits = {f"old{i}": 0.5 + 0.05 * i for i in range(8)} | {"good": 0.85, "low": 0.52, "nan": 0.8}
    for run, limit in limits.items():
        writer = SummaryWriter(str(folder / run))
        for step in range(0, 101 if run.startswith("old") else 46, 5):
            writer.add_scalar("val_acc", limit * (1 - np.exp(-(step + 1) / 30)) + rng.normal(0, 0.004), step)
            writer.add_scalar(
                "train_loss", float("nan") if run == "nan" and step > 30 else 2 * np.exp(-step / 40), step
            )
        writer.close()
    return folder


def test_one_look_from_python(board):
    found = pdyn.watch(
        board,
        targets="val_acc > 0.7",
        once=True,
        forecaster="pooled_change",
        silent=0,
        last_step=100,
        say=lambda _: None,
    )
    alarms = found.alarms.set_index("run")
    assert alarms.loc["nan", "kind"] == "not finite" and alarms.loc["nan", "step"] == 35
    assert alarms.loc["low", "kind"] == "will miss target" and alarms.loc["low", "evidence"] < 0.05
    step = alarms.loc["low", "step"]
    assert step < found.table.set_index("run").loc["low", "step"], "the alarm is of an earlier step"
    assert alarms.loc["low", "words"].startswith(f"at step {step:g} of 100, val_acc > 0.7 had a probability of 0.0")
    assert alarms.loc["low", "words"].endswith("at the end, the second in succession below 5 %")
    assert "good" not in alarms.index
    table = found.table.set_index("run")
    assert table.loc["good", "p_val_acc > 0.7"] > 0.9 > 0.1 > table.loc["low", "p_val_acc > 0.7"]
    assert table.loc["low", "low"] < 0.52 < table.loc["low", "high"]
    assert list(table.index)[-1] == "good", "runs that rang come first"


def test_alarms_do_not_depend_on_how_often_one_looks(board, tmp_path):
    """The same logs, seen at once and as they grew, ring the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that numbers are not finite is what rings
        whole = pdyn.load(board, source="tensorboard", last_step=100)
    tables = {}
    for run, rows in whole.points.groupby("run"):
        wide = rows.pivot_table(index="step", columns="metric", values="value").reset_index()
        begin = whole.events.loc[whole.events["run"] == run, "step"].min()
        tables[run] = wide.assign(train_loss=wide["train_loss"].where(~(wide["step"] >= begin), np.nan))

    def rung(name: str, steps: list[int]) -> list[tuple]:
        logs = tmp_path / name
        logs.mkdir()
        for step in steps:
            for run, wide in tables.items():
                seen = wide if run.startswith("old") else wide[wide["step"] <= step]
                seen.to_csv(logs / f"{run}.csv", index=False, na_rep="nan")
            found = pdyn.watch(
                logs, targets="val_acc > 0.7", once=True, forecaster="pooled_change", silent=0, last_step=100,
                source="wide", out=tmp_path / f"{name}-out", say=lambda _: None,
            )  # fmt: skip
        return sorted(map(tuple, found.alarms[["run", "kind", "metric", "step", "evidence"]].itertuples(index=False)))

    at_once = rung("once", [45])
    assert len(at_once) >= 2 and rung("grown", [0, 10, 25, 30, 45]) == at_once


def test_wrong_calls_are_one_line(board, call, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)  # where the folder of the page would come
    (here / "mine").mkdir()
    words = ("--set", "last_step=100", "--forecaster", "mean_change")
    for out in ("predictdyn-watch", "mine"):
        status, _, err = call("watch", board, "--once", "--target", "speed > 1", *words, "--out", out)
        assert status == 2 and "names metric 'speed'" in err and err.count("\n") == 1
    # A sentence that nobody can read is not kept until there is a log.
    status, _, err = call("watch", board / "later", "--target", "val_acc > high")
    assert status == 2 and "'high' is not a number" in err and err.count("\n") == 1
    status, _, err = call("watch", board, "--every", "soon")
    assert status == 2 and "--every takes a time such as 30s" in err
    status, _, err = call("watch", board, "--once", "--webhook", "file:///etc/passwd")
    assert status == 2 and "a webhook is an address" in err
    status, _, err = call("watch", board / "nowhere", "--once")
    assert status == 2 and "no such file or folder" in err
    assert [place.relative_to(here).as_posix() for place in here.rglob("*")] == ["mine"], "nothing is left behind"


def test_a_wrong_target_is_told_before_alarms_are_learnt(board, monkeypatch):
    learn = []
    monkeypatch.setattr("predictdyn.api.watching.learnt_once", lambda *_, beside, **__: learn.append(1) or beside)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a run that breaks
        history = pdyn.load(board, source="tensorboard", last_step=100).select(metrics=["train_loss"])
    words = {"once": True, "forecaster": "mean_change", "history": history, "last_step": 100, "say": lambda _: None}
    with pytest.raises(ValueError, match="names metric 'val_ac'; did you mean 'val_acc'"):
        pdyn.watch(board, targets="val_ac > 0.5", **words)
    with pytest.raises(ValueError, match="5 lies outside 0 to 1"):
        pdyn.watch(board, targets="val_acc > 5", **words)
    assert not learn


def test_a_first_look_that_fails_leaves_nothing_and_a_later_one_all(tmp_path):
    from predictdyn.api.watching import guarded

    out = tmp_path / "out"
    for kept in (False, True):
        with pytest.raises(ValueError, match="wrong"), guarded(out):
            (out / "alarms").mkdir(parents=True)
            if kept:
                (out / "state.json").touch()
            raise ValueError("wrong")
        assert sorted(place.name for place in tmp_path.rglob("*")) == (["alarms", "out", "state.json"] if kept else [])


WRITER = """
import sys
from click.testing import CliRunner
from tensorboardX import SummaryWriter
runs = {name: SummaryWriter(sys.argv[1] + "/" + name) for name in ("fine", "breaks")}
begin = 0
for line in sys.stdin:
    for step in range(begin, int(line) + 1, 5):
        for name, writer in runs.items():
            writer.add_scalar("val_loss", float("nan") if name == "breaks" and step >= 50 else 2.0 / (1 + step), step)
    begin = int(line) + 5
    for writer in runs.values():
        writer.close()  # all is in the file; the next scalar opens another
    print("written", flush=True)
"""


def wait_for(file: Path, words: str) -> None:
    """Until a file holds some words; a minute at most."""
    end = time.monotonic() + 60
    while not (file.exists() and words in file.read_text()) and time.monotonic() < end:
        time.sleep(0.1)


def test_end_to_end_over_kill(tmp_path):
    """A process writes and goes wrong; the watch is killed before the alarm and as it rings; it is told once."""
    logs, out, told = tmp_path / "logs", tmp_path / "out", tmp_path / "hook.jsonl"
    logs.mkdir()
    command = [
        sys.executable, "-m", "predictdyn", "watch", str(logs), "--out", str(out), "--every", "0.3s", "--source",
        "tensorboard", "--exec", f"cat >> {told}", "--set", "last_step=100", "--silent", "0",
    ]  # fmt: skip
    printed = []
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(logs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        for step, until in ((20, "fine: seen at step"), (60, "ALARM"), (100, "fine: ended")):
            writer.stdin.write(f"{step}\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "written\n"
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
                late = threading.Timer(120, watch.kill)
                late.start()
                for line in watch.stdout:
                    printed.append(line)
                    if until in line and step < 100:
                        watch.kill()
                    elif until in line:
                        wait_for(out / "index.html", "2 runs have ended")
                        watch.terminate()
                late.cancel()
            assert any(until in line for line in printed), printed
        writer.stdin.close()
    assert sum("fine: seen at step" in line for line in printed) == 1, "the second watch knew of it"
    (rung,) = json.loads((out / "state.json").read_text())["alarms"]
    assert rung["alarm"]["run"] == "breaks" and rung["alarm"]["kind"] == "not finite" and rung["alarm"]["step"] == 50
    assert rung["hook"] == "done" and rung["told"]
    said = [json.loads(line) for line in told.read_text().splitlines()]
    # The hook was begun once, or was cut off by the kill: then it was begun again with the same id, and says so.
    assert {one["id"] for one in said} == {rung["id"]} and [one["attempt"] for one in said] in ([1], [1, 2], [2])
    page = (out / "index.html").read_text()
    assert "1 of 2 runs rang an alarm" in page and "val_loss is NaN at step 50" in page
    assert "<script" not in page and "This was the last look." in page and "https://" not in page
    for status in (3, 0):  # an alarm that a command has ended with is not reported again
        done = subprocess.run([*command, "--once", "--exit-code"], capture_output=True, text=True)
        assert done.returncode == status, done.stderr
    assert len(told.read_text().splitlines()) == len(said)


def test_one_writer_at_a_time(board, tmp_path):
    from predictdyn.api.watching import guarded

    with guarded(tmp_path / "out"), pytest.raises(ValueError, match="is being written by another command"):
        pdyn.watch(board, once=True, out=tmp_path / "out", last_step=100)


def test_the_table_without_forecasts(tmp_path):
    log(tmp_path, "a", range(3), lambda step: 1.0)
    watch = watcher(tmp_path, None)
    watch.look()
    row = table_of(watch.state, ()).iloc[0]
    assert row["run"] == "a" and row["progress"] == 0.2 and np.isnan(row["median"]) and row["alarm"] == ""


def test_a_command_that_leaves_a_child_running_is_not_waited_for(tmp_path):
    begin = time.monotonic()
    command_hook("sleep 30 &")({"id": "a"})
    assert time.monotonic() - begin < 20


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["predictdyn.watch.hooks"], "SECONDS", 1.0)
    file = tmp_path / "late"
    with pytest.raises(HookError, match="took more than 1 s") as told:
        command_hook(f"(sleep 3; touch {file}); true")({"id": "a"})
    assert told.value.slow
    time.sleep(3)
    assert not file.exists()


def test_a_command_that_prints_much_tells_its_last_line():
    with pytest.raises(HookError, match=r"status 7 \(the end\)"):
        command_hook("head -c 5000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo the end >&2; exit 7")({"id": "a"})


def test_a_slow_hook_holds_up_one_alarm_a_look_and_all_are_said_first(tmp_path):
    said, calls = [], []

    def slow(alarm):
        calls.append((alarm["run"], len([line for line in said if "ALARM" in line])))
        assert (out / "index.html").exists(), "the page that a hook is told is there"
        raise HookError("too long", slow=True)

    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    for run in "abc":
        log(logs, run, range(3), lambda step: 9.0)
    watch = watcher(logs, out, slow, said.append)
    watch.look()
    assert calls == [("a", 3)]
    for _ in range(8):
        watch.look()
    assert [run for run, _ in calls] == list("aaabbbccc")
    assert [rung.hook for rung in watch.state.alarms] == ["failed"] * 3


def test_a_folder_that_was_removed_is_made_again(tmp_path):
    logs, out, rang = tmp_path / "logs", tmp_path / "out", []
    logs.mkdir()
    log(logs, "a", range(3), lambda step: 1.0)
    watch = watcher(logs, out, rang.append)
    watch.look()
    shutil.rmtree(out)
    log(logs, "a", range(3, 5), lambda step: 9.0)
    watch.look()
    assert len(rang) == 1 and "1 of 1 run rang" in (out / "index.html").read_text()
    assert len(read_state(out, MADE).alarms) == 1


@pytest.mark.parametrize("broken", ["{", "[]", "5", "\xff", '{"version": 1}', '{"runs": 3}'])
def test_a_damaged_state_is_one_line(tmp_path, broken):
    whole = {"made": MADE, "past": [], "detector": {}, "alarms": [], "changes": [], "looks": 1, "looked": 0.0}
    said = json.dumps({"version": 1, **whole, **json.loads(broken)}) if "runs" in broken else broken
    (tmp_path / "state.json").write_bytes(said.encode("latin-1"))
    with pytest.raises(ValueError, match="is no state of a watch"):
        read_state(tmp_path, MADE)


def test_what_came_of_a_run_takes_the_place_of_its_forecast(tmp_path):
    """A run that fell at its end is not shown with the good forecast that it had."""
    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    log(logs, "a", range(8), lambda step: 1 / (1 + step))
    model = fit("curve_ensemble", no_curves(), seed=0)
    target = ("val_loss < 0.5",)
    watch = Watcher(follower(logs), MADE, Rings(), model, target, out=out, silent=0.0, every=1.0)
    watch.look()
    assert watch.state.runs["a"]["track"] and 'http-equiv="refresh"' in (out / "index.html").read_text()
    log(logs, "a", range(8, 11), lambda step: 4.5)
    watch.look()
    (row,) = table_of(watch.state, target).to_dict("records")
    assert row["ended"] and row["median"] == row["low"] == row["high"] == 4.5 and row["p_val_loss < 0.5"] == 0
    page = (out / "index.html").read_text()
    assert "0 reached val_loss" in page and "missed" in page and "This was the last look." in page
    assert 'http-equiv="refresh"' not in page, "no look follows, so nothing is there to be loaded"


def test_a_target_waits_for_its_metric_and_a_typo_is_told_where_there_is_one_look(tmp_path):
    logs, said = tmp_path / "logs", []
    logs.mkdir()
    log(logs, "a", range(4), lambda step: 1.0)
    model = fit("curve_ensemble", no_curves(), seed=0)
    facts = Plain(model, ("acc > 0.5",))
    watch = Watcher(follower(logs), MADE, facts, model, ("acc > 0.5",), say=said.append, silent=0.0, every=1.0)
    watch.look()
    log(logs, "a", range(4, 6), lambda step: 1.0)
    watch.look()
    assert sum("no run has logged a metric of this target yet: acc > 0.5" in line for line in said) == 1
    log(logs, "b", range(6), lambda step: 0.1 * step, name="acc")
    watch.look()
    assert "acc > 0.5" in watch.state.runs["b"]["track"][-1]["targets"]
    once = Watcher(follower(logs), MADE, Rings(), model, ("nothing > 0.5",), silent=0.0)
    with pytest.raises(ValueError, match="names metric 'nothing'"):
        once.look()


def test_names_of_runs_are_text_on_the_page(tmp_path):
    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    log(logs, "<img src=x onerror=alert(1)>\"'&", range(3), lambda step: 9.0)
    watcher(logs, out).look()
    page = (out / "index.html").read_text()
    assert "<img" not in page and "&lt;img src=x" in page


def test_a_target_that_no_value_can_reach_is_a_wrong_call(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    rows = "".join(f"{100 * i},{2 / (1 + i):.3f},{0.2 + 0.04 * i:.3f}\n" for i in range(12))
    (logs / "a.csv").write_text(f"step,train_loss,val_acc\n{rows}", encoding="utf-8")
    words = ["watch", str(logs), "--once", "--target", "val_acc > 75", "--set", "last_step=5000"]
    done = CliRunner().invoke(cli, [*words, "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, ValueError)
    assert "75 lies outside 0 to 1, the range of val_acc; did you mean 0.75?" in str(done.exception)


@pytest.mark.parametrize("how", [["--once"], ["--every", "1s"]])
def test_runs_that_only_seem_to_have_ended_are_not_left_unwatched_in_silence(tmp_path, how):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "a.csv").write_text("step,train_loss\n0,2.0\n100,1.0\n200,0.9\n", encoding="utf-8")
    done = CliRunner().invoke(cli, ["watch", str(logs), *how, "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, ValueError)
    assert "no run is watched, as all 1 run(s) count as ended" in str(done.exception)
    assert "last_step" in str(done.exception)
