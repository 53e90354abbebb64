"""Figures of the data card: grokking, its progress measures, when it comes, wrong labels, all runs.

python datasets/grokking/figures.py          reads data/ beside this file, writes figures/, prints the card's tables
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

HERE = Path(__file__).parent
GRID = 20  # the first recipes are a grid of weight decay by training fraction
BLUE, RED, GREEN, ORANGE, GREY = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#8c8c8c"
KINDS = ("mlp, addition", "mlp, dihedral", "transformer, addition", "transformer, dihedral")
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}


def main() -> None:
    points = pd.read_parquet(HERE / "data" / "points.parquet")
    runs = pd.read_csv(HERE / "data" / "runs.csv", index_col="run")
    events = pd.read_csv(HERE / "data" / "events.csv")
    onset = onsets(events, "generalized", runs)
    (HERE / "figures").mkdir(exist_ok=True)
    with plt.rc_context(STYLE):
        drawn = {
            "grokking": grokking(points, runs),
            "progress": progress(points, runs),
            "onset": onset_grid(onset, runs),
            "label_noise": label_noise(points, runs),
            "all_runs": all_runs(points, runs, onset),
        }
        for name, figure in drawn.items():
            figure.savefig(HERE / "figures" / f"{name}.png", dpi=120)
            plt.close(figure)
    print(onset_table(onset, runs), kind_table(onsets(events, "memorized", runs), onset, runs), sep="\n\n")


def onsets(events: pd.DataFrame, what: str, runs: pd.DataFrame) -> pd.Series:
    """Step of an event per run, NaN where it never came (`generalized`: the run is censored)."""
    return events[events.what == what].set_index("run").step.reindex(runs.index)


def onset_table(onset: pd.Series, runs: pd.DataFrame) -> str:
    """Onsets of the grid's three seeds, by weight decay and training fraction, as Markdown."""
    grid = runs[_number(runs) < GRID]
    fractions = sorted(grid.train_fraction.unique())
    lines = [
        "| weight decay | " + " | ".join(f"{fraction:.0%} trained on" for fraction in fractions) + " |",
        "| --- " * (len(fractions) + 1) + "|",
    ]
    for decay, rows in grid.groupby("weight_decay"):
        cells = [_cell(onset[rows.index[rows.train_fraction == fraction]]) for fraction in fractions]
        lines.append(f"| {decay:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def kind_table(memorized: pd.Series, onset: pd.Series, runs: pd.DataFrame) -> str:
    """Runs, censored runs, quartiles of the onset as a share of the run and over the step of memorizing; Markdown."""
    lines = ["| architecture, operation | runs | censored | onset, share of the run | onset / memorized |"]
    lines.append("| --- " * 5 + "|")
    for kind, rows in [*runs.groupby(runs.architecture + ", " + runs.operation), ("all", runs)]:
        reached = onset[rows.index].dropna()
        measures = [reached / runs.last_step[reached.index], reached / memorized[reached.index]]
        quartiles = [" / ".join(f"{value:.2g}" for value in one.quantile([0.25, 0.5, 0.75])) for one in measures]
        cells = [kind, len(rows), len(rows) - len(reached), *(quartiles if len(reached) else ["", ""])]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _cell(onset: pd.Series) -> str:
    """All onsets of a recipe in order; censored ones last, as a dash."""
    return ", ".join([f"{step:.0f}" for step in sorted(onset.dropna())] + ["-"] * int(onset.isna().sum()))


def grokking(points: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """Training and test accuracy, and losses, for four recipes."""
    chosen = SHOWN
    figure, axes = plt.subplots(2, 4, figsize=(9, 4.4), sharex="col", sharey="row", layout="constrained")
    for (upper, lower), (title, family) in zip(axes.T, chosen.items(), strict=True):
        for metric, colour, label in (("train", GREY, "training pairs"), ("test", BLUE, "held-out pairs")):
            _curves(upper, points, runs, family, f"{metric}_accuracy", colour, label)
            _curves(lower, points, runs, family, f"{metric}_loss", colour, label)
        upper.set_title(f"{title}\n{_title(runs, family)}", fontsize=8)
        lower.set_xlabel("step")
    axes[0, 0].set_ylabel("accuracy")
    axes[0, 0].set_ylim(-0.02, 1.04)
    axes[1, 0].set(ylabel="loss (nats)", yscale="log", ylim=(1e-4, 200))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def progress(points: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """One recipe: accuracies, losses with only or without the general part, Fourier measures, weight norm."""
    family = SHOWN["grokking, addition"]
    panels = {
        "accuracy": {"train_accuracy": GREY, "test_accuracy": BLUE},
        "loss (nats)": {"test_loss": BLUE, "restricted_loss": GREEN, "excluded_loss": RED},
        "share": {"product_share": GREEN, "embedding_gini": ORANGE, "embedding_top3_share": RED},
        "weight norm": {"weight_norm": GREY},
    }
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.4), layout="constrained")
    onset = points[(points.run == f"{family}-s1") & (points.metric == "test_accuracy") & (points.value >= 0.95)].step
    for panel, (label, metrics) in zip(axes, panels.items(), strict=True):
        for metric, colour in metrics.items():
            _curves(panel, points, runs, family, metric, colour, metric.replace("_", " "), seeds=1)
        panel.axvline(onset.min(), color="black", linewidth=0.6, linestyle=":")
        panel.set_title(label, fontsize=8)
        panel.set_xlabel("step")
        if len(metrics) > 1:
            panel.legend(fontsize=6.5)
    axes[0].set_ylim(-0.02, 1.04)
    axes[2].set_ylim(0, 1.04)
    axes[1].set(yscale="log", ylim=(1e-3, 50))
    return figure


def onset_grid(onset: pd.Series, runs: pd.DataFrame) -> plt.Figure:
    """Onset of all runs of the grid against weight decay, and onset against memorizing for all runs."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    grid = runs[_number(runs) < GRID]
    decays = sorted(grid.weight_decay.unique())
    fractions = sorted(grid.train_fraction.unique())
    colours = plt.get_cmap("viridis_r")(np.linspace(0.1, 0.95, len(fractions)))
    limit = grid.last_step.max()
    for i, (fraction, colour) in enumerate(zip(fractions, colours, strict=True)):
        for place, decay in enumerate(decays):
            one = onset[grid.index[(grid.train_fraction == fraction) & (grid.weight_decay == decay)]]
            x = place + (i - 1.5) * 0.16 + np.linspace(-0.04, 0.04, len(one))
            left.plot(x, one, "o", color=colour, markersize=4)
            left.plot(
                x[one.isna()], [limit * 1.35] * int(one.isna().sum()), "^", color=colour, markersize=4, mfc="none"
            )
        left.plot([], [], "o", color=colour, label=f"{fraction:.0%}", markersize=4)
    left.axhline(limit, color="black", linewidth=0.6)
    left.set_yscale("log")
    left.set_yticks([100, 300, 1000, 3000, limit], ["100", "300", "1000", "3000", f"{limit}"])
    left.yaxis.set_minor_locator(NullLocator())
    left.set_ylim(90, limit * 1.6)
    left.set_xticks(range(len(decays)), [f"{decay:g}" for decay in decays])
    left.set(xlabel="weight decay", ylabel="onset of generalization (step)")
    left.set_title("grid of 60 runs; triangles: not within the budget", fontsize=8)
    left.legend(title="trained on", fontsize=7, title_fontsize=7)
    share = onset / runs.last_step
    kinds = {
        "mlp, addition": BLUE,
        "mlp, dihedral": GREEN,
        "transformer, addition": RED,
        "transformer, dihedral": ORANGE,
    }
    bins = np.linspace(0, 1, 21)
    each = [share[(runs.architecture + ", " + runs.operation) == kind].dropna() for kind in kinds]
    right.hist(each, bins=bins, stacked=True, color=list(kinds.values()), label=list(kinds), rwidth=0.9)
    right.bar(1.16, share.isna().sum(), width=0.045, color="#c8c8c8")
    right.set_xticks([0, 0.25, 0.5, 0.75, 1, 1.16], ["0", "25 %", "50 %", "75 %", "100 %", "never"])
    right.set(xlabel="onset, as a share of the planned run", ylabel="runs")
    right.set_title(f"all {len(runs)} runs", fontsize=8)
    right.legend(fontsize=7, loc="upper center")
    return figure


def label_noise(points: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """Test accuracy and the share of wrong labels reproduced, for three recipes with label noise."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.9), sharey=True, layout="constrained")
    for panel, family in zip(axes, NOISY, strict=True):
        _curves(panel, points, runs, family, "train_accuracy", GREY, "training accuracy, given labels")
        _curves(panel, points, runs, family, "test_accuracy", BLUE, "test accuracy")
        _curves(panel, points, runs, family, "memorized_share", RED, "wrong labels reproduced")
        noise = runs.label_noise[runs.family == family].iloc[0]
        panel.set_title(f"{_title(runs, family)}, {noise:.0%} wrong labels", fontsize=8)
        panel.set_xlabel("step")
    axes[0].set(ylabel="share", ylim=(-0.02, 1.04))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def all_runs(points: pd.DataFrame, runs: pd.DataFrame, onset: pd.Series) -> plt.Figure:
    """Test accuracy of every run against the share of the run: generalized in colour, censored in grey."""
    kinds = [(a, o) for a in ("mlp", "transformer") for o in ("addition", "dihedral")]
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), sharey=True, layout="constrained")
    accuracy = points[points.metric == "test_accuracy"].groupby("run")
    for panel, (architecture, operation) in zip(axes, kinds, strict=True):
        chosen = runs[(runs.architecture == architecture) & (runs.operation == operation)]
        censored = onset[chosen.index].isna()
        for run in [*chosen.index[censored], *chosen.index[~censored]]:
            one = accuracy.get_group(run)
            colour = "#c0c0c0" if censored[run] else BLUE
            panel.plot(one.step / runs.last_step[run], one.value, color=colour, linewidth=0.6, alpha=0.8)
        panel.set_title(f"{architecture}, {operation}\n{len(chosen)} runs, {censored.sum()} censored", fontsize=8)
        panel.set_xscale("symlog", linthresh=0.004)
        panel.set_xticks([0, 0.01, 0.1, 1], ["0", "1 %", "10 %", "100 %"])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_xlim(0, 1)
        panel.set_xlabel("share of the planned run")
    axes[0].set(ylabel="test accuracy", ylim=(-0.02, 1.04))
    return figure


# Recipes shown; all seeds of each.
SHOWN = {
    "grokking, addition": "mlp-addition-r009",
    "grokking, dihedral group": "mlp-dihedral-r021",
    "transformer, addition": "transformer-addition-r056",
    "never: no weight decay": "mlp-addition-r001",
}
NOISY = ("mlp-addition-r042", "mlp-dihedral-r022", "mlp-addition-r029")


def _number(runs: pd.DataFrame) -> pd.Series:
    return runs.family.str[-3:].astype(int)


def _curves(
    panel: Axes,
    points: pd.DataFrame,
    runs: pd.DataFrame,
    family: str,
    metric: str,
    colour: str,
    label: str,
    seeds: int = 3,
) -> None:
    """The curves of a family's seeds over a logarithmic axis of steps that has room for step 0."""
    for number, run in enumerate(runs.index[runs.family == family][:seeds]):
        one = points[(points.run == run) & (points.metric == metric)]
        panel.plot(one.step, one.value, color=colour, label=label if number == 0 else None, alpha=0.85, linewidth=1.1)
    panel.set_xscale("symlog", linthresh=10)
    panel.set_xlim(0, runs.last_step[runs.family == family].iloc[0])
    panel.set_xticks([0, 10, 100, 1000], ["0", "10", "100", "1000"])
    panel.xaxis.set_minor_locator(NullLocator())


def _title(runs: pd.DataFrame, family: str) -> str:
    plan = runs[runs.family == family].iloc[0]
    return f"{plan.train_fraction:.0%} trained on, decay {plan.weight_decay:g}"


if __name__ == "__main__":
    main()
