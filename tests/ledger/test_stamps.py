"""A time stamp is asked of the client of OpenTimestamps, where there is one."""

import pytest

from predictdyn.ledger.stamps import stamp


def test_without_the_client_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"pip install predictdyn\[timestamps\]"):
        stamp("ab" * 32, tmp_path / "head.txt")
    assert not (tmp_path / "head.txt").exists()


def test_the_client_is_given_the_head_and_its_refusal_is_told(tmp_path, monkeypatch):
    client = tmp_path / "ots"
    client.write_text('#!/bin/sh\ntest "$1" = stamp && cp "$2" "$2.ots"\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    made = stamp("ab" * 32, tmp_path / "head.txt")
    assert made.name == "head.txt.ots" and made.read_text() == "ab" * 32 + "\n"
    client.write_text("#!/bin/sh\necho 'no calendar answered' >&2\nexit 1\n")
    with pytest.raises(ValueError, match="ots gave no stamp: no calendar answered"):
        stamp("cd" * 32, tmp_path / "head.txt")
