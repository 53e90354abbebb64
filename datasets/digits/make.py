"""Make the digits suite: train the runs, measure them at every checkpoint, write a tidy folder.

python datasets/digits/make.py --runs 72 --out datasets/digits/data
"""

import argparse
import hashlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

# Read when JAX first computes: one thread, so that sums are taken in one order and the machine is shared.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import measure
import nets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import recipes
import signals
import train
from images import TestSets, TrainingSet, test_sets
from recipes import Recipe, Run

SHARPNESS_EVERY = 4  # checkpoints; Hessian products cost as much as all other measurements together
DECIMALS = 6  # kept of metrics that have an upper bound; of the others 17 significant bits, relative error below 8e-6
KEPT_BITS = 17
SOURCES = ("images.py", "recipes.py", "nets.py", "train.py", "signals.py", "measure.py", "make.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=72, help="the first N runs of the suite")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--only", help="write only the run of this name")
    arguments = parser.parse_args()
    chosen = [recipes.run(i) for i in range(arguments.runs)]
    if arguments.only:
        chosen = [run for run in chosen if run.name == arguments.only]
        if not chosen:
            known = f"the first {arguments.runs}, {recipes.run(0).name} to {recipes.run(arguments.runs - 1).name}"
            parser.error(f"no run {arguments.only!r} among {known}")
    make(chosen, arguments.out)


def make(chosen: list[Run], out: Path) -> None:
    """Write the tidy folder of these runs; finished recipes lie in OUT.parts until all is written."""
    parts = out.with_name(f"{out.name}.parts") / _fingerprint()
    parts.mkdir(parents=True, exist_ok=True)
    wanted = list(dict.fromkeys(run.recipe for run in chosen))
    began = time.monotonic()
    tables = []
    for done, recipe in enumerate(wanted):
        _progress(f"{done}/{len(wanted)} recipes, {time.monotonic() - began:.0f} s: {recipe.name}")
        tables.append(_finished(recipe, parts))
    _progress(f"{len(wanted)}/{len(wanted)} recipes, {time.monotonic() - began:.0f} s\n")
    points, events = (pd.concat(table, ignore_index=True) for table in zip(*tables, strict=True))
    names = {run.name for run in chosen}
    _write(points[points.run.isin(names)], events[events.run.isin(names)], chosen, out)
    shutil.rmtree(parts.parent)


def _fingerprint() -> str:
    """A name for the code that makes the data: what other code made is not taken for finished."""
    code = b"".join((Path(__file__).parent / name).read_bytes() for name in SOURCES)
    return hashlib.sha256(code).hexdigest()[:12]


def _progress(line: str) -> None:
    print(f"\r{line:<60}", end="", file=sys.stderr, flush=True)


def _finished(recipe: Recipe, parts: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The points and events of a recipe, from an earlier call of the same code or made now."""
    files = [parts / f"{recipe.name}-{what}.parquet" for what in ("points", "events")]
    if not all(file.exists() for file in files):
        for table, file in zip(made(recipe), files, strict=True):
            aside = file.with_suffix(".aside")
            table.to_parquet(aside)
            aside.rename(file)
    return pd.read_parquet(files[0]), pd.read_parquet(files[1])


def made(recipe: Recipe) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and measure the three runs of a recipe -> points, events.

    They are always trained together, so that a run does not depend, even in the last bit, on which runs were asked for.
    """
    names = [Run(recipe, seed).name for seed in recipes.SEEDS]
    bench = _bench(recipe)
    rates = train.learning_rates(recipe)
    rows: list[tuple[str, str, int, float, float]] = []
    diverged: dict[str, int] = {}
    for number, (step, state) in enumerate(train.trained(recipe, bench.data)):
        curved = number % SHARPNESS_EVERY == 0 or step == recipe.last_step
        found = _signals(state, bench, recipe.architecture, curved)
        for i, answers in enumerate(_answers(state, bench, recipe.architecture)):
            values = measure.outcomes(answers, bench.sets[i], bench.tests, recipe.rho)
            values |= {signal: (float(value[i]), measure.NO_STDERR) for signal, value in found.items()}
            values["learning_rate"] = (float(rates[step]), measure.NO_STDERR)
            rows += [(names[i], metric, step, *numbers) for metric, numbers in values.items()]
            # The step inside training, or this one if only the update that led here overflowed.
            first = int(state.diverged[i]) if state.diverged[i] >= 0 else step
            if state.diverged[i] >= 0 or not np.isfinite(values["train_loss"][0]):
                diverged[names[i]] = min(first, diverged.get(names[i], first))
    points = pd.DataFrame(rows, columns=["run", "metric", "step", "value", "stderr"])
    events = pd.DataFrame([(n, s, "diverged") for n, s in diverged.items()], columns=["run", "step", "what"])
    return _rounded(points), events


class Bench(NamedTuple):
    """What the runs of a recipe are trained and measured on."""

    sets: list[TrainingSet]
    data: train.Data  # the same, padded
    tests: TestSets
    chunks: jax.Array  # rows for the gradient noise
    shown: jax.Array  # all test images, (8400, 10, 10): aligned, conflicting, balanced, corrupted


def _bench(recipe: Recipe) -> Bench:
    sets = train.training_sets(recipe)
    tests = test_sets(recipe.cue_brightness)
    shown = np.concatenate([tests.aligned, tests.conflicting, tests.balanced, *tests.corrupted.values()])
    return Bench(sets, train.padded(sets), tests, signals.chunk_rows(recipe), jnp.asarray(shown))


def _answers(state: train.State, bench: Bench, architecture: str) -> list[measure.Logits]:
    """Logits of each of the three runs on its training images and on the test images."""
    n = len(bench.tests.classes)
    learnt = np.asarray(signals.all_logits(state.params, bench.data.images, architecture))
    shown = np.asarray(signals.all_logits(state.params, bench.shown, architecture))
    probed = np.asarray(signals.probe(state.params, bench.data, jnp.asarray(bench.tests.balanced), architecture))
    answers = []
    for i, one in enumerate(bench.sets):
        aligned, conflicting, balanced, rest = np.split(shown[i], [n, 2 * n, 3 * n])
        corrupted = dict(zip(bench.tests.corrupted, np.split(rest, len(bench.tests.corrupted)), strict=True))
        answers.append(
            measure.Logits(learnt[i, : len(one.given)], aligned, conflicting, balanced, corrupted, probed[i])
        )
    return answers


def _signals(state: train.State, bench: Bench, architecture: str, curved: bool) -> dict[str, np.ndarray]:
    """Signal -> one number per run, (3,); sharpness only where `curved`."""
    slopes = signals.signals(state.params, bench.data, bench.chunks, architecture)
    found = {name: np.asarray(value) for name, value in slopes._asdict().items()}
    found["update_size"] = np.asarray(state.update_size)
    if curved:
        found["sharpness"] = np.asarray(signals.sharpness(state.params, bench.data, architecture))
    return found


def _rounded(points: pd.DataFrame) -> pd.DataFrame:
    """Metrics with an upper bound at 6 decimals, the others at 17 significant bits; what is not finite is left out."""
    bounded = points.metric.isin([metric.metric for metric in measure.METRICS if metric.upper is not None])
    for column in ("value", "stderr"):
        points[column] = points[column].round(DECIMALS).where(bounded, points[column].map(_trimmed))
    return points[np.isfinite(points.value)]


def _trimmed(value: float) -> float:
    """The value with 17 significant bits, so that files are half as large; NaN for what does not fit a float32."""
    if not abs(value) <= float(np.finfo(np.float32).max):
        return float("nan")
    fraction, exponent = np.frexp(value)
    return float(np.ldexp(np.round(np.ldexp(fraction, KEPT_BITS)), int(exponent) - KEPT_BITS))


def _write(points: pd.DataFrame, events: pd.DataFrame, chosen: list[Run], out: Path) -> None:
    """The four tables of a tidy folder, written aside and put in place together."""
    aside = out.with_name(out.name + ".aside")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    table = pa.Table.from_pandas(points.sort_values(["run", "metric", "step"]), preserve_index=False)
    pq.write_table(table, aside / "points.parquet", compression="zstd", compression_level=19)
    pd.DataFrame([_row(run) for run in chosen]).sort_values("run").to_csv(aside / "runs.csv", index=False)
    pd.DataFrame(measure.METRICS).to_csv(aside / "metrics.csv", index=False)
    events.sort_values(["run", "step"]).to_csv(aside / "events.csv", index=False)
    if out.exists():
        shutil.rmtree(out)
    aside.rename(out)


def _row(run: Run) -> dict[str, object]:
    """The row of runs.csv: what is known before the run."""
    plan = run.recipe._asdict()
    del plan["number"]
    parameters = nets.parameter_count(run.recipe.architecture, run.recipe.width, run.recipe.depth)
    first = {"run": run.name, "family": run.recipe.name, "last_step": plan.pop("last_step")}
    return first | plan | {"parameters": parameters, "seed": run.seed}


if __name__ == "__main__":
    main()
