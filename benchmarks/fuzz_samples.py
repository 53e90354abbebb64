"""Small samples of every source, written by the writers of the tests: by the tools themselves where installed."""

from __future__ import annotations

import gzip
import logging
import os
import random
import warnings
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn import loaders
from predictdyn.curves import Curves
from predictdyn.loaders import tidy

TESTS = Path(__file__).parent.parent / "tests" / "loaders"
# Sources whose files hold numbers as bytes, too.
BINARY = ("mlflow", "optuna", "tensorboard", "tidy", "wandb", "wide", "long")


class Sample(NamedTuple):
    """A sample that is ready to be damaged: ``folder`` holds all of it, ``path`` within it is what is loaded."""

    source: str
    name: str
    folder: Path
    path: Path


def tests(name: str) -> ModuleType:
    """A file of the tests, as a module."""
    spec = spec_from_file_location(name, TESTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_quietly(path: Path) -> Curves:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return loaders.load(path)


def build(folder: Path, sources: list[str]) -> dict[str, list[Sample]]:
    """All samples of some sources, each in a folder of its own; sources whose tool is not installed have fewer."""
    built: dict[str, list[Sample]] = {}
    conftest = tests("conftest")
    for source in sources:
        writers = {"sample": conftest.SAMPLES[source], **dict(_more(source))}
        built[source] = []
        for name, write in writers.items():
            home = folder / source / name.replace("/", "-").replace(" ", "_")
            home.mkdir(parents=True)
            path = Path(write(home))
            built[source].append(Sample(source, name, home, path.relative_to(home)))
    return built


def _more(source: str) -> Iterator[tuple[str, Callable[[Path], Path]]]:
    """Further samples of a source: name and writer."""
    if source == "tidy":
        yield "parquet", _tidy_parquet
        yield "gz", _tidy_zipped
    elif source == "wide":
        yield "big", _wide_big
        yield "folder", _wide_folder
        yield "parquet", _wide_parquet
        yield "tsv", lambda home: _written(home / "log.tsv", "step\tloss\tacc\n1\t2.5\t0.1\n2\t2.25\t0.2\n3\t2\t0.3\n")
        yield "semicolons.gz", lambda home: _zipped(home / "log.csv.gz", "epoch;loss;acc\n1;2.5;0.1\n2;2.25;0.2\n")
        yield (
            "bom, quotes",
            lambda home: _written(home / "log.csv", '\ufeff"step","val loss"\r\n"1","2.5"\r\n"2","2"\r\n'),
        )
    elif source == "long":
        yield "parquet", _long_parquet
        yield "folder of metrics", _metric_pages
    elif source == "json_lines":
        yield (
            "one array",
            lambda home: _written(home / "log.json", '[{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2}]'),
        )
        yield "folder", _json_folder
        yield "gz", lambda home: _zipped(home / "log.jsonl.gz", '{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 2.25}\n')
    elif source == "text_log":
        for name, (text, *_) in tests("test_text_log").FORMS.items():
            yield name, _text_writer(text)
        yield "code in front", _text_writer(tests("test_text_log").CODE + "step 1 loss 2.5\nstep 2 loss 2.25\n" * 2)
        yield "folder", _text_folder
    elif source == "tensorboard":
        yield "tensors, restarts", _tensors
    elif source == "wandb":
        yield "by hand", _wandb_by_hand
    elif source == "mlflow":
        yield from _stores("mlflow", _mlflow_file_store, _mlflow_sqlite)
    elif source == "optuna":
        yield from _stores("optuna", _optuna_journal, _optuna_sqlite)
    elif source == "ray_tune":
        yield "experiment", _ray_experiment
    elif source == "stable_baselines3":
        yield "json, monitor", _stable_baselines
    elif source == "huggingface":
        yield "resumed", _huggingface_resumed
    elif source == "lm_eval":
        yield "harness folder", _harness
    elif source == "lightning":
        yield "two versions", _lightning_versions


def _written(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", newline="")
    return file


def _zipped(file: Path, text: str) -> Path:
    file.write_bytes(gzip.compress(text.encode(), mtime=0))
    return file


def _text_writer(text: str) -> Callable[[Path], Path]:
    return lambda home: _written(home / "train.log", text)


def _tidy_parquet(home: Path) -> Path:
    (home / "from").mkdir()
    curves = load_quietly(tests("conftest").sample_tidy(home / "from"))
    tidy.save(curves, home / "tidy")
    # Without packing every value stands in the file as it is, which is what the check of values looks for.
    curves.points.to_parquet(home / "tidy" / "points.parquet", index=False, compression=None)
    for file in (home / "from").iterdir():
        file.unlink()
    (home / "from").rmdir()
    return home / "tidy"


def _tidy_zipped(home: Path) -> Path:
    path = tests("conftest").sample_tidy(home)
    text = (home / "points.csv").read_text(encoding="utf-8")
    (home / "points.csv").unlink()
    _zipped(home / "points.csv.gz", text)
    return path


def _wide_big(home: Path) -> Path:
    rng = random.Random(0)
    rows = [f"{run},{10 * i},{rng.random():.4f},{rng.random()},{i / 40}" for run in "abc" for i in range(1, 41)]
    return _written(home / "log.csv", "\n".join(["run,step,loss,val_acc,lr", *rows]) + "\n")


def _wide_folder(home: Path) -> Path:
    for run in ("s0", "s1", "s2"):
        _written(home / f"{run}.csv", f"step,loss\n1,2.5\n2,2.{run[1]}\n3,1.75\n")
    return home


def _wide_parquet(home: Path) -> Path:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"step": np.arange(1, 31), "loss": rng.random(30), "acc": rng.random(30)})
    table.to_parquet(home / "log.parquet", index=False, compression=None)
    return home / "log.parquet"


def _long_parquet(home: Path) -> Path:
    table = pd.read_csv(tests("conftest").sample_long(home)).dropna()
    (home / "scores.csv").unlink()
    table.to_parquet(home / "scores.parquet", index=False, compression=None)
    return home / "scores.parquet"


def _metric_pages(home: Path) -> Path:
    for name in ("train_loss", "val_loss"):
        rows = [f"{1.7e9 + i},{i},{2.5 / (i + 1)}" for i in range(4)]
        _written(home / f"{name}.csv", "\n".join(["Wall time,Step,Value", *rows]) + "\n")
    return home


def _json_folder(home: Path) -> Path:
    for run in ("a", "b"):
        _written(home / run / "log.jsonl", "".join(f'{{"step": {i}, "loss": {3 / i}}}\n' for i in (1, 2, 3)))
    return home


def _text_folder(home: Path) -> Path:
    for run in ("a", "b"):
        _written(home / run / "train.log", "".join(f"step {i}/9 loss {4 / i:.3f} acc 4{i}%\n" for i in range(1, 8)))
    return home


def _tensors(home: Path) -> Path:
    from tensorboardX.proto.types_pb2 import DT_DOUBLE, DT_FLOAT, DT_INT64

    made = tests("test_tensorboard")
    events = [made.scalar("loss", step, 2.5 / (step + 1)) for step in range(6)]
    events += [made.tensor("acc", 1, dtype=DT_FLOAT, float_val=[0.25]), made.start(3)]
    events += [made.tensor("acc", 4, dtype=DT_DOUBLE, tensor_content=np.float64(1 / 3).tobytes())]
    events += [made.tensor("n", 4, dtype=DT_INT64, int64_val=[7]), made.scalar("loss", 3, 1.5)]
    for folder in ("train", "validation", "other"):
        made.write(home / "run" / folder / made.NAME, events)
    return home


def _wandb_by_hand(home: Path) -> Path:
    made = tests("test_wandb")
    for key in ("one", "two"):
        records = [made.run(key, key, 5, {"lr": 0.1, "max_steps": 9})]
        records += [made.history(step, {"loss": 1 / step, "eval/acc": step / 7}) for step in range(1, 8)]
        (home / f"run-{key}").mkdir()
        (home / f"run-{key}" / f"run-{key}.wandb").write_bytes(made.written(records))
    return home


def _stores(tool: str, *writers: Callable[[Path], Path]) -> Iterator[tuple[str, Callable[[Path], Path]]]:
    from importlib.util import find_spec

    if find_spec(tool) and find_spec("sqlalchemy") and find_spec("alembic"):
        yield from ((f"written by {tool}, {writer.__name__.rpartition('_')[2]}", writer) for writer in writers)


def _mlflow_file_store(home: Path) -> Path:
    made = tests("test_mlflow")
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.fill(MlflowClient((home / "mlruns").as_uri()))
    return home / "mlruns"


def _mlflow_sqlite(home: Path) -> Path:
    made = tests("test_mlflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.fill(made.sqlite_client(home / "mlflow.db"))
    return home / "mlflow.db"


def _optuna_journal(home: Path) -> Path:
    made = tests("test_optuna")
    journal = made.real.storages.journal
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.written(made.real.storages.JournalStorage(journal.JournalFileBackend(str(home / "journal.log"))))
    return home / "journal.log"


def _optuna_sqlite(home: Path) -> Path:
    made = tests("test_optuna")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.written(made.real.storages.RDBStorage(f"sqlite:///{home / 'optuna.db'}"))
    return home / "optuna.db"


def _ray_experiment(home: Path) -> Path:
    made = tests("test_ray_tune")
    for trial in ("a", "b"):
        reports = [made.report(i + 1, i + 1, value, trial_id=trial) for i, value in enumerate(made.VALUES)]
        write = made.trial if trial == "a" else made.progress
        write(home / "asha" / f"train_{trial}_0_lr=0.1", reports)
    stop = {"training_iteration": 8}
    made.state(home / "asha", {"a": ("TERMINATED", stop), "b": ("ERROR", stop)}, "trial_data")
    return home


def _stable_baselines(home: Path) -> Path:
    made = tests("test_stable_baselines3")
    made.json_log(home / "PPO_1")
    made.csv_log(home / "PPO_2")
    _written(home / "PPO_3" / "monitor.csv", made.MONITOR)
    return home


def _huggingface_resumed(home: Path) -> Path:
    made = tests("test_huggingface")
    history = [made.loss(5, 2.5), {"eval_loss": 2.75, "epoch": 0.5, "step": 5}, made.loss(10, 2.25), made.loss(15, 2.0)]
    made.write(home / "out" / "checkpoint-5", history[:2], 5)
    made.write(home / "out" / "checkpoint-15", history, 15)
    return home


def _harness(home: Path) -> Path:
    made = tests("test_lm_eval")
    for step in (1000, 2000, 3000):
        results = {"arc_easy": {"alias": "arc", "acc,none": step / 1e4, "acc_stderr,none": 0.01}}
        arguments = f"pretrained=x/pythia-70m,revision=step{step}"
        made.write(home / "x" / f"results_2026-01-0{step // 1000}.json", results, arguments)
    return home


def _lightning_versions(home: Path) -> Path:
    rows = "epoch,step,train_loss,val_loss\n0,9,2.5,\n0,19,2.25,2.75\n1,29,2.0,\n1,39,1.75,2.5\n"
    for version in (0, 1):
        _written(home / "lightning_logs" / f"version_{version}" / "metrics.csv", rows)
        _written(home / "lightning_logs" / f"version_{version}" / "hparams.yaml", f"lr: 0.00{version}\nmax_steps: 40\n")
    return home


def quiet_tools() -> None:
    """Keep the tools that write samples from talking."""
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    warnings.simplefilter("ignore")
