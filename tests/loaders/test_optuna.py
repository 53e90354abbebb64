"""Studies that Optuna writes, in SQLite and in a journal, read without it: as it says itself."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictdyn.loaders import optuna
from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.optuna.journal import CUT, DAMAGED
from predictdyn.loaders.optuna.trials import NO_STEP

real = pytest.importorskip("optuna", reason="the studies are written by Optuna itself: pip install optuna")
# Names of objectives are called experimental; what SQLAlchemy warns of is not ours.
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "ignore::DeprecationWarning")
ODD = (0.1 + 0.2, math.nan, math.inf, -math.inf)


def objective(trial: Any) -> float:
    """Odd values; trial 2 is pruned, 3 fails, 4 reports nothing; 1 ends with the last value it reported."""
    trial.suggest_float("lr", 1e-3, 1, log=True)
    trial.suggest_int("layers", 1, 9)
    trial.suggest_categorical("kind", ["a", None, 3.5, True])
    value = 1.0
    for step in range(0 if trial.number == 4 else 5):
        value = 0.25 if trial.number == 1 else ODD[(step + trial.number) % len(ODD)]
        trial.report(value, 10 * step)
        if trial.number == 2 and step == 2:
            raise real.TrialPruned
    if trial.number == 3:
        raise RuntimeError("fails")
    return 0.25


def written(storage: Any) -> None:
    """Two studies; the first with a name for its objective and a trial that waits, the second with two objectives."""
    real.logging.set_verbosity(real.logging.CRITICAL)
    sampler = real.samplers.RandomSampler(seed=1)
    study = real.create_study(study_name="one", storage=storage, sampler=sampler)
    study.set_metric_names(["val_loss"])
    study.optimize(objective, n_trials=5, catch=(RuntimeError,))
    study.enqueue_trial({"lr": 0.5})
    two = real.create_study(study_name="two", storage=storage, directions=["minimize", "maximize"], sampler=sampler)
    two.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), n_trials=1)
    real.create_study(study_name="three", storage=storage, sampler=sampler)
    real.delete_study(study_name="three", storage=storage)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    folder = tmp_path_factory.mktemp("optuna")
    backend = real.storages.journal.JournalFileBackend(str(folder / "journal.log"))
    storages = {
        folder / "optuna.db": real.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}"),
        folder / "journal.log": real.storages.JournalStorage(backend),
    }
    for storage in storages.values():
        written(storage)
    return {path.name: (path, storage) for path, storage in storages.items()}


def logs(path: Path) -> dict[str, RunLog]:
    return {item.run: optuna.read(item) for item in optuna.scan(path)}


@pytest.mark.parametrize("kind", ["optuna.db", "journal.log"])
def test_every_trial_is_what_optuna_says(stores: dict[str, tuple[Path, Any]], kind: str) -> None:
    path, storage = stores[kind]
    found = logs(path)
    expected = {}
    for study in real.get_all_study_names(storage):
        for trial in real.load_study(study_name=study, storage=storage).get_trials():
            if trial.state != real.trial.TrialState.WAITING:
                expected[f"{study}/trial-{trial.number}"] = trial
    assert list(found) == list(expected)
    for run, trial in expected.items():
        log = found[run]
        values = [(step, float(value).hex()) for step, value in trial.intermediate_values.items()]
        assert [(s, float(v).hex()) for s, v in zip(log.step, log.value, strict=True)] == values
        assert log.config == trial.params
        assert [type(value) for value in log.config.values()] == [type(value) for value in trial.params.values()]
        assert set(log.metric) <= {"val_loss"}
    assert [found[f"one/trial-{i}"].events for i in range(5)] == [(), (), ((20, "pruned"),), ((40, "failed"),), ()]
    lost = {run: log.dropped for run, log in found.items() if log.dropped}
    assert lost == {"one/trial-0": {NO_STEP: 1}, "one/trial-4": {NO_STEP: 1}, "two/trial-0": {NO_STEP: 2}}
    words = {"optuna.db": "SQLite", "journal.log": "journal"}
    assert optuna.sniff(path) == f"Optuna: 6 trials ({words[kind]})"


def test_a_folder_has_the_trials_of_both(stores: dict[str, tuple[Path, Any]]) -> None:
    assert optuna.sniff(stores["optuna.db"][0].parent) == "Optuna: 12 trials (SQLite and journal)"


def test_a_journal_cut_anywhere(stores: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    """Whole operations count, and a cut one is said: at the ends of lines, beside them and in their middle."""
    raw = stores["journal.log"][0].read_bytes()
    ends = [i + 1 for i, byte in enumerate(raw) if byte == ord("\n")]
    for end in sorted({place for e in ends for place in (e - 30, e - 1, e, e + 1)}):
        (tmp_path / "cut.log").write_bytes(raw[:end])
        operations = [json.loads(line) for line in raw[:end].split(b"\n")[:-1]]
        reported = sum(operation["op_code"] == 7 for operation in operations)
        try:
            found = logs(tmp_path / "cut.log")
        except ValueError as error:
            assert not any(operation["op_code"] == 4 for operation in operations)
            assert "no trial of Optuna here" in str(error)
            continue
        assert sum(len(log.value) for log in found.values()) == reported
        cut = sum(log.dropped.get(CUT, 0) for log in found.values())
        assert cut == (not raw[:end].endswith(b"\n"))


def test_a_damaged_line_ends_the_journal(stores: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    lines = stores["journal.log"][0].read_bytes().split(b"\n")
    lines[12] = lines[12][:20]
    (tmp_path / "bad.log").write_bytes(b"\n".join(lines))
    assert sum(log.dropped.get(DAMAGED, 0) for log in logs(tmp_path / "bad.log").values()) == len(lines) - 1 - 12


def test_operations_that_optuna_ignores(tmp_path: Path) -> None:
    """Two workers at once: a study begun twice, a value after the end, a trial of a study that is gone."""
    operations = [
        {"op_code": 0, "study_name": "s", "directions": [1]},
        {"op_code": 0, "study_name": "s", "directions": [1]},
        {"op_code": 0, "study_name": "gone", "directions": [1]},
        {"op_code": 1, "study_id": 1},
        {"op_code": 4, "study_id": 1, "datetime_start": None},
        {"op_code": 4, "study_id": 0, "datetime_start": None},
        {"op_code": 7, "trial_id": 0, "step": 1, "intermediate_value": 0.5},
        {"op_code": 6, "trial_id": 0, "state": 1, "values": [0.5]},
        {"op_code": 7, "trial_id": 0, "step": 2, "intermediate_value": 0.25},
    ]
    (tmp_path / "j.log").write_text("".join(json.dumps(o, separators=(",", ":")) + "\n" for o in operations))
    log = logs(tmp_path / "j.log")["trial-0"]
    assert (log.step.tolist(), log.value.tolist(), log.dropped) == ([1.0], [0.5], {})


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_stores_end_in_one_line(stores: dict[str, tuple[Path, Any]], data: st.DataObject) -> None:
    for name, (path, _) in stores.items():
        raw = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(16, len(raw) - 1), max_size=20)):
            raw[place] = data.draw(st.integers(0, 255))
        damaged = path.parent / "damaged" / name
        damaged.parent.mkdir(exist_ok=True)
        damaged.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
        optuna.sniff(damaged)
        try:
            logs(damaged)
        except ValueError as error:
            assert "\n" not in str(error) and str(damaged) in str(error)


@pytest.mark.parametrize("make", [lambda p: p / "none", lambda p: p, lambda p: text(p / "x.log")])
def test_what_is_no_study_is_said(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    assert optuna.sniff(path) is None
    with pytest.raises(ValueError, match="no trial of Optuna here"):
        optuna.scan(path)


def text(file: Path) -> Path:
    file.write_text("step 1 loss 2\n")
    return file


def test_load_gives_curves(stores: dict[str, tuple[Path, Any]]) -> None:
    with pytest.warns(UserWarning):
        curves = optuna.load(stores["optuna.db"][0], last_step=50)
    assert set(curves.points["metric"]) == {"val_loss"}
    assert {"pruned", "failed"} <= set(curves.events["what"])
    assert curves.runs["last_step"].tolist() == [50] * len(curves.runs)


@pytest.mark.parametrize("kind", ["optuna.db", "journal.log"])
def test_trials_that_did_not_complete_were_stopped(stores: dict[str, tuple[Path, Any]], kind: str) -> None:
    found = logs(stores[kind][0])
    stopped = {run: log.stopped for run, log in found.items() if log.stopped}
    assert stopped == {"one/trial-2": "pruned", "one/trial-3": "failed"}
    assert {run: log.study for run, log in found.items()} == {run: run.split("/")[0] for run in found}
    assert all(log.planned is None for log in found.values())


@pytest.mark.parametrize("kind", ["study.db", "journal.log"])
def test_a_pruner_stops_trials_and_one_still_runs(tmp_path: Path, kind: str) -> None:
    """Case 29: what a median pruner left, beside a trial that had been asked for and had reported twice."""
    real.logging.set_verbosity(real.logging.CRITICAL)
    backend = real.storages.journal.JournalFileBackend(str(tmp_path / kind))
    storage = f"sqlite:///{tmp_path / kind}" if kind == "study.db" else real.storages.JournalStorage(backend)
    pruner = real.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=2)
    study = real.create_study(study_name="width", storage=storage, direction="maximize", pruner=pruner)

    def objective(trial: Any) -> float:
        rate = 0.1 * (1 + (trial.number * 7) % 5)
        for step in range(10):
            trial.report(rate * step, step)
            if trial.should_prune():
                raise real.TrialPruned
        return 9 * rate

    study.optimize(objective, n_trials=8)
    running = study.ask()
    for step in range(2):
        running.report(0.5, step)
    found = logs(tmp_path / kind)
    states = {f"trial-{trial.number}": trial.state.name for trial in study.trials}
    assert list(states.values()).count("PRUNED") >= 2 and states["trial-8"] == "RUNNING"
    words = {"COMPLETE": "", "PRUNED": "pruned", "RUNNING": "running"}
    assert {run: log.stopped for run, log in found.items()} == {run: words[state] for run, state in states.items()}
    assert {log.study for log in found.values()} == {"width"}
    assert {log.step.max() for log in found.values() if not log.stopped} == {9}
    assert all(log.events == ((log.step.max(), "pruned"),) for log in found.values() if log.stopped == "pruned")
    assert found["trial-8"].events == ()


def test_a_damaged_database_beside_a_good_one_is_said_and_fails_nothing(
    stores: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    (tmp_path / "a.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
    (tmp_path / "b.db").write_bytes(stores["optuna.db"][0].read_bytes())
    items = {item.run: item for item in optuna.scan(tmp_path)}
    assert len(items) == 7 and optuna.read(items["one/trial-1"]).study == "one"
    with pytest.raises(ValueError, match=r"a.db: cannot be read as SQLite"):
        optuna.read(items["a.db"])
    (tmp_path / "b.db").unlink()
    with pytest.raises(ValueError, match=r"a.db: cannot be read as SQLite"):
        optuna.scan(tmp_path)
