"""Several runs in one log, one run in several places, and runs that were stopped before their siblings."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from predictdyn.curves import Curves
from predictdyn.loaders import load, tidy
from predictdyn.loaders.engine.lengths import Length, last_steps, planned_by
from predictdyn.loaders.writing import write

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def counts(curves: Curves) -> dict[tuple[str, str], int]:
    return {key: int(n) for key, n in curves.points.groupby(["run", "metric"]).size().items()}


def table(path: Path, names: str, rows: Sequence[Sequence[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([names, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


# Several runs in one log.


def trials(n: int = 3, last: int = 2000) -> str:
    """As records of speed runs are published: the same seed first, then each trial its own values."""
    lines = []
    for trial in range(n):
        for step in range(0, 2001, 250):
            if step > last and trial == n - 1:
                break
            loss = 10.8258 if step == 0 else 4 + 600 / (step + 50) + 0.004 * trial
            lines.append(f"step:{step}/2000 val_loss:{loss:.5f} train_time:{step * 0.157:.3f}s")
    return "\n".join(lines) + "\n"


def test_trials_one_after_the_other_are_runs_of_one_family(tmp_path: Path) -> None:
    (tmp_path / "trials.txt").write_text(trials())
    with pytest.warns(UserWarning, match=r"2 more run\(s\) found in the log"):
        curves = load(tmp_path)
    assert counts(curves) == {(run, "val_loss"): 9 for run in ("trials", "trials#2", "trials#3")}
    assert curves.runs["family"].unique().tolist() == ["trials"]
    assert curves.runs["last_step"].tolist() == [2000] * 3
    merged = load(tmp_path, merge="yes")
    assert counts(merged) == {("trials", "val_loss"): 9}


def test_the_last_trial_may_still_be_going_on(tmp_path: Path) -> None:
    (tmp_path / "trials.txt").write_text(trials(2, last=700))
    curves = load(tmp_path)
    assert counts(curves) == {("trials", "val_loss"): 9, ("trials#2", "val_loss"): 3}
    assert curves.runs["last_step"].tolist() == [2000, 2000]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_seeds_in_a_loop_into_one_file(tmp_path: Path, form: str) -> None:
    """Different first values, no plan: the runs are equally long, and the header is written again."""
    rows = [(step, round(3 / (step + 1) + 0.1 * seed, 4)) for seed in range(3) for step in range(0, 50, 5)]
    if form == "csv":
        text = "".join("step,loss\n" * (step == 0) + f"{step},{loss}\n" for step, loss in rows)
    else:
        text = "".join(json.dumps({"step": step, "loss": loss}) + "\n" for step, loss in rows)
    (tmp_path / f"seeds.{form}").write_text(text)
    curves = load(tmp_path / f"seeds.{form}")
    assert counts(curves) == {(run, "loss"): 10 for run in ("seeds", "seeds#2", "seeds#3")}
    assert curves.points["value"].tolist() == [loss for _, loss in rows]


def test_a_resumed_run_is_one_run(tmp_path: Path) -> None:
    rows = [*range(0, 100, 10), *range(60, 150, 10)]
    lines = [json.dumps({"iteration": step, "loss": 3 - step / 100 + 0.01 * i}) for i, step in enumerate(rows)]
    (tmp_path / "metrics.json").write_text("\n".join(lines) + "\n")
    with pytest.warns(UserWarning) as caught:
        curves = load(tmp_path)
    assert counts(curves) == {("metrics", "loss"): 15}
    assert curves.events["what"].tolist() == ["restart"]
    said = [str(one.message) for one in caught]
    assert [line for line in said if line.startswith("4 value(s) of loss lost: another value was logged later")]
    runs = load(tmp_path, merge="runs")
    assert counts(runs) == {("metrics", "loss"): 10, ("metrics#2", "loss"): 9}


def test_a_table_that_contradicts_itself_names_the_ways_on(tmp_path: Path) -> None:
    """A CSV logger that appends: the header again, another fit of another length, epochs from 0."""
    first = [(epoch, 4.5 - epoch / 2, "00:17") for epoch in range(4)]
    again = [(0, 2.847987, "00:17"), (1, 2.603638, "00:18"), (2, 2.403583, "00:17")]
    path = table(tmp_path / "history.csv", "epoch,train_loss,time", [*first, ("epoch", "train_loss", "time"), *again])
    with pytest.raises(
        ValueError, match=r"history.csv, line 7: .* step 0 has another value .*merge='yes'.*merge='runs'"
    ):
        load(path)
    with pytest.warns(UserWarning) as caught:
        curves = load(path, merge="yes")
    assert curves.points["value"].tolist()[:3] == [2.847987, 2.603638, 2.403583]
    said = [str(one.message) for one in caught]
    assert "1 line(s) passed over that repeat the header, in history" in said
    assert [line for line in said if line.startswith("3 value(s) of train_loss lost: another value")]
    assert counts(load(path, merge="runs")) == {("history", "train_loss"): 4, ("history#2", "train_loss"): 3}


def test_a_merge_that_would_lose_most_is_refused(tmp_path: Path) -> None:
    steps = [*range(10), *(step for _ in range(6) for step in range(3, 10))]
    rows = [(step, round(5 - i / 20, 3)) for i, step in enumerate(steps)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps({"step": s, "loss": v}) + "\n" for s, v in rows))
    with pytest.raises(ValueError, match="merging would lose 42 of the values of loss; does the clock count something"):
        load(tmp_path, merge="auto")
    assert len(load(tmp_path, merge="yes").points) == 10


def test_newest_first_is_only_another_order(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(
        "".join(json.dumps({"step": s, "loss": 9 / s}) + "\n" for s in range(20, 0, -1))
    )
    with pytest.warns(UserWarning, match="not in the order of their steps, sorted"):
        curves = load(tmp_path)
    assert curves.points["step"].tolist() == list(range(1, 21))


def test_runs_of_one_log_are_updated_together(tmp_path: Path) -> None:
    log, first, second = tmp_path / "trials.txt", tmp_path / "first", tmp_path / "second"
    log.write_text(trials(2))
    for folder in (first, second):
        folder.mkdir()
    write(log, "text_log", first, {})
    again = write(log, "text_log", second, {}, before=first)
    assert again.notes[0] == "2 of 2 run(s) unchanged since the last time, not read again"
    assert (
        counts(tidy.load(second))
        == counts(tidy.load(first))
        == {("trials", "val_loss"): 9, ("trials#2", "val_loss"): 9}
    )
    log.write_text(trials(3))
    third = tmp_path / "third"
    third.mkdir()
    assert len(write(log, "text_log", third, {}, before=second).curves.runs) == 3


# One run in several places.


def test_curves_downloaded_from_a_board_are_the_metrics_of_their_runs(tmp_path: Path) -> None:
    for run in ("exp1", "exp2"):
        for tag, value in (("train_loss", 4.5), ("val_accuracy", 0.25)):
            rows = [(1e9 + i, 20 * i, value / (1 + i / 9)) for i in range(15)]
            table(tmp_path / f"run-{run}-tag-{tag}.csv", "Wall time,Step,Value", rows)
    curves = load(tmp_path)
    assert counts(curves) == {(run, tag): 15 for run in ("exp1", "exp2") for tag in ("train_loss", "val_accuracy")}
    assert {name: metric.kind for name, metric in curves.metrics.items()} == {
        "train_loss": "loss", "val_accuracy": "capability",
    }  # fmt: skip


def test_a_file_a_metric_in_folders_of_phases(tmp_path: Path) -> None:
    """As DVCLive and exporters write: the metric is the name of the file, its phase that of the folder."""
    for phase in ("train", "eval"):
        rows = [(i, round(2 / (1 + i), 4)) for i in range(8)]
        text = "\n".join(["step\tloss", *(f"{step}\t{loss}" for step, loss in rows)])
        path = tmp_path / "dvclive" / "plots" / "metrics" / phase / "loss.tsv"
        path.parent.mkdir(parents=True)
        path.write_text(text + "\n")
    assert counts(load(tmp_path)) == {("dvclive", "eval/loss"): 8, ("dvclive", "train/loss"): 8}
    for run in ("RUN-1", "RUN-2"):
        for metric in ("loss", "accuracy"):
            table(
                tmp_path / "export" / run / f"{metric}.csv", "step,value,timestamp", [(i, i / 9, i) for i in range(5)]
            )
    found = counts(load(tmp_path / "export"))
    assert found == {(run, metric): 5 for run in ("RUN-1", "RUN-2") for metric in ("accuracy", "loss")}


def test_a_column_called_value_alone_is_asked_about(tmp_path: Path) -> None:
    for name in ("blue", "green"):
        table(tmp_path / f"{name}.csv", "step,value", [(i, i) for i in range(5)])
    with pytest.raises(
        ValueError, match=r"called 'value', which is no name of a metric \(2 such file\(s\)\); say files='met"
    ):
        load(tmp_path)
    assert counts(load(tmp_path, files="runs")) == {("blue", "value"): 5, ("green", "value"): 5}
    assert counts(load(tmp_path, files="metrics")) == {(tmp_path.name, "blue"): 5, (tmp_path.name, "green"): 5}


def test_files_and_folders_of_phases_are_one_run(tmp_path: Path) -> None:
    for run in ("a", "b"):
        for phase in ("train", "val"):
            table(
                tmp_path / "files" / run / f"{phase}.csv", "step,loss,acc", [(i, 1 / (1 + i), i / 9) for i in range(6)]
            )
            rows = [(i, 1 / (2 + i), i / 8) for i in range(6)]
            table(tmp_path / "folders" / run / phase / "log.csv", "step,loss,acc", rows)
    want = {(run, f"{phase}/{name}"): 6 for run in "ab" for phase in ("train", "val") for name in ("acc", "loss")}
    assert counts(load(tmp_path / "files")) == want
    assert counts(load(tmp_path / "folders")) == want


def test_an_index_is_no_metric_and_what_is_written_is_read(tmp_path: Path) -> None:
    """As pandas writes a table with its index, and R with names of rows."""
    for name, head in (("pandas", ",step,loss"), ("twice", "Unnamed: 0,step,loss"), ("r", "index,step,loss")):
        path = table(tmp_path / f"{name}.csv", head, [(i, 10 * (i + 1), 4 / (1 + i)) for i in range(10)])
        (tmp_path / name).mkdir()
        written = write(path, "wide", tmp_path / name, {})
        assert list(written.curves.metrics) == ["loss"]
        assert counts(tidy.load(tmp_path / name)) == {(name, "loss"): 10}


def test_an_index_is_the_clock_only_if_asked_for(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "index,loss", [(i, 4 / (1 + i)) for i in range(6)])
    with pytest.raises(ValueError, match="no step column; found loss; name it with step="):
        load(path)
    assert load(path, step="index").points["step"].tolist() == list(range(6))


def test_the_same_content_has_one_fate_whatever_the_ending(tmp_path: Path) -> None:
    records = [{"step": i, "train_loss": 3 / (1 + i), "val_acc": 10.0 + i} for i in range(12)]
    lines = "\n".join(map(json.dumps, records)) + "\n"
    rows = [tuple(record.values()) for record in records]
    for name in ("a.jsonl", "b.json", "c.log.json", "d.txt", "e.log"):
        (tmp_path / name).write_text(lines)
    (tmp_path / "f.json").write_text(json.dumps(records))
    table(tmp_path / "g.csv", "step,train_loss,val_acc", rows)
    (tmp_path / "h.tsv").write_text((tmp_path / "g.csv").read_text().replace(",", "\t"))
    (tmp_path / "i.csv").write_text((tmp_path / "g.csv").read_text().replace(",", ";"))
    (tmp_path / "j.csv").write_text((tmp_path / "g.csv").read_text().replace(",", " , "))
    want = None
    for path in sorted(tmp_path.iterdir()):
        curves = load(path)
        found = (curves.points[["metric", "step", "value"]].to_numpy().tolist(), dict(curves.metrics))
        want = want or found
        assert found == want, path.name
        (tmp_path.parent / f"{tmp_path.name}-{path.name}").mkdir()
        inside = tmp_path.parent / f"{tmp_path.name}-{path.name}" / path.name
        inside.write_bytes(path.read_bytes())
        assert load(inside.parent).points["value"].tolist() == curves.points["value"].tolist(), path.name


def test_nan_is_an_event_of_a_table_too(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "step,loss", [(1, 3.0), (2, "nan"), (3, "inf"), (4, 2.0)])
    curves = load(path)
    assert curves.points["step"].tolist() == [1, 4]
    assert curves.events["what"].tolist() == ["loss is NaN"]


# Stopped is not finished.


def ends(
    lengths: dict[str, Length], last_step: str | None = None, **families: str
) -> tuple[dict[str, float], list[str]]:
    import pandas as pd

    family = {run: families.get(run, run) for run in lengths}
    plan, lines = last_steps({run: {} for run in lengths}, lengths, family, pd.Series(dtype=float), last_step)
    return plan.to_dict(), lines


def test_trials_of_a_study_were_meant_to_be_equally_long() -> None:
    """Successive halving: most trials are short, one is long."""
    rungs = {f"t{i}": Length(None, last, study="s") for i, last in enumerate([1] * 9 + [3] * 3 + [9])}
    plan, lines = ends(rungs)
    assert set(plan.values()) == {9}
    said = (
        "12 of 13 run(s) end before their siblings do, so they count as not ended (planned end: 9): t0, t1, t2, t3 and"
    )
    assert lines[0].startswith(said) and "last_step='logged'" in lines[0]
    assert ends(rungs, "logged")[0]["t0"] == 1


def test_a_run_that_was_stopped_is_as_long_as_its_siblings_were_meant_to_be() -> None:
    plan, lines = ends({"a": Length(None, 100), "b": Length(None, 100), "c": Length(None, 30, "killed")})
    assert plan == {"a": 100, "b": 100, "c": 100}
    assert "1 of 3 run(s) end before their siblings do (1 of them stopped, as their tool says)" in lines[0]
    plan, lines = ends({"a": Length(None, 30, "failed")})
    assert plan == {"a": 30} and "nothing says how long they were meant to be: a" in lines[0]


def test_lengths_that_are_common_are_meant() -> None:
    lengths = {f"short{i}": Length(None, 24_000) for i in range(14)} | {
        f"long{i}": Length(None, 72_000) for i in range(4)
    }
    assert ends(lengths)[0]["short0"] == 24_000
    every = ends(lengths, "longest")[0]
    assert every["short0"] == 72_000
    one = {f"r{i}": Length(None, 1000) for i in range(5)} | {"early": Length(None, 400)}
    assert ends(one)[0]["early"] == 1000
    assert ends({f"r{i}": Length(None, 100.0 * (i + 1)) for i in range(5)})[0]["r0"] == 100


def test_logs_of_other_things_are_no_siblings() -> None:
    plan, _ = ends({"a": Length(None, 1000, metrics=("loss",)), "b": Length(None, 39, metrics=("auc", "logloss"))})
    assert plan == {"a": 1000, "b": 39}


def test_a_configuration_states_the_length() -> None:
    assert planned_by({"trainer": 3, "train/max_steps": 500}, Length(None, 120)) == 500
    assert planned_by({"num_train_epochs": 3}, Length(None, 120, pace=100.0)) == 300
    assert planned_by({"num_train_epochs": 3}, Length(None, 120)) is None
    assert planned_by({"num_steps": 128, "total_timesteps": 1e6}, Length(None, 5000)) == 1e6
    assert planned_by({"max_steps": -1}, Length(200.0, 5)) == 200


def test_a_run_shorter_than_its_configuration_has_not_ended(tmp_path: Path) -> None:
    """timm's summary.csv with the epochs of its args.yaml."""
    table(
        tmp_path / "run" / "summary.csv", "epoch,train_loss,eval_top1", [(i, 4 - i / 9, 10 + 5 * i) for i in range(12)]
    )
    (tmp_path / "run" / "args.yaml").write_text("model: resnet50\nepochs: 20\n")
    curves = load(tmp_path)
    assert curves.runs["last_step"].tolist() == [19]
    assert curves.metrics["eval_top1"][2:4] == (0, 100)
    assert np.isfinite(curves.points["value"]).all()


# What is told of runs that are read.


def test_copies_under_another_name_are_told(tmp_path: Path) -> None:
    for name, shift in (("alpha", 0.0), ("beta", 0.5), ("gamma", 0.0)):
        table(tmp_path / f"{name}.csv", "step,loss", [(i, 3 / (1 + i) + shift) for i in range(9)])
    with pytest.warns(UserWarning, match=r"1 pair\(s\) of runs have an equal curve but .*: gamma and alpha \(loss\)"):
        load(tmp_path)


def test_a_metric_that_is_equal_in_several_runs_that_differ_makes_no_copies(tmp_path: Path) -> None:
    for place, name in enumerate(("alpha", "beta", "gamma")):
        table(tmp_path / f"{name}.csv", "step,loss,acc", [(i, 3 / (1 + i) + place, i / 10) for i in range(9)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load(tmp_path)
    assert not any("equal curve" in str(one.message) for one in caught)


def test_one_family_for_all_is_told(tmp_path: Path) -> None:
    for seed in range(3):
        table(tmp_path / f"mlp_s{seed}.csv", "step,loss", [(i, 3 / (1 + i) + seed) for i in range(9)])
    with pytest.warns(UserWarning, match=r"all 3 runs fall into one family \(mlp\), by their names alone"):
        load(tmp_path)


def test_what_looks_like_an_outcome_is_told(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "step,loss,my_loss,acc_mmlu", [(i, 3 - i / 9, 2.0, 0.3) for i in range(9)])
    with pytest.warns(
        UserWarning, match=r"2 metric\(s\) look like outcomes but are of kind signal.*: acc_mmlu, my_loss;"
    ):
        load(path)
    (tmp_path / "metrics.csv").write_text("metric,kind\nmy_loss,loss\nacc_mmlu,signal\n")
    curves = load(path)
    assert curves.metrics["my_loss"].kind == "loss"


def test_an_unknown_path_is_told_what_came_closest(tmp_path: Path) -> None:
    table(tmp_path / "x" / "a.csv", "minute,loss", [(1, 2)])
    with pytest.raises(
        ValueError, match=r"looked at 1 file\(s\) \(1 .csv\); closest: a.csv has the columns minute, loss"
    ):
        load(tmp_path / "x")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "events.jsonx").write_text("{}")
    with pytest.raises(ValueError, match=r"looked at 1 file\(s\) \(1 .jsonx\); expected the files of one of the known"):
        load(tmp_path / "y")
    (tmp_path / "z.json").write_text('{"lr": 0.1, "act": "relu"}\n')
    with pytest.raises(ValueError, match=r"z.json holds JSON objects with lr, act, none of which counts steps"):
        load(tmp_path / "z.json")


def test_a_column_of_words_tells_the_runs_of_a_table_apart(tmp_path: Path) -> None:
    """A table of sizes without a name of the run: steps go back where the size changes."""
    rows = [
        (size, step, round(level / step, 4)) for size, level in (("70m", 3), ("1b", 2)) for step in (10, 20, 30, 40)
    ]
    path = table(tmp_path / "sizes.csv", "size,step,loss", rows)
    with pytest.warns(UserWarning, match="steps repeat, and runs are told apart by size; choose the columns with"):
        curves = load(path)
    assert counts(curves) == {("1b", "loss"): 4, ("70m", "loss"): 4}


def test_a_seed_that_is_interleaved_tells_runs_apart(tmp_path: Path) -> None:
    lines = [
        json.dumps({"seed": seed, "step": step, "loss": 3 / step + seed}) for step in (10, 20, 30) for seed in (0, 1)
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(lines) + "\n")
    curves = load(tmp_path)
    assert counts(curves) == {("m_seed0", "loss"): 3, ("m_seed1", "loss"): 3}
    assert curves.runs["family"].unique().tolist() == ["m"]


def test_trials_of_a_table_were_meant_to_be_equally_long(tmp_path: Path) -> None:
    rows = [
        (f"t{i}", epoch, round(epoch / 30 + i / 100, 3)) for i, n in enumerate((20, 4, 20, 4, 4)) for epoch in range(n)
    ]
    curves = load(table(tmp_path / "trials.csv", "trial_id,epoch,val_acc", rows))
    assert curves.runs["last_step"].tolist() == [19] * 5


def test_values_without_a_restart_are_not_said_to_be_runs(tmp_path: Path) -> None:
    lines = [
        json.dumps({"step": step, "loss": 3 / step, "note": i}) for step in range(1, 9) for i in range(1 + (step == 4))
    ]
    lines[3] = json.dumps({"step": 4, "loss": 9.0})
    (tmp_path / "m.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.warns(UserWarning) as caught:
        load(tmp_path)
    said = " ".join(str(one.message) for one in caught)
    assert "1 value(s) of loss lost: their step has several values" in said and "merge=" not in said


def test_stopped_trials_of_a_log_are_runs_too(tmp_path: Path) -> None:
    text = "".join(
        f"Trial {trial}\n" + "".join(f"Epoch {e}/20 - val_loss: {3 / e + trial:.4f}\n" for e in range(1, last + 1))
        for trial, last in enumerate((20, 7, 5, 20))
    )
    (tmp_path / "t.log").write_text(text)
    curves = load(tmp_path)
    assert [n for _, n in sorted(counts(curves).items())] == [20, 7, 5, 20]
    assert curves.runs["last_step"].tolist() == [20] * 4


def test_a_word_of_the_name_is_a_phase(tmp_path: Path) -> None:
    """CatBoost's tables: learn_error.tsv beside test_error.tsv; and two experiments in one folder."""
    for phase in ("learn", "test"):
        rows = "".join(f"{i}\t{1 / (1 + i)}\t{i / 20}\n" for i in range(8))
        (tmp_path / f"{phase}_error.tsv").write_text("iter\tLogloss\tAUC\n" + rows)
    name = tmp_path.name
    assert counts(load(tmp_path)) == {(name, f"{p}/{m}"): 8 for p in ("learn", "test") for m in ("AUC", "Logloss")}
    for run in ("exp1", "exp2"):
        for phase in ("train", "val"):
            table(tmp_path / "two" / f"{run}_{phase}.csv", "step,loss,acc", [(i, 1 / (1 + i), i / 9) for i in range(6)])
    want = {(run, f"{p}/{m}"): 6 for run in ("exp1", "exp2") for p in ("train", "val") for m in ("acc", "loss")}
    assert counts(load(tmp_path / "two")) == want


def test_a_list_of_rows_whatever_it_is_called(tmp_path: Path) -> None:
    """Chainer's log, the counter behind the metrics, and curves that TensorBoard's page gives as JSON."""
    (tmp_path / "result").mkdir()
    rows = [{"main/loss": 3 / e, "epoch": e, "iteration": 600 * e} for e in range(1, 9)]
    (tmp_path / "result" / "log").write_text(json.dumps(rows, indent=4))
    for path in (tmp_path / "result", tmp_path / "result" / "log"):
        curves = load(path)
        assert curves.points["step"].tolist() == [600 * e for e in range(1, 9)]
        assert curves.points["value"].tolist() == [3 / e for e in range(1, 9)]
    for tag in ("loss_train", "accuracy_val"):
        triples = [[1.7e9 + i, 10 * i, i / 9] for i in range(9)]
        (tmp_path / "page").mkdir(exist_ok=True)
        (tmp_path / "page" / f"run-seed1-tag-{tag}.json").write_text(json.dumps(triples))
    assert counts(load(tmp_path / "page")) == {("seed1", "accuracy_val"): 9, ("seed1", "loss_train"): 9}


def test_percent_in_the_cells_of_a_table(tmp_path: Path) -> None:
    path = table(
        tmp_path / "p.csv", "epoch,val_loss,val_acc", [(1, 3.2, "22.74%"), (2, 2.9, "33.09 %"), (3, 2.7, "41.9%")]
    )
    points = load(path).points
    assert points[points["metric"] == "val_acc"]["value"].tolist() == [0.2274, 0.3309, 0.419]


def test_exports_of_long_tables_by_their_names(tmp_path: Path) -> None:
    rows = [(m, i / 9, 17e8 + i, 10 * i, "train") for m in ("loss", "acc") for i in range(6)]
    path = table(tmp_path / "comet.csv", "metricName,metricValue,timestamp,step,runContext", rows)
    assert sorted(load(path).metrics) == ["train acc", "train loss"]


def test_a_folder_with_one_table_is_asked_about_and_told(tmp_path: Path) -> None:
    table(tmp_path / "blue.csv", "step,value", [(i, 1 / i) for i in range(1, 6)])
    with pytest.raises(ValueError, match=r"\(1 such file\(s\)\); say files='metrics'"):
        load(tmp_path)
    assert counts(load(tmp_path, files="runs")) == {("blue", "value"): 5}
    assert counts(load(tmp_path, files="metrics")) == {(tmp_path.name, "blue"): 5}
