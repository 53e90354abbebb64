"""A branch of a local git repository as the place of a site: one commit, made by git itself, nothing checked out."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path


def is_repository(folder: Path) -> bool:
    """Whether git knows a folder as one of its own."""
    try:
        return _git(folder, "rev-parse", "--git-dir", check=False) is not None
    except ValueError:
        return False


def commit_to(repository: Path, branch: str, files: Mapping[str, str], message: str) -> str:
    """Make the branch hold these files and nothing else, by one commit on top of what it was; the commit's hash.

    The working tree, the index and all other branches stay as they are, and nothing is pushed. The same files again
    make no commit. Raises ValueError where there is no repository, or the branch is checked out somewhere: its working
    tree would seem to have lost all files.
    """
    if not is_repository(repository):
        raise ValueError(f"{repository} is no git repository; choose another repository=, or publish to a folder")
    if _git(repository, "check-ref-format", "--branch", branch, check=False) is None:
        raise ValueError(f"git takes no branch of the name {branch!r}")
    ref = f"refs/heads/{branch}"
    trees = (_git(repository, "worktree", "list", "--porcelain") or "").splitlines()
    if f"branch {ref}" in trees:
        raise ValueError(f"the branch {branch} is checked out in {repository}; choose another, such as gh-pages")
    before = _git(repository, "rev-parse", "--verify", "--quiet", ref, check=False) or ""
    with tempfile.TemporaryDirectory() as place:
        index = {"GIT_INDEX_FILE": str(Path(place) / "index")}
        lines = []
        for name, text in {**files, ".nojekyll": ""}.items():
            blob = _git(repository, "hash-object", "-w", "--stdin", text=text)
            lines.append(f"100644 {blob}\t{name}")
        _git(repository, "update-index", "-z", "--index-info", text="".join(f"{line}\0" for line in lines), more=index)
        tree = _git(repository, "write-tree", more=index) or ""
    if before and _git(repository, "rev-parse", f"{before}^{{tree}}") == tree:
        return before
    made = _git(repository, "commit-tree", tree, *(["-p", before] if before else []), "-m", message) or ""
    # Only where the branch is what it was: whoever else has moved it meanwhile is not overwritten.
    _git(repository, "update-ref", "-m", "predictdyn publish", ref, made, before or "0" * 40)
    return made


def _git(
    folder: Path, *words: str, text: str | None = None, more: Mapping[str, str] | None = None, check: bool = True
) -> str | None:
    """What git prints; None where it refuses and ``check`` is false. Raises ValueError with its last line."""
    # Variables of a hook that calls us would tell git to look elsewhere.
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or "AUTHOR" in name or "COMMITTER" in name
    }
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], input=None if text is None else text.encode("utf-8", "replace"),
            capture_output=True, env={**own, **(more or {})},
        )  # fmt: skip
    except FileNotFoundError:
        raise ValueError("publishing to a branch needs git, which is not installed; publish to a folder") from None
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "replace").strip()
    if check:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ValueError(f"git {words[0]} refused: {said[-1] if said else f'exit {done.returncode}'}")
    return None
