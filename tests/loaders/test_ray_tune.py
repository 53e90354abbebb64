"""Trial folders of Ray Tune. Ray is heavy, so they are written by hand, as its JSON and CSV loggers write them:

result.json has one object a report, with the result and what Ray adds (time_total_s, trial_id, ...); params.json has
the settings; progress.csv has the columns of the first report, nested names joined by / and lines that end in \\r\\n
(docs.ray.io/en/latest/tune/api/logging.html; ray/tune/logger/json.py and csv.py).
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictdyn.loaders import detect, ray_tune
from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.files.json_rows import CUT, WRONG_LINES, flat
from predictdyn.loaders.ray_tune.source import NO_STEP, NOT_ONE

CONFIG = {"lr": 0.001, "model": {"depth": 2}, "name": "adam"}
VALUES = [0.1 + 0.2, 5e-324, -0.0, 1 / 3]


def report(i: int, since: int, value: float, **more: object) -> dict[str, object]:
    """One report, in the order in which Ray writes it."""
    return {
        "eval": {"acc": value}, "loss": value, "timesteps_total": 100 * i, "done": False, "training_iteration": i,
        "trial_id": "a1b2c_00000", "date": "2024-05-01_12-00-00", "timestamp": 1714564800 + i, "time_this_iter_s": 0.5,
        "time_total_s": 0.5 * i, "pid": 42, "hostname": "host", "node_ip": "127.0.0.1", "config": CONFIG,
        "time_since_restore": 0.5 * since, "iterations_since_restore": since, "experiment_tag": "0_lr=0.001",
    } | more  # fmt: skip


REPORTS = [report(i + 1, i + 1, value) for i, value in enumerate(VALUES)]
METRICS = ("eval/acc", "loss", "timesteps_total", "time_this_iter_s", "time_total_s")


def trial(folder: Path, reports: list[dict[str, object]], params: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text("".join(f"{json.dumps(each)}\n" for each in reports))
    if params:
        (folder / "params.json").write_text(json.dumps(CONFIG, indent=4))
    return folder


def progress(folder: Path, reports: list[dict[str, object]]) -> Path:
    """The same reports as Ray's CSV logger writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [dict(flat(each)) for each in reports]
    with (folder / "progress.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return folder


def log(path: Path) -> RunLog:
    (item,) = ray_tune.scan(path)
    return ray_tune.read(item)


def rows(found: RunLog, metric: str) -> list[tuple[float, str]]:
    of = found.metric == metric
    return [(step, float(value).hex()) for step, value in zip(found.step[of], found.value[of], strict=True)]


@pytest.mark.parametrize("write", [trial, progress])
def test_every_value_is_what_was_reported(tmp_path: Path, write: Callable[..., Path]) -> None:
    found = log(write(tmp_path / "train_a1b2c_00000", REPORTS))
    expected = [(i + 1, value.hex()) for i, value in enumerate(VALUES)]
    assert rows(found, "loss") == rows(found, "eval/acc") == expected
    assert [value for _, value in rows(found, "timesteps_total")] == [float(100 * i).hex() for i in (1, 2, 3, 4)]
    assert set(found.metric) == set(METRICS)
    assert found.wall.tolist() == [1714564800 + i for i in (1, 2, 3, 4) for _ in METRICS]
    assert found.dropped == {}
    assert set(found.config) == {"lr", "model/depth", "name"}
    assert found.run == "train_a1b2c_00000"


def test_settings_come_from_the_reports_where_params_are_missing_or_cut(tmp_path: Path) -> None:
    expected = {"lr": 0.001, "model/depth": 2, "name": "adam"}
    assert detect(trial(tmp_path / "alone" / "t", REPORTS, params=False).parent).source == "ray_tune"
    folder = trial(tmp_path / "t", REPORTS)
    assert log(folder).config == expected
    (folder / "params.json").write_text('{"lr": 0.0')
    assert log(folder).config == expected
    (folder / "params.json").unlink()
    assert log(folder).config == expected


def test_a_restored_trial_begins_a_segment_and_keeps_what_it_wrote_twice(tmp_path: Path) -> None:
    again = [report(3, 1, 7.0), report(4, 2, 8.0)]
    found = log(trial(tmp_path / "t", [*REPORTS, *again]))
    of = found.metric == "loss"
    assert found.step[of].tolist() == [1, 2, 3, 4, 3, 4]
    assert found.segment[of].tolist() == [0, 0, 0, 0, 1, 1]
    assert found.value[of].tolist() == [*VALUES, 7.0, 8.0]


def test_not_finite_numbers_stay_and_what_is_no_number_is_counted(tmp_path: Path) -> None:
    odd = [report(1, 1, math.nan, hist=[1, 2]), report(2, 2, math.inf, note="x"), report(3, 3, 1.0, ok=True, none=None)]
    found = log(trial(tmp_path / "t", odd))
    assert [value for _, value in rows(found, "loss")] == ["nan", "inf", (1.0).hex()]
    assert found.dropped == {NOT_ONE: 2}


def test_timesteps_are_the_clock_where_there_is_no_other(tmp_path: Path) -> None:
    found = log(trial(tmp_path / "t", [{"timesteps_total": 5, "loss": 1.0}, {"loss": 2.0}]))
    assert rows(found, "loss") == [(5, (1.0).hex())]
    assert found.dropped == {NO_STEP: 1}


def test_names_of_trials(tmp_path: Path) -> None:
    for name in ("exp1/t_0", "exp2/t_0", "exp2/t_1"):
        progress(trial(tmp_path / name, REPORTS), REPORTS)
    trial(tmp_path / ".hidden" / "t_2", REPORTS)
    assert sorted(item.run for item in ray_tune.scan(tmp_path)) == ["exp1/t_0", "exp2/t_0", "t_1"]
    assert ray_tune.sniff(tmp_path) == "Ray Tune: 3 trials"
    assert [item.run for item in ray_tune.scan(tmp_path / "exp1" / "t_0" / "result.json")] == ["t_0"]


@pytest.mark.parametrize(("write", "name"), [(trial, "result.json"), (progress, "progress.csv")])
def test_a_log_cut_anywhere(tmp_path: Path, write: Callable[..., Path], name: str) -> None:
    folder = write(tmp_path / "t", REPORTS[:2])
    raw = (folder / name).read_bytes()
    header = 1 if name == "progress.csv" else 0
    full = rows(log(folder), "loss")
    (item,) = ray_tune.scan(folder)
    for end in range(len(raw) + 1):
        (folder / name).write_bytes(raw[:end])
        found = ray_tune.read(item)
        # A JSON object says itself where it ends, a CSV row does not.
        complete = raw[:end].count(b"\n") + (not header and raw[:end].endswith(b"}}") is True)
        complete = complete if header else sum(_whole(line) for line in raw[:end].split(b"\n"))
        assert rows(found, "loss") == full[: max(complete - header, 0)]
        rest = raw[:end].rsplit(b"\n")[-1].strip()
        assert found.dropped == ({CUT: 1} if rest and (header or not _whole(rest)) else {})


def _whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def test_two_writers_in_one_file_are_counted(tmp_path: Path) -> None:
    folder = trial(tmp_path / "t", REPORTS)
    whole = (folder / "result.json").read_text()
    (folder / "result.json").write_text(whole + '{"loss": {"loss": 1\n[1]\n\0\0\n' + whole)
    found = log(folder)
    assert found.dropped == {WRONG_LINES: 2}
    assert len(rows(found, "loss")) == 2 * len(VALUES)


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=200), name=st.sampled_from(["result.json", "progress.csv"]), front=st.booleans())
def test_garbage_ends_in_one_line(tmp_path_factory: pytest.TempPathFactory, raw: bytes, name: str, front: bool) -> None:
    folder = tmp_path_factory.getbasetemp() / "ray_garbage"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    valid = b'{"training_iteration": 1, "loss": 2}\n' if name == "result.json" else b"training_iteration,loss\n1,2\n"
    (folder / name).write_bytes(valid + raw if front else raw)
    ray_tune.sniff(folder)
    try:
        found = log(folder)
    except ValueError as error:
        assert "\n" not in str(error) and not front
    else:
        assert not front or rows(found, "loss")[:1] == [(1, (2.0).hex())]


@pytest.mark.parametrize("make", [lambda p: p / "none", lambda p: p, lambda p: other(p)])
def test_what_is_no_trial_is_said(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    assert ray_tune.sniff(path) is None
    with pytest.raises(ValueError, match="no trial of Ray Tune here"):
        ray_tune.scan(path)


def other(folder: Path) -> Path:
    """A progress.csv of somebody else."""
    (folder / "progress.csv").write_text("time/total_timesteps,loss\n1,2\n")
    return folder


def test_load_gives_curves(tmp_path: Path) -> None:
    for name in ("t_0", "t_1"):
        trial(tmp_path / name, REPORTS)
    curves = ray_tune.load(tmp_path, last_step=10, metrics="loss", family="(.*)")
    assert curves.points["value"].tolist() == VALUES * 2
    curves = ray_tune.load(tmp_path, last_step=1000, metrics="loss", clock="timesteps_total", family="(.*)")
    assert curves.points["step"].tolist() == [100, 200, 300, 400] * 2


def state(
    experiment: Path, trials: dict[str, tuple[str, object]], form: str, name: str = "2024-05-01_12-00-00"
) -> None:
    """The state of an experiment: texts in pairs (trial_data, Ray 2.4 and later), texts or objects (checkpoints)."""
    each = [
        {"trial_id": trial, "status": status, "stopping_criterion": stop, "storage": {"_type": "CLOUDPICKLE_FALLBACK"}}
        for trial, (status, stop) in trials.items()
    ]
    content: dict[str, object] = {
        "trial_data": {"trial_data": [[json.dumps(one), json.dumps({"last_result": {}})] for one in each]},
        "texts": {"checkpoints": [json.dumps(one) for one in each]},
        "objects": {"checkpoints": each},
    }[form]
    content |= {"runner_data": {"_resumed": False}, "stats": {"start_time": 1.0}}
    (experiment / f"experiment_state-{name}.json").write_text(json.dumps(content, indent=2))


@pytest.mark.parametrize("form", ["trial_data", "texts", "objects"])
def test_the_state_of_the_experiment_says_how_trials_ended(tmp_path: Path, form: str) -> None:
    """ASHA ends trials early and calls them TERMINATED: they are of one study, and the limit of all is known."""
    stop = {"training_iteration": 8, "loss": 0.01}
    states = {"a": ("TERMINATED", stop), "b": ("TERMINATED", stop), "c": ("ERROR", stop), "d": ("RUNNING", {})}
    for trial_id in states:
        many = 4 if trial_id == "a" else 2
        reports = [report(i + 1, i + 1, 1.0, trial_id=trial_id, done=i + 1 == many) for i in range(many)]
        trial(tmp_path / "asha" / f"train_{trial_id}_0_lr=0.1", reports)
    state(tmp_path / "asha", dict.fromkeys(states, ("RUNNING", stop)), form, "2024-05-01_11-00-00")
    state(tmp_path / "asha", states, form)
    (tmp_path / "asha" / "experiment_state-2024-05-01_13-00-00.json").write_text('{"trial_data": [["{')  # cut
    found = {item.run: ray_tune.read(item) for item in ray_tune.scan(tmp_path)}
    assert [log.stopped for log in found.values()] == ["", "", "failed", "running"]
    assert [log.planned for log in found.values()] == [8, 8, 8, None]
    assert {log.study for log in found.values()} == {"asha"}
    assert not any(log.events for log in found.values())


def test_trials_are_found_by_their_folders_where_only_the_table_is_there(tmp_path: Path) -> None:
    progress(tmp_path / "e" / "train_x1_00000_0_lr=0.1", REPORTS)
    progress(tmp_path / "e" / "train_x1_00001_1_lr=0.2", REPORTS)
    state(tmp_path / "e", {"x1_00000": ("TERMINATED", {}), "x1_00001": ("ERROR", {})}, "texts")
    assert [ray_tune.read(item).stopped for item in ray_tune.scan(tmp_path)] == ["", "failed"]


def test_an_error_is_a_failure_unless_the_trial_was_tried_again(tmp_path: Path) -> None:
    for run in ("failed", "again", "pickled", "fine"):
        ended = [*REPORTS[:-1], REPORTS[-1] | {"done": run == "again"}]
        trial(tmp_path / "e" / run, ended)
    for run, name in (("failed", "error.txt"), ("again", "error.txt"), ("pickled", "error.pkl")):
        (tmp_path / "e" / run / name).write_bytes(b"\x80\x04 no pickle that could be read")
    found = {item.run: ray_tune.read(item).stopped for item in ray_tune.scan(tmp_path)}
    assert found == {"again": "", "failed": "failed", "fine": "", "pickled": "failed"}


def test_what_rllib_trains_without_tune_is_no_study(tmp_path: Path) -> None:
    trial(tmp_path / "ray_results" / "PPO_1", [each | {"trial_id": "default"} for each in REPORTS])
    assert log(tmp_path).study == ""


@pytest.mark.parametrize(
    "text", ["[1]", "{}", '{"checkpoints": 3, "trial_data": [1, ["x"], null, {"trial_id": 1}]}', "{"]
)
def test_a_state_that_is_none_says_nothing(tmp_path: Path, text: str) -> None:
    trial(tmp_path / "e" / "t", REPORTS)
    (tmp_path / "e" / "experiment_state-1.json").write_text(text)
    assert (log(tmp_path).stopped, log(tmp_path).planned) == ("", None)
