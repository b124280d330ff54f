"""Tests of the pattern from the settings."""

import time

import pytest

from moonpalace_addons.errors import SettingError
from moonpalace_cli.calls.reading import read_calls
from moonpalace_cli.redaction.patterns import finder, redactor
from moonpalace_cli.redaction.redactor import Redactor
from tests.cli.conftest import Store


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"ACME-\d+", "ACME-1, acme-2, ACME-33", [(0, 6), (16, 23)]),
        ("(?i)acme", "Acme", [(0, 4)]),
        ("张[一-龥]", "🚀 张三丰", [(2, 4)]),
        ("b", "\ud800b", [(1, 2)]),
        ("x*", "ab", []),
    ],
)
def test_matches(pattern: str, text: str, expected: list[tuple[int, int]]) -> None:
    """Matches have character offsets; empty ones are ignored."""
    assert list(finder(pattern)(text)) == expected


@pytest.mark.parametrize("pattern", ["(a", r"(?<=a)b", r"(a)\1"])
def test_bad_patterns(pattern: str) -> None:
    """An invalid pattern is named, with the reason, in one line."""
    with pytest.raises(SettingError, match=r"redact-pattern: .* is not a valid RE2 regular expression: .+") as caught:
        finder(pattern)
    assert "\n" not in str(caught.value)


def test_no_pattern_hangs() -> None:
    """A pattern that makes other engines hang is fast."""
    began = time.thread_time()
    assert list(finder("(a+)+$")("a" * 50_000 + "b")) == []
    assert time.thread_time() - began < 5


def test_pseudonyms_belong_to_a_store(store: Store) -> None:
    """Two redactors of one store give the same pseudonyms; with another key they differ."""
    store.add(request=b'{"user": "alice"}')
    (call,) = read_calls(store.engine, [1])
    one, two = redactor(store.engine, None).redact(call), redactor(store.engine, "acme").redact(call)
    assert one == two
    assert b"alice" not in (one.bodies.request or b"")
    assert one != Redactor(b"k" * 32).redact(call)
