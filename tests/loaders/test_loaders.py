"""One contract, all sources: each loads a small sample into sorted, unique, finite points and survives a round trip."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictdyn import loaders
from predictdyn.curves import KEY, Curves
from predictdyn.loaders.tidy import save

Samples = dict[str, Callable[[Path], Path]]


@pytest.fixture(params=loaders.sources())
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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
    assert loaders.detect(samples[source](tmp_path)) == source


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
        name, "robustness", -3.0, 9.0, "zero", 0.25,
    )  # fmt: skip


def test_a_metrics_csv_beside_the_data_is_used(source: str, samples: Samples, tmp_path: Path) -> None:
    path = samples[source](tmp_path)
    name = next(iter(loaders.load(path, source).points["metric"]))
    (tmp_path / "metrics.csv").write_text(f"metric,kind\n{name},robustness\n")
    assert loaders.load(path, source).metrics[name].kind == "robustness"


def test_a_path_that_does_not_exist_is_a_value_error(source: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such file or folder"):
        loaders.load(tmp_path / "nowhere", source)


def test_an_empty_folder_is_a_value_error(source: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{tmp_path}: "):
        loaders.load(tmp_path, source)


def test_unknown_source_and_unknown_files() -> None:
    with pytest.raises(ValueError, match="no source 'csv'; known are json_lines, lm_eval, tidy, wide"):
        loaders.load("x", "csv")


@pytest.mark.parametrize("name", ["log.txt", "folder"])
def test_what_is_not_detected_is_said_with_what_is_allowed(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "log.txt").write_text("loss 3")
    with pytest.raises(ValueError, match=r"cannot tell .* or name the source: json_lines, lm_eval, tidy, wide"):
        loaders.load(tmp_path / name)


def test_a_table_of_points_alone_is_tidy(same: Callable[[Curves, Curves], None], tmp_path: Path) -> None:
    frame = pd.DataFrame({"run": ["a"], "metric": ["loss"], "step": [1], "value": [2.0]})
    frame.to_csv(tmp_path / "a.csv.gz", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    assert [loaders.detect(tmp_path / name) for name in ("a.csv.gz", "a.parquet")] == ["tidy", "tidy"]
    same(loaders.load(tmp_path / "a.csv.gz"), loaders.load(tmp_path / "a.parquet"))


def test_importing_the_registry_is_light() -> None:
    heavy = "{'jax', 'sklearn', 'scipy', 'pyarrow.parquet', 'matplotlib'}"
    code = "import sys, predictdyn.loaders as l; l.sources(); l.options_of('lm_eval')"
    code += f"; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
