"""A callback that does nothing: what a trainer calls and we do not use is answered without a word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from predictdyn.integrations.monitor import LOGGER, Advice, Monitor
from predictdyn.naming import meant


class Quiet:
    """Answers every ``on_...`` that a trainer may call; what a trainer's callback uses is written beside it.

    ``monitor`` is a `Monitor`, or the keywords of one, which is made once the planned end is known. Made from keywords,
    each training has a monitor of its own: one callback may serve several trainings.
    """

    def __init__(self, monitor: Monitor | None = None, *, stop: bool = False, **keywords: Any) -> None:
        if monitor is not None and keywords:
            raise ValueError(f"give a monitor, or the keywords of one, not both; got {', '.join(keywords)} beside it")
        if monitor is not None and not isinstance(monitor, Monitor):
            raise ValueError(f"monitor= takes a Monitor, got {monitor!r}; a folder of a model is named by model=")
        known = list(signature(Monitor).parameters)
        if unknown := sorted(set(keywords) - set(known)):
            raise ValueError(
                f"a monitor has no keyword {unknown[0]!r}; {meant(unknown[0], known)}known are {', '.join(known)}"
            )
        self.monitor, self.stop, self._keywords, self._own = monitor, stop, keywords, monitor is None

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(name)

    def begin(self, last_step: float | None) -> None:
        """Make the monitor, where the caller gave none; without a planned end there is nothing to forecast."""
        if self._own and self.monitor is not None and self.monitor.closed:
            self.monitor = None  # what the training before left would stop this one
        if self.monitor is None and (last_step or "last_step" in self._keywords):
            self.monitor = Monitor(**{"last_step": last_step, **self._keywords})
        elif self.monitor is None:
            LOGGER.warning("the trainer does not say where training ends, so nothing is watched; give last_step=")
        elif self.monitor.closed:
            LOGGER.warning("the monitor was closed by an earlier training, so nothing is watched; give a new one")

    def take(self, step: float, metrics: Mapping[str, Any]) -> Advice:
        """What the monitor advises after these numbers."""
        return Advice() if self.monitor is None or self.monitor.closed else self.monitor.log(step, metrics)

    def end(self) -> None:
        """The last look."""
        if self.monitor is not None:
            self.monitor.close()


def _nothing(*_: Any, **__: Any) -> None:
    return None
