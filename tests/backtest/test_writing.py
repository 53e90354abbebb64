"""Writing results: one process at a time, whole or not at all, and a whole folder after a kill at any rename."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from predictdyn.backtest.writing import aside, folder_again, locked, new_folder, pieces_kept, recovered

REPOSITORY = Path(__file__).parents[2]
# Update a folder, and be killed before or after one of the calls that move or remove something.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from predictdyn.backtest.writing import folder_again

out, when, after = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "after"
calls = [0]

def watched(real):
    def one(*words, **named):
        calls[0] += 1
        if calls[0] == when and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        done = real(*words, **named)
        if calls[0] == when:
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return one

Path.replace, Path.unlink, shutil.rmtree = map(watched, (Path.replace, Path.unlink, shutil.rmtree))
with folder_again(out) as folder:
    (folder / "points.parquet").write_text("new", encoding="utf-8")
print(calls[0])
"""


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def old_and_whole(folder: Path) -> None:
    folder.mkdir()
    (folder / "points.parquet").write_text("old", encoding="utf-8")


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    with new_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("1", encoding="utf-8")
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["a"]
    with pytest.raises(RuntimeError), new_folder(tmp_path / "two") as folder:
        (folder / "a").write_text("1", encoding="utf-8")
        raise RuntimeError
    assert names(tmp_path) == ["out"]


def test_a_second_process_is_told_and_the_lock_ends_with_the_first(tmp_path):
    code = (
        "import sys; from pathlib import Path; from predictdyn.backtest.writing import new_folder\n"
        "with new_folder(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "out")]
    other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert other.stdout.readline() == b"in\n"
    with pytest.raises(ValueError, match="out is being written by another command"), new_folder(tmp_path / "out"):
        pass
    with pytest.raises(ValueError, match="another command"), locked(tmp_path / "sub" / ".." / "out"):
        pass
    other.kill()
    other.communicate()
    with new_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("1", encoding="utf-8")
    assert names(tmp_path) == ["out", "sub"]


def test_locks_that_are_taken_and_given_up_by_many_are_held_by_one(tmp_path):
    inside, most, served = [0], [0], [0]

    def take() -> None:
        while served[0] < 200:
            try:
                with locked(tmp_path / "out"):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    served[0] += 1
                    inside[0] -= 1
            except ValueError:
                pass

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1 and served[0] >= 200 and names(tmp_path) == []


@pytest.mark.parametrize(("when", "after"), [(n, word) for n in range(1, 6) for word in ("before", "after")])
def test_a_kill_at_any_rename_of_an_update_leaves_old_or_new(tmp_path, when, after):
    out = tmp_path / "out"
    old_and_whole(out)
    words = [sys.executable, "-c", KILLED, str(out), str(when), after]
    assert subprocess.run(words, cwd=REPOSITORY, check=False).returncode == -signal.SIGKILL
    recovered(out)
    # Once the old folder has been moved away, the new one is finished.
    expected = "new" if (when, after == "after") >= (2, True) else "old"
    assert (out / "points.parquet").read_text(encoding="utf-8") == expected
    assert [name for name in names(tmp_path) if name != ".out.lock"] == ["out"]
    with folder_again(out) as folder:
        (folder / "points.parquet").write_text("newer", encoding="utf-8")
    assert (out / "points.parquet").read_text(encoding="utf-8") == "newer" and names(tmp_path) == ["out"]


def test_an_update_has_no_more_than_five_such_calls(tmp_path):
    old_and_whole(tmp_path / "out")
    words = [sys.executable, "-c", KILLED, str(tmp_path / "out"), "0", "before"]
    assert subprocess.run(words, cwd=REPOSITORY, capture_output=True, check=True).stdout == b"5\n"


@pytest.mark.parametrize(
    ("left", "found"),
    [
        ({"out": "old", ".out.new": "new"}, "old"),
        ({".out.before": "old", ".out.new": "new"}, "new"),
        ({"out": "new", ".out.before": "old"}, "new"),
        ({".out.before": "old"}, "old"),
        ({"out": "old", "..out.new.writing": "half"}, "old"),
    ],
    ids=lambda left: " ".join(left) if isinstance(left, dict) else "",
)
def test_each_state_that_a_kill_can_leave_is_made_whole(tmp_path, left, found):
    for name, words in left.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "points.parquet").write_text(words, encoding="utf-8")
    recovered(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "points.parquet").read_text(encoding="utf-8") == found


def test_an_error_between_the_renames_is_undone_at_once(tmp_path, monkeypatch):
    out = tmp_path / "out"
    old_and_whole(out)
    real = Path.replace

    def fail(self, target):
        if self.name == ".out.new" and target == out and out not in failed:
            failed.append(out)
            raise OSError(5, "Input/output error")
        return real(self, target)

    failed: list[Path] = []
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError), folder_again(out) as folder:
        (folder / "points.parquet").write_text("new", encoding="utf-8")
    assert failed and names(tmp_path) == ["out"]


def test_pieces_are_kept_whatever_happens_but_an_end(tmp_path):
    for error in (ValueError("bad"), OSError(28, "full"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, pieces_kept(tmp_path / "out") as resume:
            (resume / "a.piece").write_bytes(b"1")
            raise error
        assert names(tmp_path) == [".out.resume"]
        assert "1 finished piece(s) are kept in" in caught.value.__notes__[0]
    with pieces_kept(tmp_path / "out") as resume:
        assert names(resume) == ["a.piece"]
    assert names(tmp_path) == []
    with pytest.raises(ValueError), pieces_kept(tmp_path / "out"):
        raise ValueError
    assert names(tmp_path) == [], "an empty folder is of no use"


def test_what_a_killed_process_left_aside_is_written_anew(tmp_path):
    (tmp_path / ".out.writing").mkdir()
    (tmp_path / ".out.writing" / "half").write_text("x", encoding="utf-8")
    with aside(tmp_path / "out") as folder:
        assert not list(folder.iterdir())
    assert os.listdir(tmp_path) == ["out"]
