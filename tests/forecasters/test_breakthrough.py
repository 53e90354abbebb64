"""Onsets and breakthroughs on simulated runs: when and whether, by a cause that is planned, or by none."""

import numpy as np
import pandas as pd
import pytest

import predictdyn as pdyn
from predictdyn.backtest import onsets as onset_replay
from predictdyn.backtest.onsets import onset_rows, replay_onsets
from predictdyn.backtest.plan import Plan
from predictdyn.curves import Metric, curves_from
from predictdyn.events import parse
from predictdyn.fitting import onset_hazard
from predictdyn.forecast import Prediction
from predictdyn.forecasters import fit
from predictdyn.forecasters.breakthrough import NO_MODES, NOT_CONVERGED
from predictdyn.forecasters.onsets import HAPPENED, NEVER, NOT_MET, by_age, by_hazard, of_paths, onsets, survival
from predictdyn.problem import History, Problem

STEP = np.array([1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100])
EVENT = parse("acc > 0.5", ["acc"])


def runs_of(families=30, cause=3.0, seed=0, last=100):
    """Runs that leave chance at a time that a setting decides (``cause`` 0: nothing does), a third of them never."""
    rng = np.random.default_rng(seed)
    setting = rng.normal(size=families)
    frames, rows = [], []
    for f in range(families):
        for s in range(2):
            lot = (cause * setting[f] + rng.normal()) / np.hypot(cause, 1)
            onset = 55 * np.exp(-0.9 * lot) if lot > -0.4 else np.inf
            step = STEP[last >= STEP]
            value = np.where(step >= onset, 0.95, 0.1) + 0.04 * rng.uniform(-1, 1, len(step))
            run = f"f{f:02}-s{s}"
            rows.append({"run": run, "family": f"f{f:02}", "last_step": 100, "setting": setting[f]})
            frames.append(pd.DataFrame({"run": run, "metric": "acc", "step": step, "value": value}))
    metrics = {"acc": Metric("acc", "capability", 0.0, 1.0, "higher", 0.1)}
    return curves_from(pd.concat(frames), pd.DataFrame(rows).set_index("run"), metrics)


@pytest.fixture(scope="module")
def curves():
    return runs_of()


def problem_of(curves, families, cutoff=0.1):
    family = curves.runs["family"]
    test = family.index[family.isin(families)]
    observed = curves.select(runs=test).truncate(cutoff)
    target = pd.DataFrame({"run": test, "metric": "acc", "step": 100})
    return Problem(History(curves.select(runs=family.index.difference(test))), observed, target, 0), test


def test_an_onset_is_the_first_logged_step_where_all_bounds_hold():
    points = pd.DataFrame({
        "run": "a", "metric": ["x"] * 4 + ["y"] * 3, "step": [1, 2, 3, 4, 1, 3, 4], "value": [0, 9, 9, 9, 5, 0, 5.0],
    })  # fmt: skip
    found = onsets(curves_from(points), parse("x > 1 and y > 1", ["x", "y"]))
    assert found.loc["a"].tolist() == [1.0, 1.0]
    assert onsets(curves_from(points), parse("x > 10", ["x"])).loc["a"].tolist() == [np.inf, 1.0]


def test_the_share_left_is_that_of_kaplan_and_meier():
    past = pd.DataFrame({"onset": [0.2, 0.4, np.inf, np.inf], "last": [1.0, 1.0, 0.3, 1.0]})
    time, left = survival(past)
    # Three quarters outlive the first; of the two that were still logged, one outlives the second.
    assert time.tolist() == [0.2, 0.4] and left.tolist() == pytest.approx([0.75, 0.375])


def test_the_hazard_tells_runs_apart_where_age_does_not(curves):
    found = replay_onsets(curves, Plan(cutoffs=(0.1,), metrics=("acc",)), EVENT)
    board = found.scores.set_index("forecaster")
    assert board.loc["hazard", "brier_skill_lo"] > 0.2 and board.loc["hazard", "crps_skill_lo"] > 0.2
    assert board.loc["hazard", "reliability"] < 0.06
    rows = found.rows[found.rows["status"] == "ok"]
    of_chains = rows["forecaster"] == "hazard"
    assert rows.loc[of_chains, "rhat"].between(1.0, 1.05).all() and (rows.loc[of_chains, "effective"] > 150).all()
    assert (rows.loc[of_chains, "divergent"] <= 0.01).all() and rows.loc[~of_chains, "rhat"].isna().all()
    assert rows["crps"].notna().all() and rows["probability"].between(0, 1).all()


def test_where_nothing_tells_the_forecast_is_the_base_rate():
    curves = runs_of(families=40, cause=0.0, seed=1)
    problem, _test = problem_of(curves, [f"f{i:02}" for i in range(10)])
    found = by_hazard(problem, EVENT)
    past = onsets(problem.history.curves, EVENT)["onset"]
    base = np.isfinite(past[past > 0.1]).mean()
    chance = np.isfinite(found.draws[found.status == "ok"]).mean(axis=1)
    assert abs(chance.mean() - base) < 0.1 and chance.std() < 0.15


def test_what_came_in_no_finished_run_is_rare(curves):
    problem, _test = problem_of(curves, [f"f{i:02}" for i in range(10)])
    event = parse("acc > 1.5", ["acc"])
    found = by_hazard(problem, event)
    n = len(onsets(problem.history.curves, event))
    assert set(found.status) == {NEVER}
    assert np.isfinite(found.draws).mean() == pytest.approx(0.5 / (n + 1), abs=0.01)
    came = found.draws[np.isfinite(found.draws)]
    assert came.size and came.min() > 0.1 and came.max() <= 1


def test_what_has_happened_is_known_and_what_lies_ahead_is_after_what_is_seen(curves):
    problem, _test = problem_of(curves, [f"f{i:02}" for i in range(10)], cutoff=0.5)
    came = onsets(problem.observed, EVENT)["onset"]
    for road in (by_hazard, by_age):
        found = road(problem, EVENT)
        for run, draws, status in zip(found.runs, found.draws, found.status, strict=True):
            if np.isfinite(came[run]):
                assert status == HAPPENED and (draws == came[run]).all()
            else:
                assert draws.min() > 0.5


def test_chains_that_have_not_met_are_told_in_every_result(curves, monkeypatch, tmp_path):
    for name, value in {"WARM": 2, "BETWEEN": (1,), "KEPT": 4}.items():
        monkeypatch.setattr(onset_hazard, name, value)
    family = curves.runs["family"]
    live = curves.points["run"].isin(family.index[family == "f00"]) & (curves.points["step"] > 10)
    begun = curves_from(curves.points[~live][["run", "metric", "step", "value"]], curves.runs, curves.metrics)
    found = pdyn.forecast(begun, forecaster="breakthrough", progress=False)
    assert (found.summary()["status"] == NOT_CONVERGED).all()
    onset = found.onset("acc > 0.5").summary()
    assert (onset["status"] == NOT_MET).all() and (onset["rhat"] > 1.05).all()
    # The draws stay: a chance that is a little off is better than none.
    assert onset["probability"].between(0.01, 0.99).all()
    page = found.save(tmp_path / "page", onsets=["acc > 0.5"])
    assert f"R-hat is at most {onset['rhat'].max():.2f}" in page.with_name("report.md").read_text()


def test_quantiles_of_an_onset_are_blank_where_it_does_not_come(curves):
    problem, _ = problem_of(curves, ["f00"])
    found = by_hazard(problem, EVENT)
    rows = onset_rows(found, problem.observed, EVENT)
    for _, row in rows.iterrows():
        levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
        blank = row[["q0.05", "q0.25", "q0.5", "q0.75", "q0.95"]].isna().to_numpy()
        assert (blank == (levels >= row["probability"])).sum() >= 4


def test_paths_cross_at_the_first_step_at_which_a_draw_holds(curves):
    observed = curves.select(runs=["f00-s0"]).truncate(0.01)
    target = pd.DataFrame({"run": "f00-s0", "metric": "acc", "step": [50.0, 100.0]})
    path = Prediction(target, np.array([[0.1, 0.9, 0.1], [0.1, 0.9, 0.9]]), np.array(["ok", "ok"], dtype=object), True)
    assert of_paths(path, EVENT, observed, ["f00-s0"]).draws.tolist() == [[np.inf, 0.5, 1.0]]


def test_breakthrough_has_two_modes_with_the_right_chances(curves):
    problem, test = problem_of(curves, [f"f{i:02}" for i in range(12)])
    answer = fit("breakthrough", problem.history.curves).forecast(problem.observed, problem.target, seed=0)
    truth = np.array([curves.series[run, "acc"].value[-1] for run in test])
    assert (answer.status == "ok").all()
    between = ((answer.draws > 0.25) & (answer.draws < 0.8)).mean()
    assert between < 0.02
    chance = (answer.draws > 0.5).mean(axis=1)
    assert np.mean((chance - (truth > 0.5)) ** 2) < 0.6 * np.mean((np.mean(truth > 0.5) - (truth > 0.5)) ** 2)


def test_without_two_modes_there_is_no_answer():
    curves = runs_of()
    points = curves.points.assign(value=0.2 + 0.003 * curves.points["step"])
    plain = curves_from(points[["run", "metric", "step", "value"]], curves.runs, curves.metrics)
    problem, _ = problem_of(plain, ["f00"])
    answer = fit("breakthrough", problem.history.curves).forecast(problem.observed, problem.target, seed=0)
    assert (answer.status == NO_MODES).all()


def test_the_face_tells_when_it_comes_and_pages_show_both_modes(tmp_path):
    curves = runs_of(families=16)
    live = curves.points["run"].isin(["f00-s0", "f03-s1"]) & (curves.points["step"] > 10)
    begun = curves_from(curves.points[~live][["run", "metric", "step", "value"]], curves.runs, curves.metrics)
    found = pdyn.forecast(begun, forecaster="breakthrough", progress=False)
    onset = found.onset("acc > 0.5")
    table = onset.summary().set_index("run")
    assert set(table.index) == {"f00-s0", "f03-s1"} and (table["status"] == "ok").all()
    before = onset.before(20)
    last = before.groupby("run")["probability"].last()
    assert np.allclose(last, table["probability"].loc[last.index])
    assert (before.groupby("run")["probability"].diff().fillna(0) >= 0).all()
    assert onset.plot().get_lines()
    both = found.modes()
    assert len(both) and (both["low_q0.95"] < 0.5).all() and (both["high_q0.05"] > 0.5).all()
    page = found.save(tmp_path / "page", onsets=["acc > 0.5"])
    said = page.with_name("report.md").read_text()
    assert "two modes" in said and "ends near" in said and "When it comes" in said
    assert (tmp_path / "page" / "onset.csv").exists()


def test_a_backtest_keeps_onsets_beside_its_files(curves, tmp_path):
    found = pdyn.backtest(
        curves, "mean_change", cutoffs=[0.1], onset="acc > 0.5", out=tmp_path / "page", progress=False
    )  # fmt: skip
    assert set(found.onsets.scores["forecaster"]) == {"hazard", "hazard_by_age", "nearest_run"}
    kept = pd.read_parquet(tmp_path / "page" / "onsets.parquet")
    assert len(kept) == len(found.onsets.rows)
    said = (tmp_path / "page" / "report.md").read_text()
    assert "Brier" in said and f"R-hat is at most {kept['rhat'].max():.2f}" in said
    with pytest.raises(ValueError, match="comes in none"):
        pdyn.backtest(curves, "mean_change", cutoffs=[0.1], onset="acc > 2", progress=False)


@pytest.fixture
def few():
    return runs_of(families=8, last=50), Plan(cutoffs=(0.1,), metrics=("acc",))


def test_onsets_do_not_depend_on_workers(few):
    one, two = (replay_onsets(*few, EVENT, workers=workers) for workers in (1, 2))
    pd.testing.assert_frame_equal(one.rows, two.rows)
    pd.testing.assert_frame_equal(one.scores, two.scores)


def test_onsets_that_are_broken_off_go_on_to_the_same_table(few, tmp_path, monkeypatch):
    whole, told = replay_onsets(*few, EVENT), []

    def broken_off(done, all_):
        told.append((done, all_))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay_onsets(*few, EVENT, resume=tmp_path, progress=broken_off)
    files = sorted(tmp_path.glob("*.piece"))
    assert told == [(1, 8), (2, 8), (3, 8)] and 3 <= len(files) < 8
    files[0].write_bytes(files[0].read_bytes()[:100])
    made, real = [], onset_replay._group
    monkeypatch.setattr(onset_replay, "_group", lambda *words: made.append(words[2].name) or real(*words))
    again = replay_onsets(*few, EVENT, resume=tmp_path)
    assert len(made) == 8 - len(files) + 1
    pd.testing.assert_frame_equal(whole.rows, again.rows)
    whole.rows.to_parquet(tmp_path / "a")
    again.rows.to_parquet(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    # Another event is other work.
    replay_onsets(*few, parse("acc > 0.4", ["acc"]), resume=tmp_path)
    assert len(made) == 2 * 8 - len(files) + 1


def test_without_finished_runs_the_paths_of_the_forecaster_say_it():
    curves = runs_of(families=2)
    begun = curves.truncate(0.3)
    found = pdyn.forecast(begun, forecaster="damped_slope", progress=False).onset("acc > 0.5").summary()
    waiting = found[found["status"] != HAPPENED]
    assert len(waiting) and waiting["status"].str.startswith("by paths of damped_slope").all()
    assert waiting["probability"].between(0, 1).all()


def test_a_schedule_or_an_unknown_metric_has_no_onset(curves):
    found = pdyn.forecast(curves, forecaster="last_value", cutoff=0.1, runs=["f00-s0"], progress=False)
    with pytest.raises(ValueError, match="names metric 'nothing'"):
        found.onset("nothing > 1")
