"""Folders of results as the backtest and the forecast write them, from simulated runs with a known truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from predictdyn.report import publish

QUANTILES = {f"q{level:g}": level for level in (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)}
KIND_OF = {"accuracy": "capability", "bias_gap": "bias", "exact_recall": "memorization", "valid_loss": "loss"}
RANGE = {"accuracy": (0, 1, "higher", 0.25), "bias_gap": (-1, 1, "zero", None), "exact_recall": (0, 1, "lower", 0.0),
         "valid_loss": (0, None, "lower", None)}  # fmt: skip
LAST = 143_000
# by how much the error of a forecaster's centre differs from that of the best baseline, whose factor is 1
ERROR = {"auto": 0.6, "power": 0.8, "neighbours": 0.75, "last": 1.0, "mean_outcome": 1.3}
BASELINES = ("last", "mean_outcome")


def _backtest(
    folder: Path, *, seed: int = 0, useful: bool = True, cutoffs: tuple[float, ...] = (0.1, 0.25, 0.5), runs: int = 14,
    metrics: int = 1, forecasters: dict[str, float] | None = None, names: tuple[str, ...] = (), fixed: bool = False,
) -> Path:  # fmt: skip
    """Write a backtest folder; ``names`` replaces the first run names, ``useful`` False makes auto like a baseline."""
    rng = np.random.default_rng(seed)
    error = dict(forecasters or ERROR)
    if not useful:
        error["auto"] = 1.05
    named = [*names, *(f"pythia-70m-seed{i + 1}" for i in range(len(names), runs))]
    listed = {f"{name}{'' if i == 0 else f'_{i}'}": name for i in range(metrics) for name in KIND_OF}
    rows, curves = [], {}
    for r, run in enumerate(named):
        for metric, base in listed.items():
            _, value = curves[run, metric] = _curve(rng, base, r)
            for cutoff in (np.nan,) if fixed else cutoffs:
                share = 0.25 if fixed else cutoff
                noise = rng.standard_normal()
                for forecaster, factor in error.items():
                    # exact_recall jumps late, so nobody sees it coming
                    size = 1.0 if base == "exact_recall" else factor
                    sd = 0.06 * (1.2 - share) * size
                    mine = 0.7 * noise + 0.7 * rng.standard_normal()
                    mean = value[-1] + sd * mine
                    status = "ok"
                    if forecaster == "power" and rng.random() < 0.08:
                        status = "not converged"
                    what = (KIND_OF[base], LAST, status, value[-1], mean, sd)
                    rows.append((forecaster, f"f{r // 2}", cutoff, run, metric, *what))
    columns = ["forecaster", "fold", "cutoff", "run", "metric", "kind", "step", "status", "truth", "mean", "sd"]
    forecasts = _with_quantiles(pd.DataFrame(rows, columns=columns))
    stopped = (forecasts["run"] == named[-1]) & (forecasts["metric"] == "accuracy")
    forecasts.loc[stopped, "status"], forecasts.loc[stopped, "truth"] = "censored", np.nan
    z = (forecasts["truth"] - forecasts["mean"]) / forecasts["sd"]
    cdf = z.map(_normal_cdf)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    forecasts["crps"] = forecasts["sd"] * (z * (2 * cdf - 1) + 2 * density - 1 / np.sqrt(np.pi))
    forecasts["log_score"] = np.log(forecasts["sd"]) + 0.9189385 + z**2 / 2
    forecasts["pit"] = cdf
    forecasts["family"] = forecasts["fold"]
    folder.mkdir(parents=True, exist_ok=True)
    _summaries(folder, forecasts.dropna(subset="truth"), rng)
    forecasts.drop(columns="family").to_parquet(folder / "forecasts.parquet", index=False)
    _pictures(folder, forecasts, curves, named[:3], list(listed)[: 4 * min(metrics, 2)], hide=True)
    _metrics(folder, listed)
    _provenance(folder, "backtest", {"runs": len(named), "families": (len(named) + 1) // 2, "metrics": len(listed),
                "points": sum(len(s) for s, _ in curves.values())}, list(cutoffs))  # fmt: skip
    return folder


def _forecast(folder: Path, *, seed: int = 0, runs: int = 3, names: tuple[str, ...] = ()) -> Path:
    """Write a folder of forecasts whose truth is not known."""
    rng = np.random.default_rng(seed)
    named = [*names, *(f"olmo-1b-{i + 1}" for i in range(len(names), runs))]
    rows, curves = [], {}
    for r, run in enumerate(named):
        for metric in KIND_OF:
            _, value = curves[run, metric] = _curve(rng, metric, r)
            sd = 0.02 + 0.02 * rng.random()
            status = "not converged" if metric == "exact_recall" and r == 0 else "ok"
            rows.append(
                ("auto", "now", 0.25, run, metric, KIND_OF[metric], LAST, status, np.nan, value[-1] + sd / 2, sd)
            )
    columns = ["forecaster", "fold", "cutoff", "run", "metric", "kind", "step", "status", "truth", "mean", "sd"]
    forecasts = _with_quantiles(pd.DataFrame(rows, columns=columns)).assign(crps=np.nan, log_score=np.nan, pit=np.nan)
    folder.mkdir(parents=True, exist_ok=True)
    forecasts.to_parquet(folder / "forecasts.parquet", index=False)
    _pictures(folder, forecasts, curves, named[:3], list(KIND_OF), hide=False)
    _metrics(folder, {name: name for name in KIND_OF})
    _provenance(folder, "forecast", {"runs": runs, "families": runs, "metrics": 4, "points": 100}, [0.25])
    return folder


def _curve(rng: np.random.Generator, metric: str, r: int) -> tuple[np.ndarray, np.ndarray]:
    step = np.unique(np.r_[1000, np.geomspace(512, LAST, 26).round(), np.linspace(5000, LAST, 18).round()])
    t = step / LAST
    level = rng.normal(0, 0.05)
    clean = {
        "accuracy": 0.25 + (0.42 + level) * (1 - np.exp(-3.5 * t)),
        "bias_gap": 0.05 + (0.22 + level) * t**0.45,
        "exact_recall": 0.02 + (0.3 + level) / (1 + np.exp(-14 * (t - 0.6 - 0.02 * r))),
        "valid_loss": 2.1 + level + 0.55 * (t + 0.002) ** -0.35,
    }[metric]
    noisy = clean + rng.normal(0, 0.008, len(step)) * (3 if metric == "valid_loss" else 1)
    return step, np.clip(noisy, 0.001, 0.999) if metric != "valid_loss" else noisy


def _with_quantiles(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(
        **{name: rows["mean"] + rows["sd"] * _normal_quantile(level) for name, level in QUANTILES.items()}
    )


def _normal_cdf(z: float) -> float:
    return NormalDist().cdf(z) if np.isfinite(z) else np.nan


def _normal_quantile(level: float) -> float:
    return NormalDist().inv_cdf(level)


def _pictures(folder, forecasts, curves, runs, metrics, *, hide) -> None:
    some = forecasts[
        (forecasts["forecaster"] == "auto") & forecasts["run"].isin(runs) & forecasts["metric"].isin(metrics)
    ]
    paths, shown = [], []
    for _, row in some.iterrows():
        step, value = curves[row["run"], row["metric"]]
        share = row["cutoff"] if np.isfinite(row["cutoff"]) else 0.25
        seen = step <= share * LAST
        grid = np.geomspace(step[seen].max(), LAST, 24)
        way = (grid - grid[0]) / (grid[-1] - grid[0])
        mean = value[seen][-1] + (row["mean"] - value[seen][-1]) * way**0.5
        path = pd.DataFrame({"step": grid, "mean": mean, "sd": row["sd"] * (0.15 + 0.85 * way**0.5)})
        same = {name: row[name] for name in ("forecaster", "fold", "cutoff", "run", "metric", "kind", "status")}
        paths.append(_with_quantiles(path.assign(**same, truth=np.nan, crps=np.nan, log_score=np.nan, pit=np.nan)))
        curve = pd.DataFrame({"step": step, "value": value, "stderr": np.nan, "seen": seen})
        same = {name: row[name] for name in ("run", "metric", "kind", "cutoff")}
        shown.append(curve.assign(**same) if hide else curve[seen].assign(**same))
    pd.concat(paths, ignore_index=True)[[c for c in forecasts.columns if c != "family"]].to_parquet(
        folder / "paths.parquet", index=False
    )
    pd.concat(shown, ignore_index=True).to_parquet(folder / "examples.parquet", index=False)


def _skill(own: pd.DataFrame, best: pd.DataFrame, rng: np.random.Generator) -> tuple[float, float, float]:
    """1 - mean / mean of the baseline, with a 90 % bootstrap interval over runs."""
    a, b = own.groupby("run")["crps"].mean(), best.groupby("run")["crps"].mean()
    picked = rng.integers(len(a), size=(400, len(a)))
    drawn = 1 - a.to_numpy()[picked].mean(axis=1) / b.to_numpy()[picked].mean(axis=1)
    return 1 - a.mean() / b.mean(), *np.quantile(drawn, (0.05, 0.95))


def _summaries(folder: Path, rows: pd.DataFrame, rng: np.random.Generator) -> None:
    ends = {"50": ("q0.25", "q0.75"), "80": ("q0.1", "q0.9"), "90": ("q0.05", "q0.95"), "95": ("q0.025", "q0.975")}
    rows = rows.assign(ae=(rows["mean"] - rows["truth"]).abs())
    for level, (low, high) in ends.items():
        rows[f"coverage_{level}"] = rows["truth"].between(rows[low], rows[high]).astype(float)
    averaged = ["crps", "log_score", "ae", *(f"coverage_{level}" for level in ends)]
    tables = {"scores": ["kind", "metric", "cutoff"], "verdicts": ["kind", "cutoff"], "leaderboard": []}
    for table, cell in tables.items():
        made = []
        for key, part in rows.groupby(cell, dropna=False, sort=False) if cell else [((), rows)]:
            means = part[part["forecaster"].isin(BASELINES)].groupby("forecaster")["crps"].mean()
            best = part[part["forecaster"] == means.idxmin()]
            for forecaster, own in part.groupby("forecaster", sort=False):
                skill, low, high = _skill(own, best, rng)
                few = own["run"].nunique() < 5
                word = "too few runs to say" if few else "predictable here" if low > 0 else "not predictable here"
                made.append(
                    dict(zip(cell, key, strict=True))
                    | {"forecaster": forecaster, "baseline": forecaster in BASELINES, "best_baseline": means.idxmin()}
                    | {"n_families": own["family"].nunique(), "n_runs": own["run"].nunique(), "n": len(own)}
                    | {"scaled_crps": own["crps"].mean() / means.median(), "verdict": word, "p_value": 0.5}
                    | {"skill": skill, "skill_lo": low, "skill_hi": high, **own[averaged].mean()}
                    | {"rmsle": np.nan, "interval_90": np.nan, "relative_error": np.nan}
                    | {"width_90": (own["q0.95"] - own["q0.05"]).mean()}
                    | {"fallback_share": (own["status"] != "ok").mean()}
                )
        result = pd.DataFrame(made)
        if table == "leaderboard":
            result = result.sort_values("scaled_crps")
        result.to_csv(folder / f"{table}.csv", index=False)


def _metrics(folder: Path, listed: dict[str, str]) -> None:
    rows = [(name, KIND_OF[base], *RANGE[base]) for name, base in listed.items()]
    pd.DataFrame(rows, columns=["metric", "kind", "lower", "upper", "better", "chance"]).to_csv(
        folder / "metrics.csv", index=False
    )


def _provenance(folder: Path, made: str, data: dict, cutoffs: list[float]) -> None:
    provenance = {
        "predictdyn": "0.1.0", "command": f"predictdyn {made} runs --out result", "made": made,
        "title": "Pythia, ten seeds: final properties from the first steps", "primary_forecaster": "auto", "seed": 0,
        "versions": {"numpy": "2.4.6", "jax": "0.9.0"}, "sha256": {"points.csv": "9f2c" * 16, "runs.csv": "1ab4" * 16},
        "plan": {"cutoff": cutoffs[0], "upto": None, "model": None} if made == "forecast" else
        {"cutoffs": cutoffs, "split": "cutoff", "targets": "final", "hold_out": "family", "test": []},
        "data": data, "warnings": ["run pythia-70m-seed3: 2 points at the same step, the later one is used"],
        "seconds": {"auto": 41.2, "power": 3.0, "last": 0.1}, "created": "2026-11-20T12:00:00+00:00",
    }  # fmt: skip
    (folder / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")


@pytest.fixture(scope="session")
def useful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published backtest in which auto is better than the baselines at most things."""
    folder = _backtest(tmp_path_factory.mktemp("useful"))
    publish(folder)
    return folder


@pytest.fixture(scope="session")
def useless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published backtest in which auto is no better than a baseline."""
    folder = _backtest(tmp_path_factory.mktemp("useless"), useful=False)
    publish(folder)
    return folder


@pytest.fixture(scope="session")
def forecast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published folder of forecasts."""
    folder = _forecast(tmp_path_factory.mktemp("forecast"))
    publish(folder)
    return folder


@pytest.fixture
def copied(useful: Path, tmp_path: Path) -> Path:
    """A backtest folder of one's own, to break."""
    return Path(shutil.copytree(useful, tmp_path / "result"))


@pytest.fixture(scope="session")
def write_backtest() -> Callable[..., Path]:
    """What writes a backtest folder."""
    return _backtest


@pytest.fixture(scope="session")
def write_forecast() -> Callable[..., Path]:
    """What writes a folder of forecasts."""
    return _forecast
