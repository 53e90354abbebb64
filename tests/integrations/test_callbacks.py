"""Callbacks: in the real trainers where they can be had, else by the calls that their documentation states."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from predictdyn.integrations.huggingface import HuggingFaceCallback
from predictdyn.integrations.keras import KerasCallback
from predictdyn.integrations.lightning import LightningCallback
from predictdyn.integrations.monitor import Monitor
from predictdyn.integrations.trials import BestTrials, SearchTrial

CALL = {"background": False, "budget": None}


def test_nothing_is_imported_for_them():
    import subprocess

    code = (
        "import sys, predictdyn.integrations.huggingface, predictdyn.integrations.keras, "
        "predictdyn.integrations.lightning, predictdyn.integrations.optuna, predictdyn.integrations.ray_tune; "
        "tools = ('transformers', 'keras', 'lightning', 'optuna', 'ray', 'torch', 'pandas'); "
        "print([m for m in tools if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_hugging_face_handler():
    """The Trainer's own handler calls it: every event, a log with a NaN, the stop, the end."""
    trainer_callback = pytest.importorskip("transformers.trainer_callback")
    callback = HuggingFaceCallback(stop=True, targets=(), **CALL)
    handler = trainer_callback.CallbackHandler(
        [trainer_callback.DefaultFlowCallback(), callback], None, None, None, None
    )
    args = SimpleNamespace(
        logging_first_step=False, logging_strategy="steps", eval_strategy="no", save_strategy="no", eval_delay=0,
        logging_steps=10,
    )  # fmt: skip
    state, control = trainer_callback.TrainerState(max_steps=100), trainer_callback.TrainerControl()
    state.logging_steps = state.eval_steps = state.save_steps = 10
    handler.on_init_end(args, state, control)
    handler.on_train_begin(args, state, control)
    for step in (10, 20, 30):
        state.global_step = step
        handler.on_step_begin(args, state, control)
        handler.on_step_end(args, state, control)
        loss = float("nan") if step == 30 else 1.0 / step
        handler.on_log(args, state, control, {"loss": loss, "learning_rate": 0.1, "epoch": step / 50})
        assert control.should_training_stop is (step == 30)
    handler.on_train_end(args, state, control)
    advice = callback.monitor.advice
    assert advice.words == "not finite: loss is NaN at step 30" and advice.stop


def test_keras_fit(monkeypatch):
    """A real model of Keras trains with it, and is stopped at the first epoch with a NaN."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    import numpy as np

    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(64, 3)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    callback = KerasCallback(stop=True, **CALL)
    poison = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: (
            model.set_weights([np.full(one.shape, np.nan) for one in model.weights]) if epoch == 1 else None
        )
    )
    history = model.fit(inputs, inputs.sum(1), epochs=8, batch_size=32, verbose=0, callbacks=[callback, poison])
    assert len(history.history["loss"]) == 3
    assert callback.monitor.advice.words == "not finite: loss is NaN at step 2"


def test_lightning_calls():
    """The hooks in the order of Lightning's documentation; a sanity check is no validation."""
    callback = LightningCallback(stop=True, **CALL)
    trainer = SimpleNamespace(
        estimated_stepping_batches=100, global_step=0, sanity_checking=True, is_global_zero=True, should_stop=False,
        callback_metrics={"val_loss": 9.0},
    )  # fmt: skip
    module = object()
    callback.setup(trainer, module, stage="fit")
    callback.on_sanity_check_start(trainer, module)
    callback.on_fit_start(trainer, module)
    callback.on_validation_end(trainer, module)
    callback.on_train_start(trainer, module)
    trainer.sanity_checking = False
    for step in (10, 20):
        trainer.global_step, trainer.callback_metrics = step, {"val_loss": 1.0 if step < 20 else float("nan")}
        callback.on_train_batch_end(trainer, module, None, None, 0)
        callback.on_validation_end(trainer, module)
        callback.on_train_epoch_end(trainer, module)
        assert trainer.should_stop is (step == 20)
    callback.on_train_end(trainer, module)
    callback.teardown(trainer, module, stage="fit")
    assert callback.state_dict() == {} and callback.monitor.advice.words == "not finite: val_loss is NaN at step 20"


def test_what_is_not_a_hook_is_an_error():
    with pytest.raises(AttributeError):
        HuggingFaceCallback(**CALL).banana  # noqa: B018
    with pytest.raises(ValueError, match="not both"):
        KerasCallback(object(), targets="a > 1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no keyword 'modle'; did you mean 'model'"):
        KerasCallback(modle="folder")
    with pytest.raises(ValueError, match="a folder of a model is named by model="):
        KerasCallback("folder")  # type: ignore[arg-type]


def keras_epochs(callback, epochs: int, bad: int | None = None) -> tuple[int, bool]:
    """Keras' calls of a training; the epoch that was its last, and whether it was stopped."""
    model = SimpleNamespace(stop_training=False)
    callback.set_params({"epochs": epochs})
    callback.set_model(model)
    callback.on_train_begin()
    for epoch in range(epochs):
        callback.on_epoch_end(epoch, {"loss": float("nan") if epoch == bad else 1.0 / (1 + epoch)})
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch, model.stop_training


def test_a_callback_may_serve_several_trainings():
    """What stopped one training does not stop the next, as in a search or over folds."""
    callback = KerasCallback(stop=True, **CALL)
    assert keras_epochs(callback, 5, bad=2) == (2, True)
    assert keras_epochs(callback, 8) == (7, False)
    assert callback.monitor.advice.step == 7


def test_a_monitor_that_was_closed_watches_no_other_training(caplog):
    callback = KerasCallback(Monitor(last_step=4, **CALL), stop=True)
    assert keras_epochs(callback, 5, bad=2) == (2, True)
    with caplog.at_level("WARNING", logger="predictdyn"):
        assert keras_epochs(callback, 5) == (4, False)
    assert "closed by an earlier training, so nothing is watched" in caplog.text


def test_a_training_without_a_planned_end_is_not_watched_and_says_so(caplog):
    callback = LightningCallback(**CALL)
    with caplog.at_level("WARNING", logger="predictdyn"):
        callback.on_train_start(SimpleNamespace(estimated_stepping_batches=float("inf")), None)
    assert callback.monitor is None and "give last_step=" in caplog.text


def test_lightning_processes_stop_together():
    """The decision of rank 0 reaches all, through the strategy."""
    asked = []

    def rank(zero: bool, decided: bool):
        def reduce_boolean_decision(decision, all=True):
            asked.append((zero, decision, all))
            return decided

        return SimpleNamespace(
            estimated_stepping_batches=100, global_step=10, is_global_zero=zero, should_stop=False,
            callback_metrics={"val_loss": float("nan")},
            strategy=SimpleNamespace(reduce_boolean_decision=reduce_boolean_decision),
        )  # fmt: skip

    for zero in (True, False):
        callback, trainer = LightningCallback(stop=True, **CALL), rank(zero, True)
        callback.on_train_start(trainer, None)
        callback.on_train_epoch_end(trainer, None)
        assert trainer.should_stop and (callback.monitor is not None) is zero
    assert asked == [(True, True, False), (False, False, False)]


def test_hugging_face_does_not_stop_one_process_of_several(caplog):
    control = SimpleNamespace(should_training_stop=False)
    args = SimpleNamespace(world_size=2)
    for zero in (True, False):
        state = SimpleNamespace(max_steps=100, global_step=10, is_world_process_zero=zero)
        callback = HuggingFaceCallback(stop=True, **CALL)
        with caplog.at_level("WARNING", logger="predictdyn"):
            callback.on_train_begin(args, state, control)
        callback.on_log(args, state, control, {"loss": float("nan")})
        assert not control.should_training_stop and (callback.monitor is not None) is zero
    assert callback.monitor is None and caplog.text.count("stop=True is left out") == 1


def study(pruner, direction: str = "maximize"):
    optuna = pytest.importorskip("optuna")
    import numpy as np

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sign = 1.0 if direction == "maximize" else -1.0
    steps = []

    def objective(trial):
        rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
        limit = 0.9 - 0.1 * abs(np.log10(rate) + 2) ** 1.5
        noise = np.random.default_rng(trial.number)
        for step in range(1, 21):
            value = sign * (limit * (1 - np.exp(-step / 6)) + noise.normal(0, 0.004))
            trial.report(value, step)
            steps.append(step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    made = optuna.create_study(direction=direction, pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=1))
    made.optimize(objective, n_trials=16)
    return made, len(steps)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_pruner_saves_steps_and_keeps_the_best(direction):
    optuna = pytest.importorskip("optuna")
    from predictdyn.integrations.optuna import ForecastPruner

    pruner = ForecastPruner(startup=6)
    assert isinstance(pruner, optuna.pruners.BasePruner)
    full, every = study(optuna.pruners.NopPruner(), direction)
    pruned, fewer = study(pruner, direction)
    assert all(trial.state.name == "COMPLETE" for trial in pruned.trials[:6])
    assert fewer < 0.9 * every
    # What is expected is 1 % of the best value; one study may lose some more.
    assert abs(pruned.best_value - full.best_value) <= 0.015 * abs(full.best_value)


def test_the_pruner_asks_for_stopped_trials_only_where_they_count():
    optuna = pytest.importorskip("optuna")
    from predictdyn.integrations.optuna import ForecastPruner

    def trial(end: float, state: str, steps: int = 8):
        reports = {step: end * (1 - 0.5**step) for step in range(1, steps + 1)}
        value = end if state == "COMPLETE" else None
        state = optuna.trial.TrialState[state]
        return optuna.trial.create_trial(state=state, value=value, intermediate_values=reports)

    made = optuna.create_study(direction="maximize")
    asked: list[str] = []

    class Study:
        direction = made.direction

        def get_trials(self, *, deepcopy, states):
            asked.extend(state.name for state in states)
            return made.get_trials(deepcopy=deepcopy, states=states)

    pruner, running = ForecastPruner(startup=3), trial(0.1, "RUNNING", 2)
    made.add_trials([trial(0.2, "PRUNED", 3), trial(0.8, "COMPLETE"), trial(0.7, "COMPLETE")])
    assert not pruner.prune(Study(), running) and asked == ["COMPLETE"], "too few are complete"
    made.add_trial(trial(0.9, "COMPLETE"))
    asked.clear()
    assert not pruner.prune(Study(), trial(0.1, "RUNNING", 8)) and asked == ["COMPLETE"], "it has ended"
    asked.clear()
    pruner.prune(Study(), running)
    assert asked == ["COMPLETE", "PRUNED"]


def test_the_pruner_says_what_is_wrong():
    from predictdyn.integrations.optuna import ForecastPruner

    pytest.importorskip("optuna")
    with pytest.raises(ValueError, match="regret= is a share"):
        ForecastPruner(regret=2)
    with pytest.raises(ValueError, match="no forecaster 'x'"):
        ForecastPruner(forecaster="x")
    for wrong in ({"k": 1.5}, {"k": "1"}, {"startup": "4"}, {"regret": "1 %"}, {"last_step": 0}, {"last_step": "9"}):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"{name}= (is|from 2 on)"):
            ForecastPruner(**wrong)


RISES = {f"t{i}": 0.5 + 0.05 * i for i in range(8)}


def search_trial(name: str, end: float, steps: int = 12, **params):
    return SearchTrial(name, {step: end * (1 - 0.7**step) for step in range(1, steps + 1)}, {"x": end, **params})


def best(**settings):
    return BestTrials(**{"regret": 0.01, "k": 1, "startup": 4, "last_step": None, "forecaster": "pooled_change",
                         "seed": 0, **settings})  # fmt: skip


def test_reports_that_are_not_finite_count_for_nothing():
    """A trial of NaN alone goes on, and complete ones of NaN alone teach nothing."""
    done = [search_trial(name, end) for name, end in RISES.items()]
    nothing, bad = dict.fromkeys(range(1, 5), float("nan")), search_trial("bad", 0.2, 5)
    assert best().stops(done, [], bad, largest=True)
    assert not best().stops(done, [], bad._replace(reports=nothing), largest=True)
    assert best().stops(done, [], bad._replace(reports={**bad.reports, 0: float("nan")}), largest=True)
    broken = [search_trial("n", 0.0)._replace(reports={**nothing, 12: float("inf")})]
    assert best().stops([*done, *broken], broken, bad, largest=True)
    assert not best(startup=len(done) + 1).stops([*done, *broken], [], bad, largest=True)


def test_trials_are_compared_by_what_they_report():
    """Up to last_step, where that lies before the end of complete trials."""
    done = [search_trial(name, end) for name, end in RISES.items()]
    good = search_trial("good", 0.87, 4)
    assert not best(last_step=5).stops(done, [], good, largest=True)
    assert best(last_step=5).stops(done, [], search_trial("bad", 0.3, 4), largest=True)


def test_a_pruner_may_serve_several_searches():
    """Trials have the names of those before; what was learnt and forecast of these is not taken for them."""
    ours = best()
    low = [search_trial(name, end / 10) for name, end in RISES.items()]
    high = [search_trial(name, end) for name, end in RISES.items()]
    pruned, now = [search_trial("p", 0.01, 4)], search_trial("now", 0.05, 4)
    ours.stops(low, pruned, now, largest=True)
    for done, also, one, largest in (
        (high, [search_trial("p", 0.3, 4)], search_trial("now", 0.8, 4), True),
        (high, [search_trial("p", 0.3, 4)], search_trial("now", 0.8, 4), False),
    ):
        fresh = best()
        assert ours.stops(done, also, one, largest=largest) == fresh.stops(done, also, one, largest=largest)
        assert ours.learnt[0] == fresh.learnt[0]
        kept = list(fresh.stopped)
        assert [(ours.stopped[mark] == fresh.stopped[mark]).all() for mark in kept] == [True]


def test_parameters_may_be_called_as_columns_of_runs_are():
    done = [search_trial(name, end, last_step=3, family=i % 2, run=7.0) for i, (name, end) in enumerate(RISES.items())]
    assert best().stops(done, [], search_trial("bad", 0.2, 5, last_step=3, family=1, run=7.0), largest=True)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_ray_tune_stops_trials_that_will_not_be_among_the_best(mode, tmp_path):
    """In the real Tuner: fewer reports, and the best value within the regret."""
    tune = pytest.importorskip("ray.tune")
    import ray

    from predictdyn.integrations.ray_tune import ForecastScheduler

    def train(config):
        sign = 1.0 if mode == "max" else -1.0
        for step in range(1, 21):
            tune.report({"score": sign * (1 - (config["x"] - 0.5) ** 2) * (1 - 2.0 ** (-step / 4))})

    ray.init(num_cpus=1, include_dashboard=False, ignore_reinit_error=True, log_to_driver=False)
    try:
        tuner = tune.Tuner(
            train,
            param_space={"x": tune.grid_search([0.3, 0.9, 0.1, 0.0, 0.7, 0.2, 0.5, 1.0, 0.05, 0.95, 0.6, 0.02])},
            tune_config=tune.TuneConfig(
                metric="score", mode=mode, scheduler=ForecastScheduler(startup=6), max_concurrent_trials=1
            ),
            run_config=tune.RunConfig(storage_path=str(tmp_path), name="search", verbose=0),
        )
        table = tuner.fit().get_dataframe()
    finally:
        ray.shutdown()
    reports = table["training_iteration"].tolist()
    assert reports.count(20) >= 7 and len(reports) == 12 and sum(reports) < 0.8 * 12 * 20
    assert table["score"].abs().max() == pytest.approx(1 - 2.0**-5, rel=0.01), "the best of all, at x = 0.5"


@pytest.fixture
def scheduler_of(monkeypatch):
    """Makes schedulers on the few calls of Ray's that ours rests on, where Ray itself is not there."""
    from types import ModuleType

    class FIFOScheduler:
        CONTINUE, STOP = "CONTINUE", "STOP"

        def __init__(self):
            self._metric = None

        def set_search_properties(self, metric, mode, **spec):
            self._metric = metric or self._metric
            return True

        def on_trial_add(self, tune_controller, trial):
            return None

    module = ModuleType("ray.tune.schedulers")
    module.FIFOScheduler = FIFOScheduler
    for name in ("ray", "ray.tune"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "ray.tune.schedulers", module)
    from predictdyn.integrations.ray_tune import ForecastScheduler

    return ForecastScheduler


def test_ray_tune_needs_to_know_which_way_is_better(scheduler_of):
    """Without mode= the best trials of a loss would be stopped, without metric= none ever."""
    for metric, mode, told in (
        ("loss", None, "got 'loss' and None"),
        (None, "min", "got None and 'min'"),
        ("a", "up", "'up'"),
    ):
        scheduler = scheduler_of()
        scheduler.set_search_properties(metric, mode)
        with pytest.raises(ValueError, match=rf"needs metric= and mode= \(max or min\), .*{told}"):
            scheduler.on_trial_add(None, None)
    scheduler = scheduler_of(metric="loss", mode="min")
    assert scheduler.set_search_properties(None, None)
    scheduler.on_trial_add(None, None)


def test_a_strange_last_result_does_not_end_the_search(scheduler_of, caplog):
    scheduler = scheduler_of(metric="loss", mode="min")
    trial = SimpleNamespace(trial_id="a", config={})
    with caplog.at_level("WARNING", logger="predictdyn"):
        scheduler.on_trial_complete(None, trial, {"loss": "none", "training_iteration": 3})
    assert "the scheduler left out a decision (the trial goes on): ValueError" in caplog.text
