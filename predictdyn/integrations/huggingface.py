"""A callback for the Trainer of Hugging Face transformers: ``Trainer(..., callbacks=[HuggingFaceCallback(...)])``."""

from __future__ import annotations

from typing import Any

from predictdyn.integrations.quiet import Quiet


class HuggingFaceCallback(Quiet):
    """Feeds what the Trainer logs to a `Monitor`; with ``stop`` training ends where the monitor advises it.

    Takes a monitor, or its keywords (``model``, ``targets``, ...); the planned end is the Trainer's ``max_steps``.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """The planned end is known."""
        self.begin(getattr(state, "max_steps", 0) or None)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        """What was logged, with the names that the loader `huggingface` gives: ``train_loss``, ``eval_loss``, ..."""
        advice = self.take(state.global_step, {name: cell for name, cell in (logs or {}).items() if name != "epoch"})
        if self.stop and advice.stop:
            control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """The last look."""
        self.end()
