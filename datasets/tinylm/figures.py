"""Figures of the data card: what is trained on, abilities that emerge one after the other, strings learnt, a swap.

python datasets/tinylm/figures.py          reads data/ beside this file, writes figures/, prints the card's table
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import corpus
import matplotlib.pyplot as plt
import pandas as pd
import planted
import recipes
import train

HERE = Path(__file__).parent
BLUE, RED, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8c8c8c"
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
SIZES = {size.name: plt.colormaps["viridis_r"](0.1 + 0.18 * i) for i, size in enumerate(recipes.SIZES)}
PROBES = {
    "bracket": (1 / 3, "closing the right bracket"),
    "counting": (1 / 10, "next digit of a series"),
    "copying": (1 / 4, "copying a name"),
    "indentation": (1 / 3, "indenting after a colon"),
}


def main() -> None:
    points = pd.read_parquet(HERE / "data" / "points.parquet")
    runs = pd.read_csv(HERE / "data" / "runs.csv", index_col="run")
    (HERE / "figures").mkdir(exist_ok=True)
    drawings = {
        "text": text,
        "emergence": emergence,
        "memorization": memorization,
        "swap": swap,
        "all_runs": all_runs,
    }
    with plt.rc_context(STYLE):
        for name, draw in drawings.items():
            figure = draw(points, runs)
            figure.savefig(HERE / "figures" / f"{name}.png", dpi=120)
            plt.close(figure)
    print(summary(points, runs))


def summary(points: pd.DataFrame, runs: pd.DataFrame) -> str:
    """Rows of a Markdown table: final values at the largest budget by size, mean over the three schedules."""
    shown = ["validation_loss", "bracket_accuracy", "counting_accuracy", "copying_accuracy", "indentation_accuracy"]
    shown += ["extracted_16", "extracted_128", "association_gap"]
    largest = runs[runs.last_step == max(recipes.BUDGETS)]
    last = points[points.step == points.run.map(largest.last_step)]
    table = last.assign(family=last.run.map(runs.family)).pivot_table(index="family", columns="metric", values="value")
    lines = ["| size | " + " | ".join(shown) + " |", "| --- " * (len(shown) + 1) + "|"]
    for size in SIZES:
        lines.append(f"| {size} | " + " | ".join(f"{value:.2f}" for value in table.loc[size, shown]) + " |")
    return "\n".join(lines)


def text(points: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """Four training sequences of one run, the planted line in colour: those with most of the text around it."""
    plan = recipes.plans()[0]
    made = planted.batches(train.generator(plan, "batches"), plan.recipe.last_step, recipes.BATCH_SIZE, 65, None)
    sequences = [corpus.decoded(row).split("\n") for row in made.tokens.reshape(-1, 65)]
    strings = {line for lines in made.strings.values() for line in lines}
    sorts = {
        "a string to memorize": (RED, strings.__contains__),
        "an association": (BLUE, _associates),
        "an exercise in counting": (GREEN, _counts),
        "an exercise in copying": (GREEN, _copies),
    }
    figure, axes = plt.subplots(2, 2, figsize=(7.5, 2.1), layout="constrained")
    for panel, (title, (colour, wanted)) in zip(axes.flat, sorts.items(), strict=True):
        fitting = [lines for lines in sequences if any(map(wanted, lines[1:-1])) and len(lines) == 4]
        fitting = [lines for lines in fitting if sum(line.startswith("#") for line in lines) == 1]
        for row, line in enumerate(max(fitting, key=lambda lines: min(len(line.strip()) for line in lines))):
            style = {"color": colour, "weight": "bold"} if wanted(line) else {"color": "black"}
            panel.text(0.02, 0.9 - 0.22 * row, line, family="monospace", size=7, va="top", **style)
        panel.set_title(title, loc="left", fontsize=8)
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set(visible=True, linewidth=0.5)
    return figure


def emergence(points: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """Accuracy of each probe against tokens, one curve per size, at the largest budget."""
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.7), sharey=True, layout="constrained")
    chosen = runs[(runs.last_step == max(recipes.BUDGETS)) & (runs.schedule == "wsd")]
    for panel, (probe, (chance, title)) in zip(axes, PROBES.items(), strict=True):
        for run, plan in chosen.sort_values("parameters").iterrows():
            one = _curve(points, run, f"{probe}_accuracy")
            millions = one.step * plan.tokens / plan.last_step / 1e6
            panel.plot(millions, one.value, color=SIZES[plan.family], label=plan.family[1:], linewidth=1.2)
        panel.axhline(chance, color="black", linewidth=0.8, linestyle=":")
        panel.set(title=title, xlabel="million tokens", ylim=(0, 1))
        panel.set_title(title, fontsize=9)
    axes[0].set_ylabel("accuracy")
    axes[1].legend(title="parameters", fontsize=6.5, title_fontsize=7, ncols=2, loc="upper left")
    axes[0].annotate("chance", (2.4, 1 / 3), fontsize=7, ha="right", va="top")
    return figure


def memorization(points: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """Extracted shares: by repetitions and size at the end; by when the strings were shown, during one run."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.9), layout="constrained")
    times = [group.repetitions for group in planted.STRING_GROUPS if group.name == str(group.repetitions) != "0"]
    last = points[points.step == points.run.map(runs.last_step)]
    chosen = runs[(runs.last_step == max(recipes.BUDGETS)) & (runs.schedule == "wsd")].sort_values("parameters")
    for run, plan in chosen.iterrows():
        final = last[last.run == run].set_index("metric").loc[[f"extracted_{n}" for n in times]]
        left.errorbar(
            times, final.value, final.stderr, color=SIZES[plan.family], label=plan.family[1:], marker="o", ms=3
        )
    left.set_xscale("log", base=2)
    left.set_xticks(times, times)
    left.set(xlabel="times shown", ylabel="share extracted at the end", ylim=(-0.03, 1.03))
    left.legend(title="parameters", fontsize=7, title_fontsize=7)
    run = chosen.index[-1]
    tokens = chosen.tokens.iloc[-1] / 1e6
    for name, colour in (("early", BLUE), ("middle", GREEN), ("late", RED)):
        group = next(group for group in planted.STRING_GROUPS if group.name == name)
        one = _curve(points, run, f"extracted_{name}")
        right.plot(one.step / chosen.last_step.iloc[-1] * tokens, one.value, color=colour, label=f"{name} third")
        right.axvspan(group.start * tokens, group.stop * tokens, ymax=0.03, color=colour, alpha=0.5, linewidth=0)
    right.set(xlabel="million tokens", ylabel="share extracted", ylim=(-0.03, 1.03), xlim=(0, tokens))
    right.legend(title=f"{group.repetitions} times, all in the", fontsize=7, title_fontsize=7, loc="upper left")
    return figure


def swap(points: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """The association gap of the largest network and its arms, per schedule."""
    figure, axes = plt.subplots(1, 3, figsize=(8, 2.8), sharey=True, layout="constrained")
    planned = 2 * planted.STRENGTH - 1
    for panel, schedule in zip(axes, recipes.SCHEDULES, strict=True):
        baseline = recipes.Recipe(recipes.SIZES[-1], recipes.ARM_BUDGET, schedule).name + "-s1"
        drawn = {f"{baseline}-swap79": (RED, "swapped at 79 %"), f"{baseline}-swap93": ("#e69f00", "swapped at 93 %")}
        for run, (colour, label) in (drawn | {baseline: (GREY, "never swapped")}).items():
            one = _curve(points, run, "association_gap")
            panel.plot(100 * one.step / runs.last_step[run], one.value, color=colour, label=label, linewidth=1.3)
        for level in (planned, -planned):
            panel.axhline(level, color="black", linewidth=0.8, linestyle=":")
        panel.axhline(0, color="black", linewidth=0.5)
        panel.set(xlabel="% of the run", xlim=(0, 100), ylim=(-1, 1))
        panel.set_title(f"{schedule} learning rate", fontsize=9)
    axes[0].set_ylabel("association gap")
    axes[0].legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 0.1))
    axes[0].annotate("as planted", (2, planned), fontsize=7, va="bottom")
    axes[0].annotate("as swapped", (2, -planned), fontsize=7, va="top")
    return figure


def all_runs(points: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """Every baseline against tokens, coloured by size."""
    panels = {
        "validation_loss": "validation loss (nats / character)",
        "headers_loss": "loss on C headers",
        "string_loss_128": "loss on strings shown 128 times",
        "association_gap": "association gap",
    }
    figure, axes = plt.subplots(2, 2, figsize=(7.5, 5), sharex=True, layout="constrained")
    baselines = runs[runs.intervention == "none"].sort_values("parameters")
    for panel, (metric, label) in zip(axes.flat, panels.items(), strict=True):
        table = points[(points.metric == metric) & points.run.isin(baselines.index) & (points.step > 0)]
        curves = dict(iter(table.groupby("run")))
        for run, plan in baselines.iterrows():
            one = curves[run]
            thousands = one.step * plan.tokens / plan.last_step / 1e3
            panel.plot(thousands, one.value, color=SIZES[plan.family], linewidth=0.6, alpha=0.8)
        panel.set_ylabel(label)
        panel.set_xscale("log")
    for size, colour in SIZES.items():
        axes[0, 0].plot([], [], color=colour, label=size[1:])
    axes[0, 0].legend(title="parameters", fontsize=7, title_fontsize=7)
    for panel in axes[1]:
        panel.set_xlabel("thousand tokens")
    return figure


def _curve(points: pd.DataFrame, run: str, metric: str) -> pd.DataFrame:
    return points[(points.run == run) & (points.metric == metric)].sort_values("step")


def _associates(line: str) -> bool:
    return line.startswith("# ") and any(f" {group}" in line for words in planted.ASSOCIATIONS for group in words[:2])


def _counts(line: str) -> bool:
    return line.startswith("# ") and line[2:].isdigit() and len(line) == 2 + planted.TERMS


def _copies(line: str) -> bool:
    words = line.removeprefix("# ").split(" ")
    return line.startswith("# ") and len(words) == 5 and len(set(words)) == 1


if __name__ == "__main__":
    main()
