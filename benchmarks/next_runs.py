"""Which runs to buy, on four tables of scalebench: R2 at parts of the budget, beside random, cheapest, D-, V-optimal.

python benchmarks/next_runs.py [task ...] [--seeds 10] [--methods next_runs,random,...] [--out FOLDER]

PREDICTDYN_DATA names the folder with `scalebench`. Train rows are candidates, with the costs that its README states;
the budget is a share of the cost of all train rows. Test rows are the targets. The final fit is the default law of the
rows bought; fewer than eight have the structures' own posterior (`pilot`). No rows, or no fit, count as R2 = -1. Groups
are fitted together, with the group as an input. Of the five losses of a mixture each is chosen for and scored alone;
seeds are dealt over them, so that ten seeds are two a loss. R2 is over all test rows of a task, clipped to -1..1.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.laws import law_of
from predictdyn.laws.inputs import inputs_from
from predictdyn.laws.next_runs import next_runs, pilot_draws

SMALL, MIXED = (0.01, 0.05, 0.1), (0.2, 0.35, 0.5)
FEW = 8  # rows; fewer leave none to hold out, and the law's structures would all weigh alike
LEAST_CHANGE = 1e-2  # prior precision of the classical designs


class Task(NamedTuple):
    """Inputs, losses, the cost of a row, shares of the budget, and the R2 of the published best choice at them."""

    losses: list[str]
    cost: Callable[[pd.DataFrame], pd.Series]
    shares: tuple[float, ...]
    published: tuple[float, ...]


TASKS = {
    "moe": Task(["loss_validation"], lambda t: t.num_experts * t.dense_parameter_count, SMALL, (0.59, 0.65, 0.83)),
    "data_constrained": Task(["loss"], lambda t: 6 * t.params * t.tokens, SMALL, (0.73, 0.85, 0.86)),
    "parallel": Task(["loss"], lambda t: 1.0 * t.num_params, SMALL, (-1.0, 0.77, 0.99)),
    "domain_mixture": Task(
        [f"loss_domain_{i}" for i in range(1, 6)],
        lambda t: t["proportion_domain_1"] * 0 + 1.0,
        MIXED,
        (0.64, 0.89, 0.95),
    ),
}
METHODS = ("next_runs", "random", "cheapest", "d_optimal", "v_optimal")
FIXED = ("cheapest", "d_optimal", "v_optimal")  # the seed changes nothing about what is bought


def chosen(
    method: str, train: pd.DataFrame, test: pd.DataFrame, loss: str, task: Task, budget: float, seed: int
) -> list[int]:
    """Places of the rows bought, in order."""
    price = task.cost(train).to_numpy(dtype=float)
    inputs = [name for name in train if name not in task.losses]
    if method == "next_runs":
        bought = next_runs(
            train[inputs],
            price,
            budget,
            test[inputs],
            value=loss,
            run=lambda rows: train.loc[rows.index, loss],
            seed=seed,
        )
        return [int(str(label)) for label in bought.candidates]
    if method == "random":
        order = np.random.default_rng(seed).permutation(len(train))
        return affordable(order, price, budget)
    if method == "cheapest":
        return affordable(np.argsort(price, kind="stable"), price, budget)
    return classical(method, train[inputs], test[inputs], price, budget)


def affordable(order: np.ndarray, price: np.ndarray, budget: float) -> list[int]:
    """As many as fit, in order; what is too dear is passed over."""
    out = []
    for i in order:
        if price[i] <= budget * (1 + 1e-9):
            out.append(int(i))
            budget -= float(price[i])
    return out


def classical(method: str, train: pd.DataFrame, test: pd.DataFrame, price: np.ndarray, budget: float) -> list[int]:
    """Greedy designs for a quadratic in the inputs (in logarithms, standardised), gain per unit of cost."""
    how = inputs_from(pd.concat([train, test], ignore_index=True), list(train.columns))
    rows, asked = (features(how.encode(table), len(how.groups)) for table in (train, test))
    covariance = np.eye(rows.shape[1]) / LEAST_CHANGE
    free, out = np.ones(len(train), dtype=bool), []
    while (free & (price <= budget * (1 + 1e-9))).any():
        variance = np.einsum("nk,kl,nl->n", rows, covariance, rows)
        if method == "d_optimal":
            gain = np.log1p(variance)
        else:
            gain = ((asked @ covariance @ rows.T) ** 2).mean(axis=0) / (1 + variance)
        best = int(np.argmax(np.where(free & (price <= budget * (1 + 1e-9)), gain / price, -np.inf)))
        told = covariance @ rows[best]
        covariance = covariance - np.outer(told, told) / (1 + variance[best])
        free[best] = False
        budget -= float(price[best])
        out.append(best)
    return out


def features(encoded, groups: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    """1, inputs, squares, products, groups: (n, k)."""
    z = np.concatenate([encoded.logs, encoded.proportions[:, :-1]], axis=1)
    z = (z - z.mean(axis=0)) / np.maximum(z.std(axis=0), 1e-9)
    d = z.shape[1]
    pairs = [z[:, i] * z[:, j] for i in range(d) for j in range(i, d)]
    return np.stack([np.ones(len(z)), *z.T, *pairs, *(1.0 * (encoded.group == g) for g in range(1, groups))], axis=1)


def r2(truth: np.ndarray, forecast: np.ndarray) -> float:
    """1 - squared error / variance, in -1..1."""
    return float(np.clip(1 - ((truth - forecast) ** 2).sum() / ((truth - truth.mean()) ** 2).sum(), -1, 1))


def scored(
    train: pd.DataFrame, test: pd.DataFrame, places: list[int], loss: str, inputs: list[str], seed: int
) -> float:
    """R2 of the default law of the rows bought."""
    if not places:
        return -1.0
    rows, truth = train.iloc[places], test[loss].to_numpy()
    try:
        if len(places) >= FEW:
            drawn = law_of(rows[[*inputs, loss]], loss, inputs, towards=test[inputs], seed=seed).draws(
                test[inputs], seed=seed
            )
        else:
            drawn = pilot_draws(rows[[*inputs, loss]], test[inputs], value=loss, pool=train[inputs], seed=seed)
    except ValueError:
        return -1.0
    middle = np.median(drawn, axis=1)
    return r2(truth, np.where(np.isfinite(middle), middle, rows[loss].mean()))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("tasks", nargs="*", default=list(TASKS))
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--methods", default=",".join(METHODS))
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    folder = Path(os.environ["PREDICTDYN_DATA"]) / "scalebench"
    rows = []
    for name in given.tasks:
        task = TASKS[name]
        train, test = (pd.read_parquet(folder / name / f"{part}.parquet") for part in ("train", "test"))
        inputs = [column for column in train if column not in task.losses]
        whole = float(task.cost(train).sum())
        for share, published in zip(task.shares, task.published, strict=True):
            for method in given.methods.split(","):
                begun, found = time.process_time(), []
                # Where only the loss matters, one turn of each will do.
                turns = given.seeds if method not in FIXED else len(task.losses)
                for seed in range(turns):
                    loss = task.losses[seed % len(task.losses)]
                    places = chosen(method, train, test, loss, task, share * whole, seed)
                    found.append((scored(train, test, places, loss, inputs, seed), len(places)))
                r, n = np.array(found).T
                took = (time.process_time() - begun) / len(found)
                rows.append(
                    {
                        "task": name,
                        "budget": share,
                        "method": method,
                        "r2": r.mean(),
                        "sd": r.std(),
                        "worst": r.min(),
                        "published": published,
                        "runs": n.mean(),
                        "seeds": len(r),
                        "cpu_s": took,
                    }
                )
                print({k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
    table = pd.DataFrame(rows)
    wide = table.pivot_table(index=["task", "budget", "published"], columns="method", values="r2").reset_index()
    print(
        wide[["task", "budget", *given.methods.split(","), "published"]].to_string(
            index=False, float_format="{:.3f}".format
        )
    )
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(given.out / "next_runs.csv", index=False)


if __name__ == "__main__":
    main()
