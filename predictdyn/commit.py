"""The commit that this package is of: git's in a checkout, else what the build wrote beside the modules."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

WRITTEN = "_commit.txt"  # beside this file, in wheels
LONGEST = 1.0  # seconds that git may take


def commit(package: Path = Path(__file__).parent) -> str:
    """The commit of a folder of this package, with "-dirty" where files differ from it; "" where it is not known."""
    root = package.parent
    # Only the folder's own: a package that lies somewhere inside another project's checkout is not of its commit.
    if (root / ".git").exists():
        return of_checkout(root)
    try:
        return (package / WRITTEN).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def of_checkout(root: Path) -> str:
    """What git says of a folder with a .git of its own; "" where git is missing, refuses or takes too long."""
    # Git must not be told by variables (of a hook that calls us) to look elsewhere, nor write to the index.
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(
            command, cwd=root, env={**own, "GIT_OPTIONAL_LOCKS": "0"}, capture_output=True, text=True, timeout=LONGEST
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
