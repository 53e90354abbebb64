"""Examples are drawn by lot, before any score is known, from runs whose end is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from predictdyn.backtest.examples import DRAWN, PATH_POINTS, example_points, examples, path_targets
from predictdyn.backtest.plan import Plan
from predictdyn.curves import Curves, Metric, curves_from

KINDS = {"score": "capability", "gap": "bias"}


def _curves(n: int, *, short: int = 0) -> Curves:
    """``n`` runs of two metrics at steps 10 ... 100; the last ``short`` of them stop half-way."""
    rows = [
        {"run": f"run{i:03}", "metric": metric, "step": step, "value": 0.5 + 0.001 * step}
        for i in range(n)
        for metric in KINDS
        for step in range(10, 60 if i >= n - short else 101, 10)
    ]
    names = [f"run{i:03}" for i in range(n)]
    runs = pd.DataFrame({"family": names, "last_step": 100}, index=pd.Index(names, name="run"))
    return curves_from(pd.DataFrame(rows), runs, {name: Metric(name, kind) for name, kind in KINDS.items()})


def test_each_kind_has_its_own_runs_at_every_cutoff() -> None:
    chosen = examples(_curves(40), Plan(cutoffs=(0.1, 0.3)))
    runs = {metric: set(part["run"]) for metric, part in chosen.groupby("metric")}
    assert [len(some) for some in runs.values()] == [DRAWN, DRAWN]
    assert not runs["score"] & runs["gap"]
    assert all(part["cutoff"].tolist() == [0.1, 0.3] for _, part in chosen.groupby(["run", "metric"]))
    assert len(chosen) == 2 * DRAWN * 2


def test_few_runs_are_shared_by_kinds() -> None:
    chosen = examples(_curves(5), Plan(cutoffs=(0.3,)))
    assert chosen.groupby("metric")["run"].nunique().to_dict() == {"gap": 5, "score": 5}


def test_the_lot_goes_by_the_seed_and_not_by_the_order_of_names() -> None:
    drawn = [examples(_curves(40), Plan(cutoffs=(0.3,), seed=seed)) for seed in (0, 0, 1)]
    assert drawn[0].equals(drawn[1])
    assert not drawn[0].equals(drawn[2])
    assert set(drawn[0].query("metric == 'score'")["run"]) != {f"run{i:03}" for i in range(DRAWN)}


def test_runs_without_an_end_come_last() -> None:
    chosen = examples(_curves(14, short=4), Plan(cutoffs=(0.3,)))
    first = set(chosen.query("metric == 'score'")["run"])
    assert first <= {f"run{i:03}" for i in range(10)}


def test_paths_go_from_the_cutoff_to_the_end_and_points_say_what_was_seen() -> None:
    curves = _curves(10)
    chosen = examples(curves, Plan(cutoffs=(0.3,)))
    paths = path_targets(curves, chosen)
    assert len(paths) == len(chosen) * PATH_POINTS
    ends = paths.groupby(["run", "metric"])["step"].agg(["min", "max"]).to_numpy()
    np.testing.assert_allclose(ends, np.tile([30.0, 100.0], (len(chosen), 1)))
    points = example_points(curves, chosen)
    assert points.loc[points["seen"], "step"].max() == 30
    assert points.loc[~points["seen"], "step"].min() == 40
