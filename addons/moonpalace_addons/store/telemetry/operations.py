"""Determine which calls are operations of a model, of which provider, and how they ended, in the conventions' terms."""

from http import HTTPStatus
from operator import attrgetter
from typing import NamedTuple
from urllib.parse import urlsplit

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.state import State
from moonpalace_addons.wire.faces.table import UNKNOWN, face_of_path
from moonpalace_addons.wire.status import FIRST_ERROR

OPERATIONS = {"completions": "text_completion", "embeddings": "embeddings"}
"""The operations of faces; for all others it is `chat`."""
CHAT, EMBEDDINGS = "chat", "embeddings"
PORTS = {"http": 80, "https": 443}
PROVIDERS = (
    *(("moonshot.cn", "moonshot_ai"), ("moonshot.ai", "moonshot_ai"), ("kimi.com", "moonshot_ai")),
    *(("openai.com", "openai"), ("openai.azure.com", "azure.ai.openai"), ("anthropic.com", "anthropic")),
    *(("deepseek.com", "deepseek"), ("groq.com", "groq"), ("mistral.ai", "mistral_ai"), ("x.ai", "x_ai")),
    *(("cohere.com", "cohere"), ("perplexity.ai", "perplexity")),
    *(("generativelanguage.googleapis.com", "gcp.gemini"), ("aiplatform.googleapis.com", "gcp.vertex_ai")),
)
"""The conventions' names of providers, by the ends of their host names."""
OF_MODELS = (("kimi", "moonshot_ai"), ("moonshot", "moonshot_ai"))
"""Providers by the beginning of a model's name, for other host names."""
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
    """Return the operation of a model that a call requested; None for other calls, such as a list of models."""
    face = face_of_path(call.path)
    if call.completion_tokens is None and (face is UNKNOWN or call.method != "POST"):
        return None
    return OPERATIONS.get(face.name, CHAT)


class Traits(NamedTuple):
    """The properties that a call shares with many others, named as in `Exchange`, and its operation."""

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
    """Return the traits of a call; None if it has no operation."""
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
"""The conventions' value if nothing is known."""


def _provider_at(host: str) -> str | None:
    return next((name for end, name in PROVIDERS if host == end or host.endswith(f".{end}")), None)


def error_type(call: Traits) -> str | None:
    """Return why a call failed: the kind of its error, else its status or its state; None if it succeeded."""
    failed = (call.status_code or 0) >= FIRST_ERROR
    if call.state is State.REPEAT_INTERRUPTED or not (failed or call.holds_error or call.state is not State.COMPLETED):
        return None
    return call.error_kind or (str(call.status_code) if failed else ERROR_OTHER if call.holds_error else call.state)


def finish_reasons(call: Traits) -> tuple[str, ...]:
    """Return the model's finish reason, `error` for an answer that ended before it, and nothing without an answer."""
    is_cut = call.state not in (State.COMPLETED, State.REPEAT_INTERRUPTED)
    begun = call.status_code is not None and call.status_code < HTTPStatus.BAD_REQUEST
    if begun and call.operation != EMBEDDINGS and (is_cut or call.holds_error or not call.finish_reason):
        return (ERROR,)
    return (call.finish_reason,) if call.finish_reason else ()
