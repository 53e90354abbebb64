"""predictdyn schedule: a folder of logs to a designed rate; what is missing is told in one line."""

import numpy as np
import pandas as pd
import pytest

STEPS = np.arange(10.0, 1001.0, 10.0)


@pytest.fixture
def log(tmp_path):
    """Three finished runs, and one that is at half of its way."""
    rates = {
        "flat": np.full(100, 0.01), "line": np.linspace(0.01, 1e-4, 100),
        "late": np.interp(STEPS, [700, 1000], [0.01, 1e-4]),
        "going": np.full(100, 0.01),
    }  # fmt: skip
    random = np.random.default_rng(0)
    parts = [
        pd.DataFrame({
            "run": run, "step": STEPS, "lr": rate, "last_step": 1000,
            "val_loss": 2 + np.cumsum(10 * rate) ** -0.5 + 6 * rate + 0.002 * random.standard_normal(100),
        })
        for run, rate in rates.items()
    ]  # fmt: skip
    table = pd.concat(parts)
    file = tmp_path / "log.csv"
    table[(table["run"] != "going") | (table["step"] <= 500)].to_csv(file, index=False)
    return file


def test_a_log_becomes_a_schedule(call, log, tmp_path):
    out = tmp_path / "out"
    status, printed, err = call(
        "schedule", log, "--steps", 1000, "--out", out, "--set", "last_step=last_step", "--quiet"
    )
    assert status == 0, err
    lines = printed.splitlines()
    assert "the best other" in lines[0] and lines[1].split()[0] == "designed" and lines[-1] == str(out)
    assert "note: wsd falls over the last" in err
    table = pd.read_csv(out / "schedule.csv")
    assert table["step"].iloc[-1] == 1000 and table["rate"].max() == pytest.approx(0.01)
    assert len(pd.read_csv(out / "summary.csv")) == 5


def test_a_target_asks_for_the_cooldown_of_the_run_that_goes_on(call, log, tmp_path):
    out = tmp_path / "out"
    status, printed, err = call(
        "schedule", log, "--metric", "val_loss", "--steps", 1500, "--target", 2.3, "--out", out, "--set",
        "last_step=last_step", "--quiet",
    )  # fmt: skip
    assert status == 0, err
    assert "begin to cool at step" in printed and "is reached with a probability of 0.5" in printed
    assert {"cooldown.csv", "fewest.csv", "cooldown.svg", "provenance.json"} == {file.name for file in out.iterdir()}


def test_what_is_wrong_is_one_line(call, log, tmp_path):
    out = tmp_path / "out"
    for words, said in (
        (("--peak", "fast"), "--peak takes a rate such as 3e-4, or two, LOW,HIGH, got 'fast'"),
        (("--run", "going"), "--run is the run that --target is of"),
        (("--metric", "bleu"), "no metric 'bleu'"),
        (("--warm-up", "2000"), "--warm-up must end within the run"),
    ):
        status, _, err = call(
            "schedule", log, "--steps", 1000, "--out", out, *words, "--set", "last_step=last_step", "--quiet"
        )
        assert status == 2 and said in err.splitlines()[-1], err
    assert not out.exists()
