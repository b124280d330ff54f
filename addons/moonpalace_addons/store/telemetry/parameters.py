"""What a request asks for besides its messages: the members of its body that spans name."""

import math
from collections.abc import Mapping

from moonpalace_addons.wire.json_value import mapping

type Parameters = Mapping[str, object]
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


def of_fields(fields: Mapping[str, object]) -> Parameters:
    """Return the parameters of a request; none of them is large."""
    return {name: kept for name in MEMBERS & fields.keys() if (kept := small(fields[name])) is not None}


def small(value: object) -> object:
    """Return what spans show of a value: a short text, a number, short texts, or the kind of a format."""
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


def first(parameters: Parameters, *names: str) -> object:
    """Return the first of these members that is there."""
    return next((parameters[name] for name in names if name in parameters), None)


def choices(parameters: Parameters) -> object:
    """Return how many answers were asked for, if that is not one."""
    count = parameters.get("n")
    return None if count == 1 else count


def stops(parameters: Parameters) -> object:
    """Return the texts at which the model stops."""
    found = first(parameters, "stop", "stop_sequences")
    return [found] if isinstance(found, str) else found


def reasoning_level(parameters: Parameters) -> object:
    """Return how much the model is asked to think."""
    named = (mapping(parameters.get(name)).get("effort") for name in ("reasoning", "output_config"))
    return first(parameters, "reasoning_effort") or next(filter(None, named), None)


def output_type(parameters: Parameters) -> object:
    """Return the kind of output that was asked for: json, or text if the request names it."""
    form = mapping(parameters.get("response_format")) or mapping(mapping(parameters.get("text")).get("format"))
    kind = form.get("type")
    return "json" if kind in ("json_object", "json_schema") else kind if kind == "text" else None


def formats(parameters: Parameters) -> object:
    """Return the encodings of embeddings that were asked for."""
    named = parameters.get("encoding_format")
    return [named] if isinstance(named, str) else None
