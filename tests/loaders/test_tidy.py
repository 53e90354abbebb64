"""The tidy folder: what is written is what is read, for any table."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from predictdyn import loaders
from predictdyn.curves import KINDS, Curves, Metric, curves_from
from predictdyn.loaders.tidy import load, save

Samples = dict[str, Callable[[Path], Path]]
Same = Callable[[Curves, Curves], None]
NAMES = st.one_of(
    st.sampled_from(["001", "1e5", "NA", "nan", "True", "a,b", 'say "x"', " pad ", "-inf", "déjà", "l\nl", "r\rr"]),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8),
)
BETTER = st.sampled_from([None, "zero"])
FINITE = st.floats(allow_nan=False, allow_infinity=False)
COVARIATES = st.sampled_from([
    [1, 2, 3, 4], [0.1, 1e-300, np.nan, 1 / 3], [2.0, 3.0, 4.0, 5.0], [2**60, 1, 2, 3], [True, False, True, True],
    ["x", "y z", "", "q"], ["007", "1", "2", "3"], ["1e5", "1", "2", "3"], ["True", "False", "True", "True"],
    [None, "a", "b", "c"],
])  # fmt: skip


@st.composite
def any_curves(draw: st.DrawFn) -> Curves:
    runs = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    metrics = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    steps = draw(st.lists(st.one_of(st.integers(1, 10**9), st.floats(0.001, 1e6)), min_size=1, max_size=4, unique=True))
    keys = [(run, metric, step) for run in runs for metric in metrics for step in steps]
    points = pd.DataFrame(keys, columns=["run", "metric", "step"])
    points["value"] = draw(st.lists(FINITE, min_size=len(keys), max_size=len(keys)))
    if draw(st.booleans()):
        error = st.one_of(st.just(np.nan), st.floats(0, 1e9))
        points["stderr"] = draw(st.lists(error, min_size=len(keys), max_size=len(keys)))
    if draw(st.booleans()):
        points["seen"] = draw(st.lists(st.booleans(), min_size=len(keys), max_size=len(keys)))
    table = pd.DataFrame({"run": runs, "family": draw(st.lists(NAMES, min_size=len(runs), max_size=len(runs)))})
    table["last_step"] = max(steps) * draw(st.sampled_from([1, 2, 1.5]))
    for i, cells in enumerate(draw(st.lists(COVARIATES, max_size=3))):
        table[f"covariate {i}"] = pd.Series(cells[: len(runs)])
    known = {
        name: Metric(name, draw(st.sampled_from(KINDS)), None, None, draw(BETTER), draw(FINITE)) for name in metrics[1:]
    }
    events = pd.DataFrame({"run": [runs[0]], "step": [draw(st.floats(0, 1e6))], "what": [draw(NAMES)]})
    return curves_from(points, table, known, events if draw(st.booleans()) else None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(any_curves())
def test_any_curves_round_trip_exactly(same: Same, curves: Curves) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save(curves, Path(folder, "tidy"))
        same(curves, load(Path(folder, "tidy")))


def test_names_that_look_like_numbers_stay_text_and_seen_is_read(samples: Samples, tmp_path: Path) -> None:
    curves = load(samples["tidy"](tmp_path))
    assert curves.points["run"].tolist() == ["001", "1e5", "1e5"]
    assert curves.points["seen"].tolist() == [True, True, False]
    assert curves.points["stderr"].isna().tolist() == [True, False, True]
    assert curves.runs["code"].tolist() == ["007", "010"]
    assert curves.runs["width"].tolist() == [64, 128]
    assert curves.runs["last_step"].tolist() == [30, 30]
    assert curves.events.to_dict("records") == [{"run": "001", "step": 5.0, "what": "restart"}]


def test_runs_that_have_not_begun_are_told(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("run,metric,step,value\na,loss,1,2.0\n")
    (tmp_path / "runs.csv").write_text("run,params\nb,2\na,1\nc,3\n")
    said = r"^2 run\(s\) of the table of runs have no points and are left out \(no value is lost\): b, c; forecast them"
    with pytest.warns(UserWarning, match=said):
        assert load(tmp_path).runs.index.tolist() == ["a"]


def test_points_alone_say_that_runs_count_as_ended_and_what_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("run,metric,step,value,rate\na,loss,1,2.0,.1\na,loss,2,1.5,.1\n")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert load(tmp_path).runs["last_step"].tolist() == [2]
    lines = [str(one.message).removeprefix(f"{tmp_path / 'points.csv'}: ") for one in heard]
    assert lines[0].startswith("1 column(s) left out: rate; settings of runs belong in runs.csv")
    assert lines[1].startswith("no runs.csv says where runs end, so each counts as ended at its last step;")
    (tmp_path / "runs.csv").write_text("run,rate\na,.1\n")
    (tmp_path / "points.csv").write_text("run,metric,step,value\na,loss,1,2.0\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "columns", "beside", "source"),
    [
        ("points.csv", "run,metric,step,value", False, "tidy"),
        ("all.csv", "run,metric,step,value", False, "long"),
        ("all.csv", "run,metric,step,value,seen", False, "tidy"),
        ("all.csv", "run,metric,step,value", True, "tidy"),
    ],
)
def test_a_file_of_points_is_tidy_by_its_name_or_by_more_than_long_tables_have(
    tmp_path: Path, name: str, columns: str, beside: bool, source: str
) -> None:
    (tmp_path / name).write_text(f"{columns}\na,loss,1,2.0,1\n" if "seen" in columns else f"{columns}\na,loss,1,2.0\n")
    if beside:
        (tmp_path / "runs.csv").write_text("run,last_step\na,5\n")
    assert loaders.detect(tmp_path / name).source == source


@pytest.mark.filterwarnings("ignore:.*no runs.csv says where runs end")
def test_numbers_are_read_to_the_last_digit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).lognormal(sigma=20, size=500)
    lines = [f"a,loss,{i},{value!r}" for i, value in enumerate(values.tolist())]
    (tmp_path / "points.csv").write_text("\n".join(["run,metric,step,value", *lines]))
    assert load(tmp_path).points["value"].tolist() == values.tolist()


def test_saving_again_replaces_and_leaves_nothing_else(samples: Samples, same: Same, tmp_path: Path) -> None:
    curves = load(samples["tidy"](tmp_path))
    runs = curves.runs.assign(code=["7", "10"])  # a CSV would bring it back as numbers
    coded = curves_from(curves.points, runs, curves.metrics, curves.events)
    save(coded, tmp_path / "out")
    assert {"runs.parquet", "events.csv"} < {file.name for file in (tmp_path / "out").iterdir()}
    same(coded, load(tmp_path / "out"))
    before = sorted(tmp_path.iterdir())
    plain = curves_from(curves.points, None, curves.metrics)
    save(plain, tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["metrics.csv", "points.parquet", "runs.csv"]
    assert sorted(tmp_path.iterdir()) == before
    same(plain, load(tmp_path / "out"))


def test_saving_beside_points_of_another_type_is_refused(samples: Samples, tmp_path: Path) -> None:
    curves = load(samples["tidy"](tmp_path))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"holds points.csv already; choose an empty folder"):
        save(curves, tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_a_failed_save_leaves_nothing_behind(samples: Samples, tmp_path: Path) -> None:
    curves = load(samples["tidy"](tmp_path))
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match="cannot be written"):
        save(curves, tmp_path / "file" / "below")
    with pytest.raises(ValueError, match="cannot be written"):
        save(curves, tmp_path / "file")
    assert sorted(tmp_path.iterdir()) == before


def test_companions_elsewhere(samples: Samples, tmp_path: Path) -> None:
    for name in ("points", "rest"):
        (tmp_path / name).mkdir()
    samples["tidy"](tmp_path / "rest")
    (tmp_path / "rest" / "points.csv").rename(tmp_path / "points" / "points.csv")
    options = {f"{name}_file": tmp_path / "rest" / f"{name}.csv" for name in ("runs", "metrics", "events")}
    curves = load(tmp_path / "points", **options)
    assert curves.metrics["loss"].kind == "loss"
    assert curves.runs["family"].unique().tolist() == ["a"]
    assert len(curves.events) == 1
    with pytest.warns(UserWarning, match=r"no runs\.csv says where runs end"):
        assert load(tmp_path / "points").metrics["loss"].kind == "loss"  # known by its name
