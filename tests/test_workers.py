"""Workers end with their parent: one that was killed while it sent the first piece of work, too."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from predictdyn.workers import Parent, end_with, parent

ROOT = Path(__file__).parents[1]
# The argument of a job is larger than a pipe holds, so a parent that is killed in between has sent a part of it.
SENDS = """
import time
from joblib import Parallel, delayed
from predictdyn.workers import end_with, parent
def job(text): time.sleep(60)
print("started", flush=True)
Parallel(n_jobs=2, initializer=end_with, initargs=(parent(),))(delayed(job)("x" * 50_000_000) for _ in range(4))
"""


def workers_of(folder: Path) -> list[int]:
    """Workers whose working folder this is."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"LokyProcess" in (entry / "cmdline").read_bytes():
                found += [int(entry.name)] if (entry / "cwd").readlink() == folder else []
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2, 0.5, 1.0])
def test_a_worker_does_not_wait_for_a_parent_that_was_killed(tmp_path, seconds):
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = subprocess.Popen(
        [sys.executable, "-c", SENDS], cwd=tmp_path, env=path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert command.stdout.readline() == b"started\n"
    began = time.monotonic()
    while not workers_of(tmp_path):
        assert time.monotonic() - began < 30
        time.sleep(0.01)
    time.sleep(seconds)
    command.kill()
    command.wait()
    command.stdout.close()
    began = time.monotonic()
    while workers_of(tmp_path):
        assert time.monotonic() - began < 20
        time.sleep(0.1)


def test_others_are_left_alone():
    end_with(parent())
    end_with(Parent("another-machine", 1))


def test_a_worker_of_a_parent_that_is_gone_ends_at_once():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    code = f"from predictdyn.workers import *; end_with(parent()._replace(process={gone.pid})); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 1 and not done.stdout
    code = code.replace(str(gone.pid), str(os.getpid()))
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True).stdout == b"alive\n"
