"""A callback for Lightning: ``Trainer(..., callbacks=[LightningCallback(...)])``."""

from __future__ import annotations

from typing import Any

from predictdyn.integrations.quiet import Quiet


class LightningCallback(Quiet):
    """Feeds ``trainer.callback_metrics`` to a `Monitor` after each validation and each training epoch.

    Takes a monitor, or its keywords; with ``stop`` training ends where it advises so. The planned end is the trainer's
    ``estimated_stepping_batches``. Only the process of rank 0 looks; all processes stop together.
    """

    state_key = "predictdyn.LightningCallback"

    def setup(self, trainer: Any, pl_module: Any, stage: str | None = None) -> None:
        """Nothing to prepare."""

    def teardown(self, trainer: Any, pl_module: Any, stage: str | None = None) -> None:
        """Nothing to clean up."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing is kept in checkpoints."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing was kept in checkpoints."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The planned end is known."""
        planned = float(trainer.estimated_stepping_batches)
        if getattr(trainer, "is_global_zero", True):
            self.begin(planned if 0 < planned < float("inf") else None)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """The numbers of a validation."""
        if not getattr(trainer, "sanity_checking", False):
            self._feed(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """The numbers of an epoch."""
        self._feed(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """The last look."""
        self.end()

    def _feed(self, trainer: Any) -> None:
        stop = False
        if getattr(trainer, "is_global_zero", True):
            stop = self.take(trainer.global_step, dict(trainer.callback_metrics)).stop
        if self.stop:
            strategy = getattr(trainer, "strategy", None)
            # A process that stops alone leaves the others waiting for it.
            if stop if strategy is None else strategy.reduce_boolean_decision(stop, all=False):
                trainer.should_stop = True
