"""The catalogue of fields: each thing that can be said of a call, once.

Everything that shows, sorts, searches or explains fields is derived from it: the columns of `mpal list` and the members
of its JSON, predicates, the metadata of `inspect` and `export`, `mpal help columns`, shell completion, statistics. To
add a field that is stored already, or that follows from what is stored, add an entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Literal

from moonpalace_addons.store.state import State

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange

type Kind = Literal["text", "whole", "decimal", "truth", "moment", "set", "headers", "json", "words"]
"""What a field holds: sets are of texts, headers one text, `json` is a body, `words` can only be searched."""

type Fit = Literal["whole", "shorten", "wrap", "break"]
"""What may happen to cells where a terminal is narrow: nothing, an ellipsis in the middle, more lines, broken words."""

NANOSECOND = 1
MILLISECOND = 1_000_000

FITS: Mapping[Kind, Fit] = {"text": "shorten", "set": "wrap", "headers": "wrap", "json": "wrap"}


@dataclass(frozen=True, slots=True)
class Field:
    """A field.

    It comes from the column `column` of the table `exchanges`, which has the field's name unless this says otherwise.
    A field that is derived has `sql` instead, an expression that both databases understand, and `value`, the same in
    Python. `unit` is how many nanoseconds one of a duration is; columns have nanoseconds. `fit` and `width` are for
    tables.
    """

    name: str
    meaning: str
    kind: Kind = "text"
    also: str = ""
    """Further documented names, with blanks between them; the column's own name need not be among them."""
    column: str = ""
    sql: str = ""
    value: Callable[[Exchange], object] | None = None
    unit: int | None = None
    least: int = 0
    """How many nanoseconds a duration takes at least."""
    fit: Fit | None = None
    width: int = 8
    """Columns of a terminal that most values take."""
    metadata: str = ""
    """Its names in the metadata of `inspect` and `export`, with blanks between them."""

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
        """What may happen to its cells where a terminal is narrow."""
        return self.fit or FITS.get(self.kind, "whole")

    def of(self, call: Exchange) -> object:
        """Return what it is for a call; not for tags and bodies, which are read apart."""
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


URL = """rtrim(exchanges.endpoint, '/') || exchanges.path
    || CASE WHEN exchanges.query <> '' THEN '?' || exchanges.query ELSE '' END"""
MODEL = "coalesce(exchanges.model_answered, exchanges.model_requested)"
ERROR = """coalesce(
    nullif(exchanges.error_kind, '') || ': ' || nullif(exchanges.error_message, ''),
    nullif(exchanges.error_kind, ''), nullif(exchanges.error_message, ''),
    CASE WHEN exchanges.state NOT IN ('completed', 'in_flight') THEN exchanges.state END)"""
FIRST_TAG = "SELECT min(tag) FROM exchange_tags WHERE exchange_id = exchanges.id"

text = Field
whole = partial(Field, kind="whole")
truth = partial(Field, kind="truth")
texts = partial(Field, kind="set")
headers = partial(Field, kind="headers")
body = partial(Field, kind="json")
nanoseconds = partial(Field, kind="whole", unit=NANOSECOND)
long = partial(nanoseconds, least=MILLISECOND)
milliseconds = partial(Field, kind="whole", unit=MILLISECOND)

SECTIONS: Mapping[str, Sequence[Field]] = {
    "The call": (
        whole("id", "number of the row, for --id", width=6, metadata="moonpalace_id"),
        text("uuid", "what no other row of any store has"),
        Field(
            *("requested_at", "when the request began; local time", "moment", "created_at", "started_at"),
            width=19,
            metadata="requested_at",
        ),
        text("method", "GET, POST …", also="request_method", fit="whole", width=6),
        text("url", "the address that was called: endpoint, path and query", sql=URL, value=url, width=43),
        text("endpoint", "the API that the call was forwarded to", metadata="endpoint"),
        text("path", "path of the address", also="request_path"),
        text("query", "query of the address", also="request_query"),
        text(
            "model",
            "the model that answered, else the one asked for",
            sql=MODEL,
            value=model,
            width=18,
            metadata="model",
        ),
        text("model_requested", "the model asked for"),
        text("model_answered", "the model that the answer names"),
        truth("stream", "whether the answer came as a stream, or was to", column="is_stream"),
        truth("coerced", "whether --force-stream made it one", column="is_coerced"),
        texts("changes", "what the proxy changed of the request on its way"),
        text("key_fingerprint", "tells two API keys apart"),
        text("client_request_id", "X-Request-Id of the client"),
        text("request_content_type", "media type of the request", metadata="request_content_type"),
        whole("request_bytes", "size of the request's body in bytes"),
        headers("request_header", "headers of the request", column="request_headers"),
        body("request_body", "body of the request"),
    ),
    "The answer": (
        whole(
            "status",
            "status code; tables show the state of a call without a whole answer, and 200 error",
            column="status_code",
            fit="break",
            width=19,
            metadata="status",
        ),
        whole("status_code", "the status code alone", also="response_status_code request_status_code"),
        text(
            "state",
            "how the call ended: completed, upstream_failed, client_disconnected …, or in_flight",
            fit="break",
            width=19,
            metadata="state",
        ),
        text(
            "error",
            "why the call failed: kind and message, at least the state",
            sql=ERROR,
            value=lambda call: error_text(call) or None,
            fit="wrap",
            width=40,
        ),
        text("error_kind", "the kind of failure, or the type of the error that the API gave"),
        text("error_message", "its message", fit="wrap"),
        texts("warnings", "what was odd about the answer", metadata="warnings"),
        text(
            "finish_reason",
            "why the model stopped: stop, length, tool_calls …; of several choices the first but stop",
            fit="whole",
            width=13,
            metadata="finish_reason",
        ),
        text(
            "chatcmpl",
            "id of the completion, message or response, for --chatcmpl",
            also="moonshot_id",
            column="chatcmpl_id",
            width=41,
            metadata="chatcmpl",
        ),
        text(
            "request_id",
            "Msh-Request-Id, for --requestid",
            also="moonshot_request_id",
            column="msh_request_id",
            width=36,
            metadata="request_id",
        ),
        text("user_id", "Msh-Uid, the account", also="moonshot_uid", column="msh_uid", width=20, metadata="user_id"),
        text("group_id", "Msh-Gid, its group", also="moonshot_gid", column="msh_gid", metadata="group_id"),
        text(
            "content_type",
            "media type of the answer",
            column="response_content_type",
            width=17,
            metadata="content_type response_content_type",
        ),
        whole("response_bytes", "size of the answer's body in bytes"),
        headers("response_header", "headers of the answer", column="response_headers"),
        body("response_body", "body of the answer, of a stream what its events merge to"),
        Field("text", "words in either body, for text ~ 'words' alone; no column", "words"),
    ),
    "Tokens": (
        whole("prompt_tokens", "tokens of the prompt, cached ones included", metadata="prompt_tokens"),
        whole("completion_tokens", "tokens of the answer, reasoning included", metadata="completion_tokens"),
        whole("tokens", "both together", column="total_tokens", metadata="total_tokens"),
        whole("cached_tokens", "tokens of the prompt that the API had cached", metadata="cached_tokens"),
        whole("reasoning_tokens", "tokens of the answer that were reasoning", metadata="reasoning_tokens"),
        text(
            "cache_outcome",
            "what --auto-cache came to: hit, miss, created, refused, unused",
            metadata="cache_outcome",
        ),
        whole("cache_tokens", "tokens of the context cache that was used", metadata="cache_tokens"),
        text("context_cache_id", "id of the context cache that was used", metadata="context_cache_id"),
    ),
    "Times": (
        long("latency", "from the request to the end of the answer", metadata="latency"),
        milliseconds(
            "ttft",
            "time to the first token of a stream",
            also="response_ttft",
            column="time_to_first_token",
            metadata="response_ttft",
        ),
        long("time_to_first_token", "the same"),
        long("time_to_first_visible_token", "time to the first token that is no reasoning"),
        long("time_to_headers", "time to the headers of the answer"),
        milliseconds(
            "tpot",
            "time for each token after the first",
            also="response_tpot",
            column="time_per_output_token",
            metadata="response_tpot",
        ),
        nanoseconds("time_per_output_token", "the same"),
        Field(
            *("otps", "output tokens a second", "decimal", "response_otps", "output_tokens_per_second"),
            metadata="response_otps",
        ),
        milliseconds(
            "longest_stall", "the longest gap between two chunks of a stream, or between the last and the end"
        ),
        nanoseconds("gap_p50", "the gap that half of the gaps do not exceed"),
        nanoseconds("gap_p90", "that 90 percent do not exceed"),
        nanoseconds("gap_p99", "that 99 percent do not exceed"),
        whole(
            "server_timing",
            "Server-Timing, what the API says it took, in milliseconds",
            also="moonshot_server_timing",
            fit="break",
            metadata="server_timing",
        ),
        nanoseconds("overhead", "time spent in MoonPalace itself"),
    ),
    "Labels": (
        text("category", "goodcase or badcase", fit="whole"),
        texts("tags", "tags that mpal label or export --tag gave", sql=FIRST_TAG, width=16),
        text("note", "the note", fit="wrap", width=24),
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
