"""Read the prompt of a request of any face as caches see it: tools, instructions, messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from moonpalace_addons.wire.chat.prefix import Content, read_content
from moonpalace_addons.wire.faces.table import face_of_path
from moonpalace_addons.wire.json_elements import Span
from moonpalace_addons.wire.json_value import dump_json, mapping, parse_bounded, text_in

MARKER = "cache_control"
"""Anthropic's mark of a prefix to cache. It moves through a conversation, and is not part of the prompt."""
MARKER_TTLS = {"5m": 300, "1h": 3600}
RETENTION = {"24h": 86_400}
"""Seconds for which OpenAI keeps a prefix, by `prompt_cache_retention`; the default is undocumented."""
UNCACHED = frozenset({"messages", "tools", "model"})


@dataclass(frozen=True, slots=True)
class Request:
    """The relevant parts of a request: the bytes of tools and messages, other members by name.

    Separate instructions count as the first message. `block` is the API's block size for caching in tokens, `least` the
    shortest prefix that it caches in tokens, `ttl` the requested lifetime in seconds; `is_marked` is False if the face
    only caches marked prefixes and this request marks none.
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
        """The bytes of tools and messages."""
        return sum(map(len, self.tools)) + sum(map(len, self.messages))


def read_request(body: bytes, path: str = "/v1/chat/completions") -> Request | None:
    """Return the request in a body; None unless it certainly belongs to a face whose prompts can be read."""
    read = READERS.get(face_of_path(path).name)
    return read(body) if read else None


def is_known(path: str) -> bool:
    """Return whether prompts of calls to this path can be read."""
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
    members = mapping(parse_bounded(body))
    model, messages, system = text_in(members, "model"), members.get("messages"), members.get("system")
    if model is None or not isinstance(messages, list) or not messages:
        return None
    instructions = [{"role": "system", "content": [block]} for block in blocks_of(system)]
    turns = [
        each | {"content": blocks_of(each.get("content"))} if isinstance(each, dict) else each for each in messages
    ]
    marks = list(markers(members))
    return Request(
        model,
        dumped(members.get("tools")),
        dumped([*instructions, *turns]),
        parameters(members, {"model", "messages", "system", "tools"}),
        block=1,
        least=1024,
        ttl=max((MARKER_TTLS.get(str(mapping(each).get("ttl", "5m")), 300) for each in marks), default=None),
        is_marked=bool(marks),
    )


def read_responses(body: bytes) -> Request | None:
    """Return the request of /v1/responses; earlier responses that the API stores are not included."""
    members = mapping(parse_bounded(body))
    model, content, instructions = text_in(members, "model"), members.get("input"), text_in(members, "instructions")
    items = [{"role": "user", "content": content}] if isinstance(content, str) else content
    if model is None or not isinstance(items, list) or not items:
        return None
    first = [{"role": "system", "content": instructions}] if instructions else []
    others = parameters(members, {"model", "input", "instructions", "tools"})
    ttl = RETENTION.get(str(members.get("prompt_cache_retention")))
    return Request(model, dumped(members.get("tools")), dumped([*first, *items]), others, 128, 1024, ttl)


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


def parameters(members: Mapping[str, object], without: set[str]) -> dict[str, bytes]:
    """Return the other members of a request as JSON."""
    return {name: dump_json(value) for name, value in members.items() if name not in without}
