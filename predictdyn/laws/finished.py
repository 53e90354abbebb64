"""Finished runs as a table, one row a run: what is an input, what is left out, and how plans are read like them."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.covariates import LABELS, known_before, named_as_reached, planned
from predictdyn.curves import OUTCOMES, Curves, ended
from predictdyn.laws import cells
from predictdyn.laws.collinear import Collinear, collinear_among, collinear_of, in_inputs, said_of_collinear
from predictdyn.laws.cost import Cost, cost_fault, cost_guessed, cost_named, counts_data, is_size_or_data, plain
from predictdyn.laws.inputs import SUM_SLACK
from predictdyn.laws.reading import Reading
from predictdyn.naming import BY_RUNS, meant, some

_OUTCOME = re.compile(r"(^|_)(loss|accuracy|acc|perplexity|ppl|error|f1|bleu|auc|score|reward)(_|$)")
RUN_NAMES = ("run", "run_id", "run_name", "name", "model", "id", "index")
NEARLY = 0.02  # of a column's spread in logs that others do not explain, as rounding leaves
# Columns of results, so that no input can be called so.
RESERVED = {
    "median", "mean", "5 %", "95 %", "q0.05", "q0.95", "times", "status", "truth", "fitted", "residual", "far_out",
    "inside", "crps", "crps_dearest", "budget", "best", "edge", "plan", "run",
}  # fmt: skip
MOST_SUM = 0.6  # of the rows whose proportions have one sum, from which the others are mistakes


@dataclass(frozen=True)
class Finished:
    """Finished runs: ``table`` has the inputs and the target as numbers, ``runs`` a name for each row."""

    table: pd.DataFrame
    runs: np.ndarray
    named: bool  # whether names came from the data
    target: str
    reading: Reading
    cost: Cost | None
    facts: dict[str, Any]  # lower, upper, better, chance of the target, where known
    label: str
    notes: tuple[str, ...]
    columns: tuple[str, ...]  # all columns of the data

    @property
    def inputs(self) -> list[str]:
        """The columns that the law may use."""
        return list(self.reading.inputs)


def finished_runs(
    data: Curves | pd.DataFrame,
    target: str,
    inputs: Sequence[str] | None = None,
    cost: str | Callable[[pd.DataFrame], np.ndarray] | None = None,
) -> Finished:
    """One row a finished run, from curves or from a table that is so already.

    Raises ValueError, one line, for a target or input that is not there, text in a column of numbers, and proportions
    that do not sum to one. What was left out, read or guessed is in ``notes``.

    >>> table = pd.DataFrame({"params": ["7M", "70M", "1B"], "loss": [3.0, 2.5, 2.1], "seed": 1})
    >>> found = finished_runs(table, "loss")
    >>> found.inputs, found.table["params"].tolist()
    (['params'], [7000000.0, 70000000.0, 1000000000.0])
    """
    facts: dict[str, Any] = {}
    label, aside = target, dict[str, str]()
    if isinstance(data, Curves):
        table, facts, label, notes, aside = _of_curves(data, target)
    elif isinstance(data, pd.DataFrame):
        table, notes = data.rename(columns=str).reset_index(drop=True), []
    else:
        raise ValueError(f"fit_law takes Curves or a DataFrame with one row a run, got {type(data).__name__}")
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise ValueError(f"column {twice[0]!r} is there more than once")
    columns = [str(name) for name in table.columns]
    inputs = [inputs] if isinstance(inputs, str) else inputs if inputs is None else list(dict.fromkeys(inputs))
    if inputs is not None and not inputs:
        raise ValueError("inputs= is empty; name the columns that the law depends on, or leave inputs= out")
    if columns and not len(table):
        raise ValueError("the table has no rows; a law is learnt from finished runs, one row each")
    for name in (target, *(inputs or ())):
        if name not in columns:
            what = "target" if name == target else "input"
            # Clocks of logs are no metrics, but where they are asked for.
            how = "; load the log with metrics='*' if it logs it" if isinstance(data, Curves) else ""
            raise ValueError(
                f"{what} {name!r} is no column; {meant(str(name), columns)}there are {some(columns, 12) or 'none'}{how}"
            )
    if target in (inputs or ()):
        raise ValueError(f"{target!r} is the target, so it is no input")
    table = _hashable(table)
    same = table.duplicated()
    if same.any():
        notes.append(f"{int(same.sum())} of {len(table)} rows repeat another row in all columns, and count once")
        table = table[~same].reset_index(drop=True)
    names, known = _names(table, inputs)
    numbers, read = _numbers(table, columns, target, inputs)
    candidates = [name for name in columns if name != target and name not in aside]
    left: dict[str, str] = {}
    chosen = list(inputs) if inputs is not None else _guess(table, candidates, numbers, known, left)
    products = {} if inputs is not None else _products(chosen, numbers)
    kept = [name for name in chosen if name not in products]
    percents: list[str] = []
    scale = _percents(kept, numbers, percents)
    follow = collinear_among(kept, numbers)
    kept = [name for name in kept if name not in follow]
    collinear = {**follow, **products}
    if inputs is None:
        left |= dict.fromkeys(products, "is a product of others") | dict.fromkeys(follow, "follows from others")
        notes.append(_said(kept, left))
    notes += [*percents, *said_of_collinear(follow)]
    price = _cost(cost, columns, [name for name in chosen if name not in products], numbers, notes)
    chosen = kept
    # The cost of runs is a column of results, too, but where it is that very column.
    own = {"cost"} if price and price.columns != ("cost",) else set()
    taken = sorted((RESERVED | own) & {*chosen, target})
    if taken:
        raise ValueError(f"column {taken[0]!r} has the name of a column of results; rename it")
    text = tuple(name for name in chosen if name not in numbers)
    found = pd.DataFrame({name: numbers.get(name, table[name]) for name in dict.fromkeys([*chosen, target])})
    for name in text:
        found[name] = table[name].astype(object).where(table[name].isna(), table[name].astype(str))
    notes += [line for line in [cells.said([name for name in read if name in found])] if line]
    keep = _whole(found, chosen, target, notes)
    _check_target(found[keep], target)
    _check_proportions(found[keep], chosen, numbers)
    extra = {name: numbers[name] for name in (price.columns if price else ()) if name in numbers}
    found = found.assign(**{name: value for name, value in extra.items() if name not in found})
    found = found[keep].reset_index(drop=True)
    price = _check_cost(price, found, cost is not None, target, notes)
    price = price and in_inputs(price, collinear)
    reading = Reading(tuple(chosen), text, scale, _fixed(table[keep], candidates, chosen, numbers), collinear)
    return Finished(
        found, names[keep], known is not None, target, reading, price, facts, label, tuple(notes), tuple(columns)
    )


def _hashable(table: pd.DataFrame) -> pd.DataFrame:
    """Cells that are lists or tables as text, so that rows can be compared."""
    odd = {
        name: table[name].map(lambda cell: cell if isinstance(cell, Hashable) else str(cell))
        for name in table.columns if table[name].dtype == object
    }  # fmt: skip
    return table.assign(**odd)


def _fixed(
    table: pd.DataFrame, candidates: Sequence[str], chosen: Sequence[str], numbers: dict[str, np.ndarray]
) -> dict[str, float]:
    """Columns with one positive number in all rows, but for labels: what another would do is not known."""
    found = {}
    for name in candidates:
        value = numbers[name][table.index] if name in numbers else np.zeros(1)
        one = len(value) and value[0] > 0 and (value == value[0]).all()
        if one and (name in chosen or name.lower() not in (*LABELS, *RUN_NAMES)):
            found[name] = float(value[0])
    return found


def _check_target(table: pd.DataFrame, target: str) -> None:
    value = table[target].to_numpy(dtype=float)
    if not len(value):
        raise ValueError(f"no row has a number for {target!r} and for all inputs; see that the columns are filled")
    if len(value) > 1 and np.ptp(value) <= 1e-12 * np.abs(value).max():
        raise ValueError(f"target {target!r} is {value[0]:g} in all {len(value)} rows, so no law can be learnt")


def _check_cost(price: Cost | None, found: pd.DataFrame, asked: bool, target: str, notes: list[str]) -> Cost | None:
    """The cost where it is a positive number in each finished run; a guessed one is given up, else ValueError."""
    if price is None:
        return None
    fault = f"made of the target {target!r}" if price.columns == (target,) else cost_fault(price, found)
    if fault and asked:
        raise ValueError(f"cost {price.words!r} is {fault}; name another with cost=COLUMN, or leave it out")
    if fault:
        notes[:] = [line for line in notes if not line.startswith("cost is ")]
        notes.append(f"cost {price.words} is {fault}, so no cost is known; mend or leave out such rows")
    return None if fault else price


def _of_curves(curves: Curves, target: str) -> tuple[pd.DataFrame, dict[str, Any], str, list[str], dict[str, str]]:
    """The last value of the target in runs that reached their end, with what was known of them before."""
    if target not in curves.metrics or target not in set(curves.points["metric"]):
        logged = sorted(set(curves.points["metric"]))
        raise ValueError(f"no metric {target!r}; {meant(target, logged)}there are {some(logged, 12)}")
    kept, reached = known_before(curves)
    metric = curves.metrics[target]
    done = ended(curves.select(metrics=[target]))
    last = curves.points[curves.points["metric"] == target].sort_values("step").groupby("run")["value"].last()
    done = done[done.isin(last.index)]
    notes = [*reached]
    cut = last.index.difference(done)
    if len(cut):
        notes.append(
            f"{len(cut)} of {len(last)} runs have not reached their planned end, and are not learnt from: "
            f"{some(list(map(str, cut)))}"
        )
    if not len(done):
        raise ValueError(f"no run has a value of {target!r} at its planned end; a law is learnt from finished runs")
    table = kept.runs.loc[done].rename_axis("run").reset_index()
    if target in table:
        table = table.drop(columns=target)
    settings = _logged_settings(curves, done, {*table.columns, target})
    for name, value in settings.items():
        table[name] = value
    if settings:
        notes.append(
            f"{some(list(settings))} never change within a run, and count as settings of runs; no value is lost"
        )
    counters = _counters(curves, done, {*table.columns, target})
    table = table.assign(**counters)
    if counters:
        notes.append(
            f"{some(list(counters))} only rise within each run, so their value at its end counts as its plan; no value "
            "is lost"
        )
    table[target] = last.loc[done].to_numpy()
    facts = {
        "lower": metric.lower, "upper": metric.upper, "better": metric.better, "chance": metric.chance,
    }  # fmt: skip
    label = metric.label or target
    # A length is an input only where nothing else says it.
    others = [str(name) for name in table if name not in (*LABELS, "run", "last_step", target)]
    aside = {}
    length = np.log(np.maximum(table["last_step"].to_numpy(dtype=float), 1e-300))
    logs = [np.log(one) for one in (_positive(table, name) for name in others) if one is not None]
    if _left(length, logs) <= NEARLY:
        aside["last_step"] = "follows from the others"
    return table, {key: value for key, value in facts.items() if value is not None}, label, notes, aside


def _logged_settings(curves: Curves, runs: pd.Index, taken: set[str]) -> dict[str, np.ndarray]:
    """Metrics that are no outcomes and have one value in each of some runs, as a log of settings has: (n,) each."""
    found = {}
    for name, metric in curves.metrics.items():
        if name in taken or metric.kind in OUTCOMES:
            continue
        series = [curves.series.get((run, name)) for run in runs]
        if all(one is not None and np.ptp(one.value) == 0 for one in series):
            found[name] = np.array([one.value[0] for one in series if one is not None])
    return found


def _counters(curves: Curves, runs: pd.Index, taken: set[str]) -> dict[str, np.ndarray]:
    """Logged counters of data, such as tokens: their last value in each of some runs (n,), where they only rise."""
    found = {}
    for name in curves.metrics:
        series = [curves.series.get((run, name)) for run in runs] if counts_data(name) and name not in taken else []
        known = [one.value for one in series if one is not None]
        if known and len(known) == len(runs) and all(v[-1] > 0 and (np.diff(v) >= 0).all() for v in known):
            found[name] = np.array([value[-1] for value in known])
    return found


def _positive(table: pd.DataFrame, name: str) -> np.ndarray | None:
    try:
        found = cells.column(table, name)
    except ValueError:
        return None
    good = found is not None and np.isfinite(found.value).all() and (found.value > 0).all()
    return found.value if good and found is not None else None


def _names(table: pd.DataFrame, inputs: Sequence[str] | None) -> tuple[np.ndarray, str | None]:
    """A name for each row, and the column that has it: one that is called so, else text with a value a row."""
    lower = {str(name).lower(): str(name) for name in reversed(table.columns)}
    free = [lower[name] for name in RUN_NAMES if name in lower and lower[name] not in (inputs or ())]
    text = [
        str(name) for name in table.columns
        if not pd.api.types.is_numeric_dtype(table[name]) and table[name].is_unique and name not in (inputs or ())
        and not any(_reads(cell) for cell in table[name].head(3))
    ]  # fmt: skip
    found = next(iter([*free, *text]), None)
    if found is None:
        return np.array([f"row {i + 1}" for i in range(len(table))], dtype=object), None
    return table[found].astype(str).to_numpy(dtype=object), found


def _reads(cell: object) -> bool:
    try:
        cells.number(cell)
    except (ValueError, TypeError):
        return False
    return True


def _numbers(
    table: pd.DataFrame, columns: Sequence[str], target: str, inputs: Sequence[str] | None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """All columns of numbers, and which were text. A column that nobody asked for may hold anything."""
    numbers, read = {}, []
    for name in columns:
        try:
            found = cells.column(table, name)
        except ValueError:
            if name == target or inputs is None or name in inputs:
                raise
            continue
        if found is not None:
            numbers[name] = np.where(np.isfinite(found.value), found.value, np.nan)
            read += [name] if found.read else []
    if target not in numbers:
        raise ValueError(f"target {target!r} holds no numbers, first {table[target].iloc[0]!r}")
    return numbers, read


def _guess(
    table: pd.DataFrame, candidates: Sequence[str], numbers: dict[str, np.ndarray], run: str | None,
    left: dict[str, str],
) -> list[str]:  # fmt: skip
    """The columns that can be inputs: not labels, outcomes, or columns of one value; ``left`` says why not."""
    kept = []
    for name in candidates:
        filled = table[name].dropna()
        if name.lower() in (*LABELS, *RUN_NAMES):
            left[name] = "names runs"
        elif name == run:
            _check_text(table, name)
            left[name] = "is text with another value in each row"
        elif (
            name != "last_step"
            and name in numbers
            and (named_as_reached(name) or (_OUTCOME.search(plain(name)) and not planned(name)))
        ):
            left[name] = "is named as an outcome"
        elif not len(filled):
            left[name] = "is blank"
        elif filled.nunique() < 2:
            left[name] = "has one value"
        elif name not in numbers and filled.nunique() > len(table) // 2:
            _check_text(table, name)
            left[name] = "is text with too many values"
        elif (np.isfinite(numbers[name]) if name in numbers else table[name].notna()).mean() < 0.5:
            left[name] = "is blank in most rows"
        else:
            kept.append(name)
    if not kept:
        why = "; ".join(f"{name} {said}" for name, said in left.items())
        raise ValueError(
            f"no column varies that a law could use: {why or 'there is none beside the target'}; "
            f"state the settings of runs, such as params and tokens, {BY_RUNS}"
        )
    return kept


def _check_text(table: pd.DataFrame, name: str) -> None:
    """Raise ValueError, one line, for text with digits in a column that is called as a size or a number of tokens."""
    rows = [row for row, cell in enumerate(table[name]) if re.search(r"\d", str(cell))]
    if len(rows) > len(table) // 2 and is_size_or_data(name):
        raise ValueError(
            f"column {name!r} holds {table[name].iloc[rows[0]]!r} in row {rows[0] + 1}, which is no number; write one, "
            "such as 7e9 or 7B, or rename the column if it names runs"
        )


def _said(kept: Sequence[str], left: dict[str, str]) -> str:
    """Which columns are inputs, and why others are not."""
    reasons = dict.fromkeys(left.values())
    out = ", ".join(f"{some([name for name in left if left[name] == why])} ({why})" for why in reasons)
    return (
        f"inputs are {some(list(kept), 12)}{f'; not used: {out}' if out else ''}; no value is lost; "
        "name others with inputs=COLUMNS"
    )


def _products(kept: Sequence[str], numbers: dict[str, np.ndarray]) -> dict[str, Collinear]:
    """Columns that are products of positive powers of at least two others, as a budget is: what it is made of stays."""
    good = [name for name in kept if name in numbers and np.isfinite(numbers[name]).all() and (numbers[name] > 0).all()]
    found: list[str] = []
    for name in good:
        others = [np.log(numbers[other]) for other in good if other != name and other not in found]
        if len(others) < 2 or len(numbers[name]) < len(others) + 3:
            continue
        z = np.log(numbers[name])
        design = np.stack([np.ones(len(z)), *others], axis=1)
        powers = np.linalg.lstsq(design, z, rcond=None)[0]
        shares = powers[1:] * np.array([one.std() for one in others])
        real = np.abs(shares) > 0.05 * z.std()
        if (z - design @ powers).std() <= NEARLY * z.std() and real.sum() >= 2 and (powers[1:][real] > 0).all():
            found.append(name)
    rest = [name for name in good if name not in found]
    collinear = {name: collinear_of(name, rest, numbers, NEARLY) for name in found}
    return {name: rule for name, rule in collinear.items() if rule is not None}


def _left(z: np.ndarray, others: Sequence[np.ndarray]) -> float:
    """The part of the spread of z (n,) that others do not explain; 0 where it has none."""
    if z.std() < 1e-9:
        return 0.0
    if not others or len(z) < len(others) + 3:
        return 1.0
    design = np.stack([np.ones(len(z)), *others], axis=1)
    return float((z - design @ np.linalg.lstsq(design, z, rcond=None)[0]).std() / z.std())


def _percents(chosen: Sequence[str], numbers: dict[str, np.ndarray], notes: list[str]) -> dict[str, float]:
    """Columns that sum to 100 in nearly all rows are divided by 100, in place."""
    shares = [name for name in chosen if name in numbers and np.nanmin(numbers[name]) >= 0]
    shares = [name for name in shares if 1 < np.nanmax(numbers[name]) <= 100]
    if len(shares) < 2:
        return {}
    total = np.sum([numbers[name] for name in shares], axis=0)
    if not (np.abs(total - 100) <= 100 * SUM_SLACK).mean() >= MOST_SUM:
        return {}
    for name in shares:
        numbers[name] = numbers[name] / 100
    notes.append(f"columns {some(shares)} sum to 100, and are read as percent; no value is lost")
    return dict.fromkeys(shares, 0.01)


def _check_proportions(table: pd.DataFrame, chosen: Sequence[str], numbers: dict[str, np.ndarray]) -> None:
    shares = [
        name for name in chosen if name in numbers and table[name].min() >= 0 and table[name].max() <= 1
    ]  # fmt: skip
    if len(shares) < 2:
        return
    total = table[shares].sum(axis=1)
    wrong = (total - 1).abs() > SUM_SLACK
    if wrong.any() and (~wrong).mean() >= MOST_SUM:
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"columns {some(shares)} are proportions, with sum 1 in {int((~wrong).sum())} of {len(table)} rows, but "
            f"they sum to {total.iloc[row]:.3g} in {int(wrong.sum())}, first row {table.index[row] + 1}; mend them"
        )


def _whole(found: pd.DataFrame, chosen: Sequence[str], target: str, notes: list[str]) -> np.ndarray:
    """The rows with a target and all inputs, with notes on the others and on zeros."""
    missing = found.isna()
    for name in [target, *chosen]:
        n = int(missing[name].sum())
        if n:
            notes.append(f"{n} of {len(found)} rows left out: {name} is missing or not finite")
    keep = ~missing[[target, *chosen]].any(axis=1).to_numpy()
    for name in chosen:
        if not pd.api.types.is_numeric_dtype(found[name]):
            continue
        value = found[name].to_numpy(dtype=float)[keep]
        if len(value) and value.min() == 0 < value.max() and value.max() > 1:
            low = float(value[value > 0].min())
            notes.append(
                f"{name} is zero in {int((value == 0).sum())} rows; its smallest other value, {low:g}, is added before "
                "the logarithm; leave those rows out if zero means not known"
            )
        elif len(value) and value.min() < 0:
            notes.append(
                f"{name} is negative in {int((value < 0).sum())} rows, so it is moved up before the "
                "logarithm; leave those rows out if that is a mistake"
            )
        line = cells.mixed_units(name, value)
        notes += [line] if line else []
    line = cells.mixed_units(target, found[target].to_numpy(dtype=float)[keep])
    notes += [line] if line else []
    return np.asarray(keep)


def _cost(
    cost: str | Callable[[pd.DataFrame], np.ndarray] | None, columns: Sequence[str], chosen: Sequence[str],
    numbers: dict[str, np.ndarray], notes: list[str],
) -> Cost | None:  # fmt: skip
    known = [name for name in columns if name in numbers]
    if callable(cost):
        # What a function needs is found out: the inputs alone, or else columns that plans do not have.
        own = [name for name in chosen if name in numbers]
        try:
            cost(pd.DataFrame({name: numbers[name] for name in own}))
        except (KeyError, AttributeError):
            own = known
        except Exception:  # told below, with what it was
            own = own or known
        return cost_named(cost, own)
    if cost is not None:
        return cost_named(cost, known)
    found = cost_guessed([name for name in chosen if name in numbers])
    if found is None:
        return None
    notes.append(f"cost is {found.words}, by the names of columns; no forecast uses it; name another with cost=COLUMN")
    return found
