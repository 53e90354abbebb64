"""Every published data set: its entry is whole, and a copy of it has the stated files and loads as stated."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from pandas.testing import assert_frame_equal

from predictdyn import datasets, loaders
from predictdyn.curves import OUTCOMES
from predictdyn.loaders import lm_eval

NAMES = datasets.names()
LICENCES = {"Apache-2.0", "MIT", "CC-BY-4.0"}  # all allow to use, change and redistribute


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_whole(name):
    one = datasets.entry(name)
    assert one.title and one.citation and one.relation.endswith(".")
    assert one.licence in LICENCES and one.loader in loaders.sources()
    assert one.kinds and set(one.kinds) <= set(OUTCOMES)
    assert one.bundled == (not one.files)
    for file in one.files:
        assert file.bytes > 0 and re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert not file.path.startswith("/") and ".." not in file.path
    paths = [file.path for file in one.files]
    assert paths == sorted(set(paths))
    urls = {one.url(file) for file in one.files}
    if one.address is not None:
        assert len(urls) == len(paths), "every file has an address of its own"
        assert all(re.match(r"https://.*/[0-9a-f]{40}/", url) for url in urls), "pinned to a commit"
    else:
        assert urls <= {None}


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_has_the_stated_files_and_loads_as_stated(name, real_data, cache, monkeypatch):
    monkeypatch.setenv("PREDICTDYN_DATA", str(real_data))
    one = datasets.entry(name)
    assert datasets.place(one) == ("bundled" if one.bundled else "in PREDICTDYN_DATA"), "all hashes are right"
    curves = datasets.load(name)
    assert {metric.kind for metric in curves.metrics.values()} & set(OUTCOMES) == set(one.kinds)
    assert datasets.place(one) == ("bundled" if one.bundled else "cached")
    if (one.folder / "runs.csv").exists():
        stated = {line.partition(",")[0] for line in (one.folder / "runs.csv").read_text().splitlines()[1:]}
        assert stated == set(curves.runs.index), "runs.csv names the runs that are there, and no others"


def test_pythia_evals_are_the_copy_with_its_own_table_of_runs(real_data, cache, monkeypatch):
    monkeypatch.setenv("PREDICTDYN_DATA", str(real_data))
    ours, whole = datasets.load("pythia_evals"), lm_eval.load(real_data / "pythia_evals")
    assert_frame_equal(ours.points, whole.points)
    assert_frame_equal(ours.runs, whole.runs)


def test_branches_of_one_run_are_one_family(real_data, cache, monkeypatch):
    monkeypatch.setenv("PREDICTDYN_DATA", str(real_data))
    curves = datasets.load("multi_power_law")
    loss = curves.points[curves.points["metric"] == "loss"].pivot_table(index="step", columns="run", values="value")
    early = loss[loss.index < 8000]
    family = curves.runs["family"]
    assert family.nunique() == 4
    # Another road to the families: runs with the same values before any branches off.
    both = {pair: early[list(pair)].dropna() for pair in combinations(early, 2)}
    same = [(a, b) for (a, b), values in both.items() if len(values) and values[a].equals(values[b].rename(a))]
    assert len(same) >= 20 and all(family[a] == family[b] for a, b in same)


@pytest.mark.parametrize(
    ("name", "said"),
    [("pythia_eval", "did you mean 'pythia_evals'?"), ("zebra", "no data set 'zebra'; known are digits, ")],
)
def test_an_unknown_name_is_told_with_the_known(name, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        datasets.entry(name)
    with pytest.raises(ValueError, match="known are digits, grokking, multi_power_law"):
        datasets.fetch(name)
