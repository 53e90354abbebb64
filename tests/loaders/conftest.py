"""Samples of every source, and what it means for two sets of curves to be the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pandas as pd
import pytest

from predictdyn.curves import Curves
from predictdyn.loaders import text_log
from predictdyn.loaders.engine.runlog import Item, RunLog


def sample_tidy(folder: Path) -> Path:
    # Unsorted on purpose, and with names that look like numbers.
    (folder / "points.csv").write_text(
        "run,metric,step,value,stderr,seen\n1e5,loss,20,2.5,,0\n1e5,loss,10,3.5,0.1,1\n001,loss,10,3,,true\n"
    )
    (folder / "runs.csv").write_text("run,family,last_step,width,code\n001,a,30,64,007\n1e5,a,30,128,010\n")
    (folder / "metrics.csv").write_text("metric,kind,lower,upper,better,chance\nloss,loss,0,,lower,\n")
    (folder / "events.csv").write_text("run,step,what\n001,5,restart\n")
    return folder


def sample_wide(folder: Path) -> Path:
    (folder / "log.csv").write_text("model,step,loss,note\nb,2,1.5,x\na,1,2.5,\na,2,,y\nb,1,2,z\n")
    return folder / "log.csv"


def sample_long(folder: Path) -> Path:
    (folder / "scores.csv").write_text(
        "model,step,task,metric,value\nb,2,piqa,acc,.5\na,1,piqa,acc,.25\na,2,sciq,acc,\n"
    )
    return folder / "scores.csv"


def sample_json_lines(folder: Path) -> Path:
    lines = [{"step": 2, "eval": {"loss": 2.5}}, {"step": 1, "loss": 3, "phase": "warm-up"}]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "log.jsonl"


def sample_lm_eval(folder: Path) -> Path:
    for step in (0, 1000, 64):
        content = {
            "results": {"piqa": {"acc": 0.5 + step / 1e4, "acc_stderr": 0.01}},
            "config": {"model_args": f"pretrained=x/pythia-70m,revision=step{step}"},
        }
        (folder / f"70m_step{step}.json").write_text(json.dumps(content))
    return folder


def samples_beside() -> dict[str, Callable[[Path], Path]]:
    """The samples of sources that have a file of their own here: ``sample(folder)`` of sample_<source>.py."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("sample_*.py")):
        spec = spec_from_file_location(file.stem, file)
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        found[file.stem.removeprefix("sample_")] = module.sample
    return found


SAMPLES: dict[str, Callable[[Path], Path]] = {
    "tidy": sample_tidy,
    "wide": sample_wide,
    "long": sample_long,
    "json_lines": sample_json_lines,
    "lm_eval": sample_lm_eval,
    **samples_beside(),
}


def assert_same(one: Curves, other: Curves) -> None:
    """Exactly the same curves: every bit, every type."""
    pd.testing.assert_frame_equal(one.points, other.points, check_exact=True)
    pd.testing.assert_frame_equal(one.runs, other.runs, check_exact=True)
    pd.testing.assert_frame_equal(one.events, other.events, check_exact=True)
    assert dict(one.metrics) == dict(other.metrics)


@pytest.fixture(scope="session")
def samples() -> dict[str, Callable[[Path], Path]]:
    """For every source a function that writes a small sample into a folder and returns its path."""
    return SAMPLES


@pytest.fixture(scope="session")
def same() -> Callable[[Curves, Curves], None]:
    return assert_same


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], RunLog]:
    """What the reader of text logs makes of a text."""

    def read_text(text: str) -> RunLog:
        (tmp_path / "log.txt").write_text(text, encoding="utf-8", newline="")
        return text_log.read(Item("log", (tmp_path / "log.txt",)))

    return read_text


@pytest.fixture(scope="session")
def curves() -> Callable[[RunLog], dict[str, list[tuple[float, float]]]]:
    """The steps and values of each metric of a run."""

    def curves_of(log: RunLog) -> dict[str, list[tuple[float, float]]]:
        found: dict[str, list[tuple[float, float]]] = {}
        for name, step, value in zip(log.metric.tolist(), log.step.tolist(), log.value.tolist(), strict=True):
            found.setdefault(name, []).append((step, value))
        return found

    return curves_of
