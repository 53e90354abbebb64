"""What the machine refuses, and signals: one line with what to do, the right status, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pandas as pd
import pytest

from predictdyn import cli_faults
from predictdyn.api import backtests
from predictdyn.backtest import writing
from predictdyn.loaders import tidy

ROOT = Path(__file__).parents[1]


def words_of(command: str, data: Path, out: Path) -> tuple[object, ...]:
    more = {
        "load": (),
        "fit": ("--forecaster", "mean_change", "--quiet"),
        "forecast": ("--forecaster", "mean_change", "--cutoff", 0.4, "--metrics", "loss", "--quiet"),
        "backtest": ("--forecasters", "mean_change", "--cutoffs", 0.4, "--metrics", "loss", "--quiet"),
    }[command]
    return (command, data, "--out", out, *more)


COMMANDS = ("load", "fit", "forecast", "backtest")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space left on device; free some space there, or choose another --out"),
        (errno.EACCES, "Permission denied; change who may use it"),
        (errno.EROFS, "Read-only file system; that disk cannot be written; choose another --out"),
        (errno.EIO, "the disk gives errors"),
        (errno.ENOTEMPTY, "check the path and the disk"),
    ],
)
def test_every_refusal_is_one_line(call, data, tmp_path, monkeypatch, command, number, said):
    def refuse(self, *words, **named):
        raise OSError(number, os.strerror(number), str(self))

    real = Path.mkdir
    refused = lambda self, *words, **named: (  # noqa: E731
        refuse(self) if self.name.endswith(".writing") else real(self, *words, **named)
    )
    monkeypatch.setattr(Path, "mkdir", refused)
    status, out, err = call(*words_of(command, data, tmp_path / "out"))
    lines = [line for line in err.splitlines() if line.startswith("predictdyn: ")]
    assert (status, out, len(lines)) == (2, "", 1) and said in lines[0] and ".out.writing" in lines[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_names_that_are_too_long_and_folders_that_are_files(call, data, tmp_path, command):
    status, out, err = call(*words_of(command, data, tmp_path / ("x" * 300)))
    assert (status, out) == (2, "") and "File name too long; choose a shorter name" in err and "Traceback" not in err
    (tmp_path / "file").write_text("keep", encoding="utf-8")
    status, out, err = call(*words_of(command, data, tmp_path / "file" / "out"))
    assert (status, out) == (2, "") and "a file is in the way" in err and "Traceback" not in err
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_what_may_not_be_read_beside_the_data(call, small, tmp_path, monkeypatch):
    """Such as lost+found. Root may read all, so the refusals are put in."""
    (tmp_path / "in" / "lost+found").mkdir(parents=True)
    tidy.save(small, tmp_path / "in")
    (tmp_path / "in" / "private.txt").write_text("mine", encoding="utf-8")
    scandir, opened = os.scandir, Path.open

    def refuse(path):
        if str(path).endswith(("lost+found", "private.txt")):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", lambda path=".": refuse(path) or scandir(path))
    monkeypatch.setattr(Path, "open", lambda self, *words, **named: refuse(self) or opened(self, *words, **named))
    status, _, err = call(*words_of("backtest", tmp_path / "in", tmp_path / "out"))
    assert status == 0, err
    about = json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))
    assert about["sha256"]["private.txt"] == "not read (Permission denied)"
    assert len(about["sha256"]["points.parquet"]) == 64
    status, out, err = call("load", "ray_tune", tmp_path / "in" / "lost+found", "--out", tmp_path / "two")
    assert (status, out, err.count("\n")) == (2, "", 1) and "Traceback" not in err


def test_a_full_disk_late_keeps_the_pieces_and_the_same_command_goes_on(call, data, tmp_path, monkeypatch):
    def full(*words, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backtests, "write_json", full)
    words = words_of("backtest", data, tmp_path / "out")
    status, out, err = call(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "4 finished piece(s) are kept in" in err and "the same command goes on from there" in err
    assert [entry.name for entry in tmp_path.iterdir()] == [".out.resume"]
    monkeypatch.undo()
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / ".out.resume").iterdir()}
    monkeypatch.setattr(writing.shutil, "rmtree", lambda *words, **named: None)
    assert call(*words)[0] == 0
    after = {file.name: file.stat().st_mtime_ns for file in (tmp_path / ".out.resume").iterdir()}
    assert before == after, "kept pieces were taken, not made again"


def test_a_wrong_plan_after_a_kept_piece_keeps_it(call, data, tmp_path, monkeypatch):
    def wrong(*words, **named):
        raise ValueError("something that a page does not like")

    monkeypatch.setattr(backtests, "write_json", wrong)
    words = words_of("backtest", data, tmp_path / "out")
    status, _, err = call(*words)
    assert status == 2 and "4 finished piece(s) are kept" in err
    monkeypatch.undo()
    assert call(*words)[0] == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_lock_is_one_line(call, data, tmp_path):
    for command in COMMANDS:
        with writing.locked(tmp_path / "out"):
            status, out, err = call(*words_of(command, data, tmp_path / "out"))
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert "out is being written by another command; wait until it ends, or choose another --out" in err
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("Couldn't deserialize thrift"), "Couldn't deserialize thrift; check the path and the disk"),
        (OSError(28, "No space", b"/a\n/b"), "/a /b: No space left on device; free some space"),
        (FileNotFoundError(2, "no", "a", None, "b"), "a -> b: No such file or directory; check the path"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused; check the address and the network"),
        (TimeoutError(), "TimeoutError; check the address and the network"),
        (BrokenProcessPool("x"), "a worker process was killed, most often because memory ran out; use fewer --workers"),
        (ValueError("two\n lines"), "two lines"),
    ],
)
def test_words_for_errors(error, said):
    assert (cli_faults.line(error) or "").startswith(said)
    error.add_note("pieces are kept")
    assert (cli_faults.line(error) or "").endswith("; pieces are kept")


def test_other_errors_stay_errors(call, data, tmp_path, monkeypatch):
    assert cli_faults.line(KeyError("a")) is None and cli_faults.line(RuntimeError("b")) is None
    monkeypatch.setattr(backtests, "write_json", lambda *words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call(*words_of("backtest", data, tmp_path / "out"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_under_stdout_is_one_line():
    with open("/dev/full", "wb") as full:
        words = [sys.executable, "-m", "predictdyn", "datasets", "list"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"No space left on device" in done.stderr


def children(process: int) -> list[int]:
    """The worker processes of a process (not what tracks their memory)."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            status = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if entry.name.isdigit() and int(status[1]) == process and b"popen_loky" in line and b"tracker" not in line:
            found.append(int(entry.name))
    return found


@pytest.fixture
def running(data, tmp_path):
    """A backtest of many pieces on two workers, once it has kept one."""
    words = [sys.executable, "-m", "predictdyn", *map(str, words_of("backtest", data, tmp_path / "out"))]
    words += ["--forecasters", "pooled", "--workers", "2"]
    # Where the tests run in the background, SIGINT is ignored; a command in a terminal hears it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    began = time.monotonic()
    while not list(tmp_path.glob(".out.resume/*.piece")):
        assert command.poll() is None and time.monotonic() - began < 120
        time.sleep(0.05)
    yield command
    command.kill()
    command.communicate()


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def gone(processes: list[int], seconds: float = 20) -> bool:
    began = time.monotonic()
    while any(Path(f"/proc/{process}").exists() for process in processes):
        if time.monotonic() - began > seconds:
            return False
        time.sleep(0.1)
    return True


@linux
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_cleans_up(running, tmp_path, name, status):
    workers = children(running.pid)
    assert len(workers) == 2
    running.send_signal(getattr(signal, name))
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out, len(err.split("\n"))) == (status, "", 3 if name == "SIGINT" else 2), err
    assert err.lstrip().startswith("stopped; ") and "finished piece(s) are kept in" in err
    assert [entry.name for entry in tmp_path.iterdir()] == [".out.resume"] and gone(workers)


@linux
def test_a_killed_worker_is_one_line(running, tmp_path):
    os.kill(children(running.pid)[0], signal.SIGKILL)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (2, "") and "Traceback" not in err
    assert "predictdyn: a worker process was killed, most often because memory ran out; use fewer --workers" in err
    assert [entry.name for entry in tmp_path.iterdir()] == [".out.resume"]


@linux
def test_workers_end_with_a_parent_that_was_killed(running):
    workers = children(running.pid)
    assert len(workers) == 2
    running.kill()
    running.wait()
    assert gone(workers)


def test_a_folder_of_results_is_the_same_table(call, data, tmp_path):
    """A resumed command over damaged pieces gives the same bytes."""
    words = words_of("backtest", data, tmp_path / "out")
    assert call(*words)[0] == 0
    first = (tmp_path / "out" / "forecasts.parquet").read_bytes()
    table = pd.read_parquet(tmp_path / "out" / "forecasts.parquet")
    (tmp_path / "again").mkdir()
    table.to_parquet(tmp_path / "again" / "forecasts.parquet", index=False)
    assert (tmp_path / "again" / "forecasts.parquet").read_bytes() == first


NOT_TEXT = os.fsdecode(b"results-\xff")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text on this system")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_whose_name_is_no_text_is_refused_before_anything_is_read(call, tmp_path, command):
    """No parquet file can lie there; the data are not even looked at."""
    status, out, err = call(*words_of(command, tmp_path / "no-data", tmp_path / NOT_TEXT / "inner"))
    assert status == 2 and not out and not list(tmp_path.iterdir())
    (line,) = err.splitlines()
    assert line.startswith("predictdyn: the name of the folder ") and "results-\\xff/inner is not UTF-8 text" in line


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text on this system")
@pytest.mark.parametrize(
    "words",
    [("report", NOT_TEXT), ("demo", "--out", NOT_TEXT), ("forecast", "data", "--model", NOT_TEXT, "--out", "a")],
)
def test_so_is_a_folder_of_results_that_was_renamed(call, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    Path(NOT_TEXT).mkdir()
    status, _, err = call(*words)
    assert status == 2 and "results-\\xff is not UTF-8 text" in err and len(err.splitlines()) == 1
    assert not list(Path(NOT_TEXT).iterdir()) and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text on this system")
def test_a_name_that_is_no_text_is_refused_in_the_library_too(tmp_path):
    for folder in (writing.new_folder, writing.folder_again):
        with pytest.raises(ValueError, match="is not UTF-8 text"), folder(tmp_path / NOT_TEXT):
            raise AssertionError("nothing may be written")
    assert not list(tmp_path.iterdir())
