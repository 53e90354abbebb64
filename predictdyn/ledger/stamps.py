"""Time stamps: the head of a ledger stamped by OpenTimestamps, where its client is installed; never needed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CLIENT = "ots"  # of opentimestamps-client
LONGEST = 120.0  # seconds


def stamp(head: str, out: Path) -> Path:
    """Write the hash ``head`` to a file, and let the client stamp it; the stamp's path (``FILE.ots``).

    The client asks public calendars over the network. Raises ValueError where it is not installed, or refuses.
    """
    client = shutil.which(CLIENT)
    if client is None:
        raise ValueError("a time stamp needs the client of OpenTimestamps: pip install predictdyn[timestamps]")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(f"{head}\n", encoding="ascii")
    try:
        done = subprocess.run([client, "stamp", str(out)], capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{CLIENT} gave no stamp within {LONGEST:g} s; check the network, then try again") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ValueError(f"{CLIENT} gave no stamp: {last}")
    return out.with_name(f"{out.name}.ots")
