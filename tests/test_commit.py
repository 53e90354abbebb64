"""`--version` says the commit: git's in a checkout, what the build wrote in a wheel, and nothing where neither is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from predictdyn import __version__
from predictdyn.commit import WRITTEN, commit

SOURCE = Path(__file__).parents[1] / "predictdyn"
GIT = shutil.which("git")
needs_git = pytest.mark.skipif(GIT is None, reason="needs git")


def git(*words: str, at: Path) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run([str(GIT), *who, *words], cwd=at, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A package in a repository of one commit."""
    package = tmp_path / "clone" / "predictdyn"
    package.mkdir(parents=True)
    (package / "module.py").write_text("1\n")
    git("init", "-q", at=package.parent)
    git("add", ".", at=package.parent)
    git("commit", "-q", "-m", "first", at=package.parent)
    return package


@needs_git
def test_a_checkout_has_the_commit_of_git_and_says_where_files_differ(checkout, monkeypatch):
    head = git("rev-parse", "HEAD", at=checkout)
    assert len(commit(checkout)) == 12 and head.startswith(commit(checkout))
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as inside a hook of another repository
    assert head.startswith(commit(checkout))
    (checkout / "module.py").write_text("2\n")
    assert commit(checkout) == f"{head[:12]}-dirty"


@needs_git
def test_a_package_inside_the_checkout_of_something_else_has_what_its_build_wrote_or_nothing(checkout):
    installed = checkout.parent / "env" / "site-packages" / "predictdyn"
    installed.mkdir(parents=True)
    assert commit(installed) == ""
    (installed / WRITTEN).write_text("0123456789ab\n")
    assert commit(installed) == "0123456789ab"


def test_without_git_nothing_is_said(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    (tmp_path / "predictdyn").mkdir()
    assert commit(tmp_path / "predictdyn") == ""  # git refuses
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(tmp_path / "predictdyn") == ""


def test_version_is_one_line_with_the_commit(call, monkeypatch):
    monkeypatch.setattr("predictdyn.cli.commit", lambda: "0123456789ab")
    assert call("--version") == (0, f"predictdyn, version {__version__} (commit 0123456789ab)\n", "")
    monkeypatch.setattr("predictdyn.cli.commit", lambda: "")
    assert call("--version") == (0, f"predictdyn, version {__version__}\n", "")


@needs_git
def test_a_wheel_built_in_a_checkout_has_its_commit_and_one_built_elsewhere_has_none(tmp_path):
    """With the build that pyproject.toml names, where it is installed."""
    pytest.importorskip("hatchling")
    root = tmp_path / "clone"
    shutil.copytree(SOURCE, root / "predictdyn", ignore=shutil.ignore_patterns("__pycache__", WRITTEN))
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "datasets"):
        place = SOURCE.parent / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, root / name)

    def built() -> str:
        """What the wheel has beside its modules, "" where that is missing."""
        import zipfile

        out = tmp_path / f"wheel{len(os.listdir(tmp_path))}"
        code = f"from hatchling.build import build_wheel; print(build_wheel({str(out)!r}))"
        out.mkdir()
        done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
        with zipfile.ZipFile(out / done.stdout.split()[-1]) as wheel:
            file = f"predictdyn/{WRITTEN}"
            return wheel.read(file).decode() if file in wheel.namelist() else ""

    assert built() == ""
    git("init", "-q", at=root)
    git("add", "pyproject.toml", at=root)
    git("commit", "-q", "-m", "first", at=root)
    assert built() == git("rev-parse", "HEAD", at=root)[:12] + "\n"
