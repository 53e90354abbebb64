"""Exposures: how often strings were met so far carries from one metric to another; counts of none; giving up."""

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import KEY, Curves, Metric, curves_from
from predictdyn.forecasters import exposures, fit
from predictdyn.scores import crps

STRINGS = 40
OFTEN = (5, 20, 100)
SHARE = np.array([0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
NAMES = [f"found_{r}" for r in OFTEN]
METRICS = {name: Metric(name, "memorization", 0.0, 1.0, "lower", 0.0) for name in (*NAMES, "found_late")}


def curves(gifts: dict[str, float], seed: int = 0) -> Curves:
    """Runs whose strings come out by how often they were met and by a gift that no plan tells; one family each two."""
    rng = np.random.default_rng(seed)
    rows, runs = [], []
    for place, (run, gift) in enumerate(gifts.items()):
        runs.append((run, f"f{place // 2}", 1000, 1e6 * (1 + place)))
        for name, often in zip(NAMES, OFTEN, strict=True):
            chance = 1 - np.exp(-np.exp(gift + 2 * np.log(often * SHARE / 20)))
            share = rng.binomial(STRINGS, chance) / STRINGS
            error = np.where(share * (1 - share) > 0, np.sqrt(share * (1 - share) / STRINGS), 0.7 / STRINGS)
            rows += [(run, name, *row) for row in zip(1000 * SHARE, share, error, strict=True)]
        rows += [(run, "found_late", 1000 * s, 0.0 if s < 0.7 else 0.5, 0.01) for s in SHARE]
    points = pd.DataFrame(rows, columns=[*KEY, "value", "stderr"])
    return curves_from(points, pd.DataFrame(runs, columns=["run", "family", "last_step", "params"]), METRICS)


def drawn(count: int, seed: int = 3) -> Curves:
    gifts = np.random.default_rng(seed).normal(-0.5, 1.0, count)
    return curves({f"r{i:02d}": gift for i, gift in enumerate(gifts)}, seed)


def asked(runs, metrics=NAMES, step: float = 1000.0) -> pd.DataFrame:
    return pd.DataFrame([(run, name, step) for run in runs for name in metrics], columns=KEY)


@pytest.fixture(scope="module")
def fitted():
    return fit("exposures", drawn(24))


def test_what_is_met_often_tells_early_of_what_is_met_seldom_late(fitted):
    new = curves({"slow": -2.0, "fast": 1.5}, seed=8)
    quick = new.series["fast", "found_100"].value[SHARE <= 0.3]
    rare = [new.series[run, "found_20"].value[SHARE <= 0.3] for run in ("slow", "fast")]
    assert quick[-1] > 0.9, "the strings that are met often have come out"
    found = fitted.forecast(new.truncate(0.3), asked(["slow", "fast"]), seed=1)
    slow, fast = np.median(found.draws[1]), np.median(found.draws[4])
    assert (found.status == "ok").all() and fast > slow + 0.5
    # Without the metric that is ahead, the forecast of the other knows less.
    alone = new.select(metrics=["found_20"])
    assert rare[1][-1] < 0.5
    blind = fitted.forecast(alone.truncate(0.2), asked(["fast"]), seed=1).draws[1]
    both = fitted.forecast(new.truncate(0.2), asked(["fast"]), seed=1).draws[1]
    assert both.std() < 0.8 * blind.std()


def test_it_beats_the_baselines_where_exposures_are_all_there_is():
    whole = drawn(24)
    test = set(whole.runs.index[:4])
    history, new = whole.select(runs=set(whole.runs.index) - test), whole.select(runs=test)
    target = asked(sorted(test), ["found_20"])
    truth = np.array([new.series[run, name].value[-1] for run, name, _ in target.itertuples(index=False)])
    score = {
        name: crps(truth, fit(name, history).forecast(new.truncate(0.3), target, seed=1).draws).mean()
        for name in ("exposures", "last_value", "mean_change", "mean_outcome", "nearest_run")
    }
    assert score["exposures"] < 0.6 * min(value for name, value in score.items() if name != "exposures")


def test_nothing_that_came_out_is_information(fitted):
    none = curves({"none": -12.0})
    assert all((none.series["none", name].value == 0).all() for name in NAMES)
    seen = fitted.forecast(none.truncate(0.6), asked(["none"]), seed=1)
    blank = Curves(none.points.iloc[:0], none.runs, none.metrics)
    unseen = fitted.forecast(blank, asked(["none"]), seed=1)
    assert (unseen.status == "ok").all() and unseen.draws[2].mean() > seen.draws[2].mean() + 0.2
    assert (seen.draws[1] == 0).mean() > 0.5


def test_draws_are_counts_of_strings(fitted):
    some = fitted.forecast(drawn(4, 5).truncate(0.3), asked(["r00", "r01"]), seed=1).draws * STRINGS
    assert np.abs(some - some.round()).max() < 1e-6 and len(np.unique(some.round())) > 10


def test_a_run_that_the_history_has_is_not_counted_twice():
    whole = drawn(8)
    once = fit("exposures", whole.select(runs=set(whole.runs.index) - {"r00"}))
    both = fit("exposures", whole)
    seen = whole.select(runs=["r00"]).truncate(0.3)
    # How metrics go together, and so the order of draws, is learnt of all runs.
    draws = [np.sort(one.forecast(seen, asked(["r00"]), seed=1).draws) for one in (once, both)]
    assert np.abs(draws[0] - draws[1]).max() < 1e-9


def test_it_gives_up_in_words(fitted):
    new = drawn(2, 5)
    late = fitted.forecast(new.truncate(0.3), asked(["r00"], ["found_late"]), seed=1)
    assert late.status.tolist() == ["no group of repetitions: last value"]
    plain = drawn(24)
    plain = Curves(plain.points.assign(stderr=np.nan), plain.runs, plain.metrics)
    for history in (plain, drawn(2)):
        few = fit("exposures", history).forecast(new.truncate(0.3), asked(["r00"]), seed=1)
        assert set(few.status) == {"too few finished runs with counts: last value"}


def test_only_numbers_that_end_a_name_make_a_group():
    def group(*names, kind="memorization", lower=0.0):
        return exposures.exposure_groups({name: Metric(name, kind, lower, 1.0) for name in names})

    assert [one.names for one in group("a_8", "a_2", "b_3", "b_9", "c_1", "a_x")] == [("a_2", "a_8"), ("b_3", "b_9")]
    assert group("a_0", "a_2") == group("a_2") == group("a_2", "a_8", kind="loss") == []
    assert group("a_2", "a_8", lower=None) == []
