"""What watching costs: one look, a thousand looks, and a real training loop with a monitor.

    python benchmarks/watching.py look --out watching        # ten runs of digits that grow, a saved model
    python benchmarks/watching.py thousand --out watching    # time and memory of 1,000 looks
    python benchmarks/watching.py loop --out watching        # digits training with and without a monitor

Needs psutil. `look` and `loop` fit a model on the runs of digits (recipes of the watched runs left out), once per
--out. All times are CPU seconds of the process unless said otherwise, as other work may run on the machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
import psutil

import predictdyn as pdyn
from predictdyn.api.watching import begun
from predictdyn.curves import Curves

METRICS = ["test_accuracy", "train_loss", "validation_loss", "gradient_norm"]
TARGET = "test_accuracy > 0.9"
RUNS = 10


def parts() -> tuple[Curves, Curves]:
    """Ten runs of ten recipes, and the runs of all other recipes."""
    curves = pdyn.load_dataset("digits")
    curves = curves.select(runs=curves.runs.index[curves.runs["intervention"].eq("none")])
    curves = curves.select(metrics=[name for name in METRICS if name in curves.metrics])
    families = list(curves.runs["family"].unique())[:: len(curves.runs["family"].unique()) // RUNS][:RUNS]
    watched = [curves.runs.index[curves.runs["family"].eq(family)][0] for family in families]
    return curves.select(runs=watched), curves.select(runs=curves.runs.index[~curves.runs["family"].isin(families)])


def model_at(out: Path, forecaster: str) -> Path:
    """A saved model of the history."""
    folder = out / f"model-{forecaster}"
    if not folder.exists():
        out.mkdir(parents=True, exist_ok=True)
        pdyn.fit(parts()[1], forecaster).save(folder)
    return folder


def grown(folder: Path, watched: Curves, before: float, now: float) -> None:
    """Append to a file of JSON lines a run what it logs between two shares of its length."""
    folder.mkdir(parents=True, exist_ok=True)
    for run in watched.runs.index:
        own = watched.points[watched.points["run"] == run]
        share = own["step"] / float(watched.runs.loc[run, "last_step"])
        some = own[(share > before) & (share <= now)]
        with (folder / f"{run}.jsonl").open("a", encoding="utf-8") as file:
            for step, rows in some.groupby("step"):
                cells = dict(zip(rows["metric"], rows["value"], strict=True))
                file.write(json.dumps({"step": int(step), **cells}) + "\n")


def watcher_on(logs: Path, out: Path | None, model: Path | None) -> object:
    """A watcher as the command makes it."""
    return begun(
        logs, model, history=None, forecaster="auto", targets=(TARGET,), metrics=(), false_alarms=0.05, silent=0.0,
        every=60.0, out=out, on_alarm=None, address=None, say=lambda line: None, source="json_lines", seed=0,
        settings={"last_step": "2000"},
    )  # fmt: skip


def look(out: Path, forecaster: str) -> None:
    """Latency of one look at ten runs that have grown, and of one at runs that have not."""
    watched, _ = parts()
    model, logs = model_at(out, forecaster), out / f"logs-{forecaster}-{time.time_ns()}"
    grown(logs, watched, -1.0, 0.1)
    page = out / f"watch-{time.time_ns()}"
    begin = time.process_time()
    watch = watcher_on(logs, page, model)
    loaded = time.process_time() - begin
    begin = time.process_time()
    watcher_on(logs, page, model)
    again = time.process_time() - begin
    rows = []
    for share in np.arange(0.1, 0.6, 0.05):
        grown(logs, watched, share - 0.05 if share > 0.1 else 0.1, share)
        begin, cpu = time.perf_counter(), time.process_time()
        watch.look()
        rows.append((time.perf_counter() - begin, time.process_time() - cpu))
        begin = time.perf_counter()
        watch.look()
        rows[-1] += (time.perf_counter() - begin,)
    first, rest = rows[0], np.array(rows[1:])
    print(
        f"{forecaster}: model read and alarms learnt in {loaded:.1f} s of CPU, at a restart in {again:.2f} s; "
        f"the first look takes {first[0]:.2f} s (CPU {first[1]:.2f} s)"
    )
    print(
        f"  one look, {RUNS} runs grown: median {median(rest[:, 0]):.2f} s, largest {rest[:, 0].max():.2f} s "
        f"(CPU {median(rest[:, 1]):.2f} s); nothing new: {median(rest[:, 2]) * 1000:.0f} ms"
    )


def thousand(out: Path, looks: int) -> None:
    """CPU and memory of many looks, with new rows of all runs at each."""
    rng = np.random.default_rng(0)
    logs = out / f"long-{time.time_ns()}"
    logs.mkdir(parents=True)
    watch = quick_watcher(logs, out / f"watch-{time.time_ns()}", looks)
    process, sizes, costs = psutil.Process(), [], []
    for number in range(looks):
        for run in range(RUNS):
            with (logs / f"r{run}.jsonl").open("a", encoding="utf-8") as file:
                value = 0.3 + 2 * np.exp(-number / 300) + rng.normal(0, 0.01)
                file.write(json.dumps({"step": number, "validation_loss": value}) + "\n")
        cpu = time.process_time()
        watch.look()
        costs.append(time.process_time() - cpu)
        sizes.append(process.memory_info().rss / 2**20)
    state = (watch.out / "state.json").stat().st_size / 1024
    parts = np.array_split(np.arange(looks), 10)
    print(f"{looks} looks, {RUNS} growing runs, state.json {state:.0f} KiB at the end")
    print("| looks | CPU a look, mean | memory, largest |\n| --- | ---: | ---: |")
    for part in parts:
        cpu, size = np.array(costs)[part].mean(), np.array(sizes)[part].max()
        print(f"| {part[0] + 1} to {part[-1] + 1} | {cpu:.2f} s | {size:.0f} MiB |")


def quick_watcher(logs: Path, out: Path, looks: int) -> object:
    """A watcher that forecasts by the mean change of a few finished runs: the loop is what is measured."""
    import pandas as pd

    step = np.arange(0, 2 * looks, 20)
    rng = np.random.default_rng(1)
    rows = [
        pd.DataFrame({"run": f"old{i}", "step": step, "validation_loss": value + rng.normal(0, 0.01, len(step))})
        for i, value in ((i, 0.3 + 0.02 * i + 2 * np.exp(-step / 300)) for i in range(6))
    ]
    past = Curves.from_frame(pd.concat(rows), runs={"last_step": int(step[-1])})
    for run in range(RUNS):
        (logs / f"r{run}.jsonl").write_text(json.dumps({"step": 0, "validation_loss": 2.3}) + "\n", encoding="utf-8")
    return begun(
        logs, None, history=past, forecaster="mean_change", targets=("validation_loss < 0.35",), metrics=(),
        false_alarms=0.05, silent=0.0, every=60.0, out=out, on_alarm=None, address=None, say=lambda line: None,
        source="json_lines", seed=0, settings={"last_step": str(2 * looks)},
    )  # fmt: skip


def loop(out: Path, forecaster: str, seconds: float, idle: float) -> None:
    """The training and evaluation code of digits, run again and again as one long run, with a monitor that logs each
    evaluation and knows the planned end. After each evaluation the loop sleeps for ``idle`` seconds, as one that waits
    for an accelerator.

    Reported are the CPU of the training thread inside `log`, the CPU of the monitor's thread, both as a share of the
    CPU of all else, and when the first look came.
    """
    root = Path(__file__).parents[1] / "datasets"
    sys.path[:0] = [str(root), str(root / "digits")]
    import make
    import recipes
    import train

    recipe = recipes.recipe(0)
    names = [make.Run(recipe, seed).name for seed in recipes.SEEDS]
    bench = make._bench(recipe, "none")
    monitor, inside, first, looked = None, 0.0, None, 0.0
    number, planned = -2, 1  # the first training compiles, and the second says how many fill the time
    begin = cpu = time.monotonic()
    while number < planned:
        for step, state in train.trained(recipe, bench.data, bench.rates, 0, train.untrained(recipe)):
            time.sleep(idle if number >= -1 else 0.0)
            rows = make.measured(recipe, names, bench, step, state)
            values = {metric: value for run, metric, _, value, _ in rows if run == names[0] and metric in METRICS}
            if monitor is not None:
                before = time.thread_time()
                monitor.log(step + number * recipe.last_step, values)
                inside += time.thread_time() - before
                if first is None and monitor.advice.step >= 0:
                    first = time.monotonic() - begin
        number += 1
        if number == -1:
            begin = time.monotonic()
        if number == 0:
            planned = max(1, round(seconds / (time.monotonic() - begin)))
            model = model_at(out, forecaster) if forecaster != "none" else None
            monitor = pdyn.Monitor(model, last_step=planned * recipe.last_step, metrics=METRICS[:1])
            begin, cpu = time.monotonic(), time.process_time()
    whole, lasted = time.process_time() - cpu, time.monotonic() - begin
    behind, looked = monitor._spent, monitor.advice.step
    rest = whole - behind - inside
    came = "none came" if first is None else f"the first came after {first:.0f} s"
    print(
        f"{forecaster}: {planned} trainings in {lasted:.0f} s ({rest:.1f} s of CPU); in log {inside * 1000:.1f} ms "
        f"({inside / rest:.4%}), in looks beside it {behind:.2f} s; together {(inside + behind) / rest:.2%} of "
        f"its CPU and {(inside + behind) / lasted:.2%} of the time; {came}, the latest is of step {looked:g}"
    )
    begin = time.monotonic()
    monitor.close()
    print(f"  the last look, after the training, took {time.monotonic() - begin:.1f} s")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["look", "thousand", "loop"])
    parser.add_argument("--forecaster", default="auto", help="With `loop` also none: no model.")
    parser.add_argument("--looks", type=int, default=1000, help="Looks of `thousand`.")
    parser.add_argument("--seconds", type=float, default=150.0, help="How long `loop` trains.")
    parser.add_argument("--idle", type=float, default=0.0, help="Seconds that `loop` sleeps after each evaluation.")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    if asked.what == "thousand":
        thousand(asked.out, asked.looks)
    elif asked.what == "look":
        look(asked.out, asked.forecaster)
    else:
        loop(asked.out, asked.forecaster, asked.seconds, asked.idle)


if __name__ == "__main__":
    main()
