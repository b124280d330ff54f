"""Foreign text in our own messages."""

import time

import pytest

from moonpalace_addons.wire.foreign import MAX_QUOTE, quoted
from tests.tables import for_each

KEY = "sk-9fR2kLmQ8vXc0TzB4nYd"

TEXTS = [
    ("connection refused", "connection refused"),
    ("两行\n文字 🚀", "两行 文字 🚀"),
    ("a\x1b[31mred\x1b]0;title\x07 \x9b2J \u202eltr\u2066 \x00 end", "a [31mred ]0;title 2J ltr end"),
    (f"no such key: {KEY}!", f"no such key: {'*' * len(KEY)}!"),
    ("bad header b'Set-Cookie : id=short\\r\\n' from upstream", "bad header b'Set-Cookie : ***\\r\\n' from upstream"),
    ("illegal line: 'X-Api-Key short'", "illegal line: 'X-Api-Key short'"),
    ("(b'Authorization', b'Bearer x')\nnext line", "(b'Authorization', b'*** next line"),
    ("Content-Type: a\r\nCookie: a=b; c=d\r\nHost: x", "Content-Type: a Cookie: *** Host: x"),
    (
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
    ),
    ("x" * MAX_QUOTE, "x" * MAX_QUOTE),
    ("x" * (MAX_QUOTE + 1), "x" * MAX_QUOTE + "…"),
    ("", ""),
]


@for_each(("text", "expected"), TEXTS)
def test_quoting(text: str, expected: str) -> None:
    """It is one printable line of bounded length without secrets."""
    assert quoted(text) == expected
    assert quoted(text).isprintable()


@pytest.mark.parametrize("piece", ["Cookie: a\n", "'Cookie' , ", "\x1b", "a ", "sk-", "Cookie:"])
def test_megabytes_cost_nothing(piece: str) -> None:
    """Only a bounded part is read, however long it is."""
    began = time.thread_time()
    shown = quoted(piece * (8_000_000 // len(piece)))
    assert len(shown) <= MAX_QUOTE + 1
    assert time.thread_time() - began < 0.5
