"""Hash the prefixes of a chat request: its tools, then its first message, its first two, and so on.

The exact bytes of each element are hashed: prefixes that differ in anything that the API sees (roles, names, tool
calls, images, the order of keys) have different hashes. Elements are objects, which end at their closing brace, so no
separator is needed.
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import NamedTuple

from moonpalace_addons.wire.json_elements import Member, Span, read_members, read_value

ARRAYS = ("messages", "tools")
MOONSHOT_V1 = "moonshot-v1"
INSTRUCTION_ROLES = ("system", "developer")
_DIGEST_SIZE = 16
_BRACE = ord("{")


class Prefix(NamedTuple):
    """A prefix: `messages` is its number of messages after the tools, `size` the bytes of all its elements.

    Not a dataclass, since a long history has thousands of them.
    """

    digest: bytes
    messages: int
    size: int


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a chat request: its model, and the positions of its tools and messages in `body`."""

    body: bytes = field(repr=False)
    model: str
    members: tuple[Member, ...] = field(repr=False)
    tools: tuple[Span, ...]
    messages: tuple[Span, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all tools and messages."""
        return sum(end - start for start, end in (*self.tools, *self.messages))

    def member(self, key: str) -> Member | None:
        """Return the member of the request with this key, None if there is none."""
        return next((member for member in self.members if member.key == key), None)


def read_content(body: bytes) -> Content | None:
    """Return the content of a chat request; None if it is not certain.

    It is uncertain if the body is not a JSON object or has a key twice (which of the two the API uses is unknown), if
    `model` is not a string, if `messages` is not a non-empty array of objects, or if `tools` is neither an array of
    objects nor null.
    """
    members = read_members(body, ARRAYS)
    if members is None or len({member.key for member in members}) != len(members):
        return None
    named = {member.key: member for member in members}
    model, messages, tools = (named.get(name) for name in ("model", "messages", "tools"))
    if model is None or messages is None or not messages.elements:
        return None
    if tools is not None and tools.elements is None and body[tools.start : tools.end] != b"null":
        return None
    if any(body[start] != _BRACE for start, _ in (*messages.elements, *((tools and tools.elements) or ()))):
        return None
    name = read_value(body, (model.start, model.end))
    if not isinstance(name, str):
        return None
    return Content(body, name, tuple(members), (tools and tools.elements) or (), messages.elements)


def family(model: str) -> str:
    """Return the model name under which caches are created: all sizes of moonshot-v1 share one."""
    return MOONSHOT_V1 if model == MOONSHOT_V1 or model.startswith(f"{MOONSHOT_V1}-") else model


def prefixes(content: Content) -> list[Prefix]:
    """Return the prefixes that cover more than half of the content, longest first.

    A last message that the answer shall continue (`partial`) ends none of them: the next request of the conversation
    has it in another form. The model's family is part of the hash, since caches belong to it.
    """
    body, least, size = memoryview(content.body), content.size // 2, 0
    name = family(content.model).encode("utf-8", "surrogatepass")
    state = hashlib.sha256(b"%d:%b;%d tools" % (len(name), name, len(content.tools)))
    for start, end in content.tools:
        state.update(body[start:end])
        size += end - start
    found = []
    last = len(content.messages) - is_continued(content)
    for number, (start, end) in enumerate(content.messages[:last], 1):
        state.update(body[start:end])
        size += end - start
        if size > least:
            found.append(Prefix(state.copy().digest()[:_DIGEST_SIZE], number, size))
    return found[::-1]


def is_continued(content: Content) -> bool:
    """Tell whether the answer shall continue the last message."""
    start, end = content.messages[-1]
    if b'"partial"' not in content.body[start:end]:
        return False
    message = read_value(content.body, (start, end))
    return isinstance(message, dict) and message.get("partial") is True


def cache_request(content: Content, prefix: Prefix, ttl: int) -> bytes:
    """Return the request body that creates a cache of a prefix, its elements byte for byte; `ttl` is in seconds."""

    def joined(spans: tuple[Span, ...]) -> bytes:
        return b"[" + b",".join(content.body[start:end] for start, end in spans) + b"]"

    parts = [b'{"model":', json.dumps(family(content.model)).encode()]
    if content.tools:
        parts += [b',"tools":', joined(content.tools)]
    parts += [b',"messages":', joined(content.messages[: prefix.messages]), b',"ttl":%d}' % ttl]
    return b"".join(parts)


def key_hint(content: Content) -> str:
    """Return a text that stays the same through a conversation: a hash of the tools and the first messages.

    These are the instructions that the conversation begins with, and the message that follows them.
    """
    state = hashlib.sha256(b"%d tools" % len(content.tools))
    for start, end in (*content.tools, *first_messages(content)):
        state.update(content.body[start:end])
    return f"mp-{state.hexdigest()[:32]}"


def first_messages(content: Content) -> tuple[Span, ...]:
    """Return the positions of the leading instructions, and of the message that follows them."""
    for number, place in enumerate(content.messages, 1):
        message = read_value(content.body, place)
        if not isinstance(message, dict) or message.get("role") not in INSTRUCTION_ROLES:
            return content.messages[:number]
    return content.messages


def with_member(content: Content, key: str, value: str) -> bytes:
    """Return the body with a member added at its end, all other bytes unchanged."""
    end = content.members[-1].end
    added = f",{json.dumps(key)}:{json.dumps(value)}".encode()
    return content.body[:end] + added + content.body[end:]
