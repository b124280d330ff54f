"""One stored call, as the table `exchanges` has it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from moonpalace_addons.store.state import State
from moonpalace_addons.wire.status import FIRST_ERROR


class Exchange(NamedTuple):
    """One stored call without its bodies: what the columns of the table `exchanges` hold, in the same names.

    Durations are in nanoseconds, `server_timing` in milliseconds. The table has a column for each attribute. As a
    frozen dataclass it would take ten times as long to create, and one is created for each call that ends.
    """

    id: int
    uuid: str
    state: State
    started_at: datetime
    method: str
    endpoint: str
    endpoint_name: str | None  # as config.yaml calls it
    path: str
    query: str
    request_headers: str
    request_content_type: str | None
    request_bytes: int
    client_request_id: str | None
    session: str | None
    key_fingerprint: str | None
    changes: tuple[str, ...]
    status_code: int | None
    response_headers: str | None
    response_content_type: str | None
    response_bytes: int | None
    msh_request_id: str | None
    msh_uid: str | None
    msh_gid: str | None
    server_timing: int | None  # as the API says it
    context_cache_id: str | None
    requests_left: int | None
    tokens_left: int | None
    retry_after: int | None
    chatcmpl_id: str | None
    model_requested: str | None
    model_answered: str | None
    is_stream: bool
    is_coerced: bool
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    service_tier: str | None
    reported_cost: float | None  # in US dollars, as the API says it
    cost: float | None
    cost_input: float | None
    cost_cached: float | None
    cost_output: float | None
    cost_currency: str | None
    price_input: float | None  # per million tokens, as that of cached ones
    price_cached: float | None
    time_to_headers: int | None
    time_to_first_token: int | None
    time_to_first_visible_token: int | None
    time_per_output_token: int | None
    output_tokens_per_second: float | None
    longest_stall: int | None
    gap_p50: int | None  # percentiles of the gaps between the chunks of a stream
    gap_p90: int | None
    gap_p99: int | None
    latency: int | None
    overhead: int | None  # time spent in our own hooks
    warnings: tuple[str, ...]
    error_kind: str | None
    error_message: str | None
    purpose: str | None  # of a call that MoonPalace made for itself
    cache_outcome: str | None
    cache_tokens: int | None  # what the context cache saved
    category: str | None
    note: str | None

    @property
    def holds_error(self) -> bool:
        """Tell whether the answer says that the call failed, in spite of its status: mostly at the end of a stream."""
        names_one = bool(self.error_kind or self.error_message)
        return names_one and self.state is State.COMPLETED and (self.status_code or 0) < FIRST_ERROR
