"""Designed schedules, trained: what schedule laws forecast for a size and a budget that they never saw, and what came.

python benchmarks/designed_schedules.py design      # fit, design, write datasets/tinylm/schedules/designed.csv
python benchmarks/designed_schedules.py compare     # when all parts are trained: forecasts against outcomes
python benchmarks/designed_schedules.py figure      # docs/figures/designed_schedules.svg
python benchmarks/designed_schedules.py published FOLDER...   # designs from the public curves of the multi-power law

The laws see the runs of two sizes of tinylm, below and above the size of the test, and pilots of the same sizes at half
and at twice their peak rate. Rates count in parts of a size's own peak, and losses of the sizes are put on that of the
test by a parabola in the logarithm of the size. No run of the size or the budget of the test is seen. Peaks of all
schedules are tuned alike on seeds of their own: datasets/tinylm/trials.py. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import predictdyn
from predictdyn.curves import Curves
from predictdyn.fitting.schedule_design import best_rate, best_wsd, end_draws, shaped
from predictdyn.fitting.schedule_laws import LAWS, RateCurve, peaked
from predictdyn.fitting.schedule_mixture import LossCurve, ScheduleFit
from predictdyn.fitting.schedule_runs import fit_runs

ROOT = Path(__file__).parents[1]
SCHEDULES = ROOT / "datasets" / "tinylm" / "schedules"
SUITE = ROOT / "datasets" / "tinylm" / "data"
FIGURE = ROOT / "docs" / "figures" / "designed_schedules.svg"
LOSS = "validation_loss"
LEVELS = ("n14k", "n25k", "n55k", "n98k")  # sizes that tell how the loss falls with the size
TESTED, PEAK, END = 38400, 1.14e-2, 900  # parameters and own peak rate of the size, and steps of the test
WARM_UP = 0.02 * END
PEAKS = (0.5, 1.0, 2.0)
NAMES = ("designed", "cosine", "linear", "wsd")
LEAST_SD = 0.005  # of the log of the level of the size of the test
SEED = 0


class Learnt(NamedTuple):
    """Laws of the loss at the size of the test, in rates that are parts of its own peak; the sd of the log level."""

    fit: ScheduleFit
    level_sd: float
    runs: int


def last_values(curves: Curves) -> pd.Series:
    """The last validation loss of each run."""
    points = curves.points[curves.points["metric"] == LOSS]
    return points.loc[points.groupby("run")["step"].idxmax()].set_index("run")["value"]


def learnt() -> Learnt:
    """Fit the laws to the suite's baselines of two sizes, and to the pilots."""
    suite, pilots = predictdyn.load(SUITE), predictdyn.load(SCHEDULES / "pilots")
    baselines = suite.runs[suite.runs["intervention"] == "none"]
    own_peak = baselines.groupby("family")["peak_learning_rate"].first()
    level, tested, sd = levels(baselines, last_values(suite))
    curves = []
    for data, rows in ((suite, baselines), (pilots, pilots.runs)):
        for run, row in rows.iterrows():
            size = str(row["family"]).split("-")[0]
            if size not in ("n25k", "n55k"):
                continue
            loss, rate = data.series[str(run), LOSS], data.series[str(run), "learning_rate"]
            scaled = RateCurve(rate.step.astype(float), rate.value / own_peak[size])
            curves.append(LossCurve(scaled, loss.step.astype(float), np.log(loss.value) + tested - level[size]))
    fit = fit_runs(curves, laws=[peaked(law) for law in LAWS], seed=SEED)
    assert fit is not None
    return Learnt(fit, sd, len(curves))


def levels(baselines: pd.DataFrame, last: pd.Series) -> tuple[pd.Series, float, float]:
    """The log of the final loss by size, from recipes that all sizes have; that of the test's size; and its sd."""
    table = baselines[baselines["family"].isin(LEVELS)].assign(last=np.log(last.reindex(baselines.index)))
    mean = table.pivot_table(index=["last_step", "schedule"], columns="family", values="last").mean()
    size = np.log(table.groupby("family")["parameters"].first().reindex(mean.index).to_numpy(float) / TESTED)
    columns = np.stack([np.ones_like(size), size, size**2], axis=1)
    numbers, *_ = np.linalg.lstsq(columns, mean.to_numpy(), rcond=None)
    left = mean.to_numpy() - columns @ numbers
    sd = float(np.sqrt((left**2).sum() / (len(size) - 3)))
    return mean, float(numbers[0]), max(sd, LEAST_SD)


def forecasts(known: Learnt, rates: dict[str, RateCurve]) -> tuple[pd.DataFrame, np.ndarray]:
    """Draws of the final loss of each schedule: of single runs as quantiles, and of the expected loss (m, s)."""
    drawn = end_draws(known.fit, list(rates.values()), np.full(len(rates), float(END)), seed=SEED)
    random = np.random.default_rng(SEED)
    logs = drawn.expected + known.level_sd * random.standard_normal(drawn.expected.shape[1])
    one = np.exp(logs + drawn.luck[:, None] * random.standard_normal(logs.shape))
    low, middle, high = np.quantile(one, [0.05, 0.5, 0.95], axis=1)
    return pd.DataFrame({"forecast": middle, "low": low, "high": high}, index=list(rates)), np.exp(logs)


def design() -> None:
    """Write the designed schedules, one a peak, and print what is forecast of each schedule at each peak."""
    known = learnt()
    tables, rows = [], []
    for peak in PEAKS:
        rates = {
            "designed": best_rate(known.fit, WARM_UP, END, peak),
            "cosine": shaped("cosine", WARM_UP, END, peak),
            "linear": shaped("linear", WARM_UP, END, peak),
            "wsd": shaped("wsd", WARM_UP, END, peak, share=0.2),
        }
        _, share = best_wsd(known.fit, WARM_UP, END, peak)
        found, _ = forecasts(known, rates)
        rows.append([f"{peak:g}", *(f"{found['forecast'][name]:.4f}" for name in NAMES), f"{share:.0%}"])
        step = np.append(0.0, rates["designed"].step)
        rate = PEAK * np.append(0.0, rates["designed"].rate)
        tables.append(pd.DataFrame({"peak": peak, "step": step.round(3), "rate": rate.round(9)}))
    pd.concat(tables).to_csv(SCHEDULES / "designed.csv", index=False)
    print(f"{known.runs} runs; sd of the level {known.level_sd:.4f}")
    for member in known.fit.members:
        print(f"{member.law.name}: noise {member.mode.noise:.4f}, {member.mode.numbers.round(2)}")
    print(markdown(["peak", *NAMES, "best share of wsd"], rows))


def compare() -> None:
    """Forecasts against what was trained."""
    known = learnt()
    parts = {part: predictdyn.load(SCHEDULES / part) for part in ("tuning", "designs", "test")}
    tuned = [table_of(parts[part]) for part in ("tuning", "designs")]
    print("mean final loss of the seeds on which peaks were tuned\n")
    mean = pd.concat(tuned).pivot_table(index="schedule", columns="peak", values="last").reindex(NAMES)
    rows = [[name, *(f"{one:.4f}" for one in mean.loc[name])] for name in NAMES]
    print(markdown(["schedule", *(f"peak {peak:g}" for peak in mean.columns)], rows))
    test = table_of(parts["test"])
    rates = rates_of(test)
    found, expected = forecasts(known, rates)
    wide = test.pivot_table(index="seed", columns="schedule", values="last")[list(NAMES)]
    print(f"\nforecast and outcome, {len(wide)} seeds each\n")
    rows = []
    for i, name in enumerate(NAMES):
        row, outcome = found.loc[name], wide[name]
        inside = int(((row["low"] <= outcome) & (outcome <= row["high"])).sum())
        told, came = difference(expected[i] - expected[0]), paired(outcome - wide["designed"])
        rows.append([
            name, f"{rates[name].peak:g}", f"{row['forecast']:.4f}", f"{row['low']:.4f} to {row['high']:.4f}",
            f"{outcome.mean():.4f}", f"{inside} of {len(outcome)}", *(("", "") if name == "designed" else (told, came)),
        ])  # fmt: skip
    head = [
        "schedule",
        "peak",
        "forecast",
        "90 %",
        "outcome",
        "runs inside",
        "forecast minus designed",
        "outcome minus designed",
    ]
    print(markdown(head, rows))
    off = np.abs(np.log(found["forecast"].reindex(NAMES)) - np.log(wide.mean()[list(NAMES)]))
    print(f"\nmean relative error of the forecasts: {off.mean():.2%}")


def table_of(curves: Curves) -> pd.DataFrame:
    """One row a run: its schedule, peak in parts of the size's own, seed and final loss."""
    peak = (curves.runs["peak_learning_rate"].astype(float) / PEAK).round(6)
    return curves.runs[["schedule", "seed"]].assign(peak=peak, last=last_values(curves))


def rates_of(test: pd.DataFrame) -> dict[str, RateCurve]:
    """The schedules of the test at their peaks."""
    peaks = test.groupby("schedule")["peak"].first()
    table = pd.read_csv(SCHEDULES / "designed.csv")
    own = table[np.isclose(table["peak"], peaks["designed"])].iloc[1:]
    designed = RateCurve(own["step"].to_numpy(float), own["rate"].to_numpy(float) / PEAK)
    return {"designed": designed, **{name: shaped(name, WARM_UP, END, float(peaks[name])) for name in NAMES[1:]}}


def difference(draws: np.ndarray) -> str:
    """Median and 90 % interval of a difference."""
    low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95])
    return f"{middle:+.4f} [{low:+.4f}, {high:+.4f}]"


def paired(values: pd.Series) -> str:
    """Mean and 90 % interval (Student's t) of differences seed by seed."""
    from scipy.stats import t

    half = float(t.ppf(0.95, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    mean = float(values.mean())
    return f"{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]"


def figure() -> None:
    """Schedules on the left, forecasts against outcomes on the right."""
    from matplotlib.figure import Figure

    from predictdyn.report.figures.schedules import paint_rates
    from predictdyn.report.style import LIGHT, WIDE, drawing, styled

    known, test = learnt(), table_of(predictdyn.load(SCHEDULES / "test"))
    rates = rates_of(test)
    found, _ = forecasts(known, rates)
    with styled():
        both = Figure(figsize=WIDE, layout="constrained")
        left, right = both.subplots(1, 2)
        paint_rates(left, rates, END)
        left.set_ylabel("learning rate, in parts of the size's usual peak")
        for i, name in enumerate(NAMES):
            row, outcome = found.loc[name], test.loc[test["schedule"] == name, "last"]
            away = [[row["forecast"] - row["low"]], [row["high"] - row["forecast"]]]
            right.errorbar(
                [i - 0.12], [row["forecast"]], yerr=away, color=LIGHT["blue"], marker="D", markersize=6, linewidth=1.8,
                linestyle="", label="forecast (90 %)" if i == 0 else None,
            )  # fmt: skip
            right.plot(
                np.full(len(outcome), i + 0.12), outcome, color=LIGHT["vermillion"], marker="o", markersize=4.5,
                linestyle="", label="trained, a seed each" if i == 0 else None,
            )  # fmt: skip
        right.set_xticks(range(len(NAMES)), NAMES)
        right.set_ylabel("final validation loss")
        right.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
        right.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        FIGURE.write_text(drawing(both, "designed").alone, encoding="utf-8")


def published(folders: list[Path]) -> None:
    """Designs for the length of the public cosine run, from its three training schedules."""
    from schedules import TRAINED, read

    for folder in folders:
        curves = read(folder)
        fit = fit_runs([curves[name].until(1.0) for name in TRAINED], seed=SEED)
        assert fit is not None
        cosine = curves["cosine_24000"]
        end, begin, peak = float(cosine.step[-1]), cosine.rate.began(), cosine.rate.peak
        least = float(cosine.rate.rate[-1])
        wsd, share = best_wsd(fit, begin, end, peak, least)
        rates = {
            "designed": best_rate(fit, begin, end, peak, least), "wsd": wsd,
            "cosine": shaped("cosine", begin, end, peak, least), "linear": shaped("linear", begin, end, peak, least),
        }  # fmt: skip
        expected = np.exp(end_draws(fit, list(rates.values()), np.full(4, end), seed=SEED).expected)
        fall = rates["designed"]
        start = float(fall.step[np.argmax(fall.rate < 0.99 * peak) - 1]) / end
        half = float(fall.step[np.argmax(fall.rate < 0.5 * peak)]) / end
        print(
            f"\n{folder.name}: the design falls from {start:.0%} of the run on and is at half its peak at {half:.0%}\n"
        )
        rows = [
            [name if name != "wsd" else f"wsd, {share:.0%}", f"{np.median(one):.4f}", difference(one - expected[0])]
            for name, one in zip(rates, expected, strict=True)
        ]
        print(markdown(["schedule", "forecast", "minus designed (90 %)"], rows))
        # The public curves have two more schedules of this length, which the laws have not seen.
        names = ["cosine_24000", "wsd_20000_24000", "wsdld_20000_24000"]
        end = min(float(curves[name].step[-1]) for name in names)
        drawn = np.exp(end_draws(fit, [curves[name].rate for name in names], np.full(3, end), seed=SEED).expected)
        last = [float(curves[name].loss[curves[name].step <= end][-1]) for name in names]
        rows = [
            [name, difference(one - drawn[0]), f"{value - last[0]:+.4f}"]
            for name, one, value in zip(names[1:], drawn[1:], last[1:], strict=True)
        ]
        print()
        print(markdown(["trained schedule", "forecast minus cosine (90 %)", "outcome minus cosine"], rows))


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def main() -> None:
    """Do what the first word says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["design", "compare", "figure", "published"])
    parser.add_argument("folders", nargs="*", type=Path)
    asked = parser.parse_args()
    if asked.what == "published":
        published(asked.folders)
    else:
        {"design": design, "compare": compare, "figure": figure}[asked.what]()


if __name__ == "__main__":
    main()
