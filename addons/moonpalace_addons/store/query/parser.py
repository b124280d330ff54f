"""Parse the text of a predicate into a syntax tree."""

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

MAX_LENGTH = 10_000
"""Characters of a predicate. SQLite limits LIKE patterns to 50,000 bytes."""
MAX_DEPTH = 40
"""Levels of and, or, not. SQLite limits expressions to a depth of 1,000, and each of our levels takes several."""
MAX_COMPARISONS = 200
MAX_VALUES = 2_000

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
"""How error messages describe the parser's tokens, in the order in which they are listed."""

OPEN_LIST = re.compile(r"@\s*([\[(])[^\])]*$")
LIST_ENDS = {"[": "RSQB", "(": "RPAR"}
"""The beginning of an unclosed list, and the tokens that close it."""

FULL_WIDTH = dict(zip("“”‘’＂＇（）［］｛｝＝！＞＜～％＠＆｜，．：；", "\"\"''\"'()[]{}=!><~%@&|,.:;", strict=True))
"""Full-width characters that Chinese input methods write, with the characters that the language expects."""


def parse(text: str) -> Node:
    """Return the tree of a predicate; raises PredicateError for any text that is not one."""
    if len(text) > MAX_LENGTH:
        raise PredicateError(f"it has {len(text):,} characters, at most {MAX_LENGTH:,} are allowed", text, MAX_LENGTH)
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
    """Return the parser, which builds the tree while it parses."""
    grammar = File(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", transformer=Builder(), maybe_placeholders=False)


class BadTokenError(Exception):
    """A malformed token and its position."""

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
    # LALR merges states, so the parser may expect a closing bracket that was never opened, and miss others.
    if accepted >= {"AND", "COMMA"}:
        opening = OPEN_LIST.search(text[:position])
        accepted = {LIST_ENDS[opening[1]], "COMMA"} if opening else accepted - {*LIST_ENDS.values(), "COMMA"}
    is_open = text.count("(", 0, position) > text.count(")", 0, position)
    if accepted & {"AND", "OR", "RPAR", "$END"} and "COMMA" not in accepted:
        accepted = accepted - {"RPAR", "$END"} | {"AND", "OR", "RPAR" if is_open else "$END"}
    message = syntax_problem(text, position) + expectation(accepted) + hint(text, position, accepted)
    return PredicateError(message, text, position)


def syntax_problem(text: str, position: int) -> str:
    """Return a description of the unexpected text at a position."""
    if position >= len(text):
        return "it ends too early"
    if text[position] in "\"'":
        return "this string has no end" if not has_end(text, position) else "a string does not belong here"
    return f"syntax error at character {position + 1}"


def has_end(text: str, position: int) -> bool:
    """Return whether the string that begins at `position` is terminated."""
    quote, escaped = text[position], False
    for character in text[position + 1 :]:
        if character == quote and not escaped:
            return True
        escaped = character == "\\" and not escaped
    return False


def expectation(accepted: Collection[str]) -> str:
    """Return a description of the tokens that were expected."""
    words = list(dict.fromkeys(word for name, word in EXPECTED.items() if name in accepted))
    return f"; expected {either(words)}" if words else ""


def hint(text: str, position: int, accepted: Collection[str]) -> str:
    """Return a hint for a common mistake; empty for others."""
    rest = text[position:]
    before = text[:position]
    if rest[:1] in FULL_WIDTH:
        return f" ({rest[0]} is a full-width character: write {FULL_WIDTH[rest[0]]})"
    if "STRING" in accepted and (rest[:1].isalpha() or rest[:1] == "_"):
        return " (put text in quotes)"
    if rest[:1] == "=" and not before.endswith("="):
        return " (equality is ==)"
    if rest[:1] == "[" and before[-1:].isalnum():
        return " (elements are written field.0)"
    if rest[:1] in {"-", ".", "$"} and before[-1:].isalnum():
        return " (names with other characters than letters, digits and _ stand in back quotes: field.`a-b`)"
    return ""


def check_size(tree: Node, text: str) -> None:
    """Raise PredicateError for a tree that exceeds the limits of a database."""
    level = [tree]
    depth = comparisons = values = 0
    while level:
        depth += 1
        comparisons += sum(not children(node) for node in level)
        values += sum(len(node.values) for node in level if isinstance(node, Comparison))
        level = [child for node in level for child in children(node)]
    for name, count, limit in (
        ("levels", depth, MAX_DEPTH),
        ("comparisons", comparisons, MAX_COMPARISONS),
        ("values", values, MAX_VALUES),
    ):
        if count > limit:
            raise PredicateError(f"it has {count:,} {name}, at most {limit:,} are allowed", text, 0)


def read[T](reader: Callable[[str], T], token: Token) -> T:
    """Parse a token; raises BadTokenError with the position in the whole text."""
    try:
        return reader(str(token))
    except LiteralError as error:
        raise BadTokenError(str(error), start(token) + error.offset) from None


def start(token: Token) -> int:
    """Return the position where a token begins."""
    return token.start_pos or 0


@v_args(inline=True)
class Builder(Transformer[Token, Node]):
    """Build the tree bottom-up while the text is parsed, without recursion."""

    def start(self, node: Node) -> Node:
        """Return the whole predicate."""
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
        """Return a duration."""
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
