"""Faults of a ledger: SIGKILL at random moments, two writers at once, a full disk, a clock that goes back.

    python benchmarks/ledger_faults.py [--kills 100] [--seed 0]

It prints its numbers, and ends with exit status 1 where an entry is lost or doubled. Work is in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd

import predictdyn as pdyn
from predictdyn.curves import Curves, curves_from
from predictdyn.ledger.chain import ChainEntry
from predictdyn.ledger.store import Store
from predictdyn.ledger.verify import verify

FIRST = {"key": "begin", "kind": "begin"}


def simulated(runs: int, seed: int) -> tuple[Curves, Curves]:
    """Logs of runs of which half have stopped at a fifth, and the same once all have ended."""
    rng = np.random.default_rng(seed)
    step = np.arange(50, 1001, 50)
    rows = []
    for i in range(runs):
        level = rng.normal(0, 0.05)
        for metric, value in (
            ("accuracy", 0.8 - 0.5 * np.exp(-step / 300) + level),
            ("loss", 1 + 2 * step**-0.3 - level),
        ):
            rows.append(
                pd.DataFrame(
                    {"run": f"run{i}", "metric": metric, "step": step, "value": value + rng.normal(0, 0.01, 20)}
                )
            )
    points = pd.concat(rows).assign(stderr=np.nan)
    table = pd.DataFrame({"run": [f"run{i}" for i in range(runs)], "last_step": 1000})
    table["family"] = [f"family{i // 2}" for i in range(runs)]
    after = curves_from(points, table, {name: pdyn.Metric(name, kind, 0.0, None, better) for name, kind, better in
                                        (("accuracy", "capability", "higher"), ("loss", "loss", "lower"))})  # fmt: skip
    late = after.points["run"].isin([f"run{i}" for i in range(runs // 2, runs)]) & (after.points["step"] > 200)
    return after.where(~late.to_numpy()), after


def killed(work: Callable[[], object], after: float) -> bool:
    """Do work in a child process and end it by SIGKILL after so many seconds; whether it was still at work."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    time.sleep(after)
    gone, _ = os.waitpid(child, os.WNOHANG)
    if not gone:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return not gone


def _same(one: list[ChainEntry], other: list[ChainEntry]) -> bool:
    """Whether two ledgers say the same, but for times, hashes, and the name that each has from its begin."""
    free = {"time", "previous", "clock", "name", "revisions", "number", "scores"}
    told = [[{k: v for k, v in entry.content.items() if k not in free} for entry in some] for some in (one, other)]
    return sorted(map(str, told[0])) == sorted(map(str, told[1]))


def faults(kills: int, seed: int, place: Path) -> bool:
    """SIGKILL at random moments of register, resolve and record; two writers; a full disk; a clock that goes back."""
    before, after = simulated(8, seed)
    # Saved before, so that kills fall on what is written, and not on the baselines that are computed.
    forecast, place = place / "forecast", place / "desk"
    pdyn.forecast(before, forecaster="mean_change", progress=False).save(forecast)
    place.mkdir()
    path, site = place / "a.ledger", place / "site"
    seconds, reference = {}, {}
    for name, work in _works(forecast, after, path, site).items():
        began = time.perf_counter()
        work()
        seconds[name] = time.perf_counter() - began
        reference[name] = list(Store(path).entries())
    files = sorted(one.name for one in site.rglob("*"))
    rng, good = random.Random(seed), True
    for name in ("register", "resolve", "record"):
        hit = tries = bad = 0
        while hit < kills and tries < 20 * kills:
            tries += 1
            for left in place.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            works = _works(forecast, after, path, site)
            for one in list(works)[: list(works).index(name)]:
                works[one]()
            if name == "record" and tries % 2:
                works[name]()  # half of the time there is an older site
            if not killed(works[name], rng.random() * seconds[name]):
                continue
            hit += 1
            if path.exists() and len(list(Store(path).entries())):
                bad += not verify(Store(path)).whole
            works[name]()
            now = list(Store(path).entries())
            bad += not (_same(now, reference[name]) and len(now) == len(reference[name]) and verify(Store(path)).whole)
            if name == "record":
                bad += sorted(one.name for one in site.rglob("*")) != files
                bad += any(one.name.startswith(".site.") and one.is_dir() for one in place.iterdir())
        print(f"{name}: {hit} kills in {tries} tries, {bad} of them lost, doubled or left something", flush=True)
        good = good and not bad and hit == kills
    return good & _writers(place, kills) & _disk(place) & _clock(place)


def _works(forecast: Path, after: Curves, path: Path, site: Path) -> dict[str, Callable[[], object]]:
    return {
        "register": lambda: pdyn.register(forecast, path, author="Ada"),
        "resolve": lambda: pdyn.resolve(path, after),
        "record": lambda: pdyn.record(path, site),
    }


def _writers(place: Path, n: int) -> bool:
    path = place / "two.ledger"

    def write(name: str) -> None:
        for i in range(n):
            Store(path).append(lambda inside: [{"key": f"{name}{i}", "x": "x" * 5000}], FIRST)  # noqa: B023

    children = []
    for name in "ab":
        child = os.fork()
        if child == 0:
            write(name)
            os._exit(0)
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    keys = [entry.content["key"] for entry in Store(path).entries()]
    good = ends == [0, 0] and len(keys) == len(set(keys)) == 2 * n + 1 and verify(Store(path)).whole
    print(f"two writers at once: {len(keys)} entries of {2 * n + 1}, {'whole' if good else 'BROKEN'}")
    return good


def _disk(place: Path) -> bool:
    """A limit on the size of files, which the system refuses to pass as it refuses on a full disk."""
    store = Store(place / "full.ledger")
    store.append(lambda inside: [{"key": "a"}], FIRST)
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    refused = 0
    for limit in range(20_000, 220_000, 10_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, kept[1]))
        try:
            store.append(lambda inside: [{"key": f"b{limit}", "x": "x" * 300_000}], FIRST)  # noqa: B023
        except OSError:
            refused += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    good = refused == 20 and verify(store).whole and verify(store).size == 2
    print(
        f"full disk: {refused} of 20 writes refused, {verify(store).size} entries of 2, {'whole' if good else 'BROKEN'}"
    )
    return good


def _clock(place: Path) -> bool:
    rng = random.Random(0)
    noon = datetime(2026, 3, 1, tzinfo=UTC)
    store = Store(place / "clock.ledger", now=lambda: noon + timedelta(hours=rng.uniform(-1000, 1000)))
    for i in range(100):
        store.append(lambda inside: [{"key": f"k{i}"}], FIRST)  # noqa: B023
    said = sum("clock" in entry.content for entry in store.entries())
    good = verify(store).whole and said > 0
    print(f"clock going back: {said} of 101 entries say so, {'whole' if good else 'BROKEN'}")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = faults(asked.kills, asked.seed, Path(folder))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
