"""Which calls are operations of a model, at whose API, and how they ended, in the words of the conventions."""

from http import HTTPStatus
from operator import attrgetter
from typing import NamedTuple
from urllib.parse import urlsplit

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.state import State
from moonpalace_addons.wire.faces.table import UNKNOWN, face_of_path
from moonpalace_addons.wire.status import FIRST_ERROR

OPERATIONS = {"completions": "text_completion", "embeddings": "embeddings"}
"""The operation of a face; of all others it is `chat`."""
CHAT, EMBEDDINGS = "chat", "embeddings"
PORTS = {"http": 80, "https": 443}
PROVIDERS = (
    *(("moonshot.cn", "moonshot_ai"), ("moonshot.ai", "moonshot_ai"), ("kimi.com", "moonshot_ai")),
    *(("openai.com", "openai"), ("openai.azure.com", "azure.ai.openai"), ("anthropic.com", "anthropic")),
    *(("deepseek.com", "deepseek"), ("groq.com", "groq"), ("mistral.ai", "mistral_ai"), ("x.ai", "x_ai")),
    *(("cohere.com", "cohere"), ("perplexity.ai", "perplexity")),
    *(("generativelanguage.googleapis.com", "gcp.gemini"), ("aiplatform.googleapis.com", "gcp.vertex_ai")),
)
"""The names that the conventions give to providers, by the ends of their hosts."""
OF_MODELS = (("kimi", "moonshot_ai"), ("moonshot", "moonshot_ai"))
"""Providers by the beginning of a model's name, for hosts of other names."""
ERROR = "error"
"""The finish reason of an answer that ended before the model gave one."""


class Place(NamedTuple):
    """The host and the port of an API."""

    host: str
    port: int | None


def place_of(endpoint: str) -> Place:
    """Return the address of an endpoint."""
    try:
        parts = urlsplit(endpoint)
        return Place(parts.hostname or "", parts.port or PORTS.get(parts.scheme))
    except ValueError:
        return Place("", None)


def operation(call: Exchange) -> str | None:
    """Return the operation that a call asked a model for; None for other calls, such as a list of models."""
    face = face_of_path(call.path)
    if call.completion_tokens is None and (face is UNKNOWN or call.method != "POST"):
        return None
    return OPERATIONS.get(face.name, CHAT)


class Traits(NamedTuple):
    """What a call has in common with many others, in the names of `Exchange`, and its operation."""

    operation: str
    endpoint: str
    model_requested: str | None
    model_answered: str | None
    is_stream: bool
    state: State
    status_code: int | None
    finish_reason: str | None
    error_kind: str | None
    holds_error: bool
    cost_currency: str | None


_TRAITS = attrgetter(*Traits._fields[1:])


def traits_of(call: Exchange) -> Traits | None:
    """Return the traits of a call, None if it has no operation."""
    named = operation(call)
    return None if named is None else Traits(named, *_TRAITS(call))


def provider(call: Traits) -> str:
    """Return the provider of an API: its name in the conventions, else its host."""
    host = place_of(call.endpoint).host
    if named := _provider_at(host):
        return named
    name = (call.model_answered or call.model_requested or "").lower()
    return next((named for begin, named in OF_MODELS if name.startswith(begin)), host) or ERROR_OTHER


ERROR_OTHER = "_OTHER"
"""What the conventions say where nothing is known."""


def _provider_at(host: str) -> str | None:
    return next((name for end, name in PROVIDERS if host == end or host.endswith(f".{end}")), None)


def error_type(call: Traits) -> str | None:
    """Return why a call failed: the kind of its error, else its status or its state; None if it did not."""
    failed = (call.status_code or 0) >= FIRST_ERROR
    if call.state is State.REPEAT_INTERRUPTED or not (failed or call.holds_error or call.state is not State.COMPLETED):
        return None
    return call.error_kind or (str(call.status_code) if failed else ERROR_OTHER if call.holds_error else call.state)


def finish_reasons(call: Traits) -> tuple[str, ...]:
    """Return why the model stopped: its reason, `error` for an answer that ended before it, nothing without one."""
    is_cut = call.state not in (State.COMPLETED, State.REPEAT_INTERRUPTED)
    begun = call.status_code is not None and call.status_code < HTTPStatus.BAD_REQUEST
    if begun and call.operation != EMBEDDINGS and (is_cut or call.holds_error or not call.finish_reason):
        return (ERROR,)
    return (call.finish_reason,) if call.finish_reason else ()
