"""Effects of interventions on arms that were not seen, by families left out.

python benchmarks/effects.py [DATA ...] [--forecaster NAME] [--metrics GLOB,...] [--out FILE.csv]

For each family with arms, all its runs are held out. Each of its baseline runs is seen up to the start of an arm, and
the final outcomes of the arm are forecast: by a forecaster that learns from runs without an intervention, and by that
with the effect added, learnt from the pairs of other families. All is scored on the latent scale, CRPS in units of the
mean CRPS of the forecast without effect, metric by metric.

Skill over "none": the forecast with the effect against the same without. Over "mean": against the same with the mean
effect and the spread of the pairs' differences. "Effect alone": the effect against that mean effect, whatever the
forecaster; "sign": medians of the effect with the sign of what happened, where that is not zero; "held": effects, and
arms, in their 90 % intervals. Rows "sure" are those of which the pairs of other families exclude a mean effect of zero.
Intervals (90 %): bootstrap over families, then runs. DATA are tidy folders (default: tinylm and digits).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.backtest.compare import macro_mean, skill
from predictdyn.backtest.plan import target_metrics
from predictdyn.curves import Curves
from predictdyn.datasets import bundled
from predictdyn.effects import Intervened, Intervention, intervened
from predictdyn.effects.pairs import arms
from predictdyn.forecast import Model, Prediction, seed_for
from predictdyn.forecasters import fit, forecaster
from predictdyn.loaders import tidy
from predictdyn.problem import History, Problem
from predictdyn.scores import crps


class Question(NamedTuple):
    """Arms of one family with one intervention from one start, and what may be learnt from and observed."""

    name: str
    start: float
    arm: dict[str, str]  # of each baseline run
    history: Curves
    observed: Curves
    target: pd.DataFrame


def questions(curves: Curves, names: list[str]) -> Iterator[Question]:
    """Every family's arms, by intervention, share of the run at its start, and last step."""
    known = arms(curves.runs)
    known = known[known["baseline"].isin(curves.runs.index)].assign(
        start=known["start"].round(6), family=curves.runs["family"], last_step=curves.runs["last_step"]
    )
    for family, of_family in known.groupby("family"):
        history = curves.select(runs=curves.runs.index[curves.runs["family"] != family])
        for (name, start, last), some in of_family.groupby(["intervention", "start", "last_step"]):
            arm = dict(zip(some["baseline"], some.index, strict=True))
            asked = [
                (run, metric, last)
                for run in arm for metric in names
                if (run, metric) in curves.series and (arm[run], metric) in curves.series
            ]  # fmt: skip
            target = pd.DataFrame(asked, columns=["run", "metric", "step"])
            yield Question(name, start, arm, history, curves.select(runs=list(arm)).truncate(start), target)


def rows_of(curves: Curves, names: list[str], base: Model, *, seed: int) -> pd.DataFrame:
    """One row for each arm and final outcome: CRPS with, without and with the mean effect; what was held."""
    changed = arms(curves.runs).index
    rows = []
    for ask in questions(curves, names):
        plain = ask.history.select(runs=ask.history.runs.index.difference(changed))
        without = fit(base, plain, seed=seed).forecast(ask.observed, ask.target, seed=seed)
        planned = Intervention(ask.name, ask.start * float(ask.target["step"].iloc[0]))
        found = intervened(without, ask.history, ask.observed, planned, seed=seed)
        rows.append(_scored(curves, ask, without, found, seed=seed))
    return pd.concat(rows, ignore_index=True)


def table(rows: pd.DataFrame, by: list[str], *, seed: int) -> list[str]:
    """A Markdown table with one line for each group of rows."""
    head = ["arms in families", "skill over none", "over mean", "effect alone", "sign", "effect held", "arm held"]
    lines = ["| " + " | ".join([*by, *head]) + " |", "| --- " * len(by) + "| ---: " * len(head) + "|"]
    for name, some in rows.groupby(by, sort=False):
        run, family = some["arm"].to_numpy(), some["family"].to_numpy()

        def saved(model: str, reference: str, some: pd.DataFrame = some) -> str:
            columns = some[model].to_numpy(), some[reference].to_numpy()
            found = skill(*columns, some["arm"].to_numpy(), some["family"].to_numpy(), seed=seed)
            return f"{found.skill:+.2f} ({found.low:+.2f} to {found.high:+.2f})"

        moved = some["sign"].notna().to_numpy()
        sign = macro_mean(some["sign"].to_numpy(float)[moved], run[moved], family[moved]) if moved.any() else np.nan
        held = [macro_mean(some[one].to_numpy(float), run, family) for one in ("effect_held", "arm_held")]
        cells = [f"{some['arm'].nunique()} in {some['family'].nunique()}", saved("with", "none"), saved("with", "mean")]
        cells += [saved("effect", "effect_mean"), *(f"{share:.0%}" for share in (sign, *held))]
        lines.append("| " + " | ".join([*map(str, name), *cells]) + " |")
    return lines


def _scored(curves: Curves, ask: Question, without: Prediction, found: Intervened, *, seed: int) -> pd.DataFrame:
    problem = Problem(History(ask.history), ask.observed, ask.target, seed)
    of_metric = {panel.metric: panel for panel in problem.panels}
    known = arms(ask.history.runs).query("intervention == @ask.name")
    home = ask.history.runs["family"]
    rows = []
    for i, (run, metric) in enumerate(zip(ask.target["run"], ask.target["metric"], strict=True)):
        panel, rng = of_metric[metric], np.random.default_rng(seed_for(seed, run, metric, ask.name))
        arm = ask.arm[run]
        ends = [curves.series[one, metric] for one in (arm, run)]
        if np.isnan(found.latent[i]).any() or any(end.step[-1] < ask.target["step"].iloc[i] for end in ends):
            continue
        truth, left = (float(panel.scale.latent(end.value[-1:])[0]) for end in ends)
        shown = [
            (panel.context[one].latent[-1] - panel.context[other].latent[-1], home[one])
            for one, other in known["baseline"].items() if one in panel.context and other in panel.context
        ]  # fmt: skip
        every = pd.DataFrame(shown, columns=["difference", "family"])
        chance = 1 / every.groupby("family")["family"].transform("size").to_numpy()
        latent = panel.scale.latent(without.draws[i])
        mean = rng.choice(every["difference"].to_numpy(), size=len(latent), p=chance / chance.sum())
        with_it = panel.scale.latent(found.forecast.draws[i])
        score = crps(np.full(3, truth), np.stack([with_it, latent, latent + mean]))
        alone = crps(np.full(2, truth - left), np.stack([found.latent[i], mean]))
        low, high = np.quantile(found.latent[i], [0.05, 0.95])
        arm_low, arm_high = np.quantile(with_it, [0.05, 0.95])
        happened, support = truth - left, found.support[i]
        rows.append({
            "intervention": ask.name, "start": ask.start, "arm": arm, "family": curves.runs["family"][arm],
            "metric": metric, "kind": curves.metrics[metric].kind, "pairs": "sure" if support.low * support.high > 0
            else "unsure", "with": score[0], "none": score[1], "mean": score[2], "effect": alone[0],
            "effect_mean": alone[1], "happened": happened, "median": float(np.median(found.latent[i])),
            "sign": float(np.sign(np.median(found.latent[i])) == np.sign(happened)) if happened else np.nan,
            "effect_held": low <= happened <= high, "arm_held": arm_low <= truth <= arm_high,
        })  # fmt: skip
    return pd.DataFrame(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path, help="tidy folders (default: tinylm and digits)")
    parser.add_argument("--forecaster", default="mean_change")
    parser.add_argument("--metrics", default="", help="globs with commas between (default: all outcomes)")
    parser.add_argument("--out", type=Path, help="CSV file to write: every row")
    parser.add_argument("--seed", type=int, default=0)
    called = parser.parse_args()
    folders = called.data or [bundled("tinylm"), bundled("digits")]
    globs = tuple(glob for glob in called.metrics.split(",") if glob)
    found = []
    for folder in folders:
        curves = tidy.load(folder)
        title = folder.parent.name if folder.name == "data" else folder.name
        names = target_metrics(curves, globs)
        found.append(rows_of(curves, names, forecaster(called.forecaster), seed=called.seed).assign(data=title))
    rows = pd.concat(found, ignore_index=True)
    if called.out:
        rows.to_csv(called.out, index=False)
    unit = rows.groupby(["data", "intervention", "metric"])["none"].transform("mean")
    # A metric that never moves has no error to save.
    rows = rows[unit > 0]
    rows[["with", "none", "mean"]] = rows[["with", "none", "mean"]].div(unit[unit > 0], axis=0)
    alone = rows.groupby(["data", "intervention", "metric"])["effect_mean"].transform("mean").replace(0.0, np.nan)
    rows[["effect", "effect_mean"]] = rows[["effect", "effect_mean"]].div(alone, axis=0)
    for by in (["data", "intervention", "kind"], ["data", "intervention", "pairs"]):
        print("\n".join(table(rows, by, seed=called.seed)), end="\n\n")


if __name__ == "__main__":
    main()
