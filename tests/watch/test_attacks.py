"""What happens to a watch that runs for days: restarts, renames, clocks, full disks, web addresses that hang."""

from __future__ import annotations

import errno
import json
import os
import re
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from predictdyn.watch import watcher as loop
from predictdyn.watch.follow import Follower
from predictdyn.watch.hooks import HookError, webhook
from predictdyn.watch.plain import Plain
from predictdyn.watch.watcher import GONE, Watcher
from tests.watch.test_live import MADE, Rings, follower, log, watcher


def again(folder: Path, run: str, steps: range, value) -> None:
    """The file of a run that was begun anew."""
    (folder / f"{run}.csv").unlink()
    log(folder, run, steps, value)


def test_a_run_that_ended_and_is_begun_anew_is_watched_again(tmp_path):
    logs, out, lines = tmp_path / "logs", tmp_path / "out", []
    logs.mkdir()
    log(logs, "a", range(11), lambda step: 1.0)
    log(logs, "b", range(8), lambda step: 1.0)
    watch = watcher(logs, out, None, lines.append, every=1.0)
    watch.look()
    log(logs, "b", range(8, 11), lambda step: 1.0)
    watch.look()
    assert watch.finished and list(watch.state.runs) == ["b"], "a had ended before the first look"
    again(logs, "b", range(4), lambda step: 9.0)
    assert [rung.alarm.run for rung in watch.look()] == ["b"] and not watch.finished
    assert "b: went back from step 10 to step 3" in lines and not watch.state.runs["b"]["ended"]
    again(logs, "a", range(3), lambda step: 1.0)
    watch.look()
    assert "a: seen at step 2 of 10" in lines and watch.state.past == []
    log(logs, "b", range(4, 11), lambda step: 1.0)
    watch.look()
    assert watch.state.runs["b"]["ended"]
    again(logs, "b", range(2), lambda step: 1.0)  # while nobody watches
    fresh = watcher(logs, out, None, lines.append, every=1.0)
    fresh.look()
    assert not fresh.state.runs["b"]["ended"] and fresh.state.runs["b"]["step"] == 1


def test_a_checkpoint_that_a_run_goes_back_to_keeps_no_other_run_from_being_watched(tmp_path):
    """A table whose steps go back contradicts itself, which is an error in one that is whole."""
    logs, out, lines = tmp_path / "logs", tmp_path / "out", []
    logs.mkdir()
    log(logs, "a", range(8), lambda step: 1.0)
    log(logs, "b", range(3), lambda step: 1.0)
    watch = watcher(logs, out, None, lines.append)
    watch.look()
    log(logs, "a", range(5, 7), lambda step: 2.0)
    log(logs, "b", range(3, 5), lambda step: 9.0)
    assert [rung.alarm.run for rung in watch.look()] == ["b"]
    assert "a: went back from step 7 to step 6" in lines
    curve = watch.curves.series["a", "val_loss"]
    assert curve.step.tolist() == list(range(7)) and curve.value[-2:].tolist() == [2.0, 2.0]
    fresh = watcher(logs, out, None, lines.append)
    log(logs, "a", range(7, 8), lambda step: 2.0)
    assert fresh.look() == [] and fresh.state.runs["a"]["step"] == 7, "nor does it after a restart"
    with pytest.raises(ValueError, match="has another value than before"):
        follower(logs).news()


def test_forecasts_from_steps_that_were_lost_are_forgotten(tmp_path):
    log(tmp_path, "a", range(8), lambda step: 1.0)
    watch = watcher(tmp_path, None)
    watch.look()
    entries = [{"step": step, "metrics": {}, "targets": {}} for step in (2, 4, 6)]
    watch.state.runs["a"] |= {"track": entries, "weighed": {"step": 6, "entries": []}}
    again(tmp_path, "a", range(5), lambda step: 1.0)
    watch.look()
    assert [one["step"] for one in watch.state.runs["a"]["track"]] == [2, 4]
    assert "weighed" not in watch.state.runs["a"]


def test_a_run_that_is_renamed_is_another_and_its_old_log_is_gone(tmp_path):
    lines, clock = [], [time.time()]
    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    log(logs, "a", range(5), lambda step: 1.0)
    watch = watcher(logs, out, None, lines.append, every=1.0, now=lambda: clock[0])
    watch.silent = 60.0
    watch.look()
    (logs / "a.csv").rename(logs / "z.csv")
    watch.look()
    assert lines[-2:] == ["a: its log is gone, after step 4", "z: seen at step 4 of 10"]
    assert "log gone" in (out / "index.html").read_text()
    log(logs, "z", range(5, 11), lambda step: 1.0)
    os.utime(logs / "z.csv", (clock[0], clock[0]))
    watch.look()
    assert not watch.finished, "a log may come back"
    clock[0] += GONE + 1
    assert watch.look() == [] and watch.finished, "what is gone has not stopped"


def test_a_log_that_cannot_be_read_for_a_moment_comes_back(tmp_path):
    lines = []
    for run in "ab":
        log(tmp_path, run, range(5), lambda step: 1.0)
    watch = watcher(tmp_path, None, None, lines.append)
    watch.look()
    whole = (tmp_path / "a.csv").read_text()
    (tmp_path / "a.csv").write_text("")
    watch.look()
    (tmp_path / "a.csv").write_text(whole + "5,9.0\n")
    assert [rung.alarm.run for rung in watch.look()] == ["a"]
    assert [line for line in lines if "log is" in line] == ["a: its log is gone, after step 4", "a: its log is back"]


def test_a_clock_that_is_set_back_hides_no_silence(tmp_path):
    clock = [time.time()]
    log(tmp_path, "a", range(4), lambda step: 1.0)
    watch = watcher(tmp_path, None, now=lambda: clock[0])
    watch.silent = 60.0
    watch.look()
    clock[0] -= 365 * 86400
    assert watch.look() == []
    clock[0] += 61
    assert [rung.alarm.kind for rung in watch.look()] == ["clock stopped"]


def test_a_disk_that_is_full_keeps_no_alarm_back(tmp_path, monkeypatch):
    logs, out, lines, told = tmp_path / "logs", tmp_path / "out", [], []
    logs.mkdir()
    log(logs, "a", range(3), lambda step: 1.0)
    write, full = loop.durable, [False]

    def durable(file: Path, content: bytes) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, content)

    monkeypatch.setattr(loop, "durable", durable)
    monkeypatch.setattr(sys.modules["predictdyn.watch.state"], "durable", durable)
    watch = watcher(logs, out, told.append, lines.append)
    watch.look()
    full[0] = True
    log(logs, "a", range(3, 5), lambda step: 9.0)
    assert len(watch.look()) == 1 and len(told) == 1
    watch.look()
    assert [line.partition(":")[0] for line in lines[1:]] == [
        f"{out} cannot be written (No space left on device)", "a",
    ]  # fmt: skip
    full[0] = False
    log(logs, "a", range(5, 6), lambda step: 9.0)
    watch.look()
    assert lines[-1] == f"{out} can be written again" and len(told) == 1
    assert json.loads((out / "state.json").read_text())["alarms"][0]["hook"] == "done"
    full[0] = True
    with pytest.raises(OSError, match="No space left"):
        watcher(logs, tmp_path / "other", told.append, lines.append).look()


@pytest.fixture
def address():
    """A web server: each path answers in its own way; what came is kept."""
    came: list[tuple[str, dict]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self):
            came.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            if self.path == "/hangs":
                time.sleep(3)
            elif self.path == "/trickles":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                for _ in range(30):  # a byte every now and then, for longer than a hook may take
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.1)
            else:
                self.send_response(int(self.path[1:]))
                self.end_headers()

        def log_message(self, *_):
            pass

    class Server(socketserver.ThreadingMixIn, HTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass

    server = Server(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", came
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path", ["/hangs", "/trickles"])
def test_an_address_that_hangs_holds_up_one_look_by_the_time_that_a_hook_has(address, path, monkeypatch):
    monkeypatch.setattr(sys.modules["predictdyn.watch.hooks"], "SECONDS", 1.0)
    begin = time.monotonic()
    with pytest.raises(HookError) as told:
        webhook(f"{address[0]}{path}")({"id": "a"})
    assert told.value.slow and time.monotonic() - begin < 2.5


def test_an_address_that_fails_is_tried_three_times_with_the_same_id(address, tmp_path):
    log(tmp_path, "a", range(4), lambda step: 9.0)
    watch = watcher(tmp_path, None, webhook(f"{address[0]}/500"))
    for _ in range(5):
        watch.look()
    came = [said for _, said in address[1]]
    assert [said["attempt"] for said in came] == [1, 2, 3] and len({said["id"] for said in came}) == 1
    assert watch.state.alarms[0].hook == "failed" and "HTTP Error 500" in watch.state.changes[-1][1]
    webhook(f"{address[0]}/204")({"id": "b"})
    assert address[1][-1] == ("/204", {"id": "b"})


def test_three_hundred_runs_at_once(tmp_path):
    logs, out, told = tmp_path / "logs", tmp_path / "out", []
    logs.mkdir()
    for number in range(300):
        log(logs, f"r{number:03}", range(5), lambda step, number=number: 9.0 if number % 3 == 0 and step > 3 else 1.0)
    watch = watcher(logs, out, told.append)
    assert len(watch.look()) == 100 and len(told) == 100
    page = (out / "index.html").read_text()
    assert "100 of 300 runs rang an alarm" in page and "240 further runs in state.json" in page
    assert len(re.findall("<tr", page)) < 200 and len(page) < 300_000
    log(logs, "r001", range(5, 6), lambda step: 9.0)
    begin = time.process_time()
    assert [rung.alarm.run for rung in watch.look()] == ["r001"]
    assert time.process_time() - begin < 20
    assert len(json.loads((out / "state.json").read_text())["runs"]) == 300


def test_a_log_without_a_source_that_reads_run_by_run_may_be_begun_anew(tmp_path):
    """The tidy folder is read whole."""
    import pandas as pd

    def write(last: int, value: float) -> None:
        rows = {"run": "a", "metric": "val_loss", "step": range(last + 1), "value": value}
        pd.DataFrame(rows).to_csv(tmp_path / "points.csv", index=False)
        pd.DataFrame({"run": ["a"], "family": "f", "last_step": 10}).to_csv(tmp_path / "runs.csv", index=False)

    write(8, 1.0)
    watch = Watcher(Follower.of(tmp_path, "tidy", {}), MADE, Rings(), None, silent=0.0, every=1.0)
    watch.look()
    write(10, 1.0)
    watch.look()
    assert watch.finished
    write(3, 9.0)
    assert len(watch.look()) == 1 and not watch.finished
    facts = Watcher(Follower.of(tmp_path, "tidy", {}), MADE, Plain(None), None, silent=0.0)
    assert facts.look() == []


@pytest.mark.parametrize("nested", [False, True])
def test_where_no_file_has_changed_none_is_read_to_tell_which_are_one_run(tmp_path, nested):
    from dataclasses import replace

    folder = tmp_path / "deep" if nested else tmp_path
    folder.mkdir(exist_ok=True)
    for run in "ab":
        log(folder, run, range(3), lambda step: 1.0)
    follow = follower(tmp_path)
    scans, scan = [], follow.source.scan
    follow.source = replace(follow.source, scan=lambda *args, **how: scans.append(1) or scan(*args, **how))
    follow.accept(follow.news())
    assert follow.news() is None and len(scans) == 1
    log(folder, "b", range(3, 4), lambda step: 1.0)
    news = follow.news()
    assert news.grown == {next(run for run in news.curves.runs.index if run.endswith("b"))} and len(scans) == 2
    assert follow.news() is not None, "news that nobody accepted are told again"
    follow.accept(news)
    with (folder / "a.csv").open("a") as opened:
        opened.write("3,1.")  # the half of a line
    assert follow.news() is None
    old = time.time() - 120
    os.utime(folder / "a.csv", (old, old))  # nobody has gone on with it for two minutes: it is read as it is
    assert len(follow.news().curves.series[news.curves.runs.index[0], "val_loss"].step) == 4
