"""Reading from Python: notes on curves, warnings for what may hurt, errors without options."""

import warnings

import pandas as pd
import pytest

import predictdyn as pdyn
from predictdyn.api.reading import prepared


def log(rows: list[tuple[object, ...]], tmp_path):
    path = tmp_path / "log.csv"
    pd.DataFrame(rows, columns=["run", "step", "val_acc"]).to_csv(path, index=False)
    return path


def test_load_tells_what_was_found_and_warns_of_what_may_hurt(tmp_path):
    path = log([("a", 1, 0.1), ("a", 2, 0.2), ("b", 1, 0.1), ("b", 3, 0.2)], tmp_path)
    with pytest.warns(UserWarning, match="last_step=") as told:
        curves = pdyn.load(path)
    assert told[0].filename == __file__
    assert curves.notes[0] == f"{path}: tables of a training log: 1 (source='wide')"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named = pdyn.load(str(path), "wide", last_step=3)
    assert named.notes == () and named.runs["last_step"].tolist() == [3, 3]


def test_errors_name_keywords(tmp_path):
    path = log([("a", 1, 0.1), ("a", 1, 0.2)], tmp_path)
    with pytest.raises(ValueError, match="merge='yes'"):
        pdyn.load(path, "wide")
    with pytest.raises(ValueError, match="no source 'tape'"):
        pdyn.load(path, source="tape")
    with pytest.raises(ValueError, match="has no option 'colour'"):
        pdyn.load(path, "wide", colour="red")
    table = pd.DataFrame({"run": ["a"], "step": [1], "val_acc": [0.5]})
    made = (
        r"path= takes the path of a file or folder, got a table; make curves of a table by Curves\.from_frame\(frame\)$"
    )
    with pytest.raises(ValueError, match=made):
        pdyn.load(table)
    with pytest.raises(ValueError, match=r"path= takes the path of a file or folder, got list$"):
        pdyn.load([path])
    with pytest.raises(ValueError, match=r"folder= takes the path of a file or folder, got int$"):
        pdyn.load_model(5)
    with pytest.raises(ValueError, match="name= takes the name of a data set, got 5"):
        pdyn.load_dataset(5)
    with pytest.raises(ValueError, match="'digit'"):
        pdyn.load_dataset("digit")


def test_preparing_twice_changes_nothing(small):
    points = small.points.assign(metric=small.points["metric"].replace("rate", "lr"))
    kinds = {"noisy_accuracy": "robustness"}
    curves = pdyn.Curves.from_frame(points, small.runs.assign(final_loss=range(8)), kinds)
    once = prepared(curves)
    twice = prepared(once)
    assert "final_loss" in curves.runs and "final_loss" not in once.runs and not once.metrics["lr"].guessed
    assert any("final_loss" in line for line in once.notes)
    assert twice.notes == once.notes and twice.metrics == once.metrics
    pd.testing.assert_frame_equal(twice.runs, once.runs)
