"""predictdyn law: a table of finished runs to a page, as a new user does it; bad input in one line."""

import json

import numpy as np
import pandas as pd
import pytest

from predictdyn.laws import FEWEST


def loss(params, tokens):
    return 1.7 + 400 / params**0.34 + 410 / tokens**0.28


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    """40 finished runs as a person writes them: sizes as words."""
    rng = np.random.default_rng(1)
    millions = np.round(10 ** rng.uniform(1.5, 3.5, 40))
    tokens = np.round(millions * 1e6 * 10 ** rng.uniform(0.7, 1.9, 40), -6)
    value = loss(millions * 1e6, tokens) * np.exp(0.003 * rng.standard_normal(40))
    file = tmp_path_factory.mktemp("law") / "runs.csv"
    table = pd.DataFrame({"name": [f"m{i}" for i in range(40)], "params": [f"{one:g}M" for one in millions]})
    table.assign(tokens=tokens, loss=value).to_csv(file, index=False)
    return file


def test_a_table_of_forty_runs_becomes_a_page(call, csv, tmp_path):
    out = tmp_path / "page"
    status, printed, err = call(
        "law", csv, "--target", "loss", "--predict", "params=10B,tokens=300e9", "--compute", "1e23", "--out", out,
        "--quiet",
    )  # fmt: skip
    assert status == 0, err
    lines = printed.splitlines()
    assert lines[0].startswith("loss = ") and lines[-1] == str(out / "index.html")
    structures = pd.read_csv(out / "structures.csv")
    share = 100 * structures.loc[structures["shown"], "weight"].iloc[0]
    mixed = f"forecasts mix {(structures['weight'] > 0).sum()} of {len(structures)} structures"
    assert lines[1] == f"this formula has {share:.0f} % of the weight; {mixed}"
    assert any(line.startswith("a run with params 1e10, tokens 3e11: 2.1") for line in lines)
    assert any(line.startswith("best at 1e23: params ") for line in lines)
    assert any(line.startswith("check: the 12 dearest runs were hidden") for line in lines)
    assert "params hold text such as 7B" in err and "name others with --inputs COLUMNS" in err
    assert "warning: a run with params 1e10, tokens 3e11" in err or "times the largest" in printed
    assert "name others with --inputs COLUMNS" in (out / "report.md").read_text().replace("\\", "")
    names = {file.name for file in out.iterdir()}
    wanted = {"law.json", "structures.csv", "parameters.csv", "predictions.csv", "runs.csv", "provenance.json"}
    assert names >= wanted | {"index.html", "report.md", "held_out.csv", "optimum.csv", "figures"}
    found = pd.read_csv(out / "predictions.csv").iloc[0]
    assert found["q0.05"] < found["median"] < found["q0.95"]
    assert found["median"] == pytest.approx(loss(1e10, 3e11), rel=0.03)
    about = json.loads((out / "provenance.json").read_text())
    assert about["made"] == "law" and about["sha256"].keys() == {"runs.csv"} and "--compute" in about["command"]
    assert pd.read_csv(out / "runs.csv")["run"][0] == "m0"
    assert call("report", out, "--out", tmp_path / "again")[0] == 0
    assert (tmp_path / "again" / "index.html").read_text() == (out / "index.html").read_text()


def test_a_log_is_read_by_its_loader(call, tmp_path):
    step = np.array([1, 2, 4, 8])
    rows = [
        pd.DataFrame({"run": f"r{i}", "step": step, "params": size, "val_loss": 2 + 60 * size**-0.3 + 1 - step / 8})
        for i, size in enumerate(np.geomspace(1e6, 1e9, 12))
    ]
    log = tmp_path / "log.csv"
    pd.concat(rows).to_csv(log, index=False)
    status, printed, err = call(
        "law", log, "--target", "val_loss", "--inputs", "params", "--predict", "params=4e9", "--out", tmp_path / "page",
        "--quiet",
    )  # fmt: skip
    assert status == 0, err
    assert pd.read_csv(tmp_path / "page" / "runs.csv")["run"].tolist() == sorted(f"r{i}" for i in range(12))
    assert "a run with params 4e9: 2.0" in printed


@pytest.mark.parametrize("words", [(), ("--inputs", "params,tokens")])
def test_tokens_that_a_log_counts_are_an_input(call, tmp_path, words):
    rng = np.random.default_rng(1)
    share = np.array([0.1, 0.3, 0.6, 1.0])
    rows = []
    for i, size in enumerate(np.geomspace(1e7, 1e9, 12)):
        tokens = 10 ** rng.uniform(9, 11)
        seen = pd.DataFrame({"run": f"r{i}", "step": [1, 3, 6, 10], "params": size, "tokens": tokens * share})
        rows.append(seen.assign(epoch=1, train_loss=loss(size, tokens * share)))
    log = tmp_path / "log.csv"
    pd.concat(rows).to_csv(log, index=False)
    status, _, err = call(
        "law", log, "--target", "train_loss", *words, "--predict", "params=1e9,tokens=2e10", "--out", tmp_path / "page",
        "--quiet",
    )  # fmt: skip
    assert status == 0, err
    assert "tokens only rise within each run" in err and "cost is 6 x params x tokens" in err
    found = pd.read_csv(tmp_path / "page" / "predictions.csv")
    assert found["median"][0] == pytest.approx(loss(1e9, 2e10), rel=0.03)
    ends = pd.read_csv(tmp_path / "page" / "runs.csv")
    assert np.allclose(ends["train_loss"], loss(ends["params"], ends["tokens"]))


# Words behind the table, and what the one line says.
BAD = {
    "target": (["--target", "los"], "target 'los' is no column; did you mean 'loss'?"),
    "input": (["--target", "loss", "--inputs", "parms"], "input 'parms' is no column; did you mean 'params'?"),
    "plan": (["--target", "loss", "--predict", "params 7e9"], "--predict takes NAME=VALUE,NAME=VALUE"),
    "part": (["--target", "loss", "--predict", "params=7e9"], "a plan needs params, tokens; missing tokens"),
    "misspelt": (
        ["--target", "loss", "--predict", "parms=7e9,tokens=1e9"],
        "'parms' is no input; did you mean 'params'? inputs are params, tokens",
    ),
    "strange": (
        ["--target", "loss", "--predict", "tokens=1e9,speed=3"],
        "'speed' is no input; inputs are params, tokens\n",
    ),
    "more": (["--target", "loss", "--predict", "params=1e9,tokens=1e9,lr=1"], "'lr' is no input; inputs are params, t"),
    "no cost": (["--target", "loss", "--inputs", "params", "--compute", "1e22"], "optimal needs the cost of a run"),
    "word": (["--target", "loss", "--predict", "params=big,tokens=1e9"], "expected a number, got 'big'"),
    "budget": (["--target", "loss", "--compute", "-3"], "--compute takes positive numbers such as 1e23, got '-3'"),
    "cost": (["--target", "loss", "--cost", "6*param"], "'param' is no column and no number"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_words_end_in_one_line_and_before_the_fit(call, csv, tmp_path, name, monkeypatch):
    monkeypatch.setattr("predictdyn.laws.law.mixture_of", lambda *given, **more: pytest.fail("it was fitted"))
    words, line = BAD[name]
    status, out, err = call("law", csv, *words, "--out", tmp_path / "page", "--quiet")
    assert (status, out) == (2, "") and err.count("\n") == 1 and line in err, err
    assert not (tmp_path / "page").exists()


def test_too_few_runs_and_no_table(call, csv, tmp_path):
    few = tmp_path / "few.csv"
    pd.read_csv(csv).head(4).to_csv(few, index=False)
    status, _, err = call("law", few, "--target", "loss", "--out", tmp_path / "page", "--quiet")
    assert status == 2 and f"a law of 'loss' needs {FEWEST} finished runs with all inputs, got 4" in err
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"no parquet")
    status, _, err = call("law", broken, "--target", "loss", "--out", tmp_path / "page", "--quiet")
    assert status == 2 and "broken.parquet: cannot be read as a table" in err
    missing = tmp_path / "missing.csv"
    status, _, err = call("law", missing, "--target", "loss", "--out", tmp_path / "page", "--quiet")
    assert status == 2 and "missing.csv" in err and "Traceback" not in err
