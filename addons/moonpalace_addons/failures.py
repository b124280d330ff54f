"""Say what went wrong with a call, in the terms that users search for."""

import re
from dataclasses import dataclass

from moonpalace_addons.store.tasks import State


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call failed: its state, the kind of the error, and the status to answer with while one can be sent."""

    state: State
    kind: str
    status: int | None


CLIENT_LEFT = Failure(State.CLIENT_DISCONNECTED, "client_disconnected", None)
BAD_REQUEST = Failure(State.CLIENT_DISCONNECTED, "bad_request", 400)
KILLED = Failure(State.CLIENT_DISCONNECTED, "killed", None)
REPEATING = Failure(State.REPEAT_INTERRUPTED, "repeat", None)
UPSTREAM_CUT = Failure(State.UPSTREAM_FAILED, "upstream_cut", 502)
CLIENT_SILENT = Failure(State.TIMED_OUT, "client_timeout", 408)
PROXY_STOPPED = Failure(State.PROXY_DIED, "proxy_stopped", 503)
UPSTREAM_SILENT = Failure(State.TIMED_OUT, "upstream_timeout", 504)

# mitmproxy tells us a sentence, not a type: the first pattern that fits decides.
PATTERNS = (
    (r"client disconnected", CLIENT_LEFT),
    (r"^connection killed", KILLED),  # by the user, in mitmweb or by a script
    (r"from client, refusing|^request body exceeds|^invalid request|^mitmproxy received an http connect", BAD_REQUEST),
    (r"timed out|errno 110|timeout", UPSTREAM_SILENT),
    (r"certificate|tls|ssl", Failure(State.UPSTREAM_FAILED, "upstream_tls", 502)),
    (
        r"connect call failed|connection refused|errno 111|multiple exceptions",
        Failure(State.UPSTREAM_FAILED, "upstream_refused", 502),
    ),
    (
        r"name or service|nodename|name resolution|no address associated|getaddrinfo|errno -",
        Failure(State.UPSTREAM_FAILED, "upstream_unknown_host", 502),
    ),
    (r"upstream proxy|error connecting to", Failure(State.UPSTREAM_FAILED, "upstream_proxy", 502)),
    (r"reset|broken pipe", Failure(State.UPSTREAM_FAILED, "upstream_reset", 502)),
    (
        r"without sending complete|peer closed|incomplete|closed connection|server disconnected|unexpectedly",
        UPSTREAM_CUT,
    ),
)
OTHER = Failure(State.UPSTREAM_FAILED, "upstream_protocol", 502)


def classify(message: str) -> Failure:
    """Return what kind of failure mitmproxy's message is about."""
    for pattern, failure in PATTERNS:
        if re.search(pattern, message, re.IGNORECASE):
            return failure
    return OTHER
