"""Ways in which files are damaged: each takes bytes and a generator of random numbers, and gives other bytes."""

from __future__ import annotations

import gzip
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[bytes, random.Random], bytes]
NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
NUMBERS = (
    b"NaN", b"nan", b"Infinity", b"-inf", b"1e999", b"-1e999", b"1e308", b"-5", b"-0.0", b"0", b"5e-324", b"1e-400",
    b"9" * 400, b"-" + b"1" * 400, b"0." + b"3" * 400, b"9223372036854775808", b"18446744073709551616", b"2147483648",
    b"1e18", b"1_000", b"1,5", b"1,234.5", b"0x1F", b"1e", b"1.2.3", b"--3", b"+4", b"12%", b"3k", b"2 000", b"1/2",
    b"\xd9\xa3", b"\xef\xbc\x95", b"\xc2\xb2", b"null", b"true", b'"7"', b"", b"1e5", b"1E+05", b"1d5", b"007",
    b".5", b"5.",
)  # fmt: skip
MARKS = (rb"\u0000", rb"\ud800", rb"\n",
         b"\r", b"\n", b"\r\n", b"\0", b'"', b"'", b",", b";", b"\t", b"{", b"}", b"[", b"]", b":", b"/", b"#", b"|",
         b"\x1b[31m", b"\xe2\x80\xa8", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xff", b"\xef\xbb\xbf", b"\\", b"%",
         b"=")  # fmt: skip


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def set_bytes(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3))):
        changed[rng.randrange(len(changed))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(changed)


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def cut_front(data: bytes, rng: random.Random) -> bytes:
    return data[rng.randrange(len(data)) :]


def insert_bytes(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 7, 64))) + data[at:]


def insert_mark(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(MARKS) * rng.choice((1, 1, 2, 40)) + data[at:]


def delete_block(data: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(data)), rng.choice((1, 2, 5, 40, 300))
    return data[:at] + data[at + size :]


def double_block(data: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(data)), rng.choice((1, 8, 64, 512))
    return data[: at + size] + data[at : at + size] * rng.choice((1, 1, 3)) + data[at + size :]


def zero_block(data: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(data)), rng.choice((1, 8, 64, 512))
    return data[:at] + bytes(len(data[at : at + size])) + data[at + size :]


def swap_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def delete_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def double_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    return b"".join([*lines[:at], lines[at] * rng.choice((1, 1, 5)), *lines[at:]])


def repeat_header(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    lines.insert(rng.randrange(len(lines) + 1), lines[0])
    return b"".join(lines)


def append_itself(data: bytes, rng: random.Random) -> bytes:
    return data + rng.choice((b"", b"\n")) + data[: rng.randrange(len(data) + 1)]


def edit_number(data: bytes, rng: random.Random) -> bytes:
    found = list(NUMBER.finditer(data))
    for match in sorted(rng.sample(found, min(len(found), rng.choice((1, 1, 2, 6)))), key=lambda m: -m.start()):
        data = data[: match.start()] + rng.choice(NUMBERS) + data[match.end() :]
    return data


def edit_digit(data: bytes, rng: random.Random) -> bytes:
    at = [match.start() for match in re.finditer(rb"\d", data)]
    changed = bytearray(data)
    for place in rng.sample(at, min(len(at), rng.choice((1, 1, 3)))):
        changed[place] = rng.choice(b"0123456789.-eE+ ,_")
    return bytes(changed)


def swap_words(data: bytes, rng: random.Random) -> bytes:
    words = list(re.finditer(rb"[A-Za-z_]+", data))
    if len(words) < 2:
        return data[::-1]
    one, other = sorted(rng.sample(words, 2), key=lambda match: match.start())
    parts = data[: one.start()], other[0], data[one.end() : other.start()], one[0], data[other.end() :]
    return b"".join(parts)


def other_encoding(data: bytes, rng: random.Random) -> bytes:
    text = data.decode("utf-8", "replace")
    name = rng.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp037", "utf-8-sig", "utf-7"))
    return text.encode(name, "replace")


def bare_returns(data: bytes, rng: random.Random) -> bytes:
    return data.replace(b"\n", b"\r") if rng.random() < 0.5 else data.replace(b"\n", b"\r", rng.randint(1, 4))


def mixed_line_ends(data: bytes, rng: random.Random) -> bytes:
    return b"".join(line + rng.choice((b"\n", b"\r\n", b"\r", b"\n\n")) for line in data.splitlines())


def zip_up(data: bytes, rng: random.Random) -> bytes:
    packed = gzip.compress(data, mtime=0)
    kind = rng.randrange(6)
    if kind == 0:
        return packed[: rng.randrange(len(packed))]
    if kind == 1:
        return packed + rng.randbytes(9)  # garbage behind
    if kind == 2:
        return packed[:-8] + bytes(8)  # wrong sum and length
    if kind == 3:
        return packed + gzip.compress(data[: len(data) // 2], mtime=0)  # two in one
    return flip_bits(packed, rng) if kind == 4 else packed


def deep(data: bytes, rng: random.Random) -> bytes:
    at, depth = rng.randrange(len(data) + 1), rng.choice((50, 2000, 200_000))
    opened, closed = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return data[:at] + opened * depth + b"1" + closed * depth + data[at:]


def long_cell(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((b"x", b"7", b" ", b"\n", b'"')) * 140_000 + data[at:]


def emptied(data: bytes, rng: random.Random) -> bytes:
    return rng.choice((b"", b"\n", b"\0" * 64, b" ", b"{}", b"[]", b"null", b"\xef\xbb\xbf"))


BYTES: tuple[Damage, ...] = (flip_bits, set_bytes, truncate, cut_front, insert_bytes, insert_mark, delete_block,
                             double_block, zero_block, append_itself, emptied)  # fmt: skip
TEXT: tuple[Damage, ...] = (
    *BYTES, swap_lines, delete_line, double_line, repeat_header, edit_number, edit_number, edit_number, edit_digit,
    edit_digit, swap_words, other_encoding, bare_returns, mixed_line_ends, deep, long_cell,
)  # fmt: skip


def is_text(data: bytes) -> bool:
    return b"\0" not in data[:4096] and not data.startswith((b"\x1f\x8b", b"PAR1"))


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes after one to three kinds of damage; what is zipped is mostly damaged within."""
    if data.startswith(b"\x1f\x8b") and rng.random() < 0.6:
        return gzip.compress(damaged(gzip.decompress(data), rng), mtime=0)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if data:
            data = rng.choice(TEXT if is_text(data) else BYTES)(data, rng)
    return data


def damage_folder(home: Path, rng: random.Random) -> str:
    """Damage one file below a folder, or the folder itself; returns words for what was done."""
    files = sorted(file for file in home.rglob("*") if file.is_file())
    file = rng.choice(files)
    if rng.random() < 0.08:
        return f"{_disorder(home, file, rng)} {file.relative_to(home)}"
    data = file.read_bytes()
    if rng.random() < 0.04 and file.suffix != ".gz":
        packed = file.with_name(f"{file.name}.gz")
        packed.write_bytes(zip_up(data, rng))
        file.unlink()
        return f"zipped {file.relative_to(home)}"
    file.write_bytes(damaged(data, rng))
    return f"damaged {file.relative_to(home)}"


def _disorder(home: Path, file: Path, rng: random.Random) -> str:
    """Change which files there are."""
    beside = file.with_name(f"other{file.suffix}")
    what = rng.choice(("removed", "copied", "renamed", "a pipe beside", "a loop beside", "a lost link beside",
                       "a folder of that name beside", "a folder in place of", "moved",
                       "renamed in another encoding", "damaged copy beside"))  # fmt: skip
    if what == "removed":
        file.unlink()
    elif what == "copied":
        shutil.copy(file, beside)
    elif what == "renamed":
        file.rename(
            file.with_suffix(rng.choice((".txt", ".log", ".json", ".jsonl", ".csv", ".tsv", ".parquet", ".db", "")))
        )
    elif what == "a pipe beside":
        os.mkfifo(beside)
    elif what == "a loop beside":
        beside.symlink_to(file.parent, target_is_directory=True)
    elif what == "a lost link beside":
        beside.symlink_to("nowhere")
    elif what == "a folder of that name beside":
        beside.mkdir()
    elif what == "a folder in place of":
        file.unlink()
        file.mkdir()
    elif what == "moved":
        (file.parent / "below").mkdir()
        file.rename(file.parent / "below" / file.name)
    elif what == "renamed in another encoding":
        file.rename(file.with_name(os.fsdecode(b"caf\xe9" + os.fsencode(file.suffix))))
    else:
        beside.write_bytes(damaged(file.read_bytes(), rng))
    return what
