"""What is called when an alarm rings: a command, an address on the web, or a function."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from predictdyn.secrets import hidden
from predictdyn.watch.state import Rung, plain_alarm

SECONDS = 60.0  # that a hook may take
TAIL = 4096  # bytes of what a command printed, of which the last line is told
Hook = Callable[[dict[str, Any]], None]


class HookError(Exception):
    """A hook did not do its work; the words say why. ``slow``: it took all the time that it may take."""

    def __init__(self, words: str, *, slow: bool = False) -> None:
        super().__init__(words)
        self.slow = slow


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
        # A file takes what it prints: a pipe would be waited for as long as a child of the command has it open.
        with tempfile.TemporaryFile() as words:
            process = subprocess.Popen(
                command, shell=True, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=words,
                start_new_session=True,
            )  # fmt: skip
            try:
                process.communicate(f"{json.dumps(said)}\n".encode(), timeout=SECONDS)
            except subprocess.TimeoutExpired:
                raise HookError(f"the command took more than {SECONDS:g} s", slow=True) from None
            finally:
                if process.poll() is None:
                    _kill(process)
            if process.returncode:
                words.seek(max(words.seek(0, os.SEEK_END) - TAIL, 0))
                last = (words.read().decode(errors="replace").strip().splitlines() or [""])[-1][:200]
                raise HookError(f"the command ended with status {process.returncode}{f' ({last})' if last else ''}")

    return call


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command and its children: the shell alone would leave them running."""
    with suppress(ProcessLookupError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def webhook(address: str) -> Hook:
    """POST the message as JSON. Raises ValueError for an address that is not of the web."""
    from urllib.parse import urlsplit

    if urlsplit(address).scheme not in ("http", "https"):
        raise ValueError(f"a webhook is an address such as https://example.org/hook, got {hidden(address)!r}")

    def post(said: dict[str, Any]) -> None:
        from urllib.error import HTTPError, URLError
        from urllib.request import Request, urlopen

        headers = {"Content-Type": "application/json", "Idempotency-Key": str(said["id"])}
        request = Request(address, data=json.dumps(said).encode(), headers=headers, method="POST")
        try:
            with urlopen(request, timeout=SECONDS):
                pass
        except (URLError, OSError) as error:
            slow = isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)
            if isinstance(error, HTTPError):
                error.close()  # it holds the answer, and its socket
            raise HookError(f"the address did not take it ({hidden(str(error))[:200]})", slow=slow) from None

    def call(said: dict[str, Any]) -> None:
        # The timeout of urlopen is of each byte: an address that sends one now and then would hold up all looks.
        found: list[BaseException | None] = []

        def work() -> None:
            try:
                post(said)
            except BaseException as error:
                found.append(error)
            else:
                found.append(None)

        thread = threading.Thread(target=work, name="predictdyn webhook", daemon=True)
        thread.start()
        thread.join(SECONDS)
        if not found:
            raise HookError(f"the address took more than {SECONDS:g} s", slow=True)
        if found[0] is not None:
            raise found[0]

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
