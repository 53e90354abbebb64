"""Secrets that are planted in addresses, settings, paths and commands are in nothing that a command writes or says."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from predictdyn import cli_words
from predictdyn.backtest.folder import provenance
from predictdyn.loaders import tidy
from predictdyn.loaders.engine import state

PLANTED = {
    "api_key": "PLANTED1aa",
    "hub": {"token": "PLANTED2bb"},
    "storage": "s3://AKIDEXAMPLE:PLANTED3/cc@bucket/data",
    "remote": "https://me:PLANTED4dd@git.example.org/x.git",
    "args": "--password PLANTED5ee --lr 0.1",
    "client_secret": 971234509,
    "callback": "https://example.org/?step=1&access_token=PLANTED6ff",
}
FOUND = ("PLANTED", "971234509", "AKIDEXAMPLE")
KEPT = {"tokens": 1000, "tokenizer": "bpe16k", "learning_rate": 0.1}


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """Six trials as Ray Tune writes them, with the settings of each, in a folder deep below the home folder."""
    folder = tmp_path / "homes" / "jane.doe" / "work" / "sweep"
    for i in range(6):
        run = folder / f"run{i}"
        run.mkdir(parents=True)
        rows = [{"training_iteration": step, "train_loss": 3 / step**0.5 + 0.1 * i} for step in range(1, 41)]
        (run / "result.json").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        kept = {**KEPT, "learning_rate": 0.1 + i, "tokens": 1000 * (1 + i % 2), "tokenizer": ("bpe", "char")[i % 2]}
        settings = {**PLANTED, **kept} if i < 3 else kept
        (run / "params.json").write_text(json.dumps(settings), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return folder


def everything(folder: Path) -> dict[str, str]:
    """All that files of a folder hold, as text: tables of parquet and arrays decoded."""
    found = {}
    for file in folder.rglob("*"):
        if not file.is_file():
            continue
        found[file.name] = file.read_bytes().decode("utf-8", errors="replace")
        if file.suffix == ".parquet":
            table = pd.read_parquet(file)
            found[file.name] += " ".join(map(str, table.columns)) + table.to_csv()
        if file.suffix == ".npz":
            with zipfile.ZipFile(file) as archive:
                found[file.name] += "".join(str(archive.read(name)) for name in archive.namelist())
    return found


def check_clean(folder: Path, *said: str) -> None:
    texts = {**everything(folder), "what was printed": " ".join(said)}
    assert len(texts) > 2
    leaks = [(name, secret) for name, text in texts.items() for secret in FOUND if secret in text]
    assert not leaks


def made_folder(folder: Path) -> Path:
    """Runs as a tidy table that somebody made, with settings as columns of runs.csv."""
    folder.mkdir()
    points = [(f"r{i}", "val_loss", s, 2 / s + i) for i in range(6) for s in range(1, 31)]
    pd.DataFrame(points, columns=["run", "metric", "step", "value"]).to_csv(folder / "points.csv", index=False)
    plain = {name: str(value) for name, value in PLANTED.items()}
    rows = [{"run": f"r{i}", "family": f"f{i}", **plain, **KEPT, "width": 2**i} for i in range(6)]
    pd.DataFrame(rows).to_csv(folder / "runs.csv", index=False)
    events = [("r0", 3, "resumed with WANDB_API_KEY=PLANTED7gg")]
    pd.DataFrame(events, columns=["run", "step", "what"]).to_csv(folder / "events.csv", index=False)
    return folder


def test_no_command_writes_or_says_one(call, logs, tmp_path):
    out = tmp_path / "out"
    loaded = call("load", logs, "--out", out / "tidy")
    assert loaded[0] == 0, loaded[2]
    assert "look like secrets and were left out" in loaded[2] and loaded[2].count("look like secrets") == 1
    check_clean(out / "tidy", *loaded[1:])
    again = call("load", logs, "--out", out / "tidy", "--update")
    assert again[0] == 0 and "6 of 6 run(s) unchanged" in again[2] and again[2].count("look like secrets") == 1
    check_clean(out / "tidy", *again[1:])
    runs = tidy.load(out / "tidy").runs
    assert {"tokens", "tokenizer", "learning_rate"} <= set(runs.columns)
    assert not [name for name in runs.columns if name.rpartition("/")[2] in ("api_key", "token", "client_secret")]
    assert "***@git.example.org/x.git" in runs["remote"].iloc[0] and "lr 0.1" in runs["args"].iloc[0]
    fitted = call("fit", logs, "--forecaster", "mean_change", "--out", out / "model", "--quiet")
    assert fitted[0] == 0, fitted[2]
    words = ("--runs", "run1", "--cutoff", 0.5, "--quiet")
    live = call("forecast", logs, *words, "--model", out / "model", "--out", out / "page")
    assert live[0] == 0, live[2]
    tested = call("backtest", logs, "--forecasters", "mean_change", "--cutoffs", 0.5, "--out", out / "test", "--quiet")
    assert tested[0] == 0, tested[2]
    for name, said in (("model", fitted), ("page", live), ("test", tested)):
        check_clean(out / name, *said[1:])
    for name in ("page", "test"):
        for file in ("index.html", "report.md", "provenance.json"):
            text = (out / name / file).read_text(encoding="utf-8")
            assert "jane.doe" not in text and str(tmp_path) not in text and "work/sweep" in text


def test_nor_from_a_table_that_somebody_made(call, tmp_path, monkeypatch):
    data = made_folder(tmp_path / "made")
    out = tmp_path / "out"
    loaded = call("load", data, "--out", out / "tidy")
    assert loaded[0] == 0, loaded[2]
    assert loaded[2].count("look like secrets") == 1 and "api_key, client_secret" in loaded[2]
    tested = call("backtest", data, "--forecasters", "mean_change", "--cutoffs", 0.5, "--out", out / "test", "--quiet")
    assert tested[0] == 0, tested[2]
    model = call("fit", data, "--forecaster", "quantile_regression", "--out", out / "model", "--quiet")
    assert model[0] == 0, model[2]
    for name, said in (("tidy", loaded), ("test", tested), ("model", model)):
        check_clean(out / name, *said[1:])
    assert {"tokens", "tokenizer", "width"} <= set(tidy.load(out / "tidy").runs.columns)


def test_the_echo_of_a_command_and_the_state_have_none(monkeypatch, small):
    data = Path("https://me:PLANTED1@host/api/jane")
    words = ["backtest", str(data), "--set", "api_key=PLANTED2", "--set", "runs_file=/home/jane.doe/x y/runs.csv"]
    words += ["--out", "/home/jane.doe/work/out", "--token", "PLANTED3", "--seed", "4"]
    monkeypatch.setattr("sys.argv", ["predictdyn", *words])
    said = cli_words.command()
    assert "PLANTED" not in said and "jane.doe" not in said and "--seed 4" in said and "https:/***@host" in said
    assert cli_words.title(Path("https://me:PLANTED1@host")) == "***@host"
    about = provenance(
        small, made="backtest", title=cli_words.title(data), command=said, primary_forecaster="mean_change",
        seed=1, data=data,
        plan={"model": "/home/jane.doe/models/m1", "test": ["a*"], "token": "PLANTED4"}, seconds={"mean_change": 1.0},
        warnings=["read /home/jane.doe/a/b.csv from s3://k:PLANTED5@b"],
    )  # fmt: skip
    text = json.dumps(about)
    assert "PLANTED" not in text and "jane.doe" not in text and about["seconds"] == {"mean_change": 1.0}
    assert about["plan"]["model"] == "…/models/m1" and about["plan"]["test"] == ["a*"]
    options = {"token": "PLANTED6", "family": "lr"}
    made = state.made_by("mlflow", data, options)
    assert "PLANTED" not in json.dumps(made) and made == state.made_by("mlflow", data, options)
    assert made["options"]["family"] == "lr"


def test_the_terminal_shows_none_of_a_wrong_address(call, tmp_path):
    address = "https://me:PLANTED1@127.0.0.1:9/nothing?token=PLANTED2"
    for source in ("wide", "tidy"):
        status, out, err = call("load", source, address, "--out", tmp_path / "out")
        assert status == 2 and "PLANTED" not in out + err and "127.0.0.1" in err
