"""The gate for secrets: no part of a credential passes it, and everything else does."""

import base64
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire.secrets.masking import (
    credentials,
    fingerprint,
    mask_formed,
    mask_known,
    mask_path,
    mask_query,
    mask_value,
    overwrite,
)
from moonpalace_addons.wire.secrets.values import known
from tests.tables import for_each

KEY = "sk-0123456789abcdef"


def mask(data: bytes, secrets: Sequence[bytes]) -> bytes:
    """Mask known credentials in bytes."""
    return overwrite(data, known(tuple(secrets)).spans(data))


def mask_text(text: str, secrets: Sequence[bytes]) -> str:
    """Mask known credentials and formed ones in a text."""
    return mask_formed(mask_known(text, secrets))


def test_secret_headers_keep_their_names() -> None:
    """Headers with credentials lose their values, in any spelling."""
    headers = [
        ("Host", "x"),
        ("AUTHORIZATION", "Bearer x"),
        ("Vary", "a"),
        ("Set-Cookie", "a=b"),
        (" X-Api-Key ", "y"),
        ("Set-Cookie", "c=d"),
        ("WWW-Authenticate", "Bearer"),
        ("Proxy-Authenticate", "Basic"),
        ("Cookie", ""),
    ]
    masked = dict(enumerate(["x", "Bearer ***", "a", "***", "***", "***", "Bearer", "Basic", ""]))
    assert [mask_value(*header) for header in headers] == list(masked.values())


FORMED = "sk-9fR2kLmQ8vXc0TzB4nYd"

VALUES = [
    ("Authorization", f"Bearer {FORMED}", "Bearer ***"),
    ("Authorization", "Basic dTpw", "Basic ***"),
    ("Authorization", "word", "***"),
    (
        "Sec-WebSocket-Protocol",
        f"realtime, openai-insecure-api-key.{KEY}, v1",
        "realtime, openai-insecure-api-key.***, v1",
    ),
    ("Sec-WebSocket-Protocol", "base64url.bearer.authorization.k8s.io.x", "base64url.***"),
    ("Sec-WebSocket-Protocol", "access_token, some-words", "access_token, ***"),
    ("Sec-WebSocket-Protocol", "graphql-ws, v1.k", "graphql-ws, v1.k"),
    ("Location", "https://h/x?api_key=short&b=1#access_token=z", "https://h/x?api_key=***&b=1#access_token=***"),
    ("Referer", "https://u:hunter2@h/", "https://u:*******@h/"),
    ("X-Echo", f"it is {FORMED}!", f"it is {'*' * len(FORMED)}!"),
    ("x-portkey-config", '{"provider": "x", "api_key": "short"}', '{"provider": "x", "api_key": "***"}'),
    ("WWW-Authenticate", 'Bearer realm="a", error="invalid_token"', 'Bearer realm="a", error="invalid_token"'),
    ("Content-Type", "multipart/form-data; boundary=x", "multipart/form-data; boundary=x"),
    ("Msh-Context-Cache-Token-Saved", "123", "123"),
    ("Idempotency-Key", "a-b-c", "a-b-c"),
]


@for_each(("name", "value", "expected"), VALUES)
def test_values_of_headers(name: str, value: str, expected: str) -> None:
    """A value is masked because of its header's name, names within it, or its form; all else is unchanged."""
    assert mask_value(name, value) == expected
    assert mask_value(name, expected) == expected


PATHS = [
    ("/v1/chat/completions", "/v1/chat/completions"),
    (f"/v1/{FORMED}/chat/completions", "/v1/{}/chat/completions"),
    ("/v1/0123456789abcdef0123456789abcdef/chat/completions", "/v1/{}/chat/completions"),
    ("/0123456789abcdef0123456789abcdef/openai/v1/embeddings", "/{}/openai/v1/embeddings"),
    ("/bot0123456789abcdef0123456789/sendMessage", "/bot{}/sendMessage"),
    ("/bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/getMe", "/bot{}/getMe"),
    ("/v1/chat;api_key=short/x", "/v1/chat;api_key={}/x"),
    ("/v1/token/0123456789abcdef0123", "/v1/token/{}"),
    ("/v1/sk%2D9fR2kLmQ8vXc0TzB4nYd/models", "/v1/{}/models"),
    ("/v1/files/file-0123456789abcdef0123456789", "/v1/files/file-0123456789abcdef0123456789"),
    ("/v1/files/0123456789abcdef0123456789", "/v1/files/0123456789abcdef0123456789"),
    (
        "/openai/deployments/gpt-4o-2024-08-06/chat/completions",
        "/openai/deployments/gpt-4o-2024-08-06/chat/completions",
    ),
    ("/v1/caching/cache-0123456789abcdef", "/v1/caching/cache-0123456789abcdef"),
]


@for_each(("path", "expected"), PATHS)
def test_paths(path: str, expected: str) -> None:
    """A key in a path is masked, an id is not."""
    masked = expected.format("*" * (len(path) - len(expected) + len("{}")))
    assert mask_path(path) == masked
    assert mask_path(masked) == masked


def test_credentials_of_an_address() -> None:
    """Credentials in a query or a path are known for the rest of the call, as written and decoded."""
    assert credentials([], f"/v1/{FORMED}/models", "api_key=a%2Bb0123456&x=1") == (
        FORMED.encode(),
        b"a%2Bb0123456",
        b"a+b0123456",
    )


BASIC = base64.b64encode(b"user:pass:word").decode()

CREDENTIALS: dict[str, tuple[list[tuple[str, str]], tuple[bytes, ...]]] = {
    "nothing": ([], ()),
    "none": ([("Host", KEY), ("User-Agent", KEY)], ()),
    "bearer": ([("Authorization", f"Bearer {KEY}")], (KEY.encode(),)),
    "any case and spacing": ([("AUTHORIZATION", f"  bEaReR \t {KEY} ")], (KEY.encode(),)),
    "bearer twice": ([("Authorization", f"Bearer Bearer {KEY}")], (KEY.encode(),)),
    "no scheme": ([("Authorization", KEY)], (KEY.encode(),)),
    "another scheme": ([("Authorization", f"Token {KEY} x")], (f"{KEY} x".encode(),)),
    "basic": ([("Authorization", f"Basic {BASIC}")], (BASIC.encode(), b"pass:word")),
    "basic without padding": (
        [("Proxy-Authorization", "basic " + base64.b64encode(b"u:12345678").decode().rstrip("="))],
        (b"dToxMjM0NTY3OA", b"12345678"),
    ),
    "the key as user name": (
        [("Authorization", "Basic " + base64.b64encode(b"sk-123456789:").decode())],
        (base64.b64encode(b"sk-123456789:"), b"sk-123456789"),
    ),
    "basic that is not": ([("Authorization", "Basic <redacted>")], (b"<redacted>",)),
    "basic in another alphabet": ([("Authorization", "Basic 月月月月")], ("月月月月".encode(),)),
    "key headers": (
        [("x-api-key", KEY), ("API-Key", KEY), ("X-Goog-Api-Key", f"Bearer {KEY}1")],
        (f"Bearer {KEY}1".encode(), f"{KEY}1".encode(), KEY.encode()),
    ),
    "cookies": (
        [("Cookie", 'a=12345678; b=short; c="quoted-value"; d; e=x=y=z-long')],
        (b"quoted-value", b"x=y=z-long", b"12345678"),
    ),
    "set-cookie": ([("Set-Cookie", "sid=0123456789; Path=/a/long/path; Domain=example.org")], (b"0123456789",)),
    "too short": ([("Authorization", "Bearer 1234567"), ("X-Api-Key", "x"), ("Authorization", "")], ()),
    "eight bytes, not characters": ([("X-Api-Key", "月月月")], ("月月月".encode(),)),
    "bytes that are not UTF-8": ([("X-Api-Key", "12345678\udcff")], (b"12345678\xff",)),
    "once each": ([("X-Api-Key", KEY), ("Authorization", f"Bearer {KEY}")], (KEY.encode(),)),
}


@for_each("name", CREDENTIALS)
def test_credentials(name: str) -> None:
    """The secret values are returned longest first, each once, without short ones."""
    headers, expected = CREDENTIALS[name]
    assert credentials(headers) == expected


def test_masking_keeps_offsets() -> None:
    """Every occurrence becomes as many stars, even if one secret contains another."""
    secrets = (b"0123456789", b"12345678")
    data = b'{"a": "0123456789", "b": "12345678", "c": "0123456789"} 1234567'
    assert mask(data, secrets) == b'{"a": "**********", "b": "********", "c": "**********"} 1234567'
    assert mask_text(data.decode(), secrets) == mask(data, secrets).decode()


def test_masking_without_a_match_copies_nothing() -> None:
    """Data without a secret comes back as the same object."""
    data, text = b"x" * 1000, "x" * 1000
    assert mask(data, (b"12345678", b"")) is data
    assert mask_text(text, (b"12345678", b"")) is text
    assert mask(data, ()) is data


def test_masking_text_counts_characters() -> None:
    """In text each character becomes a star, and a secret that is not UTF-8 is found, too."""
    assert mask_text("key 月月月!", ("月月月".encode(),)) == "key ***!"
    assert mask_text("key 12345678\udcff!", (b"12345678\xff",)) == "key *********!"


@given(st.binary(), st.binary(min_size=1), st.lists(st.binary(min_size=1), max_size=3), st.binary())
def test_no_secret_survives_masking(head: bytes, secret: bytes, others: list[bytes], tail: bytes) -> None:
    """Whatever surrounds it, a secret of more than stars is masked and the length is unchanged."""
    data = head + secret + tail
    masked = mask(data, sorted([secret, *others], key=len, reverse=True))
    assert len(masked) == len(data)
    assert secret not in masked or not secret.strip(b"*")


QUERIES = [
    ("", ""),
    ("key=abc", "key=***"),
    ("?key=abc&b=1", "?key=***&b=1"),
    ("a=1&api_key=x&b=2", "a=1&api_key=***&b=2"),
    ("API-KEY=x&ApiKey=y&Token=z", "API-KEY=***&ApiKey=***&Token=***"),
    ("access_token=x&secret=y&password=z", "access_token=***&secret=***&password=***"),
    ("api%5Fkey=x&%6Bey=y", "api%5Fkey=***&%6Bey=***"),
    ("key=a=b==&c=d", "key=***&c=d"),
    ("key=abc;def&c=d", "key=***&c=d"),
    ("a=1;token=abc&c=d", "a=1;token=***&c=d"),
    ("key=&key&=key&&", "key=&key&=key&&"),
    ("key=x&key=y", "key=***&key=***"),
    ("monkey=1&keys=2&max_tokens=3&tokenizer=4&key_id=5", "monkey=1&keys=2&max_tokens=3&tokenizer=4&key_id=5"),
    ("q=%E6%9C%88+%20~&b=月&c=%zz", "q=%E6%9C%88+%20~&b=月&c=%zz"),
    (f"q={FORMED}&b=1", "q=***&b=1"),
    ("q=sk%2D9fR2kLmQ8vXc0TzB4nYd&b=1", "q=***&b=1"),
    (f"{FORMED}&b=1", "***&b=1"),
    ("u=https%3A%2F%2Fu%3Ahunter2%40h", "u=***"),
    ("X-Goog-Signature=1&X-Amz-Credential=2&session_id=3", "X-Goog-Signature=***&X-Amz-Credential=***&session_id=3"),
]


@for_each(("query", "expected"), QUERIES)
def test_query_parameters(query: str, expected: str) -> None:
    """Values of parameters named like credentials are masked; all else is unchanged."""
    assert mask_query(query) == expected


def test_fingerprints() -> None:
    """A fingerprint is 16 hexadecimal digits, and depends on the key and the store."""
    first = fingerprint(KEY.encode(), b"store")
    assert first == fingerprint(KEY.encode(), b"store") == "d74c8a53b33f829d"
    assert len(first) == 16
    assert set(first) <= set("0123456789abcdef")
    assert len({first, fingerprint(KEY.encode(), b"other"), fingerprint(b"other", b"store")}) == 3
    assert KEY not in first
