"""Tests of redacting."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_cli.calls.reading import Call
from moonpalace_cli.redaction.checking import secrets_in
from moonpalace_cli.redaction.redactor import Pseudonyms, Redactor, merged
from moonpalace_cli.redaction.replacing import Place, apply

KEY = b"k" * 32
SECRET = "sk-Wq7Zx3Rt9pLm2Vb8Nc4Kd6Hf"
UID = "cn0psmmcp7fclnphkcpg"
IMAGE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="
PSEUDONYM = "[0-9a-f]{12}"


def redacted(text: str, place: Place | None = None, account: str = "") -> str:
    """Return a text with pseudonyms; `account` is known as the account's id."""
    pseudonyms = Pseudonyms(KEY, {account: "account"} if account else {}, None)
    return apply(text, pseudonyms.text(place or Place("request body", ("content",)), text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"my key is {SECRET}.", f"my key is secret-{PSEUDONYM}."),
        ("写信给alice.b+c@mail.example.com谢谢", f"写信给email-{PSEUDONYM}谢谢"),
        ("<alice@example.com>, bob@b.org", f"<email-{PSEUDONYM}>, email-{PSEUDONYM}"),
        ("postgresql://me:hunter2@db/x", f"postgresql://me:secret-{PSEUDONYM}@db/x"),
        (f"see {IMAGE}!", rf"see \[image/png, 16 bytes, {PSEUDONYM}\]!"),
        (
            "Your account org-8c3f2ab19e4d<ak-f8dcp99i4c3b> is over",
            f"Your account account-{PSEUDONYM}<account-{PSEUDONYM}> is over",
        ),
    ],
)
def test_texts(text: str, expected: str) -> None:
    """Secrets, addresses, account ids and files are replaced; the surrounding text is unchanged."""
    assert re.fullmatch(expected, redacted(text)), redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "a@b",
        "@property",
        "user@localhost",
        "meet me @ 5",
        "x" * 300,
        "cmpl-12be8428ebe74a9e8466a37bee7a9b11",
    ],
)
def test_texts_that_stay(text: str) -> None:
    """Text without any of these is unchanged."""
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("part", "name", "kind"),
    [
        ("request body", "user", "user"),
        ("request body", "safety_identifier", "user"),
        ("request body", "user_id", "user"),
        ("request body", "password", "secret"),
        ("request query", "X-Api-Key", "secret"),
        ("response header", "Msh-Uid", "account"),
        ("response header", "MSH-PROJECT-ID", "account"),
        ("request header", "X-Forwarded-For", "user"),
    ],
)
def test_named_values(part: str, name: str, kind: str) -> None:
    """A value under a sensitive name is replaced whatever it is."""
    assert re.fullmatch(f"{kind}-{PSEUDONYM}", redacted("any thing", Place(part, (name,))))


def test_headers_of_the_other_kind() -> None:
    """A header called User is not a member called user."""
    assert redacted("thing", Place("request header", ("user",))) == "thing"


def test_same_value_same_pseudonym() -> None:
    """A value has one pseudonym everywhere; an address also as a user, ignoring case."""
    one, two = redacted("Alice@example.com and alice@EXAMPLE.com").split(" and ")
    assert one == two == redacted("alice@example.com", Place("request body", ("user",)))
    assert redacted("bob@example.com") != one


def test_pseudonym_cannot_be_made_without_the_store() -> None:
    """With another store's key the same value has another pseudonym."""
    other = Pseudonyms(b"o" * 32, {}, None)
    assert other.pseudonym("user", "alice") != Pseudonyms(KEY, {}, None).pseudonym("user", "alice")


def test_base64_files() -> None:
    """Base64 under the name of a file is replaced with its size; short values and prose are not."""
    place = Place("request body", ("source", "data"))
    assert re.fullmatch(rf"\[file, 300 bytes, {PSEUDONYM}\]", redacted("QUJD" * 100, place))
    assert redacted("QUJD", place) == "QUJD"
    assert redacted("word " * 100, place) == "word " * 100


def test_whole_call(call: Callable[..., Call]) -> None:
    """No part of a call has a replaced value, and the data that reports need is kept."""
    request = {
        "model": "kimi-k3",
        "user": "alice-in-wonderland",
        "messages": [
            {"role": "user", "content": f"I am alice-in-wonderland, {SECRET}, a@example.com"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]},
            {"role": "assistant", "tool_calls": [{"function": {"arguments": json.dumps({"password": "tulip"})}}]},
        ],
        "logprobs": {"content": [{"token": "tul", "bytes": [116]}]},
    }
    answer = {"id": "chatcmpl-1", "choices": [{"message": {"content": f"{UID} writes to a@example.com"}}]}
    events = "".join(
        f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': piece}}]})}\n\n"
        for piece in (UID[:5], UID[5:], " writes to a@exa", "mple.com")
    )
    given_call = call(
        json.dumps(request).encode(),
        json.dumps(answer).encode(),
        events.encode(),
        query="user=alice-in-wonderland&n=1",
        response_headers=f"Msh-Uid: {UID}\r\nMsh-Request-Id: req-1\r\n",
        msh_uid=UID,
        error_message=f"account {UID} is over its limit",
        note="from a@example.com",
    )
    changed = Redactor(KEY).redact(given_call)
    left = repr(changed.exchange) + repr([changed.bodies.request, changed.bodies.response, changed.bodies.event_stream])
    for value in (UID, "alice", SECRET, "a@example.com", "a@exa", "tulip", "iVBOR", "tul", "116"):
        assert value not in left, value
    account = changed.exchange.msh_uid
    address = redacted("a@example.com")
    body: Any = json.loads(changed.bodies.response or b"")
    assert body["choices"][0]["message"]["content"] == f"{account} writes to {address}"
    pieces = re.findall(r'"content": "([^"]*)"', (changed.bodies.event_stream or b"").decode())
    assert "".join(pieces) == f"{account} writes to {address}"
    assert changed.exchange.error_message == f"account {account} is over its limit"
    assert "Msh-Request-Id: req-1\r\n" in (changed.exchange.response_headers or "")
    assert json.loads(changed.bodies.request or b"")["model"] == "kimi-k3"
    assert secrets_in(changed) == []


def test_a_session(call: Callable[..., Call]) -> None:
    """A client's session has the same pseudonym in the body; so has the name of an endpoint."""
    request = json.dumps({"prompt_cache_key": "alices-session-7"}).encode()
    changed = Redactor(KEY).redact(call(request, session="alices-session-7", endpoint_name="a@example.com"))
    assert json.loads(changed.bodies.request or b"") == {"prompt_cache_key": changed.exchange.session}
    assert "alice" not in str(changed.exchange.session)
    assert changed.exchange.endpoint_name == redacted("a@example.com")


def test_a_private_endpoint(call: Callable[..., Call]) -> None:
    """The host of the endpoint, also in the URL, has the same pseudonym as in headers; a public one is kept."""
    headers = "Host: 10.1.2.3:8000\r\n"
    changed = Redactor(KEY).redact(call(b"", endpoint="http://10.1.2.3:8000/api", request_headers=headers)).exchange
    host = changed.request_headers.removeprefix("Host: ").strip()
    assert "10.1.2.3" not in host
    assert changed.endpoint == f"http://{host}/api"
    public = Redactor(KEY).redact(call(b"", endpoint="https://api.moonshot.cn")).exchange
    assert public.endpoint == "https://api.moonshot.cn"


KEY_OF_A_CLIENT = "bob@example.com:s3cret-plain!"


def test_a_secret_that_contains_something_else(call: Callable[..., Call]) -> None:
    """A key in a call of an earlier version is replaced completely, wherever the call repeats it."""
    repeated = f"key {KEY_OF_A_CLIENT} refused"
    body = json.dumps({"error": {"message": repeated}}).encode()
    headers = f"x-api-key: {KEY_OF_A_CLIENT}\r\n"
    address = {"path": f"/v1/{KEY_OF_A_CLIENT}/x", "query": f"a={KEY_OF_A_CLIENT}", "client_request_id": repeated}
    changed = Redactor(KEY).redact(call(b"{}", body, request_headers=headers, error_message=repeated, **address))
    assert "s3cret" not in f"{changed}"


def test_a_secret_in_pieces_of_a_stream_that_is_not_merged(call: Callable[..., Call]) -> None:
    """It is removed from both copies of such a stream, which stay the same."""
    pieces = [KEY_OF_A_CLIENT[at : at + 6] for at in range(0, len(KEY_OF_A_CLIENT), 6)]
    stream = b"".join(f'data: {{"x": {json.dumps(piece)}}}\n\n'.encode() for piece in pieces)
    changed = Redactor(KEY).redact(call(b"{}", stream, stream, request_headers=f"x-api-key: {KEY_OF_A_CLIENT}\r\n"))
    assert changed.bodies.response == changed.bodies.event_stream
    assert not any(piece.encode() in (changed.bodies.response or b"") for piece in pieces)


def test_bytes_are_replaced(call: Callable[..., Call]) -> None:
    """A body that is not text becomes a placeholder with its size."""
    changed = Redactor(KEY).redact(call(b"\xff\xfe\x00"))
    assert re.fullmatch(
        rf"\[application/octet-stream, 3 bytes, {PSEUDONYM}\]", (changed.bodies.request or b"").decode()
    )


def test_pattern_of_the_settings(call: Callable[..., Call]) -> None:
    """Matches of the settings' pattern are replaced, too."""

    def find(text: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"ACME-\d+", text)]

    changed = Redactor(KEY, find).redact(call(b'{"a": "ACME-12 and 5"}'))
    assert re.fullmatch(rf'{{"a": "match-{PSEUDONYM} and 5"}}', (changed.bodies.request or b"").decode())


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], []),
        ([(3, 5, "b"), (0, 2, "a")], [(0, 2, "a"), (3, 5, "b")]),
        ([(0, 4, "a"), (2, 6, "b"), (6, 7, "c")], [(0, 6, "a"), (6, 7, "c")]),
        ([(0, 2, "short"), (0, 4, "long"), (1, 3, "in")], [(0, 4, "long")]),
    ],
)
def test_overlaps(spans: list[tuple[int, int, str]], expected: list[tuple[int, int, str]]) -> None:
    """Overlapping findings are replaced together."""
    assert merged(spans) == expected


WORDS = st.lists(
    st.sampled_from([SECRET, "a@example.com", UID, " ", "@", "sk-", "x", "中", ".", IMAGE, "org-"]), max_size=8
)


@given(WORDS, st.sampled_from([" ", "\n", "，", '"', ":", "/", "@"]))
def test_any_text(words: list[str], between: str) -> None:
    """However texts are joined, no address, key or file remains."""
    text = redacted(between.join(words), account=UID)
    assert SECRET not in text
    assert "a@example.com" not in text
    assert UID not in text


@pytest.mark.parametrize(
    "piece", ["a", "@", "a@", "a@b.", "a.b@c-", "data:", "data:image/png;", "org-", "data:image/png;base64,"]
)
def test_time_is_linear(piece: str) -> None:
    """Four times the text takes about four times as long."""
    times = []
    for length in (100_000, 400_000):
        text = piece * (length // len(piece))
        began = time.thread_time()
        redacted(text)
        times.append(time.thread_time() - began)
    assert times[1] < 12 * times[0] + 0.05


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call 138 0013 8000 or mail a@b.org", f"call phone-{PSEUDONYM} or mail email-{PSEUDONYM}"),
        ("证件 11010519491231002X。", f"证件 identity-{PSEUDONYM}。"),
        ("card 4111 1111 1111 1111, host 10.1.2.3", f"card card-{PSEUDONYM}, host host-{PSEUDONYM}"),
        ("DB_PASSWORD=moonlight", f"DB_PASSWORD=secret-{PSEUDONYM}"),
    ],
)
def test_persons_and_networks(text: str, expected: str) -> None:
    """Numbers that identify people, private hosts and named passwords are replaced."""
    assert re.fullmatch(expected, redacted(text)), redacted(text)


@pytest.mark.parametrize(
    ("name", "value", "is_replaced"),
    [
        ("x-my-session-ref", "abc123", True),
        ("x-tokenizer", "cl100k", True),
        ("msh-context-cache-token-saved", "1024", False),
        ("anthropic-ratelimit-tokens-reset", "2026-11-30T05:00:00Z", False),
        ("x-request-id", "abc123", False),
    ],
)
def test_headers_by_name(name: str, value: str, is_replaced: bool) -> None:
    """A header named like a credential is replaced, unless it is a number or a time."""
    assert (redacted(value, Place("request header", (name,))) != value) == is_replaced


def test_the_summary() -> None:
    """It counts each value once, and names values that look random and were kept."""
    summary = Redactor(KEY).summary
    pseudonyms = Pseudonyms(KEY, {}, None, summary)
    for text in (
        "a@b.org and c@d.org",
        "a@b.org, 13800138000",
        "see Xq7Zx3Rt9pLm2Vb8Nc4Kd6HfW",
        "chatcmpl-" + "aB1" * 8,
    ):
        pseudonyms.text(Place("request body", ("content",)), text)
    assert summary.lines() == [
        "replaced: 2 e-mail addresses, 1 phone number",
        "kept, though it looks random: Xq7Z… (25 characters) in the request body, content",
    ]
    assert Redactor(KEY).summary.lines() == []
