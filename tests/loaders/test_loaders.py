"""One contract, all sources: each loads a small sample into sorted, unique, finite points and survives a round trip."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictdyn import loaders
from predictdyn.curves import KEY, Curves
from predictdyn.loaders import detection
from predictdyn.loaders.engine.option_page import documented
from predictdyn.loaders.engine.options import SHARED
from predictdyn.loaders.tables.runs import Choices
from predictdyn.loaders.tidy import save
from predictdyn.loaders.writing import write

Samples = dict[str, Callable[[Path], Path]]


@pytest.fixture(params=loaders.sources())
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# What a loader says of a sample (no plan, a restart) is tested where its rule is.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def curves(source: str, samples: Samples, tmp_path: Path) -> Curves:
    return loaders.load(samples[source](tmp_path), source)


def test_points_are_sorted_unique_and_finite(curves: Curves) -> None:
    points = curves.points
    assert len(points) >= 2
    pd.testing.assert_frame_equal(points, points.sort_values(KEY, ignore_index=True))
    assert not points.duplicated(KEY).any()
    assert np.isfinite(points[["step", "value"]].to_numpy(float)).all()


def test_names_are_text_and_tables_agree(curves: Curves) -> None:
    assert all(type(name) is str for name in [*curves.points["run"], *curves.points["metric"], *curves.runs.index])
    assert set(curves.points["run"]) == set(curves.runs.index)
    assert set(curves.points["metric"]) <= set(curves.metrics)
    assert list(curves.runs.columns[:2]) == ["family", "last_step"]


def test_save_and_load_is_exact(curves: Curves, same: Callable[[Curves, Curves], None], tmp_path: Path) -> None:
    save(curves, tmp_path / "out" / "tidy")
    same(curves, loaders.load(tmp_path / "out" / "tidy"))


def test_the_source_is_detected(source: str, samples: Samples, tmp_path: Path) -> None:
    found = loaders.detect(samples[source](tmp_path))
    assert found.source == source
    assert found.words and "\n" not in found.words


def test_a_source_sees_nothing_in_the_samples_of_others(source: str, samples: Samples, tmp_path: Path) -> None:
    """The general ones may: they are asked when no other sees anything."""
    for name in samples if source not in loaders.GENERAL else ():
        (tmp_path / name).mkdir()
        assert (loaders.source(source).sniff(samples[name](tmp_path / name)) is None) == (name != source)


def test_a_source_is_a_value_and_declares_what_its_functions_take(source: str) -> None:
    """load, sniff, scan and read of a module are those of its source; they take what is declared, and no more."""
    one = loaders.source(source)
    module = import_module(f"predictdyn.loaders.{source}")
    assert one.name == source and one.reads and "\n" not in one.reads
    assert (one.load, one.sniff) == (module.load, module.sniff)
    declared = {"sniff": (), "scan": one.scan_options, "read": one.read_options, "load": one.load_options}
    for name, options in declared.items():
        function = getattr(one, name)
        if function is None:
            assert not one.by_run and not options
            continue
        assert function is getattr(module, name)
        parameters = list(inspect.signature(function).parameters.values())
        assert [p.name for p in parameters[:1]] == ["item" if name == "read" else "path"]
        if name == "load" and one.by_run:
            assert [p.kind for p in parameters[1:]] == [inspect.Parameter.VAR_KEYWORD] and options == SHARED
        else:
            named = {p.name: p.default for p in parameters[1:] if p.kind is p.KEYWORD_ONLY}
            # What is not named goes into the choices that all tables share.
            rest = {option.name: option.default for option in options if option.name not in named}
            passed_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
            assert named == {option.name: option.default for option in options if option.name in named}
            assert rest.items() <= Choices._field_defaults.items() if passed_on else not rest
    assert one.by_run == (one.read is not None)


def test_what_is_declared_is_what_is_taken(source: str) -> None:
    for option in loaders.source(source).options:
        assert option.checked(None) == option.default and option.checked(option.default) == option.default
        assert option.says and "\n" not in option.says
        for word in (*option.allowed, *option.same):
            assert option.checked(word.upper()) in option.allowed
        if option.allowed:
            with pytest.raises(ValueError, match=f"{option.name} must be .*{option.allowed[-1]}, found 'x'"):
                option.checked("x")
        if option.least is not None:
            assert option.checked(str(option.least)) == option.least
            with pytest.raises(ValueError, match=f"{option.name} must be a whole number >= {option.least}, found '-1'"):
                option.checked("-1")


def test_items_are_unique_and_a_log_says_its_run(source: str, samples: Samples, tmp_path: Path) -> None:
    one = loaders.source(source)
    if one.scan is None or one.read is None:
        pytest.skip("loads whole")
    items = list(one.scan(samples[source](tmp_path)))
    assert items
    assert len({item.run for item in items}) == len(items)
    for item in items:
        log = one.read(item)
        assert log.run == item.run
        assert {len(column) for column in log[1:6]} == {len(log.metric)}


def test_written_run_by_run_is_loaded_whole(
    source: str, samples: Samples, same: Callable[[Curves, Curves], None], tmp_path: Path
) -> None:
    path = samples[source](tmp_path)
    whole = loaders.load(path, source)
    (tmp_path / "out").mkdir()
    assert write(path, source, tmp_path / "out", {}).points == len(whole.points)
    same(loaders.load(tmp_path / "out"), whole)


def test_what_several_sources_see_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = lambda name: lambda path: name * (name in "xy") or None  # noqa: E731
    made = {name: loaders.Source(name, "", seen(name), lambda path: None) for name in ("tidy", "wide", "x", "y")}
    monkeypatch.setattr(detection, "SOURCES", dict.fromkeys(made, ""))
    monkeypatch.setattr(detection, "source", made.get)
    with pytest.raises(
        ValueError, match=r"more than one source sees something: x \(x\); y \(y\); name one with source=NAME"
    ):
        loaders.detect(tmp_path)


def test_an_unknown_option_is_named_with_those_allowed(source: str, samples: Samples, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no option 'colour'; it has .*metrics_file"):
        loaders.load(samples[source](tmp_path), source, colour="red")


def test_metrics_file_overrides_what_is_known(source: str, samples: Samples, tmp_path: Path) -> None:
    path = samples[source](tmp_path)
    name = next(iter(loaders.load(path, source).points["metric"]))
    (tmp_path / "other").mkdir()
    stated = tmp_path / "other" / "facts.csv"
    stated.write_text(f"metric,kind,lower,upper,better,chance\n{name},robustness,-3,9,zero,0.25\n")
    assert tuple(loaders.load(path, source, metrics_file=stated).metrics[name]) == (
        name, "robustness", -3.0, 9.0, "zero", 0.25, False, "", "",
    )  # fmt: skip


def test_a_metrics_csv_beside_the_data_is_used(source: str, samples: Samples, tmp_path: Path) -> None:
    path = samples[source](tmp_path)
    name = next(iter(loaders.load(path, source).points["metric"]))
    folder = path if path.is_dir() else path.parent
    (folder / "metrics.csv").write_text(f"metric,kind\n{name},robustness\n")
    assert loaders.load(path, source).metrics[name].kind == "robustness"


def test_a_path_that_does_not_exist_is_a_value_error(source: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such file or folder"):
        loaders.load(tmp_path / "nowhere", source)


def test_an_empty_folder_is_a_value_error(source: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{tmp_path}: "):
        loaders.load(tmp_path, source)


def test_unknown_source_and_unknown_files() -> None:
    with pytest.raises(ValueError, match=f"no source 'csv'; known are {', '.join(loaders.sources())}"):
        loaders.load("x", "csv")


@pytest.mark.parametrize("name", ["log.txt", "folder"])
def test_what_is_not_detected_is_said_with_what_is_allowed(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "log.txt").write_text("loss 3")
    with pytest.raises(ValueError, match=f"cannot tell .* or name the source: {', '.join(loaders.sources())}"):
        loaders.load(tmp_path / name)


@pytest.mark.filterwarnings("ignore:the planned length")
def test_a_table_of_points_by_another_name_is_a_long_table(
    same: Callable[[Curves, Curves], None], tmp_path: Path
) -> None:
    frame = pd.DataFrame({"run": ["a"], "metric": ["loss"], "step": [1], "value": [2.0]})
    frame.to_csv(tmp_path / "a.csv.gz", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    assert [loaders.detect(tmp_path / name).source for name in ("a.csv.gz", "a.parquet")] == ["long", "long"]
    same(loaders.load(tmp_path / "a.csv.gz"), loaders.load(tmp_path / "a.parquet"))


def test_the_page_on_logs_says_what_a_source_reads(source: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "logs.md").read_text()
    reads = loaders.source(source).reads.replace("|", r"\|")  # a sign of the table
    assert page.count(f"\n| `{source}` | {reads} | ") == 1


def test_the_page_on_logs_lists_all_options_as_they_are_declared() -> None:
    page = (Path(__file__).parents[2] / "docs" / "logs.md").read_text()
    assert documented([loaders.source(name) for name in loaders.sources()]) in page


def test_importing_the_catalogue_is_light() -> None:
    light = "import sys, predictdyn.loaders as l; l.sources(); print({'numpy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    heavy = "{'jax', 'sklearn', 'scipy', 'pyarrow.parquet', 'matplotlib', 'joblib'}"
    code = "import sys, predictdyn.loaders as l; l.sources(); l.source('lm_eval').options"
    code += f"; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_general_sources_are_chosen_in_order_and_the_others_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("step,loss\n1,2\n")
    (tmp_path / "b.jsonl").write_text('{"step": 1, "loss": 2}\n')
    words = "JSON lines: 1 file; also here, but not read: wide (tables of a training log: 1)"
    assert loaders.detect(tmp_path) == ("json_lines", words)


def test_a_table_of_a_log_beside_the_runs_of_a_tool_is_named(tmp_path: Path) -> None:
    """Losses beside results of the evaluation harness were left out without a word."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "m_step5.json").write_text('{"results": {"piqa": {"acc": 0.5}}}')
    (tmp_path / "runs.csv").write_text("run,last_step\nm,5\n")
    (tmp_path / "notes.csv").write_text("who,when\nme,now\n")
    assert loaders.detect(tmp_path).words == "lm-evaluation-harness: 1 JSON file"
    (tmp_path / "train_loss.csv").write_text("run,step,train_loss\nm,5,2\n")
    words = "lm-evaluation-harness: 1 JSON file; also here, but not read: train_loss.csv (load each by its own path)"
    assert loaders.detect(tmp_path) == ("lm_eval", words)


def test_a_table_that_a_tool_reads_is_not_named_as_left_out(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,2,0.4,2.5\n1,0.6,1,0.5,2\n")
    found = loaders.detect(tmp_path)
    assert found.source == "keras" and "not read" not in found.words
