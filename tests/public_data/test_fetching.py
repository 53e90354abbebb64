"""Fetching: from an address, a folder of copies or a mirror; checked, resumed, nothing left behind on failure."""

from __future__ import annotations

import errno
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from predictdyn import datasets
from predictdyn.datasets import fetching

WHOLE = ["made_up/logs/large.csv", "made_up/logs/small.csv"]
ASKED = ["/v1/large.csv", "/v1/small.csv"]


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def refused(said: str, **options: str) -> None:
    """A fetch fails in one line, which has these words."""
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        datasets.fetch("made_up", **options)
    assert "\n" not in str(error.value)


def test_from_its_address_once(made_up, server, cache):
    told: list[tuple[int, int]] = []
    assert datasets.place(datasets.entry("made_up")) == "to download"
    folder = datasets.fetch("made_up", progress=lambda done, all_: told.append((done, all_)))
    assert folder == cache / "made_up" and files_below(cache) == WHOLE
    assert server.asked == ASKED and told == [(0, 2), (1, 2)]
    assert datasets.place(datasets.entry("made_up")) == "cached"
    assert datasets.fetch("made_up") == folder and server.asked == ASKED, "the second time asks nobody"


def test_loaded_as_the_entry_says(made_up):
    curves = datasets.load("made_up")
    assert curves.points.groupby("run")["value"].sum().to_dict() == {"large": 5.7, "small": 6.95}
    assert curves.runs["family"].tolist() == ["mlp", "mlp"] and curves.runs.loc["large", "params"] == 1000
    assert {name: metric.kind for name, metric in curves.metrics.items()} == {"loss": "loss", "lr": "schedule"}


def test_from_the_folder_of_copies_without_asking_the_server(made_up, server, cache, tmp_path, monkeypatch):
    copies = made_up.copy_to(tmp_path / "copies")
    (copies / "made_up" / "notes.csv").write_text("what,else\nlies,there\n")
    monkeypatch.setenv("PREDICTDYN_DATA", str(copies))
    assert datasets.place(datasets.entry("made_up")) == "in PREDICTDYN_DATA"
    assert len(datasets.load("made_up").runs) == 2, "only what the entry lists is read"
    assert files_below(cache) == WHOLE and server.asked == []


def test_what_the_folder_of_copies_lacks_is_downloaded(made_up, server, cache, tmp_path, monkeypatch):
    copies = made_up.copy_to(tmp_path / "copies")
    (copies / "made_up" / "logs" / "large.csv").unlink()
    monkeypatch.setenv("PREDICTDYN_DATA", str(copies))
    datasets.fetch("made_up")
    assert files_below(cache) == WHOLE and server.asked == ["/v1/large.csv"]


@pytest.mark.parametrize("kind", ["folder", "address"])
def test_from_a_mirror(made_up, server, cache, tmp_path, kind):
    made_up.publish(None)
    made_up.copy_to(server.folder)
    datasets.fetch("made_up", mirror=str(server.folder) if kind == "folder" else server.address + "/")
    assert files_below(cache) == WHOLE
    assert len(server.asked) == (0 if kind == "folder" else 2)


def test_a_file_at_no_address_is_told_before_anything_is_fetched(made_up, server, cache, tmp_path, monkeypatch):
    made_up.publish(None)
    assert datasets.place(datasets.entry("made_up")) == "needs a copy"
    refused("made_up has no address to download from. The source's own tables. With a copy of the files, set")
    monkeypatch.setenv("PREDICTDYN_DATA", str(tmp_path))
    refused(f"has them as made_up/ (it names {tmp_path}, which has not all of it)")
    refused("expected a folder, or an address", mirror="ftp://127.0.0.1")
    assert server.asked == [] and not cache.exists()


@pytest.mark.parametrize("place", ["address", "copies", "mirror"])
def test_a_changed_file_is_not_kept(made_up, server, cache, tmp_path, monkeypatch, place):
    changed = "step,loss,lr\n1,3.0,0.1\n2,2.6,0.1\n"
    copies = made_up.copy_to(tmp_path / "copies")
    (copies / "made_up" / "logs" / "large.csv").write_text(changed)
    (server.folder / "v1" / "large.csv").write_text(changed)
    if place == "copies":
        monkeypatch.setenv("PREDICTDYN_DATA", str(copies))
    options = {"mirror": str(copies)} if place == "mirror" else {}
    refused("large.csv: expected sha256 ", **options)
    refused("the file was changed or damaged, and was not kept", **options)
    assert files_below(cache) == []


def test_a_damaged_cache_is_mended(made_up, server, cache):
    datasets.fetch("made_up")
    (cache / "made_up" / "logs" / "small.csv").write_text("step,loss")
    assert datasets.place(datasets.entry("made_up")) == "to download"
    datasets.fetch("made_up")
    assert server.asked == [*ASKED, "/v1/small.csv"]
    assert datasets.place(datasets.entry("made_up")) == "cached"


def test_a_stranger_in_the_cache_is_told_and_not_read(made_up, cache):
    datasets.fetch("made_up")
    (cache / "made_up" / "old.csv").write_text("step,loss\n1,1\n")
    with pytest.raises(ValueError, match=r"old\.csv: is no file of made_up; remove it from the cache"):
        datasets.load("made_up")


def test_not_found_is_told_at_once_and_what_is_whole_stays(made_up, server, cache):
    (server.folder / "v1" / "small.csv").unlink()
    refused(f"{server.address}/v1/small.csv: the server answered 404 File not found. With a copy")
    assert server.asked == ASKED, "nobody asks again for what is not there"
    assert files_below(cache) == ["made_up/logs/large.csv"]


def test_a_busy_server_is_asked_again(made_up, server, cache):
    server.faults["/v1/large.csv"] = ["busy", "broken"]
    datasets.fetch("made_up")
    assert files_below(cache) == WHOLE and server.asked.count("/v1/large.csv") == 3


def test_a_download_that_breaks_off_goes_on_where_it_stopped(made_up, server, cache):
    server.faults["/v1/small.csv"] = ["broken"] * 3
    refused("/v1/small.csv: the download broke off")
    assert files_below(cache) == ["made_up/logs/large.csv"]
    datasets.fetch("made_up")
    assert files_below(cache) == WHOLE
    assert server.asked == [*ASKED, *["/v1/small.csv"] * 3]


def test_no_network(made_up, cache):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    made_up.publish(f"{address}/{{path}}")
    refused(f"{address}/logs/large.csv: cannot be reached (Connection refused). With a copy of the files, set")
    assert files_below(cache) == []


def test_no_answer(made_up, cache, monkeypatch):
    monkeypatch.setattr(fetching, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        made_up.publish(f"http://127.0.0.1:{mute.getsockname()[1]}/{{path}}")
        refused("logs/large.csv: no answer within 0.1 s")
    assert files_below(cache) == []


def test_a_full_disk(made_up, cache, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetching, "_taken", full)
    refused("cannot be written (No space left on device)", mirror=str(made_up.copy_to(tmp_path / "copies")))
    assert files_below(cache) == []


def test_a_cache_that_cannot_be_made(made_up, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PREDICTDYN_CACHE", str(tmp_path / "file" / "cache"))
    refused("cannot be written (Not a directory); PREDICTDYN_CACHE chooses another folder")


def test_interrupted_by_the_user(made_up, cache, tmp_path, monkeypatch):
    def stopped(chunks, copy, *_):
        copy.write(next(chunks)[:5])
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "_taken", stopped)
    with pytest.raises(KeyboardInterrupt):
        datasets.fetch("made_up", mirror=str(made_up.copy_to(tmp_path / "copies")))
    assert files_below(cache) == []


@pytest.mark.parametrize("place", ["address", "copies", "mirror"])
def test_no_more_is_taken_than_the_table_says(made_up, server, cache, tmp_path, monkeypatch, place):
    copies = made_up.copy_to(tmp_path / "copies")
    with (copies / "made_up" / "logs" / "large.csv").open("ab") as file:
        file.truncate(1 << 40)  # a terabyte that takes no room on the disk
    server.faults["/v1/large.csv"] = ["endless"]
    if place == "copies":
        monkeypatch.setenv("PREDICTDYN_DATA", str(copies))
    written = []
    real = fetching._taken

    def watched(chunks, copy, source, file):
        try:
            real(chunks, copy, source, file)
        finally:
            written.append(copy.tell())

    monkeypatch.setattr(fetching, "_taken", watched)
    options = {"mirror": str(copies)} if place == "mirror" else {}
    size = datasets.entry("made_up").files[0].bytes
    refused(f"large.csv: is longer than the {size} bytes that the table of logs/large.csv says", **options)
    assert files_below(cache) == [] and max(written) <= size


def test_two_processes_at_once(made_up, server, cache):
    code = (
        "from pathlib import Path; from predictdyn import datasets; from predictdyn.datasets import table; "
        f"table._root = lambda: Path({str(made_up.root)!r}); print(len(datasets.load('made_up').points))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0].strip() for process in both] == ["8", "8"]
    assert files_below(cache) == WHOLE


def test_the_users_cache_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("PREDICTDYN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert datasets.cache().name == "predictdyn"
