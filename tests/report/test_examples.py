"""The examples of a page are those that its stated rules choose, and their captions say what the files say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from predictdyn.report import outlook, trust
from predictdyn.report.blocks import PageAnswer, PageTable
from predictdyn.report.examples import examples, hero_of
from predictdyn.report.figures.fan import draw, fans
from predictdyn.report.results import QUANTILES, read
from predictdyn.report.words import between, value

Write = Callable[..., Path]


def page_of(folder: Path) -> str:
    return (folder / "index.html").read_text(encoding="utf-8").replace("\u00a0", " ")


def ranked(folder: Path, metric: str, cutoff: float) -> list[str]:
    """The runs with a path, from the smallest error of the forecaster to the largest."""
    drawn = set(pd.read_parquet(folder / "paths.parquet")["run"])
    rows = pd.read_parquet(folder / "forecasts.parquet").query("forecaster == 'auto' and truth == truth")
    some = rows[(rows["metric"] == metric) & (rows["cutoff"] == cutoff) & rows["run"].isin(drawn)]
    return some.sort_values(["crps", "run"])["run"].tolist()


def panels(page: str, heading: str) -> list[tuple[str, str]]:
    """Tag and run of each panel under a heading."""
    part = page.split(f"<h3>{heading}</h3>")[1].split("<h3")[0]
    return re.findall(r'<span class="tag">([^<]*)</span> ([^<]*)</h4>', part)


@pytest.mark.parametrize(
    ("metric", "heading"), [("accuracy", "Accuracy (capability)"), ("valid_loss", "Valid loss (loss)")]
)
def test_best_median_and_worst_are_so_by_crps(metric: str, heading: str, useful: Path) -> None:
    runs = ranked(useful, metric, 0.1)
    assert len(runs) == 3
    assert panels(page_of(useful), heading) == list(zip(("Best", "Median", "Worst"), runs, strict=True))


def test_hero_is_the_median_of_the_headlines_kind_and_cutoff(useful: Path) -> None:
    page = page_of(useful)
    said = re.search(r'<figure class="hero">.*?<figcaption>(.*?)</figcaption>', page, re.DOTALL)
    assert said
    assert f"Accuracy of {ranked(useful, 'accuracy', 0.1)[1]}." in said[1]
    assert "of 3 examples drawn by lot for this outcome and cutoff, the one whose error (CRPS) is the median" in said[1]


def test_caption_of_the_hero_says_what_the_files_say(useful: Path) -> None:
    paths, curves = (pd.read_parquet(useful / f"{name}.parquet") for name in ("paths", "examples"))
    run = ranked(useful, "accuracy", 0.1)[1]
    own, curve = (
        table[(table["run"] == run) & (table["metric"] == "accuracy")].sort_values("step")
        for table in (paths[paths["cutoff"] == 0.1], curves)
    )
    last, truth = own.iloc[-1], curve["value"].iloc[-1]
    width = last["q0.95"] - last["q0.05"]
    where = "inside" if last["q0.05"] <= truth <= last["q0.95"] else "outside"
    said = f"10 % seen. Forecast for the end, step 143k: {value(last['q0.5'], width)} "
    said += f"(90 % interval {between(last['q0.05'], last['q0.95'])}). "
    assert f"{said}It became {value(truth, width)}, {where} the interval." in page_of(useful)


def test_scaled_errors_rank_examples_of_metrics_of_different_size(copied: Path) -> None:
    """A loss of ten thousand times the size is not the worst because of its unit."""
    results = read(copied)
    numbers = ["truth", "mean", "sd", "crps", *QUANTILES]
    forecasts = results.forecasts.copy()
    forecasts["kind"] = forecasts["kind"].replace("loss", "capability")
    forecasts.loc[forecasts["metric"] == "valid_loss", numbers] *= 1e4
    results = replace(results, forecasts=forecasts, paths=results.paths.replace({"kind": {"loss": "capability"}}))
    answer = PageAnswer("", [], PageTable("", [], []), "capability", 0.1)
    hero = hero_of(results, fans(results), answer)
    rows = forecasts[forecasts["truth"].notna() & (forecasts["kind"] == "capability")]
    simple = rows[rows["forecaster"].isin(["last", "mean_outcome"])]
    unit = simple.groupby(["metric", "forecaster"])["crps"].mean().groupby("metric").median()
    shown = results.paths[["run", "metric"]].drop_duplicates()
    own = rows[(rows["forecaster"] == "auto") & (rows["cutoff"] == 0.1)].merge(shown)
    own = own.assign(scaled=own["crps"] / own["metric"].map(unit)).sort_values("scaled")
    median = own.iloc[(len(own) - 1) // 2]
    raw = own.sort_values("crps").iloc[(len(own) - 1) // 2]
    assert hero and (hero.fan.run, hero.fan.metric) == (median["run"], median["metric"])
    assert (raw["run"], raw["metric"]) != (median["run"], median["metric"])  # else this tests nothing


@pytest.mark.parametrize("factor", [1.0, 0.01])
def test_hero_of_a_forecast_is_the_first_run_and_the_widest_interval_is_named(factor: float, forecast: Path) -> None:
    results = read(forecast)
    first = results.forecasts["run"].iloc[0]
    paths = results.paths.copy()
    of_hero = (paths["run"] == first) & (paths["metric"] == "accuracy")
    for name in QUANTILES:  # the intervals of the first run's accuracy, as they are or much narrower
        paths[name] = paths[name].where(~of_hero, paths["mean"] + factor * (paths[name] - paths["mean"]))
    results = replace(results, paths=paths)
    hero = hero_of(results, fans(results), outlook.answer(results))
    assert hero and (hero.fan.run, hero.fan.metric) == (first, "accuracy")
    last = paths[paths["step"] == paths["step"].max()]
    unit = last["metric"].map({"accuracy": 1.0, "bias_gap": 2.0, "exact_recall": 1.0}).fillna(last["q0.5"].abs())
    widest = last.loc[((last["q0.95"] - last["q0.05"]) / unit).idxmax()]
    own = (widest["run"], widest["metric"]) == (first, "accuracy")
    assert own == (factor == 1.0)
    named = f"{widest['metric'].replace('_', ' ')} of {widest['run']}"
    expected = "Its interval is the widest of 12 curves" if own else f"The widest interval is that of {named}; it is"
    assert expected in hero.rule
    assert f'<span class="tag">Widest</span> {first}' in page_of(forecast)


def test_a_forecast_without_paths_has_no_hero(forecast: Path) -> None:
    results = read(forecast)
    assert hero_of(results, [], outlook.answer(results)) is None
    assert examples(results, [], None) is None


@pytest.mark.parametrize(("cutoff", "axis"), [(0.1, "step"), (0.25, "step"), (0.04, "step (log scale)")])
def test_a_step_axis_is_linear_unless_too_little_was_seen(
    cutoff: float, axis: str, write_backtest: Write, tmp_path: Path
) -> None:
    found = fans(read(write_backtest(tmp_path, cutoffs=(cutoff,))))
    drawn = draw(found[0], "fan").alone
    assert f">{axis}</text>" in drawn
    assert ("log scale" in drawn) == ("log" in axis)


def test_of_two_examples_none_is_a_median(copied: Path) -> None:
    results = read(copied)
    two = ranked(copied, "accuracy", 0.1)[::2]
    some = [one for one in fans(results) if one.run in two and one.metric == "accuracy" and one.cutoff == 0.1]
    section = examples(results, some, hero_of(results, some, trust.answer(results)))
    assert section
    assert [(shown.tag, shown.title) for shown in section.blocks[1].figures] == [("Best", two[0]), ("Worst", two[1])]
