"""The posterior by quadrature beside the same posterior by NUTS: pow4 on 10 simulated and 10 real curves.

python benchmarks/nuts_agreement.py [--quick]

Prints, for each number (forecasts at 2 and 10 times the data, the numbers of the shape), how far the means are apart in
units of the sampler's sd, and the ratio of the sds; with R-hat and effective sizes of the chains. The model is written
anew here, from the words of `predictdyn.fitting.quadrature`, with gaps whose prior does not know of the noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from jax.scipy.special import ndtr
from numpyro.diagnostics import effective_sample_size
from numpyro.infer.hmc import hmc
from numpyro.infer.util import initialize_model
from scipy.stats import norm, rankdata

from predictdyn.fitting.linear import probability_of
from predictdyn.fitting.mixtures import mean_sd
from predictdyn.fitting.quadrature import WEAK, posterior, predict
from predictdyn.forms import BY_NAME, Form

AT = np.array([2.0, 10.0])
FINER = 24  # times as many nodes an axis as the form's own grid; 36 move means and sds by less than .2 % of a sd
DATA = Path(__file__).parents[1] / "datasets" / "digits" / "data" / "points.parquet"


def model(form: Form) -> Callable[..., None]:
    """The model of one curve in units of its own sd: z (t,) over x (t,)."""

    def of(x: Any, z: Any) -> None:
        # Normal, and so uniform as probabilities: without bounds, and with lighter tails than a logit has.
        u = ndtr(numpyro.sample("v", dist.Normal(0, 1).expand([len(form.shape)]).to_event(1)))
        numpyro.deterministic("u", u)
        numbers = [
            prior.low * (prior.high / prior.low) ** u[i] if prior.log else prior.low + (prior.high - prior.low) * u[i]
            for i, prior in enumerate(form.shape.values())
        ]
        g, ahead = (jnp.atleast_2d(jnp.asarray(form.g(at, *numbers))) for at in (x, jnp.array([1.0, 10.0])))
        size = jnp.maximum(g.std(1), jnp.abs(ahead[:, 1] - ahead[:, 0]))
        # What the gaps add, about the middle of the curve: the same prior, in coordinates that hardly correlate.
        added = numpyro.sample("added", dist.Normal(0, WEAK.gap).expand([len(g)]).to_event(1))
        middle = numpyro.sample("middle", dist.ImproperUniform(dist.constraints.real, (), ()))
        half = WEAK.strength / 2
        variance = numpyro.sample("variance", dist.InverseGamma(half, half * WEAK.noise**2))
        numpyro.sample("z", dist.Normal(middle + (added / size) @ (g - g.mean(1)[:, None]), jnp.sqrt(variance)), obs=z)
        far = jnp.atleast_2d(jnp.asarray(form.g(jnp.asarray(AT), *numbers)))
        numpyro.deterministic("far", middle + (added / size) @ (far - g.mean(1)[:, None]))

    return of


def sampled(form: Form, x: np.ndarray, z: np.ndarray, warmup: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """NUTS on all curves z (n, t) at once, 4 chains each side by side: far (n, 4, count, s), u (n, 4, count, k)."""
    n, chains = len(z), 4
    unit, mean = z.std(1)[:, None], z.mean(1)[:, None]
    args = [jnp.repeat(jnp.asarray(part), chains, axis=0) for part in (x, (z - mean) / unit)]
    first, potential, finish, _ = initialize_model(
        jax.random.key(0), model(form), dynamic_args=True, model_args=(args[0][0], args[1][0])
    )
    init, step = hmc(potential_fn_gen=potential, algo="NUTS")

    def chain(key: Any, x: Any, z: Any) -> dict[str, Any]:
        start = jax.tree.map(lambda part: part + jax.random.normal(key, part.shape), first.z)
        begin = init(start, warmup, model_args=(x, z), rng_key=key, target_accept_prob=0.95, dense_mass=True)

        def following(state: Any, _: None) -> tuple[Any, Any]:
            state = step(state, (x, z))
            return state, state.z

        drawn = jax.lax.scan(following, begin, None, length=warmup + count)[1]
        return jax.vmap(finish(x, z))(jax.tree.map(lambda part: part[warmup:], drawn))

    found = jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(1), n * chains), *args)
    far, u = (np.asarray(found[name]).reshape(n, chains, count, -1) for name in ("far", "u"))
    return mean[..., None, None] + unit[..., None, None] * far, u


def rank_rhat(chains: np.ndarray) -> float:
    """Rank-normalised split R-hat of chains (c, s), bulk and folded (Vehtari et al. 2021, doi:10.1214/20-BA1221)."""
    halves = np.concatenate(np.array_split(chains[:, : chains.shape[1] // 2 * 2], 2, axis=1))

    def plain(values: np.ndarray) -> float:
        z = norm.ppf((rankdata(values).reshape(values.shape) - 0.375) / (values.size + 0.25))
        within, between = z.var(1, ddof=1).mean(), z.mean(1).var(ddof=1)
        return float(np.sqrt((len(z[0]) - 1) / len(z[0]) + between / within))

    return max(plain(halves), plain(np.abs(halves - np.median(halves))))


def simulated(n: int, x: np.ndarray) -> np.ndarray:
    """Power laws with a shift and two to twenty per cent of noise."""
    rng = np.random.default_rng(0)
    clean = (x + 10 ** rng.uniform(-2, 0, (n, 1))) ** -rng.uniform(0.3, 1.3, (n, 1))
    clean = clean / clean.std(1, keepdims=True)
    return 2 + clean + rng.uniform(0.02, 0.2, (n, 1)) * rng.standard_normal((n, len(x)))


def real(n: int, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of test losses of the digits suite: places (n, t) relative to the last step, values (n, t)."""
    points = (
        pd.read_parquet(DATA).query("metric == 'test_loss' and step > 0 and value > 0").sort_values(["run", "step"])
    )
    runs = [run for _, run in points.groupby("run") if len(run) >= t]
    chosen = runs[:: max(len(runs) // n, 1)][:n]
    rows = [run.iloc[np.linspace(0, len(run) - 1, t).round().astype(int)] for run in chosen]
    return np.stack([row.step / row.step.iloc[-1] for row in rows]), np.stack([np.log(row.value) for row in rows])


def by_quadrature(form: Form, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and sds (n, 2 + k) of the same."""
    found = posterior(form, x, z, nodes=form.nodes(FINER))
    far, far_sd = mean_sd(predict(found, form, AT))
    u = probability_of(form, found.nodes)
    mean = found.weight @ u
    sd = np.sqrt((found.weight[..., None] * (u - mean[:, None]) ** 2).sum(1))
    return np.concatenate([far, mean], 1), np.concatenate([far_sd, sd], 1)


def compared(form: Form, x: np.ndarray, z: np.ndarray, warmup: int, count: int) -> pd.DataFrame:
    """One row a curve and number."""
    mean, sd = by_quadrature(form, x, z)
    all_chains, rows = np.concatenate(sampled(form, x, z, warmup, count), axis=3), []
    for i in range(len(z)):
        for c, name in enumerate(["at 2x", "at 10x", *form.shape]):
            one = all_chains[i, :, :, c]
            ratio, apart = sd[i, c] / one.std(), abs(mean[i, c] - one.mean()) / one.std()
            rows.append((form.name, i, name, apart, ratio, rank_rhat(one), float(effective_sample_size(one))))
    return pd.DataFrame(rows, columns=["form", "curve", "number", "apart", "ratio", "rhat", "size"])


def main() -> None:
    """Compare, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one curve of each kind and short chains")
    quick = parser.parse_args().quick
    jax.config.update("jax_enable_x64", True)
    n, t, warmup, count = (1, 30, 100, 100) if quick else (10, 30, 1500, 4500)
    x = np.linspace(1 / t, 1, t)
    places, losses = real(n, t)
    x, z = np.concatenate([np.tile(x, (n, 1)), places]), np.concatenate([simulated(n, x), losses])
    table = compared(BY_NAME["pow4"], x, z, warmup, count)
    table["kind"] = np.where(table.curve < n, "simulated", "real")
    print("| curves | number | means apart, in sd: mean | most | sd ratio: least | most |\n|---|---|---|---|---|---|")
    for (kind, number), one in table.groupby(["kind", "number"], sort=False):
        cells = [one.apart.mean(), one.apart.max(), one.ratio.min(), one.ratio.max()]
        print(f"| {kind} | {number} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    each = table.groupby("curve")
    print(
        f"\nworst R-hat {table.rhat.max():.4f}, least effective size {table['size'].min():.0f} (of {4 * count} draws)"
    )
    missed = each.apply(lambda one: (one.apart.max() > 0.10) or (np.abs(one.ratio - 1).max() > 0.15))
    print(f"curves whose means are within 10 % of a sd and sds within 15 %: {(~missed).sum()} of {len(missed)}")
    if missed.any():
        print(table[table.curve.isin(missed[missed].index)].to_string(index=False))


if __name__ == "__main__":
    main()
