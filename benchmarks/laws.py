"""Laws of finished runs on public tables, beside published numbers: how near, how sure, how long.

python benchmarks/laws.py [scalebench] [mlfoundations] [isoflops] [gemstones] [obs_scaling] [exponents] [published]
    [--out DIR]

Reads the folders of $PREDICTDYN_DATA. One default for all: no setting depends on a task, and names of columns are
replaced by x1, x2, ... before anything is fitted. R2 is 1 - sum of squared errors / sum of squares around the mean of
the truths; where a task has several targets it is taken over each, and over all their rows together. Prints Markdown;
--out keeps every forecast as CSV.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from predictdyn.laws import law_of
from predictdyn.laws.design import design_for, scene_of
from predictdyn.laws.inputs import inputs_from
from predictdyn.laws.posterior import mode_of
from predictdyn.laws.sampling import importance_sample
from predictdyn.laws.structures import structures_for

DATA = Path(os.environ.get("PREDICTDYN_DATA", "."))
LEVELS = (0.05, 0.5, 0.95)


class Task(NamedTuple):
    """Finished runs, the runs in question, the inputs, the target, and what is known of its range."""

    name: str
    finished: pd.DataFrame
    asked: pd.DataFrame
    inputs: list[str]
    target: str
    known: Mapping[str, object] = MappingProxyType({})


def answered(task: Task, seed: int = 0) -> pd.DataFrame:
    """Truth, mean and quantiles of each run in question, and CPU seconds of the whole."""
    plain = {name: f"x{i + 1}" for i, name in enumerate(task.inputs)}
    finished = task.finished[[*task.inputs, task.target]].rename(columns=plain)
    asked = task.asked[task.inputs].rename(columns=plain)
    begun = time.process_time()
    law = law_of(finished, task.target, list(plain.values()), towards=asked, seed=seed, **task.known)  # type: ignore[arg-type]
    draws = law.draws(asked, seed=seed)
    seconds = time.process_time() - begun
    low, middle, high = np.quantile(draws, LEVELS, axis=1)
    return pd.DataFrame(
        {
            "task": task.name,
            "truth": task.asked[task.target].to_numpy(dtype=float),
            "mean": draws.mean(axis=1),
            "median": middle,
            "low": low,
            "high": high,
            "seconds": seconds,
        }
    )


def summary(rows: pd.DataFrame) -> pd.Series:
    """R2, mean relative error, coverage of 90 % intervals, their width in sds of the truth, CPU seconds."""
    error, spread = rows["truth"] - rows["mean"], rows["truth"] - rows["truth"].mean()
    return pd.Series(
        {
            "runs": len(rows),
            "R2": max(1 - float((error**2).sum() / (spread**2).sum()), -1.0),
            "relative error": float((rows["median"] / rows["truth"] - 1).abs().mean()),
            "coverage": float(((rows["low"] <= rows["truth"]) & (rows["truth"] <= rows["high"])).mean()),
            "width": float((rows["high"] - rows["low"]).mean() / rows["truth"].std()),
            "seconds": float(rows["seconds"].iloc[0]),
        }
    )


def scalebench() -> Iterator[Task]:
    """The four open tasks of arXiv 2604.22753: train rows to test rows, groups as an input."""
    for name, targets in {
        "data_constrained": ["loss"],
        "moe": ["loss_validation"],
        "parallel": ["loss"],
        "domain_mixture": [f"loss_domain_{i}" for i in range(1, 6)],
    }.items():
        train, test = (pd.read_parquet(DATA / "scalebench" / name / f"{part}.parquet") for part in ("train", "test"))
        inputs = [column for column in train if column not in targets and len(train[column].unique()) > 1]
        for target in targets:
            yield Task(name if len(targets) == 1 else f"{name}/{target[-1]}", train, test, inputs, target)


def mlfoundations_table() -> pd.DataFrame:
    """One row a model: data, size, tokens, C4 loss, and the mean error over 17 tasks.

    The tasks are those in which some model of 154M parameters is ten points above chance (arXiv 2403.08540).
    """
    folder = DATA / "mlfoundations_scaling"
    chance = pd.read_csv(folder / "eval_metadata.csv").set_index("Eval Task")["Random baseline"] / 100
    rows, scores = [], []
    for file in sorted((folder / "models").glob("*.json")):
        about = json.loads(file.read_text(encoding="utf-8"))
        plan = about["hyperparameters"]
        loss = next(one["loss"] for one in about["results"] if "c4_val" in one["val_data"][0])
        rows.append((file.stem.split("-")[0], plan["params"], plan["tokens"], plan["chinchilla_multiplier"], loss))
        scores.append(json.loads((folder / "evals" / f"evaluation_{file.stem}_heavy.json").read_text(encoding="utf-8")))
    table = pd.DataFrame(rows, columns=["data", "params", "tokens", "multiplier", "loss"])
    accuracy = pd.DataFrame([one["eval_metrics"]["icl"] for one in scores])
    small = table["params"].between(1.5e8, 1.6e8).to_numpy()
    good = [task for task in accuracy if accuracy.loc[small, task].max() >= chance[task] + 0.1]
    return table.assign(error=1 - accuracy[good].mean(axis=1))


def mlfoundations() -> Iterator[Task]:
    """Five cheap runs a data set (six for the error, given the loss) to all others, as published."""
    table = mlfoundations_table()
    cheap = ((table["multiplier"] == 1) & (table["params"] < 1e9)) | (
        (table["multiplier"] == 16) & (table["params"] < 2e7)
    )
    known = cheap | ((table["multiplier"] == 1) & (table["params"] < 2e9))
    for data, rows in table.groupby("data"):
        fit = cheap[rows.index]
        yield Task(f"loss of {data}", rows[fit], rows[~fit], ["params", "tokens"], "loss")
        fit = known[rows.index]
        limits = {"lower": 0.0, "upper": 1.0}
        yield Task(f"error of {data} from its loss", rows[fit], rows[~fit], ["loss"], "error", limits)
    expensive = table["params"] * table["tokens"] > (table["params"] * table["tokens"]).quantile(0.7)
    yield Task("all data, dearest 30 %", table[~expensive], table[expensive], ["data", "params", "tokens"], "loss")


def isoflops() -> Iterator[Task]:
    """Each study's largest two fifths of its budgets from the smaller ones."""
    table = pd.read_csv(DATA / "isoflops" / "isoflops.csv")
    for name, rows in table.groupby("experiment"):
        budgets = np.sort(rows["budget"].unique())
        large = rows["budget"] >= budgets[int(0.6 * len(budgets))]
        yield Task(str(name), rows[~large], rows[large], ["params", "tokens"], "loss")


def gemstones() -> Iterator[Task]:
    """The three largest shapes from the other eight, and later tokens from earlier ones."""
    folder = DATA / "gemstones"
    models = pd.read_csv(folder / "models.csv")
    losses = pd.read_csv(folder / "losses.csv.gz").merge(models[["model", "params"]], on="model")
    losses = losses[(losses["series"] == "val") & (losses["step"] % 9540 == 0)]
    large = losses["model"].isin(models.sort_values("params")["model"].iloc[-3:])
    for inputs in (["params", "tokens"], ["width", "depth", "tokens"]):
        yield Task(f"largest, by {' and '.join(inputs)}", losses[~large], losses[large], inputs, "loss")
    late = losses["tokens"] > losses["tokens"].median()
    yield Task("later half, by params and tokens", losses[~late], losses[late], ["params", "tokens"], "loss")


def obs_scaling() -> Iterator[Task]:
    """Hard benchmarks of the models with most compute (a fifth) from the weaker ones and three easy benchmarks."""
    table = pd.read_csv(DATA / "obs_scaling" / "base_llm_benchmark_eval.csv")
    table = table.rename(columns={"FLOPs (1E21)": "flops"})
    easy = ["ARC-C", "HellaSwag", "Winograd"]
    for hard in ("MMLU", "GSM8K", "HumanEval", "XWinograd"):
        rows = table.dropna(subset=["flops", hard, *easy])
        strong = rows["flops"] >= rows["flops"].quantile(0.8)
        yield Task(f"{hard} from easy ones", rows[~strong], rows[strong], easy, hard, BETTER)
        yield Task(f"{hard} from compute", rows[~strong], rows[strong], ["flops"], hard, BETTER)


def exponents() -> pd.DataFrame:
    """How the best size grows with compute, b / (a + b), in E + A/N^a + B/D^b: of all runs, and without the dearest.

    Median and 90 % interval by importance sampling; ``k`` is Pareto's, trusted up to .7.
    """
    rows = []
    for suite in (isoflops, gemstones):
        for task in suite():
            if task.inputs != ["params", "tokens"] or "later" in task.name:
                continue
            found: dict[str, object] = {"task": task.name}
            for which, table in (("all", pd.concat([task.finished, task.asked])), ("cheaper", task.finished)):
                inputs = inputs_from(table[task.inputs])
                encoded, u = inputs.encode(table), np.log(table[task.target].to_numpy(dtype=float))
                centres = np.array([centre for _, centre in inputs.logs.values()])
                additive = next(one for one in structures_for(encoded, centres) if one.name == "floor + powers")
                design = design_for(additive, scene_of(encoded, u, centres, 1, "numbers"))
                matrix = design.matrix(encoded)
                sample = importance_sample(design, matrix, u, mode_of(design, matrix, u, seed=0), seed=0)
                size, data = -sample.numbers[:, 2], -sample.numbers[:, 4]
                low, middle, high = np.quantile(data / (size + data), LEVELS)
                found |= {which: f"{middle:.3f} ({low:.3f} to {high:.3f})", f"k {which}": f"{sample.pareto_k:.2f}"}
            rows.append(found)
    return pd.DataFrame(rows).set_index("task")


BETTER = {"lower": 0.0, "upper": 1.0, "better": "higher"}
SUITES: dict[str, Callable[[], Iterator[Task]]] = {
    one.__name__: one for one in (scalebench, mlfoundations, isoflops, gemstones, obs_scaling)
}


def published() -> pd.DataFrame:
    """The law that is published with the tables of `mlfoundations`, by least squares on the same runs.

    L = E + (A (N/N0)^-a + B (D/D0)^-a), one exponent for both (arXiv 2403.08540, in other letters); N0 and D0 are
    geometric means of the runs that are fitted.
    """
    found = []
    for task in mlfoundations():
        if not task.name.startswith("loss"):
            continue
        known, asked = ((part[["params", "tokens"]], part["loss"].to_numpy()) for part in (task.finished, task.asked))
        centre = np.log(known[0]).mean(axis=0)

        def law(numbers: np.ndarray, rows: pd.DataFrame, centre: pd.Series = centre) -> np.ndarray:
            floor, size, data, exponent = numbers
            return np.asarray(floor + np.exp(-exponent * (np.log(rows) - centre)) @ np.array([size, data]))

        starts = product((1.5, 2.0), (0.3, 1.0), (0.3, 1.0), (0.1, 0.25))
        fits = [least_squares(lambda x, known=known: law(x, known[0]) - known[1], start) for start in starts]
        best = min(fits, key=lambda fit: float(fit.cost))
        error = float(np.mean(np.abs(law(best.x, asked[0]) / asked[1] - 1)))
        found.append({"task": task.name, "runs": len(asked[1]), "relative error": error, "exponent": best.x[3]})
    return pd.DataFrame(found).set_index("task")


TABLES: dict[str, tuple[str, Callable[[], pd.DataFrame]]] = {
    "exponents": ("exponent of the best size in compute", exponents),
    "published": ("the published law of mlfoundations, fitted again", published),
}


def markdown(table: pd.DataFrame) -> str:
    """A table of numbers, by its index."""
    lines = [["task", *table.columns], ["---"] * (len(table.columns) + 1)]
    for name, row in table.iterrows():
        numbers = [
            value if isinstance(value, str) else f"{value:.0f}" if column == "runs" else f"{value:.4g}"
            for column, value in row.items()
        ]
        lines.append([str(name), *numbers])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join([*SUITES, *TABLES]))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    for suite in asked.suites or [*SUITES, *TABLES]:
        if suite in TABLES:
            title, table_of = TABLES[suite]
            print(f"\n{title}\n")
            print(markdown(table_of()), flush=True)
            continue
        rows = pd.concat([answered(task, asked.seed) for task in SUITES[suite]()], ignore_index=True)
        table = rows.groupby("task", sort=False).apply(summary, include_groups=False)
        # A task with several targets has one more line: over all test rows at once, as its authors score it.
        whole = rows["task"].str.partition("/")[0]
        several = rows[rows.groupby(whole)["task"].transform("nunique") > 1]
        together = several.groupby(whole, sort=False).apply(summary, include_groups=False)
        print(f"\n{suite}: 90 % intervals hold {table['coverage'].mean():.0%} of the truths, mean over tasks\n")
        print(markdown(pd.concat([table, together.rename(index="{}, all".format)])), flush=True)
        if asked.out is not None:
            asked.out.mkdir(parents=True, exist_ok=True)
            rows.to_csv(asked.out / f"{suite}.csv", index=False)


if __name__ == "__main__":
    main()
