"""A made-up data set, a server of its files that counts what it is asked, and a cache of the test's own."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from predictdyn.datasets import fetching, table

CONTENT = {
    "logs/large.csv": "step,loss,lr\n1,3.0,0.1\n2,2.5,0.1\n",
    "logs/small.csv": "step,loss,lr\n1,3.5,0.1\n2,3.25,0.1\n",
}
ABOUT = """
title = "Two made-up runs"
licence = "MIT"
citation = "Nobody, Nothing, 2026"
homepage = "https://example.org"
relation = "The source's own tables."
loader = "wide"
kinds = ["loss"]
{address}
[settings]
metrics = "loss,lr"
last_step = 2
"""


class MadeUp(NamedTuple):
    """The table of data sets in the folder ``root`` knows the data set ``made_up`` and no other."""

    root: Path

    def publish(self, address: str | None) -> None:
        """Write its entry, with this address."""
        folder = self.root / "made_up"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "about.toml").write_text(ABOUT.format(address=f'address = "{address}"' if address else ""))
        rows = [f"{path},{len(text)},{hashlib.sha256(text.encode()).hexdigest()}" for path, text in CONTENT.items()]
        (folder / "files.csv").write_text("\n".join(["path,bytes,sha256", *rows]) + "\n")
        (folder / "runs.csv").write_text("run,family,params\nsmall,mlp,10\nlarge,mlp,1000\n")

    def copy_to(self, folder: Path) -> Path:
        """A folder of copies, as PREDICTDYN_DATA names one."""
        for path, content in CONTENT.items():
            (folder / "made_up" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "made_up" / path).write_text(content)
        return folder


class Server(NamedTuple):
    """Serves ``folder`` at ``address``; ``asked`` are the paths it was asked for."""

    folder: Path
    address: str
    asked: list[str]
    faults: dict[str, list[str]]  # path -> what befalls the next requests for it: busy, broken or endless


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args, asked: list[str], faults: dict[str, list[str]], **kwargs) -> None:
        self.asked, self.faults = asked, faults
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        fault = self.faults[self.path].pop(0) if self.faults.get(self.path) else None
        if fault == "busy":
            self.send_error(503)
        elif fault == "broken":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"step,loss\n1,")
        elif fault == "endless":
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"1,2.5,0.1\n" * 1000)
        else:
            super().do_GET()

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache that does not exist yet; no folder of copies, no proxy before this machine, no waiting."""
    monkeypatch.setenv("PREDICTDYN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PREDICTDYN_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetching, "WAITS", (0.0, 0.0))
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    """Serves the made-up files, in another layout than the data set has: v1/small.csv."""
    folder = tmp_path / "www"
    for path, content in CONTENT.items():
        there = folder / "v1" / Path(path).name
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(content)
    asked: list[str] = []
    faults: dict[str, list[str]] = {}
    handler = partial(_Handler, directory=str(folder), asked=asked, faults=faults)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield Server(folder, f"http://127.0.0.1:{http.server_address[1]}", asked, faults)
        http.shutdown()
        thread.join()


@pytest.fixture
def made_up(tmp_path, cache, server, monkeypatch) -> MadeUp:
    """A table of one data set, published on the server."""
    one = MadeUp(tmp_path / "table")
    one.publish(f"{server.address}/v1/{{1}}")
    monkeypatch.setattr(table, "_root", lambda: one.root)
    return one
