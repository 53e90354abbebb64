"""Damage of kinds that the fuzz (benchmarks/fuzz.py) has found: loading gives the values that stand there, or says why
not in one line.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictdyn.backtest.folder import MANY_FILES, file_hashes
from predictdyn.curves import Curves
from predictdyn.loaders import load, tidy, writing
from predictdyn.loaders.engine.lengths import Length, planned_by
from predictdyn.loaders.engine.merge import Rules, tidy_runs
from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.mlflow import parts as mlflow_parts
from predictdyn.loaders.text_log.rows import rows_of

Samples = dict[str, Callable[[Path], Path]]
# A folder of these holds a file or more a run, and tools write to it while it is read.
FOLDERS = ("huggingface", "json_lines", "keras", "lightning", "olmo", "ray_tune",
           "stable_baselines3", "tensorboard", "text_log", "wandb", "wide")  # fmt: skip


def quietly(path: Path, source: str | None = None, **options: object) -> tuple[Curves, list[str]]:
    """The curves, and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        curves = load(path, source, **options)
    return curves, [str(warning.message) for warning in said]


def values(curves: Curves) -> list[tuple[str, float, float]]:
    columns = (curves.points[name].tolist() for name in ("metric", "step", "value"))
    return sorted(zip(*columns, strict=True))


def copies(home: Path, sample: Callable[[Path], Path]) -> Curves:
    """The sample twice in one folder; gives what one of them holds."""
    for name in ("one", "two"):
        (home / name).mkdir()
        sample(home / name)
    return quietly(home / "one")[0]


@pytest.mark.parametrize("source", FOLDERS)
@pytest.mark.parametrize("content", [b"", b"\x00\xff\x1f\x8b", b'{"step": 1, "lo', b"[" * 100_000])
def test_one_bad_file_does_not_fail_the_folder(samples: Samples, tmp_path: Path, source: str, content: bytes) -> None:
    one = copies(tmp_path, samples[source])
    for file in (tmp_path / "two").rglob("*"):
        if file.is_file():
            file.write_bytes(content)
    assert set(values(one)) <= set(values(quietly(tmp_path, source)[0]))


def test_mlflow_runs_of_a_copied_store_get_names() -> None:
    """mlflow.db beside its backup: nothing but the file tells their runs apart, and all are read."""
    twice = [mlflow_parts.StoredRun("a1", "mlp", "one", (Path(name),)) for name in ("mlflow.db", "backup.db")]
    assert mlflow_parts.names(twice) == ["mlp-a1", "mlp-a1"]


def test_optuna_studies_beside_their_copy_are_all_read(samples: Samples, tmp_path: Path) -> None:
    file = samples["optuna"](tmp_path)
    one = quietly(file)[0]
    shutil.copy(file, file.with_name("copy.log"))
    assert len(quietly(tmp_path, "optuna")[0].points) == 2 * len(one.points)


def test_phases_without_a_folder_of_their_run_and_a_run_below_it(tmp_path: Path) -> None:
    from tensorboardX import SummaryWriter

    for folder in ("train", "validation", "other"):
        with SummaryWriter(str(tmp_path / "run" / folder)) as writer:
            for step in range(3):
                writer.add_scalar("loss", 2.0**-step, step)
    curves, _ = quietly(tmp_path)
    assert set(curves.points["value"]) == {1.0, 0.5, 0.25}
    assert set(curves.points["metric"]) >= {"train/loss", "validation/loss"}


@pytest.mark.parametrize("cell", ["1_000", "٣", "５", "1_0.5"])
def test_what_only_python_takes_for_a_number_is_none(tmp_path: Path, cell: str) -> None:
    """No log writes 1_000, and the bytes of another script's digits are damage."""
    logs = {
        "stable_baselines3": ("progress.csv", f"time/total_timesteps,train/loss\n1,2.5\n2,{cell}\n3,2.0\n"),
        "ray_tune": ("result.json", '{"training_iteration": 1, "loss": 2.5}\n' +
                     f'{{"training_iteration": 2, "loss": "{cell}", "x": 2}}\n' +
                     '{"training_iteration": 3, "loss": 2.0}\n'),
    }  # fmt: skip
    for source, (name, text) in logs.items():
        folder = tmp_path / source
        folder.mkdir()
        (folder / name).write_text(text, encoding="utf-8")
        curves, _ = quietly(folder, source)
        assert set(curves.points["value"]) <= {0.5, 0.75, 2.5, 2.25, 2.0}, source
        assert len(curves.points) >= 2


@pytest.mark.parametrize("filler", ["x" * 140_000, "x " * 70_000, "a=" * 70_000, "total " * 30_000, "(" * 140_000])
def test_a_line_without_end_costs_no_time(tmp_path: Path, filler: str) -> None:
    """Its name is looked for right before a number: searching all that stands before it took minutes."""
    lines = ["step 1 loss 2.5", f"step 2 {filler}h 0, loss=1", "step 3 loss 2.25"]
    (tmp_path / "train.log").write_text("\n".join([*lines, ""]))
    start = time.process_time()
    curves, _ = quietly(tmp_path / "train.log")
    assert time.process_time() - start < 10
    assert {("loss", 1.0, 2.5), ("loss", 3.0, 2.25)} <= set(values(curves))


def test_values_without_a_name_are_counted(tmp_path: Path) -> None:
    rows = [{"step": step, "loss": 1 / step, "": 5.0} for step in (1, 2, 4)]
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    curves, said = quietly(tmp_path / "log.jsonl")
    assert values(curves) == [("loss", 1.0, 1.0), ("loss", 2.0, 0.5), ("loss", 4.0, 0.25)]
    assert any("3 value(s) of a metric without a name" in line for line in said)


def test_names_that_cannot_be_written_come_back(tmp_path: Path, same: Callable[[Curves, Curves], None]) -> None:
    """Files whose names are in Latin-1."""
    folder = os.fsencode(tmp_path / "logs")
    os.mkdir(folder)
    for name in (b"caf\xe9.jsonl", b"tea.jsonl"):
        with open(folder + b"/" + name, "w", encoding="ascii") as file:
            file.writelines(f'{{"step": {step}, "loss": {1 / step}}}\n' for step in (1, 2, 4))
    curves, said = quietly(tmp_path / "logs")
    assert sorted(curves.runs.index) == ["caf?", "tea"]
    assert all(line.isprintable() for line in said)
    tidy.save(curves, tmp_path / "tidy")
    same(curves, quietly(tmp_path / "tidy")[0])


def test_half_a_character_in_the_name_of_a_metric_is_written_as_a_question_mark() -> None:
    names = np.array(["loss\ud800", "loss"] * 2, dtype=object)
    columns = np.array([1, 1, 2, 2.0]), np.array([4, 3, 2, 1.0]), np.full(4, np.nan), np.zeros(4, dtype=int)
    log = RunLog("a", names, *columns, config={"note\udfff": "x\udfff"}, events=((1.0, "end\ud800"),))
    (found,) = tidy_runs(log, Rules())
    assert sorted(found.names) == ["loss", "loss?"]
    assert found.points["value"].tolist() == [3.0, 1.0, 4.0, 2.0]
    assert (found.config, found.events) == ({"note?": "x?"}, [(1.0, "end?")])


def test_a_link_back_and_a_pipe_beside_do_not_hang(samples: Samples, tmp_path: Path) -> None:
    """For every source that reads folders: links that lead back, links to nothing, pipes, folders named like files."""
    for source in FOLDERS:
        home = tmp_path / source
        home.mkdir()
        samples[source](home)
        before = values(quietly(home, source)[0])
        file = next(file for file in sorted(home.rglob("*")) if file.is_file())
        (file.parent / "loop").symlink_to(home, target_is_directory=True)
        (file.parent / f"lost{file.suffix}").symlink_to("nowhere")
        (file.parent / f"folder{file.suffix}").mkdir()
        os.mkfifo(file.parent / f"pipe{file.suffix}")
        assert values(quietly(home, source)[0]) == before, source
        shutil.rmtree(home)


def test_a_parent_of_mlflow_that_is_no_name_of_a_folder_is_none(samples: Samples, tmp_path: Path) -> None:
    path = samples["mlflow"](tmp_path)
    before = values(quietly(path)[0])
    tag = path / "mlruns" / "0" / "a1" / "tags" / "mlflow.parentRunId"
    tag.parent.mkdir()
    tag.write_text("a1b2" * 200)
    assert values(quietly(path)[0]) == before


@pytest.mark.parametrize("path", ["a" * 5000, "x\0y", "/dev/null", "/dev/zero"])
def test_a_path_that_is_none_is_refused_in_one_line(path: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
        load(path)


def test_half_a_character_in_json_is_written_as_a_question_mark(
    tmp_path: Path, same: Callable[[Curves, Curves], None]
) -> None:
    rows = [{"step": step, "loss\ud800": 1 / step, "loss": step, "note": "\udfff"} for step in (1, 2, 4)]
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    curves, said = quietly(tmp_path / "log.jsonl")
    assert set(curves.points["metric"]) == {"loss?", "loss"}
    assert all(line.isprintable() for line in said)
    tidy.save(curves, tmp_path / "tidy")
    same(curves, quietly(tmp_path / "tidy")[0])


@pytest.mark.parametrize("cell", ["1_000", "٣", "５"])
def test_a_table_refuses_what_only_python_takes_for_a_number(tmp_path: Path, cell: str) -> None:
    (tmp_path / "x.csv").write_text(f"step,loss\n1,2.5\n2,{cell}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"x\.csv, line 3: .*must be a number or blank"):
        load(tmp_path / "x.csv", "wide")
    (tmp_path / "training.csv").write_text(f"epoch,acc,loss\n0,0.5,2.5\n1,{cell},2.25\n2,0.75,2.0\n", encoding="utf-8")
    curves, said = quietly(tmp_path / "training.csv", "keras")
    assert sorted(curves.points["value"]) == [0.5, 0.75, 2.0, 2.25, 2.5]
    assert any("no number" in line for line in said)


def test_settings_of_many_blanks_cost_no_time(samples: Samples, tmp_path: Path) -> None:
    path = samples["lightning"](tmp_path)
    file = path / "version_0" / "hparams.yaml"
    file.write_text(f"lr: 0.001 # rate\nnote: x{' ' * 140_000}y\nmax_steps:   100   \n")
    start = time.process_time()
    curves = quietly(path)[0]
    assert time.process_time() - start < 10
    assert curves.runs["last_step"].tolist() == [100]


LONG: dict[str, Callable[[int], str]] = {
    "blanks before a word": lambda n: " " * n + "x;0.5",
    "blanks in a name": lambda n: f" a{' ' * n}b 5",
    "blanks in a box": lambda n: f"| {' ' * n}x",
    "blanks in a cell of a box": lambda n: f"| a |{' ' * n}b c",
    "a word said again and again": lambda n: f"{'total ' * (n // 6)}; steps 0",
    "values behind a step": lambda n: "step 2 " + "a=1 " * (n // 4),
    "values": lambda n: "a=1 " * (n // 4),
    "values apart by signs": lambda n: "loss=1 - " * (n // 9),
    "values, then bare numbers": lambda n: "a=1 " * (n // 8) + "- 1" * (n // 6),
    "bare numbers": lambda n: "1 " * (n // 2),
    "numbers behind a step": lambda n: f"step 2: {'1, ' * (n // 3)}",
    "pairs": lambda n: "1/2 " * (n // 4),
    "counters": lambda n: "epoch 1 step " * (n // 13),
    "a long name": lambda n: f"loss of {'x 5 ' * (n // 4)}",
}


def scaling(text: Callable[[int], str], small: int, large: int) -> float:
    """How many times as long it takes to read a line of ``large`` size as one of ``small`` size."""

    def seconds(size: int) -> float:
        lines = f"step 1 loss 2.5\n{text(size)}\nstep 3 loss 2.25\n"
        start = time.process_time()
        found = rows_of(lines)
        spent = time.process_time() - start
        assert {2.5, 2.25} <= {value for rows in found.rows for value in rows.numbers[:, 4:].ravel().tolist()}
        return spent

    return min(seconds(large) for _ in range(3)) / min(seconds(small) for _ in range(3))


@pytest.mark.parametrize("name", LONG)
def test_a_line_takes_time_in_proportion_to_its_length(name: str) -> None:
    """Eight times as long a line takes eight times as long, or less; what takes the square of it takes 64 times."""
    assert scaling(LONG[name], 4_000, 32_000) < 24


def test_a_header_with_tabs_between_blanks_can_be_read_in_one_way_only() -> None:
    """Two ways for each of ten more gaps are a thousand times as many."""
    assert scaling(lambda n: "a" + " \t b" * n + "!", 10, 20) < 24


def test_a_whole_number_too_large_for_a_float_is_no_length(samples: Samples, tmp_path: Path) -> None:
    huge = 10**400
    lightning = samples["lightning"](tmp_path) / "version_0"
    (lightning / "hparams.yaml").write_text(f"max_steps: {huge}\nlr: 0.5\n")
    table = tmp_path / "table" / "log.csv"
    table.parent.mkdir()
    table.write_text("epoch,loss\n0,2.5\n1,2.25\n")
    (table.parent / "args.json").write_text(f'{{"epochs": {huge}, "max_steps": {huge}}}')
    keras = tmp_path / "history.json"
    keras.write_text(f'{{"history": {{"loss": [2.5, 2.25]}}, "params": {{"epochs": {huge}}}}}')
    for path in (lightning, table, keras):
        curves, said = quietly(path)
        assert curves.runs["last_step"].tolist() == [curves.points["step"].max()], path
        assert any("the planned length of 1 of 1 run(s) is not known" in line for line in said), path
    with pytest.raises(ValueError, match=r"\A[^\n]*last_step must be a number > 0[^\n]*\Z"):
        load(lightning, last_step="max_steps")


def test_epochs_times_their_steps_may_be_too_large_for_a_float() -> None:
    run = Length(None, last=100.0, pace=10.0)
    assert planned_by({"epochs": 1e308, "max_epochs": 20}, run) == 200.0
    assert planned_by({"epochs": 1e308}, run) is None


def test_tables_whose_names_differ_in_what_cannot_be_written_are_runs_of_their_own(tmp_path: Path) -> None:
    """Files whose names are in Latin-1, with a column that holds for a whole run."""
    for end, name in ((4, b"caf\xe8.csv"), (8, b"caf\xe9.csv")):
        with open(os.fsencode(tmp_path) + b"/" + name, "w", encoding="ascii") as file:
            file.write("step,loss,max_steps\n" + "".join(f"{step},{step + end},{end}\n" for step in (1, 2)))
    curves, said = quietly(tmp_path)
    assert curves.runs["last_step"].tolist() == [4, 8]
    assert all(name.isascii() for name in curves.runs.index)
    assert values(curves) == [("loss", 1.0, 5.0), ("loss", 1.0, 9.0), ("loss", 2.0, 6.0), ("loss", 2.0, 10.0)]
    assert all(line.isprintable() for line in said)


def test_parquet_below_a_folder_whose_name_is_no_text(tmp_path: Path, same: Callable[[Curves, Curves], None]) -> None:
    """A folder in Latin-1: pyarrow opens no such path by itself."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    points = pd.DataFrame({"step": [1, 2], "loss": [2.5, 2.25]})
    points.to_parquet(tmp_path / "log.parquet", index=False)
    shutil.move(tmp_path / "log.parquet", folder / "log.parquet")
    curves, _ = quietly(folder / "log.parquet")
    assert values(curves) == [("loss", 1.0, 2.5), ("loss", 2.0, 2.25)]
    tidy.save(curves, folder / "tidy")
    same(curves, quietly(folder / "tidy")[0])
    (folder / "out").mkdir()
    done = writing.write(folder / "log.parquet", "wide", folder / "out", {})
    assert done.points == 2
    same(curves, quietly(folder / "out")[0])
    many = [f"caf\udce9{i}" for i in range(MANY_FILES)]
    for name in many:
        (folder / name).write_text(name[-1])
    (said,) = file_hashes(folder).values()
    (folder / many[0]).rename(folder / "caf\udce8")
    assert [said] != list(file_hashes(folder).values())
