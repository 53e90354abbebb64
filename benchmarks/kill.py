"""Kill a backtest at random moments, run the same command again, and compare every file with those of one left alone.

    python benchmarks/kill.py [--kills 30] [--seed 0]

Each time the command is started in a folder of its own, ended by SIGKILL at a moment drawn between its start and its
usual end, and started again. All files must be equal, byte for byte, to those of the run that was left alone. Only
what was measured by the clock may differ, and is left out: ``seconds`` and ``created`` of provenance.json, and where
index.html and report.md show these, the date and the table "Time of each forecaster". About four minutes.
"""

from __future__ import annotations

import argparse
import json
import re
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
    *("backtest", str(DATA), "--out", "out", "--forecasters", "last_value,drift", "--metrics", "validation_loss"),
    *("--runs", "*-s1", "--cutoffs", "0.25", "--workers", "2", "--quiet"),
)
PAGES = ("index.html", "report.md")
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
    moments = np.random.default_rng(asked.seed).uniform(0, 1, asked.kills)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        alone = Path(name, "alone")
        alone.mkdir()
        end(start(alone))
        whole_time = time.perf_counter() - began
        whole = files_of(alone / "out")
        print(f"left alone: {len(whole)} files, {whole_time:.1f} s")
        identical = 0
        for i, moment in enumerate(moments):
            folder = Path(name, str(i))
            folder.mkdir()
            command = start(folder)
            time.sleep(moment * whole_time)
            command.send_signal(signal.SIGKILL)
            command.wait()
            pieces = len(list(folder.glob(".out.resume/*.piece")))
            ended = (folder / "out").exists()
            if not ended:
                end(start(folder))
            left = sorted(file.name for file in folder.iterdir() if file.name != "out")
            found = files_of(folder / "out")
            differ = sorted(file for file in whole.keys() | found.keys() if whole.get(file) != found.get(file))
            identical += not differ and not left
            what = "had ended" if ended else f"{pieces} piece(s) kept"
            wrong = f"; differ: {', '.join(differ)}" if differ else ""
            wrong += f"; left behind: {', '.join(left)}" if left else ""
            print(f"killed after {moment * whole_time:4.1f} s, {what}{wrong}", flush=True)
    print(f"{identical} of {asked.kills} identical, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
