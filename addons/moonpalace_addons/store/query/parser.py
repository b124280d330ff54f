"""Parse the text of a predicate into a tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path as File
from typing import cast

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from moonpalace_addons.store.query import literals
from moonpalace_addons.store.query.errors import PredicateError
from moonpalace_addons.store.query.literals import LiteralError
from moonpalace_addons.store.query.tree import (
    And,
    Comparator,
    Comparison,
    Day,
    Node,
    Not,
    Null,
    Number,
    Or,
    Path,
    Presence,
    Span,
    Text,
    Truth,
    Value,
    children,
)
from moonpalace_addons.wire.suggestions import either

LONGEST = 10_000
"""Characters of a predicate. SQLite takes patterns of LIKE up to 50,000 bytes."""
DEEPEST = 40
"""Levels of and, or, not. SQLite takes expressions of 1,000 levels, and each of ours is several of its."""
MOST_COMPARISONS = 200
MOST_VALUES = 2_000

EXPECTED = {
    "PATH": "a field",
    "LEN": "len(field)",
    "COMPARATOR": "an operator (== != > >= < <= ~ !~ % !% @ !@)",
    "AMONG": "an operator (== != > >= < <= ~ !~ % !% @ !@)",
    "IN": "an operator (== != > >= < <= ~ !~ % !% @ !@)",
    "STRING": "a value (a quoted string, a number, true, false, NULL)",
    "NUMBER": "a value (a quoted string, a number, true, false, NULL)",
    "AND": "&&",
    "OR": "||",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "a list [..]",
    "RSQB": "]",
    "COMMA": ",",
    "$END": "the end",
}
"""What the parser's names mean, in the order in which they are named."""

LISTING = re.compile(r"@\s*([\[(])[^\])]*$")
LISTS = {"[": "RSQB", "(": "RPAR"}
"""The beginning of a list that is still open, and the names of what closes it."""

TYPED = dict(zip("“”‘’＂＇（）［］｛｝＝！＞＜～％＠＆｜，．：；", "\"\"''\"'()[]{}=!><~%@&|,.:;", strict=True))
"""What an input method for Chinese writes, and what the language has."""


def parse(text: str) -> Node:
    """Return the tree of a predicate; raises PredicateError for a mistake, whatever the text is."""
    if len(text) > LONGEST:
        raise PredicateError(f"it has {len(text):,} characters, at most {LONGEST:,} are taken", text, LONGEST)
    if not text.strip():
        raise PredicateError("it is empty; expected a field, as in: status == 200", text, 0)
    try:
        tree = cast(Node, language().parse(text))
    except BadTokenError as error:
        raise PredicateError(str(error), text, error.position) from None
    except UnexpectedInput as error:
        raise syntax_error(error, text) from None
    check_size(tree, text)
    return tree


@cache
def language() -> Lark:
    """Return the parser, which builds the tree by itself."""
    grammar = File(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", transformer=Builder(), maybe_placeholders=False)


class BadTokenError(Exception):
    """Say what is wrong with a token, and where that is."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


def syntax_error(error: UnexpectedInput, text: str) -> PredicateError:
    """Return the error for a text that does not follow the grammar."""
    position, accepted = len(text), set[str]()
    if isinstance(error, UnexpectedToken):
        accepted = set(error.accepts or error.expected)
        if error.token.type != "$END":
            position = error.token.start_pos or 0
    elif isinstance(error, UnexpectedCharacters):
        position = cast(int, error.pos_in_stream)
        accepted = set(error.allowed or ())
    # The parser has merged states and is past some: it names a bracket that nothing has opened, and forgets others.
    if accepted >= {"AND", "COMMA"}:
        opening = LISTING.search(text[:position])
        accepted = {LISTS[opening[1]], "COMMA"} if opening else accepted - {*LISTS.values(), "COMMA"}
    is_open = text.count("(", 0, position) > text.count(")", 0, position)
    if accepted & {"AND", "OR", "RPAR", "$END"} and "COMMA" not in accepted:
        accepted = accepted - {"RPAR", "$END"} | {"AND", "OR", "RPAR" if is_open else "$END"}
    message = found(text, position) + expectation(accepted) + hint(text, position, accepted)
    return PredicateError(message, text, position)


def found(text: str, position: int) -> str:
    """Return the words for what stands at a position where it should not."""
    if position >= len(text):
        return "it ends too early"
    if text[position] in "\"'":
        return "this string has no end" if not has_end(text, position) else "a string does not belong here"
    return f"syntax error at character {position + 1}"


def has_end(text: str, position: int) -> bool:
    """Tell whether the string that begins here is closed."""
    quote, escaped = text[position], False
    for character in text[position + 1 :]:
        if character == quote and not escaped:
            return True
        escaped = character == "\\" and not escaped
    return False


def expectation(accepted: Collection[str]) -> str:
    """Return the words for what could have stood there."""
    words = list(dict.fromkeys(word for name, word in EXPECTED.items() if name in accepted))
    return f"; expected {either(words)}" if words else ""


def hint(text: str, position: int, accepted: Collection[str]) -> str:
    """Return a remark on the mistakes that are made often, empty for others."""
    rest = text[position:]
    before = text[:position]
    if rest[:1] in TYPED:
        return f" ({rest[0]} is a full-width character: write {TYPED[rest[0]]})"
    if "STRING" in accepted and (rest[:1].isalpha() or rest[:1] == "_"):
        return " (text stands in quotes)"
    if rest[:1] == "=" and not before.endswith("="):
        return " (equality is ==)"
    if rest[:1] == "[" and before[-1:].isalnum():
        return " (elements are written field.0)"
    if rest[:1] in {"-", ".", "$"} and before[-1:].isalnum():
        return " (names with other characters than letters, digits and _ stand in back quotes: field.`a-b`)"
    return ""


def check_size(tree: Node, text: str) -> None:
    """Refuse what would be too much for a database."""
    level = [tree]
    depth = comparisons = values = 0
    while level:
        depth += 1
        comparisons += sum(not children(node) for node in level)
        values += sum(len(node.values) for node in level if isinstance(node, Comparison))
        level = [child for node in level for child in children(node)]
    for name, count, most in (
        ("levels", depth, DEEPEST),
        ("comparisons", comparisons, MOST_COMPARISONS),
        ("values", values, MOST_VALUES),
    ):
        if count > most:
            raise PredicateError(f"it has {count:,} {name}, at most {most:,} are taken", text, 0)


def read[T](reader: Callable[[str], T], token: Token) -> T:
    """Read a token; what is wrong with it is reported at its place in the text."""
    try:
        return reader(str(token))
    except LiteralError as error:
        raise BadTokenError(str(error), start(token) + error.offset) from None


def start(token: Token) -> int:
    """Return where a token begins."""
    return token.start_pos or 0


@v_args(inline=True)
class Builder(Transformer[Token, Node]):
    """Build the tree while the text is parsed, so that nothing recurses."""

    def start(self, node: Node) -> Node:
        """Return the whole."""
        return node

    def either(self, first: Node, *others: Node | Token) -> Node:
        """Return `a || b || …`."""
        operands = (first, *(other for other in others if not isinstance(other, Token)))
        return Or(operands) if others else first

    def both(self, first: Node, *others: Node | Token) -> Node:
        """Return `a && b && …`."""
        operands = (first, *(other for other in others if not isinstance(other, Token)))
        return And(operands) if others else first

    def negation(self, _: Token, node: Node) -> Node:
        """Return `not a`."""
        return Not(node)

    def plain(self, token: Token) -> Path:
        """Return a path."""
        return Path(*read(literals.read_path, token), start(token))

    def measured(self, _: Token, token: Token) -> Path:
        """Return `len(path)`."""
        return Path(*read(literals.read_path, token), start(token), measured=True)

    def present(self, path: Path) -> Node:
        """Return a path alone."""
        return Presence(path)

    def compared(self, path: Path, comparator: Token, value: Value) -> Node:
        """Return `path == value`."""
        return Comparison(path, cast(Comparator, str(comparator)), (value,))

    def among(self, path: Path, comparator: Token, values: tuple[Value, ...]) -> Node:
        """Return `path @ [..]`."""
        return Comparison(path, cast(Comparator, str(comparator)), values)

    def among_words(self, path: Path, _: Token, values: tuple[Value, ...]) -> Node:
        """Return `path in [..]`."""
        return Comparison(path, "@", values)

    def not_among(self, path: Path, _: Token, __: Token, values: tuple[Value, ...]) -> Node:
        """Return `path not in [..]`."""
        return Comparison(path, "!@", values)

    def values(self, *values: Value) -> tuple[Value, ...]:
        """Return a list."""
        return values

    def text(self, token: Token) -> Value:
        """Return a string."""
        return Text(read(literals.read_string, token), start(token))

    def span(self, token: Token) -> Value:
        """Return a length of time."""
        return Span(read(literals.read_span, token), start(token))

    def day(self, token: Token) -> Value:
        """Return today or yesterday."""
        return Day(str(token).lower(), start(token))

    def number(self, token: Token) -> Value:
        """Return a number."""
        return Number(read(literals.read_number, token), start(token))

    def true(self, token: Token) -> Value:
        """Return true."""
        return Truth(value=True, position=start(token))

    def false(self, token: Token) -> Value:
        """Return false."""
        return Truth(value=False, position=start(token))

    def null(self, token: Token) -> Value:
        """Return NULL."""
        return Null(start(token))
