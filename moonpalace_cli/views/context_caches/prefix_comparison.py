"""Compare the requests of two calls as the API's cache does: find where they diverge."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from moonpalace_addons.wire.json_value import mapping, parse, text_in
from moonpalace_cli.views.context_caches.prompts import Request

BLOCK = 256
"""Tokens: the API caches prefixes in blocks of this size."""
BEFORE, AFTER = 24, 56
"""Characters of a change that are shown before and after its beginning."""
TRANSPORT_PARAMETERS = frozenset({"stream", "stream_options", "metadata"})
"""Parameters of the transport, which a proxy may change, and the client's own notes."""

type Kind = Literal["changed", "put in", "left out"]


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first difference: message `number` (from 1), `offset` in bytes; its role, and both texts.

    An inserted or removed message has only one of the two texts. `characters` counts the characters of a changed
    message's text before the difference; None if its content is not text, or differs elsewhere.
    """

    number: int
    role: str
    kind: Kind
    offset: int
    before: str
    after: str
    characters: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The common part of two requests; `same_bytes` counts the tools and messages of the common prefix."""

    same_messages: int
    shared_messages: int
    same_bytes: int
    same_tools: bool
    same_model: bool
    parameters: tuple[str, ...]
    divergence: Divergence | None

    @property
    def is_prefix(self) -> bool:
        """Return whether the earlier request is a prefix of the later one, for the same model."""
        return self.divergence is None and self.same_tools and self.same_model


def kinship(earlier: Request, later: Request) -> tuple[int, int]:
    """Return the similarity of two requests: the number of messages in both, and that of their common prefix."""
    ours, theirs = counted(later.messages), counted(earlier.messages)
    both = ours.keys() & theirs.keys()
    is_simple = len(theirs) == len(earlier.messages) or len(ours) == len(later.messages)
    shared = len(both) if is_simple else sum(min(ours[message], theirs[message]) for message in both)
    return shared, common(earlier.messages, later.messages)


@lru_cache(128)
def counted(messages: tuple[bytes, ...]) -> Counter[bytes]:
    """Count each message. Cached, because a call is compared with fifty others, and these with the next calls."""
    return Counter(messages)


def compare(earlier: Request, later: Request) -> Comparison:
    """Return the common part of two requests, and where they diverge."""
    shared, same = kinship(earlier, later)
    same_tools = earlier.tools == later.tools
    tools = later.tools if same_tools else later.tools[: common(earlier.tools, later.tools)]
    pieces = (*tools, *(later.messages[:same] if same_tools else ()))
    divergence = None
    if same < len(earlier.messages) and same < len(later.messages):
        divergence = diverge(earlier.messages[same:], later.messages[same:], same + 1)
    return Comparison(
        same_messages=same,
        shared_messages=shared,
        same_bytes=sum(map(len, pieces)) + (divergence.offset if divergence and same_tools else 0),
        same_tools=same_tools,
        same_model=earlier.model == later.model,
        parameters=changed_parameters(earlier.parameters, later.parameters),
        divergence=divergence,
    )


def common(one: Sequence[object], other: Sequence[object]) -> int:
    """Return the length of the common prefix of two sequences."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (left, right) in pairs if left != right), min(len(one), len(other)))


def diverge(earlier: Sequence[bytes], later: Sequence[bytes], number: int) -> Divergence:
    """Return the divergence of messages, given from the first difference on."""
    before, after = earlier[0], later[0]
    if before in later[1:]:
        return Divergence(number, role_of(after), "put in", 0, "", excerpt(after, 0))
    if after in earlier[1:]:
        return Divergence(number, role_of(before), "left out", 0, excerpt(before, 0), "")
    pairs = enumerate(zip(before, after, strict=False))
    offset = next((place for place, (left, right) in pairs if left != right), min(len(before), len(after)))
    texts = excerpt(before, offset), excerpt(after, offset)
    return Divergence(number, role_of(after), "changed", offset, *texts, same_characters(before, after))


def same_characters(before: bytes, after: bytes) -> int | None:
    """Return the length of the common prefix of two messages' texts; None if it is unknown."""
    fields = [mapping(parse(message)) for message in (before, after)]
    one, other = (text_in(each, "content") for each in fields)
    if one is None or other is None or one == other or fields[0].get("role") != fields[1].get("role"):
        return None
    return common(one, other)


def role_of(message: bytes) -> str:
    """Return the role of a message, the type of an item without one, or an empty text."""
    fields = mapping(parse(message))
    return text_in(fields, "role") or text_in(fields, "type") or ""


def excerpt(message: bytes, offset: int) -> str:
    """Return the text around a position in a message, in one line."""
    before = message[:offset].decode("utf-8", "ignore")
    rest = message[len(before.encode()) :].decode("utf-8", "replace")
    start = f"…{before[-BEFORE:]}" if len(before) > BEFORE else before
    return " ".join(f"{start}{rest[:AFTER]}{'…' if len(rest) > AFTER else ''}".split())


def changed_parameters(earlier: Mapping[str, bytes], later: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return a text for each other parameter that differs: its name, its old and its new value."""
    names = sorted((earlier.keys() | later.keys()) - TRANSPORT_PARAMETERS)
    return tuple(
        f"{name} {shown(earlier.get(name))} -> {shown(later.get(name))}"
        for name in names
        if earlier.get(name) != later.get(name)
    )


def shown(value: bytes | None) -> str:
    """Return a parameter's value in one line."""
    text = "unset" if value is None else value.decode("utf-8", "replace")
    return text if len(text) <= 40 else f"{text[:39]}…"


def blocks(tokens: int, block: int = BLOCK) -> int:
    """Return how many of these tokens can be cached, in whole blocks."""
    return tokens // block * block
