"""The sampler of the onset hazard beside NUTS of numpyro, on histories of grokking: seconds, and what draws are worth.

python benchmarks/onset_sampler.py [--folds 3] [--draws 300] [--cutoffs 0.1,0.5]

Both draw from one posterior. NUTS (4 chains, 100 steps to warm up, trees of at most 63 steps) is given for nothing
where our chains ended and the map that makes the posterior round. Arrays are padded to multiples of 32, so that it is
compiled once or twice; the seconds of the first call, which compiles it, have a column of their own. Seconds are those
of the processor. R-hat and effective draws are the worst of all weights and spreads. Printed as Markdown.
"""

from __future__ import annotations

import argparse
import time
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo

from predictdyn.backtest.folds import folds, groups
from predictdyn.backtest.plan import Plan
from predictdyn.datasets import bundled
from predictdyn.events import parse
from predictdyn.fitting import onset_hazard
from predictdyn.fitting.chains import Mixing, mixing
from predictdyn.fitting.on_cpu import double
from predictdyn.fitting.onset_hazard import BINS, RunsAtRisk, even_level
from predictdyn.forecasters.onsets import at_risk_of, onsets
from predictdyn.loaders import tidy
from predictdyn.problem import History, Problem, log_progress

CHAINS, WARM, DEPTH, PADDED = 4, 100, 6, 32


def main() -> None:
    """Time both samplers on the first groups of grokking that are held out, print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--cutoffs", default="0.1,0.5")
    called = parser.parse_args()
    print("| seen | runs | weights | sampler | seconds | first call | R-hat | effective | a second | diverged |")
    print("| ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for cutoff in map(float, called.cutoffs.split(",")):
        for runs in _histories(cutoff, called.folds):
            _compared(runs, cutoff, called.draws)


def _histories(cutoff: float, n: int) -> list[RunsAtRisk]:
    curves, event = tidy.load(bundled("grokking")), parse("test_accuracy >= 0.95", ["test_accuracy"])
    plan, found = Plan(cutoffs=(cutoff,), metrics=("test_accuracy",)), []
    for group in groups(curves, plan)[:n]:
        fold = next(folds(curves, group, plan))
        past = onsets(group.history, event)
        past = past[past["onset"] > cutoff]
        family = group.history.runs["family"].loc[past.index].to_numpy(dtype=object)
        problem = Problem(History(group.history), fold.observed, fold.target, 0, 0)
        found.append(at_risk_of(problem, ["test_accuracy"], cutoff, past, family)[0])
    return found


def _compared(runs: RunsAtRisk, cutoff: float, draws: int) -> None:
    families, family = np.unique(runs.family.astype(str), return_inverse=True)
    edges = np.linspace(float(log_progress(np.array(cutoff))), 1.0, BINS + 1)
    data = _padded(onset_hazard._data(runs, family, len(families), edges))
    ended: list[tuple[np.ndarray, np.ndarray]] = []
    real = onset_hazard.moved

    def noted(likelihood: Any, chains: Any, root: np.ndarray, *args: Any, **named: Any) -> Any:
        after = real(likelihood, chains, root, *args, **named)
        ended.append((after.at, root))
        return after

    onset_hazard.moved = noted
    spreads = int(data.group.max()) + 1
    began = time.process_time()
    *_, ours = onset_hazard._drawn(data, spreads, np.random.default_rng(0))
    spent = time.process_time() - began
    onset_hazard.moved = real
    size = f"{cutoff:.0%} | {len(runs.onset)} | {len(data.scale) + spreads}"
    _print(f"{size} | ours", spent, spent, ours)
    at, root = ended[-1]
    seconds = []
    for seed in (0, 1):
        began = time.process_time()
        theirs = _by_nuts(data, spreads, at[:, :CHAINS], root, draws, seed)
        seconds.append(time.process_time() - began)
    _print(f"{size} | NUTS", seconds[1], seconds[0], theirs)


def _print(head: str, seconds: float, first: float, found: Mixing) -> None:
    words = [f"{seconds:.1f}", f"{first:.1f}", f"{found.rhat:.2f}", f"{found.size:.0f}", f"{found.size / seconds:.0f}"]
    print(f"| {head} | {' | '.join(words)} | {found.divergent:.1%} |", flush=True)


def _padded(data: Any) -> Any:
    """Runs and columns to multiples of 32: runs that no bin counts, columns of noughts in the last group."""
    bins, (n, columns) = len(data.time), data.x.shape
    more, wider = -n % PADDED, -columns % PADDED
    return data._replace(
        x=np.pad(data.x, ((0, more), (0, wider))), open=np.pad(data.open, ((0, 0), (0, more))),
        came=np.pad(data.came, ((0, 0), (0, more))), scale=np.pad(data.scale, (0, wider), constant_values=1.0),
        group=np.pad(data.group, (0, 2 + bins + columns + wider - len(data.scale)), constant_values=data.group.max()),
    )  # fmt: skip


def _potential(numbers: Any, data: Any) -> Any:
    """Minus the log density that `onset_hazard` draws from, written for JAX."""
    bins, k = len(data.time), len(data.scale)
    weights = data.scale * jnp.concatenate([numbers[:2], numbers[2:k] * numbers[k:][data.group]])
    level = weights[0] + even_level(BINS) + data.time * weights[1] + weights[2 : 2 + bins]
    of_bin, of_run = jnp.exp(jnp.clip(level, -50, 50)), jnp.exp(jnp.clip(data.x @ weights[2 + bins :], -50, 50))
    passed = (data.open.T @ of_bin) * of_run
    came = data.came.any(axis=0)
    rate = jnp.where(came, jnp.maximum((data.came.T @ of_bin) * of_run, 1e-300), 1.0)
    gain = jnp.where(came, jnp.log(-jnp.expm1(-rate)), 0.0).sum() - passed.sum()
    return 0.5 * (numbers**2).sum() - gain


@cache
def _nuts(draws: int) -> Any:
    def chain(key: Any, start: ParamInfo, root: Any, data: Any) -> Any:
        init, step = hmc(potential_fn_gen=lambda root, data: lambda white: _potential(root @ white, data), algo="NUTS")
        state = init(
            start, WARM, model_args=(root, data), rng_key=key, max_tree_depth=DEPTH, step_size=0.3,
            adapt_mass_matrix=False,
        )  # fmt: skip

        def following(state: Any, _: None) -> Any:
            state = step(state, (root, data))
            return state, (root @ state.z, state.diverging)

        return jax.lax.scan(following, state, None, length=WARM + draws)[1]

    return jax.jit(jax.vmap(chain, (0, 0, None, None)), compiler_options={"xla_llvm_disable_expensive_passes": True})


@cache
def _slope() -> Any:
    return jax.jit(jax.value_and_grad(lambda white, root, data: _potential(root @ white, data)))


def _by_nuts(data: Any, spreads: int, at: np.ndarray, root: np.ndarray, draws: int, seed: int) -> Mixing:
    with double():
        arrays = type(data)(*(jnp.asarray(part) for part in data))
        white = np.linalg.solve(root, at).T
        value, slope = zip(*(_slope()(row, root, arrays) for row in white), strict=True)
        begin = ParamInfo(jnp.asarray(white), jnp.array(value), jnp.stack(slope))
        keys = jax.random.split(jax.random.key(seed), CHAINS)
        numbers, lost = (np.asarray(part)[:, WARM:] for part in _nuts(draws)(keys, begin, root, arrays))
    flat = numbers.reshape(-1, len(root)).T
    found = np.concatenate([onset_hazard._weights(data, flat), np.abs(flat[-spreads:])])
    return mixing(found.reshape(-1, CHAINS, draws).transpose(1, 2, 0), float(lost.mean()))


if __name__ == "__main__":
    main()
