"""Describe in a few words how a call ended."""

import re
from http import HTTPStatus
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.state import State
from moonpalace_addons.wire.foreign import printable
from moonpalace_addons.wire.status import FIRST_ERROR, status_line

type Style = Literal["plain", "good", "bad", "warning", "quiet"]
"""The styles in which a terminal shows an outcome."""

AT_LIMIT = ("length", "max_tokens", "max_output_tokens")
"""Finish reasons of answers that reached the request's limit, on any of the API's faces."""
CONTEXT_FULL = ("model_context_window_exceeded", "context_length_exceeded")
SILENT_UPSTREAM = re.compile(r"nothing came from upstream for the last ([0-9.]+) s")
FULL_WINDOW = re.compile(r"the context window of \d+ tokens is full")
NO_REASON = "ended without a finish reason"
VERSIONED = ("/v1", "/anthropic", "/coding")
"""The beginnings of the API's paths."""
NAMED = re.compile(r"/(?:@|%40)([^/?]{1,40})")
"""A path that names an endpoint; the path is stored without the name if such an endpoint is configured."""
NO_END = "the stream ended without"
"""The beginning of the warnings for streams without their last event."""

FAILURES = {
    "client_disconnected": "your program hung up",
    "bad_request": "not a valid HTTP request",
    "killed": "stopped by hand",
    "request_too_large": "request too large",
    "client_timeout": "your program sent nothing more",
    "tunnel_idle": "idle for too long",
    "upstream_timeout": "the API sent nothing more",
    "upstream_cut": "the API broke off",
    "upstream_reset": "the API reset the connection",
    "upstream_refused": "the API refused the connection",
    "upstream_unreachable": "the API is unreachable",
    "upstream_unknown_host": "the API's host is unknown",
    "upstream_tls": "no TLS connection to the API",
    "upstream_proxy": "the upstream proxy failed",
    "upstream_is_this_proxy": "the endpoint is this proxy",
    "upstream_protocol": "the API's answer is not valid HTTP",
    "too_many_open_files": "too many open files",
    "repeat": "stopped for repeating itself",
    "proxy_stopped": "the proxy was stopped",
    "proxy_died": "the proxy died",
}
"""Descriptions of failures by the kind of the error."""


class Outcome(NamedTuple):
    """A description of how a call ended."""

    text: str
    style: Style


def outcome(call: Exchange) -> Outcome:
    """Return how a call ended: why it failed or was cut off, else its finish reason or its status."""
    if call.state is State.IN_FLIGHT:
        return Outcome("running", "quiet")
    if call.state is not State.COMPLETED:
        return Outcome(failure(call), "bad")
    if (call.status_code or 0) >= FIRST_ERROR or call.holds_error:
        return Outcome(api_error(call), "bad")
    if limit := cut_by(call):
        return Outcome(limit, "warning")
    return Outcome(printable(call.finish_reason or str(call.status_code or "")), "good")


def failure(call: Exchange) -> str:
    """Return how a call without a complete answer failed, including the silence before it."""
    named = FAILURES.get(call.error_kind or "") or words_of(call.error_kind) or words_of(call.state)
    silence = silent_for(call)
    if silence is not None and call.state is State.CLIENT_DISCONNECTED:
        return f"silent for {silence} s, then {named}"
    if silence is not None and call.state is not State.REPEAT_INTERRUPTED:
        return f"{named}, silent for {silence} s"
    return named


def silent_for(call: Exchange) -> str | None:
    """Return for how many seconds upstream was silent before the end; None if it was not."""
    return next((match[1] for text in call.warnings if (match := SILENT_UPSTREAM.search(text))), None)


def api_error(call: Exchange) -> str:
    """Describe an error of the API: its status, its kind, and when to try again."""
    if lost := lost_path(call):
        return f"404, {lost}"
    kind = words_of(call.error_kind)
    if " " in (short := kind.removesuffix(" error")):  # "server" alone would say nothing
        kind = short
    if (call.status_code or 0) < FIRST_ERROR:
        return f"error in the answer: {kind}" if kind else "error in the answer"
    retry = f", retry after {call.retry_after / 1e9:g} s" if call.retry_after is not None else ""
    return (f"{call.status_code} {kind}" if kind else status_line(call.status_code)) + retry


def lost_path(call: Exchange) -> str | None:
    """Return why a path was not found if the client's base_url is wrong; None for any other reason."""
    if call.status_code != HTTPStatus.NOT_FOUND:
        return None
    if (name := unknown_endpoint(call)) is not None:
        return f"no endpoint is called {name}"
    return "the path lacks /v1" if lacks_version(call) else None


def unknown_endpoint(call: Exchange) -> str | None:
    """Return the name of the endpoint with which a path begins if no such endpoint is configured; else None."""
    match = NAMED.match(call.path)
    return match and printable(match[1])


def lacks_version(call: Exchange) -> bool:
    """Return whether the API did not find a path because it lacks /v1; an endpoint with a path need not have it."""
    if call.status_code != HTTPStatus.NOT_FOUND or call.path.startswith(VERSIONED):
        return False
    return not urlsplit(call.endpoint).path.strip("/") and unknown_endpoint(call) is None


def cut_by(call: Exchange) -> str | None:
    """Return what cut off a completed answer; None for a complete one."""
    if call.finish_reason in CONTEXT_FULL or any(map(FULL_WINDOW.search, call.warnings)):
        return "cut by a full context"
    if call.finish_reason in AT_LIMIT:
        return "cut by max_tokens"
    if any(NO_REASON in text for text in call.warnings):
        return NO_REASON
    is_early = not call.finish_reason and any(text.startswith(NO_END) for text in call.warnings)
    return "the stream ended early" if is_early else None


def words_of(name: str | None) -> str:
    """Return a name such as `rate_limit_reached` as words."""
    return printable(name or "").replace("_", " ").strip()
