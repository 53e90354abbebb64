"""Emergence: when and whether runs break through, on grokking and tinylm, with calibration and controls.

python benchmarks/emergence.py --out FOLDER [--tasks onsets,bimodal,simulated,control,null,auto]
    [--data grokking,tinylm] [--cutoffs 0.05,0.1,0.25,0.5] [--paths auto]

onsets     Brier score of "before the end" and censored CRPS of the onset, beside the hazard by age and the nearest
           runs; families (groups of recipes, sizes) held out. --paths adds the paths that a forecaster draws.
bimodal    the figure of forecasts of grokking's test accuracy by `breakthrough`, after a tenth of each run.
simulated  simulation-based calibration of the hazard model: ranks of the log hazard of new runs among its draws.
control    the same features with the onsets of other families: the forecast must be the base rate, and no surer.
null       the same on simulated tables: base rates, spreads of families and numbers of columns.
auto       `auto` beside itself with `breakthrough` as one more member, on one outcome with two modes.

What lies in FOLDER is not computed again. All tables are printed as Markdown.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import chisquare, norm

import predictdyn as pdyn
from predictdyn.backtest.compare import skill
from predictdyn.backtest.folds import folds, groups
from predictdyn.backtest.onsets import onset_scores, replay_onsets
from predictdyn.backtest.plan import Plan, matching_runs
from predictdyn.curves import Curves
from predictdyn.datasets import bundled
from predictdyn.events import parse
from predictdyn.fitting.onset_hazard import (
    BINS,
    DEVIATION,
    EFFECTS,
    FAMILIES,
    LEVEL_SD,
    SLOPE_SD,
    HazardModel,
    RunsAtRisk,
    even_level,
    fitted,
    log_hazard,
    sampled,
)
from predictdyn.forecasters import forecaster
from predictdyn.forecasters.ensemble import AUTO
from predictdyn.forecasters.onsets import hazard_of, onsets
from predictdyn.forecasters.regressions import observed_features
from predictdyn.loaders import tidy
from predictdyn.problem import History, Problem
from predictdyn.scores import brier, brier_parts

EVENTS = {
    "grokking": ("test_accuracy >= 0.95",),
    "tinylm": ("copying_accuracy > 0.5", "counting_accuracy > 0.4", "bracket_accuracy > 0.6"),
}
BROKEN = {"grokking": "test_accuracy", "tinylm": "copying_accuracy"}
RUNS = {"grokking": (), "tinylm": ("*-s?",)}  # interventions take no part
SIMULATED, RANKS = 300, 20
LOTS, NULL = 5, 15


def main() -> None:
    """Run the tasks, print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", default="onsets,bimodal,simulated,control,null,auto")
    parser.add_argument("--data", default="grokking,tinylm")
    parser.add_argument("--cutoffs", default="0.05,0.1,0.25,0.5")
    parser.add_argument("--paths", default="")
    parser.add_argument("--seed", type=int, default=0)
    called = parser.parse_args()
    called.out.mkdir(parents=True, exist_ok=True)
    cutoffs = tuple(float(word) for word in called.cutoffs.split(","))
    models = tuple(word for word in called.paths.split(",") if word)
    for task in called.tasks.split(","):
        print(f"\n## {task}\n", flush=True)
        if task == "onsets":
            for data in called.data.split(","):
                for text in EVENTS[data]:
                    _onsets(data, text, cutoffs, models, called.out, called.seed)
        elif task == "bimodal":
            _bimodal(called.out)
        elif task == "simulated":
            _simulated(called.seed)
        elif task == "control":
            _control(called.seed)
        elif task == "null":
            _null(called.seed)
        elif task == "auto":
            for data in called.data.split(","):
                _auto(data, cutoffs, called.out, called.seed)
        else:
            parser.error(f"no task {task!r}")


def _onsets(data: str, text: str, cutoffs: tuple[float, ...], models: tuple[str, ...], out: Path, seed: int) -> None:
    tables = []
    for cutoff in cutoffs:
        name = "-".join([data, text.split()[0], f"{cutoff:g}", *models])
        file = out / f"onsets-{name}.parquet"
        if not file.exists():
            event, curves = parse(text, [text.split()[0]]), _curves(data)
            plan = Plan(cutoffs=(cutoff,), metrics=(event.bounds[0].metric,), seed=seed)
            replay_onsets(curves, plan, event, [forecaster(one) for one in models]).rows.to_parquet(file)
        tables.append(pd.read_parquet(file))
    print(f"{data}: {text}\n")
    print("| seen | forecast | runs in families | came | Brier | its skill | reliability | CRPS of onset | its skill |")
    print("| --- | --- | --- | ---: | ---: | --- | ---: | ---: | --- |")
    for row in onset_scores(pd.concat(tables, ignore_index=True), seed=seed).to_dict("records"):
        gain, of_time = (
            f"{row[f'{one}_skill']:+.2f} ({row[f'{one}_skill_lo']:+.2f} to {row[f'{one}_skill_hi']:+.2f})"
            for one in ("brier", "crps")
        )
        words = [
            f"{row['cutoff']:.0%}", row["forecaster"], f"{row['n_runs']} in {row['n_families']}",
            f"{row['base_rate']:.2f}", f"{row['brier']:.3f}", gain, f"{row['reliability']:.3f}",
            f"{row['crps']:.4f}", of_time,
        ]  # fmt: skip
        print(f"| {' | '.join(map(str, words))} |")
    print()


def _curves(data: str) -> Curves:
    curves = tidy.load(bundled(data))
    return curves.select(runs=matching_runs(curves, RUNS[data])) if RUNS[data] else curves


def _bimodal(out: Path) -> None:
    """Forecasts after a tenth of a run in order of the chance of a breakthrough, as both modes, with what came."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    file = out / "bimodal.parquet"
    if not file.exists():
        found = pdyn.backtest(_curves("grokking"), "breakthrough", cutoffs=[0.1], metrics="test_accuracy")
        found.forecasts.query("forecaster == 'breakthrough'").to_parquet(file)
    rows = pd.read_parquet(file)
    both = rows[rows["upper"].notna()].sort_values("upper").reset_index(drop=True)
    figure, ax = plt.subplots(figsize=(9.4, 4.1), layout="constrained")
    for place, row in both.iterrows():
        for mode, share in (("low", 1 - row["upper"]), ("high", row["upper"])):
            ends = [row[f"{mode}_q0.05"], row[f"{mode}_q0.95"]]
            ax.plot([place, place], ends, color="#0072b2", alpha=0.1 + 0.8 * share, linewidth=3, solid_capstyle="butt")
    ax.plot(both["truth"], linestyle="", marker="o", color="#bf4d00", markersize=4, markerfacecolor="#fefefe")
    ax.set_xlabel(f"{len(both)} runs in order of the forecast chance of the upper mode")
    ax.set_ylabel("final test accuracy")
    figure.savefig(out / "bimodal.svg")
    figure.savefig(out / "bimodal.png", dpi=110)
    came = both["truth"] > (both["low_q0.95"] + both["high_q0.05"]) / 2
    print(f"{len(both)} of {len(rows)} forecasts have two modes; mean chance of the upper {both['upper'].mean():.2f}, "
          f"share that ended there {came.mean():.2f}")  # fmt: skip
    inside = rows["truth"].between(rows["q0.05"], rows["q0.95"]).mean()
    print(f"CRPS of all {rows['crps'].mean():.4f}, in the 90 % interval {inside:.2f}")
    for part in np.array_split(np.arange(len(both)), 4):
        print(f"chance {both['upper'][part].mean():.2f}: {came[part].mean():.2f} of {len(part)} ended there")


def _simulated(seed: int) -> None:
    """Ranks of the true log hazard of new runs, at the first, middle and last bin, among its draws."""
    rng = np.random.default_rng(seed)
    group = np.repeat([0, 1], [4, 3])
    ranks: list[list[float]] = []
    held, promised = [], []
    for _ in range(SIMULATED):
        scale = np.sqrt(np.concatenate([[DEVIATION], EFFECTS / np.bincount(group), [FAMILIES]]))
        spread = np.abs(rng.normal(0, scale))
        names = np.array([f"f{i}" for i in range(20)])
        every = np.append(names, "new")
        weights = np.concatenate([
            [rng.normal(even_level(BINS), LEVEL_SD), rng.normal(0, SLOPE_SD)],
            rng.normal(0, np.concatenate([np.repeat(spread[0], BINS), spread[1 + group]])),
            rng.normal(0, spread[-1], len(every)),
        ])  # fmt: skip
        true = HazardModel(np.linspace(0.5, 1, BINS + 1), every, weights[:, None], spread[-1:])
        family = np.repeat(every, 3)
        x = rng.normal(size=(len(family), len(group)))
        onset = sampled(true, x, family, rng.random((len(family), 1)), rng)[:, 0]
        past = family != "new"
        model = fitted(RunsAtRisk(onset[past], np.ones(past.sum()), family[past], x[past], group), 0.5, rng)
        new = np.flatnonzero(~past)[:1]
        draws, truth = (log_hazard(one, x[new], family[new], 199, rng)[0] for one in (model, true))
        ranks.append([(draws[:, at] < truth[0, at]).mean() for at in (0, BINS // 2, BINS - 1)])
        came = sampled(model, x[~past], family[~past], rng.random((3, 500)), rng)
        promised += np.isfinite(came).mean(axis=1).tolist()
        held += np.isfinite(onset[~past]).astype(float).tolist()
    print("| log hazard in | p of uniform ranks | in the 50 % interval | in the 90 % interval |")
    print("| --- | ---: | ---: | ---: |")
    for name, column in zip(("first bin", "middle bin", "last bin"), np.array(ranks).T, strict=True):
        counts = np.histogram(column, bins=RANKS, range=(0, 1))[0]
        inside = [np.mean(np.abs(column - 0.5) <= level / 2) for level in (0.5, 0.9)]
        print(f"| {name} | {chisquare(counts).pvalue:.3f} | {inside[0]:.2f} | {inside[1]:.2f} |")
    parts = brier_parts(np.array(held), np.array(promised))
    print(f"\nnew families: base rate {np.mean(held):.2f}, mean promise {np.mean(promised):.2f}, Brier "
          f"{np.mean((np.array(held) - promised) ** 2):.3f}, reliability {parts.reliability:.4f}, "
          f"resolution {parts.resolution:.3f}")  # fmt: skip


def _control(seed: int) -> None:
    """Each family's runs get the onsets of another's: nothing that is known of a run says when, or whether."""
    curves, event = _curves("grokking"), parse("test_accuracy >= 0.95", ["test_accuracy"])
    begun = onsets(curves, event)["onset"]
    rng = np.random.default_rng(seed)
    rows = []
    for group in groups(curves, Plan(cutoffs=(0.1,), metrics=("test_accuracy",))):
        for fold in folds(curves, group, Plan(cutoffs=(0.1,), metrics=("test_accuracy",))):
            problem = Problem(History(group.history), fold.observed, fold.target, seed, seed)
            past = onsets(group.history, event)
            past = past[past["onset"] > 0.1]
            family = group.history.runs["family"].loc[past.index].to_numpy(dtype=object)
            names = pd.unique(family)
            runs = [run for run in fold.observed.runs.index if begun[run] > 0.1]
            if not runs:
                continue
            seen = observed_features(problem, 0.1).loc[runs]
            own = fold.observed.runs["family"].loc[runs].to_numpy(dtype=object)
            for lot in range(LOTS):
                giver = dict(zip(names, rng.permutation(names), strict=True))
                given = [past["onset"].iloc[rng.choice(np.flatnonzero(family == giver[one]))] for one in family]
                told = past.assign(onset=given)
                model, described = hazard_of(problem, ["test_accuracy"], 0.1, told, family)
                drawn = sampled(model, described(seen), own, rng.random((len(runs), 1000)), rng)
                # What is true of a run in question is, like all else, of another family by lot.
                truth = np.isfinite(rng.choice(told["onset"].to_numpy(), len(runs))).astype(float)
                chance, base = np.isfinite(drawn).mean(axis=1), np.isfinite(given).mean()
                rows += [(lot, *row) for row in zip(chance, np.full(len(runs), base), truth, strict=True)]
    table = pd.DataFrame(rows, columns=["lot", "chance", "base", "truth"])
    print("| lot | runs | base rate | came | forecast | its sd | Brier | of the base rate | reliability | resolution |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    parts = [(str(lot + 1), part) for lot, part in table.groupby("lot")]
    for name, part in [*parts, ("all", table)]:
        truth, chance, base = (part[column].to_numpy() for column in ("truth", "chance", "base"))
        of = brier_parts(truth, chance)
        numbers = [base.mean(), truth.mean(), chance.mean(), chance.std()]
        scores = [brier(truth, chance).mean(), brier(truth, base).mean(), of.reliability, of.resolution]
        words = [f"{one:.3f}" for one in (*numbers, *scores)]
        print(f"| {name} | {len(part)} | {' | '.join(words)} |")


def _null(seed: int) -> None:
    """Simulated tables of 45 families of three runs with columns that say nothing; forecasts of 20 new families."""
    print("| chance put in | spread of families | columns | forecast less base rate | Brier | of the base rate |")
    print("| ---: | ---: | ---: | --- | ---: | ---: |")
    for share, spread, columns in product((0.2, 0.5, 0.8), (0.0, 1.0, 2.5), ((4, 3), (12, 8, 20))):
        rng = np.random.default_rng(seed)
        # The level at which families of this spread have the event with this chance.
        usual = spread * norm.ppf((np.arange(400) + 0.5) / 400)
        level = brentq(lambda at, usual=usual, share=share: -np.expm1(-np.exp(at + usual)).mean() - share, -20, 20)
        family = np.repeat([f"f{i}" for i in range(65)], 3)
        past, new = np.arange(len(family)) < 135, np.arange(135, len(family), 3)
        group = np.repeat(np.arange(len(columns)), columns)
        rows = []
        for _ in range(NULL):
            rate = np.exp(level + spread * np.repeat(rng.standard_normal(65), 3))
            time = rng.exponential(1 / rate)
            onset = np.where(time < 1, 0.5 + 0.5 * time, np.inf)
            x = rng.normal(size=(len(family), len(group)))
            model = fitted(RunsAtRisk(onset[past], np.ones(past.sum()), family[past], x[past], group), 0.5, rng)
            chance = np.isfinite(sampled(model, x[new], family[new], rng.random((len(new), 500)), rng)).mean(axis=1)
            base, truth = np.isfinite(onset[past]).mean(), np.isfinite(onset[new])
            rows.append((chance.mean() - base, ((chance - truth) ** 2).mean(), ((base - truth) ** 2).mean()))
        more, own, of_base = np.mean(rows, axis=0)
        error = np.std(rows, axis=0)[0] / np.sqrt(NULL - 1)
        words = [f"{more:+.3f} ({error:.3f})", f"{own:.3f}", f"{of_base:.3f}"]
        print(f"| {share} | {spread} | {len(group)} | {' | '.join(words)} |", flush=True)


def _auto(data: str, cutoffs: tuple[float, ...], out: Path, seed: int) -> None:
    """`auto` with the forecaster as one more member, on the same folds, one cutoff after the other."""
    more = {"members": "breakthrough", "prior_weights": 10.0, "larger_weights": 3.0}
    longer = {name: (*getattr(AUTO, name), value) for name, value in more.items()}
    member = replace(AUTO, name="auto_with", **longer)  # type: ignore[arg-type]
    tables = []
    for cutoff in cutoffs:
        file = out / f"auto-{data}-{cutoff:g}.parquet"
        if not file.exists():
            found = pdyn.backtest(_curves(data), ["auto", member], cutoffs=[cutoff], metrics=BROKEN[data], seed=seed)
            found.forecasts.to_parquet(file)
        tables.append(pd.read_parquet(file))
    rows = pd.concat(tables, ignore_index=True)
    rows["family"] = rows["run"].map(_curves(data).runs["family"])
    wide = rows.pivot_table(index=["cutoff", "run", "family"], columns="forecaster", values="crps").reset_index()
    print(f"{BROKEN[data]} of {data}: the share of the CRPS of `auto` that the member saves\n")
    print("| seen | saved |\n| --- | --- |")
    for seen, part in wide.groupby("cutoff"):
        gain = skill(*(part[name].to_numpy() for name in ("auto_with", "auto", "run", "family")), seed=seed)
        print(f"| {seen:.0%} | {gain.skill:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}) |")
    print()


if __name__ == "__main__":
    main()
