"""Secrets that people leave in addresses, settings and commands: found by the words of names, hidden at borders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# Imported by the command line before it knows what to do: nothing heavy here.

HIDDEN = "***"
PARTS = 2  # of an absolute path that are shown
MOST = 8  # names that a line tells

# Whoever writes these means a secret, wherever in a name they stand.
CLEAR = {
    *("secret", "secrets", "password", "passwords", "passwd", "pwd", "passphrase", "passcode", "credential"),
    *("credentials", "apikey", "apikeys", "apitoken", "authtoken", "accesstoken", "accesskey", "secretkey"),
    *("mykey", "userkey", "dbkey", "appkey", "serverkey", "masterkey", "rootkey", "oauth"),
    *("privatekey", "authorization", "authorisation", "bearer", "cookie", "cookies", "webhook", "jwt", "netrc"),
}
CLEAR_ENDS = ("password", "passwd", "secret", "apikey", "authtoken", "accesstoken", "accesskey", "secretkey")
CLEAR_PAIRS = {
    *(("api", word) for word in ("key", "keys", "token", "tokens")),
    *((first, word) for first in ("access", "auth", "private", "refresh", "session") for word in ("key", "token")),
    *((first, "key") for first in ("ssh", "encryption", "signing", "account", "storage")),
    *(
        ("connection", "string"),
        ("conn", "str"),
        ("sas", "token"),
        ("modal", "token"),
        ("hub", "token"),
        ("hf", "token"),
    ),
}
# These mean a secret where they end a name, but for what machine learning calls a key or a token.
LAST = {"key", "token", "auth", "sig", "signature", "dsn"}
HARMLESS = {
    *("sort", "primary", "foreign", "join", "group", "metric", "label", "text", "image", "input", "output", "target"),
    *("feature", "query", "data", "batch", "cache", "rng", "prng", "random", "dict", "state", "monitor", "column"),
    *("eos", "bos", "pad", "padding", "unk", "mask", "cls", "sep", "per", "next", "begin", "end", "start", "stop"),
    *("special", "first", "last", "class", "register", "image", "prompt", "separator", "audio", "video", "decoder"),
    *("chat", "newline", "trigger", "placeholder", "instance", "no", "num", "attention", "prefix", "id", "hot"),
}
EMPTY = {"", "value", "...", "none", "null", "nan", "true", "false", "yes", "no", HIDDEN}

WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
# scheme://user:password@host; a Path has lost one slash of two. Keys of object stores hold slashes: the second form.
USER = re.compile(
    r"""(?P<scheme>(?<![A-Za-z0-9+.\-])[A-Za-z][A-Za-z0-9+.\-]*:/{1,3})
    (?:[^/\s"'<>?#]{0,300}@|[^/\s:@"'<>]+:(?!\d+(?:[/?#\s]|$))[^\s@"'<>]{1,300}@)""",
    re.VERBOSE,
)
NAMED = re.compile(
    r"""(?<![\w.\-])(?P<dash>-{0,2})(?P<name>[A-Za-z][\w.\-]{0,99})
    (?P<between>["']?\s*=\s*["']?|["']\s*:\s*["']?|:\s+["']?|\s+(?=\S))""",
    re.VERBOSE,
)
VALUE = re.compile(r"""(?:(?:Bearer|Basic|Token)\s+)?[^\s"',;&{}\[\]()]+""")
QUOTED = {quote: re.compile(rf"[^{quote}]+") for quote in "\"'"}
HEADER = re.compile(r"\b(?P<kind>Bearer|Basic)\s+(?P<value>[A-Za-z0-9+/=_.~\-]{12,})")
# Forms that their makers chose so that they can be told from anything else.
MARKED = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_\-]{20,}|gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w\-]{20,}"
    r"|xox[abeprs]-[A-Za-z0-9\-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w\-]{35}|eyJ[\w\-]{8,}\.eyJ[\w\-]{8,}\.[\w\-]+)"
)
# Without one of these, text holds nothing of the above: most settings are words and numbers.
PERHAPS = re.compile(r"[=:]|--|earer|asic|hf_|sk-|gh[oprsu]_|github_pat_|glpat-|xox|AKIA|AIza|eyJ")
# An absolute path of more than PARTS parts, not the path of an address and not the middle of a relative one.
LONG = re.compile(r"""(?<![\w.~/:\\\-…*)])(?:[A-Za-z]:)?[/\\](?:[^/\\\s"'<>,;:()]+[/\\]+){2,}[^/\\\s"'<>,;:()]+""")


def is_secret(name: str, value: object) -> bool:
    """Whether the value that goes by a name is a secret: the name says so, in words, and the value could be one.

    A plain number is one only under a clear name (``password``), and nothing at all is none.

    >>> [is_secret(name, "x7f") for name in ("wandb.api_key", "hfToken", "db_password", "AWS_SECRET_ACCESS_KEY")]
    [True, True, True, True]
    >>> [is_secret(name, "x7f") for name in ("tokenizer", "max_tokens", "monkey", "author", "eos_token", "key_layers")]
    [False, False, False, False, False, False]
    >>> is_secret("token", 512), is_secret("password", 512)
    (False, True)
    """
    text = str(value).strip()
    if text.lower() in EMPTY - {HIDDEN} or isinstance(value, Mapping | list | tuple):
        return False
    words = [word.lower() for word in WORD.findall(name)]
    if not words:
        return False
    last = words[-1] if not words[-1].isdigit() or len(words) == 1 else words[-2]
    pairs = set(pairwise(words))
    if _number(text):
        return last in CLEAR or last.endswith(CLEAR_ENDS) or tuple(words[-2:]) in CLEAR_PAIRS
    if CLEAR & set(words) or pairs & CLEAR_PAIRS or any(word.endswith(CLEAR_ENDS) for word in words) or "auth" in words:
        return True
    ends = last in LAST or (last.endswith("token") and len(last) > len("token"))
    return ends and not HARMLESS & set(words[:-1])


def hidden(text: str) -> str:
    """Text without what it holds of secrets: user and password in addresses, values behind telling names, tokens.

    >>> hidden("s3://key:se/cret@bucket/runs and https://host:80/a?token=abc&step=5")
    's3://***@bucket/runs and https://host:80/a?token=***&step=5'
    >>> hidden('{"api_key": "abc", "tokens": "many"} key: loss')
    '{"api_key": "***", "tokens": "many"} key: loss'
    """
    if not PERHAPS.search(text):
        return text
    text = USER.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = HEADER.sub(rf"\g<kind> {HIDDEN}", text)
    text = _assigned(text)
    return MARKED.sub(HIDDEN, text)


def without(data: Any) -> Any:
    """Settings as JSON has them (mappings and lists in each other), their secrets replaced by `HIDDEN`.

    >>> without({"lr": 0.1, "hub_token": "abc", "run": ["--password", "abc"], "login": {"credentials": {"id": "me"}}})
    {'lr': 0.1, 'hub_token': '***', 'run': ['--password', '***'], 'login': {'credentials': {'id': '***'}}}
    """
    if isinstance(data, Mapping):
        return {name: _of(str(name), value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        said = [without(value) for value in data]
        for i, word in enumerate(data[:-1]):
            if isinstance(word, str) and re.fullmatch(r"--?[A-Za-z][\w.\-]*", word) and isinstance(data[i + 1], str):
                said[i + 1] = HIDDEN if is_secret(word, data[i + 1]) else said[i + 1]
        return said
    return hidden(data) if isinstance(data, str) else data


def _of(name: str, value: Any) -> Any:
    if is_secret(name, value):
        return HIDDEN
    if CLEAR & {word.lower() for word in WORD.findall(name)} and isinstance(value, Mapping | list | tuple):
        return _all(value)
    return without(value)


def _all(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {name: _all(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_all(value) for value in data]
    return HIDDEN if isinstance(data, str) and data.strip().lower() not in EMPTY else data


def shortened(text: str) -> str:
    """Text whose absolute paths show their last two parts alone: the others tell of a machine and of who uses it.

    >>> shortened("read /home/me/work/runs/log.csv and data/a/b/c.csv")
    'read …/runs/log.csv and data/a/b/c.csv'
    """
    return LONG.sub(lambda found: _last(found[0]), text)


def shown(data: Any) -> Any:
    """Settings or text as pages show them: `without` secrets, and with `shortened` paths.

    >>> shown({"model": "/home/me/models/one", "address": "https://me:pw@host"})
    {'model': '…/models/one', 'address': 'https://***@host'}
    """
    return _short(without(data))


def _short(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {name: _short(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_short(value) for value in data]
    return shortened(data) if isinstance(data, str) else data


def public(runs: pd.DataFrame | None, events: pd.DataFrame | None) -> tuple[Any, Any, list[str]]:
    """Tables of runs and of events as others may see them, and a line on what was left out or hidden.

    A column whose name says that it holds a secret is dropped if it does; text of all other columns is `hidden`.
    """
    dropped: list[str] = []
    changed: list[str] = []
    if runs is not None:
        for name in [name for name in runs.columns if name != "run" and _is_text(runs[name])]:
            if any(is_secret(str(name), value) for value in runs[name].dropna()):
                dropped.append(str(name))
        # Numbers are secrets under clear names alone.
        numbers = [name for name in runs.columns if not _is_text(runs[name]) and is_secret(str(name), 1)]
        dropped += [str(name) for name in numbers if runs[name].notna().any()]
        runs = runs.drop(columns=[name for name in runs.columns if str(name) in dropped]) if dropped else runs
        for name in [name for name in runs.columns if name != "run" and _is_text(runs[name])]:
            new = _hidden_cells(runs[name])
            if new is not None:
                runs, changed = runs.assign(**{str(name): new}), [*changed, str(name)]
    if events is not None and "what" in events and (new := _hidden_cells(events["what"])) is not None:
        events, changed = events.assign(what=new), [*changed, "events"]
    lines = []
    if dropped:
        lines.append(
            f"{len(dropped)} setting(s) of runs look like secrets and were left out, here and in all that is written: "
            f"{', '.join(dropped[:MOST])}; if one is no secret, rename its column"
        )
    if changed:
        lines.append(
            f"secrets in the text of {len(changed)} column(s) were replaced by {HIDDEN}, here and in all that is "
            f"written: {', '.join(changed[:MOST])}"
        )
    return runs, events, lines


def _is_text(column: pd.Series) -> bool:
    return column.dtype.kind not in "biufcmM"


def _hidden_cells(column: pd.Series) -> pd.Series | None:
    """A column of text without secrets; None where it held none."""
    cells = {cell for cell in column if isinstance(cell, str)}
    new = {cell: kept for cell in cells if (kept := hidden(cell)) != cell}
    return column.map(lambda cell: new.get(cell, cell) if isinstance(cell, str) else cell) if new else None


def path_shown(path: Path | str) -> str:
    """A whole path, blanks and all, as pages show it.

    >>> path_shown("/home/me/my runs/log.csv"), path_shown("runs/a/b/log.csv")
    ('…/my runs/log.csv', 'runs/a/b/log.csv')
    """
    text = hidden(str(path))
    return _last(text) if re.match(r"(?:[A-Za-z]:)?[/\\]", text) else shortened(text)


def _last(path: str) -> str:
    parts = [part for part in re.split(r"[/\\]+", path) if part]
    return path if len(parts) <= PARTS else "…/" + "/".join(parts[-PARTS:])


def _assigned(text: str) -> str:
    """Values behind names: name=value anywhere, "name": value in JSON, and name: value or --name value where clear."""
    out, place = [], 0
    while found := NAMED.search(text, place):
        name, between = found["name"], found["between"]
        value = QUOTED.get(between[-1], VALUE).match(text, found.end()) if is_secret(name, "?") else None
        spoken = "=" not in between and between[0] not in "\"'"
        clear = not spoken or found["dash"] or (":" in between and not _everyday(name))
        if value is not None and clear and is_secret(name, value[0]):
            out.append(f"{text[place : found.end()]}{HIDDEN}")
            place = value.end()
        else:
            # What follows may be a name in turn.
            out.append(text[place : found.end("name")])
            place = found.end("name")
    return "".join([*out, text[place:]])


def _everyday(name: str) -> bool:
    """Whether a name is one word that sentences use as well: ``key: 'loss'`` in a message is no secret."""
    return name.strip("-").lower() in LAST | {"secret", "cookie", "bearer", "credentials"}


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
