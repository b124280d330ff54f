"""The catalogue of fields of a call, each defined once.

Whatever shows, sorts, searches or explains fields is derived from it: the columns of `mpal list`, predicates, the
metadata of `inspect` and `export`, `mpal help columns`, shell completion and statistics. A field that is computed from
stored ones is one entry; a field that is stored is also an attribute of `Exchange` in `exchange.py`, and needs a
migration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Literal

from moonpalace_addons.store.exchange import Exchange as Exchange  # also imported from here
from moonpalace_addons.store.state import State

type Kind = Literal["text", "whole", "decimal", "truth", "moment", "set", "headers", "json", "words"]
"""What a field holds: `set` is a set of texts, `json` a body, `words` can only be searched."""

type Fit = Literal["whole", "shorten", "cut"]
"""How cells fit a narrow terminal: not at all, without their middle, or without their end."""

NANOSECOND = 1
MILLISECOND = 1_000_000

FITS: Mapping[Kind, Fit] = {"text": "shorten", "set": "cut", "headers": "cut", "json": "cut"}


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its name, its meaning in one line, and where it comes from.

    A stored field comes from a column of the table `exchanges`: `column`, or the one of the same name. A derived field
    has `sql` instead, an expression that both databases understand, and `value`, the same in Python.

    `also` and `metadata` are names separated by spaces: further documented names (the column's is always one),
    and the names in the metadata of `inspect` and `export`. `unit` is the unit of a duration in nanoseconds, in which
    columns have it, and `least` the shortest duration that makes sense. `width` is the usual width of its values.
    """

    name: str
    meaning: str
    kind: Kind = "text"
    also: str = ""
    column: str = ""
    sql: str = ""
    value: Callable[[Exchange], object] | None = None
    unit: int | None = None
    least: int = 0
    fit: Fit | None = None
    width: int = 8
    metadata: str = ""

    @property
    def source(self) -> str:
        """The column of `exchanges`; of a derived field its name."""
        return self.column or self.name

    @property
    def is_sortable(self) -> bool:
        """Tell whether calls can be sorted by it."""
        return self.kind not in ("headers", "json", "words")

    @property
    def fitting(self) -> Fit:
        """How its cells fit a narrow terminal."""
        return self.fit or FITS.get(self.kind, "whole")

    def of(self, call: Exchange) -> object:
        """Return its value for a call; not for tags and bodies, which are read separately."""
        return self.value(call) if self.value else getattr(call, self.source)


def model(call: Exchange) -> str | None:
    """Return the model that answered, else the one asked for."""
    return call.model_requested if call.model_answered is None else call.model_answered


def url(call: Exchange) -> str:
    """Return the address that was called upstream, query included."""
    query = f"?{call.query}" if call.query else ""
    return call.endpoint.rstrip("/") + call.path + query


def error_text(call: Exchange) -> str:
    """Return why the call failed: kind and message, at least the state; empty for one that did not fail."""
    named = ": ".join(part for part in (call.error_kind, call.error_message) if part)
    return named or ("" if call.state in (State.COMPLETED, State.IN_FLIGHT) else call.state.value)


def cost_saved(call: Exchange) -> float | None:
    """Return how much more the cached tokens would have cost without the cache."""
    if call.cached_tokens is None or call.price_input is None or call.price_cached is None:
        return None
    cached = call.cached_tokens if call.prompt_tokens is None else min(call.cached_tokens, call.prompt_tokens)
    return cached * (call.price_input - call.price_cached) / 1_000_000


URL = """rtrim(exchanges.endpoint, '/') || exchanges.path
    || CASE WHEN exchanges.query <> '' THEN '?' || exchanges.query ELSE '' END"""
MODEL = "coalesce(exchanges.model_answered, exchanges.model_requested)"
ERROR = """coalesce(
    nullif(exchanges.error_kind, '') || ': ' || nullif(exchanges.error_message, ''),
    nullif(exchanges.error_kind, ''), nullif(exchanges.error_message, ''),
    CASE WHEN exchanges.state NOT IN ('completed', 'in_flight') THEN exchanges.state END)"""
COST_SAVED = """(CASE WHEN exchanges.cached_tokens > exchanges.prompt_tokens THEN exchanges.prompt_tokens
    ELSE exchanges.cached_tokens END) * (exchanges.price_input - exchanges.price_cached) / 1000000"""
FIRST_TAG = "SELECT min(tag) FROM exchange_tags WHERE exchange_id = exchanges.id"

text = Field
whole = partial(Field, kind="whole")
decimal = partial(Field, kind="decimal")
truth = partial(Field, kind="truth")
texts = partial(Field, kind="set")
headers = partial(Field, kind="headers")
body = partial(Field, kind="json")
nanoseconds = partial(Field, kind="whole", unit=NANOSECOND)
long = partial(nanoseconds, least=MILLISECOND)
milliseconds = partial(Field, kind="whole", unit=MILLISECOND)

SECTIONS: Mapping[str, Sequence[Field]] = {
    "The call": (
        whole("id", "row number, for --id", width=6, metadata="moonpalace_id"),
        text("uuid", "ID that is unique across all stores"),
        Field(
            *("requested_at", "start of the request, in local time", "moment", "created_at", "started_at"),
            width=19,
            metadata="requested_at",
        ),
        text("method", "HTTP method", also="request_method", fit="whole", width=6),
        text("url", "full URL: endpoint, path and query", sql=URL, value=url, width=43),
        text("endpoint", "base URL of the API that the call was forwarded to", metadata="endpoint"),
        text("endpoint_name", "name of the endpoint in config.yaml", metadata="endpoint_name"),
        text("path", "path of the URL", also="request_path"),
        text("query", "query string of the URL", also="request_query"),
        text(
            "model",
            "model that answered, or else the requested one",
            sql=MODEL,
            value=model,
            width=18,
            metadata="model",
        ),
        text("model_requested", "model named in the request"),
        text("model_answered", "model named in the response"),
        truth("stream", "whether the response is a stream, or was requested as one", column="is_stream"),
        truth("coerced", "whether --force-stream turned the request into a stream", column="is_coerced"),
        texts("changes", "changes that the proxy made to the request"),
        text(
            "purpose", "why MoonPalace made the call itself: explain; empty for calls of programs", metadata="purpose"
        ),
        text("key_fingerprint", "fingerprint of the API key, to tell keys apart"),
        text("client_request_id", "X-Request-Id header of the request"),
        text(
            "session", "session of the client, as its headers, metadata or prompt_cache_key name it", metadata="session"
        ),
        text("request_content_type", "Content-Type of the request", metadata="request_content_type"),
        whole("request_bytes", "size of the request body in bytes"),
        headers("request_header", "request headers", column="request_headers"),
        body("request_body", "request body"),
    ),
    "The response": (
        whole(
            "status",
            "status code; in tables, the state of an incomplete call, or 200 error if the response holds an error",
            column="status_code",
            fit="cut",
            width=19,
            metadata="status",
        ),
        whole("status_code", "status code only", also="response_status_code request_status_code"),
        text(
            "state",
            "how the call ended: completed, upstream_failed, client_disconnected …; or in_flight",
            fit="cut",
            width=19,
            metadata="state",
        ),
        text(
            "error",
            "why the call failed: kind and message, or at least the state",
            sql=ERROR,
            value=lambda call: error_text(call) or None,
            fit="cut",
            width=40,
        ),
        text("error_kind", "kind of failure, or type of the error that the API returned"),
        text("error_message", "message of the error", fit="cut"),
        texts("warnings", "warnings about the request or the response", metadata="warnings"),
        text(
            "finish_reason",
            "why the model stopped: stop, length, tool_calls …; of several choices, the first reason other than stop",
            fit="whole",
            width=13,
            metadata="finish_reason",
        ),
        text(
            "chatcmpl",
            "ID of the completion, message or response, for --chatcmpl",
            also="moonshot_id",
            column="chatcmpl_id",
            width=41,
            metadata="chatcmpl",
        ),
        text(
            "request_id",
            "request ID in the headers of the response (Msh-Request-Id, x-request-id, request-id), for --requestid",
            also="moonshot_request_id",
            column="msh_request_id",
            width=36,
            metadata="request_id",
        ),
        text(
            "user_id",
            "Msh-Uid header of the response: the account",
            also="moonshot_uid",
            column="msh_uid",
            width=20,
            metadata="user_id",
        ),
        text(
            "group_id",
            "Msh-Gid header of the response: the group of the account",
            also="moonshot_gid",
            column="msh_gid",
            metadata="group_id",
        ),
        text(
            "content_type",
            "Content-Type of the response",
            column="response_content_type",
            width=17,
            metadata="content_type response_content_type",
        ),
        whole("response_bytes", "size of the response body in bytes"),
        whole("requests_left", "requests that the API's rate limit still allows"),
        whole("tokens_left", "tokens that the API's rate limit still allows"),
        milliseconds("retry_after", "time that the API asks to wait before another try"),
        headers("response_header", "response headers", column="response_headers"),
        body("response_body", "response body; for a stream, the merged completion"),
        Field("text", "words in either body: text ~ 'words'; only in predicates", "words"),
    ),
    "Tokens": (
        whole("prompt_tokens", "prompt tokens, including cached ones", metadata="prompt_tokens"),
        whole("completion_tokens", "completion tokens, including reasoning", metadata="completion_tokens"),
        whole("tokens", "prompt and completion tokens together", column="total_tokens", metadata="total_tokens"),
        whole("cached_tokens", "prompt tokens that the API had cached", metadata="cached_tokens"),
        whole("reasoning_tokens", "completion tokens spent on reasoning", metadata="reasoning_tokens"),
        whole(
            "cache_write_tokens",
            "prompt tokens that the API wrote to its cache",
            metadata="cache_write_tokens",
        ),
        whole("cache_write_1h_tokens", "those of them that it keeps for an hour"),
        text("service_tier", "tier in which the API served the call"),
        text(
            "cache_outcome",
            "result of --auto-cache: hit, miss, created, refused, unused",
            metadata="cache_outcome",
        ),
        whole("cache_tokens", "tokens of the context cache that was used", metadata="cache_tokens"),
        text("context_cache_id", "ID of the context cache that was used", metadata="context_cache_id"),
    ),
    "Cost": (
        decimal("cost", "what the call cost, in cost_currency; empty if no price is known", metadata="cost"),
        decimal("cost_input", "part of the cost for prompt tokens that were not cached", metadata="cost_input"),
        decimal("cost_cached", "part of the cost for cached prompt tokens", metadata="cost_cached"),
        decimal("cost_output", "part of the cost for completion tokens", metadata="cost_output"),
        text("cost_currency", "currency of the cost: USD, CNY …", fit="whole", metadata="cost_currency"),
        decimal("cost_saved", "what the cached tokens would have cost more", sql=COST_SAVED, value=cost_saved),
        decimal("price_input", "price of a million prompt tokens of this call"),
        decimal("price_cached", "price of a million cached prompt tokens of this call"),
        decimal("reported_cost", "cost in US dollars that the API itself reports"),
    ),
    "Times": (
        long("latency", "time from the request to the end of the response", metadata="latency"),
        milliseconds(
            "ttft",
            "time to the first token of a stream",
            also="response_ttft",
            column="time_to_first_token",
            metadata="response_ttft",
        ),
        long("time_to_first_token", "same as ttft"),
        long("time_to_first_visible_token", "time to the first token that is not reasoning"),
        long("time_to_headers", "time to the response headers"),
        milliseconds(
            "tpot",
            "time per output token after the first",
            also="response_tpot",
            column="time_per_output_token",
            metadata="response_tpot",
        ),
        nanoseconds("time_per_output_token", "same as tpot"),
        Field(
            *("otps", "output tokens per second", "decimal", "response_otps", "output_tokens_per_second"),
            metadata="response_otps",
        ),
        milliseconds("longest_stall", "longest gap between two chunks of a stream, or before its end"),
        nanoseconds("gap_p50", "median of the gaps between the chunks of a stream"),
        nanoseconds("gap_p90", "90th percentile of these gaps"),
        nanoseconds("gap_p99", "99th percentile of these gaps"),
        whole(
            "server_timing",
            "milliseconds that the API reports in its headers (Server-Timing, openai-processing-ms)",
            also="moonshot_server_timing",
            metadata="server_timing",
        ),
        nanoseconds("overhead", "time spent in MoonPalace itself"),
    ),
    "Labels": (
        text("category", "goodcase or badcase", fit="whole"),
        texts("tags", "tags set by mpal label or export --tag", sql=FIRST_TAG, width=16),
        text("note", "note set by mpal label or export", fit="cut", width=24),
    ),
}
"""The fields by the sections of `mpal help columns`."""

CATALOGUE: Sequence[Field] = tuple(chain.from_iterable(SECTIONS.values()))


def by_name(fields: Sequence[Field]) -> dict[str, Field]:
    """Return the fields under all of their names; the name of a column is that of the first field that shows it."""
    named = {field.name: field for field in fields}
    for field in fields:
        for other in (*field.also.split(), field.source):
            named.setdefault(other, field)
    return named


FIELDS: Mapping[str, Field] = by_name(CATALOGUE)
"""Each field under its name and its other names."""


def find(name: str) -> Field | None:
    """Return the field of a name as predicates have it: in capitals too."""
    return FIELDS.get(name) or FIELDS.get(name.lower())


def names_of(field: Field) -> list[str]:
    """Return all names of a field, the one that it is explained under first."""
    return [name for name, named in FIELDS.items() if named is field]
