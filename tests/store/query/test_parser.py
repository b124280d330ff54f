"""Tests of the parser of predicates: trees, and mistakes with their positions."""

from decimal import Decimal

import pytest

from moonpalace_addons.store.query.errors import PredicateError
from moonpalace_addons.store.query.explaining import outline
from moonpalace_addons.store.query.parser import MAX_COMPARISONS, MAX_DEPTH, MAX_LENGTH, MAX_VALUES, parse
from moonpalace_addons.store.query.tree import (
    And,
    AnyElement,
    Comparison,
    Day,
    Element,
    Member,
    Not,
    Null,
    Number,
    Or,
    Path,
    Presence,
    Span,
    Text,
    Truth,
)
from tests.tables import for_each


def test_whole_tree() -> None:
    """A predicate becomes a tree, with the position of each path and value."""
    text = "a.`b``c`.-1.*.`0` == 'x' && not len(b) > 2 or c"
    steps = (Member("b`c"), Element(-1), AnyElement(), Member("0"))
    compared = Comparison(Path("a", steps, 0), "==", (Text("x", 21),))
    measured = Comparison(Path("b", (), 36, measured=True), ">", (Number(2, 41),))
    assert parse(text) == Or((And((compared, Not(measured))), Presence(Path("c", (), 46))))


LITERALS = [
    ("'it''s'", None),
    (r"'it\'s'", Text("it's", 5)),
    (r'"a \"b\" c"', Text('a "b" c', 5)),
    (r"'\n\t\r\\ \/'", Text("\n\t\r\\ /", 5)),
    (r"'100\% \d \b'", Text(r"100\% \d \b", 5)),
    (r"'\u4f60\ud83d\ude00'", Text("你😀", 5)),
    (r"'\u12'", Text(r"\u12", 5)),
    ("'line\nline'", Text("line\nline", 5)),
    ("''", Text("", 5)),
    ("12", Number(12, 5)),
    ("-12", Number(-12, 5)),
    ("+1", Number(1, 5)),
    ("1.50", Number(Decimal("1.50"), 5)),
    (".5", Number(Decimal("0.5"), 5)),
    ("-1e-3", Number(Decimal("-0.001"), 5)),
    ("true", Truth(value=True, position=5)),
    ("FALSE", Truth(value=False, position=5)),
    ("NULL", Null(5)),
    ("null", Null(5)),
    ("-2h", Span(-7_200_000_000_000, 5)),
    ("1.5s", Span(1_500_000_000, 5)),
    ("-1d12h", Span(-129_600_000_000_000, 5)),
    ("300ms", Span(300_000_000, 5)),
    ("Today", Day("today", 5)),
    ("yesterday", Day("yesterday", 5)),
    ("2w", Span(1_209_600_000_000_000, 5)),
]


@for_each(("literal", "value"), LITERALS)
def test_literal(literal: str, value: object) -> None:
    """Strings, numbers, booleans, NULL and durations are parsed; a quote is escaped, not doubled."""
    if value is None:
        with pytest.raises(PredicateError):
            parse(f"a == {literal}")
        return
    tree = parse(f"a == {literal}")
    assert isinstance(tree, Comparison)
    assert tree.values == (value,)


SAME = [
    ("a == 1 && b == 2", "a==1&&b==2"),
    ("a == 1 and b == 2", "a == 1 && b == 2"),
    ("a AND b OR NOT c", "a && b || !c"),
    ("a || b && c", "a or (b and c)"),
    ("!(a || b)", "not (a or b)"),
    ("a @ [1, 2]", "a in (1,2,)"),
    ("a !@ [1]", "a not in [1]"),
    ("((((a))))", "a"),
    ("\n a \t== \r\n 1 ", "a == 1"),
    ("`a`.b", "a.`b`"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_ways_to_say_it(one: str, other: str) -> None:
    """Words and signs are equivalent, with any whitespace."""
    assert list(outline(parse(one))) == list(outline(parse(other)))


def test_words_within_names() -> None:
    """Names that begin like a keyword are names."""
    tree = parse("android == 1 and notes or inner and lent and trueish and nullable")
    assert "  and" in "\n".join(outline(tree))
    names = [line.split()[0] for line in outline(tree) if line.strip() not in ("and", "or")]
    assert names == ["android", "notes", "inner", "lent", "trueish", "nullable"]


VALUE = "a value (a quoted string, a number, true, false, NULL)"
OPERATOR = "an operator (== != > >= < <= ~ !~ % !% @ !@)"
MISTAKES = [
    ("id ===", 5, f"syntax error at character 6; expected {VALUE}"),
    ("id == ", 6, f"it ends too early; expected {VALUE}"),
    (f"a == {'9' * 302}", 5, "this number is out of range"),
    (f"a == -{'9' * 399}", 5, "this number is out of range"),
    ("a" + ".*" * 500, 62, "a path has at most 30 steps"),
    ("id = 1", 3, f"syntax error at character 4; expected {OPERATOR}, &&, || or the end (equality is ==)"),
    ("", 0, "it is empty; expected a field, as in: status == 200"),
    ("  ", 0, "it is empty; expected a field, as in: status == 200"),
    ("a == kimi", 5, f"syntax error at character 6; expected {VALUE} (put text in quotes)"),
    ("a == “x”", 5, f'syntax error at character 6; expected {VALUE} (“ is a full-width character: write ")'),
    ("a == 'x", 5, f"this string has no end; expected {VALUE}"),
    ("a 'x'", 2, f"a string does not belong here; expected {OPERATOR}, &&, || or the end"),
    ("(a == 1", 7, "it ends too early; expected &&, || or )"),
    ("a == 1)", 6, "syntax error at character 7; expected &&, || or the end"),
    ("a == 1 b", 7, "syntax error at character 8; expected &&, || or the end"),
    ("a == 1 &", 7, "syntax error at character 8; expected &&, || or the end"),
    ("(a == 1 &", 8, "syntax error at character 9; expected &&, || or )"),
    ("a @ [1 & 2]", 7, "syntax error at character 8; expected ] or ,"),
    ("a @ (1 & 2)", 7, "syntax error at character 8; expected ) or ,"),
    ("a @ 1", 4, "syntax error at character 5; expected ( or a list [..]"),
    ("a @ [1 2]", 7, "syntax error at character 8; expected ] or ,"),
    ("a[0] == 1", 1,
     f"syntax error at character 2; expected {OPERATOR}, &&, || or the end (elements are written field.0)"),
    ("a.b-c == 1", 3, f"syntax error at character 4; expected {OPERATOR}, &&, || or the end"
     " (names with other characters than letters, digits and _ stand in back quotes: field.`a-b`)"),
    ("&& a", 0, "syntax error at character 1; expected a field, len(field) or ("),
    ("a == 1e999", 5, "this number is out of range"),
    ("a == " + "1" * 500, 5, "a number has at most 400 characters"),
    ("a == 99999999999999w", 5, "this length of time is out of range"),
    ("a.99999999999 == 1", 2, "no array has so many elements"),
    (r"a == 'x\ud800'", 5, "a string cannot hold half of a surrogate pair"),
    (r"a == '\u0000'", 5, "a string cannot hold the character NUL"),
    ("a == 'x\udcffy'", 7, "a predicate cannot hold what is not a character (its bytes are not UTF-8)"),
    ("a.`\x00` == 1", 3, "a predicate cannot hold the character NUL"),
    ("a" * (MAX_LENGTH + 1), MAX_LENGTH, f"it has {MAX_LENGTH + 1:,} characters, at most {MAX_LENGTH:,} are allowed"),
    ("not " * (MAX_DEPTH + 1) + "a", 0, f"it has {MAX_DEPTH + 2} levels, at most {MAX_DEPTH} are allowed"),
    (" or ".join(["a"] * (MAX_COMPARISONS + 1)), 0,
     f"it has {MAX_COMPARISONS + 1} comparisons, at most {MAX_COMPARISONS} are allowed"),
    (f"a @ [{'1,' * (MAX_VALUES + 1)}]", 0, f"it has {MAX_VALUES + 1:,} values, at most {MAX_VALUES:,} are allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "position", "message"), MISTAKES, ids=lambda value: repr(value)[:40])
def test_mistake(text: str, position: int, message: str) -> None:
    """A mistake gives the problem, its position, and what was expected."""
    with pytest.raises(PredicateError) as raised:
        parse(text)
    assert (str(raised.value), raised.value.position) == (f"predicate: {message}", position)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 4_000 + "a" + ")" * 4_000,
        "(" * 9_999,
        ")" * 9_999,
        "not " * 2_499 + "a",
        "a.b" * 3_000,
        "'" + "\\" * 9_000,
    ],
    ids=lambda text: text[:10],
)
def test_deep_and_long_texts(text: str) -> None:
    """Any depth and length gives a tree or a mistake."""
    try:
        parse(text)
    except PredicateError as error:
        assert len(error.detail) < 1_000  # noqa: PT017 - either is right
