"""A callback for Keras: ``model.fit(..., callbacks=[KerasCallback(...)])``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from predictdyn.integrations.quiet import Quiet


class KerasCallback(Quiet):
    """Feeds what Keras logs at the end of each epoch to a `Monitor`; with ``stop`` training ends where it advises so.

    Takes a monitor, or its keywords. Steps are epochs from 0, as in the logs of Keras; the planned end is that of
    `fit`.
    """

    async_safe = True  # no batch is waited for
    model: Any = None

    def set_params(self, params: Mapping[str, Any] | None) -> None:
        """Keras says how many epochs are planned."""
        self.params = dict(params or {})

    def set_model(self, model: Any) -> None:
        """Keras says which model trains."""
        self.model = model

    def on_train_begin(self, logs: Any = None) -> None:
        """The planned end is known."""
        self.begin(max(self.params.get("epochs", 0) - 1, 1))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """The numbers of an epoch."""
        advice = self.take(epoch, logs or {})
        if self.stop and advice.stop and self.model is not None:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """The last look."""
        self.end()
