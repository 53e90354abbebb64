"""Stores that MLflow writes, read with and without it: the same to the last bit."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictdyn.loaders import mlflow
from predictdyn.loaders.engine.rows import WRONG
from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.mlflow import server as mlflow_server
from predictdyn.loaders.mlflow.files import CUT, flat_yaml
from predictdyn.loaders.mlflow.parts import DELETED

pytest.importorskip("mlflow", reason="the stores are written by MLflow itself: pip install mlflow-skinny sqlalchemy")
pytest.importorskip("alembic")
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
# MLflow's own use of SQLAlchemy, not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
ODD = "such: a long näme # 数 of " + "many words " * 12
VALUES = [0.1 + 0.2, math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e308, 1 / 3]


def sqlite_client(file: Path) -> Any:
    """A client of an empty store of the newest version: made at once, as going through all migrations is slow."""
    import sqlalchemy
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.db.utils import _get_latest_schema_revision
    from mlflow.tracking import MlflowClient
    from sqlalchemy.schema import CreateTable

    logging.getLogger("alembic").setLevel(logging.ERROR)
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            connection.execute(CreateTable(table))
        connection.execute(sqlalchemy.text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        version = {"version": _get_latest_schema_revision()}
        connection.execute(sqlalchemy.text("INSERT INTO alembic_version VALUES (:version)"), version)
    engine.dispose()
    return MlflowClient(f"sqlite:///{file}")


def fill(client: Any) -> None:
    """Two experiments; runs of one name, nested, deleted, failed; odd values, twice at a step, back, negative."""
    from mlflow.entities import Metric, Param, RunTag

    one, two = client.create_experiment("one"), client.create_experiment(ODD)
    outer = client.create_run(one, run_name="sweep").info.run_id
    middle = client.create_run(one, run_name="fold", tags={"mlflow.parentRunId": outer}).info.run_id
    inner = client.create_run(one, run_name="inner", tags={"mlflow.parentRunId": middle}).info.run_id
    params = {"lr": "1e-3", "opt/name": "adamw", "layers": "12", "bias": "True", "code": "007"}
    metrics = [Metric("loss", value, 1_700_000_000_123 + i, i) for i, value in enumerate(VALUES)]
    metrics += [Metric("loss", 7.0, 1_700_000_000_500, 3), Metric("loss", 6.0, 1_700_000_000_600, 3)]
    metrics += [Metric("val/accuracy top-1", 0.5, 1_700_000_001_000, step) for step in (2, 4, -1)]
    client.log_batch(inner, metrics, [Param(*item) for item in params.items()], [RunTag("best", "yes")])
    client.set_terminated(inner, "FAILED")
    for experiment in (one, two):
        run = client.create_run(experiment, run_name="mlp").info.run_id
        client.log_batch(run, [Metric("loss", 2.0, 5, 1)])
    gone = client.create_run(two, run_name="mlp").info.run_id
    client.log_batch(gone, [Metric("loss", 3.0, 5, 1)])
    client.delete_run(gone)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, Any]]]:
    """One store of each kind with the same runs, and the client that wrote it."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow 100% #1")
    clients = {
        folder / "mlflow.db": sqlite_client(folder / "mlflow.db"),
        folder / "mlruns": MlflowClient((folder / "mlruns").as_uri()),
    }
    for client in clients.values():
        fill(client)
    yield {path.name: (path, client) for path, client in clients.items()}


def logs(path: Path) -> dict[str, RunLog]:
    return {item.run: mlflow.read(item) for item in mlflow.scan(path)}


def rows(log: RunLog, metric: str) -> list[tuple[float, str, float]]:
    """Steps, values (every bit, NaN too) and milliseconds of one metric, in order."""
    of = log.metric == metric
    return [
        (step, float(value).hex(), round(wall * 1000))
        for step, value, wall in zip(log.step[of], log.value[of], log.wall[of], strict=True)
    ]


@pytest.mark.parametrize("kind", ["mlflow.db", "mlruns"])
def test_every_value_is_what_was_logged(stores: dict[str, tuple[Path, Any]], kind: str) -> None:
    log = logs(stores[kind][0])["inner"]
    # SQLite itself has no minus zero.
    values = [value + 0.0 if kind == "mlflow.db" else value for value in VALUES]
    expected = [(i, float(value).hex(), 1_700_000_000_123 + i) for i, value in enumerate(values)]
    expected += [(3, float(7).hex(), 1_700_000_000_500), (3, float(6).hex(), 1_700_000_000_600)]
    assert rows(log, "loss") == expected
    assert [step for step, _, _ in rows(log, "val/accuracy top-1")] == [2, 4, -1]
    assert log.config == {
        "family": "sweep", "lr": 1e-3, "opt/name": "adamw", "layers": 12, "bias": True, "code": "007",
    }  # fmt: skip
    assert log.events == ((7.0, "failed"),)
    assert not log.dropped


@pytest.mark.parametrize("kind", ["mlflow.db", "mlruns"])
def test_the_client_says_the_same(stores: dict[str, tuple[Path, Any]], kind: str) -> None:
    path, client = stores[kind]
    compared = 0
    for item in mlflow.scan(path):
        log = mlflow.read(item)
        for metric in set(log.metric):
            of = log.metric == metric
            theirs = sorted((p.step, repr(p.value), p.timestamp) for p in client.get_metric_history(item.key, metric))
            # The client shows the largest number where SQLite has no infinity.
            largest = sys.float_info.max if kind == "mlflow.db" else math.inf
            values = np.where(np.isinf(log.value[of]), np.copysign(largest, log.value[of]), log.value[of])
            ours = zip(log.step[of].astype(int), values, np.round(log.wall[of] * 1000).astype(int), strict=True)
            assert sorted((int(s), repr(float(v)), int(t)) for s, v, t in ours) == theirs
            compared += len(theirs)
    assert compared == len(VALUES) + 2 + 3 + 2


@pytest.mark.parametrize("kind", ["mlflow.db", "mlruns"])
def test_names_and_deleted_runs(stores: dict[str, tuple[Path, Any]], kind: str) -> None:
    path, client = stores[kind]
    found = logs(path)
    gone = [run for run, log in found.items() if log.dropped]
    assert set(found) - set(gone) == {"sweep", "fold", "inner", "one/mlp", f"{ODD}/mlp"}
    assert [found[run].dropped for run in gone] == [{DELETED: 1}]
    assert [len(found[run].value) for run in gone] == [0]
    kinds = {"mlflow.db": "SQLite", "mlruns": "files"}
    assert mlflow.sniff(path) == f"MLflow: 6 runs in 2 experiments ({kinds[kind]})"
    assert client.get_run(gone[0]).info.lifecycle_stage == "deleted"


def test_a_folder_with_both_counts_no_run_twice(stores: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    path = stores["mlruns"][0]
    assert len(mlflow.scan(path.parent)) == 12
    assert mlflow.sniff(path.parent) == "MLflow: 12 runs in 2 experiments (SQLite and files)"
    shutil.copytree(path, tmp_path / "mlruns")
    shutil.copy(stores["mlflow.db"][0], tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        ids = [item.key for item in mlflow.scan(tmp_path / "mlruns")]
        database.execute("UPDATE runs SET run_uuid = ? WHERE name = 'inner'", ids[:1])
    database.close()
    assert len(mlflow.scan(tmp_path)) == 11


def test_names_of_files_may_be_odd(stores: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    path = shutil.copy(stores["mlflow.db"][0], tmp_path / "what? #1 100%20.sqlite")
    assert [item.run for item in mlflow.scan(Path(path))] == [item.run for item in mlflow.scan(stores["mlflow.db"][0])]


def test_an_experiment_and_a_run_are_stores_too(stores: dict[str, tuple[Path, Any]]) -> None:
    path = stores["mlruns"][0]
    item = next(item for item in mlflow.scan(path) if item.run == "inner")
    run = item.files[0].parent
    assert {i.run for i in mlflow.scan(run.parent)} == {"sweep", "fold", "inner", "mlp"}
    assert [i.run for i in mlflow.scan(run)] == ["inner"]
    assert mlflow.read(mlflow.scan(run)[0]).config["family"] == "sweep"


def test_deleted_experiments_lie_in_the_trash(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    for path, client in (
        (tmp_path / "mlruns", MlflowClient((tmp_path / "mlruns").as_uri())),
        (tmp_path / "a.db", sqlite_client(tmp_path / "a.db")),
    ):
        experiment = client.create_experiment("gone")
        client.log_metric(client.create_run(experiment, run_name="a").info.run_id, "loss", 1.0, step=1)
        client.delete_experiment(experiment)
        assert [mlflow.read(item).dropped for item in mlflow.scan(path)] == [{DELETED: 1}]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_reading_while_a_writer_writes(stores: dict[str, tuple[Path, Any]], tmp_path: Path, mode: str) -> None:
    path = Path(shutil.copy(stores["mlflow.db"][0], tmp_path))
    before = path.stat().st_mtime_ns
    writer = sqlite3.connect(path, isolation_level=None)
    try:
        writer.execute(f"PRAGMA journal_mode = {mode}")
        run = writer.execute("SELECT run_uuid FROM runs WHERE name = 'inner'").fetchone()[0]
        add = "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('new', 1.5, 1, ?, ?, 0)"
        writer.execute(add, (run, 1))
        writer.execute("BEGIN IMMEDIATE")
        writer.execute(add, (run, 2))
        assert rows(logs(path)["inner"], "new") == [(1.0, (1.5).hex(), 1)]
        writer.execute("COMMIT")
        assert [step for step, _, _ in rows(logs(path)["inner"], "new")] == [1, 2]
        assert len(mlflow.scan(path)[0].files) == (2 if mode == "wal" else 1)
    finally:
        writer.close()
    assert path.stat().st_mtime_ns > before  # by the writer; a reader leaves all as it is
    after = path.read_bytes()
    logs(path)
    assert path.read_bytes() == after
    # SQLite leaves the files of its write-ahead log where the last to close may only read.
    left = {file.name for file in tmp_path.iterdir()}
    assert left == ({"mlflow.db", "mlflow.db-wal", "mlflow.db-shm"} if mode == "wal" else {"mlflow.db"})


def test_a_writer_that_does_not_let_go_is_said(
    stores: dict[str, tuple[Path, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from predictdyn.loaders.files import sqlite

    path = Path(shutil.copy(stores["mlflow.db"][0], tmp_path))
    monkeypatch.setattr(sqlite.reading.__wrapped__, "__defaults__", (0.05,))
    writer = sqlite3.connect(path, isolation_level=None)
    try:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ValueError, match=r"mlflow.db: cannot be read as SQLite \(database is locked\)"):
            mlflow.scan(path)
        assert mlflow.sniff(path) is None
    finally:
        writer.close()


def test_a_file_of_a_metric_cut_anywhere(stores: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    shutil.copytree(stores["mlruns"][0], tmp_path / "mlruns")
    item = next(item for item in mlflow.scan(tmp_path) if item.run == "inner")
    file = next(file for file in item.files if file.name == "loss")
    whole, raw = rows(mlflow.read(item), "loss"), file.read_bytes()
    for end in range(len(raw) + 1):
        file.write_bytes(raw[:end])
        log = mlflow.read(item)
        lines = raw[:end].count(b"\n")
        assert rows(log, "loss") == whole[:lines]
        assert log.dropped == ({} if raw[:end].endswith(b"\n") or not end else {CUT: 1})


def test_old_lines_and_lines_with_a_data_set(stores: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    shutil.copytree(stores["mlruns"][0], tmp_path / "mlruns")
    item = next(item for item in mlflow.scan(tmp_path) if item.run == "inner")
    file = next(file for file in item.files if file.name == "loss")
    file.write_text("1000 2.5\n2000 2.25 7 name digest\n\n3000\nx y z\n4000 1 9\n")
    log = mlflow.read(item)
    assert rows(log, "loss") == [(0, (2.5).hex(), 1000), (7, (2.25).hex(), 2000), (9, float(1).hex(), 4000)]
    assert sum(log.dropped.values()) == 2
    assert log.dropped[WRONG] == 1


def test_cells_that_are_no_numbers_are_counted(stores: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    path = Path(shutil.copy(stores["mlflow.db"][0], tmp_path))
    whole = rows(logs(path)["inner"], "loss")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE metrics SET value = 'text' WHERE key = 'loss' AND timestamp = 1700000000123")
        database.execute("UPDATE metrics SET step = x'00' WHERE key = 'loss' AND timestamp = 1700000000130")
    database.close()
    log = logs(path)["inner"]
    assert log.dropped == {WRONG: 2}
    assert rows(log, "loss") == [row for row in whole if row[2] not in (1_700_000_000_123, 1_700_000_000_130)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_stores_end_in_one_line(stores: dict[str, tuple[Path, Any]], data: st.DataObject) -> None:
    """Bytes of a real store changed, or its end cut off: rows or a ValueError of one line, nothing else."""
    raw = bytearray(stores["mlflow.db"][0].read_bytes())
    folder = stores["mlflow.db"][0].parent / "damaged"
    folder.mkdir(exist_ok=True)
    for place in data.draw(st.lists(st.integers(16, len(raw) - 1), max_size=30)):
        raw[place] = data.draw(st.integers(0, 255))
    (folder / "x.db").write_bytes(raw[: data.draw(st.sampled_from([len(raw), 4096, 100, 16, 3, len(raw) // 2]))])
    for path in (folder / "x.db", folder):
        quiet(path)


@settings(max_examples=60, deadline=None)
@given(meta=st.binary(max_size=60), metric=st.binary(max_size=60), parent=st.text(max_size=5))
def test_garbage_in_text_files_ends_in_one_line(
    stores: dict[str, tuple[Path, Any]], meta: bytes, metric: bytes, parent: str
) -> None:
    run = stores["mlruns"][0].parent / "garbage" / "0" / "a1"
    for name in ("metrics", "tags"):
        (run / name).mkdir(parents=True, exist_ok=True)
    (run / "meta.yaml").write_bytes(b"run_id: a1\n" + meta)
    (run.parent / "meta.yaml").write_bytes(b"artifact_location: x\n" + meta)
    (run / "metrics" / "loss").write_bytes(metric)
    (run / "tags" / "mlflow.parentRunId").write_text(parent, encoding="utf-8")
    quiet(run.parents[1])
    quiet(run)


def quiet(path: Path) -> None:
    """Looks, scans and reads; all that may be raised is a ValueError of one line."""
    mlflow.sniff(path)
    try:
        for item in mlflow.scan(path):
            mlflow.read(item)
    except ValueError as error:
        assert "\n" not in str(error) and str(path) in str(error)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.from_regex(r"k[a-z_]{1,8}", fullmatch=True), st.text("ab' \":#-é数🙂\\,[]{}", max_size=120)))
def test_yaml_is_read_as_yaml_reads_it(mapping: dict[str, str]) -> None:
    import yaml

    written = yaml.safe_dump(mapping, default_flow_style=False, allow_unicode=True)
    assert flat_yaml(written) == mapping


def test_a_server_says_what_its_store_says(
    stores: dict[str, tuple[Path, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client of the store stands for that of a server: it answers the same questions."""
    path, client = stores["mlruns"]
    monkeypatch.setattr(mlflow_server, "client", lambda uri: client)
    address = Path("http://localhost:5000")
    assert mlflow.sniff(address) == "MLflow: a tracking server"
    asked, direct = logs(address), logs(path)
    assert set(asked) == {run for run, log in direct.items() if not log.dropped}
    for run, log in asked.items():
        assert dict(log.config) == dict(direct[run].config) and log.events == direct[run].events
        for metric in set(log.metric) | set(direct[run].metric):
            assert rows(log, metric) == rows(direct[run], metric)


class Fake:
    """A client with 2,500 runs, whose pages it counts, or one that fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.pages = error, 0

    def search_experiments(self, max_results: int, page_token: str | None) -> Any:
        return self._page([type("Experiment", (), {"experiment_id": "1", "name": "one"})], None)

    def search_runs(self, experiment_ids: list[str], max_results: int, page_token: str | None) -> Any:
        if self.error:
            raise self.error
        start = int(page_token or 0)
        info = [type("Info", (), {"run_id": str(i), "run_name": f"r{i}"}) for i in range(2500)]
        runs = [type("Run", (), {"info": each}) for each in info[start : start + max_results]]
        return self._page(runs, str(start + max_results) if start + max_results < 2500 else None)

    def _page(self, rows: list[Any], token: str | None) -> Any:
        self.pages += 1
        return type("Page", (list,), {"token": token})(rows)


def test_pages_and_failures_of_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake()
    monkeypatch.setattr(mlflow_server, "client", lambda uri: fake)
    assert [item.run for item in mlflow.scan(Path("https://host/x"))] == [f"r{i}" for i in range(2500)]
    assert fake.pages == 4
    fake.error = RuntimeError("no\nway")
    with pytest.raises(ValueError, match=r"^https://host/x: the server gave no answer \(no way\)$"):
        mlflow.scan(Path("https://host/x"))


def test_without_the_client_a_server_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(ValueError, match="http://host: a server is asked through MLflow's client; pip install mlflow"):
        mlflow.scan(Path("http://host"))


@pytest.mark.parametrize(
    "make", [lambda p: p / "none", lambda p: p, lambda p: text(p / "x.db"), lambda p: text(p / "y")]
)
def test_what_is_no_store_is_said(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    assert mlflow.sniff(path) is None
    with pytest.raises(ValueError, match="no run of MLflow here"):
        mlflow.scan(path)


def text(file: Path) -> Path:
    file.write_text("run,step,loss\n")
    return file


@pytest.mark.parametrize("kind", ["mlflow.db", "mlruns"])
def test_load_gives_curves(stores: dict[str, tuple[Path, Any]], kind: str) -> None:
    with pytest.warns(UserWarning) as caught:
        curves = mlflow.load(stores[kind][0], last_step=10, metrics="loss")
    said = [str(warning.message) for warning in caught]
    assert any(DELETED in line for line in said)
    inner = curves.points[(curves.points["run"] == "inner")]
    assert dict(zip(inner["step"], inner["value"], strict=True))[3] == 6.0
    assert set(curves.points["run"]) == {"inner", "one/mlp", f"{ODD}/mlp"}
    assert "failed" in set(curves.events["what"])


@pytest.mark.parametrize("kind", ["mlflow.db", "mlruns"])
def test_runs_that_did_not_finish_were_stopped_or_go_on(tmp_path: Path, kind: str) -> None:
    from mlflow.tracking import MlflowClient

    path = tmp_path / kind
    client = sqlite_client(path) if kind == "mlflow.db" else MlflowClient(path.as_uri())
    experiment = client.create_experiment("e")
    for state in ("FINISHED", "FAILED", "KILLED", "RUNNING"):
        run = client.create_run(experiment, run_name=state).info.run_id
        client.log_metric(run, "loss", 1.0, step=5)
        if state != "RUNNING":
            client.set_terminated(run, state)
    found = logs(path)
    assert {run: log.stopped for run, log in found.items()} == {
        "FINISHED": "", "FAILED": "failed", "KILLED": "killed", "RUNNING": "running",
    }  # fmt: skip
    assert {run: log.events for run, log in found.items()} == {
        "FINISHED": (), "FAILED": ((5, "failed"),), "KILLED": ((5, "killed"),), "RUNNING": (),
    }  # fmt: skip
    assert {log.study for log in found.values()} == {""}


@pytest.mark.parametrize("kind", ["mlflow.db", "mlruns"])
def test_values_without_a_step_have_step_0_and_their_times(tmp_path: Path, kind: str) -> None:
    """Case 16: MLflow itself puts 0 where no step is given; all values are handed on, in order."""
    from mlflow.tracking import MlflowClient

    path = tmp_path / kind
    client = sqlite_client(path) if kind == "mlflow.db" else MlflowClient(path.as_uri())
    run = client.create_run(client.create_experiment("e"), run_name="one").info.run_id
    for i in range(6):
        client.log_metric(run, "loss", 3 - i / 4, timestamp=1_700_000_000_000 + 1000 * i)
    log = logs(path)["one"]
    assert log.step.tolist() == [0] * 6 and log.value.tolist() == [3 - i / 4 for i in range(6)]
    assert log.wall.tolist() == [1_700_000_000 + i for i in range(6)]


def test_what_is_damaged_fails_only_itself(stores: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    shutil.copytree(stores["mlruns"][0], tmp_path / "mlruns")
    (tmp_path / "old.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
    items = {item.run: item for item in mlflow.scan(tmp_path)}
    with pytest.raises(ValueError, match=r"old.db: cannot be read as SQLite"):
        mlflow.read(items["old.db"])
    (items["inner"].files[0]).write_bytes(b"\xff\x00: [")  # of this run nothing is known any more
    assert set(items) - {item.run for item in mlflow.scan(tmp_path)} == {"inner"}
    assert len(mlflow.read(items["sweep"]).value) == 0
