"""Runs that log shares in percent beside others that do not: told, and mended where a user names them."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from predictdyn.loaders import load

STEPS = range(1, 11)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Accuracy of p1 and p3 is in percent; the area under a curve is a share in all runs."""
    for number, (name, unit) in enumerate((("s0", 1), ("p1", 100), ("s2", 1), ("p3", 100))):
        rows = [f"{s},{unit * (0.9 - 0.5 / s - 0.01 * number)!r},{0.8 - 0.2 / s - 0.01 * number!r}\n" for s in STEPS]
        (tmp_path / f"{name}.csv").write_text(f"step,val_acc,auc\n{''.join(rows)}")
    return tmp_path


def test_two_scales_are_told_with_what_mends_them(logs: Path) -> None:
    said = r"only 2 of 4 run\(s\) go beyond 1.*Name the runs in percent with percent=RUNS"
    with pytest.warns(UserWarning, match=said):
        assert load(logs, last_step=10).metrics["val_acc"].upper == 100


@pytest.mark.parametrize("percent", ["p*", "p1,p3", ["p1", "p3"]])
def test_shares_of_the_runs_that_are_named_are_divided_by_100(logs: Path, percent: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curves = load(logs, last_step=10, percent=percent)
    ends = curves.points[curves.points["step"] == 10].set_index(["run", "metric"])["value"]
    for number, run in enumerate(("s0", "p1", "s2", "p3")):
        assert ends[run, "val_acc"] == pytest.approx(0.85 - 0.01 * number)
        assert ends[run, "auc"] == pytest.approx(0.78 - 0.01 * number), "one run may log both"
    assert curves.metrics["val_acc"].upper == 1


def test_a_name_of_no_run_is_refused(logs: Path) -> None:
    with pytest.raises(ValueError, match=r"percent='q\*' is the name of no run; there are p1, p3, s0, s2"):
        load(logs, percent="q*")
