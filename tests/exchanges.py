"""Calls as read from a store."""

from datetime import UTC, datetime

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.tasks import State

STARTED = datetime(2026, 11, 22, 17, 27, 2, tzinfo=UTC)
REQUEST_HEADERS = (
    "Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.50.0\r\n"
    "X-Stainless-Lang: python\r\n"
)
RESPONSE_HEADERS = (
    "Content-Type: application/json\r\nMsh-Gid: g-test\r\nMsh-Request-Id: req-00000001-aaaa-bbbb\r\n"
    "Msh-Uid: u-test\r\nServer-Timing: inner; dur=101\r\n"
)
PLAIN: dict[str, object] = {
    "id": 1,
    "uuid": "00000000-0000-0000-0000-000000000001",
    "state": State.COMPLETED,
    "started_at": STARTED,
    "method": "POST",
    "endpoint": "https://api.moonshot.cn",
    "path": "/v1/chat/completions",
    "query": "",
    "request_headers": REQUEST_HEADERS,
    "request_content_type": "application/json",
    "request_bytes": 97,
    "changes": (),
    "status_code": 200,
    "response_headers": RESPONSE_HEADERS,
    "response_content_type": "application/json",
    "response_bytes": 311,
    "msh_request_id": "req-00000001-aaaa-bbbb",
    "msh_uid": "u-test",
    "msh_gid": "g-test",
    "server_timing": 101,
    "chatcmpl_id": "chatcmpl-00000001",
    "model_requested": "kimi-k3",
    "model_answered": "kimi-k3",
    "is_stream": False,
    "is_coerced": False,
    "finish_reason": "stop",
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "time_to_headers": 1_200_000,
    "output_tokens_per_second": 4176.6035,
    "latency": 1_676_003,
    "overhead": 90_000,
    "warnings": (),
}
"""A plain completed chat completion; all other fields are None."""

REFUSED: dict[str, object] = {
    "state": State.UPSTREAM_FAILED,
    "status_code": None,
    "response_headers": None,
    "response_content_type": None,
    "response_bytes": None,
    "msh_request_id": None,
    "msh_uid": None,
    "msh_gid": None,
    "server_timing": None,
    "chatcmpl_id": None,
    "model_answered": None,
    "finish_reason": None,
    "prompt_tokens": None,
    "completion_tokens": None,
    "total_tokens": None,
    "output_tokens_per_second": None,
    "error_kind": "connect",
    "error_message": "connection refused by 127.0.0.1:26335",
}
"""The fields that differ in a call that did not reach upstream."""


def an_exchange(*, refused: bool = False, **changes: object) -> Exchange:
    """Return a plain completed call with some fields changed, or one that failed."""
    values = dict.fromkeys(Exchange._fields) | PLAIN | (REFUSED if refused else {}) | changes
    return Exchange(**values)  # type: ignore[arg-type]
