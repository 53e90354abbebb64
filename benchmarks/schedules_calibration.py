"""Schedule laws on simulated runs: do 90 % intervals cover 90 %, and what do they say where no schedule matters?

python benchmarks/schedules_calibration.py [simulated] [begun] [alone] [control] [--tables N] [--seed S]

simulated: for each law, N tables. Its numbers come from the prior. Three runs (constant, cosine, a fall at half) are
fitted by all laws, as in `schedule_law`, and the ends of three other schedules are forecast: warm-up-stable-decay, a
linear fall, and a cosine of half the length. Noise is of a random size, half of it carried on from point to point.
begun: the same, where a third of each of these runs is seen, too; alone: where nothing else is.
control: the loss of each run falls by a power of its own and knows nothing of its rate. Beside it stands the forecast
from the mean and sd of the fitted runs at the same step (Student's t), which uses no rates.
Prints the share of ends inside 90 and 50 % intervals, the shares of ranks by fifths, and the median width.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import stats

from predictdyn.fitting.schedule_laws import LAWS, RateCurve, Reference, ScheduleLaw, rate_curve, terms
from predictdyn.fitting.schedule_mixture import LossCurve, fit_schedules
from predictdyn.fitting.schedule_runs import begun, fit_runs

END = 4000.0
STEP = np.arange(100.0, END + 1, 20.0)
FITTED, ASKED = ("constant", "cosine", "half"), ("wsd", "linear", "short")
BEGUN = 1 / 3
SEEN = {"simulated": "three other runs", "begun": "these and a third of the run", "alone": "a third of the run"}
LEVEL, NOISE, KEPT = np.log(3.0), (2e-4, 3e-3), 0.5


def schedule(name: str) -> RateCurve:
    """Rates by step, of a peak of one, after no warm-up."""
    end = END / 2 if name == "short" else END
    way = np.linspace(0.0, 1.0, 201)
    rate = {
        "constant": np.ones(201),
        "cosine": 0.1 + 0.9 * (1 + np.cos(np.pi * way)) / 2,
        "short": 0.1 + 0.9 * (1 + np.cos(np.pi * way)) / 2,
        "half": np.where(way <= 0.5, 1.0, 0.3),
        "wsd": np.interp(way, [0.0, 0.8, 1.0], [1.0, 1.0, 0.05]),
        "linear": 1.0 - 0.95 * way,
    }[name]
    return rate_curve(STEP[0] + (end - STEP[0]) * way, rate)


def until_its_end(rate: RateCurve) -> np.ndarray:
    """The steps at which the loss is logged."""
    end = rate.step[-1]
    return STEP[: int(np.searchsorted(STEP, end, side="right"))]


def noise(rng: np.random.Generator, n: int, sd: float) -> np.ndarray:
    """Noise (n,) of which a half is carried on."""
    found = sd * rng.standard_normal(n)
    for i in range(1, n):
        found[i] = KEPT * found[i - 1] + np.sqrt(1 - KEPT**2) * found[i]
    return found


def by_law(law: ScheduleLaw, rng: np.random.Generator) -> dict[str, LossCurve]:
    """Curves of all schedules by one law, its numbers from the prior; drawn again where there is no loss above zero."""
    unit = Reference(1.0, float(schedule("constant").area(np.array([END]))[0]), END)
    sd = float(np.exp(rng.uniform(*np.log(NOISE))))
    while True:
        numbers = np.array([[rng.normal(number.mean, number.sd) for number in law.numbers]])
        found = {}
        for name in (*FITTED, *ASKED):
            rate = schedule(name)
            step = until_its_end(rate)
            exact = LEVEL + law.values(numbers, terms(rate, step, unit, warm_up=law.warm_up))[0]
            found[name] = LossCurve(rate, step, exact + noise(rng, len(step), sd))
        if all(np.isfinite(curve.log_loss).all() for curve in found.values()):
            return found


def by_no_law(rng: np.random.Generator) -> dict[str, LossCurve]:
    """Curves that fall by powers of their own, whatever their rates."""
    found = {}
    for name in (*FITTED, *ASKED):
        rate = schedule(name)
        step = until_its_end(rate)
        fall = rng.uniform(0.05, 0.3) * ((step / STEP[0]) ** -rng.uniform(0.2, 0.8) - 1)
        found[name] = LossCurve(rate, step, LEVEL + 0.05 * rng.standard_normal() + fall + noise(rng, len(step), 1e-3))
    return found


def asked(curves: dict[str, LossCurve], seed: int, seen: str) -> list[tuple[float, float]]:
    """For each end that was forecast: the share of draws below it, and the width of the 90 % interval."""
    others = None if seen == "alone" else fit_runs([curves[name] for name in FITTED])
    found = []
    for name in ASKED:
        rate, step, log_loss = curves[name]
        n = int(np.searchsorted(step, step[-1] * BEGUN, side="right"))
        own, end = LossCurve(rate, step[:n], log_loss[:n]), float(step[-1])
        if others is None:
            fit = fit_schedules([own], reach=rate, until=end, own=True)
        else:
            fit = begun(others, own) if seen == "begun" else others
        assert fit is not None
        draws = fit.draws(rate, step[-1:], end, seed=seed)[0]
        low, high = np.quantile(draws, [0.05, 0.95])
        found.append((float(np.mean(draws < log_loss[-1])), float(high - low)))
    return found


def by_ends(curves: dict[str, LossCurve]) -> list[tuple[float, float]]:
    """As `asked`, where a run is at its end one more draw of what the fitted runs are at that step."""
    found = []
    for name in ASKED:
        end, truth = float(curves[name].step[-1]), float(curves[name].log_loss[-1])
        known = np.array([np.interp(end, curves[one].step, curves[one].log_loss) for one in FITTED])
        n = len(known)
        t = stats.t(n - 1, loc=known.mean(), scale=known.std(ddof=1) * np.sqrt(1 + 1 / n))
        found.append((float(t.cdf(truth)), float(np.diff(t.ppf([0.05, 0.95]))[0])))
    return found


def told(name: str, seen: str, rows: list[tuple[float, float]]) -> None:
    """A row of the table."""
    below, width = np.array(rows).T
    fifths = np.histogram(below, bins=5, range=(0, 1))[0] / len(below)
    held = [float(np.mean((below > (1 - level) / 2) & (below < (1 + level) / 2))) for level in (0.9, 0.5)]
    shares = ", ".join(f"{share:.2f}" for share in fifths)
    print(
        f"| {name} | {seen} | {len(rows)} | {held[0]:.0%} | {held[1]:.0%} | {shares} | {np.median(width):.4f} |",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["simulated", "begun", "alone", "control"])
    parser.add_argument("--tables", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    called = parser.parse_args()
    print("| what made the runs | seen | ends | 90 % intervals hold | 50 % | shares of ranks by fifths | width, nats |")
    print("| --- | --- | ---: | ---: | ---: | --- | ---: |")
    for part in called.parts:
        if part == "control":
            tables = [by_no_law(np.random.default_rng([called.seed, 9, i])) for i in range(called.tables)]
            name, seen = "no schedule matters", SEEN["simulated"]
            told(name, seen, [row for i, c in enumerate(tables) for row in asked(c, i, part)])
            told(f"{name}, by mean and sd", seen, [row for c in tables for row in by_ends(c)])
            continue
        for place, law in enumerate(LAWS):
            tables = (by_law(law, np.random.default_rng([called.seed, place, i])) for i in range(called.tables))
            told(law.name, SEEN[part], [row for i, c in enumerate(tables) for row in asked(c, i, part)])


if __name__ == "__main__":
    main()
