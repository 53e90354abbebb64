"""Folders of Lightning's CSVLogger. Lightning needs torch: rows are written as its source does, by csv.DictWriter."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictdyn.loaders import lightning
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.files.json_rows import CUT
from predictdyn.loaders.files.settings_beside import settings as settings_of

Samples = dict[str, Callable[[Path], Path]]


def rows(log: RunLog) -> list[tuple[str, float, float]]:
    return list(zip(log.metric.tolist(), log.step.tolist(), log.value.tolist(), strict=True))


def test_sparse_rows_are_read_exactly(samples: Samples, tmp_path: Path) -> None:
    (item,) = lightning.scan(samples["lightning"](tmp_path))
    log = lightning.read(item)
    assert item.run == "version_0"
    assert rows(log) == [
        ("epoch", 9, 0), ("lr", 9, 0.001), ("train_loss", 9, 2.5),
        ("epoch", 19, 0), ("lr", 19, 0.0005), ("train_loss", 19, 2.25),
        ("epoch", 19, 0), ("val_loss", 19, 2.75),
    ]  # fmt: skip
    assert log.planned == 100 and dict(log.config) == {"lr": 0.001, "width": 64, "max_steps": 100} and not log.dropped


def test_versions_are_runs_and_other_tables_are_not(samples: Samples, tmp_path: Path) -> None:
    samples["lightning"](tmp_path / "a")
    samples["lightning"](tmp_path / "b")
    (tmp_path / "metrics.csv").write_text("metric,kind\nloss,loss\n")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "metrics.csv").write_text("step,loss\n1,2\n")
    assert [item.run for item in lightning.scan(tmp_path)] == ["a/version_0", "b/version_0"]
    assert [item.run for item in lightning.scan(tmp_path / "a" / "version_0")] == ["version_0"]
    assert lightning.sniff(tmp_path) == "Lightning's CSVLogger: 2 runs"
    assert lightning.sniff(tmp_path / "a" / "version_0" / "metrics.csv") == "Lightning's CSVLogger: 1 run"
    assert lightning.sniff(tmp_path / "c") is None and lightning.sniff(tmp_path / "metrics.csv") is None
    with pytest.raises(ValueError, match=r"no metrics\.csv"):
        lightning.scan(tmp_path / "c")


def test_settings_are_read_as_far_as_they_are_plain() -> None:
    text = (
        "# made by hand\nlr: 1e-3\nsteps: 12\non: true\nnothing: null\nname: 'a: b'\n"
        'quoted: "x"\nplain: some words  # why\n'
        "optim:\n  betas:\n  - 0.9\n  - 0.99\n  inner:\n    eps: 1.0e-08\n  last: -.inf\nafter: 007x\nlist: [1, 2]\n"
        "kind: !!python/object:x.Y {}\n"
    )
    found, passed = settings_of(text)
    assert found == {
        "lr": 0.001, "steps": 12, "on": True, "nothing": None, "name": "a: b", "quoted": "x", "plain": "some words",
        "optim/inner/eps": 1e-8, "optim/last": -math.inf, "after": "007x",
    }  # fmt: skip
    assert passed == 4


def test_a_log_cut_anywhere_gives_its_whole_lines(samples: Samples, tmp_path: Path) -> None:
    (item,) = lightning.scan(samples["lightning"](tmp_path))
    raw = item.files[0].read_bytes()
    whole = rows(lightning.read(item))
    header = raw.index(b"\n") + 1
    for end in range(header, len(raw)):
        item.files[0].write_bytes(raw[:end])
        log = lightning.read(item)
        assert rows(log) == whole[: (0, 3, 6, 8)[raw[:end].count(b"\n") - 1]]
        assert log.dropped == ({} if raw[end - 1 : end] == b"\n" else {CUT: 1})
    item.files[0].write_bytes(raw[: header - 3])
    with pytest.raises(ValueError, match="no column step"):
        lightning.read(item)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([b"step", b"a", b",", b"\n", b"1", b'"', b"\x00", b"\xff", b"nan", b"\r"]), max_size=40)
)
def test_any_bytes_are_read_or_said_in_one_line(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    file = tmp_path_factory.getbasetemp() / "metrics.csv"
    file.write_bytes(b"step,a\n" + b"".join(parts))
    log = lightning.read(Item("x", (file,)))
    assert len(log.metric) == len(log.step) == len(log.value)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab: -'\"\n#!{}[]1.e_", max_size=60))
def test_any_text_of_settings_is_read(text: str) -> None:
    found, passed = settings_of(text)
    assert passed >= 0 and all(isinstance(name, str) for name in found)


def test_a_bare_carriage_return_ends_a_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"step,loss\r0,1\r1,0.5\r")
    log = lightning.read(Item("x", (tmp_path / "metrics.csv",)))
    assert (log.step.tolist(), log.value.tolist()) == ([0, 1], [1, 0.5])
    (tmp_path / "metrics.csv").write_bytes(b"los\rs,step\n0,1\n")
    with pytest.raises(ValueError, match=r"metrics\.csv(, line 1)?: no "):
        lightning.read(Item("x", (tmp_path / "metrics.csv",)))


def written(folder: Path, steps: range, settings: str = "lr: 0.1\nmax_epochs: 30\n") -> None:
    """A version as CSVLogger writes it: loss each 50 steps, accuracy at the end of each epoch of 391."""
    lines = ["epoch,step,train_loss,val_acc"]
    lines += [f"{s // 391},{s},{3 - s / 5000}," for s in steps if (s + 1) % 50 == 0]
    lines += [f"{s // 391},{s},,{0.5 + s / 30000}" for s in steps if (s + 1) % 391 == 0]
    folder.mkdir(parents=True)
    lines[1:] = sorted(lines[1:], key=lambda line: int(line.split(",")[1]))
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    (folder / "hparams.yaml").write_text(settings)


def test_epochs_planned_are_steps_by_the_rows_at_the_end_of_each_epoch(tmp_path: Path) -> None:
    """Training rows come at multiples of 50: the first one of an epoch told 394 or 400 steps an epoch."""
    written(tmp_path / "version_0", range(6 * 391))
    assert lightning.load(tmp_path).runs["last_step"].tolist() == [30 * 391]


def test_a_version_that_goes_on_where_another_stopped_is_the_same_run(tmp_path: Path) -> None:
    """Lightning resumes from a checkpoint in a version of its own: the rest of the run lies there."""
    run, other = tmp_path / "resnet", tmp_path / "other"
    written(run / "version_0", range(14 * 391 + 160))
    written(run / "version_1", range(14 * 391, 30 * 391))
    written(other / "version_0", range(30 * 391))
    written(other / "version_1", range(30 * 391))  # from the beginning: a run of its own
    written(other / "version_2", range(14 * 391, 30 * 391))  # of which of the two?
    with pytest.warns(UserWarning) as said:
        curves = lightning.load(tmp_path)
    assert curves.runs.index.tolist() == ["other/version_0", "other/version_1", "other/version_2", "resnet/version_0"]
    assert any(
        "1 version(s) go on where an earlier version stopped" in str(line.message)
        and "resnet/version_0" in str(line.message)
        for line in said
    )
    resumed, whole = (curves.select(runs=[name]).points for name in ("resnet/version_0", "other/version_0"))
    assert resumed[["metric", "step", "value"]].values.tolist() == whole[["metric", "step", "value"]].values.tolist()


def test_a_version_of_other_settings_or_another_interval_is_a_run_of_its_own(tmp_path: Path) -> None:
    written(tmp_path / "version_0", range(5000))
    written(tmp_path / "version_1", range(4000, 8000), "lr: 0.2\nmax_epochs: 30\n")
    assert [item.run for item in lightning.scan(tmp_path)] == ["version_0", "version_1"]
    (tmp_path / "version_2").mkdir()
    (tmp_path / "version_2" / "metrics.csv").write_text("epoch,step,train_loss\n0,499,2\n1,999,1\n")
    (tmp_path / "version_2" / "hparams.yaml").write_text("lr: 0.1\nmax_epochs: 30\n")
    assert [item.run for item in lightning.scan(tmp_path)] == ["version_0", "version_1", "version_2"]
