"""Entries follow each other by hashes; every edit, deletion and reorder of them is found, also by another road."""

import hashlib
import itertools
import json
import random
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from predictdyn.ledger.chain import ChainEntry, canonical, checked_head, faults, following
from predictdyn.ledger.export import export, import_, read_export
from predictdyn.ledger.store import Store
from predictdyn.ledger.verify import verify

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST = {"key": "begin", "kind": "begin"}


def chain(n: int) -> list[ChainEntry]:
    entries: list[ChainEntry] = []
    for i in range(n):
        entries.append(following({"key": f"k{i}", "x": i / 3}, entries[-1] if entries else None, NOON + timedelta(i)))
    return entries


@pytest.fixture
def store(tmp_path):
    """Twenty entries, appended by one, two or three at a time, some longer than a page of the file."""
    rng = random.Random(0)
    store = Store(tmp_path / "a.ledger")
    for i in range(10):
        new = [{"key": f"{i}-{j}", "x": "x" * rng.randrange(9000)} for j in range(rng.randrange(1, 4))]
        store.append(lambda inside, new=new: new, FIRST)
    return store


def test_a_chain_by_another_road():
    entries = chain(4)
    before = "0" * 64
    for number, entry in enumerate(entries, start=1):
        content = json.loads(entry.text)
        assert content["previous"] == before and content["number"] == entry.number == number
        before = hashlib.sha256(entry.text.encode()).hexdigest()
        assert before == entry.hash
    assert faults(entries) == [] and faults(entries, entries[2].hash[:12]) == []


def test_every_order_and_every_gap_is_found():
    entries = chain(4)
    for n in range(1, 4):
        for some in itertools.permutations(entries, n):
            whole = list(some) == entries[:n]
            assert (faults(some) == []) == whole
            # What is cut off at the end can be seen with a head that was quoted.
            assert faults(some, entries[-1].hash)


def test_an_entry_written_anew_with_its_hash_is_found_by_the_next_and_by_a_head():
    entries = chain(3)
    text = canonical({**entries[1].content, "x": 7})
    forged = entries[1]._replace(text=text, hash=hashlib.sha256(text.encode()).hexdigest())
    assert "entry 3 does not follow" in faults([entries[0], forged, entries[2]])[0]
    last = following({"key": "k2", "x": 2 / 3}, forged, NOON + timedelta(2))
    assert faults([entries[0], forged, last]) == []
    assert "written anew" in faults([entries[0], forged, last], entries[2].hash[:8])[0]


def test_text_that_is_not_canonical_is_a_fault():
    entry = chain(1)[0]
    text = entry.text.replace(":", ": ", 1)
    assert faults([ChainEntry(1, hashlib.sha256(text.encode()).hexdigest(), text)]) == ["entry 1 is not canonical JSON"]


def test_a_clock_that_goes_back_is_said(tmp_path):
    times = iter([NOON, NOON, NOON - timedelta(hours=5)])
    store = Store(tmp_path / "a.ledger", now=lambda: next(times))
    for key in ("a", "b"):
        store.append(lambda inside, key=key: [{"key": key}], FIRST)
    contents = [entry.content for entry in store.entries()]
    assert [one["time"] for one in contents] == ["2026-03-01T12:00:00Z"] * 3
    assert [one.get("clock") for one in contents] == [None, None, "2026-03-01T07:00:00Z"]
    assert verify(store).whole


@pytest.mark.parametrize("word", ["123", "zz" * 8, ""])
def test_what_is_no_head(word):
    with pytest.raises(ValueError, match="a head is at least 8 of the 64"):
        checked_head(word)


def test_no_byte_of_the_file_changes_unseen(store, tmp_path):
    whole, seen = store.path.read_bytes(), verify(store)
    assert seen.whole and not seen.notes
    entries = list(store.entries())
    rng = random.Random(1)
    for i in range(300):
        place = rng.randrange(100 if i % 5 == 0 else len(whole))
        bad = bytearray(whole)
        bad[place] ^= rng.randrange(1, 256)
        edited = Store(tmp_path / f"e{i}.ledger")
        edited.path.write_bytes(bad)
        try:
            found = verify(edited)
        except (ValueError, OSError):
            continue
        assert found.faults or found.notes, place
        if found.whole:
            assert list(edited.entries()) == entries
        edited.path.unlink()


def test_rows_cannot_be_changed_by_hand_and_forced_edits_are_found(store):
    with sqlite3.connect(store.path) as base:
        for words in ("UPDATE entries SET hash = 'x'", "DELETE FROM entries"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                base.execute(words)
        base.execute("DROP TRIGGER no_update")
        base.execute("UPDATE entries SET entry = replace(entry, 'x', 'y') WHERE number = 5")
    base.close()
    assert verify(store).faults[0].startswith("entry 5 was edited")


@pytest.mark.parametrize("name", ["out.jsonl", "out"])
def test_export_and_import(store, tmp_path, name):
    out, again = tmp_path / name, Store(tmp_path / "b.ledger")
    assert export(store, out) == len(list(store.entries())) == import_(out, again)
    assert list(again.entries()) == list(store.entries()) == list(read_export(out))
    assert verify(again) == verify(store) and verify(Store(out)).head == verify(store).head
    # An export is written anew as the ledger grows.
    store.append(lambda inside: [{"key": "new"}], FIRST)
    assert export(store, out) == len(list(read_export(out)))
    with pytest.raises(ValueError, match="exists already"):
        import_(out, again)


@pytest.mark.parametrize("name", ["out.jsonl", "out"])
def test_an_export_overwrites_nothing_but_an_earlier_export_of_the_same_ledger(store, tmp_path, name):
    size, longer, other = len(list(store.entries())), Store(tmp_path / "longer.ledger"), Store(tmp_path / "b.ledger")
    export(store, tmp_path / f"first-{name}")
    import_(tmp_path / f"first-{name}", longer)
    longer.append(lambda inside: [{"key": "new"}], FIRST)
    other.append(lambda inside: [{"key": "another"}], FIRST)
    for one, words in ((longer, f"of {size + 1} entries, and this ledger has {size}"), (other, "of another ledger")):
        out = tmp_path / f"{len(words)}-{name}"
        export(one, out)
        kept = held(out)
        with pytest.raises(ValueError, match=words):
            export(store, out)
        assert held(out) == kept
    assert export(longer, tmp_path / f"first-{name}") == size + 1


@pytest.mark.parametrize("text", ['{"step": 1, "loss": 2.5}\n', "", '{"step": 1}', "\u00e9\n"])
def test_an_export_overwrites_no_file_of_another_kind(store, tmp_path, text):
    log = tmp_path / "train.jsonl"
    log.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"train\.jsonl.*nothing was overwritten; choose another name"):
        export(store, log)
    assert log.read_text(encoding="utf-8") == text and not list(tmp_path.glob(".*"))
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(ValueError, match=r"folder\.jsonl is a folder"):
        export(store, tmp_path / "folder.jsonl")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"file is a file"):
        export(store, tmp_path / "file")


def test_an_export_takes_no_other_files_of_a_folder_away(store, tmp_path):
    out = tmp_path / "out"
    export(store, out)
    for name in (".git", "notes"):
        (out / name).mkdir()
        with pytest.raises(ValueError, match=f"holds {name}, which no export wrote"):
            export(store, out)
        (out / name).rmdir()
    assert export(store, out)


def held(out):
    return out.read_bytes() if out.is_file() else {file.name: file.read_bytes() for file in out.iterdir()}


@pytest.mark.parametrize("name", ["out.jsonl", "out"])
def test_edits_of_exports_are_found(store, tmp_path, name):
    out = tmp_path / name
    export(store, out)
    files = [out] if out.is_file() else sorted(out.iterdir())
    rng = random.Random(2)
    for i in range(150):
        file = files[rng.randrange(len(files))]
        whole = file.read_bytes()
        bad = bytearray(whole)
        place = rng.randrange(len(bad))
        if i % 3 == 0:
            del bad[place:]
        else:
            bad[place] ^= rng.randrange(1, 256)
        file.write_bytes(bad)
        with suppress(ValueError):
            assert verify(Store(out)).faults, (file.name, place)
        file.write_bytes(whole)
    if out.is_dir():
        (out / "000004.json").unlink()
        assert verify(Store(out)).faults
    with pytest.raises(ValueError, match=r"nothing was imported|is missing|no entry|one hash"):
        files[-1].write_bytes(files[-1].read_bytes()[:-40])
        import_(out, Store(tmp_path / "c.ledger"))
    assert not (tmp_path / "c.ledger").exists()


def test_what_is_no_ledger_is_told_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="there is no ledger"):
        verify(Store(tmp_path / "none.ledger"))
    file = tmp_path / "text.ledger"
    file.write_text("no database at all, but long enough to be looked at" * 20)
    with pytest.raises(ValueError, match="is no ledger, or it is damaged"):
        verify(Store(file))
