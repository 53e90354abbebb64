"""What must not leave is replaced, whatever form it has; what may be read stays as it is."""

import pytest

from predictdyn.publishing.texts import redacted
from predictdyn.redaction import Redaction, summary

RULES = Redaction(own=("ada", "gpu7"))


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("read /home/ada/x.csv and data/a/b.csv", "read [path] and data/a/b.csv"),
        (r"C:\Users\ada\x.csv", "[path]"),
        (r"\\server\share\x", "[path]"),
        ("see C:\\Program Files\\my stuff\\x now", "see [path] now"),
        ("from C:\\a b\\x to D:\\c d\\y", "from [path] to [path]"),
        ("next=%2Fhome%2Fme%2Fruns", "next=[path]"),
        ("bob@10.0.0.7", "[user]"),
        ("bob@1node.corp", "[user]"),
        ("~/runs/x, ~bob/runs/y", "[path], [path]"),
        ("open '/home/me/my runs/x.csv' now", "open '[path]' now"),
        ("PATH=/usr/bin:/home/x/y", "PATH=[path]:[path]"),
        ("see ../../secret/x", "see [path]"),
        ("s3://bucket/x", "[address]"),
        ("https://wandb.example.net/team", "[address]"),
        ("postgresql://ada:pw@db/x", "[address]"),
        ("ssh bob@node1:/data/x", "ssh [user]"),
        ("mail bob@corp.com", "mail [user]"),
        ("on 10.0.0.7:8080", "on [host]"),
        ("on fe80::1ff:fe23:4567:890a", "on [host]"),
        ("node17.cluster.internal", "[host]"),
        ("localhost:6006", "[host]"),
        ("run-hf_abcdefghijklmnopqrstuvwxyz0123-s1", "run-***-s1"),
        ("--api-key=abc --lr 0.1", "--api-key=*** --lr 0.1"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "***"),
        ("Ada's run on gpu7", "[user]'s run on [user]"),
    ],
)  # fmt: skip
def test_what_is_replaced(text, safe):
    found = []
    assert RULES.text(text, "a page", found) == safe
    assert found and all(one.where == "a page" for one in found)
    assert RULES.text(safe) == safe  # a second look finds nothing


@pytest.mark.parametrize(
    "text",
    [
        "loss/train and val/acc", "3/4 of the runs, and/or", "2026-11-28T12:30:45Z", "12:30:45", "acc > 0.9",
        "numpy 2.4.6", "https://schema.org/x and https://doi.org/10.1/x", "cnn-w16-d2-r017-s3", "max_tokens=512",
        "tokenizer: gpt2", "a ratio 1:2:3", "adagrad and Adam", "/tmp", "…and so on",
        "pass@1", "val/recall@k", "mAP@0.5:0.95", "acc@5, ndcg@10.", "std::a::b", "A / N^0.34",
    ],
)  # fmt: skip
def test_what_stays(text):
    found = []
    assert RULES.text(text, "", found) == text and not found


def test_data_by_the_names_of_settings():
    data = {
        "lr": 0.1,
        "api_key": "q",
        "username": "q",
        "password": 5,
        "tokens": 5,
        "cmd": ["--password", "x"],
        "host": "a",
    }
    assert RULES.data(data) == {
        "lr": 0.1, "api_key": "***", "username": "***", "password": "***", "tokens": 5, "cmd": ["--password", "***"],
        "host": "***",
    }  # fmt: skip
    assert RULES.data({"folder": "/home/me/my runs"}) == {"folder": "[path]"}


def test_own_patterns_and_aliases():
    rules = Redaction(("Falcon-?[0-9]+",), (("big-run", "run-1"), ("big-run-2", "run-2")), own=())
    assert rules.text("Falcon7 and Falcon-12: big-run-2, big-run, bigger-run") == (
        "[redacted] and [redacted]: run-2, run-1, bigger-run"
    )
    for wrong in ("(", "x*"):
        with pytest.raises(ValueError, match="redact= takes regular expressions"):
            Redaction((wrong,))


def test_what_is_shown_does_not_show_what_was_hidden():
    found = []
    RULES.text("mirror hf_abcdefghijklmnopqrstuvwxyz0123 to /home/ada/x", "report.md", found)
    (secrets, paths) = summary(found)
    assert secrets == "1 secret: report.md: mirror *** to [path]" and paths.startswith("1 path: ")


def test_escapes_hide_nothing():
    page = (
        '<p title="a&#47;home&#47;ada&#47;x">token=abc&amp;b=1 &quot;api_key&quot;: &quot;xyz&quot;</p>'
        '<a href="../index.html">up</a><a download href="data:text/csv;charset=utf-8,run%0A%2Fhome%2Fada%2Fm%0A">t</a>'
        '<path d="M0 0/1/2"/><style>a{b:url(/x/y)}</style>'
        '<script type="application/ld+json">{"name": "/home/ada/x"}</script>'
    )
    found = []
    new = redacted("index.html", page, RULES, found)
    assert "ada" not in new and "abc" not in new and "xyz" not in new and "%2Fhome" not in new
    assert 'href="../index.html"' in new and "url(/x/y)" in new and 'd="M0 0/1/2"' in new
    assert "%5Bpath%5D" in new and '{"name": "[path]"}' in new
    assert redacted("index.html", new, RULES, []) == new


def test_markdown_is_read_without_its_escapes():
    page = "| run | note |\n| a | wandb\\_api\\_key=abc |\n\nsee \\\\\\\\server\\\\share\\\\x *now*"
    new = redacted("report.md", page, RULES, [])
    assert new == "| run | note |\n| a | wandb\\_api\\_key=\\*\\*\\* |\n\nsee \\[path\\] \\*now\\*"
    assert redacted("report.md", new, RULES, []) == new and redacted("a.md", "a *b* \\_c", RULES, []) == "a *b* \\_c"


def test_tables_and_json():
    table = 'run,api_key,note\na,k1,"see /home/ada/x, or not"\nb,k2,fine\n'
    assert redacted("runs.csv", table, RULES, []) == 'run,api_key,note\na,***,"see [path], or not"\nb,***,fine\n'
    assert redacted("a.json", '{"x": "/home/ada/x"}', RULES, []) == '{\n "x": "[path]"\n}\n'
    assert redacted("a.json", '{"x":   1}', RULES, []) == '{"x":   1}'


def test_keys_that_become_the_same_keep_their_values():
    assert RULES.data({"/home/me/a": 0.1, "/home/me/b": 0.2}) == {"[path]": 0.1, "[path] 2": 0.2}


def test_lists_of_secrets():
    assert RULES.data({"api_keys": ["q7", "r8"], "layers": ["a"], "max_tokens": [1, 2]}) == {
        "api_keys": ["***", "***"], "layers": ["a"], "max_tokens": [1, 2],
    }  # fmt: skip
