"""Two writers at once, a killed one, a full disk and a folder that cannot be written: no entry is lost or doubled."""

import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from predictdyn.ledger.store import Store, connected
from predictdyn.ledger.verify import verify

ROOT = Path(__file__).parents[2]
FIRST = {"key": "begin", "kind": "begin"}
CODE = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from predictdyn.ledger.store import Store
store = Store(Path({path!r}))
for i in range({n}):
    store.append(lambda inside: [{{"key": f"{name}-{{i}}-{{j}}", "x": "y" * 3000}} for j in "abc"], {{"key": "begin"}})
    print(i, flush=True)
"""


def writer(path, name, n):
    code = CODE.format(root=str(ROOT), path=str(path), name=name, n=n)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_writers_at_once(tmp_path):
    path = tmp_path / "a.ledger"
    both = [writer(path, name, 20) for name in ("a", "b")]
    for one in both:
        _, said = one.communicate(timeout=120)
        assert one.returncode == 0, said
    keys = [entry.content["key"] for entry in Store(path).entries()]
    wanted = {f"{name}-{i}-{j}" for name in ("a", "b") for i in range(20) for j in "abc"} | {"begin"}
    assert len(keys) == len(wanted) and set(keys) == wanted
    assert verify(Store(path)).whole


def test_writers_that_make_the_file_at_once(tmp_path):
    """SQLite does not wait by itself where several set the mode of a new file."""
    with ThreadPoolExecutor(4) as pool:
        for round_ in range(60):
            store, start = Store(tmp_path / f"{round_}.ledger"), Barrier(4)

            def write(name, store=store, start=start):
                start.wait()
                return store.append(lambda inside: [{"key": name}], FIRST)

            assert sum(len(new) for new in pool.map(write, "abcd")) == 5
            assert verify(store).whole


def test_a_killed_writer_leaves_all_or_nothing(tmp_path):
    path = tmp_path / "a.ledger"
    for round_ in range(5):
        one = writer(path, f"r{round_}", 1000)
        told = one.stdout.readline()
        time.sleep(0.01 * round_)
        os.kill(one.pid, signal.SIGKILL)
        rest, _ = one.communicate()
        done = len((told + rest).split())
        found = verify(Store(path))
        assert found.whole and not found.notes
        keys = [entry.content["key"] for entry in Store(path).entries()]
        own = [key for key in keys if key.startswith(f"r{round_}-")]
        # What was said to be done is there; at most one more transaction is, and whole.
        assert len(keys) == len(set(keys)) and len(own) % 3 == 0 and done <= len(own) // 3 <= done + 1


def test_a_file_whose_first_writer_was_killed_at_once_is_an_empty_ledger(tmp_path):
    store = Store(tmp_path / "a.ledger")
    with closing(connected(store.path, write=True)):
        pass
    assert list(store.entries()) == [] and store.last() is None
    assert len(store.append(lambda inside: [{"key": "a"}], FIRST)) == 2
    assert verify(store).whole and not verify(store).notes


def test_a_full_disk_is_an_error_and_no_half_entry(tmp_path):
    store = Store(tmp_path / "a.ledger")
    store.append(lambda inside: [{"key": "a"}], FIRST)
    before, kept = verify(store), resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, kept[1]))
    try:
        with pytest.raises(OSError):
            store.append(lambda inside: [{"key": "b", "x": "x" * 200_000}], FIRST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
        signal.signal(signal.SIGXFSZ, ignored)
    assert verify(store) == before
    assert len(store.append(lambda inside: [{"key": "b", "x": "x" * 200_000}], FIRST)) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    store = Store(tmp_path / "a.ledger")
    store.append(lambda inside: [{"key": "a"}], FIRST)
    tmp_path.chmod(0o555)
    try:
        assert verify(store).whole
        with pytest.raises(OSError):
            store.append(lambda inside: [{"key": "b"}], FIRST)
    finally:
        tmp_path.chmod(0o755)
    assert verify(store).size == 2


def test_a_folder_in_the_place_of_a_ledger_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder, and a ledger is a file; name one, such as .*runs\.ledger"):
        Store(tmp_path).append(lambda inside: [{"key": "a"}], {"key": "begin", "kind": "begin"})
