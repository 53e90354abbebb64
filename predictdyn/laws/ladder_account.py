"""What a ladder says of itself: each map as a formula with intervals, and how the dearest runs went when hidden."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from predictdyn.fitting.ability_pool import map_draws, shared_draws
from predictdyn.laws.formula import Number, figure
from predictdyn.laws.ladder import FEWEST_ROWS, Ladder, ladder_of
from predictdyn.laws.law import FEWEST
from predictdyn.laws.replay import COLUMNS, DEAREST, PART
from predictdyn.scores import crps

DRAWS = 1000


def numbers_of(ladder: Ladder, place: int, *, seed: int = 0) -> list[Number]:
    """The numbers of the map of an outcome, in units of the measure and of the outcome, with draws of each.

    Floor and ceiling, the measure half-way between, and the power of the measure there; of a loss the end that it falls
    to, the measure where it is as in the middle of the rows, and the power.
    """
    one, outcome, ability = ladder.maps[place], ladder.outcomes[place], ladder.ability
    drawn = map_draws(one, shared_draws(ladder.maps, DRAWS, seed=seed), seed=seed + place)
    node, coefficients = drawn
    mean, sd = np.array(ability.scales)[one.scale[node]].T
    there = mean - (one.middle[node] - coefficients[:, 1]) * sd
    half = np.where(one.scale[node] == 1, np.maximum(there, 1e-300), np.exp(np.minimum(there, 700.0)))
    power = (
        one.response.pace
        * np.exp(one.steep[node] + coefficients[:, 2])
        / sd
        * np.where(one.scale[node] == 1, half, 1.0)
    )
    measure = ability.parts[0]
    response = one.response
    if not outcome.bounded:
        return [
            Number("E", f"what {outcome.name} falls to", one.level[node] * response.low + coefficients[:, 0]),
            Number("L", f"{measure} where {outcome.name} is {figure(response.high)}", half),
            Number("k", f"power of {measure}", power),
        ]
    # Draws of the outcome end at the edges of its range, and so does the floor.
    floor = np.clip(response.low + coefficients[:, 0], 0.0, response.high)
    ceiling = response.low + one.level[node] * (response.high - response.low)
    best = "ceiling" if outcome.better == "higher" else "what it falls to"
    return [
        Number("F", f"{outcome.name} of a run without ability", outcome.value(floor)),
        Number("C", f"{best} of {outcome.name}", outcome.value(ceiling)),
        Number("L", f"{measure} half-way between", half),
        Number("k", f"power of {measure} there", power),
    ]


def written(ladder: Ladder, place: int, numbers: Sequence[Number]) -> tuple[str, str]:
    """A map as a formula, with symbols and with the medians of its numbers."""
    name, measure = ladder.outcomes[place].name, ladder.ability.parts[0]
    said = []
    for words in ([one.symbol for one in numbers], [figure(one.median) for one in numbers]):
        if ladder.outcomes[place].bounded:
            floor, ceiling, half, power = words
            said.append(f"{name} = {floor} + ({ceiling} - {floor}) / (1 + ({measure} / {half})^{power})")
        else:
            end, half, power = words
            middle = figure(ladder.maps[place].response.high)
            said.append(f"{name} = {end} + ({middle} - {end}) ({measure} / {half})^{power}")
    return said[0], said[1]


def held_out_by_ladder(
    ladder: Ladder, inputs: Sequence[str], names: np.ndarray, dearness: np.ndarray, rows: pd.DataFrame | None, seed: int
) -> pd.DataFrame:
    """The dearest 30 % of the finished runs as a ladder of the others forecasts their first outcome, a row a run.

    ``names`` and ``dearness`` (n,) are of the runs of the ladder. Columns are those of `laws.replay.held_out`. Nothing
    of the runs that are held out is used: neither their measures nor their checkpoints.
    """
    table, outcome = ladder.runs, ladder.outcomes[0]
    truth = pd.to_numeric(table[outcome.name], errors="coerce").to_numpy(dtype=float)
    known = np.isfinite(truth)
    edge = np.sort(dearness[known])[::-1][max(int(np.ceil(PART * known.sum())) - 1, 0)]
    out = known & (dearness >= edge * (1 - 1e-9) if edge > 0 else dearness >= edge)
    if out.sum() < 2 or (known & ~out).sum() < max(FEWEST, FEWEST_ROWS) + 2:
        return pd.DataFrame(columns=COLUMNS)
    left = None if rows is None else rows[~rows["run"].astype(str).isin(set(map(str, names[out])))]
    try:
        other = ladder_of(
            table[~out], ladder.outcomes[:1], ladder.ability.via, inputs, rows=left,
            towards=table.loc[out, list(inputs)], seed=seed,
        )  # fmt: skip
    except ValueError:
        return pd.DataFrame(columns=COLUMNS)
    draws = other.draws(table.loc[out, list(inputs)], seed=seed)[0]
    low, middle, high = np.quantile(draws, (0.05, 0.5, 0.95), axis=1)
    others = np.flatnonzero(known & ~out)
    dear = truth[others[np.argsort(dearness[others])[-max(len(others) // DEAREST, 2) :]]]
    good, reached = np.isfinite(middle), truth[out]
    found = pd.DataFrame({
        "run": names[out], "truth": reached, "median": middle, "q0.05": low, "q0.95": high,
        "inside": (low <= reached) & (reached <= high), "crps": np.nan,
        "crps_dearest": crps(reached, np.tile(dear, (len(reached), 1))),
    })  # fmt: skip
    found.loc[good, "crps"] = crps(reached[good], draws[good])
    more = table.loc[out, list(inputs)].reset_index(drop=True)
    joined: pd.DataFrame = pd.concat([found[COLUMNS], more], axis=1).loc[good].reset_index(drop=True)
    return joined
