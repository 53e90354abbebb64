"""Model folders: each file damaged in each way is an error in one line with its name, or changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictdyn.forecasters import _history, _kept, fit, load, save
from predictdyn.forecasters._history import read_history, write_history

# One of each way to keep what was learnt: a history alone, with weights, with samples.
NAMES = ("mean_change", "curve_ensemble", "pooled")


@pytest.fixture(scope="module")
def kept(small, tmp_path_factory):
    """Fitted models on disk, each with its own forecast."""
    history = small.select(runs=[run for run in small.runs.index if not run.startswith("f2")])
    history = history.select(metrics={"accuracy", "noisy_accuracy", "gap"})
    seen = small.select(runs=["f2-s0"]).truncate(0.4).select(metrics={"accuracy", "noisy_accuracy", "gap"})
    target = pd.DataFrame({"run": "f2-s0", "metric": ["accuracy", "gap"], "step": 1000})
    made = {}
    for name in NAMES:
        folder = tmp_path_factory.mktemp(name)
        fitted = fit(name, history, seed=3)
        save(fitted, folder)
        made[name] = (folder, lambda one, seen=seen, target=target: one.forecast(seen, target, seed=5).draws)
    return made


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(bytes(data))


def removed(file: Path) -> None:
    file.unlink()


def spoilt(file: Path) -> None:
    """A number that is none, in the format of the file; else text where a number was."""
    if file.suffix == ".parquet":
        table = pd.read_parquet(file)
        numbers = [name for name in table if table[name].dtype.kind in "if"]
        if len(table) and numbers:
            table[numbers[0]] = table[numbers[0]].astype(float)
            table.loc[0, numbers[0]] = np.nan
        else:
            table["more"] = 1.0
        table.to_parquet(file, index=False)
    elif file.suffix == ".npz":
        with np.load(file) as arrays:
            found = dict(arrays)
        name = next(name for name in found if found[name].dtype.kind == "f" and found[name].size)
        found[name].flat[0] = np.nan
        np.savez_compressed(file, **found)
    elif file.suffix == ".json":
        file.write_text(file.read_text(encoding="utf-8").replace(": ", ': NaN, "x": ', 1), encoding="utf-8")
    else:
        file.write_text("nan\n", encoding="utf-8")


def turned(file: Path) -> None:
    """Columns or entries exchanged or dropped; JSON of another type."""
    if file.suffix == ".parquet":
        table = pd.read_parquet(file)
        table[[*reversed(table.columns)]].to_parquet(file, index=False)
    elif file.suffix == ".npz":
        with np.load(file) as arrays:
            found = dict(arrays)
        found.pop(next(iter(found)))
        np.savez_compressed(file, **found)
    else:
        file.write_text("[1, 2]", encoding="utf-8")


def dropped(file: Path) -> None:
    if file.suffix == ".parquet":
        table = pd.read_parquet(file)
        table.drop(columns=table.columns[-1]).to_parquet(file, index=False)
    elif file.suffix == ".json":
        data = json.loads(file.read_text(encoding="utf-8"))
        (data.pop if isinstance(data, dict) else data[0].pop)(next(iter(data if isinstance(data, dict) else data[0])))
        file.write_text(json.dumps(data), encoding="utf-8")
    else:
        cut(file)


WAYS = (cut, emptied, flipped, removed, spoilt, turned, dropped)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_named(name, way, kept):
    folder, _ = kept[name]
    before = {file: file.read_bytes() for file in folder.iterdir()}
    assert len(before) > 3 or name == "pooled"
    for file, content in before.items():
        way(file)
        with pytest.raises(ValueError) as caught:
            load(folder)
        said = str(caught.value)
        told = str(file) in said and "again" in said
        assert (told or "not a fitted forecaster" in said) and "\n" not in said
        file.write_bytes(content)


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_model_gives_the_same_forecast_each_time(name, kept):
    folder, draws = kept[name]
    one = load(folder)
    assert one.model.name == name and np.array_equal(draws(one), draws(load(folder)))


def test_another_name_or_another_hash_is_noticed(kept):
    folder, _ = kept["mean_change"]
    file = folder / "model.json"
    content = file.read_text(encoding="utf-8")
    about = json.loads(content)
    for change, said in (
        ({"forecaster": "last_value"}, "is not as it was written"),
        ({"format": 1}, "format is 1, this version reads format 3"),
        ({"format": True}, "format is True"),
        ({"forecaster": 5}, "expected forecaster (text), seed"),
        ({"files": {}}, "expected forecaster (text), seed"),
        ({"files": {**about["files"], "history_runs.parquet": "0"}}, "is not as it was written"),
    ):
        file.write_text(json.dumps({**about, **change}), encoding="utf-8")
        with pytest.raises(ValueError, match=r"model\.json") as caught:
            load(folder)
        assert said in str(caught.value)
    file.write_text(content, encoding="utf-8")
    assert load(folder).model.name == "mean_change"


def rewritten(folder: Path, name: str, change) -> None:
    table = pd.read_parquet(folder / name)
    change(table).to_parquet(folder / name, index=False)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (_history.HISTORY, lambda t: t.assign(value=np.nan), "value must be finite, found nan in row 1"),
        (_history.HISTORY, lambda t: t.assign(value="a"), "value must be numbers"),
        (_history.HISTORY, lambda t: t.iloc[::-1], "unique and sorted by run, metric and step"),
        (_history.HISTORY, lambda t: pd.concat([t[:1], t]), "unique and sorted"),
        (_history.HISTORY, lambda t: t.rename(columns={"step": "value", "value": "step"}), "in this order, found run"),
        (_history.HISTORY, lambda t: t.assign(stderr=-1.0), "stderr must be finite and not negative"),
        (_history.HISTORY, lambda t: t.assign(run="nobody")[:1], "history_runs.parquet: has no run 'nobody'"),
        (_history.RUNS, lambda t: t.assign(last_step=0), "last_step must be above 0"),
        (_history.RUNS, lambda t: pd.concat([t, t]), "run must be unique"),
        (_history.RUNS, lambda t: t.assign(family=1), "family must be text"),
        (_history.EVENTS, lambda t: t.assign(more=1), "expected columns run, step, what, in this order"),
    ],
)
def test_what_is_wrong_with_a_history_is_said(small, tmp_path, name, change, said):
    write_history(small, tmp_path)
    pd.testing.assert_frame_equal(read_history(tmp_path).points, small.points)
    rewritten(tmp_path, name, change)
    with pytest.raises(ValueError) as caught:
        read_history(tmp_path)
    assert said in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: {"a": 1}, "expected a list of metrics, found dict"),
        (lambda m: [{**m[0], "kind": "mood"}], "another type"),
        (lambda m: [{**m[0], "upper": "1"}], "another type"),
        (lambda m: [{**m[0], "chance": True}], "another type"),
        (lambda m: [{**m[0], "lower": float("nan")}], "another type"),
        (lambda m: [m[0]["name"]], "expected of each metric name, kind"),
        (lambda m: m[1:], "history_metrics.json: has no metric"),
    ],
)
def test_what_is_wrong_with_metrics_is_said(small, tmp_path, change, said):
    write_history(small, tmp_path)
    file = tmp_path / _history.METRICS
    file.write_text(json.dumps(change(json.loads(file.read_text(encoding="utf-8")))), encoding="utf-8")
    with pytest.raises(ValueError, match="history_metrics") as caught:
        read_history(tmp_path)
    assert said in str(caught.value)


def test_arrays_that_are_not_those_that_were_learnt_are_one_line(tmp_path, small):
    one = fit("mean_change", small, seed=0)
    one.past.learn("something", lambda: {"number": np.ones(2)})
    save(one, tmp_path)
    assert load(tmp_path).past.learnt["something"]["number"].tolist() == [1.0, 1.0]
    for arrays in ({"other": np.ones(2)}, {"a0": np.array([np.nan])}):
        np.savez(tmp_path / _history.LEARNT, **arrays)
        _kept.write_about("mean_change", 0, tmp_path)
        with pytest.raises(ValueError, match=r"learnt\.npz") as caught:
            load(tmp_path)
        assert "\n" not in str(caught.value)
