"""What kind of failure mitmproxy's messages are about."""

import pytest

from moonpalace_addons.failures import classify
from moonpalace_addons.store.tasks import State

FAILED, TIMED_OUT, LEFT = State.UPSTREAM_FAILED, State.TIMED_OUT, State.CLIENT_DISCONNECTED

MESSAGES: list[tuple[str, State, str, int | None]] = [
    ("Client disconnected.", LEFT, "client_disconnected", None),
    ("client disconnected", LEFT, "client_disconnected", None),
    ("Connection killed.", LEFT, "killed", None),
    (
        "Received both a Transfer-Encoding and a Content-Length header from client, refusing to prevent request"
        " smuggling attacks. Disable the validate_inbound_headers option to skip this security check.",
        LEFT,
        "bad_request",
        400,
    ),
    ("Request body exceeds mitmproxy's body_size_limit.", LEFT, "bad_request", 400),
    ("Invalid request scheme: ftp", LEFT, "bad_request", 400),
    (
        "mitmproxy received an HTTP CONNECT request even though it is not running in regular/upstream mode.",
        LEFT,
        "bad_request",
        400,
    ),
    (
        "Received both a Transfer-Encoding and a Content-Length header from server, refusing to prevent request"
        " smuggling attacks. Disable the validate_inbound_headers option to skip this security check.",
        FAILED,
        "upstream_protocol",
        502,
    ),
    ("[Errno 111] Connect call failed ('127.0.0.1', 9)", FAILED, "upstream_refused", 502),
    (
        "Multiple exceptions: [Errno 111] Connect call failed ('::1', 9, 0, 0), [Errno 111] Connect call failed"
        " ('127.0.0.1', 9)",
        FAILED,
        "upstream_refused",
        502,
    ),
    ("[Errno 61] Connect call failed ('127.0.0.1', 9)", FAILED, "upstream_refused", 502),
    ("[Errno 110] Connect call failed ('10.0.0.1', 443)", TIMED_OUT, "upstream_timeout", 504),
    ("Connection timed out", TIMED_OUT, "upstream_timeout", 504),
    ("[Errno -2] Name or service not known", FAILED, "upstream_unknown_host", 502),
    ("[Errno -3] Temporary failure in name resolution", FAILED, "upstream_unknown_host", 502),
    ("[Errno 8] nodename nor servname provided, or not known", FAILED, "upstream_unknown_host", 502),
    ("[Errno -5] No address associated with hostname", FAILED, "upstream_unknown_host", 502),
    ("Certificate verify failed: self-signed certificate", FAILED, "upstream_tls", 502),
    ("The remote server does not speak TLS.", FAILED, "upstream_tls", 502),
    (
        "Upstream proxy 127.0.0.1:3128 refused HTTP CONNECT request: 407 Proxy Authentication Required",
        FAILED,
        "upstream_proxy",
        502,
    ),
    ("connection reset by peer", FAILED, "upstream_reset", 502),
    ("[Errno 32] Broken pipe", FAILED, "upstream_reset", 502),
    ("peer closed connection without sending complete message body", FAILED, "upstream_cut", 502),
    ("server disconnected", FAILED, "upstream_cut", 502),
    ("unexpected server response: HTTP/9", FAILED, "upstream_protocol", 502),
    ("", FAILED, "upstream_protocol", 502),
]


@pytest.mark.parametrize(("message", "state", "kind", "status"), MESSAGES)
def test_classification(message: str, state: State, kind: str, status: int | None) -> None:
    """Each message of mitmproxy has a state, a kind to search for, and the status that a client can be given."""
    failure = classify(message)
    assert (failure.state, failure.kind, failure.status) == (state, kind, status)
