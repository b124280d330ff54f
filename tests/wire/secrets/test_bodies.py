"""Tests of searching for secrets in bodies that share a prefix with earlier ones."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moonpalace_addons.wire.secrets import bodies as secret_bodies
from moonpalace_addons.wire.secrets.bodies import find
from moonpalace_addons.wire.secrets.patterns import LOOKAHEAD, Finding
from moonpalace_addons.wire.secrets.values import KnownCredentials, known
from tests.tables import for_each

KEY = "sk-Q7mP2xV9bT4nL8wR3kZ6"
OWN_CREDENTIAL = "owner-credential-4711"
KNOWN = known((OWN_CREDENTIAL.encode(),))
SECRETS = st.sampled_from(
    [
        KEY,
        OWN_CREDENTIAL,
        f"Bearer {KEY}",
        f'{{"password": "{KEY}"}}',
        "postgres://me:Hx7Kq9@host/db",
        f"a.{KEY}",
        KEY[:9],
        "none",
    ]
)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    forget()
    yield
    forget()


def forget() -> None:
    """Forget all bodies."""
    secret_bodies._bodies.clear()
    secret_bodies._clean.clear()


def looked_at_anew(data: bytes, hidden: KnownCredentials = KNOWN) -> list[Finding]:
    """Return the findings without the cache, which is not changed."""
    bodies, clean = list(secret_bodies._bodies), set(secret_bodies._clean)
    forget()
    result = find(data, hidden)
    forget()
    secret_bodies._bodies.extend(bodies)
    secret_bodies._clean.update(clean)
    return result


def body(texts: list[str]) -> bytes:
    """Return a request with these messages."""
    return json.dumps({"model": "k", "messages": [{"role": "user", "content": text} for text in texts]}).encode()


TEXTS = st.lists(
    st.tuples(st.integers(0, 900), SECRETS, st.integers(0, 900)).map(
        lambda text: "some words " * text[0] + text[1] + " more" * text[2]
    ),
    min_size=3,
    max_size=12,
)


@settings(max_examples=60)
@given(TEXTS, TEXTS, st.integers(0, 12))
def test_what_came_before_makes_no_difference(texts: list[str], more: list[str], kept: int) -> None:
    """Whatever bodies were cached, and wherever the next one differs, the same secrets are found in it."""
    for turn in (texts, texts + more, texts[:kept] + more, texts, [*texts[:-1], texts[-1] + KEY]):
        data = body(turn)
        assert find(data, KNOWN) == looked_at_anew(data)


@for_each("distance", [*range(40), LOOKAHEAD - 30, LOOKAHEAD, LOOKAHEAD + 30])
def test_a_secret_that_is_completed(distance: int) -> None:
    """A secret of which an earlier body had only a part, at its end or near it, is found completely."""
    forget()
    start = body(["word " * 5000])[:-4]
    for cut in (4, 12, len(KEY) - 1, len(KEY)):
        tail = b" " * distance + b'"}]}'
        for text in (KEY[:cut].encode() + tail, KEY.encode() + tail, KEY.encode() + b"Zq5Xc7" + tail):
            data = start + b" " + text
            assert find(data, KNOWN) == looked_at_anew(data)


PRIVATE_KEY = f"-----BEGIN RSA PRIVATE KEY-----\\n{'Zq5Xc7Hj2' * 9}\\n-----END RSA PRIVATE KEY-----"
QUOTED = 'say-"open sesame"-four-times'
RICH = (
    rf'{{"text":"a {KEY} b, {OWN_CREDENTIAL}","api_key" : "Zq5Xc7\"Hj2Lm9","note":"x-api-key: Zq5Xc7Hj2Lm9Pw4Rt"}},'
    rf'{{"arguments":"{{\"password\": \"Zq5Xc7Hj2Lm9Pw4Rt\"}}",'
    rf'"lines":["{PRIVATE_KEY[:60]}","{PRIVATE_KEY[60:]}"]}},'
    rf'{{"url":"postgres://me:Hx7Kq9@host/db","raw":"{QUOTED}","part":"{QUOTED[:14]}","password":"***","told":{json.dumps(QUOTED)}}}'
)


@pytest.mark.parametrize("hidden", [KNOWN, known((QUOTED.encode(), OWN_CREDENTIAL.encode()))], ids=["plain", "quoted"])
def test_bodies_that_differ_anywhere(hidden: KnownCredentials) -> None:
    """Wherever a body differs from an earlier one, the same secrets are found in it."""
    start = b'{"messages":["' + b"word " * 3300 + b'",'
    whole = start + RICH.encode() + b"]}"
    expected = looked_at_anew(whole, hidden)
    assert len(expected) >= 7
    for cut in range(len(start), len(whole)):
        forget()
        find(whole[:cut] + b'~"]}', hidden)
        assert find(whole, hidden) == expected, whole[cut - 40 : cut]


def test_a_secret_that_goes_on_behind_another() -> None:
    """If a private key begins within the value of a secret member, the rest of it is found, too."""
    data = b'{"password": "x -----BEGIN PRIVATE KEY-----", "more": "Zq5Xc7Hj2-----END PRIVATE KEY-----"}'
    value, key = find(data, known(()))
    assert data[value.start : value.end] == b"x -----BEGIN PRIVATE KEY-----"
    assert data[key.start : key.end] == data[value.end : -2]


def test_other_credentials() -> None:
    """A clean body is searched again for a call with other credentials."""
    data = body(["word " * 5000, "the other-credential-0815 here"])
    assert find(data, KNOWN) == []
    other = known((b"other-credential-0815",))
    assert [data[found.start : found.end] for found in find(data, other)] == [b"other-credential-0815"]


def test_only_the_end_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a body continues another one, only the new part is searched, and a little before it."""
    texts = [f"{number} " + "word " * 400 for number in range(60)]
    assert find(body([*texts, KEY]), KNOWN) == looked_at_anew(body([*texts, KEY]))
    looked_at = []
    in_block = secret_bodies._in_block

    def noted(data: bytes, start: int, known: KnownCredentials) -> list[Finding]:
        looked_at.append(start)
        return in_block(data, start, known)

    monkeypatch.setattr(secret_bodies, "_in_block", noted)
    longer = body([*texts, KEY, "and more", KEY])
    result = find(longer, KNOWN)
    assert [longer[each.start : each.end].decode() for each in result] == [KEY, KEY]
    assert len(looked_at) == 1
    assert looked_at[0] > len(body(texts)) - LOOKAHEAD // 2


def test_memory_is_bounded() -> None:
    """Few bodies are cached, none that is very long, and of a conversation only the last one."""
    for number in range(40):
        find(body([f"{number} ", "word " * 5000]), KNOWN)
    assert len(secret_bodies._bodies) == 16
    forget()
    find(body(["word " * 300_000]), KNOWN)
    assert not secret_bodies._bodies
    for number in range(10):
        find(body(["word " * 5000, "more " * 500 * number]), KNOWN)
    assert len(secret_bodies._bodies) == 1
