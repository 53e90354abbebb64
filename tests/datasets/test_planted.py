"""The planted slice of digits: healthy runs, and twins that part from them at the step that events tell."""

from pathlib import Path

import numpy as np
import pytest

from predictdyn.loaders import tidy

PLANTED = Path(__file__).parents[2] / "datasets" / "digits" / "planted"
TROUBLES = ["rate_x10", "labels_shuffled", "classes_gone", "gradient_flipped", "loader_stuck"]


@pytest.fixture(scope="module")
def curves():
    return tidy.load(PLANTED)


def test_the_slice_has_the_runs_it_promises(curves):
    planted = curves.events[curves.events["what"].isin(TROUBLES)]
    assert len(planted) == 120 and (planted["what"].value_counts() == 24).all()
    healthy = curves.runs[curves.runs["baseline"] == curves.runs.index]
    assert len(healthy) == 216 and not set(healthy.index) & set(planted["run"])
    share = planted["step"] / planted["run"].map(curves.runs["last_step"])
    assert share.between(0.1, 0.8).all() and share.std() > 0.1


def test_twins_are_equal_until_the_trouble_and_differ_after(curves):
    planted = curves.events[curves.events["what"].isin(TROUBLES)]
    for run, step in planted[["run", "step"]].itertuples(index=False):
        own = curves.series[run, "update_size"]
        other = curves.series[str(curves.runs["baseline"][run]), "update_size"]
        before = own.step[own.step <= step]
        np.testing.assert_array_equal(own.value[: len(before)], other.value[: len(before)])
        assert own.value[len(before)] != other.value[len(before)]
        rates = [curves.series[name, "learning_rate"].value for name in (run, curves.runs["baseline"][run])]
        np.testing.assert_array_equal(*rates)


def test_troubles_hurt_as_they_should(curves):
    last = curves.points.groupby(["run", "metric"]).tail(1)
    final = last.pivot_table(index="run", columns="metric", values="value")
    planted = curves.events[curves.events["what"].isin(TROUBLES)].set_index("run")["what"]
    lost = final["test_accuracy"] - final["test_accuracy"].reindex(curves.runs["baseline"]).to_numpy()
    by_trouble = lost[planted.index].groupby(planted).median()
    assert by_trouble["classes_gone"] < -0.05
    assert by_trouble["gradient_flipped"] < -0.2
    noisy = final["train_loss"] - final["train_loss"].reindex(curves.runs["baseline"]).to_numpy()
    assert noisy[planted.index[planted == "labels_shuffled"]].median() > 0.3
