"""What is called when an alarm rings: a command, an address on the web, or a function."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

from predictdyn.secrets import hidden
from predictdyn.watch.state import Rung, plain_alarm

SECONDS = 60.0  # that a hook may take
Hook = Callable[[dict[str, Any]], None]


class HookError(Exception):
    """A hook did not do its work; the words say why."""


def message(rung: Rung, path: str, page: str) -> dict[str, Any]:
    """What a hook is told, as plain JSON: the alarm (`plain_alarm`), where it was seen, and which try this is."""
    return {"id": rung.id, **plain_alarm(rung.alarm), "at": rung.at, "path": path, "page": page, "attempt": rung.tries}


def command_hook(command: str) -> Hook:
    """Run a shell command.

    The message is on its standard input as one line of JSON, and its fields are variables: PREDICTDYN_ALARM_RUN, ...
    """

    def call(said: dict[str, Any]) -> None:
        named = {f"PREDICTDYN_ALARM_{name.upper()}": "" if v is None else str(v) for name, v in said.items()}
        # Text of logs goes in as text: the shell never reads it as a command.
        env = {**os.environ, **{name: word.replace("\0", "") for name, word in named.items()}}
        try:
            done = subprocess.run(
                command, shell=True, input=f"{json.dumps(said)}\n".encode(), env=env, timeout=SECONDS, check=False,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise HookError(f"the command took more than {SECONDS:g} s") from None
        if done.returncode:
            last = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1][:200]
            raise HookError(f"the command ended with status {done.returncode}{f' ({last})' if last else ''}")

    return call


def webhook(address: str) -> Hook:
    """POST the message as JSON. Raises ValueError for an address that is not of the web."""
    from urllib.parse import urlsplit

    if urlsplit(address).scheme not in ("http", "https"):
        raise ValueError(f"a webhook is an address such as https://example.org/hook, got {hidden(address)!r}")

    def call(said: dict[str, Any]) -> None:
        from urllib.error import URLError
        from urllib.request import Request, urlopen

        headers = {"Content-Type": "application/json", "Idempotency-Key": str(said["id"])}
        request = Request(address, data=json.dumps(said).encode(), headers=headers, method="POST")
        try:
            with urlopen(request, timeout=SECONDS):
                pass
        except (URLError, OSError) as error:
            raise HookError(f"the address did not take it ({hidden(str(error))[:200]})") from None

    return call


def together(hooks: list[Hook]) -> Hook | None:
    """All hooks as one, called in turn; None where there is none."""
    if not hooks:
        return None

    def call(said: dict[str, Any]) -> None:
        for hook in hooks:
            try:
                hook(said)
            except HookError:
                raise
            except Exception as error:  # a function of the caller's must not end the watch
                raise HookError(f"{type(error).__name__}: {error}"[:200]) from error

    return call
