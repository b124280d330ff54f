"""Format a predicate's tree as text, and find the index that its query plan uses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from moonpalace_addons.store.query.literals import NANOSECONDS
from moonpalace_addons.store.query.tree import (
    And,
    AnyElement,
    Comparison,
    Day,
    Element,
    Member,
    Node,
    Not,
    Null,
    Number,
    Or,
    Path,
    Presence,
    Span,
    Step,
    Text,
    Truth,
    Value,
    children,
)

INDEX = re.compile(
    r"SEARCH exchanges USING (?:COVERING )?INDEX (\w+)"
    r"|SEARCH exchange_tags USING (?:COVERING )?INDEX (exchange_tags_tag)"
    r"|(?:Index|Index Only) Scan(?: Backward)? using (\w+) on exchange"
    r"|Bitmap Index Scan on (exchange\w+)"
)
BY_ID = re.compile(r"SEARCH exchanges USING INTEGER PRIMARY KEY|Index Cond: \(id ")
FULL_SCAN = re.compile(r"SCAN exchanges\b|Seq Scan on exchanges\b")
BY_TIME = re.compile(r"Index (?:Only )?Scan(?: Backward)? using exchanges_started_at ")
"""A scan of all calls in order of time on PostgreSQL, unless an index condition follows it."""


def index_in(steps: list[str]) -> str | None:
    """Return the index that a plan uses to find the calls; None if it scans all of them from the newest."""
    if any(map(scans_all_calls, steps, [*steps[1:], ""])) and not any(map(BY_ID.match, steps)):
        return None
    names = [name for step in steps for match in INDEX.finditer(step) for name in match.groups() if name]
    return ", ".join(dict.fromkeys(names)) or ("the ids" if any(BY_ID.search(step) for step in steps) else None)


def scans_all_calls(step: str, following: str) -> bool:
    """Return whether a step of a plan, with the line that follows it, scans all calls."""
    plain = step.lstrip("-> ")
    return bool(FULL_SCAN.match(plain) or (BY_TIME.match(plain) and not following.startswith("Index Cond")))


def searches(node: Node) -> Iterator[str]:
    """Yield the texts of the word searches in a tree."""
    if isinstance(node, Comparison) and node.path.field.lower() == "text":
        yield from (value.value for value in node.values if isinstance(value, Text))
    for child in children(node):
        yield from searches(child)


def outline(node: Node, indent: int = 0) -> Iterator[str]:
    """Yield the lines of the tree, each level indented."""
    margin = "  " * indent
    match node:
        case And(operands) | Or(operands):
            yield f"{margin}{'and' if isinstance(node, And) else 'or'}"
            for operand in operands:
                yield from outline(operand, indent + 1)
        case Not(operand):
            yield f"{margin}not"
            yield from outline(operand, indent + 1)
        case Presence(path):
            yield f"{margin}{path_text(path)} is there"
        case Comparison(path, comparator, values):
            listed = ", ".join(map(value_text, values))
            yield f"{margin}{path_text(path)} {comparator} {f'[{listed}]' if comparator in ('@', '!@') else listed}"


def path_text(path: Path) -> str:
    """Return a path in the syntax of predicates."""
    written = ".".join((name_text(path.field), *map(step_text, path.steps)))
    return f"len({written})" if path.measured else written


def step_text(step: Step) -> str:
    """Return a step of a path in the syntax of predicates."""
    match step:
        case Member(name):
            return name_text(name)
        case Element(index):
            return str(index)
        case AnyElement():
            return "*"


def name_text(name: str) -> str:
    """Return a name, in backquotes if it needs them."""
    return name if re.fullmatch(r"[^\W\d]\w*", name) else f"`{name.replace('`', '``')}`"


def value_text(value: Value) -> str:
    """Return a value in the syntax of predicates."""
    match value:
        case Text(text):
            escaped = text.replace("\\", "\\\\").replace("'", "\\'")
            return "'" + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + "'"
        case Number(number):
            return str(number)
        case Truth(truth):
            return "true" if truth else "false"
        case Null():
            return "NULL"
        case Day(name):
            return name
        case Span(nanoseconds):
            return span_text(nanoseconds)


def span_text(nanoseconds: int) -> str:
    """Return a duration in the largest unit that divides it."""
    unit = next(unit for unit in reversed(NANOSECONDS) if nanoseconds % NANOSECONDS[unit] == 0)
    return f"{nanoseconds // NANOSECONDS[unit]}{unit}"
