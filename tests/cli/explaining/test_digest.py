"""Tests of the digest's content and its size for any calls."""

import base64
import json
import os

import pytest
from sqlalchemy import update

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.state import State
from moonpalace_cli.explaining.quoting import excerpt, quoted, shortened, tokens_in
from moonpalace_cli.explaining.record import Subject, make_record
from tests.cli.conftest import Store
from tests.cli.explaining.recording import SECOND, call, chat, refusal

LIMIT = 2_000


def digest(store: Store, *ids: int, limit: int = LIMIT, pattern: str | None = None) -> str:
    """Return the record of these calls."""
    return make_record(store.engine, Subject(ids, len(ids), None, "English"), limit=limit, pattern=pattern)


def reply(content: object, finish: str = "stop") -> dict[str, object]:
    """Return an answer."""
    message = {"role": "assistant", "content": content}
    return {"id": "c", "model": "kimi-k3", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def test_a_call(store: Store) -> None:
    """The row, the findings, the parameters, the messages and the answer each have a line."""
    row = call(store.engine, chat(max_tokens=16), 200, reply("a b", "length"), at=3 * SECOND)
    assert digest(store, row).splitlines() == [
        'call 1: POST "https://api.moonshot.cn/v1/chat/completions", 2026-11-30 00:00:00 UTC',
        'ended: "cut by max_tokens" after 3.0s (state completed)',
        "status: 200 OK",
        'model: asked for "kimi-k3", answered "kimi-k3"',
        "stream: no; finish reason: length",
        "times: headers 10ms, total 3.0s",
        'bodies: request 90 bytes of "application/json", answer 137 bytes of "application/json"',
        'warning: "it seems that your max_tokens value is too small, please set a larger value '
        '(suggested max_tokens: 32)"',
        "found by fixed rules:",
        '- evidence "the answer was cut at its limit; the request allows 16", advice "raise max_completion_tokens '
        '(max_tokens), or leave it out"',
        'parameters: {"model": "kimi-k3", "max_tokens": 16}',
        "messages of the request: 1",
        '[1 user] "hello"',
        "answer:",
        '[1 assistant] "a b"',
    ]


def test_an_answer_of_unknown_size(store: Store) -> None:
    """Of an encoded answer beyond `max-body` only the size of the kept part is known, which is not the answer's."""
    row = call(store.engine, chat(), 200, reply("a b"))
    with writing(store.engine) as connection:
        connection.execute(update(EXCHANGES).values(response_bytes=None))
    assert "answer an unknown number of bytes of" in digest(store, row)


def test_the_messages_around_the_problem(store: Store) -> None:
    """Of a long conversation the first message, the last ones, and those that the error names are shown."""
    turns = [{"role": "user" if n % 2 else "assistant", "content": f"turn {n} " + "x" * 200} for n in range(400)]
    error = refusal("invalid_request_error", "messages[150]: the content must not be empty")
    text = digest(store, call(store.engine, chat(*turns), 400, error))
    shown = [line for line in text.splitlines() if line.startswith(("[", "("))]
    numbers = [int(line[1:].split()[0]) for line in shown if line.startswith("[")]
    assert numbers[:4] == [1, 150, 151, 152]
    assert numbers[-3:-1] == [399, 400]  # before that of the answer
    assert shown[1] == "(148 messages left out)"
    assert tokens_in(text) <= LIMIT


def test_a_tool_that_the_error_names(store: Store) -> None:
    """Only its definition is included."""
    tools = [{"type": "function", "function": {"name": f"tool_{n}", "parameters": {"n": n}}} for n in range(9)]
    error = refusal("invalid_request_error", "function name tool_7 is invalid")
    text = digest(store, call(store.engine, chat(tools=tools), 400, error))
    assert 'tool 7: "{\\"type' in text
    assert "tool 6:" not in text


IMAGE = "data:image/png;base64," + base64.b64encode(os.urandom(300_000)).decode()
HUGE = {
    "a long text": chat({"role": "user", "content": "word " * 100_000}),
    "Chinese": chat({"role": "user", "content": "月亮上的兔子" * 20_000}),
    "quotes and controls": chat({"role": "user", "content": '"\\\x00\n' * 20_000}),
    "many messages": chat(*[{"role": "user", "content": "x"}] * 1_000),
    "many parts": chat({"role": "user", "content": [{"type": "text", "text": "x" * 50}] * 1_000}),
    "many parameters": chat(**{f"p{n}": "y" * 100 for n in range(500)}),
    "deep": b'{"messages": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "an image": chat({"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}),
    "bytes": os.urandom(300_000),
    "text": b"no JSON " * 50_000,
    "nothing": b"",
    "a list": [1, 2, 3],
}


@pytest.mark.parametrize("body", HUGE.values(), ids=list(HUGE))
def test_the_size_is_kept(store: Store, body: object) -> None:
    """Whatever a request and its answer contain, the digest keeps to its tokens, and has no parts of files."""
    answer = body if isinstance(body, bytes) else reply(json.dumps(body))
    row = call(store.engine, body, 400, answer)
    for limit in (1_000, 8_000):
        text = digest(store, row, limit=limit)
        assert tokens_in(text) <= limit * 1.1
        assert all(line.isprintable() for line in text.splitlines())
        assert text.encode()
        assert IMAGE[1000:1040] not in text


def test_a_group_keeps_its_size(store: Store) -> None:
    """Many calls with long errors fit, too; the digest says what was left out."""
    ids = [
        call(store.engine, chat({"role": "user", "content": "word " * 5_000}), 400 + n % 7, refusal("k", f"{n} " * 900))
        for n in range(40)
    ]
    text = digest(store, *ids)
    assert tokens_in(text) <= LIMIT * 1.1
    assert text.startswith("40 calls match\n")
    assert "(more calls left out)" in text
    assert text.count("one of them in detail, call ") == 1
    assert digest(store, *ids, limit=6_000).count("one of them in detail, call ") == 3


def test_calls_without_an_answer(store: Store) -> None:
    """A call that was not sent says so."""
    failed: dict[str, object] = {
        "state": State.UPSTREAM_FAILED,
        "error_kind": "upstream_refused",
        "error_message": "refused",
    }
    text = digest(store, call(store.engine, chat(), None, ended=failed))
    assert "status: none: no answer came" in text
    assert "answer: nothing came" in text
    assert 'error: "upstream_refused" "refused"' in text


def test_what_the_user_wants_redacted(store: Store) -> None:
    """People, accounts, and matches of redact-pattern are replaced."""
    turn = {"role": "user", "content": "mail anna@example.org about project Nightingale"}
    row = call(store.engine, chat(turn, user="anna-0815"), headers=["Msh-Uid: u-123456789"])
    text = digest(store, row, pattern="Nightingale")
    assert not any(word in text for word in ("anna", "Nightingale", "u-123456789"))


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abcd", 1), ("abcde", 2), ("月亮", 2), ("ab月", 2)])
def test_tokens(text: str, tokens: int) -> None:
    """Four ASCII characters count as a token, any other character as one."""
    assert tokens_in(text) == tokens


def test_excerpts() -> None:
    """A long text keeps its beginning and its end, and says how much is missing; the quotes count."""
    text = "a" * 500 + "z" * 500
    short = shortened(text, 20)
    assert short == "a" * 52 + " [... 920 characters left out ...] " + "z" * 28
    assert tokens_in(excerpt(text, 40)) <= 40
    assert tokens_in(excerpt("\n" * 1000, 40)) <= 40
    assert excerpt("short", 40) == quoted("short") == '"short"'
