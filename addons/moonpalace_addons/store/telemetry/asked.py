"""What a request asks for besides its messages: the members of its body that spans say."""

import math
from collections.abc import Mapping

from moonpalace_addons.wire.json_value import mapping

type Asked = Mapping[str, object]
"""Members of a request's body, as far as they are in `MEMBERS`."""

MEMBERS = frozenset(
    {
        *("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed", "n"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "stop", "stop_sequences"),
        *("reasoning_effort", "reasoning", "output_config", "response_format", "text", "previous_response_id"),
        *("dimensions", "encoding_format"),
    }
)
MAX_TEXT = 200
"""Characters of a member that is a text; a longer one is left out."""
MAX_STOPS = 16
MAX_WHOLE = 2**63 - 1


def of_fields(fields: Mapping[str, object]) -> Asked:
    """Return what is said of a request; nothing of it is large."""
    return {name: kept for name in MEMBERS & fields.keys() if (kept := small(fields[name])) is not None}


def small(value: object) -> object:
    """Return a value as far as anything of it is said: a short text, a number, short texts, or the kind of a format."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) <= MAX_WHOLE and math.isfinite(value) else None
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else None
    if isinstance(value, list):
        return [text for text in value[:MAX_STOPS] if isinstance(text, str) and len(text) <= MAX_TEXT] or None
    members = mapping(value)
    inner = {name: small(members[name]) for name in ("effort", "type") if isinstance(members.get(name), str)}
    kind = mapping(members.get("format")).get("type")
    return inner | ({"format": {"type": kind}} if isinstance(kind, str) and len(kind) <= MAX_TEXT else {}) or None


def first(asked: Asked, *names: str) -> object:
    """Return the first of these members that is there."""
    return next((asked[name] for name in names if name in asked), None)


def choices(asked: Asked) -> object:
    """Return how many answers were asked for, if that is not one."""
    count = asked.get("n")
    return None if count == 1 else count


def stops(asked: Asked) -> object:
    """Return the texts at which the model stops."""
    found = first(asked, "stop", "stop_sequences")
    return [found] if isinstance(found, str) else found


def reasoning_level(asked: Asked) -> object:
    """Return how much the model is asked to think."""
    named = (mapping(asked.get(name)).get("effort") for name in ("reasoning", "output_config"))
    return first(asked, "reasoning_effort") or next(filter(None, named), None)


def output_type(asked: Asked) -> object:
    """Return the kind of output that was asked for: json, or text where the request says so."""
    form = mapping(asked.get("response_format")) or mapping(mapping(asked.get("text")).get("format"))
    kind = form.get("type")
    return "json" if kind in ("json_object", "json_schema") else kind if kind == "text" else None


def formats(asked: Asked) -> object:
    """Return the encodings of embeddings that were asked for."""
    named = asked.get("encoding_format")
    return [named] if isinstance(named, str) else None
