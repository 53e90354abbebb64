"""The rules that all sources share, on logs written by hand: restarts, NaN, clocks, filters, thinning, plans."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered, tidied
from predictdyn.loaders.engine.merge import Rules, Tidy, tidy_run
from predictdyn.loaders.engine.options import Option
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source

Row = tuple[str, float, float]


def log_of(rows: Sequence[Row], segments: Sequence[int] = (), run: str = "a", **rest: object) -> RunLog:
    metric, step, value = zip(*rows, strict=True)
    segment = np.array(segments or [0] * len(rows))
    blank = np.full(len(rows), np.nan)
    return RunLog(run, np.array(metric, object), np.array(step, float), np.array(value, float), blank, segment, **rest)


def at(tidy: Tidy, metric: str) -> list[tuple[float, float]]:
    points = tidy.points[tidy.points["metric"] == metric]
    return list(zip(points["step"], points["value"], strict=True))


def said(tidy: Tidy, word: str) -> int:
    return sum(sum(counts.values()) for reason, counts in tidy.notes.items() if word in reason)


def scan_of(logs: Sequence[RunLog], path: Path) -> list[Item]:
    return [Item(log.run, (path,), key=str(i)) for i, log in enumerate(logs)]


def read_of(logs: Sequence[RunLog], item: Item) -> RunLog:
    return logs[int(item.key)]


def fake(scan: Callable[..., list[Item]], read: Callable[..., RunLog], *own: Option) -> Source:
    """A source; options of its own go to both functions: ``glob`` to scan, ``scale`` to read."""
    names = {option.name: (option,) for option in own}
    return Source(
        "fake", "", lambda path: None, lambda path, **_: None, scan, read, names.get("glob", ()), names.get("scale", ())
    )


def gather(logs: Sequence[RunLog], folder: Path, **options: object) -> tuple[Curves, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        curves = gathered(folder, fake(partial(scan_of, logs), partial(read_of, logs)), options)
    return curves, [str(one.message) for one in caught]


def train(steps: Sequence[float], value: float = 1.0) -> list[Row]:
    return [("loss", step, value) for step in steps]


def test_a_restart_replaces_what_it_logs_again_and_drops_what_lies_beyond() -> None:
    before = [*train([10, 20]), ("eval", 20, 0.2), *train([30, 40]), ("eval", 40, 0.4)]
    tidy = tidy_run(log_of([*before, *train([25, 30], 2.0)]), Rules())
    assert at(tidy, "loss") == [(10, 1), (20, 1), (25, 2), (30, 2)]
    assert at(tidy, "eval") == [(20, 0.2)]  # 40 is of the branch that was given up
    assert tidy.events == [(25, "restart")]
    assert (said(tidy, "restart(s)"), said(tidy, "another value"), said(tidy, "left them behind")) == (1, 1, 2)


def test_two_restarts_are_two() -> None:
    rows = [*train([1, 2, 3, 4]), *train([2, 3, 4, 5], 2.0), *train([3, 4], 3.0)]
    log = log_of([(m, *rest) for row in rows for m, *rest in (row, ("acc", *row[1:]))])
    with pytest.raises(
        ValueError, match=r"steps go back 2 times, so that merging would lose 12 of the values of acc, loss"
    ):
        tidy_run(log, Rules())
    tidy = tidy_run(log, Rules(merge="yes"))
    assert at(tidy, "acc") == at(tidy, "loss") == [(1, 1), (2, 2), (3, 3), (4, 3)]
    assert tidy.events == [(2, "restart"), (3, "restart")]


def test_every_logged_value_is_kept_or_counted() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = [np.nan, *range(29)]  # all different: an equal repeat is no loss, and is not counted
        rows = [(rng.choice(["a", "b", "c"]), float(rng.integers(6)), value) for value in rng.permutation(values)]
        tidy = tidy_run(log_of(rows, sorted(rng.integers(3, size=30).tolist())), Rules(merge="yes"))
        assert len(tidy.points) + said(tidy, "value(s)") == 30
        assert not tidy.points.duplicated(["metric", "step"]).any()


def test_a_value_that_is_logged_again_as_it_was_is_not_worth_a_word() -> None:
    tidy = tidy_run(log_of([*train([1, 2, 2, 3]), ("epoch", 3, 0.1), ("epoch", 3, 0.2)]), Rules())
    assert at(tidy, "loss") == [(1, 1), (2, 1), (3, 1)]
    assert tidy.notes == {}


def test_a_metric_written_late_is_no_restart_of_the_others() -> None:
    rows = [*train([1, 2, 3]), ("once", 3, 5.0), ("slow", 2, 1.0), *train([4]), ("slow", 1, 1.0), *train([5, 6])]
    tidy = tidy_run(log_of(rows), Rules())
    assert [len(at(tidy, name)) for name in ("loss", "once", "slow")] == [6, 1, 1]
    assert tidy.events == []


def test_a_new_segment_that_logs_something_else_purges_nothing() -> None:
    rows = [("hp", 0, -1.0), *train([1, 2, 3]), ("hp", 0, -1.0), ("test", 3, 0.5)]
    tidy = tidy_run(log_of(rows, [0, 0, 0, 0, 1, 1]), Rules())
    assert (len(at(tidy, "loss")), len(at(tidy, "test")), tidy.notes) == (3, 1, {})


def test_nan_and_infinity_are_events_at_the_start_of_each_stretch() -> None:
    values = [1, np.nan, np.nan, 2, np.inf, -np.inf]
    tidy = tidy_run(log_of([("loss", i, value) for i, value in enumerate(values)], planned=100.0), Rules())
    assert at(tidy, "loss") == [(0, 1), (3, 2)]
    assert tidy.events == [(1, "loss is NaN"), (4, "loss is infinite")]
    assert (said(tidy, "NaN"), tidy.planned) == (4, 100)


def test_a_diverged_run_keeps_its_plan(tmp_path: Path) -> None:
    curves, lines = gather([log_of([("loss", 1, 2.0), ("loss", 2, np.nan)], planned=50.0)], tmp_path)
    assert curves.runs["last_step"].tolist() == [50]
    assert curves.events.to_numpy().tolist() == [["a", 2.0, "loss is NaN"]]
    assert lines == ["1 value(s) of loss NaN or infinite, kept as events, in a"]


def test_steps_that_are_none_are_dropped_and_counted() -> None:
    tidy = tidy_run(log_of([("loss", np.nan, 1), ("loss", -1, 1), ("loss", 0.5, 1), ("loss", 7, 1)]), Rules())
    assert at(tidy, "loss") == [(0.5, 1), (7, 1)]
    assert said(tidy, "without a step") == 2


def test_an_epoch_can_be_the_clock() -> None:
    rows = [("epoch", 10, 1.0), ("epoch", 20, 2.0), *train([5, 10, 15, 20])]
    tidy = tidy_run(log_of(rows, planned=40.0), Rules(clock="epoch"))
    assert at(tidy, "loss") == [(1, 1), (1.5, 1), (2, 1)]
    assert (tidy.planned, said(tidy, "clock was not logged")) == (4, 1)
    whole = tidy_run(log_of([("epoch", 1, 0), ("epoch", 2, 0), *train([1, 2])]), Rules(clock="epoch"))
    assert (at(whole, "loss"), said(whole, "share their place")) == ([(0, 1)], 2)
    with pytest.raises(ValueError, match="the clock 'tokens' was not logged; logged were loss"):
        tidy_run(log_of(train([1])), Rules(clock="tokens"))


def test_filters_clocks_and_standard_errors() -> None:
    names = ["loss", "epoch", "val/acc", "val/acc_stderr", "val/f1"]
    rows = [(name, step, 0.5) for name in names for step in (1, 2)][:-1]
    metrics = {
        rules: sorted(set(tidy_run(log_of(rows), Rules(*rules)).points["metric"]))
        for rules in [(), (("val/*",),), (("epoch", "loss"),), ((), ("val/*", "epoch"))]
    }
    assert list(metrics.values()) == [["loss", "val/acc", "val/f1"], ["val/acc", "val/f1"], ["epoch", "loss"], ["loss"]]
    points = tidy_run(log_of(rows), Rules()).points.set_index("metric")["stderr"]
    assert points["val/acc"].tolist() == [0.5, 0.5]
    assert np.isnan(points["loss"]).all()


def test_thinning_keeps_ends_and_extremes() -> None:
    step = np.arange(0.0, 5000)
    value = np.sin(step / 300)
    value[1234], value[4321] = 9, -9
    tidy = tidy_run(log_of(list(zip(["loss"] * 5000, step, value, strict=True))), Rules(thin=100))
    kept = dict(at(tidy, "loss"))
    assert len(kept) <= 100
    assert {0.0, 1234.0, 4321.0, 4999.0} <= set(kept)
    assert all(kept[at] == value[int(at)] for at in kept)
    assert len(kept) + said(tidy, "thinned") == 5000
    assert len(tidy_run(log_of(train([3, 4, 5])), Rules(thin=4)).points) == 3


def test_the_largest_step_is_no_silent_plan(tmp_path: Path) -> None:
    logs = [log_of(train([1, 5]), run="a"), log_of(train([1, 4]), run="b", planned=10.0)]
    curves, lines = gather(logs, tmp_path)
    assert curves.runs["last_step"].to_dict() == {"a": 5, "b": 10}
    assert "planned length of 1 of 2 run(s) is not known, taken to be the largest logged step: a;" in lines[0]
    curves, lines = gather(logs, tmp_path, last_step="8")
    assert (curves.runs["last_step"].to_dict(), lines) == ({"a": 8, "b": 8}, [])
    curves, lines = gather(logs, tmp_path, last_step=4)
    assert curves.runs["last_step"].to_dict() == {"a": 5, "b": 4}
    assert lines == ["1 run(s) logged beyond their planned end, which is moved: a (planned 4, logged 5)"]


def test_a_key_of_the_configuration_and_a_table_give_the_plan(tmp_path: Path) -> None:
    logs = [log_of(train([1]), run=run, config={"train/steps": n}) for run, n in (("a", 30), ("b", 40))]
    curves, lines = gather(logs, tmp_path, last_step="train/steps")
    assert (curves.runs["last_step"].tolist(), lines) == ([30, 40], [])
    (tmp_path / "runs.csv").write_text("run,family,last_step,depth\na,f,100,3\n")
    curves, lines = gather(logs, tmp_path)
    assert curves.runs["last_step"].tolist() == [100, 1]
    assert (curves.runs["family"].tolist(), curves.runs["depth"].tolist()[0]) == (["f", "b"], 3)
    assert lines[0] == "1 run(s) have no row in the table of runs: b"


def test_families_by_name_configuration_pattern_and_key(tmp_path: Path) -> None:
    logs = [
        log_of(train([1]), run=run, planned=1.0, config={"lr": lr, "seed": seed, "out_dir": run})
        for run, lr, seed in (("mlp_s1", 0.1, 1), ("mlp_s2", 0.2, 2), ("sunny-12", 0.1, 3), ("x", 0.3, 4))
    ]
    families = {
        family: list(gather(logs, tmp_path, family=family)[0].runs["family"])
        for family in (None, "lr", "{family}*", r"^(\w)")
    }
    assert families[None] == ["mlp", "mlp", "mlp", "x"]
    assert families["lr"] == ["0.1", "0.2", "0.1", "0.3"]
    assert families["{family}*"] == families[r"^(\w)"] == ["m", "m", "s", "x"]
    with pytest.raises(ValueError, match=r"family='width' is no pattern .* keys are lr, out_dir, seed"):
        gather(logs, tmp_path, family="width")


def test_covariates_are_settings_that_vary(tmp_path: Path) -> None:
    keys = ["lr", "act", "depth", "bias", "w", "seed", "host", "x"]
    rows = [("a", 0.1, "relu", 1, True, None), ("b", 0.2, "gelu", 1, False, 3), ("c", 0.2, "relu", 1, True, 4)]
    logs = [
        log_of(train([1]), run=run, planned=1.0, config=dict(zip(keys, (*row, i, run, [i]), strict=True)))
        for i, (run, *row) in enumerate(rows)
    ]
    runs = gather(logs, tmp_path)[0].runs
    assert list(runs.columns[2:]) == ["act", "bias", "lr", "w"]
    assert (runs["lr"].tolist(), runs["act"].tolist()) == ([0.1, 0.2, 0.2], ["relu", "gelu", "relu"])
    assert runs["bias"].dtype == bool
    assert list(gather(logs, tmp_path, covariates="")[0].runs.columns[2:]) == []
    assert gather(logs, tmp_path, covariates="seed")[0].runs["seed"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="covariates='width' matches no key"):
        gather(logs, tmp_path, covariates="width")


def test_a_bound_that_values_break_is_given_up_and_said(tmp_path: Path) -> None:
    curves, lines = gather([log_of([("val/acc", 1, 75.0)], planned=1.0)], tmp_path)
    assert curves.metrics["val/acc"][1:6] == ("capability", 0, 100, "higher", None)
    assert lines == ["val/acc is in percent: its values run from 75 to 75, so its range is 0 to 100"]
    curves, lines = gather([log_of([("val/acc", 1, 175.0)], planned=1.0)], tmp_path)
    assert curves.metrics["val/acc"][1:6] == ("capability", 0, None, "higher", None)
    assert "the bound is given up" in lines[0]
    (tmp_path / "metrics.csv").write_text("metric,kind,lower,upper\nval/acc,robustness,0,100\n")
    curves, lines = gather([log_of([("val/acc", 1, 75.0)], planned=1.0)], tmp_path)
    assert (curves.metrics["val/acc"].upper, lines) == (100, [])


def test_runs_that_cannot_be_read_or_are_empty_are_left_out_and_said(tmp_path: Path) -> None:
    def read(item: Item) -> RunLog:
        if item.run == "bad":
            raise ValueError("bad.log: not a log")
        return log_of([("loss", 1, np.nan if item.run == "empty" else 1.0)], run="?", planned=1.0)

    items = [Item(run, (tmp_path,)) for run in ("good", "good", "empty", "bad")]
    with pytest.warns(UserWarning) as caught:
        curves = gathered(tmp_path, fake(lambda path: items, read), {})
    assert list(curves.runs.index) == ["good", "good~2"]
    assert [str(one.message) for one in caught] == [
        "1 run(s) left out: bad.log: not a log, in bad",
        "1 value(s) of loss NaN or infinite, kept as events, in empty",
        "2 run(s) without points left out: bad, empty",
    ]
    with pytest.raises(ValueError, match=r"no points found; 1 run\(s\) left out: bad.log: not a log"):
        gathered(tmp_path, fake(lambda path: items[3:], read), {})


def test_runs_that_have_not_begun_are_told_but_not_beside_one_log_of_many(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("run,params\na,1\nb,2\n")
    (tmp_path / "a.csv").write_text("")

    def lines(path: Path, **options: str) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            gathered(
                path, fake(lambda _: [Item("a", (path,))], lambda _: log_of([("loss", 1, 1.0)], planned=1.0)), options
            )
        return [line for line in (str(one.message) for one in caught) if "have no points" in line]

    (line,) = lines(tmp_path)
    assert line.startswith("1 run(s) of the table of runs have no points and are left out (no value is lost): b; ")
    assert lines(tmp_path / "a.csv") == []
    assert lines(tmp_path / "a.csv", runs_file=str(tmp_path / "runs.csv")) == [line]


def test_settings_and_events_of_any_kind_are_no_traceback(tmp_path: Path) -> None:
    configs = [{"x": [1], "n": None}, {"x": "a", "n": float("inf")}, {"x": {}, "n": 2}]
    logs = [
        log_of(train([0]), run=f"r{i}", config=config, events=[(float("nan"), "lost"), (0, "began")])
        for i, config in enumerate(configs)
    ]
    curves, lines = gather(logs, tmp_path)
    assert curves.runs["last_step"].tolist() == [1, 1, 1]  # nothing was logged after step 0
    assert curves.runs["n"].fillna(-1).tolist() == [-1, -1, 2]
    assert curves.events["what"].tolist() == ["began"] * 3
    assert lines[0] == "3 event(s) without a step dropped, in r0, r1, r2"
    with pytest.raises(ValueError, match=r"last_step must be a number > 0 .* found \[1\]"):
        gather(logs, tmp_path, last_step="x")
    reasons = [log_of(train([1]), run=f"r{i:02}", planned=1.0, dropped={f"{i} lost": 1}) for i in range(40)]
    lines = gather(reasons, tmp_path)[1]
    assert (len(lines), lines[-1]) == (31, "and 10 more such lines")


def test_workers_change_nothing(tmp_path: Path, same: Callable[[Curves, Curves], None]) -> None:
    logs = [log_of(train(range(1, 5), float(i)), run=f"r{i}", planned=9.0) for i in range(5)]
    one = gather(logs, tmp_path)[0]
    with parallel_config(backend="threading"):
        same(one, gather(logs, tmp_path, workers="2")[0])


def test_runs_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    logs, done = [log_of(train([1]), run=run) for run in "cab"], []
    read = lambda item: (done.append(item.run), read_of(logs, item))[1]  # noqa: E731
    source = fake(partial(scan_of, logs), read)
    runs = tidied(tmp_path, source, source.checked({}))
    assert (next(runs).run, done) == ("a", ["a"])


def test_own_options_go_to_scan_and_read_and_others_are_refused(tmp_path: Path) -> None:
    def scan(path: Path, *, glob: str = "*") -> list[Item]:
        return [Item(glob, (path,))]

    def read(item: Item, *, scale: float = 1.0) -> RunLog:
        return log_of([("loss", 1, scale)], planned=1.0)

    source = fake(scan, read, Option("glob", "", "*"), Option("scale", "", 1.0))
    curves = gathered(tmp_path, source, {"glob": "b", "scale": 3.0})
    assert curves.points[["run", "value"]].to_numpy().tolist() == [["b", 3.0]]
    with pytest.raises(ValueError, match="source fake has no option 'colour'; it has glob, scale, metrics, exclude"):
        gathered(tmp_path, source, {"colour": 1})
    for option, value in (("thin", "3"), ("workers", 0), ("last_step", "long"), ("metrics", "los?,x*")):
        with pytest.raises(ValueError, match=option):
            gathered(tmp_path, source, {option: value})
