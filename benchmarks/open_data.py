"""Turn public data sets whose files no loader reads into tidy folders, for the benchmarks.

python benchmarks/open_data.py NAME [NAME ...] --out DIR

PREDICTDYN_DATA names the folder with a copy of the data sets; DIR/NAME is written for each. What is only known at the
end of a run (scaled losses, optima) is left out.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from predictdyn.loaders import text_log

METRIC = ["metric", "kind", "lower", "upper", "better", "chance"]
FEWEST_VALIDATIONS = 6
# Answers to choose from; commonsense_qa has five, siqa three.
CHANCE = {
    "arc:challenge": 1 / 4, "arc:easy": 1 / 4, "commonsense_qa": 1 / 5, "hellaswag": 1 / 4, "mmlu": 1 / 4,
    "openbookqa": 1 / 4, "piqa": 1 / 2, "siqa": 1 / 3, "winogrande": 1 / 2,
}  # fmt: skip


class Tables(NamedTuple):
    """The three tables of a tidy folder."""

    points: pd.DataFrame
    runs: pd.DataFrame
    metrics: pd.DataFrame


def revisiting_lang(data: Path) -> Tables:
    """20 curves of language tasks; every row of the language models stands four times in the source."""
    return _revisiting(data / "revisiting_nsl" / "benchmark.lang.csv")


def revisiting_inet_10(data: Path) -> Tables:
    """Six curves of ImageNet 10-shot error; the points to fit are smoothed, the others are raw."""
    return _revisiting(data / "revisiting_nsl" / "benchmark.vision.inet_10.csv")


def bnsl(data: Path) -> Tables:
    """The loss of four-digit addition against the size of the training set: one curve with a sharp break."""
    table = pd.read_csv(data / "bnsl" / "4_digit_addition.csv")
    points = pd.DataFrame(
        {
            "run": "4_digit_addition",
            "metric": "test_loss",
            "step": table["train_examples"],
            "value": table["test_loss"],
            "seen": (table["upstream_split"] == "fit").astype(int),
        }
    )
    return Tables(points, _own_families(points), _metrics([("test_loss", "loss", 0, None, "lower", None)]))


def gemstones(data: Path) -> Tables:
    """Losses and benchmarks of models of many shapes; no cool-downs and no ablation, which are other runs.

    The standard error of mmlu is left out: upstream states that of one subject, not that of their mean.
    """
    folder = data / "gemstones"
    losses = pd.read_csv(folder / "losses.csv.gz").rename(columns={"model": "run", "series": "metric", "loss": "value"})
    losses = losses[losses["metric"].isin(["val", "dclm", "fineweb_edu"])]
    tasks = pd.read_csv(folder / "benchmarks.csv.gz").rename(columns={"model": "run"})
    tasks["stderr"] = tasks["stderr"].where(tasks["benchmark"] != "mmlu")
    tasks["metric"] = tasks["metric"] + "_" + tasks["benchmark"]
    points = pd.concat([losses, tasks], ignore_index=True)[["run", "metric", "step", "value", "stderr"]]
    runs = pd.read_csv(folder / "models.csv").rename(columns={"model": "run"})
    runs = _own_families(points).merge(runs[["run", "width", "depth", "params"]], on="run")
    logged = sorted(points["metric"].unique())
    rows: list[tuple[object, ...]] = [
        ("val", "loss", 0, None, "lower", None),
        ("dclm", "robustness", 0, None, "lower", None),
        ("fineweb_edu", "robustness", 0, None, "lower", None),
        *((f"acc_{name}", "capability", 0, 1, "higher", chance) for name, chance in CHANCE.items()),
        *((name, "signal", 0, None, "lower", None) for name in logged if name.startswith("task_loss_")),
    ]
    return Tables(points, runs.assign(last_step=points["step"].max()), _metrics(rows))


def modded_nanogpt(data: Path) -> Tables:
    """Validation losses of speed runs: one log of each record, and 40 repeats of one script, which are one family."""
    folder = data / "modded_nanogpt"
    index = pd.read_csv(folder / "index.csv", dtype={"record": "str", "track": "str"})
    with warnings.catch_warnings():
        # Times of training are logged twice a step, and the baseline does not say its length: neither is used here.
        warnings.simplefilter("ignore", UserWarning)
        logs = text_log.load(folder, metrics="val_loss,tel").points  # tel is what llm.c calls its validation loss
    logs = logs.groupby("run").filter(lambda curve: len(curve) >= FEWEST_VALIDATIONS)
    index["run"] = [Path(file).stem for file in index["file"]]
    parts = [logs.merge(index[["run", "record", "track"]], on="run").rename(columns={"record": "family"})]
    repeats = pd.read_csv(folder / "replicates_val_loss.csv", dtype={"run": "str"})
    parts.append(
        repeats.assign(run=repeats["record"] + "__" + repeats["run"], family=repeats["record"], track="track_1_short")
        .rename(columns={"val_loss": "value"})
        .drop(columns=["record", "script_version"])
    )
    table = pd.concat(parts, ignore_index=True).assign(metric="val_loss")
    points = table[["run", "metric", "step", "value"]]
    known = table.drop_duplicates("run")[["run", "family", "track"]]
    runs = known.merge(_own_families(points)[["run", "last_step"]], on="run")[["run", "family", "last_step", "track"]]
    return Tables(points, runs, _metrics([("val_loss", "loss", 0, None, "lower", None)]))


def supercollapse(data: Path) -> Tables:
    """Test loss of eight widths of a network; losses and compute relative to the end of training are left out."""
    folder = data / "supercollapse"
    curves = pd.read_csv(folder / "mlp_const_curves.csv.gz", dtype={"run": "str"})
    points = curves.rename(columns={"test_loss": "value"}).assign(metric="test_loss")
    points = points[["run", "metric", "step", "value"]]
    known = pd.read_csv(folder / "mlp_const_runs.csv", dtype={"run": "str"})
    known = known.rename(columns={"D": "width"})[["run", "num_params", "width", "lr"]]
    runs = _own_families(points).merge(known, on="run")
    return Tables(points, runs, _metrics([("test_loss", "loss", 0, None, "lower", None)]))


def pythia_memorization(data: Path) -> Tables:
    """Share of the training sequences that each size has memorized, by checkpoint; and how much of it is for good.

    recall: of the sequences memorized at the end, the share that is memorized now; precision: of those memorized now,
    the share that is at the end. Both need the end of their own run, which knows neither at any cutoff: a forecast may
    learn from those of finished runs only, and a plain backtest of these two would leak (`memorization.py` hides them).
    """
    table = pd.read_csv(data / "pythia_memorization" / "early_vs_last.csv")
    both = table["both_pct"]
    values = {
        "memorized_share": table["memorized_pct"] / 100,
        "recall": both / (both + table["last_checkpoint_only_pct"]),
        "precision": both / (both + table["this_only_pct"]),
    }
    parts = [table[["size", "step"]].assign(metric=name, value=value) for name, value in values.items()]
    points = pd.concat(parts, ignore_index=True).rename(columns={"size": "run"})[["run", "metric", "step", "value"]]
    ended = points["step"] == points["step"].max()
    points = points[~ended | (points["metric"] == "memorized_share")]  # the others end at one by definition
    unit = {"m": 1e6, "b": 1e9}
    runs = _own_families(points)
    runs["parameters"] = [round(float(size[:-1]) * unit[size[-1]]) for size in runs["run"]]
    rows: list[tuple[object, ...]] = [
        ("memorized_share", "memorization", 0, 1, "lower", 0),
        ("recall", "memorization", 0, 1, "higher", None),
        ("precision", "memorization", 0, 1, "higher", None),
    ]
    return Tables(points, runs, _metrics(rows))


def pythia_bias(data: Path) -> Tables:
    """Unchanged runs of the gender-bias evaluations: the WinoBias gap (second release), CrowS-Pairs (first).

    The gap is pro less anti, over both types of sentence and both prompts. Two runs of the first release had batches
    twice as large: their steps are doubled.
    """
    table = pd.read_csv(data / "pythia_bias" / "bias_tidy.csv.gz")
    table = table[table["arm"] == "baseline"].assign(run=lambda rows: rows["generation"] + "-" + rows["size"])
    key = ["run", "step"]
    wino = table[table["suite"] == "winobias_v1"]
    side = wino["task"].str.extract("_(pro|anti)/")[0]
    sides = wino.assign(side=side).pivot_table(index=key, columns="side", values="value", aggfunc="mean").dropna()
    wanted = table["task"].str.startswith("crows_pairs_english") & (table["metric"] == "pct_stereotype")
    crows = table[wanted & (table["suite"] == "crows_v0")]
    parts = [
        (sides["pro"] - sides["anti"]).rename("value").reset_index().assign(metric="winobias_gap"),
        *(sides[one].rename("value").reset_index().assign(metric=f"winobias_{one}") for one in ("pro", "anti")),
        crows[[*key, "task", "value", "stderr"]].rename(columns={"task": "metric"}),
    ]
    points = pd.concat(parts, ignore_index=True)[["run", "metric", "step", "value", "stderr"]]
    points.loc[points["run"].isin(["v0-350m", "v0-1.3b"]), "step"] *= 2
    runs = _own_families(points)
    unit, size = {"m": 1e6, "b": 1e9}, runs["run"].str.partition("-")[2]
    runs["parameters"] = [round(float(one[:-1]) * unit[one[-1]]) for one in size]
    rows: list[tuple[object, ...]] = [
        ("winobias_gap", "bias", -1, 1, "zero", 0),
        *((f"winobias_{one}", "signal", 0, 1, None, None) for one in ("pro", "anti")),
        *((name, "bias", 0, 1, None, 0.5) for name in sorted(set(crows["task"]))),
    ]
    return Tables(points, runs, _metrics(rows))


DATA_SETS: dict[str, Callable[[Path], Tables]] = {
    "revisiting_lang": revisiting_lang,
    "revisiting_inet_10": revisiting_inet_10,
    "bnsl": bnsl,
    "gemstones": gemstones,
    "modded_nanogpt": modded_nanogpt,
    "supercollapse": supercollapse,
    "pythia_memorization": pythia_memorization,
    "pythia_bias": pythia_bias,
}
# BIG-Bench errors are made from the preferred metric of a task and need not end at 1; a top-1 error does.
REVISITING = {
    "LM": ("LM loss", "loss", 0, None, "lower", None),
    "NMT": ("NMT loss", "loss", 0, None, "lower", None),
    "BB": ("BB error", "capability", 0, None, "lower", None),
    "IC": ("IC error", "capability", 0, 1, "lower", 0.999),
}


def make(names: list[str], out: Path) -> None:
    """Write the tidy folder of each name under ``out``. Raises ValueError for an unknown name or where no copy is."""
    for name in names:
        if name not in DATA_SETS:
            raise ValueError(f"no data set {name!r}; known are {', '.join(DATA_SETS)}")
    source = os.environ.get("PREDICTDYN_DATA", "")
    if not source or not Path(source).is_dir():
        raise ValueError(f"PREDICTDYN_DATA must name the folder of public data sets, found {source!r}")
    for name in names:
        write(DATA_SETS[name](Path(source)), out / name)


def write(tables: Tables, folder: Path) -> None:
    """Write three tables as a tidy folder; long tables of points are compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    ending = ".csv.gz" if len(tables.points) > 5000 else ".csv"
    points = tables.points.sort_values(["run", "metric", "step"])
    points.to_csv(folder / f"points{ending}", index=False)
    tables.runs.sort_values("run").to_csv(folder / "runs.csv", index=False)
    tables.metrics.to_csv(folder / "metrics.csv", index=False)


def _revisiting(file: Path) -> Tables:
    table = pd.read_csv(file, dtype={"Domain": "str", "Task": "str", "Model": "str"}).drop_duplicates()
    # Tasks of BIG-Bench are written like ('date', '1-shot'), models of translation like 6 Enc, 6 Dec.
    words = (table[name].str.replace(r"[(),']", "", regex=True) for name in ("Domain", "Task", "Model"))
    step = table["Seen Examples"]
    points = pd.DataFrame(
        {
            "run": [" ".join(parts) for parts in zip(*words, strict=True)],
            "metric": table["Domain"].map({domain: row[0] for domain, row in REVISITING.items()}),
            "step": step.astype("int64") if (step % 1 == 0).all() else step,
            "value": table["Loss"],
            "seen": table["Training"],
        }
    )
    rows = [REVISITING[domain] for domain in sorted(table["Domain"].unique())]
    return Tables(points, _own_families(points), _metrics(rows))


def _own_families(points: pd.DataFrame) -> pd.DataFrame:
    """Runs that end at their largest step, each a family of its own."""
    last = points.groupby("run", as_index=False)["step"].max().rename(columns={"step": "last_step"})
    return last.assign(family=last["run"])[["run", "family", "last_step"]]


def _metrics(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=METRIC)


def main() -> None:
    """Write the folders that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=DATA_SETS, metavar="NAME", help=", ".join(DATA_SETS))
    parser.add_argument("--out", type=Path, required=True, help="folder to write in")
    called = parser.parse_args()
    try:
        make(called.names, called.out)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
