"""Figures of the data card: inputs, bias that comes and goes, wrong labels learnt last, interventions, all runs.

python datasets/digits/figures.py          reads data/ beside this file and writes figures/
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from images import SEVERITIES, test_sets
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

HERE = Path(__file__).parent
SHOWN = 4  # the test image in the figure of inputs
LOSS_SHOWN = 1e3  # larger losses are drawn there: the last finite ones reach 1e37
BLUE, RED, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8c8c8c"
# Recipes whose interventions are drawn, each one that learns well.
INTERVENED = {
    "balanced_cue": "mlp-w64-d1-r048",
    "clean_labels": "mlp-w128-d1-r096",
    "lower_rate": "mlp-w64-d3-r066",
}
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}


def main() -> None:
    points = pd.read_parquet(HERE / "data" / "points.parquet").set_index(["run", "metric"])
    runs = pd.read_csv(HERE / "data" / "runs.csv", index_col="run")
    (HERE / "figures").mkdir(exist_ok=True)
    with plt.rc_context(STYLE):
        for draw in (inputs, bias, memorization, interventions, all_runs):
            figure = draw(points, runs)
            figure.savefig(HERE / "figures" / f"{draw.__name__}.png", dpi=120)
            plt.close(figure)


def inputs(points: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """Two test images with cues of three brightnesses, and one under each corruption."""
    figure, axes = plt.subplots(3, 7, figsize=(7.5, 3.6), layout="constrained")
    brightest = test_sets(1.0)
    for row, (panels, brightness) in enumerate(zip(axes, (1.0, 0.5, 0.3), strict=True)):
        tests = test_sets(brightness)
        shown = {
            f"cue agrees, {brightness:g}": tests.aligned[SHOWN],
            f"conflicts, {brightness:g}": tests.conflicting[SHOWN],
        }
        spoilt = {
            name: some[SHOWN] for name, some in brightest.corrupted.items() if name.endswith(str(SEVERITIES[row]))
        }
        shown |= {name.replace("_", " "): image for name, image in spoilt.items()}
        for panel, (title, image) in zip(panels, shown.items(), strict=True):
            panel.imshow(image, cmap="gray", vmin=0, vmax=1)
            panel.set_title(title, fontsize=6)
    for panel in axes.flat:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set(visible=True, linewidth=0.5)  # a white cue would run into a white page
    return figure


def bias(points: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """Losses of images with an aligned and a conflicting cue, and the accuracy gap, for three recipes."""
    chosen = ["mlp-w64-d2-r000", "cnn-w16-d1-r019", "mlp-w128-d3-r005"]
    figure, axes = plt.subplots(2, 3, figsize=(7.5, 4.2), sharex="col", sharey="row", layout="constrained")
    for (upper, lower), family in zip(axes.T, chosen, strict=True):
        _curves(upper, points, runs, family, "loss_aligned", BLUE, "cue agrees")
        _curves(upper, points, runs, family, "loss_conflicting", RED, "cue conflicts")
        _curves(lower, points, runs, family, "accuracy_gap", GREY, "agrees minus conflicts")
        lower.axhline(0, color="black", linewidth=0.6)
        upper.set_title(_title(runs, family), fontsize=8)
        lower.set_xlabel("step")
    axes[0, 0].set_ylabel("test loss (nats)")
    axes[1, 0].set_ylabel("accuracy gap")
    axes[0, 0].set_ylim(0, 4)
    axes[0, 0].legend()
    return figure


def memorization(points: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """Clean test accuracy and the share of wrong labels that are reproduced, for three recipes."""
    chosen = ["mlp-w256-d1-r002", "cnn-w16-d2-r021", "mlp-w64-d1-r013"]
    figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.5), sharey=True, layout="constrained")
    for panel, family in zip(axes, chosen, strict=True):
        _curves(panel, points, runs, family, "test_accuracy", BLUE, "test accuracy, clean")
        _curves(panel, points, runs, family, "memorized_share", RED, "wrong labels reproduced")
        panel.set_title(_title(runs, family, noise=True), fontsize=8)
        panel.set_xlabel("step")
    axes[0].set_ylabel("share")
    axes[0].set_ylim(0, 1.02)
    axes[2].legend(loc="upper left", fontsize=7)  # the panel whose curves leave room
    return figure


def interventions(points: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """What changes when the training is changed on the way: effect of each intervention on the outcome it aims at."""
    aims = {
        "balanced_cue": ("accuracy_gap", "accuracy gap", "cue balanced from here"),
        "clean_labels": ("memorized_share", "wrong labels reproduced", "labels cleaned from here"),
        "lower_rate": ("test_nll", "test loss, clean (nats)", "a tenth of the learning rate from here"),
    }
    figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.7), layout="constrained")
    for panel, (arm, (metric, label, what)) in zip(axes, aims.items(), strict=True):
        family = INTERVENED[arm]
        of_family = runs[(runs.family == family) & runs.intervention.isin(["none", arm])]
        for name, plan in of_family.iterrows():
            one = points.loc[(name, metric)]
            colour = GREY if plan.intervention == "none" else BLUE
            panel.plot(one.step, one.value, color=colour, linewidth=1)
        begin = of_family.intervention_step.max()
        panel.axvline(begin, color="black", linewidth=0.6, linestyle=":")
        panel.set(xlabel="step", ylabel=label, xlim=(0, of_family.last_step.iloc[0]))
        panel.set_ylim(0, None)
        panel.set_title(f"{what}\n{family}", fontsize=7)
    axes[0].plot([], [], color=GREY, label="as planned")
    axes[0].plot([], [], color=BLUE, label="changed")
    axes[0].legend(fontsize=7, loc="center right")
    return figure


def all_runs(points: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """One seed of every recipe against the share of the run; recipes that fail stand out."""
    marked = {
        "mlp-w64-d4-r006": (RED, "mlp, sgd, learning rate 2"),
        "cnn-w8-d3-r022": ("#cc79a7", "cnn, sgd, learning rate 1"),
        "mlp-w64-d2-r007": ("#e69f00", "mlp, adamw, learning rate 0.1"),
        "mlp-w32-d2-r008": (BLUE, "mlp, sgd, learning rate 0.0001"),
    }
    panels = {
        "train_loss": "training loss (nats)",
        "test_accuracy": "test accuracy, clean",
        "accuracy_gap": "accuracy gap",
        "memorized_share": "wrong labels reproduced",
    }
    figure, axes = plt.subplots(2, 2, figsize=(7.5, 5.0), layout="constrained")
    for panel, (metric, label) in zip(axes.flat, panels.items(), strict=True):
        for family in sorted(runs.family.unique(), key=lambda name: (name in marked, name)):
            colour, name = marked.get(family, ("#c8c8c8", None))
            if (f"{family}-s1", metric) not in points.index:
                continue  # memorized_share of a recipe without wrong labels
            one = points.loc[(f"{family}-s1", metric)]
            share = one.step / runs.last_step[f"{family}-s1"]
            value = one.value.clip(upper=LOSS_SHOWN)
            panel.plot(share, value, color=colour, label=name, linewidth=1.4 if name else 0.8)
            if name and metric == "train_loss" and len(one) and share.iloc[-1] < 1:
                panel.plot(share.iloc[-1], value.iloc[-1], "x", color=colour, clip_on=False)
        panel.set_ylabel(label)
        panel.set_xscale("symlog", linthresh=0.002)
        panel.set_xlim(0, 1)
        panel.set_xticks([0, 0.01, 0.1, 1], ["0", "1 %", "10 %", "100 %"])
        panel.xaxis.set_minor_locator(NullLocator())
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylim(1e-4, LOSS_SHOWN)
    axes[0, 0].legend(fontsize=6.5, loc="lower left")
    for panel in axes[1]:
        panel.set_xlabel("share of the planned run")
    return figure


def _curves(
    panel: Axes, points: pd.DataFrame, runs: pd.DataFrame, family: str, metric: str, colour: str, label: str
) -> None:
    """The curves of all seeds of a family over a logarithmic axis of steps that has room for step 0."""
    for number, run in enumerate(runs.index[runs.family == family]):
        one = points.loc[(run, metric)]
        panel.plot(one.step, one.value, color=colour, label=label if number == 0 else None, alpha=0.85, linewidth=1)
    panel.set_xscale("symlog", linthresh=4)
    panel.set_xlim(0, runs.last_step[runs.family == family].iloc[0])
    panel.set_xticks([0, 10, 100, 1000], ["0", "10", "100", "1000"])
    panel.xaxis.set_minor_locator(NullLocator())


def _title(runs: pd.DataFrame, family: str, noise: bool = False) -> str:
    plan = runs[runs.family == family].iloc[0]
    kind = f"{plan.architecture}, width {plan.width}, depth {plan.depth}, {plan.optimizer}"
    cue = f"cue strength {plan.rho:g}, brightness {plan.cue_brightness:g}"
    return f"{kind}\n{f'{plan.label_noise:.0%} wrong labels' if noise else cue}"


if __name__ == "__main__":
    main()
