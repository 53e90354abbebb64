"""Files as bytes: what is damaged, packed too well, or no file at all is one line, at once."""

from __future__ import annotations

import gzip
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from predictdyn.loaders.files import contents
from predictdyn.loaders.files.contents import open_binary, read_bytes, read_text, split_lines
from predictdyn.loaders.files.folders import SPECIAL, UNREADABLE, files_named, first_line, is_file, walk
from predictdyn.loaders.files.sqlite import is_sqlite, stores
from predictdyn.loaders.files.tables import header, read_table

TABLE = b"step,loss\n1,2.5\n2,2.25\n"
READERS: list[Callable[[Path], object]] = [read_bytes, read_text, read_table, lambda path: open_binary(path).read()]


def refusal(reader: Callable[[Path], object], path: Path) -> str:
    began = time.perf_counter()
    with pytest.raises(ValueError) as caught:
        reader(path)
    assert type(caught.value) is ValueError
    assert time.perf_counter() - began < 10
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 500
    return message


def bad_crc(packed: bytes) -> bytes:
    return packed[:-8] + bytes(4) + packed[-4:]


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (gzip.compress(TABLE * 500, mtime=0)[:-12], "truncated"),
        (bad_crc(gzip.compress(TABLE, mtime=0)), "CRC"),
        (
            gzip.compress(TABLE * 500, mtime=0)[:20] + b"\xff" * 20 + gzip.compress(TABLE * 500, mtime=0)[40:],
            "damaged gzip",
        ),
        (TABLE, "not packed by gzip"),
        (gzip.compress(TABLE, mtime=0) + b"step,loss", "something else behind"),
        (gzip.compress(TABLE, mtime=0)[:5], "truncated"),
    ],
)
@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_packed_file_is_one_line(
    tmp_path: Path, packed: bytes, words: str, reader: Callable[[Path], object]
) -> None:
    (tmp_path / "a.csv.gz").write_bytes(packed)
    assert words in refusal(reader, tmp_path / "a.csv.gz")


def test_packed_parts_one_after_the_other_are_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(
        gzip.compress(TABLE[:10], mtime=0) + gzip.compress(TABLE[10:], mtime=0) + bytes(100)
    )
    assert read_bytes(tmp_path / "a.csv.gz") == TABLE  # zeros behind it are what tapes add


def test_a_packed_file_without_the_ending_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(gzip.compress(TABLE, mtime=0))
    assert "does not end in .gz" in refusal(read_table, tmp_path / "a.csv")


@pytest.mark.parametrize("reader", READERS)
def test_a_bomb_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Callable[[Path], object]
) -> None:
    monkeypatch.setattr(contents, "LARGEST", 4 << 20)
    with gzip.open(tmp_path / "bomb.csv.gz", "wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    size = (tmp_path / "bomb.csv.gz").stat().st_size
    assert contents.RATIO * size < 64 << 20
    message = refusal(reader, tmp_path / "bomb.csv.gz")
    assert f"{contents.RATIO * size >> 20} MiB" in message and f"{size:,} bytes" in message and "unpack it" in message


def test_what_packs_as_logs_do_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "LARGEST", 1000)
    rows = "".join(f"{step},{1 / (step + 1)!r},0.001\n" for step in range(5000))
    with gzip.open(tmp_path / "log.csv.gz", "wt") as file:
        file.write(f"step,loss,lr\n{rows}")
    assert len(read_table(tmp_path / "log.csv.gz").cells) == 5000


def special(folder: Path) -> dict[str, Path]:
    """A pipe, a device and a socket, by the word for each."""
    os.mkfifo(folder / "pipe.csv")
    server = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(folder)  # the path of a socket may only be short
    try:
        server.bind("socket.csv")
    finally:
        os.chdir(here)
        server.close()
    return {"pipe": folder / "pipe.csv", "socket": folder / "socket.csv", "device": Path("/dev/zero")}


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
@pytest.mark.parametrize("reader", [*READERS, header])
def test_what_is_no_file_is_never_opened(tmp_path: Path, kind: str, reader: Callable[[Path], object]) -> None:
    path = special(tmp_path)[kind]
    message = refusal(reader, path)
    assert kind in message and "not opened" in message
    assert first_line(path) == b"" and not is_file(path) and not is_sqlite(path)


def test_a_parquet_name_on_a_pipe_is_not_opened_either(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.parquet")
    for reader in (read_table, header):
        assert "named pipe" in refusal(reader, tmp_path / "a.parquet")


def test_a_folder_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    assert "is a folder" in refusal(read_table, tmp_path / "x.csv")
    assert "no such file" in refusal(read_table, tmp_path / "y.csv")
    assert "no such file" in refusal(read_table, tmp_path / "y.csv" / "z.csv")
    assert "too long" in refusal(read_table, tmp_path / ("n" * 300 + ".csv"))
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    assert "symbolic links" in refusal(read_table, tmp_path / "loop.csv")


def test_a_folder_is_walked_past_what_is_no_log(tmp_path: Path) -> None:
    special(tmp_path)
    (tmp_path / "dir.csv").mkdir()
    (tmp_path / "dir.csv" / "good.csv").write_bytes(TABLE)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "no.csv").write_bytes(TABLE)
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.csv").symlink_to("self.csv")
    (tmp_path / "link.csv").symlink_to(tmp_path / "dir.csv" / "good.csv")
    found = walk(tmp_path)
    assert found.files == [tmp_path / "dir.csv" / "good.csv", tmp_path / "link.csv"]
    assert found.passed[SPECIAL] == [tmp_path / "pipe.csv", tmp_path / "socket.csv"]
    assert files_named(tmp_path, lambda name: name.startswith("good")) == [tmp_path / "dir.csv" / "good.csv"]
    assert stores(tmp_path, ("t",), lambda file: [file]).runs == []


def test_a_folder_that_nobody_may_read_is_passed_over_and_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("lost+found", "run"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "log.csv").write_bytes(TABLE)
    real = os.scandir

    def scandir(path: str) -> object:  # root may read everything
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = walk(tmp_path)
    assert found.files == [tmp_path / "run" / "log.csv"]
    assert found.passed == {UNREADABLE: [tmp_path / "lost+found"]}


def test_an_unreadable_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_bytes(TABLE)

    def no(*_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", no)
    assert "Permission denied" in refusal(read_table, tmp_path / "a.csv")


def test_lines_end_in_any_of_three_ways() -> None:
    assert split_lines(b"a\nb\r\nc\rd\n") == [b"a", b"b", b"c", b"d", b""]
    assert split_lines(b"a\rb\r") == [b"a", b"b", b""]
    assert split_lines(b"a\r\nb\r") == [b"a", b"b"]  # half of \r\n
    assert split_lines(b"\x0ba\x1cb\x85c") == [b"\x0ba\x1cb\x85c"]
    assert split_lines(b"") == [b""]
