"""Kill a backtest at random moments, run the same command again, and compare every file with those of one left alone.

    python benchmarks/kill.py [--kills 30] [--seed 0]

Each time the command is started in a folder of its own, ended by SIGKILL at a random moment, and started again. The
moment is drawn as a number of finished pieces of work and a time after them, so that a busy machine changes little; a
command that ends before it is killed does not count, and is started anew. All files must be equal, byte for byte, to
those of the run that was left alone. Only what was measured by the clock may differ, and is left out: ``seconds`` and
``created`` of provenance.json, and where index.html and report.md show these, the date and the table "Time of each
forecaster". About four minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
DATA = ROOT / "datasets" / "tinylm" / "data"
WORDS = (
    *("backtest", str(DATA), "--out", "out", "--forecasters", "last_value,mean_change", "--metrics", "validation_loss"),
    *("--runs", "*-s1", "--cutoffs", "0.25", "--onset", "validation_loss < 2", "--workers", "2", "--quiet"),
)
PAGES = ("index.html", "report.md")
MORE = 1.5  # seconds, at most, from a piece to the kill
TABLE = re.compile(rb"<caption>Time of each forecaster.*?</table>|^Time of each forecaster.*?(?=^Made by)", re.M | re.S)


def start(folder: Path) -> subprocess.Popen[bytes]:
    """The command in an empty folder, which has its parent's modules."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from predictdyn.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *WORDS], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def end(command: subprocess.Popen[bytes]) -> None:
    """Wait for a command that must succeed."""
    _, said = command.communicate()
    if command.returncode:
        raise SystemExit(f"exit {command.returncode}: {said.decode(errors='replace')}")


def pieces(folder: Path) -> int:
    """How many pieces of work are finished and kept."""
    return len(list(folder.glob(".out.resume/*.piece")))


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file by its name, without what was measured by the clock."""
    files = {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }
    about = json.loads(files["provenance.json"])
    for name in PAGES:
        page, n = TABLE.subn(b"", files[name].replace(about["created"].encode("utf-8"), b""))
        if n != 1:
            raise SystemExit(f"{name}: expected one table of times, found {n}")
        files[name] = page
    files["provenance.json"] = json.dumps({**about, "seconds": {}, "created": ""}).encode("utf-8")
    return files


def main() -> None:
    """Print how many of the killed runs gave the files of the one that was left alone."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--kills", type=int, default=30)
    words.add_argument("--seed", type=int, default=0)
    asked = words.parse_args()
    rng, began = np.random.default_rng(asked.seed), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        alone = Path(name, "alone")
        alone.mkdir()
        command, n = start(alone), 0
        while command.poll() is None:
            n = max(n, pieces(alone))
            time.sleep(0.01)
        end(command)
        whole = files_of(alone / "out")
        print(f"left alone: {len(whole)} files from {n} pieces, {time.perf_counter() - began:.1f} s")
        identical = killed = 0
        while killed < asked.kills:
            folder = Path(name, "killed")
            folder.mkdir()
            least, more = int(rng.integers(0, n + 1)), float(rng.uniform(0, MORE))
            command = start(folder)
            while command.poll() is None and pieces(folder) < least:
                time.sleep(0.002)
            time.sleep(more)
            command.send_signal(signal.SIGKILL)
            command.communicate()
            if not (folder / "out").exists():
                killed, kept = killed + 1, pieces(folder)
                end(start(folder))
                left = sorted(file.name for file in folder.iterdir() if file.name != "out")
                found = files_of(folder / "out")
                differ = sorted(file for file in whole.keys() | found.keys() if whole.get(file) != found.get(file))
                identical += not differ and not left
                wrong = f"; differ: {', '.join(differ)}" if differ else ""
                wrong += f"; left behind: {', '.join(left)}" if left else ""
                print(f"killed {more:.2f} s after piece {least}, {kept} kept{wrong}", flush=True)
            shutil.rmtree(folder)
    print(f"{identical} of {asked.kills} identical, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
