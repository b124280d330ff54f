"""Read the prompt of a request on each of the API's faces, as caches see it: tools, instructions, messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from moonpalace_addons.wire.chat.prefix import Content, read_content
from moonpalace_addons.wire.faces.table import face_of_path
from moonpalace_addons.wire.json_elements import Span
from moonpalace_addons.wire.json_value import dump_json, mapping, parse_bounded, text_in

MARKER = "cache_control"
"""Anthropic's mark of a prefix to cache. It wanders through a conversation, and is no part of the prompt."""
MARKER_TTLS = {"5m": 300, "1h": 3600}
RETENTION = {"24h": 86_400}
"""Seconds for which OpenAI keeps a prefix, by `prompt_cache_retention`; it does not say how long it does by default."""
UNCACHED = frozenset({"messages", "tools", "model"})


@dataclass(frozen=True, slots=True)
class Request:
    """The relevant parts of a request: the bytes of tools and messages, other members by name.

    Instructions that a face has apart are the first of its messages. `block` is the number of tokens in whose multiples
    the API caches, `least` the shortest prefix in tokens that it caches, `ttl` the seconds for which the request asks
    it to; `is_marked` is False if the face caches only what a request marks, and this one marks nothing.
    """

    model: str
    tools: tuple[bytes, ...]
    messages: tuple[bytes, ...]
    parameters: Mapping[str, bytes]
    block: int = 256
    least: int = 256
    ttl: int | None = None
    is_marked: bool = True

    @property
    def size(self) -> int:
        """Return the bytes of tools and messages."""
        return sum(map(len, self.tools)) + sum(map(len, self.messages))


def read_request(body: bytes, path: str = "/v1/chat/completions") -> Request | None:
    """Return the request in a body, None if it is not certainly one of a face whose prompts are known."""
    read = READERS.get(face_of_path(path).name)
    return read(body) if read else None


def is_known(path: str) -> bool:
    """Tell whether prompts of calls to this path can be read."""
    return face_of_path(path).name in READERS


def read_chat(body: bytes) -> Request | None:
    """Return a chat completion's request, byte for byte."""
    content = read_content(body)
    if content is None:
        return None
    others = {member.key: body[member.start : member.end] for member in content.members if member.key not in UNCACHED}
    ttl = RETENTION.get(str(parse_bounded(others.get("prompt_cache_retention", b""))))
    return Request(content.model, cut(content, content.tools), cut(content, content.messages), others, ttl=ttl)


def cut(content: Content, spans: Sequence[Span]) -> tuple[bytes, ...]:
    """Return the bytes of these spans."""
    return tuple(content.body[start:end] for start, end in spans)


def read_messages(body: bytes) -> Request | None:
    """Return the request of Anthropic's messages, without its cache markers."""
    asked = mapping(parse_bounded(body))
    model, messages, system = text_in(asked, "model"), asked.get("messages"), asked.get("system")
    if model is None or not isinstance(messages, list) or not messages:
        return None
    instructions = [{"role": "system", "content": [block]} for block in blocks_of(system)]
    turns = [
        each | {"content": blocks_of(each.get("content"))} if isinstance(each, dict) else each for each in messages
    ]
    found = list(markers(asked))
    return Request(
        model,
        dumped(asked.get("tools")),
        dumped([*instructions, *turns]),
        parameters(asked, {"model", "messages", "system", "tools"}),
        block=1,
        least=1024,
        ttl=max((MARKER_TTLS.get(str(mapping(each).get("ttl", "5m")), 300) for each in found), default=None),
        is_marked=bool(found),
    )


def read_responses(body: bytes) -> Request | None:
    """Return the request of /v1/responses; what the API keeps of an earlier response is not in it."""
    asked = mapping(parse_bounded(body))
    model, given, instructions = text_in(asked, "model"), asked.get("input"), text_in(asked, "instructions")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if model is None or not isinstance(items, list) or not items:
        return None
    first = [{"role": "system", "content": instructions}] if instructions else []
    others = parameters(asked, {"model", "input", "instructions", "tools"})
    ttl = RETENTION.get(str(asked.get("prompt_cache_retention")))
    return Request(model, dumped(asked.get("tools")), dumped([*first, *items]), others, 128, 1024, ttl)


READERS: Mapping[str, Callable[[bytes], Request | None]] = {
    "chat.completions": read_chat,
    "messages": read_messages,
    "responses": read_responses,
}


def blocks_of(content: object) -> list[object]:
    """Return the content of a message as blocks: a text and a block with this text are the same prompt."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else []


def dumped(values: object) -> tuple[bytes, ...]:
    """Return each element of a list as JSON, without cache markers."""
    return tuple(dump_json(unmarked(value)) for value in values) if isinstance(values, list) else ()


def unmarked(value: object) -> object:
    """Return a value without cache markers."""
    if isinstance(value, dict):
        return {key: unmarked(member) for key, member in value.items() if key != MARKER}
    return [unmarked(member) for member in value] if isinstance(value, list) else value


def markers(value: object) -> Iterator[object]:
    """Yield the cache markers in a value."""
    if isinstance(value, dict):
        for key, member in value.items():
            if key == MARKER and isinstance(member, dict):
                yield member
            else:
                yield from markers(member)
    elif isinstance(value, list):
        for member in value:
            yield from markers(member)


def parameters(asked: Mapping[str, object], without: set[str]) -> dict[str, bytes]:
    """Return the other members of a request as JSON."""
    return {name: dump_json(value) for name, value in asked.items() if name not in without}
