"""The bytes of a file: only of what is a file, unpacked up to a limit, each fault one line.

A packed file (.gz) may unpack to `LARGEST` bytes, or to `RATIO` times its own size where that is more. Logs pack 5 to
50 times. Zeros pack 1,000 times: 3 MB of them unpack to 3 GB, which nobody meant to load.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from pathlib import Path
from typing import BinaryIO, cast

LARGEST = 256 << 20
RATIO = 100
CHUNK = 1 << 20
GZIP = b"\x1f\x8b\x08"  # how a file begins that gzip packed
# Opening these may wait for ever, or act on a machine.
SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def size_of(path: Path) -> int:
    """The bytes of a file; ValueError, one line, where there is none or it is no plain file. Nothing is opened."""
    try:
        about = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None
    if stat.S_ISDIR(about.st_mode):
        raise ValueError(f"{path}: is a folder, expected a file")
    if (kind := SPECIAL.get(stat.S_IFMT(about.st_mode))) is not None:
        raise ValueError(f"{path}: is {kind}, not a file, and was not opened; copy what it gives into a file")
    return about.st_size


def limit_of(size: int) -> int:
    """The bytes to which a packed file of a size may unpack.

    >>> limit_of(1000) == LARGEST, limit_of(LARGEST) == RATIO * LARGEST
    (True, True)
    """
    return max(LARGEST, RATIO * size)


def refuse_bomb(path: Path, unpacked: int, packed: int) -> None:
    """ValueError where a file unpacks to more than its limit."""
    if unpacked > limit_of(packed):
        raise ValueError(
            f"{path}: unpacks to more than {limit_of(packed) >> 20:,} MiB, the limit for a packed file of "
            f"{packed:,} bytes; if that is meant, unpack it and load the unpacked file"
        )


def open_binary(path: Path) -> BinaryIO:
    """Open a file to read bytes, unpacked where its name ends in .gz.

    ValueError, one line, where that is no file; when reading, where it is damaged or unpacks beyond its limit.
    """
    size = size_of(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None
    return cast(BinaryIO, io.BufferedReader(_Bytes(path, file, size), CHUNK >> 4))


def read_bytes(path: Path) -> bytes:
    """All bytes of a file, unpacked where its name ends in .gz; ValueError, one line, where that cannot be done."""
    with open_binary(path) as file:
        return file.read()


def read_text(path: Path) -> str:
    """All text of a UTF-8 file; ValueError, one line, where it is not one."""
    raw = read_bytes(path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(raw[: error.start + 1].splitlines())
        raise ValueError(f"{path}, line {line}: not UTF-8 text (byte 0x{raw[error.start]:02x})") from None


def split_lines(raw: bytes) -> list[bytes]:
    r"""Lines without their ends (\n, \r\n, or \r alone), and last what has no end yet.

    >>> split_lines(b"a\r\nb\rc\nd"), split_lines(b"a\n")
    ([b'a', b'b', b'c', b'd'], [b'a', b''])
    """
    lines = raw.splitlines()
    # Where lines end in \n (or the first has no end yet), a last \r is half of \r\n: the line was being written.
    ended = raw.endswith(b"\n") or (raw.endswith(b"\r") and b"\n" not in raw and raw.count(b"\r") > 1)
    return [*lines, b""] if ended or not lines else lines


class _Bytes(io.RawIOBase):
    """A file as bytes, unpacked where its name ends in .gz, whose faults are ValueErrors."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path, self.file, self.size, self.done = path, file, size, 0
        self.packed = path.suffix.lower() == ".gz"
        if self.packed:
            self.content = cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb"))
        else:
            self.content = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunk = self._read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def readall(self) -> bytes:
        if not self.packed:
            return self._read(-1)
        return b"".join(iter(lambda: self._read(CHUNK), b""))

    def close(self) -> None:
        if not self.closed:
            self.content.close()
            self.file.close()
        super().close()

    def _read(self, most: int) -> bytes:
        try:
            chunk = self.content.read(most)
        except EOFError:
            raise ValueError(f"{self.path}: cannot be read, the packed file is truncated") from None
        except (OSError, zlib.error) as error:
            raise ValueError(f"{self.path}: cannot be read ({self._fault(error)})") from None
        if not self.packed and not self.done and chunk.startswith(GZIP):
            raise ValueError(f"{self.path}: is packed by gzip, though its name does not end in .gz; rename it")
        self.done += len(chunk)
        if self.packed:
            refuse_bomb(self.path, self.done, self.size)
        return chunk

    def _fault(self, error: Exception) -> str:
        if isinstance(error, OSError) and error.errno is not None:
            return error.strerror or os.strerror(error.errno)
        if isinstance(error, gzip.BadGzipFile) and "Not a gzipped file" in str(error):
            self.file.seek(0)
            begun = self.file.read(len(GZIP)) == GZIP
            return "something else behind the packed content" if begun else "not packed by gzip, as its name says"
        return f"damaged gzip: {' '.join(str(error).split())}"


def written(name: str) -> str:
    """A name that can be written and printed: halves of characters, as damaged text and names of files have, are ?.

    >>> written("caf\\udce9"), written("café")
    ('caf?', 'café')
    """
    return name if name.isascii() else name.encode("utf-8", errors="replace").decode("utf-8")
