"""Fits and posteriors a second beside SciPy and NUTS, with their quality, in one run.

python benchmarks/speed.py [--quick] [--out docs/figures]

Curves are y = E + A (x + t0)^-alpha + noise at 100 evenly spaced places: alpha from .3 to 1.2, t0 from .01 to .3 of
what is seen, noise 1 to 10 % of the fall seen. Prints Markdown tables and draws speed.svg. Only ratios between rows
of one run mean anything on a machine that others use too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpyro.infer import MCMC, NUTS
from nuts_agreement import model
from scipy.optimize import curve_fit, least_squares

from predictdyn.fitting.least_squares import Fit, fit
from predictdyn.fitting.quadrature import forecast
from predictdyn.forms import BY_NAME
from predictdyn.report.style import LIGHT, canvas, drawing

POW4 = BY_NAME["pow4"]
FAR, LEVELS = np.array([10.0]), (0.05, 0.95)
GRIDS = ((16, 32), (24, 40), (64, 72))
FINE = POW4.nodes(16)  # what more nodes could bring: four times as many move means and sds by less than 2 % of a sd
COLD = """
import time; start = time.perf_counter()
import numpy as np
from predictdyn.forms import BY_NAME
from predictdyn.fitting.least_squares import fit
from predictdyn.fitting.quadrature import forecast
x = np.linspace(0.01, 1, 100); z = 1 + x[None] ** -0.5; ready = time.perf_counter()
fit(BY_NAME["pow4"], x, z); fitted = time.perf_counter()
forecast(BY_NAME["pow4"], x, z, at=np.array([10.0])); done = time.perf_counter()
print(ready - start, fitted - ready, done - fitted)
"""


class Simulated(NamedTuple):
    """Places (t,), values (n, t), and the truth (n,) without noise at ten times the data."""

    x: np.ndarray
    z: np.ndarray
    truth: np.ndarray


class Cost(NamedTuple):
    """Curves a second of the clock and of the processor."""

    wall: float
    cpu: float


def simulate(n: int, t: int, seed: int = 0) -> Simulated:
    """Power laws with an offset and a shift."""
    rng = np.random.default_rng(seed)
    x = np.linspace(1 / t, 1, t)
    alpha, shift = rng.uniform(0.3, 1.2, (n, 1)), np.exp(rng.uniform(np.log(0.01), np.log(0.3), (n, 1)))
    offset = rng.uniform(0.2, 1.0, (n, 1))
    clean = (np.append(x, FAR) + shift) ** -alpha
    fall = rng.uniform(0.3, 1.0, (n, 1))
    clean = offset + fall * clean / (clean[:, :1] - clean[:, -2:-1])
    noise = fall * np.exp(rng.uniform(np.log(0.01), np.log(0.1), (n, 1)))
    return Simulated(x, clean[:, :-1] + noise * rng.standard_normal((n, t)), clean[:, -1])


def grid(alphas: int, shifts: int) -> np.ndarray:
    """Nodes (m, 2) of even prior probability."""
    axes = ((np.arange(n) + 0.5) / n for n in (alphas, shifts))
    parts = [prior.at(axis) for prior, axis in zip(POW4.shape.values(), axes, strict=True)]
    return np.stack([part.ravel() for part in np.meshgrid(*parts, indexing="ij")], 1)


def cost(work: Callable[[], Any], n: int, repeats: int = 3) -> Cost:
    """The best of some calls, after one that compiles."""
    work()
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Cost(n / min(walls), n / min(cpus))


def once(work: Callable[[], Any], n: int) -> tuple[Any, Cost]:
    """What a call gives, and its cost where nothing is compiled."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, Cost(n / (time.perf_counter() - wall), n / (time.process_time() - cpu))


def scipy_fits(made: Simulated, n: int) -> np.ndarray:
    """Least squares (n,) left by the best of 10 starts of `curve_fit`, four parameters, positive ones as logarithms."""
    rng = np.random.default_rng(1)

    def curve(x: np.ndarray, offset: float, a: float, alpha: float, shift: float) -> np.ndarray:
        return offset + np.exp(a) * (x + np.exp(shift)) ** -np.exp(alpha)

    left = np.full(n, np.inf)
    for i in range(n):
        z = made.z[i]
        for _ in range(10):
            start = [z.min(), rng.normal(-1, 1), rng.uniform(np.log(0.2), np.log(2)), rng.uniform(-4.6, 0)]
            try:
                found = curve_fit(curve, made.x, z, start, maxfev=2000)[0]
            except RuntimeError:
                continue
            left[i] = min(left[i], ((z - curve(made.x, *found)) ** 2).sum())
    return left


def scipy_bounded(made: Simulated, n: int, starts: int) -> np.ndarray:
    """Squares (n,) left within the bounds of the form, by trust regions on the shape, the linear numbers solved for."""
    low, high = (np.log([getattr(prior, end) for prior in POW4.shape.values()]) for end in ("low", "high"))
    rng, left = np.random.default_rng(2), np.full(n, np.inf)
    for i in range(n):

        def residual(log_shape: np.ndarray, z: np.ndarray = made.z[i]) -> np.ndarray:
            g = (made.x + np.exp(log_shape[1])) ** -np.exp(log_shape[0])
            g, z = (g - g.mean()) / g.std(), z - z.mean()
            return z - (g @ z) / (g @ g) * g

        for _ in range(starts):
            found = least_squares(residual, rng.uniform(low, high), bounds=(low, high), ftol=1e-11, xtol=1e-11)
            left[i] = min(left[i], 2 * found.cost)
    return left


def far_of(found: Fit) -> np.ndarray:
    """Where fits go, at ten times the data (n,)."""
    g = np.array([POW4.columns(FAR, shape)[0, 0] for shape in found.shape])
    return found.level + found.gap[:, 0] * g


def row(name: str, took: Cost, *others: str) -> str:
    """One line of a Markdown table, rates to three digits."""
    rates = [f"{float(f'{rate:.3g}'):,g}" for rate in took]
    return "| " + " | ".join([name, *rates, *others]) + " |"


def fitting(made: Simulated, steps: int = 10) -> Cost:
    """Of fits."""
    return cost(lambda: fit(POW4, made.x, made.z, steps=steps), len(made.z))


def forecasting(made: Simulated, nodes: np.ndarray, repeats: int = 3) -> Cost:
    """Of posteriors, the mean and the ends of an interval at ten times the data."""
    return cost(lambda: forecast(POW4, made.x, made.z, at=FAR, levels=LEVELS, nodes=nodes), len(made.z), repeats)


def speeds(quick: bool) -> None:
    """Fits: ours against SciPy; posteriors: ours against NUTS."""
    n, some = (300, 5) if quick else (10_000, 200)
    made = simulate(n, 100)
    fits = {steps: fitting(made, steps) for steps in (10, 4)}
    ours = {steps: fit(POW4, made.x, made.z[:some], steps=steps).misfit for steps in fits}
    left, scipy = once(lambda: scipy_fits(made, some), some)
    bounded, trust = once(lambda: scipy_bounded(made, some, 4), some)
    best = np.min([bounded, *ours.values()], axis=0)
    print("| fit | a second | a CPU second | of curve_fit | above the optimum by .1 % |\n|---|---|---|---|---|")
    rows = {f"ours, {steps} steps": (fits[steps], ours[steps]) for steps in fits}
    rows |= {"scipy curve_fit, 10 starts": (scipy, left), "scipy TRF, bounded, 4 starts": (trust, bounded)}
    for name, (took, squares) in rows.items():
        share = f"{(squares > 1.001 * best).mean():.1%}"
        print(row(name, took, f"{took.wall / scipy.wall:,.3g} x", share))
    print("\n| posterior | a second | a CPU second | of NUTS |\n|---|---|---|---|")
    rows = {}
    for shape in GRIDS[: 1 if quick else 3]:
        nodes = grid(*shape)
        rows[f"quadrature, {len(nodes):,} nodes"] = forecasting(made, nodes, 3 if len(nodes) < 2000 else 1)
    few = made._replace(z=made.z[:some])
    rows[f"quadrature, {len(FINE):,} nodes ({some} curves)"] = forecasting(few, FINE, 1)
    slow = nuts(made, quick)
    for name, took in {**rows, "NUTS, 4 chains x (500 + 500)": slow}.items():
        print(row(name, took, f"{took.wall / slow.wall:,.3g} x"))


def nuts(made: Simulated, quick: bool) -> Cost:
    """The sampler on a few curves, compiled before."""
    few, steps = (1, 10) if quick else (3, 500)
    machine = MCMC(
        NUTS(model(POW4), dense_mass=True), num_warmup=steps, num_samples=steps, num_chains=4,
        chain_method="vectorized", progress_bar=False, jit_model_args=True,
    )  # fmt: skip

    def run(i: int) -> None:
        z = made.z[i]
        machine.run(jax.random.key(i), jax.numpy.asarray(made.x), jax.numpy.asarray((z - z.mean()) / z.std()))
        jax.block_until_ready(machine.get_samples())

    run(few)
    return once(lambda: [run(i) for i in range(few)], few)[1]


def quality(quick: bool) -> None:
    """Forecasts of the curve without noise at ten times the data."""
    n, some = (300, 100) if quick else (5_000, 400)
    made = simulate(n, 100, seed=1)
    print("\n| forecast at 10 x the data | RMSE | 90 % interval holds |\n|---|---|---|")
    for shape in GRIDS[: 1 if quick else 3]:
        nodes = grid(*shape)
        found = forecast(POW4, made.x, made.z, at=FAR, levels=LEVELS, nodes=nodes)
        print(scored(f"posterior, {len(nodes):,} nodes", found.mean[:, 0], made.truth, found.quantiles[:, 0]))
    found = forecast(POW4, made.x, made.z[:some], at=FAR, levels=LEVELS, nodes=FINE)
    name = f"posterior, {len(FINE):,} nodes ({some} curves)"
    print(scored(name, found.mean[:, 0], made.truth[:some], found.quantiles[:, 0]))
    best = fit(POW4, made.x, made.z)
    # Its interval: the noise of the residuals carried through the slopes at the optimum.
    sd = np.array([slope_sd(best, made, i) for i in range(some)])
    middle = far_of(best)
    ends = middle[:some, None] + 1.645 * sd[:, None] * np.array([-1.0, 1.0])
    print(scored("maximum likelihood", middle, made.truth, None))
    print(scored(f"maximum likelihood, linearised ({some} curves)", middle[:some], made.truth[:some], ends))
    print(scored("mean of the last five", made.z[:, -5:].mean(1), made.truth, None))


def slope_sd(best: Fit, made: Simulated, i: int) -> float:
    """The sd of a maximum-likelihood forecast by the delta method."""
    alpha, shift = best.shape[i]

    def curve(p: np.ndarray, x: np.ndarray) -> np.ndarray:
        return p[0] + p[1] * np.asarray(-np.expm1(-p[2] * np.log((x + p[3]) / (1 + p[3]))) / p[2])

    at = np.array([best.level[i], best.gap[i, 0], alpha, shift])
    steps = np.diag(1e-5 * np.maximum(np.abs(at), 1e-3))
    both = np.append(made.x, FAR)
    slopes = np.stack([(curve(at + s, both) - curve(at - s, both)) / (2 * s.sum()) for s in steps], 1)
    covariance = best.misfit[i] / (len(made.x) - 4) * np.linalg.pinv(slopes[:-1].T @ slopes[:-1])
    return float(np.sqrt(slopes[-1] @ covariance @ slopes[-1]))


def scored(name: str, middle: np.ndarray, truth: np.ndarray, ends: np.ndarray | None) -> str:
    """A row of the table of forecasts."""
    held = "" if ends is None else f"{((truth > ends[:, 0]) & (truth < ends[:, 1])).mean():.1%}"
    return f"| {name} | {np.sqrt(((middle - truth) ** 2).mean()):.4f} | {held} |"


def cold() -> None:
    """A fresh process: import, one fit, one forecast."""
    done = subprocess.run([sys.executable, "-c", COLD], capture_output=True, text=True, check=True)
    imports, fitted, posterior = (float(part) for part in done.stdout.split())
    print("\n| fresh process | seconds |\n|---|---|")
    print(f"| imports | {imports:.2f} |\n| first fit | {fitted:.2f} |\n| first forecast | {posterior:.2f} |")


def growth(quick: bool, out: Path) -> None:
    """What a call takes by numbers of curves, points and nodes: three panels."""
    counts = (1, 30) if quick else (1, 10, 100, 1000, 10_000)
    points = (10, 30) if quick else (10, 30, 100, 300)
    sizes = ((6, 8), (12, 16)) if quick else ((6, 8), (12, 16), (24, 32), (48, 64))
    nodes, n = grid(24, 40), max(counts[-1] // 5, 30)
    by_count, by_points = ([], []), ([], [])
    for count in counts:
        made = simulate(count, 100)
        by_count[0].append(count / fitting(made).wall)
        by_count[1].append(count / forecasting(made, nodes).wall)
    for t in points:
        made = simulate(n, t)
        by_points[0].append(1e6 / fitting(made).wall)
        by_points[1].append(1e6 / forecasting(made, nodes).wall)
    made = simulate(n, 100)
    by_nodes = [1e6 / forecasting(made, grid(*shape)).wall for shape in sizes]
    panels = [
        ("curves", "seconds a call", counts, by_count),
        ("points a curve", "microseconds a curve", points, by_points),
        ("nodes", "microseconds a curve", [a * b for a, b in sizes], (None, by_nodes)),
    ]
    out.mkdir(parents=True, exist_ok=True)
    with canvas((9.4, 3.2)) as (figure, axes):
        axes.remove()
        for panel, (across, up, at, lines) in zip(figure.subplots(1, 3), panels, strict=True):
            for line, name, colour, marker in zip(
                lines, ("fit", "posterior"), ("blue", "vermillion"), "os", strict=True
            ):
                if line is not None:
                    panel.plot(at, line, color=LIGHT[colour], marker=marker, markersize=4, label=name)
            panel.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
            values = np.log10(np.concatenate([line for line in lines if line is not None]))
            panel.set_ylim(10 ** np.floor(values.min()), 10 ** np.ceil(values.max()))
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
                axis.set_minor_formatter(NullFormatter())
        figure.axes[0].legend(frameon=False)
        (out / "speed.svg").write_text(drawing(figure, "speed").alone, encoding="utf-8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"), help="folder for speed.svg")
    called = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    warnings.filterwarnings("ignore")  # curve_fit overflows from bad starts
    speeds(called.quick)
    quality(called.quick)
    cold()
    growth(called.quick, called.out)


if __name__ == "__main__":
    main()
