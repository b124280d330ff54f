"""Tests of how calls are presented."""

from collections.abc import Callable

import pytest

from moonpalace_addons.store import fields
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import State
from moonpalace_cli.calls import presentation


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "200"),
        ({"status_code": 401}, "401"),
        ({"error_kind": "server_error"}, "200 error"),
        ({"status_code": None, "error_message": "broken"}, "error"),
        ({"status_code": 401, "error_kind": "incorrect_api_key_error"}, "401"),
        ({"state": State.IN_FLIGHT, "status_code": None}, "in_flight"),
        ({"state": State.CLIENT_DISCONNECTED}, "client_disconnected"),
        ({"state": State.UPSTREAM_FAILED, "status_code": None}, "upstream_failed"),
    ],
)
def test_status_is_the_code_or_the_state(
    exchange: Callable[..., Exchange], changes: dict[str, object], status: str
) -> None:
    """A completed call shows its code, marked if its answer has an error; any other its state."""
    assert presentation.status(exchange(**changes)) == status


@pytest.mark.parametrize(
    ("endpoint", "query", "url"),
    [
        ("https://api.moonshot.cn", "", "https://api.moonshot.cn/v1/files"),
        ("http://127.0.0.1:1/", "limit=3&after=x%20y", "http://127.0.0.1:1/v1/files?limit=3&after=x%20y"),
    ],
)
def test_url(exchange: Callable[..., Exchange], endpoint: str, query: str, url: str) -> None:
    """The URL is the one sent upstream, including the query."""
    assert fields.url(exchange(endpoint=endpoint, path="/v1/files", query=query)) == url


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, ""),
        ({"refused": True}, "connect: connection refused by 127.0.0.1:26335"),
        ({"refused": True, "error_kind": None}, "connection refused by 127.0.0.1:26335"),
        ({"error_kind": "server_error", "error_message": "broken"}, "server_error: broken"),
        ({"state": State.PROXY_DIED}, "proxy_died"),
        ({"state": State.IN_FLIGHT}, ""),
    ],
)
def test_error_text(exchange: Callable[..., Exchange], changes: dict[str, object], text: str) -> None:
    """A failed call always has a reason, at least its state."""
    assert fields.error_text(exchange(**changes)) == text


def test_metadata_of_a_stream(exchange: Callable[..., Exchange]) -> None:
    """Metadata are strings under sorted keys: times in whole milliseconds, speed with four digits."""
    call = exchange(
        response_content_type="text/event-stream",
        latency=84_609_102,
        time_to_first_token=11_999_999,
        time_per_output_token=12_000_000,
        output_tokens_per_second=81.51165870764189,
        cached_tokens=0,
        warnings=("too small", "too late"),
    )
    metadata = presentation.metadata(call)
    assert list(metadata) == sorted(metadata)
    assert metadata == {
        "cached_tokens": "0",
        "chatcmpl": "chatcmpl-00000001",
        "completion_tokens": "7",
        "content_type": "text/event-stream",
        "endpoint": "https://api.moonshot.cn",
        "finish_reason": "stop",
        "group_id": "g-test",
        "latency": "84",
        "model": "kimi-k3",
        "moonpalace_id": "1",
        "prompt_tokens": "11",
        "request_content_type": "application/json",
        "request_id": "req-00000001-aaaa-bbbb",
        "requested_at": "2026-11-23 01:27:02",
        "response_content_type": "text/event-stream",
        "response_otps": "81.5117",
        "response_tpot": "12",
        "response_ttft": "11",
        "server_timing": "101",
        "state": "completed",
        "status": "200 OK",
        "total_tokens": "18",
        "user_id": "u-test",
        "warnings": "too small; too late",
    }


def test_metadata_of_a_refused_call(exchange: Callable[..., Exchange]) -> None:
    """Unknown values are left out."""
    assert presentation.metadata(exchange(refused=True, latency=0)) == {
        "endpoint": "https://api.moonshot.cn",
        "latency": "0",
        "model": "kimi-k3",
        "moonpalace_id": "1",
        "request_content_type": "application/json",
        "requested_at": "2026-11-23 01:27:02",
        "state": "upstream_failed",
    }
