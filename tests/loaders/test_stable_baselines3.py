"""Logs of Stable-Baselines3. It needs torch, so they are written by hand, as its logger and monitor write them:

progress.csv has the keys of all dumps so far, sorted within a dump, new ones behind; older rows are filled up with
blank cells, and rows end in \\n. progress.json has one object a dump. monitor.csv has #{"t_start": ...} and the header
r,l,t, one row an episode (stable_baselines3/common/logger.py: CSVOutputFormat, JSONOutputFormat; common/monitor.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictdyn.loaders import detect, stable_baselines3
from predictdyn.loaders.engine.rows import WRONG
from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.files.csv_rows import WRONG_LINES
from predictdyn.loaders.files.json_rows import CUT
from predictdyn.loaders.stable_baselines3 import NO_EPISODE, NO_STEP

DUMPS: list[dict[str, float]] = [
    {"rollout/ep_len_mean": 22.3, "rollout/ep_rew_mean": 22.3, "time/fps": 3000, "time/total_timesteps": 2048},
    {"rollout/ep_rew_mean": 0.1 + 0.2, "time/total_timesteps": 4096, "train/loss": 1 / 3, "train/clip_range": 0.2},
    {"eval/mean_reward": -0.0, "time/total_timesteps": 5000},
    {"rollout/ep_rew_mean": 5e-324, "time/total_timesteps": 6144, "train/loss": float("nan")},
]
MONITOR = '#{"t_start": 1700000000.5, "env_id": "CartPole-v1"}\nr,l,t\n21.0,21,0.25\n9.5,10,1.75\n'


def csv_log(folder: Path, dumps: list[dict[str, float]] = DUMPS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for dump in dumps for name in dump))
    lines = [",".join(names), *(",".join(str(dump.get(name, "")) for name in names) for dump in dumps)]
    (folder / "progress.csv").write_text("".join(f"{line}\n" for line in lines))
    return folder


def json_log(folder: Path, dumps: list[dict[str, float]] = DUMPS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "progress.json").write_text("".join(f"{json.dumps(dump)}\n" for dump in dumps))
    return folder


def log(path: Path) -> RunLog:
    (item,) = stable_baselines3.scan(path)
    return stable_baselines3.read(item)


def rows(found: RunLog) -> list[tuple[str, float, str]]:
    return [
        (metric, step, float(value).hex())
        for metric, step, value in zip(found.metric, found.step, found.value, strict=True)
    ]


def expected(dumps: list[dict[str, float]]) -> list[tuple[str, float, str]]:
    clock = "time/total_timesteps"
    return [(name, d[clock], float(value).hex()) for d in dumps for name, value in d.items() if name != clock]


@pytest.mark.parametrize("write", [csv_log, json_log])
def test_every_value_is_what_was_logged(tmp_path: Path, write: Callable[..., Path]) -> None:
    found = log(write(tmp_path / "PPO_1"))
    assert sorted(rows(found)) == sorted(expected(DUMPS))
    assert found.dropped == {} and found.run == "PPO_1"
    assert detect(tmp_path).source == "stable_baselines3", "an object a line is no result of an evaluation"


def test_both_forms_are_one_run_and_not_counted_twice(tmp_path: Path) -> None:
    assert sorted(rows(log(json_log(csv_log(tmp_path / "PPO_1"))))) == sorted(expected(DUMPS))


def test_learning_again_from_the_start_begins_a_segment(tmp_path: Path) -> None:
    found = log(csv_log(tmp_path / "a", [*DUMPS, DUMPS[0]]))
    assert found.segment.tolist() == [0] * len(expected(DUMPS)) + [1] * (len(DUMPS[0]) - 1)


def test_older_names_of_the_clock(tmp_path: Path) -> None:
    (tmp_path / "progress.csv").write_text("time/total timesteps,rollout/ep_rew_mean\n10,1.5\n,2\n")
    found = log(tmp_path)
    assert rows(found) == [("rollout/ep_rew_mean", 10, (1.5).hex())]
    assert found.dropped == {NO_STEP: 1}


def test_episodes_of_all_environments_share_one_clock(tmp_path: Path) -> None:
    (tmp_path / "0.monitor.csv").write_text(MONITOR)
    (tmp_path / "1.monitor.csv").write_text('#{"t_start": 1700000001.5, "env_id": null}\nr,l,t\n3.0,5,0.25\n4,x,1\n')
    found = log(tmp_path)
    assert found.metric.tolist() == ["monitor/r", "monitor/l"] * 3
    assert found.step.tolist() == [21, 21, 26, 26, 36, 36]
    assert found.value.tolist() == [21, 21, 3, 5, 9.5, 10]
    assert found.wall[::2].tolist() == [1700000000.75, 1700000001.75, 1700000002.25]
    assert found.dropped == {NO_EPISODE: 1}


def test_a_folder_of_runs(tmp_path: Path) -> None:
    csv_log(tmp_path / "PPO" / "seed_1")
    csv_log(tmp_path / "DQN" / "seed_1")
    (json_log(tmp_path / "A2C") / "monitor.csv").write_text(MONITOR)
    items = {item.run: item for item in stable_baselines3.scan(tmp_path)}
    assert set(items) == {"PPO/seed_1", "DQN/seed_1", "A2C"}
    assert stable_baselines3.sniff(tmp_path) == "Stable-Baselines3: 3 runs"
    both = stable_baselines3.read(items["A2C"])
    assert both.config == {"env_id": "CartPole-v1"}
    assert len(both.value) == len(expected(DUMPS)) + 4


@pytest.mark.parametrize(("write", "name"), [(csv_log, "progress.csv"), (json_log, "progress.json")])
def test_a_log_cut_anywhere(tmp_path: Path, write: Callable[..., Path], name: str) -> None:
    folder = write(tmp_path / "a")
    (item,) = stable_baselines3.scan(folder)
    raw = (folder / name).read_bytes()
    for end in range(len(raw) + 1):
        (folder / name).write_bytes(raw[:end])
        found = stable_baselines3.read(item)
        rest = raw[:end].rsplit(b"\n")[-1]
        closed = rest.endswith(b"}")  # an object says itself where it ends
        dumps = raw[:end].count(b"\n") + closed - (name == "progress.csv")
        assert sorted(rows(found)) == sorted(expected(DUMPS[: max(dumps, 0)]))
        assert found.dropped == ({CUT: 1} if rest and not closed else {})


def test_rows_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    text = 'time/total_timesteps,a,b\n1,2,3\n1,2\n4,x,"five\n5"\n6,7,"8\n9,10,11\n'
    (tmp_path / "progress.csv").write_text(text)
    found = log(tmp_path)
    assert rows(found) == [("a", 1, (2.0).hex()), ("b", 1, (3.0).hex())]
    assert found.dropped == {WRONG_LINES: 3, WRONG: 2}


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=200), name=st.sampled_from(["progress.json", "progress.csv", "monitor.csv"]))
def test_garbage_ends_in_one_line(tmp_path_factory: pytest.TempPathFactory, raw: bytes, name: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "sb3_garbage"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    valid = {
        "progress.json": b'{"time/total_timesteps": 1, "a": 2}\n',
        "progress.csv": b"time/total_timesteps,a\n1,2\n",
        "monitor.csv": b'#{"t_start": 1}\nr,l,t\n2,1,1\n',
    }
    (folder / name).write_bytes(raw)
    assert stable_baselines3.sniff(folder) is None or raw
    (folder / name).write_bytes(valid[name] + raw)
    assert {"a", "monitor/r"} & set(log(folder).metric)


@pytest.mark.parametrize("make", [lambda p: p / "none", lambda p: p, lambda p: other(p)])
def test_what_is_no_run_is_said(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    assert stable_baselines3.sniff(path) is None
    with pytest.raises(ValueError, match="no run of Stable-Baselines3 here"):
        stable_baselines3.scan(path)


def other(folder: Path) -> Path:
    """A progress.csv of somebody else."""
    (folder / "progress.csv").write_text("training_iteration,loss\n1,2\n")
    return folder


def test_load_gives_curves(tmp_path: Path) -> None:
    csv_log(tmp_path / "PPO_1")
    with pytest.warns(UserWarning, match="NaN"):
        curves = stable_baselines3.load(tmp_path, last_step=10_000, metrics="train/loss,rollout/ep_rew_mean")
    assert curves.points[["metric", "step", "value"]].to_numpy().tolist() == [
        ["rollout/ep_rew_mean", 2048, 22.3], ["rollout/ep_rew_mean", 4096, 0.1 + 0.2],
        ["rollout/ep_rew_mean", 6144, 5e-324], ["train/loss", 4096, 1 / 3],
    ]  # fmt: skip


def test_a_session_that_was_appended_comes_after_the_first(tmp_path: Path) -> None:
    """Monitor(override_existing=False) writes no header again, and counts seconds from 0."""
    (tmp_path / "monitor.csv").write_text('#{"t_start": 100.0}\nr,l,t\n1,10,5\n2,10,9\n3,10,1\n4,10,20\n')
    (item,) = stable_baselines3.scan(tmp_path)
    log = stable_baselines3.read(item)
    rewards = log.metric == "monitor/r"
    assert log.step[rewards].tolist() == [10, 20, 30, 40] and log.value[rewards].tolist() == [1, 2, 3, 4]
    assert log.stopped == log.study == ""
