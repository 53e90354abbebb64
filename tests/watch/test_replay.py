"""Replays of alarms: what counts as false and as caught, intervals by families, and the files."""

import numpy as np
import pandas as pd
import pytest

import predictdyn as pdyn
from predictdyn.curves import Curves
from predictdyn.loaders import tidy
from predictdyn.watch.replay import RESULTS, held_out, summed_up
from predictdyn.watch.replay_tables import compared, interval, tables
from predictdyn.watch.troubles import troubles_of


@pytest.fixture(scope="module")
def found(fresh):
    return pdyn.backtest_alarms(fresh, folds=3)


def test_troubles_are_caught_and_false_alarms_counted(found, fresh):
    five = found.rates.set_index("asked").loc[0.05]
    assert five.runs == 40 and five.families == 20
    rows = found.runs[(found.runs["rate"] == 0.05) & (found.runs["trouble"] == "")]
    assert five.rang == rows["rang"].notna().sum() and five.low <= five.measured <= five.high
    caught = found.catches.set_index("rate").loc[0.05]
    assert caught.runs == 20 and caught.caught >= 0.7 and -0.1 < caught.lead < 0
    assert caught.lead_steps == pytest.approx(caught.lead * 1000)


def test_a_history_that_is_too_small_says_so_once_for_each_rate(found):
    """Of the folds, each with a number of families of its own, the one with the fewest speaks."""
    rates = [line for line in found.notes if "families" in line]
    assert len(rates) == 2 and len(found.notes) == 2
    assert rates[1].startswith("without the runs that are judged, the history has as few as 13 families")
    assert "99 would certify the rate 0.01" in rates[1]


def test_runs_of_known_families_have_notes_of_their_own(five_seeds):
    replay = pdyn.backtest_alarms(five_seeds, hold_out="run", folds=2, false_alarms=0.05)
    assert [line.split(",")[0] for line in replay.notes] == ["for runs of a new family", "for runs of a known family"]


def test_a_replay_goes_on_from_what_is_kept_and_does_again_what_others_kept(fresh, found, tmp_path):
    some = fresh.select(runs=[run for run in fresh.runs.index if run < "f108"])
    first = pdyn.backtest_alarms(some, folds=2, resume=tmp_path)
    for file in tmp_path.glob("*.parquet"):
        path = pd.read_parquet(file)
        path.attrs = {"notes": ["of an older version"]}
        path.to_parquet(file)
    again = pdyn.backtest_alarms(some, folds=2, resume=tmp_path)
    assert again.notes == first.notes
    pd.testing.assert_frame_equal(again.runs, first.runs)


def test_pages_and_tables_are_written(found, tmp_path):
    page = found.save(tmp_path / "out", title="runs of mine")
    said = page.read_text(encoding="utf-8")
    assert "Alarms of runs of mine" in said and "labels lost" in said
    assert pd.read_csv(tmp_path / "out" / "alarms_rates.csv")["asked"].tolist() == [0.05, 0.01]
    assert sorted(file.name for file in page.parent.iterdir()) == sorted(
        ["alarms.html", "alarms.json", *(f"alarms_{name}.csv" for name in RESULTS)]
    )


def test_rules_are_asked_for_the_same_and_told_beside_the_alarms(found):
    rules = found.rules[found.rules["asked"] == 0.05].set_index("rule")
    assert list(rules.index) == ["watch", "median", "gradient", "cusum", "patience"]
    five, caught = found.rates.iloc[0], found.catches.iloc[0]
    assert rules.loc["watch", "rang"] == five["rang"] and rules.loc["watch", "measured"] == five["measured"]
    assert rules.loc["watch", "caught"] == round(caught["caught"] * 20) and (rules["troubles"] == 20).all()
    assert (rules["low"] <= 0.05).all() and rules.loc["median", "caught"] > 0


def test_lines_of_a_terminal_tell_the_best_rule(found):
    first, *rest = found.lines()
    assert first.endswith("troubles were caught.") and not any("\u00a0" in line for line in (first, *rest))
    assert any(line.startswith("The best of 4 simple rules: ") for line in rest)


def test_a_failure_without_an_event_is_told_and_named(fresh):
    run = fresh.runs.index[0]
    points = fresh.points.copy()
    points.loc[(points["run"] == run) & (points["metric"] == "loss") & (points["step"] > 500), "value"] = 2.4
    some = Curves(points, fresh.runs, fresh.metrics, fresh.events)
    replay = pdyn.backtest_alarms(some, folds=3)
    assert replay.doubtful["run"].tolist() == [run] and f"{run},520,diverged" in replay.lines()[-1]
    good = [one for one in some.runs.index if one not in set(some.events["run"])]
    assert not len(pdyn.backtest_alarms(some, folds=3, healthy=good).doubtful)


def test_runs_of_one_family_are_never_apart(fresh):
    parts = held_out(fresh, "family", 3)
    assert sorted(run for part in parts for run in part) == sorted(fresh.runs.index)
    of = [set(fresh.runs["family"][part]) for part in parts]
    assert not of[0] & of[1] and not of[1] & of[2]
    with pytest.raises(ValueError, match="all runs have one last_step"):
        held_out(fresh, "last_step", 3)


def test_what_rings_before_a_change_is_not_a_catch(fresh):
    runs = fresh.runs.index[:3].tolist()
    paths = pd.DataFrame({"run": runs[:2], "step": [100.0, 700.0], "p": [0.04, 0.04]})
    troubles = pd.DataFrame({"run": runs, "trouble": ["moved", "moved", "diverged"], "at": [500.0, 500.0, 500.0]})
    some = summed_up(fresh, paths, [], troubles, [0.05])
    of = some.runs.set_index("run")
    assert of["caught"].tolist() == [False, True, False]
    assert of.loc[runs[1], "lead"] == pytest.approx(-0.2)
    rates, catches = tables(some.runs)
    assert rates.empty and catches.set_index("trouble").loc["moved", "caught"] == 0.5
    of_all = compared(fresh, {"some": paths}, [], troubles, [0.05]).iloc[0]
    assert of_all["caught"] == 1 and of_all["troubles"] == 3 and of_all["lead_steps"] == -200


def test_a_number_that_is_not_finite_is_a_failure_that_may_be_foretold(fresh):
    runs = fresh.runs.index[:2].tolist()
    paths = pd.DataFrame({"run": runs, "step": [400.0, 400.0], "p": [0.04, 0.04]})
    troubles = pd.DataFrame({"run": runs, "trouble": ["loss is NaN", "loss moved"], "at": [500.0, 500.0]})
    assert summed_up(fresh, paths, [], troubles, [0.05]).runs["caught"].tolist() == [True, False]


def test_an_interval_without_a_false_alarm_is_that_of_families():
    low, high = interval(np.zeros(20), np.repeat([str(i) for i in range(10)], 2), seed=0)
    assert low == 0.0 and high == pytest.approx(1 - 0.1 ** (1 / 10))


def test_the_first_event_of_a_run_is_its_trouble(fresh):
    wrong = troubles_of(fresh)
    assert len(wrong) == 20 and set(wrong["trouble"]) == {"labels lost"}


def test_the_command_writes_alarms_beside_the_backtest(fresh, tmp_path, call):
    (tmp_path / "data").mkdir()
    tidy.save(fresh.select(runs=[run for run in fresh.runs.index if run < "f106"]), tmp_path / "data")
    options = ["--forecasters", "mean_change", "--cutoffs", "0.5", "--alarms", "--quiet"]
    status, out, err = call("backtest", tmp_path / "data", "--out", tmp_path / "out", *options)
    assert status == 0, err
    assert "healthy runs rang" in out and "troubles were caught" in out
    page = tmp_path / "out" / "alarms.html"
    assert 'href="alarms.html"' in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "(alarms.html)" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    written = page.read_text(encoding="utf-8")
    page.unlink()
    assert call("report", tmp_path / "out")[0] == 0
    assert page.read_text(encoding="utf-8") == written, "report makes the same page of the files"
    (tmp_path / "out" / "alarms_cost.csv").write_text("cost\n1\n", encoding="utf-8")
    status, _, err = call("report", tmp_path / "out")
    assert status == 2 and "alarms_cost.csv: missing column(s) miss_costs" in err
