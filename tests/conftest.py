"""Shared fixtures: a small set of curves with every kind, the folder of real data where there is one, the command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import typing
from pathlib import Path

# Before anything imports JAX: the test room runs in double precision, on the processor, one thread a process.
os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What one test process compiles, the others and the commands they start need not compile again.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / "predictdyn-tests-compiled"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

from jaxtyping import install_import_hook, jaxtyped

# What functions of fitting take and give has the shapes that their annotations say, in every module that says shapes:
# checked at each call, from the first import on. The hook leaves named tuples alone; see `pytest_collection_finish`.
ROOM = Path(__file__).parents[1] / "predictdyn" / "fitting"
WITH_SHAPES = [
    f"predictdyn.fitting.{file.stem}"
    for file in sorted(ROOM.glob("*.py"))
    if "from jaxtyping import" in file.read_text(encoding="utf-8")
]
install_import_hook(WITH_SHAPES, "beartype.beartype")

import numpy as np
import pandas as pd
import pytest
from beartype import beartype

from predictdyn import cli
from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.loaders import tidy


def pytest_collection_finish() -> None:
    """Named tuples of fitting, in all modules that are imported by now, check their fields when they are made."""
    for module in [sys.modules[name] for name in WITH_SHAPES if name in sys.modules]:
        for kind in list(vars(module).values()):
            if isinstance(kind, type) and kind.__module__ == module.__name__ and hasattr(kind, "_fields"):
                kind.__new__.__annotations__ = {**typing.get_type_hints(kind, include_extras=True), "return": object}
                kind.__new__ = jaxtyped(kind.__new__, typechecker=beartype)


METRICS = {
    "accuracy": Metric("accuracy", "capability", 0.0, 1.0, "higher", 0.1),
    "gap": Metric("gap", "bias", -1.0, 1.0, "zero", 0.0),
    "noisy_accuracy": Metric("noisy_accuracy", "robustness", 0.0, 1.0, "higher", 0.1),
    "memorized": Metric("memorized", "memorization", 0.0, 1.0, "lower", 0.0),
    "loss": Metric("loss", "loss", 0.0, None, "lower", None),
    "gradient_norm": Metric("gradient_norm", "signal", 0.0, None, None, None),
    "rate": Metric("rate", "schedule", 0.0, None, None, None),
}


def simulated(n_families: int = 4, seeds: int = 2, points: int = 16, seed: int = 0) -> Curves:
    """Curves of ``n_families`` x ``seeds`` runs that rise and fall as real ones do, with a size that matters."""
    rng = np.random.default_rng(seed)
    step = np.unique(np.geomspace(1, 1000, points).astype(int))
    step[-1] = 1000
    share = step / 1000
    rows, runs = [], []
    for family in range(n_families):
        size = 10.0 ** (4 + family / 2)
        for one in range(seeds):
            run = f"f{family}-s{one}"
            runs.append({"run": run, "family": f"f{family}", "last_step": 1000, "params": size, "seed": one})
            skill = 0.4 * family + 0.2 * rng.standard_normal()
            curves = {
                "accuracy": 1 / (1 + np.exp(2.0 - 3 * share**0.3 - skill)),
                "gap": 0.5 * np.exp(-3 * share) * share**0.2 * (1 + 0.2 * skill),
                "noisy_accuracy": 1 / (1 + np.exp(2.4 - 2.5 * share**0.3 - skill)),
                "memorized": 0.6 * share ** (1.5 + 0.1 * skill),
                "loss": 0.5 + 1.5 * (share + 0.01) ** -0.15 - 0.1 * skill,
                "gradient_norm": 1.0 + 0.2 * rng.standard_normal(len(step)) ** 2,
                "rate": 0.1 * (1 - share) + 1e-3,
            }
            for name, value in curves.items():
                noise = 0.0 if name == "rate" else 0.01
                noisy = value * np.exp(noise * rng.standard_normal(len(step)))
                stderr = 0.01 if METRICS[name].upper == 1.0 else np.nan
                rows.append(pd.DataFrame({"run": run, "metric": name, "step": step, "value": noisy, "stderr": stderr}))
    return curves_from(pd.concat(rows), pd.DataFrame(runs), METRICS)


@pytest.fixture(scope="session")
def small() -> Curves:
    """Eight runs in four families, seven metrics of all kinds."""
    return simulated()


@pytest.fixture(scope="module")
def data(small: Curves, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tidy folder with the small curves."""
    folder = tmp_path_factory.mktemp("data") / "small"
    folder.mkdir()
    tidy.save(small, folder)
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public data sets, named by PREDICTDYN_DATA; without it the test is skipped."""
    folder = os.environ.get("PREDICTDYN_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PREDICTDYN_DATA does not name the folder of public data sets")
    return Path(folder)


FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--allow-file-access-from-files"),
    *("--enable-logging=stderr", "--v=0", "--window-size=2000,900"),
]


class Browser:
    """Chromium or Chrome without a window."""

    def __init__(self, program: str) -> None:
        self.program = program

    def run(self, page: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Open a page with some more flags; what the browser keeps is put into a folder."""
        command = [self.program, *FLAGS, f"--user-data-dir={folder / 'profile'}", *words, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)

    def opened(self, html: str, folder: Path) -> tuple[subprocess.CompletedProcess[str], set[str]]:
        """What the browser printed of a page, and what the page asked of the network."""
        page, log = folder / "opened.html", folder / "net.json"
        page.write_text(html, encoding="utf-8")
        shown = self.run(page, folder, f"--log-net-log={log}", "--dump-dom")
        # one event a line; the browser's own requests have no origin and do not count
        events = [json.loads(line.rstrip(",")) for line in log.read_text().splitlines() if '"initiator":' in line]
        started = [event["params"] for event in events]
        return shown, {asked["url"] for asked in started if asked["initiator"] != "not an origin"}


@pytest.fixture(scope="session")
def browser() -> Browser:
    """A real browser; without one the test is skipped."""
    programs = map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))
    program = next(filter(None, programs), None)
    if program is None:
        pytest.skip("needs chromium or chrome, none is on the path")
    return Browser(program)


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the command in this process: (exit status, stdout, stderr)."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["predictdyn", *map(str, words)])
        status = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return run
