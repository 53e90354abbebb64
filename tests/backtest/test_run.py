"""Running: the future cannot move a draw, one forecaster cannot move another, work resumes, failures are rows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictdyn.backtest import run as run_module
from predictdyn.backtest.folds import folds, groups
from predictdyn.backtest.plan import Plan
from predictdyn.backtest.run import COLUMNS, run
from predictdyn.curves import curves_from
from predictdyn.forecasters import BASELINES, fit, forecaster, names

PLAN = Plan(cutoffs=(0.1, 0.4), metrics=("accuracy", "loss"), test=("f2*",), seed=1)
LAST = forecaster("last_value")


@dataclass(frozen=True)
class Broken:
    """A forecaster that raises."""

    name: str = "broken"

    def latent(self, problem):
        raise TypeError("no such thing")


@dataclass(frozen=True)
class Leaky:
    """A forecaster that has got hold of the whole data: the tamper test must notice."""

    whole: object = None
    name: str = "leaky"

    def latent(self, problem):
        plain, target = LAST.latent(problem), problem.target
        ends = [
            self.whole.series[(run, metric)].value[-1]
            for run, metric in zip(target["run"], target["metric"], strict=True)
        ]
        return plain._replace(draws=plain.draws + np.array(ends)[:, None])


def tampered(curves):
    """The same curves with every hidden value overwritten, for the runs that are held out."""
    points = curves.points.copy()
    hidden = points["run"].str.startswith("f2") & (points["step"] > 400) & (points["metric"] != "rate")
    rng = np.random.default_rng(0)
    points.loc[hidden, "value"] = rng.uniform(0.01, 0.9, int(hidden.sum()))
    return curves_from(points, curves.runs, curves.metrics)


def draws_of(curves, one):
    (group,) = groups(curves, PLAN)
    fitted = fit(one, group.history, seed=2)
    return [fitted.forecast(fold.observed, fold.target, seed=2).draws for fold in folds(curves, group, PLAN)]


@pytest.mark.parametrize("name", names())
def test_overwriting_the_hidden_values_moves_no_draw(small, name):
    for before, after in zip(
        draws_of(small, forecaster(name)), draws_of(tampered(small), forecaster(name)), strict=True
    ):
        assert np.array_equal(before, after)


def test_the_tamper_test_catches_a_leak(small):
    before, after = draws_of(small, Leaky(small)), draws_of(tampered(small), Leaky(tampered(small)))
    assert not np.array_equal(before[0], after[0])


def test_adding_a_forecaster_moves_no_other_number(small):
    few = run(small, PLAN, [LAST], BASELINES).rows
    many = run(small, PLAN, [forecaster("mean_change"), LAST, forecaster("pow3")], BASELINES).rows
    pd.testing.assert_frame_equal(few, many[many["forecaster"] == "last_value"].reset_index(drop=True))


def test_rows_follow_the_contract_and_do_not_depend_on_workers(small):
    plan = Plan(cutoffs=(0.25,), metrics=("loss",))
    both = [LAST, forecaster("curve_fit")]
    one = run(small, plan, both, BASELINES).rows
    two = run(small, plan, both, BASELINES, workers=2).rows
    pd.testing.assert_frame_equal(one, two)
    assert list(one.columns) == COLUMNS and len(one) == 2 * 8
    assert (one["q0.05"] <= one["q0.5"]).all() and (one["q0.5"] <= one["q0.95"]).all()


def test_work_that_is_done_is_not_done_again(small, tmp_path, monkeypatch):
    first = run(small, PLAN, [LAST], BASELINES, resume=tmp_path).rows
    monkeypatch.setattr(run_module, "_answer", lambda *_: pytest.fail("the piece was run again"))
    again = run(small, PLAN, [LAST], BASELINES, resume=tmp_path).rows
    pd.testing.assert_frame_equal(first, again)
    monkeypatch.undo()
    run(small, Plan(cutoffs=(0.2,), test=("f2*",), metrics=("loss",)), [LAST], BASELINES, resume=tmp_path)
    assert len(list(Path(tmp_path).glob("*.piece"))) == 2, "another plan is other work"


def test_a_forecaster_that_raises_gives_rows_with_a_status(small):
    rows = run(small, PLAN, [LAST, Broken()], BASELINES).rows
    broken = rows[rows["forecaster"] == "broken"]
    assert (broken["status"] == "forecast failed: TypeError: no such thing").all()
    assert np.isfinite(broken["crps"]).all() and len(broken) == len(rows) / 2


def test_progress_counts_to_the_end(small):
    told = []
    run(
        small,
        PLAN,
        [LAST, forecaster("curve_fit")],
        BASELINES,
        progress=lambda done, all_: told.append((done, all_)),
    )
    assert told == [(1, 2), (2, 2)]
