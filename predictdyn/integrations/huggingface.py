"""A callback for the Trainer of Hugging Face transformers: ``Trainer(..., callbacks=[HuggingFaceCallback(...)])``."""

from __future__ import annotations

from typing import Any

from predictdyn.integrations.monitor import LOGGER
from predictdyn.integrations.quiet import Quiet


class HuggingFaceCallback(Quiet):
    """Feeds what the Trainer logs to a `Monitor`; with ``stop`` training ends where the monitor advises it.

    Takes a monitor, or its keywords (``model``, ``targets``, ...); the planned end is the Trainer's ``max_steps``. Of
    several processes the first one looks, and ``stop`` is left out: a process that stops alone leaves the others
    waiting for it.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """The planned end is known."""
        planned = getattr(state, "max_steps", None)
        if getattr(state, "is_world_process_zero", True):
            self.begin(planned if planned and planned > 0 else None)
            if self.stop and getattr(args, "world_size", 1) > 1:
                LOGGER.warning("stop=True is left out, since training runs in %d processes", args.world_size)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        """What was logged, with the names that the loader `huggingface` gives: ``train_loss``, ``eval_loss``, ..."""
        if not getattr(state, "is_world_process_zero", True):
            return
        advice = self.take(state.global_step, {name: cell for name, cell in (logs or {}).items() if name != "epoch"})
        if self.stop and advice.stop and getattr(args, "world_size", 1) == 1:
            control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """The last look."""
        self.end()
