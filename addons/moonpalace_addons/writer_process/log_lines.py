"""Format the log lines of a call, in the format of the original MoonPalace."""

from collections.abc import Sequence
from functools import cache, lru_cache

from moonpalace_addons.store.fields import model
from moonpalace_addons.store.read.header_text import values_of
from moonpalace_addons.store.read.outcomes import Outcome, Style, lacks_version
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.state import State
from moonpalace_addons.wire.foreign import printable
from moonpalace_addons.wire.status import FIRST_ERROR, status_line

REQUEST_HEADERS = ("content-type", "x-request-id")
RESPONSE_HEADERS = ("content-type", "msh-request-id", "server-timing", "msh-context-cache-id", "msh-uid", "msh-gid")
MAX_LINE_LENGTH = 1000
"""Maximum characters of a log line."""
HEADER_WIDTH = len("Msh-Request-Id: ")
BASE_URL = "the path does not begin with /v1: end your client's base_url in /v1"


type Line = tuple[str, Style]
"""A log line and its style in a terminal. A call has twenty, and named tuples take five times as long to make."""


def lines(call: Exchange, ended: Outcome) -> list[Line]:
    """Return the lines for a stored call, and how it ended."""
    shown = [first_line(call, ended), *request_headers(call), *response_headers(call)]
    shown += [*context_cache(call), *answer(call)]
    if call.error_message is not None:
        shown += block("Error", [(call.error_kind or "error", call.error_message)], style="bad")
    shown += [(f"  {warning}", "warning") for warning in call.warnings]
    shown += [(f"  {BASE_URL}", "warning")] * lacks_version(call)
    shown += [(f"  New Row Inserted: last_insert_id={call.id}", "quiet")]
    if is_loggable([text for text, _ in shown]):
        return shown
    return [(shown_line(text), style) for text, style in shown]


def first_line(call: Exchange, ended: Outcome) -> Line:
    """Return the line with method, path, result and duration, and what the call was."""
    took = f" {call.latency / 1e9:.2f}s" if call.latency is not None else ""
    bad = call.state is not State.COMPLETED or (call.status_code or 0) >= FIRST_ERROR or call.holds_error
    place = f"@{call.endpoint_name}" if call.endpoint_name else None
    facts = [f"#{call.id}", place, model(call), "stream" if call.is_stream else None, ended.text]
    summary = " ".join(filter(None, facts))
    return f"{call.method:<6} {call.path} {ending(call)}{took} {summary}", "bad" if bad else "good"


def ending(call: Exchange) -> str:
    """Return the status, with the state if the call did not complete, or `error` if its answer contains one."""
    state = "" if call.state is State.COMPLETED else str(call.state)
    state = "error" if call.holds_error else state
    return " ".join(part for part in (status_line(call.status_code), state) if part)


def request_headers(call: Exchange) -> list[Line]:
    """Return the block of request headers."""
    named = values_of(REQUEST_HEADERS, call.request_headers)
    shown = [(pretty(name), named[name]) for name in REQUEST_HEADERS if name in named]
    return block("Request Headers", shown, HEADER_WIDTH)


def response_headers(call: Exchange) -> list[Line]:
    """Return the block of response headers; empty if there was no answer."""
    if call.response_headers is None:
        return []
    named = values_of(RESPONSE_HEADERS, call.response_headers)
    if "content-type" in named and call.response_content_type:
        named["content-type"] = call.response_content_type
    if call.server_timing is not None:
        named["server-timing"] = str(call.server_timing)
    shown = [(pretty(name), named[name]) for name in RESPONSE_HEADERS if name in named]
    return block("Response Headers", shown, HEADER_WIDTH)


def context_cache(call: Exchange) -> list[Line]:
    """Return the block of the context cache; empty if the call did not use one."""
    if call.cache_outcome is None:
        return []
    shown = [("outcome", call.cache_outcome)]
    shown += [("id", call.context_cache_id)] if call.context_cache_id else []
    shown += [("saved_tokens", str(call.cache_tokens))] if call.cache_tokens is not None else []
    return block("Context Cache", shown)


def answer(call: Exchange) -> list[Line]:
    """Return the block of the completion: id, speed and tokens."""
    if call.chatcmpl_id is None and call.total_tokens is None:
        return []
    shown = [
        ("id", call.chatcmpl_id),
        ("ttft", seconds(call.time_to_first_token, "s")),
        ("tpot", seconds(call.time_per_output_token, "s/token")),
        ("otps", f"{call.output_tokens_per_second:.4f} tokens/s" if call.output_tokens_per_second else None),
    ]
    tokens = [
        ("prompt_tokens", call.prompt_tokens),
        ("completion_tokens", call.completion_tokens),
        ("total_tokens", call.total_tokens),
    ]
    extra = [("cached_tokens", call.cached_tokens), ("reasoning_tokens", call.reasoning_tokens)]
    texts = [(name, value) for name, value in shown if value is not None]
    texts += [(name, "unknown" if count is None else str(count)) for name, count in tokens]
    texts += [(name, str(count)) for name, count in extra if count]
    return block("Response", texts)


def seconds(nanoseconds: int | None, unit: str) -> str | None:
    """Return a duration in the original's format."""
    return None if nanoseconds is None else f"{nanoseconds / 1e9:.4f} {unit}"


def block(title: str, named: Sequence[tuple[str, str]], width: int = 0, *, style: Style = "plain") -> list[Line]:
    """Return a heading and one aligned line per name."""
    width = max([width, *[len(name) + 2 for name, _ in named]])
    return [(f"  - {title}: ", style), *[(label(name, width) + value, style) for name, value in named]]


@lru_cache(256)
def label(name: str, width: int) -> str:
    """Return what stands before a value."""
    return f"    - {(name + ':').ljust(width)}"


@cache
def pretty(name: str) -> str:
    """Return a header name in canonical case."""
    return "-".join(part.capitalize() for part in name.split("-"))


def is_loggable(texts: Sequence[str]) -> bool:
    """Return whether all lines of a call can be logged unchanged, as nearly all can."""
    whole = "".join(texts)
    return (len(whole) <= MAX_LINE_LENGTH or max(map(len, texts)) <= MAX_LINE_LENGTH) and whole.isprintable()


def shown_line(text: str) -> str:
    """Return a line, if too long truncated, without control characters, which could forge or garble log lines."""
    return printable(text if len(text) <= MAX_LINE_LENGTH else f"{text[:MAX_LINE_LENGTH]}…")
