"""Read JSON like Python's json module, several times as fast."""

import json
from collections.abc import Mapping
from functools import cache

import msgspec

_decode = msgspec.json.Decoder().decode
_NOTHING: Mapping[str, object] = {}

MAX_PARSED_SIZE = 8_000_000
"""Maximum bytes of JSON parsed at once. Empty lists and objects take 24 times their size in memory."""
_OUTLINE_KEYS = (
    *("id", "object", "type", "created", "model", "choices", "usage", "finish_reason", "status", "stop_reason"),
    *("incomplete_details", "error", "message", "code", "detail", "msg", "base_resp"),
    *("stream", "max_tokens", "max_completion_tokens", "service_tier", "x_groq", "metadata", "prompt_cache_key"),
    "tool_choice",
)


def parse_bounded(data: bytes) -> object:
    """Return the result of `parse`; of an object too large for that, the short members that describe a call.

    If such a member occurs twice, the last one counts.
    """
    if len(data) <= MAX_PARSED_SIZE:
        return parse(data)
    try:
        read = _outline().decode(data)
    except (ValueError, RecursionError):
        return None
    members = ((name, getattr(read, name)) for name in _OUTLINE_KEYS)
    raws = {name: memoryview(raw) for name, raw in members if isinstance(raw, msgspec.Raw)}
    return {name: parse(bytes(raw)) for name, raw in raws.items() if len(raw) <= MAX_PARSED_SIZE // len(_OUTLINE_KEYS)}


@cache
def _outline() -> msgspec.json.Decoder[msgspec.Struct]:
    fields = [(name, msgspec.Raw, msgspec.UNSET) for name in _OUTLINE_KEYS]
    return msgspec.json.Decoder(msgspec.defstruct("Outline", fields))


def parse(data: bytes | str) -> object:
    """Return the JSON value; None for invalid JSON, nesting that is too deep and numbers that are too long.

    The json module accepts some input that msgspec rejects: NaN, lone surrogates, UTF-16. Whatever both accept they
    read in the same way.
    """
    try:
        return _decode(data)
    except (ValueError, RecursionError):  # all errors of msgspec are ValueErrors
        return _parse_slowly(data)


def dump_json(value: object) -> bytes:
    """Return readable JSON; lone surrogates, which UTF-8 cannot encode, stay escaped."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def mapping(value: object) -> Mapping[str, object]:
    """Return a JSON object unchanged, and anything else as an empty mapping."""
    return value if isinstance(value, dict) else _NOTHING


def text_in(fields: Mapping[str, object], key: str) -> str | None:
    """Return the string under `key`; None if it is missing, empty or no string."""
    value = fields.get(key)
    return value if isinstance(value, str) and value else None


def _parse_slowly(data: bytes | str) -> object:
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value


def whole_number(value: object) -> int | None:
    """Return a non-negative int below 2**63 that is not a bool; None for anything else."""
    return value if type(value) is int and 0 <= value < 2**63 else None


def whole_numbers(fields: Mapping[str, object]) -> dict[str, int]:
    """Return the members that are a `whole_number`."""
    return {name: value for name, value in fields.items() if type(value) is int and 0 <= value < 2**63}
