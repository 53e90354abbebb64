"""Secrets: what is one, by the words of its name and its value; where it stands in text; what of a path is shown."""

from __future__ import annotations

import time

import pytest

from predictdyn.secrets import HIDDEN, hidden, is_secret, path_shown, shortened, without

NAMES = (
    *("api_key", "apiKey", "OPENAI_API_KEY", "wandb.key", "config/hub_token", "hfToken", "token", "key", "auth"),
    *("password", "db_passwd", "PGPASSWORD", "client_secret", "aws_secret_access_key", "aws_access_key_id"),
    *("credentials", "service.credential.json", "Authorization", "auth_header", "ssh_key", "slack_webhook", "secret"),
    *("SecretKey", "bot-token", "jwt", "sas_token", "connectionString", "api_key_2"),
)
PLAIN = (
    *("token_accuracy", "tokens", "tokenizer", "max_tokens", "num_tokens", "keypoints", "monkey", "author", "keys"),
    *("tokenizer_name", "eos_token", "pad_token", "monkey_patch", "authors", "keyboard", "turkey", "key_value_heads"),
    *("tokens_per_second", "loss_per_token", "sort_key", "metric_key", "optimizer", "learning_rate", "monitor", ""),
    *("secretary", "keyframes", "tokenwise", "rng_key", "mask_token_id", "dataset", "passes", "basic_block"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_telling_name_makes_text_a_secret(name):
    assert is_secret(name, "x7fQ") and without({name: "x7fQ"}) == {name: HIDDEN}
    assert not is_secret(name, "") and not is_secret(name, None) and not is_secret(name, "none")


@pytest.mark.parametrize("name", PLAIN)
def test_other_names_keep_their_text(name):
    assert not is_secret(name, "bert") and without({name: "bert"}) == {name: "bert"}


def test_a_plain_number_is_a_secret_under_a_clear_name_alone():
    clear = [name for name in NAMES if is_secret(name, 12345)]
    assert {"password", "api_key", "client_secret", "db_passwd", "hfToken", "secret"} <= set(clear)
    assert not {"token", "key", "auth", "wandb.key"} & set(clear)
    assert not is_secret("password_length", 8) and not is_secret("token", "1e9")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://me:pw@host/a", "https://***@host/a"),
        ("https:/me:pw@host/a", "https:/***@host/a"),
        ("https://glpat@host:80/a", "https://***@host:80/a"),
        ("https://me:p@ss@host/", "https://***@host/"),
        ("s3://AKIA:a/b+c=@bucket/runs", "s3://***@bucket/runs"),
        (
            "postgresql+psycopg://u:p@db:5432/x and sqlite:///a.db",
            "postgresql+psycopg://***@db:5432/x and sqlite:///a.db",
        ),
        ("https://host:8080/path@v2", "https://host:8080/path@v2"),
        ("https://host/q?user=me&token=abc#x", "https://host/q?user=me&token=***"),
        ("https://b.s3/x?X-Amz-Signature=0af&X-Amz-Date=1", "https://b.s3/x?X-Amz-Signature=***&X-Amz-Date=1"),
        ("--set api_key=abc --set run=name", "--set api_key=*** --set run=name"),
        ("--password abc --seed 1", "--password *** --seed 1"),
        ("{'password': 'a b', 'lr': 0.1}", "{'password': '***', 'lr': 0.1}"),
        ('{"auth": {"token": "abc"}}', '{"auth": {"token": "***"}}'),
        ("Authorization: Bearer abcdefghijklmn", "Authorization: ***"),
        ("sent Bearer abcdefghijklmnop", "sent Bearer ***"),
        ("saw hf_abcdefghijklmnopqrstuv here", "saw *** here"),
        ("key: 'loss' is missing; token 5 of 10", "key: 'loss' is missing; token 5 of 10"),
        ("step=5 tokens=abc author=me token=7", "step=5 tokens=abc author=me token=7"),
        ("mail me@example.org", "mail me@example.org"),
        ("--set takes KEY=VALUE, a == b", "--set takes KEY=VALUE, a == b"),
    ],
)
def test_text_loses_its_secrets_and_nothing_else(text, said):
    assert hidden(text) == said
    assert hidden(said) == said, "hiding twice changes nothing"


def test_settings_lose_theirs_however_deep():
    settings = {
        "model": {"name": "a", "hub": {"token": "t1"}},
        "env": [{"WANDB_API_KEY": "t2"}, "s3://k:t3@b"],
        "credentials": {"user": "t4", "parts": ["t5"], "port": 80},
        "args": ["--api-key", "t6", "--lr", "0.1"],
        "tokens": 5,
        "token": None,
    }
    said = repr(without(settings))
    assert not [i for i in range(1, 7) if f"t{i}" in said]
    assert "'port': 80" in said and "'tokens': 5" in said and "'token': None" in said and "'0.1'" in said


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/home/me/work/runs", "…/work/runs"),
        ("/tmp/x", "/tmp/x"),
        ("runs/a/b/c", "runs/a/b/c"),
        ("C:\\Users\\me\\runs", "…/me/runs"),
        ("/data/my runs/of may/log.csv", "…/of may/log.csv"),
        ("s3://k:s@bucket/a/b/c", "s3://***@bucket/a/b/c"),
    ],
)
def test_an_absolute_path_shows_its_last_two_parts(path, said):
    assert path_shown(path) == said and path_shown(said) == said


def test_paths_in_text_are_shortened_and_addresses_and_fractions_are_not():
    text = "read '/a/b/c.csv', not https://host/a/b/c nor 1/2/3, nor loss/train/a/b"
    assert shortened(text) == "read '…/b/c.csv', not https://host/a/b/c nor 1/2/3, nor loss/train/a/b"


@pytest.mark.parametrize("text", ["a" * 300_000, "a-" * 150_000, "a:/" * 100_000, "/a" * 150_000, "a=" * 100_000])
def test_long_text_takes_no_long_time(text):
    began = time.perf_counter()
    hidden(text), shortened(text)
    assert time.perf_counter() - began < 20, "a hang, not a speed"
