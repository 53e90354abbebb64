"""The commands `datasets list` and `datasets fetch`: what they print, write and answer to a wrong call."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from pandas.testing import assert_frame_equal

from predictdyn import datasets
from predictdyn.loaders import tidy


def test_help_needs_neither_the_network_nor_its_packages():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "predictdyn", "--help"], capture_output=True, text=True
    )
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "datasets" in done.stdout
    assert not loaded & {"requests", "platformdirs", "pandas", "numpy", "predictdyn.datasets"}


def test_list(call, cache):
    status, out, err = call("datasets", "list")
    assert status == 0 and err == ""
    head, *rows = (re.split(" {2,}", line) for line in out.splitlines())
    assert head == ["name", "kinds", "size", "licence", "where"]
    assert [row[0] for row in rows] == datasets.names()
    where = {row[0]: row[-1] for row in rows}
    assert where["digits"] == "bundled" and where["pythia_evals"] == "to download"
    assert where["pythia_memorization"] == "needs a copy"
    assert not cache.exists(), "looking writes nothing"


def test_fetch_says_what_load_says(call, made_up, server, cache, tmp_path):
    status, out, err = call("datasets", "fetch", "made_up", "--out", tmp_path / "tidy", "--quiet")
    assert status == 0 and err == ""
    first, files, licence, cite, source = out.splitlines()
    status, loaded, _ = call("load", "tidy", tmp_path / "tidy", "--out", tmp_path / "again")
    assert first == f"2 runs, 2 metrics (loss, schedule), 8 points -> {tmp_path / 'tidy'}"
    assert loaded.partition(" ->")[0] == first.partition(" ->")[0]
    assert files == f"files:   {cache / 'made_up'} (0 kB)"
    assert licence == "licence: MIT" and cite == "cite:    Nobody, Nothing, 2026"
    assert source == "source:  https://example.org"
    assert_frame_equal(tidy.load(tmp_path / "tidy").points, datasets.load("made_up").points)
    asked = list(server.asked)
    status, out, err = call("datasets", "fetch", "made_up")
    assert status == 0 and err == "" and out.startswith("2 runs, 2 metrics (loss, schedule), 8 points -> " + str(cache))
    assert server.asked == asked


def test_fetch_what_is_bundled(call, cache):
    status, out, _ = call("datasets", "fetch", "digits")
    assert status == 0 and "licence: CC-BY-4.0" in out and not cache.exists()


def test_fetch_from_a_mirror_of_real_data(call, real_data, cache, tmp_path):
    status, out, err = call(
        "datasets", "fetch", "pythia_memorization", "--from", real_data, "--out", tmp_path / "tidy", "--quiet"
    )
    assert status == 0, err
    assert "8 runs, 1 metrics (memorization), 56 points" in out
    assert tidy.load(tmp_path / "tidy").runs["family"].nunique() == 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("madeup",), "no data set 'madeup'; did you mean 'made_up'? known are made_up"),
        (("made_up", "--from", "NOWHERE"), "expected a folder, or an address that begins with http"),
        (("made_up", "--from", "EMPTY"), "logs/large.csv: cannot be read (No such file or directory)"),
        (("made_up", "--out", "TAKEN"), "exists already; choose another --out"),
        (("made_up", "--out", "BELOW"), "mine.txt: File exists; a file is in the way; choose another --out"),
    ],
    ids=["name", "nowhere", "empty", "taken", "below"],
)
def test_a_wrong_call_ends_in_one_clear_line(call, made_up, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("keep")
    before = sorted(tmp_path.iterdir())
    place = {"EMPTY": tmp_path / "empty", "TAKEN": tmp_path / "taken", "NOWHERE": tmp_path / "nowhere"}
    place["BELOW"] = tmp_path / "taken" / "mine.txt" / "out"
    status, out, err = call("datasets", "fetch", *(place.get(word, word) for word in words))
    assert status == 2 and out == "" and err.count("\n") == 1 and said in err
    assert set(tmp_path.iterdir()) <= {*before, tmp_path / "cache"}
    assert (tmp_path / "taken" / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("fault", ["missing", "changed", "broken", "off"])
def test_a_fetch_that_fails_ends_in_one_clear_line(call, made_up, server, cache, tmp_path, fault):
    if fault == "missing":
        (server.folder / "v1" / "large.csv").unlink()
    elif fault == "changed":
        (server.folder / "v1" / "large.csv").write_text("step,loss\n")
    elif fault == "broken":
        server.faults["/v1/large.csv"] = ["broken"] * 3
    else:
        made_up.publish("http://127.0.0.1:9/{path}")
    status, out, err = call("datasets", "fetch", "made_up", "--out", tmp_path / "tidy")
    assert status == 2 and out == "" and err.count("\n") == 1 and "large.csv" in err
    words = {"missing": "404", "changed": "expected sha256", "broken": "broke off", "off": "cannot be reached"}
    assert words[fault] in err
    assert not [path for path in cache.rglob("*") if path.is_file()] and not (tmp_path / "tidy").exists()
