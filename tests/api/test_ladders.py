"""fit_law(..., via=): both steps from tables and from curves, what they say of themselves, and messages."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit

import predictdyn as pdyn
from predictdyn.curves import Curves, Metric, curves_from

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def loss_of(params, tokens):
    return 1.7 + 400 / params**0.34 + 410 / tokens**0.28


def accuracy_of(loss, half: float):
    return 0.25 + 0.75 * expit(2.5 * (half - loss))


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"params": 10 ** random.uniform(6, 8.5, 36), "tokens": 10 ** random.uniform(8, 10, 36)})
    table["loss"] = loss_of(table["params"], table["tokens"]) * np.exp(0.01 * random.standard_normal(36))
    for name, half in (("easy", 3.6), ("hard", 3.0)):
        table[name] = random.binomial(1000, accuracy_of(table["loss"], half)) / 1000
    return table


@pytest.fixture(scope="module")
def ladder(runs):
    return pdyn.fit_law(runs, ["hard", "easy"], via="loss", chance=0.25, questions=1000)


def test_a_plan_is_forecast_through_both_steps(ladder):
    found = ladder.predict(params=["1B", "2B"], tokens=["20B", "60B"])
    assert found["target"].tolist() == ["hard", "easy"] * 2
    truth = accuracy_of(loss_of(found["params"], found["tokens"]), found["target"].map({"hard": 3.0, "easy": 3.6}))
    assert ((found["5 %"] < truth + 0.02) & (truth - 0.02 < found["95 %"])).all()
    assert (found["status"] == "ok").all()
    assert (found["times"] > 1).all()
    draws = ladder.draws(params="1B", tokens="20B")
    assert draws.shape == (2, 1, 1000)


def test_a_plan_may_give_the_loss_itself(ladder):
    found = ladder.predict(loss=[3.0, np.nan])
    hard = found[found["target"] == "hard"]
    assert hard["status"].tolist() == ["ok", "a measure is missing"]
    assert hard["median"].iloc[0] == pytest.approx(0.625, abs=0.04)
    assert hard["times"].isna().all()


def test_the_formula_says_both_steps(ladder):
    lines = ladder.formula.splitlines()
    assert [line.split(" = ")[0] for line in lines] == ["loss", "hard", "easy"]
    assert "(loss / " in lines[1]
    numbers = ladder.parameters
    half = numbers[(numbers["symbol"] == "L") & numbers["shown"]].iloc[0]
    assert half["5 %"] < 3.0 < half["95 %"]
    assert numbers["structure"].nunique() > 2
    assert "FittedLadder of hard, easy via loss, 36 runs" in repr(ladder)


def test_the_dearest_runs_are_hidden_from_both_steps(ladder):
    held = ladder.held_out
    assert len(held) == 11
    assert ((held["q0.05"] < held["median"]) & (held["median"] < held["q0.95"])).all()
    assert held["crps"].mean() < 0.7 * held["crps_dearest"].mean()


def test_facts_are_found_from_values(runs):
    found = pdyn.fit_law(runs.rename(columns={"hard": "exam"}), "exam", via="loss")
    assert "exam is taken as between 0 and 1, higher is better, by its values" in " ".join(found.notes)
    turned = pdyn.fit_law(runs.assign(exam=1 - runs["hard"]), "exam", via="loss")
    assert turned.settings["better"] == "lower"
    assert turned.predict(loss=2.8)["median"][0] == pytest.approx(1 - accuracy_of(2.8, 3.0), abs=0.05)


def test_percent_is_told_where_chance_is_a_fraction(runs):
    percent = runs.assign(hard=100 * runs["hard"])
    with pytest.warns(UserWarning, match=r"hard goes from .* no accuracy between 0 and 1 and chance= is not used"):
        pdyn.fit_law(percent, "hard", via="loss", chance=0.25)


def test_a_loss_from_a_loss(runs):
    downstream = runs.assign(after=0.8 * runs["loss"] ** 0.9 + 0.3)
    found = pdyn.fit_law(downstream, "after", via="loss")
    assert found.predict(loss=2.9)["median"][0] == pytest.approx(0.8 * 2.9**0.9 + 0.3, rel=0.02)


def test_a_perplexity_is_fitted_as_the_loss_that_it_is_of(runs, ladder):
    named = runs.rename(columns={"loss": "val_ppl"}).assign(val_ppl=np.exp(runs["loss"]))
    found = pdyn.fit_law(named, ["hard", "easy"], via="val_ppl", chance=0.25, questions=1000)
    assert found.via == ["log(val_ppl)"]
    (line,) = [line for line in found.notes if "val_ppl" in line]
    assert line.startswith("val_ppl is the exponential of a loss, by name, so the logarithm is fitted in its place")
    assert "via='val_ppl'" in found.call and found.formula.startswith("log(val_ppl) = ")
    # The same rows as those of the loss, so the same forecast, of plans and of what was reached.
    plan = {"params": ["1B", "2B"], "tokens": ["20B", "60B"]}
    columns = ["median", "5 %", "95 %"]
    assert_allclose(found.predict(**plan)[columns], ladder.predict(**plan)[columns], atol=1e-6)
    by_loss = ladder.predict(loss=[3.0, 2.6])[columns]
    assert_allclose(found.predict(val_ppl=np.exp([3.0, 2.6]).tolist())[columns], by_loss, atol=1e-6)
    assert_allclose(found.predict(pd.DataFrame({"val_ppl": np.exp([3.0, 2.6])}))[columns], by_loss, atol=1e-6)
    with pytest.raises(ValueError, match=r"val_ppl is a perplexity, so it is above 1, got 0\.5"):
        found.predict(val_ppl=0.5)


def test_what_is_no_perplexity_is_fitted_as_it_is(runs):
    below = runs.assign(ppl=runs["loss"] / 4)
    assert pdyn.fit_law(below.drop(columns="loss"), "hard", via="ppl").via == ["ppl"]
    other = pdyn.fit_law(runs.rename(columns={"loss": "log_ppl"}), "hard", via="log_ppl")
    assert other.via == ["log_ppl"] and not any("exponential" in line for line in other.notes)


def curves_of(runs: pd.DataFrame) -> Curves:
    step = np.array([10, 20, 40, 60, 80, 100])
    frames = []
    for i, row in runs.head(14).iterrows():
        loss = row["loss"] + 1.5 * (step**-0.4 - 100**-0.4)
        value = {"loss": loss, "hard": accuracy_of(loss, 3.0)}
        stderr = np.sqrt(value["hard"] * (1 - value["hard"]) / 800)
        for name in ("loss", "hard"):
            frames.append(pd.DataFrame({
                "run": f"r{i:02}", "metric": name, "step": step, "value": value[name],
                "stderr": stderr if name == "hard" else np.nan,
            }))  # fmt: skip
    plans = runs.head(14)[["params", "tokens"]].assign(last_step=100)
    plans.index = [f"r{i:02}" for i in range(14)]
    metrics = {
        "loss": Metric("loss", "loss", 0.0, None, "lower"),
        "hard": Metric("hard", "capability", 0.0, 1.0, "higher", 0.25),
    }
    return curves_from(pd.concat(frames), plans.rename_axis("run"), metrics)


def test_curves_teach_by_all_their_checkpoints(runs):
    found = pdyn.fit_law(curves_of(runs), "hard", ["params", "tokens"], via="loss")
    assert len(found.rows) == 14 * 6
    (outcome,) = found.ladder.outcomes
    assert outcome.items == pytest.approx(800, rel=0.01)
    assert outcome.chance == 0.25
    median = found.predict(loss=[3.4, 2.9])["median"]
    assert_allclose(median, accuracy_of(np.array([3.4, 2.9]), 3.0), atol=0.03)


def test_perplexities_of_curves_are_fitted_as_losses(runs):
    plain = curves_of(runs)
    points = plain.points.copy()
    own = points["metric"] == "loss"
    points.loc[own, "value"] = np.exp(points.loc[own, "value"])
    metrics = {"perplexity": Metric("perplexity", "loss", 1.0, None, "lower"), "hard": plain.metrics["hard"]}
    renamed = points.assign(metric=points["metric"].replace("loss", "perplexity"))
    curves = curves_from(renamed, plain.runs, metrics)
    found = pdyn.fit_law(curves, "hard", ["params", "tokens"], via="perplexity")
    rows = pdyn.fit_law(plain, "hard", ["params", "tokens"], via="loss").rows
    assert_allclose(found.rows["log(perplexity)"], rows["loss"])
    assert_allclose(
        found.predict(perplexity=np.exp([3.4, 2.9]).tolist())["median"],
        accuracy_of(np.array([3.4, 2.9]), 3.0), atol=0.03,
    )  # fmt: skip


def test_a_page_says_both_steps(ladder, tmp_path):
    page = ladder.save(tmp_path / "page", predict=[{"params": "1B", "tokens": "20B"}])
    facts = json.loads((tmp_path / "page" / "law.json").read_text())
    assert facts["via"] == ["loss"]
    assert len(facts["steps"]) == 3
    text = (tmp_path / "page" / "report.md").read_text().replace("\\", "")
    assert "Two steps: the plan of a run forecasts loss, and loss forecasts hard" in text
    assert page.is_file()
    predictions = pd.read_csv(tmp_path / "page" / "predictions.csv")
    assert predictions["plan"].tolist() == [
        "a run with params 1e9, tokens 2e10 (hard)", "a run with params 1e9, tokens 2e10 (easy)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"target": "hard", "via": "hard"}, "'hard' is a target, so it is not on the way"),
        ({"target": ["hard", "easy"]}, "a law is of one target, got 2; name a loss on the way"),
        ({"target": "hard", "via": "loss", "questions": 0}, "how many hard has, a number from 1 on, got 0"),
        ({"target": "hard", "via": "loss", "questions": float("nan")}, "a number from 1 on, got nan"),
        ({"target": "hard", "via": "loss", "questions": {"hard": "many"}}, "a number from 1 on, got 'many'"),
        ({"target": "hard", "questions": 10}, "questions= is of exams that are forecast via a loss"),
        ({"target": "hard", "via": "los"}, "no column"),
        ({"target": [], "via": "loss"}, "target and via= are names of columns or metrics, got an empty list"),
    ],
)
def test_wrong_calls_are_told(runs, settings, said):
    with pytest.raises(ValueError, match=said):
        pdyn.fit_law(runs, **settings)


def test_the_best_plan_is_that_of_the_loss(ladder):
    with pytest.raises(ValueError, match="the best plan for hard is that for loss"):
        ladder.optimal(1e20)


def test_the_command_does_the_same(call, runs, tmp_path):
    file = tmp_path / "runs.csv"
    runs.to_csv(file, index=False)
    status, printed, err = call(
        "law", file, "--target", "hard,easy", "--via", "loss", "--chance", "0.25", "--questions", "1000", "--predict",
        "params=1B,tokens=20B", "--out", tmp_path / "page", "--quiet",
    )  # fmt: skip
    assert status == 0, err
    lines = printed.splitlines()
    assert [line.split(" = ")[0] for line in lines[:3]] == ["loss", "hard", "easy"]
    assert any(line.startswith("a run with params 1e9, tokens 2e10 (hard): 0.7") for line in lines)
    status, _, err = call("law", file, "--target", "hard", "--questions", "9", "--out", tmp_path / "other", "--quiet")
    assert status == 2
    assert "--questions is of exams that are forecast via a loss" in err


def test_a_log_probability_has_the_first_step_that_is_used(runs):
    """The law that a page shows is that of the forecasts, and formulas name what is raised to a power."""
    found = pdyn.fit_law(runs.assign(logprob=-runs["loss"]), "hard", ["params", "tokens"], via="logprob", chance=0.25)
    plan = {"params": "1B", "tokens": "20B"}
    own = -np.exp(np.median(found.ladder.measures(found.first.asked(None, plan))))
    assert found.first.predict(**plan)["median"][0] == pytest.approx(own, rel=1e-3)
    assert found.first.predict(**plan)["95 %"][0] < 0
    assert "(-logprob / " in found.steps[1] and not any("rises with cost" in line for line in found.notes)
    right = runs.assign(right=np.exp(-runs["loss"]))
    rising = pdyn.fit_law(
        right, "hard", ["params", "tokens"], via="right", lower=0, upper=1, better="higher", questions=1000
    )
    assert "((1/right) / " in rising.steps[1]


def test_no_floor_lies_outside_the_range(runs):
    """An exam that starts at zero: half of the draws of its floor would lie below it."""
    hard = (1.3 * (runs["hard"] - 0.25) - 0.1).clip(0, 1)
    found = pdyn.fit_law(runs.assign(exam=hard), "exam", via="loss", lower=0, upper=1, better="higher")
    floor = found.parameters.set_index("symbol").loc["F"]
    assert 0 <= floor["5 %"] <= floor["median"]


def test_a_measure_that_cannot_be_is_told_from_one_that_is_missing(ladder):
    found = ladder.predict(loss=[0.0, -1.0, np.nan, 3.0])
    said = found.loc[found["target"] == "hard", "status"].tolist()
    assert said[0] == "loss is 0, and all finished runs have it above zero" and said[1].startswith("loss is -1, ")
    assert said[2:] == ["a measure is missing", "ok"]
    assert ladder.predict(params=-1, tokens=1e9)["status"][0] == "params is negative"
    low, high = ladder.ladder.runs["loss"].min(), ladder.ladder.runs["loss"].max()
    assert ladder.check(loss=[low - 0.4 * (high - low), high]) == []
    (line,) = ladder.check(loss=[low, 1e-6])
    assert "1 of 2 plans lie far beyond, first 1e-06; expect surprises" in line


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"loss": [3.0], "params": "1B"}, "a plan gives loss or its inputs, not both; got params beside loss"),
        ({"table": "plans.csv"}, "a table of plans is a data frame, got str"),
    ],
)
def test_plans_that_cannot_be_read(ladder, call, said):
    with pytest.raises(ValueError, match=said):
        ladder.predict(**call)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"questions": {"hrd": 100}}, "questions= names 'hrd', which is no target; targets are hard"),
        ({"questions": [100]}, r"questions= is how many hard has, a number from 1 on, got \[100\]"),
        ({"questions": True}, "questions= is how many hard has, a number from 1 on, got True"),
        ({"questions": 0.5}, "a number from 1 on, got 0.5"),
        ({"via": 3}, "target and via= are names of columns or metrics, got 3"),
    ],
)
def test_wrong_words_of_a_ladder(runs, more, said):
    with pytest.raises(ValueError, match=said):
        pdyn.fit_law(runs, "hard", **{"via": "loss", **more})


def test_what_is_not_used_is_told(runs):
    counts = pdyn.fit_law(runs.assign(right=1000 * runs["hard"]), "right", via="loss", questions=1000)
    assert "questions= is not used for right, which is taken as a loss" in " ".join(counts.notes)
    share = pdyn.fit_law(runs.assign(acc=100 * runs["hard"]), "acc", via="loss", chance=0.25)
    assert "chance=0.25 is less than 1 % of 0 to 100, the range of acc; say chance=25 if" in " ".join(share.notes)
