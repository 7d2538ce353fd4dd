from __future__ import annotations

import io
import itertools
import json
import logging
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instar.telemetry.log import configure, find_secrets, redact
from instar.telemetry.metrics import REGISTRY, Counter, Gauge, Histogram, Registry, exposition

SECRETS = {
    "my key is sk-proj-abcDEF0123456789abcd, keep it": "sk-proj-abcDEF0123456789abcd",
    "Authorization: Bearer abc.def-123": "abc.def-123",
    "{'authorization': 'Basic dXNlcjpwYXNz'}": "dXNlcjpwYXNz",
    "sent with bearer 0a1b2c3d4e5f": "0a1b2c3d4e5f",
    "postgresql://ada:p%40ss@db.example/instar": "p%40ss",
    "redis://:hunter2@127.0.0.1:6379/0": "hunter2",
    "mysql://root:12345@localhost": "12345",
    "mongodb://u:pa/ss@word@cluster.example": "pa/ss@word",
    "dsn host=db password=hunter2 dbname=x": "hunter2",
    "POSTGRES_PASSWORD='correct horse'": "correct horse",
    '{"api_key": "0123abcd", "model": "m"}': "0123abcd",
    "GET /home?token=5f2d9c&x=1": "5f2d9c",
    "INSTAR_MODEL_API_KEY=abcdef": "abcdef",
    "secret: 9f86d081884c7d659a2feaa0c55ad015": "9f86d081884c7d659a2feaa0c55ad015",
    "client_secret = Zm9vYmFyYmF6cXV4": "Zm9vYmFyYmF6cXV4",
    "my password is hunter2, do not tell": "hunter2",
    "password: correcthorse": "correcthorse",
    "Cookie: session=abcdef; theme=dark": "abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl": "c2lnbmF0dXJl",
    "ghp_0123456789abcdefghij0123": "ghp_0123456789abcdefghij0123",
    "AKIAABCDEFGHIJKLMNOP": "AKIAABCDEFGHIJKLMNOP",
    "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIEow-IBAAK\n-----END RSA PRIVATE KEY-----\nb": "MIIEow-IBAAK",
}

ORDINARY = [
    "I have a basic understanding of tokens, and my password is weak.",
    "The bearer of this letter is my friend.",
    "See http://127.0.0.1:8427/people/ada@example.org for more.",
    "https://example.org/a:b@c",
    "prompt_tokens: 300, reply_tokens: 12",
    "Password: what do I type here?",
    "commit d41ffdb41ffdb41ffdb41ffdb41ffdb41ffdb41f, blake3 9f86d081884c7d659a2feaa0c55ad015",
    "My secret is that I like task-oriented skis.",
    "The token is: yes",
    "api_key=None, password=null",
    "",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_replaced_and_its_kind_named(text):
    hidden = redact(text)
    assert SECRETS[text] not in hidden
    assert " hidden]" in hidden


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_as_it_is(text):
    assert redact(text) == text


@pytest.mark.parametrize("text", SECRETS)
def test_hiding_twice_changes_nothing_more(text):
    assert redact(redact(text)) == redact(text)


def test_find_secrets_says_where_they_stand_without_their_context():
    text = "first password=one1, then redis://:two2@host"
    assert [text[secret.start : secret.end] for secret in find_secrets(text)] == ["one1", "two2"]


def test_a_secret_the_caller_knows_is_hidden_whatever_it_looks_like():
    assert redact("you sent plain-words to us", known=["plain-words", ""]) == "you sent [secret hidden] to us"


@given(st.text(alphabet="a:/@. =-\n", max_size=300))
def test_found_secrets_never_overlap(text):
    found = find_secrets(text)
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))
    assert all(secret.start < secret.end for secret in found)


@pytest.mark.parametrize(
    "piece", ["://a:", "a.", "-----BEGIN PRIVATE KEY-----", "password=", "eyJaaaaaaaa.", "token_", "sk-"]
)
def test_hostile_text_of_a_megabyte_is_searched_to_its_end(piece):
    text = piece * (1_000_000 // len(piece)) + " password=hunter2"
    assert "hunter2" not in redact(text)


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield root
    root.handlers[:] = before
    root.setLevel(level)


def test_log_lines_and_tracebacks_are_redacted(root_logger):
    out = io.StringIO()
    configure("info", stream=out)
    try:
        raise ValueError("redis://:hunter2@host")
    except ValueError:
        logging.getLogger("instar.test").exception("connecting with password=%s", "hunter2")
    assert "hunter2" not in out.getvalue()
    assert re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z error instar\.test: connecting", out.getvalue())
    assert "ValueError" in out.getvalue()


def test_json_lines_carry_one_object_each(root_logger):
    out = io.StringIO()
    configure("info", json=True, stream=out)
    logging.getLogger("instar.test").info("two\nlines, api_key=abc123")
    line = json.loads(out.getvalue())
    assert line["message"] == "two\nlines, api_key=[secret hidden]"
    assert (line["level"], line["logger"]) == ("info", "instar.test")


def test_configuring_again_replaces_the_first_set_up(root_logger):
    first, second = io.StringIO(), io.StringIO()
    configure("info", stream=first)
    configure("error", stream=second)
    logging.getLogger("instar.test").info("quiet")
    logging.getLogger("instar.test").error("loud")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_the_exposition_has_help_type_and_escaped_labels():
    registry = Registry()
    Counter("asked_total", 'How "often"\nasked.', ("model",), registry=registry).inc(2, model='a"b\\c\n')
    Gauge("resting", "Resting.", registry=registry).set(0.5)
    assert registry.exposition() == (
        '# HELP asked_total How "often"\\nasked.\n'
        "# TYPE asked_total counter\n"
        'asked_total{model="a\\"b\\\\c\\n"} 2\n'
        "# HELP resting Resting.\n"
        "# TYPE resting gauge\n"
        "resting 0.5\n"
    )


def test_histogram_buckets_are_cumulative_and_include_their_bound():
    registry = Registry()
    wait_s = Histogram("wait_seconds", "Wait.", bounds=(0.1, 1.0), registry=registry)
    for value in (0.1, 0.5, 3.0):
        wait_s.observe(value)
    assert registry.exposition().splitlines()[2:] == [
        'wait_seconds_bucket{le="0.1"} 1',
        'wait_seconds_bucket{le="1"} 2',
        'wait_seconds_bucket{le="+Inf"} 3',
        "wait_seconds_sum 3.6",
        "wait_seconds_count 3",
    ]


def test_counts_from_many_threads_are_all_there():
    counter = Counter("hits_total", "Hits.", registry=Registry())
    threads = [threading.Thread(target=lambda: [counter.inc() for _ in range(2_000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value() == 16_000


def test_a_wrong_label_or_a_second_declaration_is_the_programs_error():
    registry = Registry()
    counter = Counter("hits_total", "Hits.", ("model",), registry=registry)
    with pytest.raises(AssertionError, match="labels"):
        counter.inc(person="ada")
    with pytest.raises(AssertionError, match="twice"):
        Counter("hits_total", "Again.", registry=registry)
    with pytest.raises(AssertionError, match="grows"):
        counter.inc(-1, model="m")


def test_every_declared_name_follows_the_rules_of_prometheus():
    names = re.findall(r"^# TYPE (\S+) (\S+)$", exposition(), re.MULTILINE)
    assert names
    for name, kind in names:
        assert re.fullmatch(r"instar_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
    assert REGISTRY.exposition() == exposition()
