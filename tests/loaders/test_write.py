"""A folder written run by run is the same as one loaded whole and saved, and holds only a few runs at a time."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from predictdyn import loaders
from predictdyn.curves import Curves
from predictdyn.loaders import catalogue, tidy, writing
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.options import Option
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source

Same = Callable[[Curves, Curves], None]


def scan(path: Path, *, many: int = 3) -> list[Item]:
    return [Item(f"m{i}_s0", (path,), key=str(i)) for i in range(many)]


def read(item: Item) -> RunLog:
    rng = np.random.default_rng(int(item.key))
    step = np.repeat(np.arange(40.0), 2)
    value = rng.random(80)
    value[-1] = np.nan
    blank = np.full(80, np.nan)
    names = np.array(["loss", "val/acc"] * 40, object)
    return RunLog(item.run, names, step, value, blank, blank * 0, {"lr": 0.1 * int(item.key)}, 39.0 + int(item.key))


def plant(monkeypatch: pytest.MonkeyPatch, source: Source) -> None:
    """A source of this test is in the table, in a module of its own."""
    monkeypatch.setitem(sys.modules, "fake_source", SimpleNamespace(SOURCE=source))
    monkeypatch.setitem(catalogue.SOURCES, source.name, "fake_source")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path, **options: object) -> Curves:
        return gathered(path, one, options)

    one = Source("fake", "", lambda path: None, load, scan, read, (Option("many", "how many runs", 3),))
    plant(monkeypatch, one)


@pytest.mark.usefixtures("fake")
def test_run_by_run_is_the_same_as_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: Same) -> None:
    monkeypatch.setattr(writing, "ROWS", 100)
    (tmp_path / "out").mkdir()
    done = writing.write(tmp_path, "fake", tmp_path / "out", {"many": 5})
    with pytest.warns(UserWarning, match="NaN") as caught:
        whole = loaders.load(tmp_path, "fake", many=5)
    same(tidy.load(tmp_path / "out"), whole)
    assert done.points == len(whole.points) == 5 * 79
    assert list(done.notes) == [str(one.message) for one in caught]


@pytest.mark.usefixtures("fake")
def test_what_whole_loading_refuses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("metric,kind,lower,upper\nloss,loss,5,6\n")
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=r"value of 'loss' must lie between 5\.0 and 6\.0") as one:
        writing.write(tmp_path, "fake", tmp_path / "out", {})
    assert str(tmp_path) in str(one.value)
    with pytest.raises(ValueError, match="source fake has no option 'colour'; it has many, metrics"):
        writing.write(tmp_path, "fake", tmp_path / "out", {"colour": "red"})


@pytest.mark.filterwarnings("ignore:the planned length")
def test_a_source_that_loads_whole_is_written_too(tmp_path: Path, same: Same) -> None:
    for step in (1, 2):
        (tmp_path / f"a_step{step}.json").write_text(f'{{"results": {{"piqa": {{"acc": {step / 4}}}}}}}')
    (tmp_path / "out").mkdir()
    done = writing.write(tmp_path, "lm_eval", tmp_path / "out", {})
    same(tidy.load(tmp_path / "out"), loaders.load(tmp_path, "lm_eval"))
    assert done.points == 2


def test_what_a_table_says_while_it_is_scanned_is_told(tmp_path: Path, same: Same) -> None:
    (tmp_path / "log.jsonl").write_text('{"config": 1}\n{"step": 1, "loss": 3}\n')
    (tmp_path / "index.csv").write_text("model,width\na,64\n")
    for name, last in (("a", 5), ("b", 5)):
        (tmp_path / f"{name}.csv").write_text("".join(["step,loss\n", *(f"{i},{1 / i}\n" for i in range(1, last))]))
    (tmp_path / "log.jsonl").rename(tmp_path.parent / f"{tmp_path.name}.jsonl")
    lines = tmp_path.parent / f"{tmp_path.name}.jsonl"
    for source, path, word in (("json_lines", lines, "without a step"), ("wide", tmp_path, "index.csv")):
        out = tmp_path.parent / f"{tmp_path.name}-{source}"
        out.mkdir()
        done = writing.write(path, source, out, {"last_step": 9})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            same(tidy.load(out), loaders.load(path, source, last_step=9))
        assert [line for line in done.notes if word in line]


def test_only_runs_that_changed_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: Same) -> None:
    """A source of one number a line, in a file a run; every way in which a file can change, and a run come or go."""
    folder, done = tmp_path / "logs", []
    folder.mkdir()

    def scan(path: Path) -> list[Item]:
        return [Item(file.stem, (file,)) for file in path.glob("*.txt")]

    def read(item: Item) -> RunLog:
        done.append(item.run)
        value = np.array(item.files[0].read_text().split(), float)
        blank = np.full(len(value), np.nan)
        names = np.array(["loss"] * len(value), object)
        return RunLog(
            item.run, names, np.arange(1.0, len(value) + 1), value, blank, blank * 0, {"lr": ord(item.run[0]) / 9}, 9.0
        )

    def load(path: Path, **options: object) -> Curves:
        return gathered(path, fake, options)

    fake = Source("fake", "", lambda path: None, load, scan, read)
    plant(monkeypatch, fake)
    for run in "abcde":
        (folder / f"{run}.txt").write_text("3 nan 2.5")

    def written(name: str, before: str | None, **options: object) -> tuple[list[str], list[str]]:
        (tmp_path / name).mkdir()
        done.clear()
        one = writing.write(folder, "fake", tmp_path / name, options, tmp_path / before if before else None)
        return sorted(done), list(one.notes)

    assert written("0", None)[0] == list("abcde")
    (folder / "a.txt").write_text("3 nan 2.5 1")  # grew
    (folder / "b.txt").write_text("3")  # shrank
    (folder / "c.txt").write_text("4 nan 2.5")  # another beginning
    (folder / "d.txt").unlink()
    (folder / "f.txt").write_text("7")
    read_again, lines = written("1", "0")
    assert read_again == ["a", "b", "c", "f"]
    assert lines[0] == "1 of 5 run(s) unchanged since the last time, not read again"
    with pytest.warns(UserWarning, match="NaN"):
        same(tidy.load(tmp_path / "1"), load(folder))
    assert written("2", "1", workers="1")[0] == []
    same(tidy.load(tmp_path / "2"), tidy.load(tmp_path / "1"))
    assert written("3", "2", thin="4")[0] == list("abcef")  # what was read with other options is of no use
    (tmp_path / "2" / ".state.json").write_text("{")
    assert written("4", "2")[0] == list("abcef")
