"""The leakage rules: how each is enforced here, and which the data at hand cannot support."""

from __future__ import annotations

from predictdyn.backtest.plan import Plan, matching_runs
from predictdyn.curves import Curves
from predictdyn.naming import BY_RUNS

# Rule, and how it is kept. Numbers are those of the project's evaluation rules.
RULES = {
    "L1 time cut": "folds.py shows a forecaster no point after the cutoff but schedules known ahead, and checks it",
    "L2 compute cut": "`budget` keeps out runs that cost more than the budget (needs a column flops)",
    "L3 group split": "a family is held out whole; hold_out names another column, test holds out all that match",
    "L4 normalisers": "scales, encodings and weights are learnt inside `fit` and `forecast`, on visible data",
    "L5 raw curves": "nothing is smoothed; metrics that look like best-so-far values are warned of",
    "L6 inner selection": "a forecaster is given no hidden truth, so it can choose by inner folds only",
    "L7 targets": "targets follow from the plan (last_step or all hidden points), never from the forecasts",
    "L8 stopped runs": "a run that stopped early stays in, its final rows have a blank truth and are counted",
    "L9 plan": "covariates, and schedules declared or shown to follow from the plan, are seen; any other rate is cut",
    "L10 priors": "no forecaster here carries curves from outside; a plug-in must declare its training data",
    "L11 contamination": "cannot be seen from curves; it is the reader's to judge",
    "L12 refit": "a fit sees only its fold's history; where two cutoffs share a history the identical fit is used",
}


def warnings_for(curves: Curves, plan: Plan) -> list[str]:
    """What a reader of this backtest should know: rules that lack data here, and designs that weaken it."""
    said = []
    # Where no run says what it cost, nobody could limit the history by it.
    if plan.split == "cutoff" and plan.budget is None and "flops" in curves.runs:
        said.append(
            "L2: the history holds runs of any compute, also larger ones than the run that is forecast, which may "
            "flatter skill; give a budget (FLOP) to leave them out"
        )
    families = curves.runs["family"].nunique()
    if plan.split == "cutoff" and families == len(curves.runs) and families > 1:
        said.append(
            "L3: every run is its own family; if some share a recipe or a lineage, name it as their family " + BY_RUNS
        )
    if plan.split == "cutoff" and _splits_families(curves, plan):
        said.append("L3: runs of one family lie on both sides of a fold (by test or hold_out), which flatters skill")
    if plan.split == "seen":
        said.append("L3: a fixed split shows the seen part of every run to every forecast")
    monotone = _never_worse(curves)
    if monotone:
        said.append(
            f"L5: {', '.join(monotone[:4])}{' and more' if len(monotone) > 4 else ''} never get worse in any run: "
            "best-so-far values flatter late points"
        )
    return said


def _splits_families(curves: Curves, plan: Plan) -> bool:
    family = curves.runs["family"]
    if plan.test:
        held_out = curves.runs.index.isin(matching_runs(curves, plan.test))
        return bool(set(family[held_out]) & set(family[~held_out]))
    column = curves.runs.reset_index().set_index("run", drop=False)[plan.hold_out].astype("str")
    return bool((column.groupby(family).nunique() > 1).any())


def _never_worse(curves: Curves) -> list[str]:
    """Metrics with a direction that never move against it, in at least three runs of ten or more points."""
    worse: dict[str, bool] = {}
    count: dict[str, int] = {}
    for (_, name), curve in curves.series.items():
        metric = curves.metrics[name]
        if metric.kind in ("schedule", "signal") or metric.better not in ("higher", "lower") or len(curve.value) < 10:
            continue
        change = curve.value[1:] - curve.value[:-1]
        sign = -1.0 if metric.better == "higher" else 1.0
        worse[name] = worse.get(name, False) or bool((sign * change > 0).any())
        count[name] = count.get(name, 0) + 1
    return [name for name, any_worse in worse.items() if not any_worse and count[name] >= 3]
