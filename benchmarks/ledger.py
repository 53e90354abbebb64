"""What a ledger promises, measured: tampering, a season replayed, redaction, size (`ledger_faults.py` has the faults).

    python benchmarks/ledger.py tamper [--edits 10000] [--seed 0]
    python benchmarks/ledger.py season [--forecaster auto] [--seed 0]
    python benchmarks/ledger.py redaction
    python benchmarks/ledger.py size [--forecasts 10000]

Each prints its numbers, and ends with exit status 1 where a promise is broken. All work is done in a temporary folder.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from urllib.parse import unquote

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd

import predictdyn as pdyn
from benchmarks.ledger_faults import killed, simulated
from predictdyn.backtest.draws import draws_table
from predictdyn.backtest.folds import folds, groups
from predictdyn.backtest.live import LiveSplit
from predictdyn.backtest.plan import Plan
from predictdyn.backtest.run import run as replayed
from predictdyn.curves import Curves, curves_from
from predictdyn.forecast import Prediction, seed_for
from predictdyn.forecasters import BASELINES, forecaster
from predictdyn.forecasters._fitted import Fitted, answer_to, one_thread
from predictdyn.ledger.export import export
from predictdyn.ledger.record import calibration, counted
from predictdyn.ledger.registering import Registrable, begin, entries_of
from predictdyn.ledger.rule import Rule
from predictdyn.ledger.store import Store
from predictdyn.ledger.verify import verify
from predictdyn.problem import History, Problem
from predictdyn.redaction import Redaction


def tamper(edits: int, seed: int, place: Path) -> bool:
    """Edits of bytes of the file, of rows of its table, and of both exports: is each found?"""
    before, after = simulated(12, seed)
    path = place / "season.ledger"
    pdyn.register(pdyn.forecast(before, forecaster="mean_change", progress=False), path)
    pdyn.resolve(path, after)
    store = Store(path)
    entries, head = list(store.entries()), pdyn.Ledger(path).head
    lines, folder = place / "out.jsonl", place / "out"
    export(store, lines)
    export(store, folder)
    kinds = {
        "bytes of the file": lambda rng: _bytes(path, rng),
        "bytes of its header": lambda rng: _bytes(path, rng, 100),
        "rows of its table": lambda rng: _row(path, rng),
        "JSON lines": lambda rng: _export(lines, rng),
        "folder for git": lambda rng: _export(folder / rng.choice(sorted(os.listdir(folder))), rng),
    }
    subject = {"JSON lines": lines, "folder for git": folder}
    told: dict[str, collections.Counter[str]] = {name: collections.Counter() for name in kinds}
    rng = random.Random(seed)
    unseen = 0
    for i in range(edits):
        name = list(kinds)[i % len(kinds)]
        back = kinds[name](rng)
        of = subject.get(name, path)
        try:
            found = verify(Store(of), head)
            how = "fault" if found.faults else "noted, no entry changed" if found.notes else "NOT FOUND"
            if not found.faults and of == path and list(store.entries()) != entries:
                how = "NOT FOUND"
        except (ValueError, OSError):
            how = "refused to open"
        told[name][how] += 1
        unseen += how == "NOT FOUND"
        back()
    assert verify(store, head).whole
    print(f"{len(entries)} entries, file {path.stat().st_size:,} bytes, {edits:,} edits, seed {seed}")
    for name, counts in told.items():
        print(f"  {name}: " + ", ".join(f"{n:,} {how}" for how, n in counts.most_common()))
    print(f"not found: {unseen}")
    return unseen == 0


def _bytes(file: Path, rng: random.Random, most: int | None = None) -> Callable[[], object]:
    whole = file.read_bytes()
    bad = bytearray(whole)
    bad[rng.randrange(most or len(bad))] ^= rng.randrange(1, 256)
    file.write_bytes(bad)
    return lambda: _restored(file, whole)


def _restored(file: Path, whole: bytes) -> None:
    for left in (f"{file}-wal", f"{file}-shm"):
        Path(left).unlink(missing_ok=True)
    file.write_bytes(whole)


def _row(file: Path, rng: random.Random) -> Callable[[], object]:
    """One of: a letter of an entry changed, a row removed, two rows exchanged, a hash or a key changed, a row added."""
    whole = file.read_bytes()
    base = sqlite3.connect(file, isolation_level=None)
    for name in ("no_update", "no_delete"):
        base.execute(f"DROP TRIGGER {name}")
    n = base.execute("SELECT max(number) FROM entries").fetchone()[0]
    number = rng.randrange(1, n + 1)
    other = rng.choice([one for one in range(1, n + 1) if one != number])
    how = rng.randrange(6)
    text = base.execute("SELECT entry FROM entries WHERE number = ?", (number,)).fetchone()[0]
    at = rng.randrange(len(text))
    letter = rng.choice([one for one in "0123456789abcdef" if one != text[at]])
    if how == 0:
        base.execute("UPDATE entries SET entry = ? WHERE number = ?", (text[:at] + letter + text[at + 1 :], number))
    elif how == 1:
        base.execute("DELETE FROM entries WHERE number = ?", (number,))
    elif how == 2:
        for one, two in ((number, -1), (other, number), (-1, other)):
            base.execute("UPDATE entries SET number = ? WHERE number = ?", (two, one))
    elif how == 3:
        stored = base.execute("SELECT hash FROM entries WHERE number = ?", (number,)).fetchone()[0]
        base.execute("UPDATE entries SET hash = ? WHERE number = ?", (stored[::-1], number))
    elif how == 4:
        base.execute("UPDATE entries SET key = ? WHERE number = ?", (f"key{at}", number))
    else:
        base.execute(
            "INSERT INTO entries SELECT ?, key || 'x', hash, entry FROM entries WHERE number = ?", (n + 1, number)
        )
    base.close()
    return lambda: _restored(file, whole)


def _export(file: Path, rng: random.Random) -> Callable[[], object]:
    """One of: a byte changed, the end cut off, a line (or the file) removed, two lines exchanged."""
    whole = file.read_bytes()
    how = rng.randrange(4)
    lines = whole.split(b"\n")
    if how == 0 or (how == 3 and len(lines) < 4):
        bad = bytearray(whole)
        bad[rng.randrange(len(bad))] ^= rng.randrange(1, 256)
        file.write_bytes(bad)
    elif how == 1:
        file.write_bytes(whole[: rng.randrange(len(whole))])
    elif how == 2 and len(lines) < 4:
        file.unlink()
    else:
        one, two = rng.sample(range(len(lines) - 1), 2)
        if how == 2:
            del lines[one]
        else:
            lines[one], lines[two] = lines[two], lines[one]
        file.write_bytes(b"\n".join(lines))
    return lambda: file.write_bytes(whole)


SUITES = {
    "digits": (("test_accuracy", "accuracy_gap"), "*-s[123]"),
    "tinylm": (("validation_loss", "extracted_16"), "*-s*"),
}


def season(name: str, seed: int, place: Path) -> bool:
    """Finished runs registered at 10 and 25 % as if live, resolved from growing logs; compared with the backtest."""
    from fnmatch import fnmatchcase

    path, rng = place / "season.ledger", random.Random(seed)
    store, expected = Store(path), []
    everything = {}
    for suite, (wanted, glob) in SUITES.items():
        curves = pdyn.load_dataset(suite)
        metrics = [one for one in wanted if one in curves.metrics]
        # Runs that were changed on the way are void by the rule, and a backtest scores them.
        plain = curves.runs.index[pd.to_numeric(curves.runs.get("intervention_step", np.nan), errors="coerce").isna()]
        runs = [run for run in plain if fnmatchcase(run, glob)][:125]
        curves = curves.select(runs=runs, metrics=metrics)
        plan = Plan(cutoffs=(0.1, 0.25), test=tuple(runs[:25]), seed=seed)
        everything[suite] = curves
        began = time.perf_counter()
        registered = _register(curves, plan, name, store)
        spent = time.perf_counter() - began
        models = [forecaster(one) for one in dict.fromkeys((*BASELINES, name))]
        done = replayed(curves, plan, models, BASELINES)
        expected.append(done.rows[done.rows["forecaster"] == name].assign(suite=suite))
        base = done.rows[done.rows["forecaster"] != name]
        expected[-1]["beside"] = [
            {b["forecaster"]: b["crps"] for b in group.to_dict("records")} for _, group in _in_order(base, expected[-1])
        ]
        print(f"{suite}: {registered} forecasts by {name} registered in {spent:.0f} s", flush=True)
    rounds = answered = 0
    progress = {run: 0.25 for curves in everything.values() for run in curves.runs.index}
    while min(progress.values()) < 1:
        rounds += 1
        for run in rng.sample(sorted(progress), len(progress) // 2):
            # A run goes on, stands still, or falls back to a checkpoint; one that has ended stays there.
            if progress[run] < 1:
                progress[run] = min(1.0, max(0.25, progress[run] + rng.choice([0.3, 0.5, 0.0, -0.1])))
        suite = rng.choice(sorted(everything))
        curves = everything[suite]
        limit = curves.points["run"].map(progress) * curves.points["run"].map(curves.runs["last_step"]).astype(float)
        seen = curves.where(curves.points["step"].to_numpy(float) <= limit.to_numpy(float))
        if rounds % 3 == 0:
            killed(lambda: pdyn.resolve(path, seen), rng.random() * 0.5)  # noqa: B023
        answered += len(pdyn.resolve(path, seen).entries)
    for curves in everything.values():
        answered += len(pdyn.resolve(path, curves).entries)
    found = pdyn.Ledger(path).standing()
    rows, wanted_rows = counted(found.forecasts), pd.concat(expected, ignore_index=True)
    key = ["run", "metric", "cutoff"]
    both = rows.assign(cutoff=[0.1 if p <= 0.15 else 0.25 for p in rows["progress"]]).merge(
        wanted_rows, on=key, suffixes=("", "_backtest"), validate="one_to_one"
    )
    columns = ["truth", "crps", "log_score", "pit", "q0.025", "q0.05", "q0.25", "q0.5", "q0.75", "q0.95", "q0.975"]
    differing = {c: int((both[c] != both[f"{c}_backtest"]).sum()) for c in columns}
    differing["crps of baselines"] = sum(one != two for one, two in zip(both["baselines"], both["beside"], strict=True))
    own, backtest = calibration(rows), calibration(wanted_rows)
    # The order of runs is another, and the band and intervals do not depend on it.
    alike = own.coverage == backtest.coverage and all(
        np.array_equal(one, two) for one, two in zip(own.band, backtest.band, strict=True)
    )
    print(f"{len(rows)} forecasts of {rows['run'].nunique()} runs, answered in {rounds} rounds of growing logs")
    print(
        "coverage: "
        + ", ".join(f"{level:.0%} {share:.3f} [{lo:.3f}, {hi:.3f}]" for level, share, lo, hi in own.coverage)
    )
    print(f"numbers that differ from the backtest's: {sum(differing.values())} of {len(both) * len(differing)}")
    print(f"calibration is the backtest's to the last digit: {alike}")
    whole = verify(store)
    print(f"{whole.size} entries, {'whole' if whole.whole and not whole.notes else 'BROKEN'}, "
          f"{path.stat().st_size / len(rows) / 1000:.0f} kB a forecast")  # fmt: skip
    return len(both) == len(rows) == len(wanted_rows) and not sum(differing.values()) and alike and whole.whole


def _in_order(base: pd.DataFrame, own: pd.DataFrame) -> list[tuple[object, pd.DataFrame]]:
    groups_ = dict(iter(base.groupby(["run", "metric", "cutoff"])))
    return [(one, groups_[one]) for one in zip(own["run"], own["metric"], own["cutoff"], strict=True)]


def _register(curves: Curves, plan: Plan, name: str, store: Store) -> int:
    """Register the forecasts of a backtest's folds as if they were live: with its seeds, so that draws are the same."""
    n = 0
    for group in groups(curves, plan):
        past, seed = History(group.history), seed_for(plan.seed, group.name)
        for fold in folds(curves, group, plan):
            with one_thread():
                answer = answer_to(Problem(past, fold.observed, fold.target, seed, seed), forecaster(name))
            prediction = Prediction(fold.target, answer.draws, answer.status)
            split = LiveSplit(group.history, fold.observed, fold.target)
            table = draws_table(prediction, split, Fitted(forecaster(name), past, seed), seed=seed)
            given = Registrable(table, pd.DataFrame(columns=["run", "event", "probability", "metrics"]), {"sha256": {}})
            entries = entries_of(given, Rule(), redaction=Redaction(), text=None, author=None, found=[])
            new = store.append(lambda inside: entries, begin())  # noqa: B023
            n += sum(one.content["kind"] == "forecast" for one in new)
    return n


A, D = "abcdefghijklmnopqrstuvwxyz", "0123456789"
PLANTED = {
    "Hugging Face token": "hf_QwErTyUiOpAsDfGhJkLzXcVbNm1234",
    "OpenAI key": "sk-proj-abcdEFGH1234ijklMNOP5678",
    "GitHub token": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "fine-grained GitHub token": "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuv",
    "GitLab token": "glpat-abcdefghij0123456789",
    "Slack token": "xoxb-123456789012-abcdefABCDEF",
    "AWS key": "AKIAIOSFODNN7EXAMPLE",
    "AWS session key": "ASIAIOSFODNN7EXAMPLE",
    "Google key": "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "npm token": "npm_abcdefghijklmnopqrstuvwxyz0123456789",
    "PyPI token": "pypi-AgEIcHlwaS5vcmcCJDEyMzQ1",
    "Stripe key": "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "Docker token": "dckr_pat_abcdefghijklmnopqrst-uvw",
    "NVIDIA key": "nvapi-abcdefghijklmnopqrstuvwxyz",
    "Groq key": "gsk_abcdefghijklmnopqrstuvwxyz012345",
    "password in a command": "--password Hunter2Hunter2",
    "key in a setting": "wandb_api_key=0123456789abcdef0123456789abcdef01234567",
    "bearer": "Authorization: Bearer abcdefghijklmnop0123456789",
    "user and password in an address": "postgresql://ada:Lovelace1815@db.hidden-org.com/runs",
    "bucket": "s3://hidden-bucket/runs/one",
    "address of a server": "https://wandb.hidden-org.com/team/project",
    "home folder": "/home/ada-hidden/projects/secret-model/logs",
    "folder of a cluster": "/mnt/hidden-lustre/team42/runs",
    "Windows path": "C:\\Users\\ada-hidden\\runs",
    "share of a server": "\\\\hidden-server\\share\\runs",
    "path from home": "~/hidden-project/runs",
    "e-mail": "ada.hidden@hidden-org.com",
    "login and host": "ada@hidden-login01:/scratch/hidden",
    "host": "gpu-node-17.hidden.internal:6006",
    "IP address": "10.23.45.67:8080",
    "IPv6 address": "fe80::1ff:fe23:4567:890a",
}


def _needles(secret: str) -> list[str]:
    """The words of a secret that must be met nowhere."""
    words = secret.replace("--password ", "").replace("Authorization: Bearer ", "").split("=")[-1]
    return [words, words.replace("\\", "\\\\")]


def redaction(place: Path) -> bool:
    """Each secret in a run's name, a metric's name, a setting, a command, a path and a question: is it met anywhere?"""
    kinds = list(PLANTED.values())
    before, after = (_planted(curves, kinds) for curves in simulated(2 * len(kinds), 0))
    source, ledger = place / "forecast", place / "a.ledger"
    pdyn.forecast(before, forecaster="mean_change", progress=False).save(source, title=f"Forecast of {' '.join(kinds)}")
    about = json.loads((source / "provenance.json").read_text())
    about["command"] = f"predictdyn forecast {' '.join(kinds)} --out forecast"
    about["warnings"] = [f"read from {secret}" for secret in kinds]
    (source / "provenance.json").write_text(json.dumps(about))
    pdyn.report(source)
    said = " and ".join(kinds)
    pdyn.register(source, ledger, question=f"What of {said}?", author=f"Ada {said}", evaluation=said)
    pdyn.resolve(ledger, after)
    export(Store(ledger), place / "leaves.jsonl")
    pdyn.record(ledger, place / "record")
    lines = []
    for name in ("record", "forecast"):
        made = pdyn.publish(place / name, place / f"public-{name}", go=True)
        lines += made.lines if name == "forecast" else []
    met: dict[str, set[str]] = {}
    for file in [ledger, place / "leaves.jsonl", *(place / "record").rglob("*"), *place.glob("public-*/**/*")]:
        if file.is_file():
            text = file.read_bytes().decode("utf-8", "replace") + file.name
            for road in (text, unescape(text), unquote(text)):
                for kind, secret in PLANTED.items():
                    if any(word in road for word in _needles(secret)):
                        met.setdefault(kind, set()).add(file.relative_to(place).as_posix())
    # What is shown on the screen is read by others, too.
    for kind, secret in PLANTED.items():
        if any(word in line for word in _needles(secret) for line in lines):
            met.setdefault(kind, set()).add("the screen")
    for kind, files in met.items():
        print(f"  {kind}: met in {', '.join(sorted(files)[:4])}")
    raw = (source / "index.html").read_text(encoding="utf-8")
    there = sum(any(word in road for word in _needles(secret) for road in (raw, unescape(raw))) for secret in kinds)
    print(f"{len(kinds)} kinds planted in names of runs and metrics, settings, commands, data paths and questions; "
          f"{there} of them stand on the page before publishing")  # fmt: skip
    print(f"met in a ledger, an export, a record, a published page or on the screen: {len(met)} of {len(kinds)}")
    for line in lines:
        print(f"  shown: {line[:110]}")
    return not met


def _planted(curves: Curves, kinds: list[str]) -> Curves:
    """The second half of runs has a secret each: in its name, its family, a setting, and the name of a metric."""
    n = len(kinds)
    names = {f"run{n + i}": f"run {secret}" for i, secret in enumerate(kinds)}
    points = curves.points.copy()
    own = points["run"].str.removeprefix("run").astype(int) % n
    loss = points["metric"] == "loss"
    points["metric"] = points["metric"].where(~loss, [f"loss {kinds[i]}" for i in own])
    table = curves.runs.reset_index().assign(folder=lambda rows: [f"data in {kinds[i % n]}" for i in range(len(rows))])
    table["family"] = [names.get(run, run) for run in table["run"]]
    points["run"], table["run"] = points["run"].replace(names), table["run"].replace(names)
    metrics = {name: pdyn.Metric(name, "loss", 0.0) for name in points["metric"].unique() if name != "accuracy"}
    return curves_from(points, table, {"accuracy": curves.metrics["accuracy"], **metrics})


def size(forecasts: int, place: Path) -> bool:
    """Time and size of the record of many forecasts (250 draws, two baselines), half of them resolved."""
    rng = np.random.default_rng(0)
    path, store = place / "big.ledger", Store(place / "big.ledger")
    began = time.perf_counter()
    for first in range(0, forecasts, 500):
        n = min(500, forecasts - first)
        table = pd.DataFrame(
            {"run": [f"run{first + i}" for i in range(n)], "family": [f"family{(first + i) // 5}" for i in range(n)],
             "metric": "accuracy", "kind": "capability", "step": 1000.0, "seen_step": rng.choice([100.0, 250.0], n),
             "last_step": 1000.0, "status": "ok"}
        )  # fmt: skip
        centre = rng.normal(0.7, 0.05, n)
        parts = [
            table.assign(forecaster=name, draws=list(centre[:, None] + rng.normal(0, sd, (n, 250))))
            for name, sd in (("auto", 0.05), ("last_value", 0.1), ("mean_change", 0.08))
        ]
        given = Registrable(
            pd.concat(parts), pd.DataFrame(columns=["run", "event", "probability", "metrics"]), {"sha256": {}}
        )
        entries = entries_of(given, Rule(), redaction=Redaction(), text=None, author="Ada", found=[])
        store.append(lambda inside: entries, begin())  # noqa: B023
    print(
        f"{forecasts:,} forecasts registered in {time.perf_counter() - began:.1f} s, "
        f"{path.stat().st_size / 1e6:.0f} MB",
        flush=True,
    )
    half = forecasts // 2
    points = pd.DataFrame({"run": [f"run{i}" for i in range(half)], "metric": "accuracy", "step": 1000.0,
                           "value": rng.normal(0.7, 0.07, half), "stderr": np.nan})  # fmt: skip
    runs = pd.DataFrame({"run": points["run"], "family": points["run"], "last_step": 1000.0})
    logs = curves_from(points, runs, {"accuracy": pdyn.Metric("accuracy", "capability")})
    for name, work in (
        ("resolved", lambda: pdyn.resolve(path, logs)),
        ("verified", lambda: verify(store)),
        ("record written", lambda: pdyn.record(path, place / "site")),
    ):
        began = time.perf_counter()
        work()
        print(f"{name} in {time.perf_counter() - began:.1f} s", flush=True)
    files = [one for one in (place / "site").rglob("*") if one.is_file()]
    total = sum(one.stat().st_size for one in files)
    front = (place / "site" / "index.html").stat().st_size
    print(
        f"site: {len(files):,} files, {total / 1e6:.0f} MB, front page {front / 1000:.0f} kB, "
        f"a page {np.median([one.stat().st_size for one in files if one.parent.name == 'q']) / 1e3:.1f} kB"
    )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["tamper", "season", "redaction", "size"])
    parser.add_argument("--edits", type=int, default=10_000)
    parser.add_argument("--forecasts", type=int, default=10_000)
    parser.add_argument("--forecaster", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        good = {
            "tamper": lambda: tamper(asked.edits, asked.seed, place),
            "season": lambda: season(asked.forecaster, asked.seed, place),
            "redaction": lambda: redaction(place),
            "size": lambda: size(asked.forecasts, place),
        }[asked.what]()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
