"""Callbacks: in the real trainers where they can be had, else by the calls that their documentation states."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from predictdyn.integrations.huggingface import HuggingFaceCallback
from predictdyn.integrations.keras import KerasCallback
from predictdyn.integrations.lightning import LightningCallback

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
