"""Accuracies by way of a loss, on public runs: errors, coverage and CRPS, beside the published two point fits in a row.

python benchmarks/capability.py [cooled] [early] [mlfoundations] [pythia] [calibration] [chain] [control]
    [--out DIR]

Reads the folders of $PREDICTDYN_DATA. "logistic two-step": L = E + A / N^a + B / D^b by least squares of logarithms,
then accuracy = b + c / (1 + exp(k (L - L0))) by least squares, the first one's point put into the second (arXiv
2412.04403); its 90 % interval is the estimate plus and minus 1.64 times the standard error of the residuals of the
second fit. The same rows are given to all. Prints Markdown; --out keeps every forecast as CSV.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import least_squares
from scipy.special import expit

from predictdyn import datasets
from predictdyn.api.ladders import checkpoints
from predictdyn.curves import Curves
from predictdyn.fitting.ability_map import FLAT, HEIGHTS, MIDDLES, STEEPS, MapRows, Response, nodes_of
from predictdyn.fitting.ability_pool import (
    MIDDLE_PRIOR,
    STEEP_PRIOR,
    AskedAbility,
    map_draws,
    outcome_draws,
    shared_draws,
)
from predictdyn.forecast import Model
from predictdyn.forecasters import fit
from predictdyn.laws import law_of
from predictdyn.laws.design import Scene, design_for
from predictdyn.laws.inputs import Encoded
from predictdyn.laws.ladder import OutcomeFacts, ladder_of, questions
from predictdyn.laws.posterior import FREEDOM
from predictdyn.laws.structures import structures_for
from predictdyn.scores import crps

DATA = Path(os.environ.get("PREDICTDYN_DATA", "."))
DRAWS = 1000
STARTS = 8
FIFTH = 0.2
TABLES, CONTROLS = 60, 12
# Of simulated chains: tables, structures of their losses, sd of logs, noise, size times data of the runs beyond.
CHAINS, STRUCTURES, SPREAD, NOISE, TIMES = 60, 4, 1.5, 0.01, 10.0


def scored(task: str, method: str, truth: np.ndarray, draws: np.ndarray, names: Iterable[str]) -> pd.DataFrame:
    """One row a forecast: draws (n, s) of truths (n,), each with a name."""
    low, middle, high = np.quantile(draws, (0.05, 0.5, 0.95), axis=1)
    return pd.DataFrame({
        "task": task, "method": method, "name": list(names), "truth": truth, "median": middle, "low": low,
        "high": high, "crps": crps(truth, draws),
    })  # fmt: skip


def table(rows: pd.DataFrame) -> str:
    """Mean absolute error, bias, CRPS, coverage and width of 90 % intervals, a row a task and method."""
    rows = rows.assign(
        error=(rows["median"] - rows["truth"]).abs(), bias=rows["median"] - rows["truth"],
        inside=(rows["low"] <= rows["truth"]) & (rows["truth"] <= rows["high"]), width=rows["high"] - rows["low"],
    )  # fmt: skip
    lines = ["| task | method | forecasts | mean error | bias | CRPS | coverage | width |", "|" + " --- |" * 8]
    for (task, method), some in rows.groupby(["task", "method"], sort=False):
        lines.append(
            f"| {task} | {method} | {len(some)} | {some['error'].mean():.4f} | {some['bias'].mean():+.4f} | "
            f"{some['crps'].mean():.4f} | {some['inside'].mean():.0%} | {some['width'].mean():.4f} |"
        )
    return "\n".join(lines)


def best_of(residuals: Callable[[np.ndarray], np.ndarray], starts: np.ndarray) -> np.ndarray:
    """The best of least-squares fits from some starts (s, k), with a soft loss as published fits have."""
    fits = [least_squares(residuals, start, loss="soft_l1", f_scale=0.01, max_nfev=200) for start in starts]
    return np.asarray(min(fits, key=lambda one: one.cost).x)


def power_fit(plans: np.ndarray, loss: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """L = E + sum A / x^a for plans (n, d), in logarithms; a function of other plans."""
    d = plans.shape[1]
    centre = np.log(plans).mean(axis=0)

    def value(p: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(p[0]) + np.exp(p[1 : 1 + d] - p[1 + d :] * (np.log(x) - centre)).sum(axis=1))

    random = np.random.default_rng(0)
    level = np.log(loss.min())
    starts = np.concatenate([
        level + random.uniform(-1, 0, (STARTS, 1)), level + random.uniform(-3, 0, (STARTS, d)),
        random.uniform(0.1, 0.6, (STARTS, d)),
    ], axis=1)  # fmt: skip
    found = best_of(lambda p: np.log(value(p, plans)) - np.log(loss), starts)
    return lambda x: value(found, x)


def logistic_fit(loss: np.ndarray, accuracy: np.ndarray, chance: float) -> tuple[Callable[..., np.ndarray], float]:
    """Accuracy = b + c / (1 + exp(k (L - L0))); a function of losses, and the standard error of its residuals."""
    random = np.random.default_rng(0)

    def value(p: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.asarray(p[0] + np.clip(p[1], 0, 1 - p[0]) * expit(-np.exp(p[2]) * (x - p[3])))

    starts = np.stack([
        np.full(STARTS, chance), random.uniform(0.2, 1 - chance, STARTS), random.uniform(-1, 2.5, STARTS),
        random.uniform(loss.min() - 1.5, loss.max(), STARTS),
    ], axis=1)  # fmt: skip
    found = best_of(lambda p: value(p, loss) - accuracy, starts)
    left = accuracy - value(found, loss)
    return lambda x: value(found, x), float(np.sqrt((left**2).sum() / max(len(loss) - 4, 1)))


def around(middle: np.ndarray, error: float) -> np.ndarray:
    """Draws (n, s) of a point with a standard error."""
    normal = np.random.default_rng(0).standard_normal((len(middle), DRAWS))
    return np.asarray(middle[:, None] + error * normal)


def gemstones() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Models, losses and benchmarks of Gemstones."""
    folder = DATA / "gemstones"
    models = pd.read_csv(folder / "models.csv").set_index("model")
    return models, pd.read_csv(folder / "losses.csv.gz"), pd.read_csv(folder / "benchmarks.csv.gz")


def cooled() -> Iterator[pd.DataFrame]:
    """The loss after a cool-down from the loss where it began: each model from all others, and later from earlier."""
    models, losses, _ = gemstones()
    end = losses[losses["series"] == "val_cooldown_end"]
    hot = dict(iter(losses[losses["series"] == "val"].groupby("model")))
    begun = end["step"].to_numpy(dtype=float) / 1.1
    rows = pd.DataFrame({
        "run": end["model"].to_numpy(), "step": begun, "cooled": end["loss"].to_numpy(dtype=float),
        "hot": [np.interp(step, hot[model]["step"], hot[model]["loss"])
                for model, step in zip(end["model"], begun, strict=True)],
    })  # fmt: skip
    known = [OutcomeFacts("cooled", 0.0, None, "lower")]
    splits = [("each model from the others", rows["run"] == model) for model in models.index]
    large = set(models["params"].nlargest(3).index)
    splits.append(("three largest from the others", rows["run"].isin(large)))
    splits.append(("later half from the earlier", rows["step"] > rows["step"].median()))
    for name, out in splits:
        left, there = rows[~out], rows[out]
        truth, label = there["cooled"].to_numpy(), there["run"]
        task = f"cooled loss, {name}"
        ladder = ladder_of(left, known, ["hot"], None, rows=left)
        yield scored(task, "map", truth, ladder.draws(there, n=DRAWS)[0], label)
        x, y = left["hot"].to_numpy(), left["cooled"].to_numpy()
        starts = np.random.default_rng(0).uniform((0, 0, 0.5, -1), (0.9 * x.min(), 0.9 * y.min(), 1.5, 1), (STARTS, 4))

        def value(p: np.ndarray, x: np.ndarray) -> np.ndarray:
            return np.asarray(np.exp(p[3]) * np.maximum(x - p[0], 1e-6) ** p[2] + p[1])

        p = best_of(lambda p, x=x, y=y: value(p, x) - y, starts)  # type: ignore[misc]
        error = float(np.sqrt(((y - value(p, x)) ** 2).sum() / (len(y) - 4)))
        yield scored(
            task, "K (L - E0)^k + E1, least squares", truth, around(value(p, there["hot"].to_numpy()), error), label
        )
        gap = np.log(y) - np.log(x)
        yield scored(
            task, "mean ratio", truth,
            np.exp(around(np.log(there["hot"].to_numpy()) + gap.mean(), float(gap.std()))), label,
        )  # fmt: skip


MEMBER = "capability_from_loss"
FORECASTERS = ("last_value", "pooled_change", "pooled_curves", MEMBER)


EARLY = ["acc_hellaswag", "acc_arc:easy", "acc_arc:challenge", "acc_piqa"]


def early() -> Iterator[pd.DataFrame]:
    """Accuracies at the end of Gemstones from a fifth of training, each model from all others."""
    from pooling import curves_of

    models, losses, benchmarks = gemstones()
    curves = curves_of("gemstones")
    yield from replayed(curves, EARLY, [[run] for run in curves.runs.index], "from a fifth")
    accuracy = benchmarks[benchmarks["metric"] == "acc"]
    series = dict(iter(losses[losses["series"] == "val"].groupby("model")))
    for metric in EARLY:
        own = accuracy[accuracy["benchmark"] == metric.removeprefix("acc_")].copy()
        own["loss"] = np.concatenate([
            np.interp(some["step"], series[model]["step"], series[model]["loss"])
            for model, some in own.groupby("model", sort=False)
        ])  # fmt: skip
        own["params"] = own["model"].map(models["params"])
        own = own[own["step"] > 0.04 * own["step"].max()]
        last = own[own["step"] == own["step"].max()]
        chance = curves.metrics[metric].chance or 0.0
        for model in models.index:
            left, there = own[own["model"] != model], last[last["model"] == model]
            law = power_fit(left[["params", "tokens"]].to_numpy(dtype=float), left["loss"].to_numpy())
            curve, error = logistic_fit(left["loss"].to_numpy(), left["value"].to_numpy(), chance)
            middle = curve(law(there[["params", "tokens"]].to_numpy(dtype=float)))
            yield scored(
                f"{metric} from a fifth", "logistic two-step, from the plan", there["value"].to_numpy(),
                around(middle, error), [model],
            )  # fmt: skip


def replayed(
    curves: Curves,
    names: list[str],
    groups: list[list[str]],
    what: str,
    methods: Sequence[str | Model] = FORECASTERS,
) -> Iterator[pd.DataFrame]:
    """The end of each group of runs from a fifth of it, by forecasters that learn from all other runs."""
    for out in groups:
        history = curves.select(runs=[run for run in curves.runs.index if run not in out])
        own = curves.select(runs=out)
        rows = [
            (run, name, own.series[run, name].step[-1]) for run in out for name in names if (run, name) in own.series
        ]
        target = pd.DataFrame(rows, columns=["run", "metric", "step"])
        truth = np.array([own.series[run, name].value[-1] for run, name, _ in rows])
        for method in methods:
            name = method if isinstance(method, str) else method.name
            found = fit(method, history).forecast(own.truncate(FIFTH), target, seed=0)
            for metric in names:
                at = (target["metric"] == metric).to_numpy()
                yield scored(f"{metric} {what}", name, truth[at], found.draws[at], target["run"][at])


def two_steps(
    left: pd.DataFrame, there: pd.DataFrame, outcomes: list[OutcomeFacts], via: list[str], inputs: list[str], task: str,
    rows: pd.DataFrame | None = None,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """Dearer runs from cheaper ones: the ladder with pooled outcomes, with one at a time, the published fits, a law."""
    names = [one.name for one in outcomes]
    numbers = [name for name in inputs if pd.api.types.is_numeric_dtype(left[name])]
    texts = [name for name in inputs if name not in numbers]
    label = [f"{name}/{i}" for name in names for i in there.index]
    truth = np.concatenate([there[name].to_numpy(dtype=float) for name in names])
    ladder = ladder_of(left, outcomes, via[:1], inputs, towards=there[inputs], rows=rows)
    yield scored(task, "ladder", truth, np.concatenate(ladder.draws(there[inputs], n=DRAWS)), label)
    alone = [
        ladder_of(left, [one], via[:1], inputs, towards=there[inputs], rows=rows, first=ladder.steps[0])
        for one in outcomes
    ]  # fmt: skip
    drawn = np.concatenate([one.draws(there[inputs], n=DRAWS)[0] for one in alone])
    yield scored(task, "ladder, each outcome alone", truth, drawn, label)
    if len(via) > 1:
        more = ladder_of(left, outcomes, via, inputs, towards=there[inputs], rows=rows)
        yield scored(
            task, f"ladder via {len(via)} losses", truth, np.concatenate(more.draws(there[inputs], n=DRAWS)), label
        )
    point = pd.Series(np.nan, index=there.index)
    for _, some in left.groupby(texts) if texts else [((), left)]:
        same = np.ones(len(there), dtype=bool)
        for name in texts:
            same &= (there[name] == some[name].iloc[0]).to_numpy()
        law = power_fit(some[numbers].to_numpy(dtype=float), some[via[0]].to_numpy(dtype=float))
        point[same] = law(there.loc[same, numbers].to_numpy(dtype=float))
    middle, errors = [], []
    below = left if rows is None else rows
    for one in outcomes:
        curve, error = logistic_fit(below[via[0]].to_numpy(), below[one.name].to_numpy(), one.chance or 0.0)
        middle.append(curve(point.to_numpy(dtype=float)))
        errors.append(around(middle[-1], error))
    yield scored(task, "logistic two-step", truth, np.concatenate(errors), label)
    if len(left) >= 10:
        direct = []
        for one in outcomes:
            law_ = law_of(
                left[[*inputs, one.name]], one.name, inputs, lower=0.0, upper=1.0, better="higher", chance=one.chance,
                towards=there[inputs],
            )  # fmt: skip
            direct.append(law_.draws(there[inputs], n=DRAWS))
        yield scored(task, "law of the accuracy", truth, np.concatenate(direct), label)
    dear = left.nlargest(max(len(left) // 3, 2), "cost")
    guess = np.concatenate([np.tile(dear[name].to_numpy(dtype=float), (len(there), 1)) for name in names])
    yield scored(task, "as the dearest third", truth, guess, label)


MARGIN = 0.1  # a task counts if some model to learn from is so far above chance


def mlfoundations_table() -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a model: data, params, tokens, cost, eight losses and 46 accuracies; and what is known of the tasks."""
    folder = DATA / "mlfoundations_scaling"
    about = pd.read_csv(folder / "eval_metadata.csv").set_index("Eval Task")
    rows = []
    for file in sorted((folder / "models").glob("*.json")):
        model = json.loads(file.read_text(encoding="utf-8"))
        plan = model["hyperparameters"]
        scores = json.loads((folder / "evals" / f"evaluation_{file.stem}_heavy.json").read_text(encoding="utf-8"))
        losses = {f"loss {one['val_data'][0].split('/')[-2]}": one["loss"] for one in model["results"]}
        rows.append({
            "data": file.stem.split("-")[0], "params": float(plan["params"]), "tokens": float(plan["tokens"]),
            "cost": float(plan["params"]) * float(plan["tokens"]), **losses, **scores["eval_metrics"]["icl"],
        })  # fmt: skip
    return pd.DataFrame(rows), about


def mlfoundations() -> Iterator[pd.DataFrame]:
    """The dearest 30 % of the models from the others: tasks in which one of the others is above chance."""
    runs, about = mlfoundations_table()
    via = sorted((str(name) for name in runs if str(name).startswith("loss ")), key=lambda name: name != "loss c4_val")
    dear = runs["cost"] > runs["cost"].quantile(0.7)
    left, there = runs[~dear], runs[dear]
    chance = about["Random baseline"] / 100
    tasks = [name for name in about.index if name in runs and left[name].max() >= chance[name] + MARGIN]
    outcomes = [
        OutcomeFacts(name, chance=float(chance[name]), items=float(about["#datapoints"][name])) for name in tasks
    ]
    yield from two_steps(
        left, there, outcomes, via, ["data", "params", "tokens"], f"mlfoundations, {len(tasks)} tasks, dearest 30 %"
    )


PYTHIA = ("arc_easy acc", "arc_challenge acc", "piqa acc", "sciq acc", "lambada_openai acc", "winogrande acc")
PROXY = "lambada_openai ppl"
SMALL = 1.2e9  # parameters


def pythia() -> Iterator[pd.DataFrame]:
    """The two largest sizes of Pythia from the smaller ones, by way of LAMBADA's perplexity."""
    curves = datasets.load("pythia_evals")
    small = curves.runs.index[curves.runs["params"] < SMALL]
    every = checkpoints(curves, PYTHIA, [PROXY]).rename(columns={"step": "tokens"})
    every["params"], every["loss"] = every["run"].map(curves.runs["params"]).astype(float), np.log(every[PROXY])
    every["cost"] = every["params"] * every["tokens"]
    known, last = every["run"].isin(small), every["tokens"] == every["tokens"].max()
    items = questions(curves, PYTHIA)
    outcomes = [OutcomeFacts(name, chance=curves.metrics[name].chance, items=items.get(name)) for name in PYTHIA]
    for left, inputs, what in (
        (every[known & last], ["params"], "their size"),
        (every[known], ["params", "tokens"], "size and tokens, all checkpoints"),
    ):
        yield from two_steps(
            left.reset_index(drop=True), every[~known & last], outcomes, ["loss"], inputs,
            f"Pythia, six tasks, two largest sizes from {what}", every[known],
        )  # fmt: skip
    largest = [[run for run in curves.runs.index if curves.runs["params"][run] == size] for size in (1.4e9, 2.8e9)]
    names = list(PYTHIA)
    for out in largest:
        kept = curves.select(runs=[*small, *out], metrics=[*names, PROXY])
        for rows_ in replayed(kept, names, [out], "from a fifth"):
            yield rows_.assign(task="Pythia, six tasks, two largest sizes from a fifth")


def prior_outcomes(ability: np.ndarray, n: int, b: int, random: np.random.Generator) -> tuple[np.ndarray, Response]:
    """Accuracies (b, m) of runs of some ability (m,), by maps from their prior, in sds of that of the first n runs."""
    sd_m = MIDDLE_PRIOR[2] * np.sqrt(MIDDLE_PRIOR[3] / random.chisquare(MIDDLE_PRIOR[3]))
    sd_k = STEEP_PRIOR[2] * np.sqrt(STEEP_PRIOR[3] / random.chisquare(STEEP_PRIOR[3]))
    middle = MIDDLE_PRIOR[0] + sd_m * (2.0 * random.standard_normal() + random.standard_normal(b))
    steep = STEEP_PRIOR[0] + sd_k * (2.0 * random.standard_normal() + random.standard_normal(b))
    middle, steep = np.clip(middle, MIDDLES[0], MIDDLES[-1]), np.clip(steep, STEEPS[0], STEEPS[-1])
    response = Response("accuracy", 0.25, 1.0, 1000.0, True)
    every = (ability - ability[:n].mean()) / ability[:n].std()
    apart = np.sqrt(3.0) * np.abs(every[:, None] - every)
    process = np.linalg.cholesky((1 + apart) * np.exp(-apart) + 1e-9 * np.eye(len(every)))
    found = []
    for i in range(b):
        level = random.choice(response.levels, p=response.level_prior)
        shift = random.choice((0.03, 0.15, 0.4), p=(0.4, 0.4, 0.2))
        moved = every + shift * process @ random.standard_normal(len(every))
        p = response.value(np.exp(steep[i]) * (moved - middle[i]), level)
        if random.random() < FLAT:
            p = response.value(np.full(len(every), -random.choice(HEIGHTS)), 1.0)
        noise = np.exp(0.5 * random.standard_normal()) * np.sqrt(p * (1 - p) / 1000)
        found.append(np.clip(p + noise * random.standard_normal(len(p)), 0, 1))
    return np.stack(found), response


def calibration() -> Iterator[pd.DataFrame]:
    """Simulated tables from the prior of maps: where the truth ranks among draws, inside the rows and beyond them."""
    random = np.random.default_rng(0)
    for table_ in range(TABLES):
        b, n, m = 4, 40, 5
        ability = random.standard_normal(n)
        ability = (ability - ability.mean()) / ability.std()
        there = np.concatenate([random.uniform(-1, 1, m), random.uniform(2, 4, m)])
        y, response = prior_outcomes(np.r_[ability, there], n, b, random)
        maps = [nodes_of(MapRows(ability[None], np.zeros((n, 0)), np.full(n, -1), own[:n]), response) for own in y]
        shared = shared_draws(maps, DRAWS, seed=table_)
        zero = np.zeros((2 * m, DRAWS))
        asked = AskedAbility(np.repeat(there[None, :, None], DRAWS, axis=2), np.zeros((2 * m, 0, DRAWS)),
                      np.full(2 * m, -1), zero, zero)  # fmt: skip
        for i, one in enumerate(maps):
            drawn = outcome_draws(one, map_draws(one, shared, seed=i), asked, seed=i)
            for part, name in ((slice(0, m), "inside the rows"), (slice(m, None), "two to four sds beyond")):
                yield ranked(f"simulated from the prior, {name}", "map", y[i, n:][part], drawn[part], [str(i)] * m)


def chain() -> Iterator[pd.DataFrame]:
    """Both steps on simulated tables: a law of size and data from its prior, then maps from theirs, with a floor."""
    random = np.random.default_rng(0)
    n, m, b = 40, 4, 3
    for table_ in range(CHAINS):
        logs = SPREAD * random.uniform(-1.7, 1.7, (n + 2 * m, 2))
        logs[n + m :] = 1.7 * SPREAD + random.uniform(0, np.log(TIMES) / 2, (m, 2))
        encoded = Encoded(logs, np.zeros((len(logs), 0)), np.zeros(len(logs), dtype=int))
        structures = structures_for(encoded, np.zeros(2))[:STRUCTURES]
        scene = Scene(0.5, 1.0, np.full(2, SPREAD), np.zeros(2), np.full(2, 1.7 * SPREAD), 1, "numbers")
        design = design_for(structures[random.integers(len(structures))], scene)
        numbers = design.mean + np.linalg.solve(design.whitener, random.standard_normal(len(design.mean)))
        clean = design.values(design.matrix(encoded), numbers[None])[0]
        spread = max(float(clean[:n].std()), 0.05)
        loss = clean + NOISE * spread * random.standard_t(FREEDOM, len(clean))
        # Ability falls with the loss itself in one table of two, else with its logarithm.
        y, response = prior_outcomes(-(np.exp(loss) if random.random() < 0.5 else loss), n, b, random)
        names = [f"exam {i + 1}" for i in range(b)]
        runs = pd.DataFrame({"params": 1e7 * np.exp(logs[:, 0]), "tokens": 1e9 * np.exp(logs[:, 1]),
                             "loss": np.exp(loss), **dict(zip(names, y, strict=True))})  # fmt: skip
        left, there, inputs = runs[:n], runs[n:].reset_index(drop=True), ["params", "tokens"]
        outcomes = [OutcomeFacts(name, chance=response.low, items=response.items) for name in names]
        ladder = ladder_of(left, outcomes, ["loss"], inputs, towards=there[inputs], seed=table_)
        measures, drawn = (of(there[inputs], n=DRAWS, seed=table_) for of in (ladder.measures, ladder.draws))
        label = [str(table_)] * m
        for part, where in ((slice(0, m), "inside the rows"), (slice(m, None), f"up to {TIMES:.0f} times beyond")):
            yield ranked(f"logarithm of the loss, {where}", "ladder", loss[n:][part], measures[0][part], label)
            for own, draws in zip(y, drawn, strict=True):
                found = ranked(f"accuracy, {where}", "ladder", own[n:][part], draws[part], label)
                yield found
                # By what the ablest runs, held out, have made of the intervals.
                made = "made narrower" if ladder.widening < 1 else "made wider"
                yield found.assign(task=f"accuracy, {where}, {made}")


def ranked(task: str, method: str, truth: np.ndarray, draws: np.ndarray, names: Iterable[str]) -> pd.DataFrame:
    """As `scored`, with the rank of each truth among its draws."""
    return scored(task, method, truth, draws, names).assign(rank=(draws < truth[:, None]).mean(axis=1))


def ranks(rows: pd.DataFrame) -> str:
    """How evenly truths rank among draws, if ranks are there: their shares by fifths, and the coverage of 50 %."""
    if "rank" not in rows:
        return ""
    lines = ["", "| task | shares of ranks by fifths | coverage of 50 % intervals |", "| --- | --- | --- |"]
    for task, some in rows.groupby("task", sort=False):
        shares = np.histogram(some["rank"], np.linspace(0, 1, 6))[0] / len(some)
        half = ((some["rank"] > 0.25) & (some["rank"] < 0.75)).mean()
        lines.append(f"| {task} | {', '.join(f'{one:.2f}' for one in shares)} | {half:.0%} |")
    return "\n".join(lines)


def control() -> Iterator[pd.DataFrame]:
    """Accuracies that have nothing to do with the loss: runs ten times larger than all others."""
    for seed in range(CONTROLS):
        random = np.random.default_rng(seed)
        runs = pd.DataFrame({"params": 10 ** random.uniform(6, 8, 30), "tokens": 10 ** random.uniform(8, 10, 30)})
        larger = pd.DataFrame({"params": 1e9 * np.ones(5), "tokens": 1e11 * np.ones(5)})
        for some in (runs, larger):
            some["loss"] = 1.7 + 400 / some["params"] ** 0.34 + 410 / some["tokens"] ** 0.28
            some["accuracy"] = random.binomial(500, 0.25 + 0.5 * random.beta(2, 2, len(some))) / 500
        outcomes = [OutcomeFacts("accuracy", chance=0.25, items=500.0)]
        ladder = ladder_of(runs, outcomes, ["loss"], ["params", "tokens"], towards=larger[["params", "tokens"]])
        truth = larger["accuracy"].to_numpy()
        name = "accuracy without relation to loss"
        yield scored(name, "ladder", truth, ladder.draws(larger[["params", "tokens"]], n=DRAWS)[0], [str(seed)] * 5)
        curve, error = logistic_fit(runs["loss"].to_numpy(), runs["accuracy"].to_numpy(), 0.25)
        yield scored(
            name, "logistic, true loss", truth, around(curve(larger["loss"].to_numpy()), error), [str(seed)] * 5
        )
        guess = np.tile(runs["accuracy"].to_numpy(), (5, 1))
        yield scored(name, "as any other run", truth, guess, [str(seed)] * 5)


def main() -> None:
    """Run the parts that were named, or all."""
    parts = {one.__name__: one for one in (cooled, early, mlfoundations, pythia, calibration, chain, control)}
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; all if none is named")
    options.add_argument("--out", type=Path, default=None)
    given = options.parse_args()
    for name in given.parts or list(parts):
        rows = pd.concat(list(parts[name]()), ignore_index=True)
        print(f"\n## {name}\n\n{table(rows)}{ranks(rows)}", flush=True)
        if given.out is not None:
            given.out.mkdir(parents=True, exist_ok=True)
            rows.to_csv(given.out / f"{name}.csv", index=False)


if __name__ == "__main__":
    main()
