"""Turn a stored call into what users see of it: columns, metadata, status, address."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from moonpalace_addons.store.tasks import State
from moonpalace_addons.wire.status import status_line

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")


def local_time(moment: datetime) -> str:
    """Return the moment in local time, as the tables show it."""
    return moment.astimezone().strftime(TIME_FORMAT)


def url(exchange: Exchange) -> str:
    """Return the address that was called upstream, query included."""
    query = f"?{exchange.query}" if exchange.query else ""
    return exchange.endpoint.rstrip("/") + exchange.path + query


def has_failed(exchange: Exchange) -> bool:
    """Tell whether the call failed though its status, if it has one, does not say so.

    It ended otherwise than with a whole answer, or the answer holds an error; one of 4xx or 5xx says it by its status.
    """
    return exchange.state not in (State.COMPLETED, State.IN_FLIGHT) or exchange.holds_error


def status(exchange: Exchange) -> str:
    """Return the status code of a completed call, marked if the answer holds an error; the state of any other."""
    if exchange.state is not State.COMPLETED:
        return exchange.state.value
    return f"{text_of(exchange.status_code)} error".strip() if exchange.holds_error else text_of(exchange.status_code)


def model(exchange: Exchange) -> str | None:
    """Return the model that answered, else the one asked for."""
    return exchange.model_answered or exchange.model_requested


def error_text(exchange: Exchange) -> str:
    """Return why the call failed: kind and message, at least the state; empty for one that did not fail."""
    parts = [part for part in (exchange.error_kind, exchange.error_message) if part]
    return ": ".join(parts) or (exchange.state.value if has_failed(exchange) else "")


def metadata(exchange: Exchange) -> dict[str, str]:
    """Return what `inspect` and `export` say about a call: strings under sorted keys, none for what is unknown."""
    speed = exchange.output_tokens_per_second
    values: Mapping[str, str | int | None] = {
        "cache_outcome": exchange.cache_outcome,
        "cache_tokens": exchange.cache_tokens,
        "chatcmpl": exchange.chatcmpl_id,
        "content_type": exchange.response_content_type,
        "context_cache_id": exchange.context_cache_id,
        "endpoint": exchange.endpoint,
        "finish_reason": exchange.finish_reason,
        "group_id": exchange.msh_gid,
        "latency": milliseconds(exchange.latency),
        "model": model(exchange),
        "moonpalace_id": exchange.id,
        "request_content_type": exchange.request_content_type,
        "request_id": exchange.msh_request_id,
        "requested_at": local_time(exchange.started_at),
        "response_content_type": exchange.response_content_type,
        "response_otps": None if speed is None else f"{speed:.4f}",
        "response_tpot": milliseconds(exchange.time_per_output_token),
        "response_ttft": milliseconds(exchange.time_to_first_token),
        "server_timing": exchange.server_timing,
        "state": exchange.state.value,
        "status": status_line(exchange.status_code),
        "user_id": exchange.msh_uid,
        "warnings": "; ".join(exchange.warnings),
        **{name: getattr(exchange, name) for name in TOKENS},
    }
    return {key: str(value) for key, value in sorted(values.items()) if value not in (None, "")}


def milliseconds(nanoseconds: int | None) -> int | None:
    """Return whole milliseconds, as the original rounds."""
    return None if nanoseconds is None else nanoseconds // 1_000_000


def text_of(value: object) -> str:
    """Return the value as a cell, empty for None."""
    return "" if value is None else str(value)
