"""A callback that does nothing: what a trainer calls and we do not use is answered without a word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from predictdyn.integrations.monitor import Advice, Monitor


class Quiet:
    """Answers every ``on_...`` that a trainer may call; what a trainer's callback uses is written beside it.

    ``monitor`` is a `Monitor`, or the keywords of one, which is made once the planned end is known.
    """

    def __init__(self, monitor: Monitor | None = None, *, stop: bool = False, **keywords: Any) -> None:
        if monitor is not None and keywords:
            raise ValueError(f"give a monitor, or the keywords of one, not both; got {', '.join(keywords)} beside it")
        self.monitor, self.stop, self._keywords = monitor, stop, keywords

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(name)

    def begin(self, last_step: float | None) -> None:
        """Make the monitor, where the caller gave none; without a planned end there is nothing to forecast."""
        if self.monitor is None and (last_step or "last_step" in self._keywords):
            self.monitor = Monitor(**{"last_step": last_step, **self._keywords})

    def take(self, step: float, metrics: Mapping[str, Any]) -> Advice:
        """What the monitor advises after these numbers."""
        return Advice() if self.monitor is None else self.monitor.log(step, metrics)

    def end(self) -> None:
        """The last look."""
        if self.monitor is not None:
            self.monitor.close()


def _nothing(*_: Any, **__: Any) -> None:
    return None
