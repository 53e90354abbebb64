"""What all suites share, on a suite of three groups that train nothing: command, resuming, folder, noise floor."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

DATASETS = Path(__file__).parents[2] / "datasets"

TOY = '''
"""A suite that trains nothing."""
import sys
from pathlib import Path

sys.path.append({datasets!r})
import suite
import pandas as pd

HERE = Path(__file__).parent
METRICS = [suite.Metric("accuracy", "capability", 0, 1, "higher", 0.5), suite.Metric("loss", "loss", 0)]


def made(group):
    calls = HERE / "calls.txt"
    calls.write_text((calls.read_text() if calls.exists() else "") + group.name + "\\n")
    if group.name == "b" and not (HERE / "mended").exists():
        raise RuntimeError("the machine went off")
    rows = [
        (row["run"], metric, step, (1 + len(group.name) + step) / 3 ** (metric == "accuracy") / 7, float("nan"))
        for row in group.runs for metric in ("loss", "accuracy") for step in (2, 0)
    ]
    rows.append((group.runs[0]["run"], "loss", 5, float("inf"), float("nan")))
    points = pd.DataFrame(rows, columns=["run", "metric", "step", "value", "stderr"])
    return points, pd.DataFrame([(group.runs[-1]["run"], 2, "ended")], columns=["run", "step", "what"])


def row(name, seed):
    return dict(run=name + str(seed), family=name, last_step=2, seed=seed)


if __name__ == "__main__":
    suite.main(__doc__, HERE, [suite.Group(n, [row(n, 2), row(n, 1)]) for n in "cab"], made, METRICS)
'''


@pytest.fixture
def toy(tmp_path):
    """A function that calls the command of the toy suite, and the folder of its script."""
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "make.py").write_text(TOY.format(datasets=str(DATASETS)))

    def call(*words):
        command = [sys.executable, folder / "make.py", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True)

    return call, folder


def test_a_stopped_generation_goes_on_where_it_stopped(toy, tmp_path):
    call, folder = toy
    out = tmp_path / "data"
    assert call("--out", out).returncode == 1
    assert not out.exists(), "nothing half-written"
    (folder / "mended").touch()
    done = call("--out", out)
    assert done.returncode == 0, done.stderr
    assert (folder / "calls.txt").read_text().split() == ["c", "a", "b", "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "toy"]
    points = pd.read_parquet(out / "points.parquet")
    assert list(points.columns) == ["run", "metric", "step", "value", "stderr"]
    assert np.isfinite(points.value).all() and len(points) == 6 * 4
    pd.testing.assert_frame_equal(points, points.sort_values(["run", "metric", "step"], ignore_index=True))
    assert list(pd.read_csv(out / "runs.csv").run) == ["a1", "a2", "b1", "b2", "c1", "c2"]
    assert list(pd.read_csv(out / "events.csv").run) == ["a1", "b1", "c1"]
    assert list(pd.read_csv(out / "metrics.csv").columns) == ["metric", "kind", "lower", "upper", "better", "chance"]


def test_values_are_rounded_as_the_cards_say(toy, tmp_path):
    call, folder = toy
    (folder / "mended").touch()
    assert call("--out", tmp_path / "data").returncode == 0
    first = pd.read_parquet(tmp_path / "data" / "points.parquet").query("run == 'a1' and step == 2").set_index("metric")
    assert first.value["accuracy"] == round(4 / 21, 6)
    assert first.value["loss"] != 4 / 7 and abs(first.value["loss"] - 4 / 7) < 8e-6 * 4 / 7


def test_workers_and_slices_give_the_same_runs(toy, tmp_path):
    call, folder = toy
    (folder / "mended").touch()
    assert call("--out", tmp_path / "one").returncode == 0
    two = call("--out", tmp_path / "two", "--workers", 2)
    assert two.returncode == 0, two.stderr
    whole = pd.read_parquet(tmp_path / "one" / "points.parquet")
    pd.testing.assert_frame_equal(whole, pd.read_parquet(tmp_path / "two" / "points.parquet"))
    (folder / "calls.txt").unlink()
    assert call("--out", tmp_path / "part", "--runs", 3).returncode == 0
    part = pd.read_parquet(tmp_path / "part" / "points.parquet")
    pd.testing.assert_frame_equal(part, whole[whole.run.isin(["c2", "c1", "a2"])].reset_index(drop=True))
    assert (folder / "calls.txt").read_text().split() == ["c", "a"], "only the groups that are needed"
    assert list(pd.read_csv(tmp_path / "part" / "events.csv").run) == ["c1"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--runs", 0), "--runs must be 1 to 6, found 0"),
        (("--runs", 7), "--runs must be 1 to 6, found 7"),
        (("--workers", 0), "--workers must be at least 1, found 0"),
        (("--only", "d1"), "no run 'd1' among the first 6, c2 to b1"),
        (("--runs", 2, "--only", "a1"), "no run 'a1' among the first 2, c2 to c1"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(toy, tmp_path, words, told):
    call, _ = toy
    done = call("--out", tmp_path / "data", *words)
    assert done.returncode == 2 and told in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_the_noise_floor_of_numbers_made_by_hand():
    """Two recipes of two seeds (sds sqrt 2 and 0), one of a single seed, and an arm, which is a recipe of its own."""
    noise_floor = runpy.run_path(str(DATASETS / "noise.py"))["noise_floor"]
    names = ["a1", "a2", "b1", "b2", "c1", "a1x"]
    runs = pd.DataFrame({"family": list("aabbca"), "last_step": 4, "seed": [1, 2, 1, 2, 1, 1], "arm": list("-----x")})
    runs.index = pd.Index(names, name="run")
    points = pd.DataFrame({"run": names * 2, "metric": "m", "step": [0] * 6 + [4] * 6, "stderr": 0.5})
    points["value"] = [9.0] * 6 + [1.0, 3.0, 5.0, 5.0, 70.0, 80.0]
    (row,) = noise_floor(points, runs).to_dict("records")
    assert row["recipes"] == 2
    assert row["seed_sd"] == pytest.approx(1.0) and row["seed_sd_median"] == pytest.approx(np.sqrt(2) / 2)
    assert row["sampling_sd"] == pytest.approx(0.5) and row["spread"] == pytest.approx(np.std([2, 5], ddof=1))


def test_sampling_errors_of_shares_means_and_differences():
    sampling = runpy.run_path(str(DATASETS / "sampling.py"))
    assert sampling["share"](np.array([1, 0, 0, 1])) == pytest.approx((0.5, 0.25))
    assert sampling["mean"](np.array([1.0, 3.0])) == pytest.approx((2.0, 1.0))
    none = sampling["share"](np.zeros(99))
    assert none[0] == 0 and none[1] == pytest.approx(0.7 / 99, rel=0.03)
    both = np.array([1, 1, 0, 0])
    assert sampling["paired_difference"](both, both) == (0.0, sampling["share"](np.zeros(4))[1])
    assert sampling["paired_difference"](both, both[::-1])[0] == 0.0
