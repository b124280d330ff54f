"""Tests of checking a call for secrets."""

from collections.abc import Callable
from unittest.mock import Mock

import pytest

from moonpalace_addons.wire.secrets import patterns
from moonpalace_cli.calls.reading import Call
from moonpalace_cli.redaction.checking import SEPARATOR, Clean, batches, has_secret, secrets_in
from tests.wire.secrets.test_assignments import NAMED
from tests.wire.secrets.test_patterns import SECRETS
from tests.wire.secrets.test_personal import NOT, PASSWORDS

KEY = "sk-Wq7Zx3Rt9pLm2Vb8Nc4Kd6Hf"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"request": f'{{"a": ["", "x {KEY}"]}}'.encode()}, ["API key in its request body, a.1"]),
        ({"request": b'{"a": "s\\u006b-' + KEY[3:].encode() + b'"}'}, ["API key in its request body, a"]),
        ({"request": b"\xff" + KEY.encode()}, ["API key in its request body"]),
        ({"response": f"<p>{KEY}</p>".encode()}, ["API key in its response body"]),
        ({"note": KEY}, ["API key in its note"]),
        ({"error_message": f"bad key {KEY}"}, ["API key in its error"]),
        ({"query": f"k={KEY}"}, ["API key in its request query, k"]),
        ({"request_headers": f"X-My-Key: {KEY}\r\n"}, ["API key in its request header, X-My-Key"]),
        (
            {
                "response": None,
                "events": f'data: {{"text":"{KEY[:9]}"}}\n\ndata: {{"text":"{KEY[9:]}"}}\n\n'.encode(),
            },
            ["API key in its response events, 0.text"],
        ),
    ],
)
def test_secrets_are_found(call: Callable[..., Call], changes: dict[str, object], found: list[str]) -> None:
    """A secret is found in spite of escapes and cuts, and its place is named."""
    assert [str(each) for each in secrets_in(call(**changes))] == found


def test_a_clean_text_is_checked_once(call: Callable[..., Call], monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated text is not checked again, and a secret is found each time."""
    checked = Mock(side_effect=patterns.find)
    monkeypatch.setattr(patterns, "find", checked)
    clean: Clean = set()
    plain, secret = "word " * 100, "word " * 100 + KEY
    for text, found, is_checked in ((plain, 0, True), (plain, 0, False), (secret, 1, True), (secret, 1, True)):
        checked.reset_mock()
        said = call(request=f'{{"a": "{text}"}}'.encode())
        assert len(secrets_in(said, clean)) == found
        assert any(text in each.args[0] for each in checked.call_args_list) == is_checked


NEIGHBOURS = [
    *(
        "password:",
        "$password=",
        "pwd ",
        "--password",
        "api_key=",
        '"token": "',
        "secret",
        "AKIAIOSFODNN7EXAMPL",
        "Bearer ",
    ),
    *(
        "\\",
        "%",
        "http://u:",
        "123456789:",
        "-----BEGIN PRIVATE KEY",
        "----",
        "A" * 3100,
        "İ",
        "密码",
        "(",
        "=",
        "a1",
        ".",
    ),
]


@pytest.mark.parametrize("neighbour", NEIGHBOURS, ids=range(len(NEIGHBOURS)))
def test_texts_searched_together(neighbour: str) -> None:
    """No text hides a secret of the next one or creates one with it."""
    texts = [secret for _, secret in SECRETS] + PASSWORDS + NAMED + NOT + [neighbour, "PASSWORD=hunter2x"]
    alone = has_secret(neighbour)
    for text in texts:
        for pair in ((neighbour, text), (text, neighbour)):
            assert has_secret(next(batches(pair))) == (alone or has_secret(text)), pair


def test_batches() -> None:
    """All texts are searched, in pieces of limited size."""
    texts = [f"{number:0100000}" for number in range(5)]
    assert [batch.split(SEPARATOR) for batch in batches(texts)] == [texts[:2], texts[2:4], texts[4:]]
