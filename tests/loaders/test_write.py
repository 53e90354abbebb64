"""A folder written run by run is the same as one loaded whole and saved, and holds only a few runs at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from predictdyn import loaders
from predictdyn.curves import Curves
from predictdyn.loaders import _write, tidy
from predictdyn.loaders._gather import gathered
from predictdyn.loaders._runlog import Item, RunLog

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


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path, **options: object) -> Curves:
        return gathered(path, scan, read, options)

    known = loaders.module
    one = SimpleNamespace(scan=scan, read=read, load=load)
    monkeypatch.setattr(loaders, "module", lambda name: one if name == "fake" else known(name))


@pytest.mark.usefixtures("fake")
def test_run_by_run_is_the_same_as_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: Same) -> None:
    monkeypatch.setattr(_write, "ROWS", 100)
    (tmp_path / "out").mkdir()
    done = _write.write(tmp_path, "fake", tmp_path / "out", {"many": 5})
    with pytest.warns(UserWarning, match="NaN") as caught:
        whole = loaders.load(tmp_path, "fake", many=5)
    same(tidy.load(tmp_path / "out"), whole)
    assert done.points == len(whole.points) == 5 * 79
    assert list(done.lines) == [str(one.message) for one in caught]


@pytest.mark.usefixtures("fake")
def test_what_whole_loading_refuses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("metric,kind,lower,upper\nloss,loss,5,6\n")
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=r"value of 'loss' must lie between 5\.0 and 6\.0") as one:
        _write.write(tmp_path, "fake", tmp_path / "out", {})
    assert str(tmp_path) in str(one.value)
    with pytest.raises(ValueError, match="source fake has no option 'colour'; it has many, metrics"):
        _write.write(tmp_path, "fake", tmp_path / "out", {"colour": "red"})


def test_a_source_that_loads_whole_is_written_too(tmp_path: Path, same: Same) -> None:
    (tmp_path / "log.jsonl").write_text('{"config": 1}\n{"step": 1, "loss": 3}\n')
    (tmp_path / "out").mkdir()
    done = _write.write(tmp_path / "log.jsonl", "json_lines", tmp_path / "out", {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(tidy.load(tmp_path / "out"), loaders.load(tmp_path / "log.jsonl"))
    assert ["without step" in line for line in done.lines] == [True]
