"""JSON that is no lines: what gradient boosting records of its rounds, and one object a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from predictdyn.curves import Curves
from predictdyn.loaders import detect, load
from predictdyn.loaders.writing import write

Content = dict[str, object]


def dump(path: Path, content: object, **how: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, **how))  # type: ignore[arg-type]


def points(curves: Curves) -> dict[tuple[str, str], list[tuple[float, float]]]:
    groups = curves.points.groupby(["run", "metric"])[["step", "value"]]
    return {(str(run), str(metric)): list(table.itertuples(index=False, name=None)) for (run, metric), table in groups}


# Rounds.


@pytest.mark.parametrize("indent", [0, 2])
@pytest.mark.parametrize(("train", "valid"), [("train", "valid"), ("training", "valid_1"), ("validation_0", "holdout")])
def test_what_xgboost_and_lightgbm_record_of_an_evaluation(tmp_path: Path, indent: int, train: str, valid: str) -> None:
    series = {
        train: {"logloss": [0.75, 0.5, 0.25], "auc": [0.5, 0.75, 0.875]},
        valid: {"logloss": [0.875, 0.625, 0.5], "auc": [0.5, 0.625, 0.75]},
    }
    dump(tmp_path / "evals_result.json", series, **({"indent": indent} if indent else {}))
    assert detect(tmp_path).source == detect(tmp_path / "evals_result.json").source == "json_lines"
    curves = load(tmp_path, last_step=2)
    assert points(curves) == {
        ("evals_result", f"{data}/{name}"): list(enumerate(values))
        for data, metrics in series.items()
        for name, values in metrics.items()
    }
    assert {curves.metrics[f"{train}/{name}"].kind for name in ("logloss", "auc")} == {"loss", "capability"}


@pytest.mark.parametrize(
    "content",
    [
        {"train": {"milestones": [10, 20]}, "model": {"layers": [1, 2, 3]}},
        {"optimizer": {"betas": [0.9, 0.999]}},
        {"train": {"logloss": [0.5, 0.25]}, "name": "x"},
        {"train": {"logloss": [0.5, "low"]}},
        {"train": {"logloss": [0.5]}},
        {"iterations": [{"learn": [0.5]}]},
    ],
)
def test_other_objects_of_lists_are_no_rounds(tmp_path: Path, content: Content) -> None:
    dump(tmp_path / "settings.json", content)
    with pytest.raises(ValueError, match="cannot tell what this is"):
        load(tmp_path)


def test_what_catboost_leaves_of_its_rounds(tmp_path: Path) -> None:
    meta = {
        "test_sets": ["test"], "learn_sets": ["learn"], "name": "experiment", "iteration_count": 50,
        "test_metrics": [{"best_value": "Min", "name": "RMSE"}, {"best_value": "Max", "name": "R2"}],
        "learn_metrics": [{"best_value": "Min", "name": "RMSE"}],
    }  # fmt: skip
    rounds = [
        {
            "learn": [4 / (i + 1)],
            "iteration": i,
            "passed_time": i / 8,
            "remaining_time": 9 - i,
            "test": [5 / (i + 1), i / 8],
        }
        for i in range(8)
    ]
    for name, content in (("a", {"meta": meta, "iterations": rounds}), ("b", {"iterations": rounds, "meta": meta})):
        dump(tmp_path / name / "catboost_training.json", content)
        curves = load(tmp_path / name, metrics="learn/*,test/*")
        assert points(curves) == {
            ("catboost_training", "learn/RMSE"): [(i, 4 / (i + 1)) for i in range(8)],
            ("catboost_training", "test/RMSE"): [(i, 5 / (i + 1)) for i in range(8)],
            ("catboost_training", "test/R2"): [(i, i / 8) for i in range(8)],
        }
        assert curves.runs["last_step"].tolist() == [49]
    several = [{**row, "test": [[1 / (i + 1), 0], [2 / (i + 1), 0]]} for i, row in enumerate(rounds)]
    dump(tmp_path / "c" / "catboost_training.json", {"meta": meta, "iterations": several})
    found_here = points(load(tmp_path / "c", metrics="test*/RMSE"))
    assert found_here == {
        ("catboost_training", f"test{k}/RMSE"): [(i, (k + 1) / (i + 1)) for i in range(8)] for k in (0, 1)
    }


# One object a file.


def epoch(i: int) -> Content:
    """As AllenNLP writes ``metrics_epoch_0.json``, in short."""
    return {
        "best_epoch": i, "training_duration": f"0:{i:02}:30.5", "epoch": i, "training_start_epoch": 0,
        "training_epochs": i, "training_accuracy": 0.5 + i / 32, "training_loss": 2 - i / 16,
        "validation_accuracy": 0.5 + i / 64, "validation_loss": 2 - i / 32,
    }  # fmt: skip


def test_an_object_an_epoch_is_a_row_of_one_run(tmp_path: Path) -> None:
    for i in range(12):
        dump(tmp_path / f"metrics_epoch_{i}.json", epoch(i), indent=2)
    # Its last file: those of the last epoch again, and results of the best one, which may be another.
    final = {"best_epoch": 4, "best_validation_loss": 1.875, "test_accuracy": 0.75, "test_loss": 1.5}
    dump(tmp_path / "metrics.json", {**epoch(11), **final})
    dump(tmp_path / "config.json", {"dropout": 0.1, "epochs": 12})
    assert detect(tmp_path).words == "JSON objects, one a file: 12 files, 1 series"
    with pytest.warns(UserWarning, match=r"^3 value\(s\) of metrics.json left out: results of the whole run") as said:
        curves = load(tmp_path, last_step=11)
    assert len(said) == 1
    assert points(curves)["metrics", "validation_loss"] == [(i, 2 - i / 32) for i in range(12)]
    assert points(curves)["metrics", "training_accuracy"] == [(i, 0.5 + i / 32) for i in range(12)]
    assert "test_accuracy" not in curves.metrics


def test_results_beside_the_checkpoints_of_a_run_are_counted(tmp_path: Path) -> None:
    """As a trainer leaves them: the results of each checkpoint in its folder, those of the end above."""
    for run in ("a", "b"):
        for step in (500, 1000):
            dump(tmp_path / run / f"checkpoint-{step}" / "eval_results.json", {"eval_loss": 2 - step / 2000})
        dump(tmp_path / run / "all_results.json", {"eval_loss": 1.5 if run == "a" else 1.25, "train_runtime": 60.5})
    with pytest.warns(UserWarning, match=r"^1 value\(s\) of all_results.json left out: .*, in b$") as said:
        curves = load(tmp_path, last_step=1000)
    assert len(said) == 1, "what is said again at the end is no loss"
    assert points(curves)["b", "eval_loss"] == [(500, 1.75), (1000, 1.5)]


def test_the_files_of_several_runs_and_of_phases(tmp_path: Path) -> None:
    for run in ("a", "b"):
        for phase in ("train", "val"):
            for step in (0, 500, 1000):
                dump(tmp_path / run / f"{phase}_step_{step}.json", {"accuracy": 0.25 + step / 4000, "count": 64})
    want = [(0, 0.25), (500, 0.375), (1000, 0.5)]
    curves = load(tmp_path, metrics="*accuracy", last_step=1000)
    assert points(curves) == {(run, f"{phase}/accuracy"): want for run in "ab" for phase in ("train", "val")}


@pytest.mark.parametrize(
    "name",
    [
        "checkpoint-{}/eval_results.json",
        "step{}/eval.json",
        "eval_{}.json",
        "eval-ckpt_{:08}.json",
        "map50_iter{}.json",
    ],
)
def test_the_step_is_in_the_name(tmp_path: Path, name: str) -> None:
    for step in (500, 1000, 1500):
        dump(tmp_path / "out" / name.format(step), {"eval_loss": 2 - step / 2000, "eval_runtime": 1.5})
    curves = load(tmp_path / "out", metrics="eval_loss", last_step=1500)
    assert list(points(curves).values()) == [[(500, 1.75), (1000, 1.5), (1500, 1.25)]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("seed_{}/metrics.json", {"accuracy": 0.5}),
        ("metrics_{}.json", {"accuracy": 0.5}),
        ("fold{}.json", {"loss": 0.5}),
        ("checkpoint-{}/config.json", {"hidden_size": 768, "dropout": 0.1}),
        ("epoch_{}.json", {"accuracy": "high"}),
    ],
)
def test_seeds_folds_and_settings_are_no_steps(tmp_path: Path, name: str, content: Content) -> None:
    for i in range(1, 4):
        numbers = {key: cell + i / 16 if isinstance(cell, float) else cell for key, cell in content.items()}
        dump(tmp_path / name.format(i), numbers)
    with pytest.raises(ValueError, match="cannot tell what this is"):
        load(tmp_path)


def test_one_object_a_file_is_read_again_when_there_is_one_more(tmp_path: Path) -> None:
    folders = [tmp_path / f"tidy{i}" for i in range(3)]
    for folder in folders:
        folder.mkdir()
    for i in range(3):
        dump(tmp_path / "log" / f"metrics_epoch_{i}.json", epoch(i))
    write(tmp_path / "log", "json_lines", folders[0], {})
    same = write(tmp_path / "log", "json_lines", folders[1], {}, before=folders[0])
    assert same.notes[0].startswith("1 of 1 run(s) unchanged")
    dump(tmp_path / "log" / "metrics_epoch_3.json", epoch(3))
    more = write(tmp_path / "log", "json_lines", folders[2], {}, before=folders[1])
    assert more.notes[0].startswith("0 of 1 run(s) unchanged") and more.curves.runs["last_step"].tolist() == [3]


def test_a_file_that_is_being_written_is_counted(tmp_path: Path) -> None:
    for i in range(4):
        dump(tmp_path / f"metrics_epoch_{i}.json", epoch(i))
    (tmp_path / "metrics_epoch_3.json").write_text('{"epoch": 3, "training_acc')
    with pytest.warns(UserWarning, match=r"1 file\(s\) dropped that are no JSON object"):
        curves = load(tmp_path, last_step=3)
    assert points(curves)["metrics", "training_loss"] == [(i, 2 - i / 16) for i in range(3)]


def test_files_of_one_name_are_called_like_their_folders(tmp_path: Path) -> None:
    for place, run in enumerate(("run01", "run02")):
        (tmp_path / run).mkdir()
        lines = [f'{{"step": {step}, "loss": {3 + place - step / 9}}}' for step in range(1, 6)]
        (tmp_path / run / "metrics.jsonl").write_text("\n".join(lines))
    assert {run for run, _ in points(load(tmp_path, last_step=5))} == {"run01", "run02"}
