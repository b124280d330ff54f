"""Check the arguments of tools, and describe them to clients as JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.wire.suggestions import did_you_mean
from moonpalace_cli.flags.filters import FILTERS, Filter, Filters
from moonpalace_cli.mcp_server.pages import DEFAULT_TOKENS, MAX_TOKENS, MIN_TOKENS

type Kind = Literal["string", "boolean", "integer", "call", "texts"]
"""The kind of an argument: `call` is a number or an identifier, `texts` one text or several."""

MAX_TEXT = 10_000
"""Maximum characters of an argument."""
MAX_TEXTS = 20
"""Maximum texts in a list: each search costs a query."""

SCHEMAS: Mapping[Kind, Mapping[str, object]] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "call": {"type": ["integer", "string"]},
    "texts": {"type": ["string", "array"], "items": {"type": "string"}, "maxItems": MAX_TEXTS},
}
WORDS: Mapping[Kind, str] = {
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "call": "the number of a call, or an identifier of it",
    "texts": f"a text or a list of at most {MAX_TEXTS} texts",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of a tool; `bounds` apply to a whole number, `choices` to a text."""

    name: str
    help: str
    kind: Kind = "string"
    required: bool = False
    bounds: tuple[int, int] | None = None
    choices: tuple[str, ...] = ()

    @property
    def schema(self) -> dict[str, object]:
        """Return its JSON Schema."""
        described = {**SCHEMAS[self.kind], "description": self.help}
        if self.bounds:
            described |= {"minimum": self.bounds[0], "maximum": self.bounds[1]}
        return described | ({"enum": list(self.choices)} if self.choices else {})

    def check(self, value: object) -> object:
        """Return the value; raise MoonPalaceError if it is invalid."""
        if not self.suits(value):
            raise MoonPalaceError(f"{self.name} must be {self.wanted}")
        return value

    @property
    def wanted(self) -> str:
        """A description of valid values."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return WORDS[self.kind] + (f" from {self.bounds[0]:,} to {self.bounds[1]:,}" if self.bounds else "")

    def suits(self, value: object) -> bool:
        """Return whether a value is of the argument's kind."""
        is_number = isinstance(value, int) and not isinstance(value, bool)
        is_text = isinstance(value, str) and len(value) <= MAX_TEXT
        match self.kind:
            case "boolean":
                return isinstance(value, bool)
            case "integer":
                return is_number and (self.bounds is None or self.bounds[0] <= cast(int, value) <= self.bounds[1])
            case "call":
                return is_number or (is_text and bool(value))
            case "texts":
                listed = value if isinstance(value, list) else [value]
                fits = (isinstance(each, str) and len(each) <= MAX_TEXT for each in listed)
                return len(listed) <= MAX_TEXTS and all(fits)
            case _:
                return is_text and (not self.choices or value in self.choices)


def parameter_of(each: Filter) -> Parameter:
    """Return a filter of the commands as an argument."""
    kind: Kind = "boolean" if each.metavar is None else "texts" if each.multiple else "string"
    return Parameter(each.name, each.help, kind)


CALL = Parameter("call", "Number of the call, as search_calls shows it, or an identifier of it.", "call", required=True)
BUDGET = Parameter(
    "max_tokens",
    f"Tokens that the answer may have, about; {DEFAULT_TOKENS:,} if left out.",
    "integer",
    bounds=(MIN_TOKENS, MAX_TOKENS),
)
PAGING = (BUDGET, Parameter("cursor", "Where to continue, as the last line of the previous answer says."))
FILTERING = tuple(map(parameter_of, FILTERS))


def checked(parameters: Sequence[Parameter], arguments: Mapping[str, object]) -> Mapping[str, object]:
    """Return the arguments without nulls; raise MoonPalaceError for one that the tool does not have."""
    parameters_by_name = {each.name: each for each in parameters}
    for name in arguments:
        if name not in parameters_by_name:
            hint = did_you_mean(name, list(parameters_by_name)) or f"it takes {', '.join(parameters_by_name)}"
            raise MoonPalaceError(f"the tool takes no argument {name[:100]!r}; {hint}")
    missing = [each.name for each in parameters if each.required and arguments.get(each.name) is None]
    if missing:
        raise MoonPalaceError(f"{missing[0]} is missing: {parameters_by_name[missing[0]].wanted}")
    return {name: parameters_by_name[name].check(value) for name, value in arguments.items() if value is not None}


def filters_of(arguments: Mapping[str, object]) -> Filters:
    """Return the filters among the arguments as predicates; raise MoonPalaceError for an invalid value."""
    predicates: list[str] = []
    for each in FILTERS:
        value = arguments.get(each.name)
        if each.multiple:
            value = () if value is None else value if isinstance(value, list) else (value,)
        try:
            predicates += each.translated(value)
        except ValueError as error:
            raise MoonPalaceError(f"{each.name}: {error}") from error
    return Filters(tuple(predicates))


def tokens_of(arguments: Mapping[str, object]) -> int:
    """Return the token budget of an answer."""
    return cast(int, arguments.get(BUDGET.name, DEFAULT_TOKENS))


def cursor_of(arguments: Mapping[str, object]) -> str | None:
    """Return the cursor; None for the beginning."""
    return cast("str | None", arguments.get("cursor"))
