"""Tests of the patterns of `~` and `%`."""

import pytest

from moonpalace_addons.store.query.patterns import (
    MAX_REGEX_LENGTH,
    PatternError,
    check_regex,
    compiled,
    like,
    postgresql_regex,
)
from tests.tables import for_each


@for_each(
    ("pattern", "expected"),
    [
        ("abc", "%abc%"),
        ("", "%%"),
        ("abc*", "abc%"),
        ("*abc", "%abc"),
        ("*abc*", "%abc%"),
        ("*", "%%"),
        ("**", "%%"),
        ("***", "%*%"),
        ("a*b", "%a*b%"),
        ("%a_b%", "%%a_b%%"),
        (r"100\%", "%100!%%"),
        (r"\_", "%!_%"),
        (r"a\*", "%a*%"),
        (r"\*a", "%*a%"),
        (r"a\\", "%a\\%"),
        (r"a\\*", "a\\%"),
        ("a\\", "%a\\%"),
        ("a!b", "%a!!b%"),
    ],
)
def test_like(pattern: str, expected: str) -> None:
    """A pattern matches anywhere, a star at one end anchors the other, a backslash makes the next character literal."""
    assert like(pattern) == expected


@pytest.mark.parametrize(
    "pattern", ["(", "a**", "[a", r"(a)\1", "(?=a)", "(?<!a)b", r"\C{9999}", "x{2000}", "a" * (MAX_REGEX_LENGTH + 1)]
)
def test_refused_regex(pattern: str) -> None:
    """Invalid patterns, and those that could take more than linear time, are rejected."""
    with pytest.raises(PatternError):
        check_regex(pattern)


def test_evil_regex_is_linear() -> None:
    """A pattern that hangs backtracking engines is matched immediately."""
    pattern = r"(x+x+)+y"
    check_regex(pattern)
    assert compiled(pattern).search(b"x" * 1_000_000) is None


def checked(pattern: str) -> str:
    """Return a valid pattern of RE2."""
    check_regex(pattern)
    return pattern


@for_each(
    ("pattern", "expected"),
    [
        ("a.c", r"***:a[^\n]c"),
        ("(?s)a.c", "***:a.c"),
        ("(?i)abc", "***:(?i)abc"),
        ("(?is)a.", "***:(?i)a."),
        (r"\d+\w\s", r"***:[0-9]+[A-Za-z0-9_][\t\n\f\r ]"),
        (r"\D", "***:[^0-9]"),
        (r"[\d.]", "***:[0-9.]"),
        ("[]a]", r"***:[\]a]"),
        ("[^]a]", r"***:[^\]a]"),
        ("[a[]", r"***:[a\[]"),
        ("[[:alpha:]-]", "***:[[:alpha:]-]"),
        (r"\bword\b", r"***:\yword\y"),
        (r"\Aa\z", r"***:\Aa\Z"),
        ("(?P<name>a)(?:b)", "***:(a)(?:b)"),
        ("(?<name>a)", "***:(a)"),
        (r"\Qa.b\E", r"***:a\.b"),
        (r"\x41\x{4f60}", "***:A你"),
        (r"\.\-\/", r"***:\.\-\/"),
        ("***", None),
        (r"\pL", None),
        (r"a(?i)b", None),
        (r"a(?i:b)", None),
        (r"[\D]", None),
        (r"\C", None),
    ],
)
def test_postgresql_spelling(pattern: str, expected: str | None) -> None:
    """A regular expression of RE2 is translated to PostgreSQL's syntax, or rejected if that is impossible."""
    if expected is None:
        with pytest.raises(PatternError):
            postgresql_regex(checked(pattern))
        return
    assert postgresql_regex(checked(pattern)) == expected


TEXTS = ["", "abc", "a\nc", "ABC", "a1_ b", "[x]", "a.b", "word", "swords", "你好", "tab\t", "a]b", "x-y", "3.14"]


@pytest.mark.parametrize(
    "pattern",
    [r"a.c", r"^a", r"c$", r"(?i)abc", r"\d", r"^\w+$", r"\s", r"[^\d]", r"[\]]", r"[]]", r"\bword\b", r"\[x\]",
     r"a\.b",
     r"(a|w)\w*d", r"x{0,2}-", r"\d+\.\d*", r"^[[:alpha:]]+$", r"(?s)a.c", r"好$", r"a*?b", r"^$", r"\Aa", r"c\z"],
)  # fmt: skip
def test_both_engines_agree(pattern: str, filled_postgresql: object) -> None:
    """RE2 and PostgreSQL find the same matches in the same texts."""
    from sqlalchemy import text

    engine = filled_postgresql.engine  # type: ignore[attr-defined]
    with engine.connect() as connection:
        query = text("SELECT :given ~ :pattern")
        results = [
            connection.execute(query, {"given": given, "pattern": postgresql_regex(pattern)}).scalar()
            for given in TEXTS
        ]
    assert results == [compiled(pattern).search(given.encode()) is not None for given in TEXTS]
    assert True in results
