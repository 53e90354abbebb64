"""Publishing: shown before anything leaves, into a folder or a branch, and nothing private in it."""

import json
import os
import subprocess

import pytest

import predictdyn as pdyn

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz0123"


@pytest.fixture(scope="module")
def pages(small, tmp_path_factory):
    """A forecast's folder; one run's name holds a token, and a long name is cut short in figures."""
    late = small.points["run"].isin(["f3-s0", "f3-s1"]) & (small.points["step"] > 200)
    curves = small.where(~late.to_numpy()).select(metrics=["accuracy"])
    names = {
        "f3-s0": f"run-{TOKEN}-of-a-long-name-with-an-end",
        "f3-s1": "falcon-internal-seventeen-billion-parameters-v2",
    }
    points = curves.points.assign(run=curves.points["run"].replace(names))
    runs = curves.runs.reset_index().assign(run=lambda rows: rows["run"].replace(names))
    made = pdyn.Curves.from_frame(points, runs, dict(curves.metrics))
    folder = tmp_path_factory.mktemp("pages") / "forecast"
    pdyn.forecast(made, forecaster="mean_change", progress=False).save(folder, title="Forecast in /home/ada/logs")
    return folder


def git(folder, *words):
    return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for name, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        git(folder, "config", name, value)
    (folder / "a.txt").write_text("a")
    git(folder, "add", "a.txt")
    git(folder, "commit", "-qm", "first")
    return folder


def test_nothing_is_written_before_it_was_shown(pages, tmp_path):
    made = pdyn.publish(pages, tmp_path / "public", private="falcon*")
    assert not (tmp_path / "public").exists()
    assert any("aliases" in line for line in made.lines) and any(
        "stay at home: .parquet" in line for line in made.lines
    )
    assert not any(TOKEN in line or "falcon" in line for line in made.lines)
    assert made.go() == str(tmp_path / "public" / "index.html")
    texts = {file.name: file.read_text(encoding="utf-8") for file in (tmp_path / "public").rglob("*") if file.is_file()}
    for name, text in texts.items():
        for word in (TOKEN, TOKEN[:12], "falcon", "billion", "/home/ada"):
            assert word not in text, (name, word)
    kept = json.loads((pages.parent / "forecast.aliases.json").read_text())
    assert all(alias in texts["index.html"] for alias in kept.values()) and len(kept) == 2
    assert {row["run"] for row in json.loads(texts["forecasts.json"])} == set(kept.values())
    assert 'type="application/ld+json"' in texts["index.html"] and texts["CITATION.cff"].startswith(
        "cff-version: 1.2.0"
    )


def test_a_private_name_that_nobody_bears_publishes_nothing(pages, tmp_path):
    with pytest.raises(ValueError, match=r"^no run matches 'nobody'; there are "):
        pdyn.publish(pages, tmp_path / "public", private=["falcon*", "nobody"], go=True)
    assert not (tmp_path / "public").exists()
    with pytest.raises(ValueError, match=r"has no index\.html"):
        pdyn.publish(tmp_path, tmp_path / "public", private="nobody")


def test_private_runs_of_a_table_go_by_an_alias(tmp_path):
    folder = tmp_path / "law"
    folder.mkdir()
    (folder / "index.html").write_text("<html><head></head><body>falcon</body></html>")
    (folder / "runs.csv").write_text("run,loss\nfalcon,3\nother,2\n")
    (folder / "empty.csv").write_text("")
    pdyn.publish(folder, tmp_path / "public", private="falcon", go=True)
    texts = [file.read_text() for file in (tmp_path / "public").rglob("*") if file.is_file()]
    assert not any("falcon" in text for text in texts) and any("other,2" in text for text in texts)


def test_a_folder_of_ours_is_written_anew_and_another_is_not(pages, tmp_path):
    for _ in range(2):
        pdyn.publish(pages, tmp_path / "public", go=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine").write_text("x")
    with pytest.raises(ValueError, match="is no folder that publish wrote"):
        pdyn.publish(pages, other, go=True)
    with pytest.raises(ValueError, match=r"has no index.html"):
        pdyn.publish(other, tmp_path / "public")


def test_a_branch_of_a_repository(pages, repository):
    before = git(repository, "rev-parse", "main")
    made = pdyn.publish(pages, "branch:gh-pages", repository=repository)
    assert git(repository, "branch", "--list", "gh-pages") == ""
    commit = made.go()
    assert git(repository, "rev-parse", "gh-pages") == commit
    names = git(repository, "ls-tree", "-r", "--name-only", "gh-pages").splitlines()
    assert {"index.html", ".nojekyll", "forecasts.json", "CITATION.cff"} <= set(names) and "a.txt" not in names
    assert git(repository, "show", "gh-pages:index.html") == made.leaving.files["index.html"].strip()
    # The same again makes no commit, and nothing else was touched.
    assert made.go() == commit and git(repository, "rev-list", "--count", "gh-pages") == "1"
    assert git(repository, "rev-parse", "main") == before and git(repository, "status", "--porcelain") == ""
    pdyn.publish(pages, "gh-pages", repository=repository, redact=["mean_change"], go=True)
    assert git(repository, "rev-list", "--count", "gh-pages") == "2"


def test_branches_that_are_refused(pages, repository, tmp_path):
    with pytest.raises(ValueError, match="the branch main is checked out"):
        pdyn.publish(pages, "main", repository=repository, go=True)
    with pytest.raises(ValueError, match="git takes no branch of the name"):
        pdyn.publish(pages, "branch:a..b", repository=repository, go=True)
    with pytest.raises(ValueError, match="is no git repository"):
        pdyn.publish(pages, "branch:x", repository=tmp_path, go=True)
