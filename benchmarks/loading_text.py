"""Seconds that text logs take: a made-up one, by its size, and all logs of modded-nanogpt.

python benchmarks/loading_text.py [--megabytes 100]

PREDICTDYN_DATA names the folder with a copy of modded_nanogpt; without it the second row is left out.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from predictdyn.loaders import text_log
from predictdyn.loaders.engine.runlog import Item

HEADER = "| what | MB | values | read, s | CPU s | CPU s per 100 MB | with rules, s |\n" + "| --- " * 7 + "|"


def made_up(path: Path, megabytes: float) -> None:
    """Write a log of a dozen numbers a line (four are metrics), with other lines between."""
    rng = np.random.default_rng(0)
    size = lines = 0
    with path.open("w", encoding="utf-8") as file:
        while size < megabytes * 1e6:
            block = []
            for step in range(lines, lines + 1000):
                loss, norm, speed = rng.random(3)
                block.append(
                    f"[2026-01-01 12:{step % 60:02}:00,{step % 1000:03}] step {step}/2000000 | loss: {3 * loss:.4f} | "
                    f"grad_norm: {norm:.3f} | lr: {1e-3 * loss:.3e} | {100 + speed:.2f}ms/it | mem: 12.5GiB"
                )
                if step % 100 == 0:
                    block.append(f"saved checkpoint to out/step_{step}.pt")
            size += file.write("\n".join(block) + "\n")
            lines += 1000


def timed(call: Callable[[], object]) -> tuple[float, float, object]:
    """Seconds by the clock, seconds of the processor (which other work does not lengthen), and what the call gave."""
    start, used = time.perf_counter(), time.process_time()
    given = call()
    return time.perf_counter() - start, time.process_time() - used, given


def row(what: str, path: Path) -> str:
    """One row of the table: reading alone, and with the rules that all sources share."""
    items = text_log.scan(path)
    size = sum(item.files[0].stat().st_size for item in items) / 1e6
    read, used, values = timed(lambda: sum(len(text_log.read(Item(item.run, item.files)).value) for item in items))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        whole, *_ = timed(lambda: text_log.load(path))
    return f"| {what} | {size:.1f} | {values:,} | {read:.2f} | {used:.2f} | {100 * used / size:.2f} | {whole:.2f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100, help="size of the made-up log")
    called = parser.parse_args()
    print(HEADER)
    with tempfile.TemporaryDirectory() as folder:
        made_up(Path(folder, "made_up.log"), called.megabytes)
        print(row("made up", Path(folder, "made_up.log")))
    data = Path(os.environ.get("PREDICTDYN_DATA", "")) / "modded_nanogpt"
    if os.environ.get("PREDICTDYN_DATA") and data.is_dir():
        print(row("modded_nanogpt, 22 logs", data))


if __name__ == "__main__":
    main()
