"""Registered today, resolved when the run ends: idempotent, with the scores of the backtest to the last digit."""

import json
import time

import numpy as np
import pytest

import predictdyn as pdyn
from predictdyn.backtest.calibration import coverage_interval
from predictdyn.backtest.draws import read_draws
from predictdyn.ledger.numbers import decoded, encoded
from predictdyn.ledger.record import calibration, counted, reliability, skills
from predictdyn.ledger.resolving import scored
from predictdyn.ledger.standing import weighted
from tests.ledger.conftest import OPEN, begun


def test_draws_keep_every_bit():
    draws = np.array([1 / 3, -0.0, 5e-324, 1.7976931348623157e308, np.pi])
    assert decoded(encoded(draws)).tobytes() == draws.tobytes()


def test_registering_again_adds_nothing(season, ledger):
    before = pdyn.Ledger(ledger).head
    again = pdyn.register(season.forecast, ledger, events=["accuracy > 0.5 and loss < 2"], author="Ada")
    assert (len(again.entries), again.known, again.head) == (0, 6, before)
    assert len(pdyn.Ledger(ledger)) == 7


def test_a_folder_registers_as_the_forecast_does(season, tmp_path):
    folder = tmp_path / "forecast"
    season.forecast.save(folder, events=["accuracy > 0.5"])
    table = read_draws(folder)
    own = table[table["forecaster"] == "mean_change"]
    assert np.array_equal(np.stack(own["draws"].to_list()), season.forecast.draws)
    assert set(table["forecaster"]) >= {"last_value", "mean_outcome", "pow3"}
    done = pdyn.register(folder, tmp_path / "a.ledger")
    assert len(pdyn.register(season.forecast, tmp_path / "a.ledger").entries) == 0 and len(done.entries) == 6
    assert not any(entry.content["replay"] for entry in done.entries)


def test_what_logs_do_not_answer_stays_open(season, ledger):
    assert pdyn.resolve(ledger, season.before).entries == []
    assert set(pdyn.Ledger(ledger).standing().questions["state"]) == {"open"}


def test_scores_are_those_of_the_forecast_to_the_last_digit(season, ledger):
    done = pdyn.resolve(ledger, season.after)
    assert done.states.to_dict() == {"resolved": 6}
    assert pdyn.resolve(ledger, season.after).entries == []
    found = pdyn.Ledger(ledger).standing()
    table = found.forecasts[found.forecasts["what"] == "metric"].set_index(["run", "metric"])
    for row in season.forecast.score(season.after).to_dict("records"):
        own = table.loc[row["run"], row["metric"]]
        assert own["crps"] == row["crps"] and own["pit"] == row["pit"] and own["truth"] == row["truth"]
        assert own["log_score"] == row["log score"]
        assert min(own["baselines"].values()) > 0 and set(own["baselines"]) >= {"last_value", "pow3"}
    quantiles = season.forecast.quantiles((0.05, 0.95)).set_index(["run", "metric"])
    assert (table.loc[quantiles.index, "q0.05"] == quantiles["q0.05"]).all()
    rows = counted(found.forecasts)
    hit = rows["truth"].between(rows["q0.25"], rows["q0.75"]).to_numpy()
    share = coverage_interval(hit, rows["run"].to_numpy(dtype=object), seed=0)
    assert calibration(rows).coverage[0] == (0.5, *share)


def test_events_are_resolved_by_their_bounds(season, ledger):
    pdyn.resolve(ledger, season.after)
    found = pdyn.Ledger(ledger).standing().forecasts
    events = found[found["what"] == "event"].set_index("run")
    last = season.after.points.groupby(["run", "metric"])["value"].last()
    for run in OPEN:
        happened = last[run, "accuracy"] > 0.5 and last[run, "loss"] < 2
        assert events.loc[run, "truth"] == happened
        assert events.loc[run, "brier"] == pytest.approx((events.loc[run, "probability"] - happened) ** 2)
    assert reliability(found)["n"].sum() == 2


def test_a_run_that_stopped_is_censored_and_not_scored(season, ledger):
    half = begun(season.after, 0.6)
    assert pdyn.resolve(ledger, half).entries == []
    done = pdyn.resolve(ledger, half, ended="f3-s0")
    assert done.states.to_dict() == {"censored": 3}
    found = pdyn.Ledger(ledger).standing()
    assert found.forecasts.loc[found.forecasts["run"] == "f3-s0", "crps"].isna().all()
    # A state is for good, whatever later logs say.
    assert pdyn.resolve(ledger, season.after).states.to_dict() == {"resolved": 3}


def test_revisions_are_scored_first_last_and_by_time(season, ledger):
    later = begun(season.after, 0.6)
    revised = pdyn.forecast(later, forecaster="mean_change", metrics=["accuracy", "loss"], progress=False)
    done = pdyn.register(revised, ledger, author="Ada")
    pdyn.register(revised, ledger, author="Bob")
    assert len(done.entries) == 4
    pdyn.resolve(ledger, season.after)
    found = pdyn.Ledger(ledger).standing()
    table = found.revisions.set_index(["question", "author"])
    one = found.questions[(found.questions["what"] == "metric")].iloc[0]
    own = found.forecasts[found.forecasts["question"] == one["question"]]
    ada = own[own["author"] == "Ada"]["crps"].tolist()
    row = table.loc[one["question"], "Ada"]
    assert (row["forecasts"], row["first"], row["last"]) == (2, *ada)
    assert min(ada) <= row["time_weighted"] <= max(ada)
    assert table.loc[one["question"], "Bob"]["forecasts"] == 1 and own["progress"].nunique() == 2
    assert set(skills(counted(found.forecasts), ["author"])["author"]) == {"Ada", "Bob"}
    with pytest.raises(ValueError, match="are resolved already"):
        pdyn.register(revised, ledger, author="Eve")


def test_a_text_of_several_questions_tells_them_apart(season, tmp_path):
    several = pdyn.register(season.forecast, tmp_path / "a.ledger", question="How well?", events=["accuracy > 0.5"])
    texts = [entry.content["text"] for entry in several.entries]
    assert len(set(texts)) == len(texts) == 6
    assert {"How well? (loss of f3-s0 at step 1000)", "How well? (accuracy > 0.5 for f3-s1)"} <= set(texts)
    one = pdyn.forecast(season.before, forecaster="mean_change", metrics="loss", runs="f3-s0", progress=False)
    (entry,) = pdyn.register(one, tmp_path / "b.ledger", question="How well?").entries
    assert entry.content["text"] == "How well?"


def test_a_revision_that_had_seen_a_part_of_the_mean_has_no_score(season, tmp_path):
    path, made = tmp_path / "a.ledger", {}
    for progress in (0.2, 0.6):
        seen = begun(season.after, progress)
        made[progress] = pdyn.forecast(seen, forecaster="mean_change", metrics=["accuracy", "loss"], progress=False)
    steps = sorted(season.after.series["f3-s0", "loss"].step)
    last_n = sum(int(step > 200) for step in steps)
    for forecast in made.values():
        pdyn.register(forecast, path, last_n=last_n, author="Ada", events=["accuracy > 0.5 and loss < 2"])
    assert pdyn.resolve(path, season.after).states.to_dict() == {"resolved": 6}
    found = pdyn.Ledger(path).standing()
    states = found.forecasts.groupby("seen_step")["state"].unique().map(list)
    assert states.tolist() == [["resolved"], ["void"]]
    assert found.forecasts.loc[found.forecasts["state"] == "void", ["crps", "brier", "pit"]].isna().all(axis=None)
    assert found.revisions["forecasts"].tolist() == [1] * 6 and len(counted(found.forecasts)) == 4
    assert reliability(found.forecasts)["n"].sum() == 2
    pdyn.record(path, tmp_path / "site")
    # The question itself is void where its first forecast had seen a part.
    late = tmp_path / "b.ledger"
    pdyn.register(made[0.6], late, last_n=last_n)
    assert pdyn.resolve(late, season.after).states.to_dict() == {"void": 4}


def test_time_weights():
    days = [f"2026-01-0{day}T00:00:00Z" for day in (1, 3, 4)]
    assert weighted([6.0, 3.0, 1.0], days, "2026-01-07T00:00:00Z") == pytest.approx((6 * 2 + 3 * 1 + 1 * 3) / 6)
    assert weighted([6.0, 3.0], days[:1] * 2, days[0]) == 3.0


def test_a_forecast_of_hidden_points_is_a_replay_and_does_not_count(season, tmp_path):
    replay = pdyn.forecast(
        season.after, forecaster="mean_change", metrics="loss", runs="f3-s0", cutoff=0.2, progress=False
    )
    path = tmp_path / "a.ledger"
    assert [entry.content["replay"] for entry in pdyn.register(replay, path).entries] == [True]
    pdyn.resolve(path, season.after)
    found = pdyn.Ledger(path).standing().forecasts
    assert found["state"].tolist() == ["resolved"] and len(counted(found)) == 0


def test_private_runs_go_by_an_alias_that_is_kept_beside(season, tmp_path):
    path = tmp_path / "a.ledger"
    done = pdyn.register(season.forecast, path, private="f3-s0", author="Ada")
    texts = "".join(entry.text for entry in pdyn.Ledger(path).store.entries())
    kept = json.loads((tmp_path / "a.ledger.aliases.json").read_text())
    assert "f3-s0" not in texts and kept["f3-s0"] in texts and "f3-s1" in texts
    assert pdyn.register(season.forecast, path, private="f3-s0", author="Ada").known == len(done.entries)
    assert pdyn.resolve(path, season.after).states.to_dict() == {"resolved": 4}


@pytest.mark.parametrize("private", ["nobody", ["f3-s0", "f3-s7"]])
def test_a_private_name_that_nobody_bears_writes_nothing(season, tmp_path, private):
    with pytest.raises(ValueError, match=r"^no run matches '(nobody|f3-s7)'; .*there are f3-s0, f3-s1, f3$"):
        pdyn.register(season.forecast, tmp_path / "a.ledger", private=private)
    assert not list(tmp_path.glob("*"))
    assert pdyn.register(season.forecast, tmp_path / "a.ledger", private="f[3-9]").entries  # a family


def test_ended_names_runs_of_the_ledger_or_of_the_logs(season, tmp_path):
    path = tmp_path / "a.ledger"
    pdyn.register(season.forecast, path, private="f3-s0")
    size = len(pdyn.Ledger(path))
    with pytest.raises(ValueError, match=r"^no run matches 'f3_s0'; did you mean 'f3-s0'"):
        pdyn.resolve(path, begun(season.after, 0.6), ended="f3_s0")
    assert len(pdyn.Ledger(path)) == size
    for _ in range(2):  # the same command again, once all is resolved
        pdyn.resolve(path, begun(season.after, 0.6), ended=["f3-s0", "f0-*"])
    only = season.after.select(runs=["f3-s1"])
    assert pdyn.resolve(path, only, ended="f3-s0").states.to_dict() == {"resolved": 2}


def test_questions_without_a_run_in_the_logs_are_told(season, tmp_path):
    path = tmp_path / "a.ledger"
    pdyn.register(season.forecast, path, private="f3-s0")
    done = pdyn.resolve(path, season.after.select(runs=["f3-s1"]))
    assert done.states.to_dict() == {"resolved": 2}
    assert {one.run for one in done.absent} == {"f3-s0"} and not any("f3-s0" in one.text for one in done.absent)
    assert pdyn.resolve(path, season.before).absent == ()


def test_skill_is_one_less_the_share_of_the_best_baseline():
    truth = 1.0
    own, base = np.linspace(0.8, 1.2, 50), np.linspace(0.0, 2.0, 50)
    found = scored({"draws": encoded(own), "baselines": {"last_value": encoded(base)}}, truth)
    assert found["crps"] == pytest.approx(found["baselines"]["last_value"] / 5, rel=1e-9)


def test_what_cannot_be_registered(season, tmp_path):
    with pytest.raises(ValueError, match="register takes what forecast gave, or its folder, got int"):
        pdyn.register(3, tmp_path / "a.ledger")
    with pytest.raises(ValueError, match="event 'speed > 3' names metric 'speed'"):
        pdyn.register(season.forecast, tmp_path / "a.ledger", events=["speed > 3"])
    with pytest.raises(ValueError, match="there is no ledger"):
        pdyn.resolve(tmp_path / "a.ledger", season.after)
    assert not (tmp_path / "a.ledger").exists()


def test_time_weights_do_not_depend_on_the_zone_of_the_machine(monkeypatch):
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")  # its clock is changed on 29 March 2026
    time.tzset()
    try:
        hours = ["2026-03-29T00:00:00Z", "2026-03-29T06:00:00Z"]
        assert weighted([4.0, 1.0], hours, "2026-03-29T12:00:00Z") == 2.5
    finally:
        monkeypatch.undo()
        time.tzset()
